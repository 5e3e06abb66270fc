"""The file's schema, as a list of migrations. A released migration is never edited: the next one is appended.

Rows that repeat (who wrote a memory) and bytes that are rarely read (thumbnails) have tables of their own, so
that the memories stay small: a year of them is scanned and searched without touching a picture.
"""

from __future__ import annotations

import sqlite3
import time
import uuid

CODES_IN_BLOCK = 4096  # part of the schema: never changed
APPLICATION_ID = 0x544D454D  # "TMEM": tells our files from other SQLite databases

_VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """CREATE TABLE provenance (
        id INTEGER PRIMARY KEY, model TEXT NOT NULL, revision TEXT NOT NULL, adapter TEXT NOT NULL,
        prompt_hash TEXT NOT NULL, UNIQUE (model, revision, adapter, prompt_hash)) STRICT""",
    """CREATE TABLE sources (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, fingerprint TEXT NOT NULL, camera TEXT NOT
        NULL, started_ns INTEGER NOT NULL, finished_ns INTEGER, UNIQUE (fingerprint, camera)) STRICT""",
    # AUTOINCREMENT: an id that was evidence once is never given to another memory.
    """CREATE TABLE memories (
        id INTEGER PRIMARY KEY AUTOINCREMENT, camera TEXT NOT NULL, episode INTEGER NOT NULL,
        start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, text TEXT NOT NULL,
        frame_id TEXT, map_id TEXT, x REAL, y REAL, z REAL, qx REAL, qy REAL, qz REAL, qw REAL,
        provenance_id INTEGER NOT NULL REFERENCES provenance (id), source_id INTEGER REFERENCES sources (id),
        created_ns INTEGER NOT NULL,
        CHECK (end_ns >= start_ns), CHECK (trim(text) <> ''),
        CHECK ((x + y + z + qx + qy + qz + qw IS NULL) = (frame_id IS NULL))) STRICT""",
    "CREATE INDEX memories_start ON memories (start_ns)",
    "CREATE INDEX memories_camera_start ON memories (camera, start_ns)",
    "CREATE INDEX memories_length ON memories (end_ns - start_ns)",
    "CREATE INDEX memories_source ON memories (source_id) WHERE source_id IS NOT NULL",
    """CREATE TABLE thumbnails (
        memory_id INTEGER PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE, jpeg BLOB NOT NULL)
        STRICT""",
    """CREATE VIRTUAL TABLE memories_fts USING fts5 (
        text, content = 'memories', content_rowid = 'id', tokenize = 'porter unicode61')""",
    """CREATE TRIGGER memories_inserted AFTER INSERT ON memories BEGIN
        INSERT INTO memories_fts (rowid, text) VALUES (new.id, new.text); END""",
    """CREATE TRIGGER memories_deleted AFTER DELETE ON memories BEGIN
        INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', old.id, old.text); END""",
    """CREATE TRIGGER memories_updated AFTER UPDATE OF text ON memories BEGIN
        INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', old.id, old.text);
        INSERT INTO memories_fts (rowid, text) VALUES (new.id, new.text); END""",
    """CREATE TABLE tasks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, question TEXT NOT NULL, choices TEXT NOT
        NULL, source TEXT NOT NULL, asked_ns INTEGER NOT NULL, since_ns INTEGER, until_ns INTEGER,
        known_answer TEXT, status TEXT NOT NULL, answer TEXT, message TEXT NOT NULL DEFAULT '', confidence
        REAL NOT NULL DEFAULT 0, watermark INTEGER NOT NULL DEFAULT 0, answered_ns INTEGER,
        provenance_id INTEGER REFERENCES provenance (id),
        CHECK (trim(question) <> ''), CHECK ((status = 'answered') = (answer IS NOT NULL))) STRICT""",
    "CREATE INDEX tasks_asked ON tasks (asked_ns)",
    "CREATE INDEX tasks_status ON tasks (status, asked_ns)",
    # No foreign key to memories: that an answer stood on a memory stays known after the memory is forgotten.
    """CREATE TABLE task_evidence (
        task_id INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE, rank INTEGER NOT NULL,
        memory_id INTEGER NOT NULL, score REAL NOT NULL, PRIMARY KEY (task_id, rank)) STRICT, WITHOUT
        ROWID""",
    "CREATE INDEX task_evidence_memory ON task_evidence (memory_id)",
    """CREATE TABLE coverage (
        id INTEGER PRIMARY KEY, camera TEXT NOT NULL, episode INTEGER NOT NULL, start_ns INTEGER NOT NULL,
        end_ns INTEGER NOT NULL, reason TEXT NOT NULL, source_id INTEGER REFERENCES sources (id),
        CHECK (end_ns >= start_ns)) STRICT""",
    "CREATE INDEX coverage_start ON coverage (start_ns)",
    "CREATE INDEX coverage_camera_end ON coverage (camera, end_ns)",
    """CREATE TABLE failures (
        id INTEGER PRIMARY KEY AUTOINCREMENT, camera TEXT NOT NULL, episode INTEGER NOT NULL,
        start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, raw TEXT NOT NULL, error TEXT NOT NULL,
        provenance_id INTEGER NOT NULL REFERENCES provenance (id), source_id INTEGER REFERENCES sources (id),
        created_ns INTEGER NOT NULL) STRICT""",
)

_VERSION_2 = (
    # Single precision, rounded outward: a box finds all that may be in it, and the memory itself decides.
    # Metres and days: measures of one size, so that the tree is cut along all of them.
    """CREATE VIRTUAL TABLE memory_places USING rtree (
        id, min_x, max_x, min_y, max_y, min_z, max_z, min_day, max_day)""",
    """INSERT INTO memory_places
        SELECT id, x, x, y, y, z, z, start_ns / 864e11, end_ns / 864e11 FROM memories WHERE x IS NOT NULL""",
    """CREATE TRIGGER memory_placed AFTER INSERT ON memories WHEN new.x IS NOT NULL BEGIN
        INSERT INTO memory_places VALUES (new.id, new.x, new.x, new.y, new.y, new.z, new.z,
            new.start_ns / 864e11, new.end_ns / 864e11); END""",
    """CREATE TRIGGER memory_displaced AFTER DELETE ON memories WHEN old.x IS NOT NULL BEGIN
        DELETE FROM memory_places WHERE id = old.id; END""",
    # Which encoder made the vectors: those of two encoders cannot be compared.
    """CREATE TABLE encoders (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, dimensions INTEGER NOT NULL) STRICT""",
    """CREATE TABLE vectors (
        memory_id INTEGER PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE,
        encoder_id INTEGER NOT NULL REFERENCES encoders (id), vector BLOB NOT NULL) STRICT""",
    # The signs of all vectors of a block of memory ids, to be read at once; gone as soon as one vector is.
    "CREATE TABLE vector_codes (block INTEGER PRIMARY KEY, codes BLOB NOT NULL) STRICT",
    f"""CREATE TRIGGER vector_deleted AFTER DELETE ON vectors BEGIN
        DELETE FROM vector_codes WHERE block = old.memory_id / {CODES_IN_BLOCK}; END""",
    "CREATE INDEX coverage_forgotten ON coverage (camera, end_ns) WHERE reason = 'forgotten'",
)

_VERSION_3 = (
    # Without heights. Most robots stay on one: their tree's boxes had no volume, by which SQLite tells where
    # a new one belongs, so that all boxes lay across each other and a search read most of the tree.
    "DROP TRIGGER memory_placed",
    "DROP TRIGGER memory_displaced",
    "DROP TABLE memory_places",
    "CREATE VIRTUAL TABLE memory_places USING rtree (id, min_x, max_x, min_y, max_y, min_day, max_day)",
    """INSERT INTO memory_places
        SELECT id, x, x, y, y, start_ns / 864e11, end_ns / 864e11 FROM memories WHERE x IS NOT NULL""",
    """CREATE TRIGGER memory_placed AFTER INSERT ON memories WHEN new.x IS NOT NULL BEGIN
        INSERT INTO memory_places VALUES (new.id, new.x, new.x, new.y, new.y,
            new.start_ns / 864e11, new.end_ns / 864e11); END""",
    """CREATE TRIGGER memory_displaced AFTER DELETE ON memories WHEN old.x IS NOT NULL BEGIN
        DELETE FROM memory_places WHERE id = old.id; END""",
    # Vectors are written in another form; they are made anew from the texts.
    "DELETE FROM vectors",
    "DELETE FROM vector_codes",
    "DELETE FROM encoders",
)

_VERSION_4 = (
    # What people say of answers. One row each time: the newest of a task counts.
    """CREATE TABLE feedback (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        task_id INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
        verdict TEXT NOT NULL, answer TEXT, source TEXT NOT NULL, given_ns INTEGER NOT NULL,
        CHECK (verdict IN ('right', 'wrong'))) STRICT""",
    "CREATE INDEX feedback_task ON feedback (task_id, id)",
    # What left the robot, each task and each feedback once.
    """CREATE TABLE bundles (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, bundle_id TEXT NOT NULL, file TEXT NOT NULL,
        sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, contents TEXT NOT NULL, tasks INTEGER NOT NULL,
        last_memory INTEGER NOT NULL, created_ns INTEGER NOT NULL, pushed_ns INTEGER) STRICT""",
    """CREATE TABLE bundled (
        kind TEXT NOT NULL, number INTEGER NOT NULL, sequence INTEGER NOT NULL REFERENCES bundles (sequence),
        PRIMARY KEY (kind, number), CHECK (kind IN ('task', 'feedback'))) STRICT, WITHOUT ROWID""",
    # Adapters that came to this robot, and all that became of them.
    """CREATE TABLE adapters (
        id TEXT PRIMARY KEY, serial INTEGER NOT NULL, manifest TEXT NOT NULL, folder TEXT NOT NULL,
        state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', changed_ns INTEGER NOT NULL,
        CHECK (state IN ('staged', 'trial', 'watched', 'good', 'refused', 'rolled_back'))) STRICT""",
    """CREATE TABLE adapter_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, adapter TEXT NOT NULL,
        event TEXT NOT NULL, message TEXT NOT NULL) STRICT""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an open file (empty, or of an older version) to SCHEMA_VERSION: in one transaction, all or
    nothing.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if version == 0:
            about = (("store_id", str(uuid.uuid4())), ("created_ns", str(time.time_ns())))
            connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", about)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
