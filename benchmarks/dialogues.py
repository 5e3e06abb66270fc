"""How often search finds the evidence: python benchmarks/dialogues.py FOLDER [--encoder MODEL]

On long dialogues between people with questions whose evidence is known, which nobody wrote for this package:
FOLDER has the JSON files of LoCoMo (Maharana et al., ACL 2024, arXiv:2402.17753; data/ of its repository, one
file or one for each dialogue). Every turn is a memory. A hit: a turn that the question's evidence names is
among the first ten. Beside it, in the same run, a plain FTS5 query: porter stems, stop words dropped, OR.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import json
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from taskmem_ros.memory import Store, plain, terms
from taskmem_ros.recall import Encoder, Search, VectorIndexer, load_encoder

FOUND = 10
S = 1_000_000_000
TURN_S = 10
Finder = Callable[[str], Sequence[int]]  # question -> turns, numbered from 1, best first


@dataclass(frozen=True)
class Dialogue:
    """turns: (nanoseconds, text). questions: (question, the numbers of its evidence, from 1)."""

    turns: list[tuple[int, str]]
    questions: list[tuple[str, set[int]]]


def dialogues(folder: Path) -> Iterator[Dialogue]:
    files = sorted(folder.rglob("*.json"))
    if not files:
        raise SystemExit(f"{folder} has no .json file")
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        for one in content if isinstance(content, list) else [content]:
            yield _dialogue(one)


def _dialogue(content: dict) -> Dialogue:
    talk = content.get("conversation", content)
    sessions = sorted(
        (int(key.split("_")[1]), key) for key in talk if re.fullmatch(r"session_\d+", key) and talk[key]
    )
    turns, numbers = [], {}
    for _, key in sessions:
        began = dt.datetime.strptime(talk[f"{key}_date_time"], "%I:%M %p on %d %B, %Y")
        start = int(began.replace(tzinfo=dt.timezone.utc).timestamp())
        for index, turn in enumerate(talk[key]):
            text = turn.get("clean_text") or turn["text"]
            turns.append(((start + index * TURN_S) * S, f"{turn['speaker']}: {text}"))
            numbers[turn["dia_id"]] = len(turns)
    questions = []
    for asked in content["qa"]:
        named = re.findall(r"D\d+:\d+", " ".join(asked.get("evidence", [])))
        evidence = {numbers[name] for name in named if name in numbers}
        if evidence and "question" in asked:
            questions.append((asked["question"], evidence))
    return Dialogue(turns, questions)


def plain_fts5(dialogue: Dialogue, database: Path) -> Finder:
    db = sqlite3.connect(database)
    db.execute("CREATE VIRTUAL TABLE turns USING fts5(text, tokenize='porter unicode61')")
    db.executemany("INSERT INTO turns(text) VALUES (?)", [(text,) for _, text in dialogue.turns])

    def find(question: str) -> Sequence[int]:
        words = " OR ".join(f'"{term.text}"' for term in terms(plain(question)))
        sql = "SELECT rowid FROM turns WHERE turns MATCH ? ORDER BY bm25(turns) LIMIT ?"
        return [number for (number,) in db.execute(sql, (words, FOUND))] if words else []

    return find


def ours(dialogue: Dialogue, database: Path, encoder: Encoder | None = None) -> Finder:
    store = Store.open(database)
    for start_ns, text in dialogue.turns:
        store.add_memory("talk", 0, start_ns, start_ns + TURN_S * S, text)
    if encoder is not None:
        indexer = VectorIndexer(store, encoder)
        while indexer.step():
            pass
    search = Search(store, encoder)

    def find(question: str) -> Sequence[int]:
        return [hit.memory.id for hit in search(plain(question), limit=FOUND, thumbnails=False)]

    return find


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", action="append", default=[], help="also search by meaning; repeatable")
    options = parser.parse_args()
    every = list(dialogues(options.folder))
    finders = {"plain FTS5": plain_fts5, "words": ours}
    for model in options.encoder:
        encoder = load_encoder(model)
        finders[f"words and meaning, {encoder.name}"] = functools.partial(ours, encoder=encoder)
    asked = sum(len(dialogue.questions) for dialogue in every)
    turns = sum(len(dialogue.turns) for dialogue in every)
    print(f"{len(every)} dialogues, {turns} turns, {asked} questions; of evidence among the first {FOUND}:")
    base = None
    for name, make in finders.items():
        hits = share = 0.0
        with tempfile.TemporaryDirectory() as folder:
            for number, dialogue in enumerate(tqdm(every, desc=name, leave=False)):
                find = make(dialogue, Path(folder) / f"{number}.db")
                for question, evidence in dialogue.questions:
                    got = evidence & set(find(question))
                    hits += bool(got)
                    share += len(got) / len(evidence)
        base = base or hits
        print(f"{name:60} any {hits / asked:.3f} ({hits / base:.2f} of plain FTS5)   all {share / asked:.3f}")


if __name__ == "__main__":
    main()
