"""What the tables have in common: text as SQLite takes it, time spans, who wrote a row."""

from __future__ import annotations

from typing import Any

from sqlite_utils import Database

# Of all memories; with an index of its own.
LONGEST = "SELECT end_ns - start_ns FROM memories ORDER BY end_ns - start_ns DESC LIMIT 1"


def clean(text: str) -> str:
    """The text without what UTF-8 or SQLite cannot hold: lone surrogates become "?", NUL a space."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")


def span_filter(
    table: str, since_ns: int | None, until_ns: int | None, camera: str | None
) -> tuple[str, dict[str, Any]]:
    """SQL and its values for rows (alias `table`) that overlap [since_ns, until_ns) and are of the camera."""
    where, values = ["1"], {}
    if since_ns is not None:
        # A row of no length counts where it starts. For memories the longest one bounds how far back to look.
        where.append(f"({table}.end_ns > :since OR {table}.start_ns >= :since)")
        if table == "m":
            where.append(f"m.start_ns >= :since - ({LONGEST})")
        values["since"] = since_ns
    if until_ns is not None:
        where.append(f"{table}.start_ns < :until")
        values["until"] = until_ns
    if camera is not None:
        where.append(f"{table}.camera = :camera")
        values["camera"] = camera
    return " AND ".join(where), values


def provenance_id(db: Database, model: str, revision: str, adapter: str, prompt_hash: str) -> int:
    """The row that says who wrote something; made on first use. Call inside a transaction."""
    values = [model, revision, adapter, prompt_hash]
    sql = "SELECT id FROM provenance WHERE model = ? AND revision = ? AND adapter = ? AND prompt_hash = ?"
    known = db.execute(sql, values).fetchone()
    if known:
        return known[0]
    names = ("model", "revision", "adapter", "prompt_hash")
    return db["provenance"].insert(dict(zip(names, values))).last_pk
