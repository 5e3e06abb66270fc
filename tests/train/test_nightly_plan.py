"""Whether a night trains, and on what: settings, the choice, and what is remembered of bundles and tasks."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from robot_days import STORE, day
from taskmem_train.nightly.choose import DAY_NS, choose, lately
from taskmem_train.nightly.ledger import (
    DECLINED,
    FAILED,
    OPEN,
    PASSED,
    PLANNED,
    TRAINED,
    Ledger,
    Plan,
    SeenTask,
    TakenBundle,
)
from taskmem_train.nightly.log import write_log
from taskmem_train.nightly.runs import (
    MOST_BUNDLES,
    MOST_QUESTIONS,
    MOST_TASKS,
    newest,
    settings_of,
    short,
    with_settings,
)
from taskmem_train.nightly.settings import NightlyConfig

from taskmem_ros.exchange import Bundle
from taskmem_ros.exchange.manifest import CONFIG_FILE, WEIGHTS_FILE, AdapterManifest, FileEntry
from taskmem_ros.memory import Feedback

CONFIG = NightlyConfig(exchange="/nowhere", key="key.pem", allow_unchecked=True, judge="random")
SMALL = replace(CONFIG, min_questions=3, held_out=50)


def bundle(sequence: int, days: float | None = 1.0, robot: str = "r", **more) -> TakenBundle:
    """days: when the newest of it was, None for one of feedback alone."""
    values = {"tasks": 5, "clips": 9, "memories": 9, "revision": "rev", "adapter": ""} | more
    last = None if days is None else int(days * DAY_NS)
    return TakenBundle(
        robot, sequence, f"id{sequence}", f"bundles/{robot}/{sequence}", last_ns=last, **values
    )


def tasks(count: int, sequence: int = 1, robot: str = "r", **more) -> list[SeenTask]:
    values = {"kind": "question", "known": True} | more
    return [
        SeenTask(robot, f"{robot}-{sequence}/{n}", sequence, values["kind"], "?", sequence * 1000 + n,
                 **{name: value for name, value in values.items() if name != "kind"})
        for n in range(count)
    ]  # fmt: skip


def test_enough_new_tasks_are_learned_from_and_the_others_asked():
    plan = choose(SMALL, [bundle(1)], tasks(12))
    assert plan.learn == tuple(f"r-1/{n}" for n in range(7, 12))  # the newest five
    assert plan.ask == tuple(f"r-1/{n}" for n in range(7)) and plan.new == 12
    assert (plan.robots, plan.bundles, plan.bundle_ids) == (("r",), ("bundles/r/1",), ("id1",))
    assert (plan.in_use, plan.revision, plan.kinds) == ("", "rev", ("question",))


@pytest.mark.parametrize(
    ("found", "bundles", "said"),
    [
        ([], [bundle(1)], "new tasks with a known answer: none; it takes 5 of a kind to train"),
        (tasks(4), [bundle(1)], "answer: 4 of kind question; it takes 5"),
        (tasks(4) + tasks(4, 2, kind="task"), [bundle(1), bundle(2)], "4 of kind question, 4 of kind task"),
        (tasks(9, used=True), [bundle(1)], "answer: none"),
        (tasks(4) + tasks(7, 2, known=False), [bundle(1), bundle(2)], "; 7 more have no known answer"),
        (tasks(9), [bundle(1, clips=0)], "have no frames to try memories on; set contents to frames"),
        (tasks(7), [bundle(1)], "beside 5 to fit to only 2 are left to ask at the gate, which takes 3"),
        (
            tasks(9) + tasks(9, 1, "s"),
            [bundle(1), bundle(1, robot="s", revision="other")],
            r"different base models \(other, rev\)",
        ),
    ],
)
def test_why_nothing_is_trained(found, bundles, said):
    import re

    reason = choose(SMALL, bundles, found)
    assert isinstance(reason, str) and re.search(said, reason), reason


def test_what_a_run_was_fitted_to_is_never_asked():
    old = [replace(task, used=True, fitted=n % 2 == 0) for n, task in enumerate(tasks(6))]
    plan = choose(SMALL, [bundle(1), bundle(2, 1.5)], old + tasks(8, 2))
    assert plan.learn == tuple(f"r-2/{n}" for n in range(3, 8)) and plan.new == 8
    assert plan.ask == ("r-1/1", "r-1/3", "r-1/5", "r-2/0", "r-2/1", "r-2/2")
    few = choose(replace(SMALL, held_out=4), [bundle(1), bundle(2, 1.5)], old + tasks(8, 2))
    assert few.ask == plan.ask[-4:]  # the newest ones


def test_a_judge_that_learns_from_answers_gets_a_share_spread_over_the_time():
    plan = choose(replace(SMALL, judge="answerability"), [bundle(1)], tasks(12))
    assert plan.learn == tuple(f"r-1/{n}" for n in (1, 3, 5, 7, 9, 11))
    assert set(plan.ask) == {f"r-1/{n}" for n in (0, 2, 4, 6, 8, 10)}
    third = choose(replace(SMALL, judge="answerability", learn_share=1 / 3), [bundle(1)], tasks(12))
    assert len(third.learn) == 4 and third.learn[-1] == "r-1/11" and not set(third.learn) & set(third.ask)


def test_a_kind_without_enough_tasks_is_asked_but_not_learned():
    plan = choose(SMALL, [bundle(1), bundle(2)], tasks(9) + tasks(3, 2, kind="task"))
    assert all(uid.startswith("r-1/") for uid in plan.learn) and plan.kinds == ("question",)
    assert plan.ask[-3:] == ("r-2/0", "r-2/1", "r-2/2")


def test_only_the_last_days_count_by_each_robots_own_clock():
    own = [bundle(1, 1.0), bundle(2, None), bundle(3, 2.5), bundle(4, None), bundle(5, 4.0)]
    other = [bundle(1, 300.0, "s")]
    assert [(b.robot, b.sequence) for b in lately([*own, *other], 2.0)] == [
        ("r", 3), ("r", 4), ("r", 5), ("s", 1),
    ]  # fmt: skip
    assert lately([bundle(1, None)], 2.0) == []
    plan = choose(SMALL, own, tasks(20, 1) + tasks(12, 3))
    assert plan.bundles == tuple(f"bundles/r/{n}" for n in (3, 4, 5))
    assert all(uid.startswith("r-3/") for uid in (*plan.learn, *plan.ask))


def test_tasks_out_of_the_days_are_not_new_and_nothing_is_trained_on_them():
    own = [bundle(1, 1.0), bundle(2, 9.0)]
    found = tasks(9) + tasks(9, 2, used=True)  # feedback on the old ones came late
    said = choose(SMALL, own, found)
    assert "known answer: none; it takes 5 of a kind to train" in said
    assert said.endswith("; 9 more are not of the last 2 days (days)")
    plan = choose(SMALL, own, tasks(9) + tasks(12, 2))
    assert plan.new == 12 and len(plan.learn) == 5


def test_a_clock_that_was_far_off_for_a_while_makes_no_old_bundle_new():
    own = [bundle(1, 1.0), bundle(2, 900.0), bundle(3, None), bundle(4, 3.0), bundle(5, 9.0), bundle(6, 10.0)]
    assert [b.sequence for b in lately(own, 2.0)] == [5, 6]
    assert [b.sequence for b in lately(own[:2], 2.0)] == [2]
    back = [bundle(1, 20_000.0), bundle(2, 0.1), bundle(3, 20_001.0)]
    assert [b.sequence for b in lately(back[:2], 2.0)] == [2]
    assert [b.sequence for b in lately(back, 2.0)] == [1, 3]


def test_what_is_in_use_is_what_the_robot_wrote_with_last():
    found = [bundle(1, adapter="a"), bundle(2, 1.1, adapter="b"), bundle(3, 1.2, revision="", memories=0)]
    assert choose(SMALL, found, tasks(12)).in_use == "b"
    bare = [bundle(1, adapter="a"), bundle(2, 1.1)]
    assert choose(SMALL, bare, tasks(12), "published").in_use == ""  # it went back to the bare policy
    untold = [bundle(1, revision="")]
    assert choose(SMALL, untold, tasks(12), "published").in_use == "published"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"allow_unchecked": False}, "quality is 'none', so the gate would refuse every adapter"),
        ({"judge": "truth"}, "name the home that it shows with --home-seed"),
        ({"learn_share": 1.0}, "learn_share is 1.0; it must be between 0 and 1"),
        ({"min_new_tasks": 0}, "min_new_tasks is 0; it must be at least 1"),
        ({"days": 0.0}, "days is 0.0; it must be above 0"),
        ({"held_out": 10}, "held_out is 10 and min_questions 20"),
        ({"home_seed": ("hall",)}, "home_seed is 'hall'; write SEED, or CAMERA=SEED"),
        ({"keep_days": -1.0}, "keep_days is -1.0"),
        ({"robots": ("../x",)}, "robot '../x' is no name"),
        ({"reader_url": "http://x"}, "reader_url and reader_model go together"),
        ({"answers": "endpoint"}, "answers is 'endpoint'; it needs judge_url"),
        ({"candidates": 1}, "candidates is 1"),
    ],
)
def test_bad_settings_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        replace(CONFIG, **change)


def test_settings_reach_training_and_gate_and_are_kept_with_the_run():
    config = replace(CONFIG, home_seed=("7",), judge="truth", rank=3, robots=("r",))
    learn = config.to_learn(("a.bundle",), ("s/1",))
    assert (learn.rank, learn.quality, learn.tasks, learn.home_seed) == (3, "truth", ("s/1",), ("7",))
    gate = config.to_gate(("a.bundle",), ("s/2",), name="n", publish="p", in_use="")
    assert (gate.min_questions, gate.confidence, gate.block, gate.tasks) == (20, 0.9, 4, ("s/2",))
    assert (gate.held_out, gate.quality, gate.home_seed) == ("rest", "none", ("7",))
    kept = json.loads(settings_of(config))
    assert not {"exchange", "key", "keyring"} & kept.keys()
    now = replace(CONFIG, exchange="/elsewhere", rank=5)
    again = with_settings(now, settings_of(config))
    assert again == replace(config, exchange="/elsewhere")
    checked = replace(
        CONFIG, quality="endpoint", judge_url="http://x", judge_model="m", answers="endpoint"
    ).to_gate(("a",), (), name="n", publish="p", in_use="u")
    assert (checked.quality_url, checked.quality_model, checked.judge) == ("http://x", "m", "endpoint")


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).parents[2] / "train" / "recipes").glob("nightly-*.yaml")),
    ids=lambda p: p.name,
)
def test_the_recipes_are_settings(path):
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    NightlyConfig(
        exchange="/x", key="k", **values | ({"home_seed": ("1",)} if values.get("judge") == "truth" else {})
    )


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "nightly.db")
    yield found
    found.close()


def take(ledger: Ledger, path: Path) -> None:
    with Bundle.open(path) as found:
        ledger.take(found, "f" * 64, path.name)


def test_tasks_come_once_and_feedback_makes_answers_known(ledger, tmp_path):
    said = [Feedback(1, 2, "wrong", "in the hall", "", 5), Feedback(2, 9, "wrong", None, "", 6)]
    take(ledger, day(tmp_path / "1", clips=3, questions=3, known=False, feedback=said))
    known = {task.uid: task.known for task in ledger.tasks("robot1")}
    assert known == {f"{STORE}/1": False, f"{STORE}/2": True, f"{STORE}/3": False}
    # Task 9 comes after what was said of it; tasks 2 and 3 come again.
    more = [Feedback(3, 2, "wrong", None, "", 7)]
    take(ledger, day(tmp_path / "2", clips=3, questions=8, sequence=2, first_id=2, feedback=more))
    found = ledger.tasks("robot1")
    assert len(found) == 9 and [t.sequence for t in found if t.uid.endswith("/2")] == [1]
    known = {task.uid.rpartition("/")[2]: task.known for task in found}
    assert not known["2"] and not known["9"] and not known["3"] and known["4"]
    # Another robot's tasks are its own, whatever ids it gives them.
    take(ledger, day(tmp_path / "3", clips=3, questions=3, robot="robot2"))
    assert len(ledger.tasks("robot2")) == 3 and len(ledger.tasks("robot1")) == 9


def test_feedback_alone_does_not_set_the_time(ledger, tmp_path):
    take(ledger, day(tmp_path / "1", clips=3, questions=3))
    said = [Feedback(1, 2, "wrong", "in the hall", "", 5)]
    about = {"clips": 3, "questions": 0, "contents": "memories", "sequence": 2, "feedback": said}
    take(ledger, day(tmp_path / "2", **about))
    with_time, alone = ledger.bundles("robot1")
    assert with_time.last_ns and alone.memories and alone.last_ns is None


def test_what_a_manifest_names_is_bounded_by_number_and_bytes():
    texts = [short("\u00fc" * 4000 + str(n)) for n in range(2000)]
    assert len(texts[0]) == 300 and texts[0].endswith("...") and short("Where?") == "Where?"
    questions = newest(texts, *MOST_QUESTIONS)
    few = newest([f"{n}?" for n in range(2000)], *MOST_QUESTIONS)
    assert len(few) == 1000 and few[-1] == "1999?" and few[0] == "1000?"
    uids = newest([f"{'s' * 64}/{n:019}" for n in range(20_000)], *MOST_TASKS)
    ids = newest([f"{n:064}" for n in range(20_000)], *MOST_BUNDLES)
    assert min(map(len, (questions, uids, ids))) > 100
    files = {name: FileEntry(4, "ab" * 32) for name in (CONFIG_FILE, WEIGHTS_FILE)}
    AdapterManifest(
        id="a", serial=1, base_model="m", base_revision="r", prompt_hash="p", kind="lora", layer=None,
        files=files, questions=questions, tasks=uids, bundles=ids, created_ns=1, key="0" * 16,
    ).to_bytes()  # fmt: skip


def test_tasks_with_the_numbers_of_others_are_told_of(ledger, tmp_path):
    """As when an older copy of the robot's database was put back."""
    take(ledger, day(tmp_path / "1", clips=3, questions=3))
    take(ledger, day(tmp_path / "2", clips=3, questions=4, sequence=2))  # three of them again
    assert not [row for row in ledger.unlogged() if row["decision"] == "lost tasks"]
    take(ledger, day(tmp_path / "3", clips=3, questions=5, sequence=3, first=40))
    (said,) = [row["reason"] for row in ledger.unlogged() if row["decision"] == "lost tasks"]
    assert said.startswith(f"4 tasks, {STORE}/1 for one,") and "older copy" in said
    assert len(ledger.tasks("robot1")) == 5


def test_a_run_is_fixed_before_it_begins_and_goes_on_under_its_name(ledger, tmp_path):
    take(ledger, day(tmp_path / "1", clips=3, questions=6))
    uids = [task.uid for task in ledger.tasks("robot1")]
    plan = Plan(("robot1",), ("f",), ("id",), tuple(uids[4:]), tuple(uids[:4]), 6, ("question",))
    run = ledger.plan(plan, "first", "{}")
    assert ledger.runs(OPEN) == [run] and (run.state, run.plan) == (PLANNED, plan)
    assert [task.fitted for task in ledger.tasks("robot1")] == [False] * 4 + [True] * 2
    assert all(task.used for task in ledger.tasks("robot1"))
    with pytest.raises(sqlite3.IntegrityError):
        ledger.plan(plan, "first", "{}")
    run = ledger.advance(ledger.advance(run, TRAINED), PASSED, adapter="a-1")
    assert ledger.runs(OPEN) == [run] and run.adapter == "a-1" and ledger.unreported() == []
    done = ledger.advance(run, DECLINED, reason="no better", decision="not published")
    assert ledger.runs(OPEN) == [] and ledger.unreported() == [done]
    ledger.reported([done], ledger.to_report())
    assert ledger.unreported() == ledger.to_report() == []


def test_a_run_that_fails_is_tried_again_so_often_and_no_more(ledger):
    run = ledger.plan(Plan(("r",), (), (), (), (), 5, ()), "x", "{}")
    for tries in (1, 2):
        run = ledger.failed(ledger.begin(run, 3), "no server", 3)
        assert (run.tries, run.state) == (tries, PLANNED) and ledger.runs(OPEN) == [run]
    run = ledger.put_off(ledger.begin(run, 3))
    assert run.tries == 2  # nobody's fault
    assert ledger.failed(ledger.begin(run, 3), "no server", 3).state == FAILED and ledger.runs(OPEN) == []
    said = [row["decision"] for row in ledger.unlogged()]
    assert said == ["train", *["failed, tried again in the next pass"] * 2, "failed, given up"]


def test_the_log_has_each_decision_once_whenever_it_was_cut_off(ledger, tmp_path, monkeypatch):
    log = tmp_path / "decisions.log"
    for _ in range(3):
        ledger.decide("r", "wait", "too\nfew", once=True)
    ledger.decide("r", "wait", "fewer", once=True)
    with monkeypatch.context() as patch:  # ended between the file and the ledger
        patch.setattr(ledger, "logged", lambda ids: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_log(ledger, log)
    ledger.decide("s", "wait", "few")
    write_log(ledger, log)
    write_log(ledger, log)
    lines = log.read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["r wait: too few", "r wait: fewer", "s wait: few"]
    assert all(line[4] == "-" and line.split(" ")[0].endswith("Z") for line in lines)


def test_a_database_of_another_version_is_left_alone(tmp_path):
    Ledger(tmp_path / "n.db").close()
    with sqlite3.connect(tmp_path / "n.db") as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(ValueError, match="has version 9 and this taskmem reads 1"):
        Ledger(tmp_path / "n.db")
