"""Ask the model about demo homes, end to end, and see whether its evidence alone says the answer:
python benchmarks/answers.py --homes 10

Each home's memories (up to three facts of every clip, worded by the home itself) go into a store; questions
about what the camera saw are asked through `Recall`. For each answer the texts of its evidence are read back
into facts, and the home's own look-up answers from them alone: they contain it where that is the same.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from taskmem_ros.home import HomeSim, is_right, look_up, memory_text, observations, questions, read_memory
from taskmem_ros.memory import Store
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.recall import Answer, Reader, Recall

STEP_NS = 10_000_000_000
FIRST_HOME = 6_000_001  # never trained on: training has homes below 1,000,000
FACTS = 3  # of a clip that its memory states


def ask_home(seed: int, clips: int, count: int, reader: Reader, tally: Counter, wrong: list[str]) -> None:
    """Ask `count` questions about one home and add up what came of them."""
    sim, dice = HomeSim(seed), random.Random(seed)
    stated = []
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "home.db") as store:
        for index, facts in enumerate(observations(sim, clips * STEP_NS)):
            if not facts:
                continue
            stated.append(dice.sample(facts, min(FACTS, len(facts))))
            start = index * STEP_NS
            store.add_memory("camera", 0, start, start + STEP_NS, memory_text(stated[-1], dice))
        recall = Recall(store, reader)
        for question in questions(sim, clips * STEP_NS, count, seed):
            known = look_up(question.query, stated)
            truth = replace(question, answer=known and known.answer)
            answer = recall.ask(question.text)
            tally["asked"] += 1
            tally["right"] += is_right(truth, answer.text or None)
            tally["in memory"] += known is not None
            tally[answer.status] += 1
            if answer.status == "answered":
                said = alone(question, answer)
                tally["supported"] += said
                tally["answered and right"] += is_right(truth, answer.text)
                if not said:
                    texts = " | ".join(evidence.memory.text for evidence in answer.evidence)
                    wrong.append(f"{question.text} -> {answer.text!r}: {texts}")


def alone(question, answer: Answer) -> bool:
    """Whether the memories of an answer's evidence, and no others, say it."""
    evidence = sorted(answer.evidence, key=lambda item: item.memory.start_ns)
    found = look_up(question.query, [read_memory(item.memory.text)[0] for item in evidence])
    return found is not None and is_right(replace(question, answer=found.answer), answer.text)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--homes", type=int, default=10)
    parser.add_argument("--clips", type=int, default=60, help="of 10 s, for each home (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=40, help="about each home (default: %(default)s)")
    parser.add_argument("--model", default="demo", help="demo, a folder or a hub id (default: %(default)s)")
    parser.add_argument("--wrong", type=int, default=0, metavar="N", help="show N that their evidence misses")
    options = parser.parse_args()
    policy = MemoryPolicy.load(options.model)
    tally, wrong = Counter(), []
    for seed in range(FIRST_HOME, FIRST_HOME + options.homes):
        ask_home(seed, options.clips, options.questions, policy.complete, tally, wrong)
    for line in wrong[: options.wrong]:
        print(line, file=sys.stderr)
    share = tally["supported"] / max(1, tally["answered"])
    print(json.dumps(dict(tally) | {"evidence alone says it": round(share, 4)}))
    return 0 if share >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
