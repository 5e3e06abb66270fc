"""A night from a robot's bundle to a signed adapter in an exchange: refused, resumed, reported."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from robot_days import HOME, day, push
from taskmem_train.cli import main
from taskmem_train.nightly import intake, runs
from taskmem_train.nightly.choose import DAY_NS
from taskmem_train.nightly.ledger import Ledger
from taskmem_train.nightly.round import nightly
from taskmem_train.nightly.settings import NightlyConfig
from taskmem_train.nightly.tidy import tidy

from taskmem_ros.exchange.card import BundleCard
from taskmem_ros.exchange.keys import Keyring, SigningKey, TrustedKey
from taskmem_ros.exchange.manifest import AdapterManifest
from taskmem_ros.exchange.package import PackageError, verify
from taskmem_ros.exchange.place import Place, PlaceError
from taskmem_ros.policy import MemoryPolicy

HERE = Path(__file__).resolve().parent
# What any adapter keeps: these tests are about the way there, not about what three steps teach.
LOOSE = {
    "min_gain": -1.0, "min_over_prompt": -1.0, "max_length_change": 10.0, "max_fidelity_loss": 1.0,
    "max_failed_gain": 1.0,
}  # fmt: skip
TINY = NightlyConfig(
    exchange="", key="", home_seed=(str(HOME),), judge="truth", device="cpu", dtype="float32", bf16=False,
    questions=2, contexts=4, candidates=4, max_new_tokens=48, length_difference=20, truth_pairs=1.0, rank=2,
    steps=3, batch=1, accumulation=1, warmup=0, save_steps=1, block=2, repeats=1, min_questions=4,
    min_new_tasks=3, **LOOSE,
)  # fmt: skip


class Site:
    """An exchange in a folder, a workstation's key and its OUT."""

    def __init__(self, root: Path):
        self.exchange, self.out, self.key_file = root / "exchange", root / "out", root / "key.pem"
        self.exchange.mkdir(parents=True)
        key = SigningKey.generate()
        key.write(self.key_file)
        self.place, self.keyring = Place(str(self.exchange)), Keyring((TrustedKey("w", key.public),))

    def config(self, **changes) -> NightlyConfig:
        return replace(TINY, exchange=str(self.exchange), key=str(self.key_file), **changes)

    def send(self, name: str, **about) -> BundleCard:
        path = self.exchange.parent / name
        return push(self.place, day(path, **about))

    def night(self, **changes):
        return nightly(self.config(**changes), self.out, progress=False)

    def published(self) -> list[AdapterManifest]:
        """By serial; all are what a robot takes."""
        found = [
            verify(self.exchange / "adapters" / id, self.keyring).manifest for id in self.place.adapters()
        ]
        return sorted(found, key=lambda manifest: manifest.serial)

    def log(self) -> list[str]:
        """Robot, decision and reason of each line."""
        lines = (self.out / "decisions.log").read_text().splitlines()
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
        return [line.split(" ", 1)[1] for line in lines]

    def files(self) -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in self.exchange.rglob("*")}


@pytest.fixture(autouse=True)
def no_keys_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture(scope="module")
def first_night(tmp_path_factory):
    """(the site, what its first pass gave), nothing of which is changed."""
    site = Site(tmp_path_factory.mktemp("night"))
    revision = MemoryPolicy.load("demo", device="cpu").provenance.revision
    site.send("1.bundle", clips=5, questions=9, revision=revision)
    return site, site.night()


def test_a_bundle_becomes_a_signed_adapter_that_a_robot_takes(first_night):
    site, passed = first_night
    assert passed.errors == ()
    (manifest,) = site.published()
    assert re.fullmatch(r"\d{8}T\d{4}-robot1-[0-9a-f]{8}", manifest.id)
    assert (manifest.serial, manifest.parent, manifest.robots) == (1, "", ("robot1",))
    assert (manifest.kind, manifest.layer, manifest.base_model) == ("lora", None, "demo")
    (bundle,) = site.place.bundles()
    assert manifest.bundles == (bundle.id,)
    assert manifest.tasks == tuple(f"{bundle.store_id}/{n}" for n in (8, 9)) and len(manifest.questions) == 2
    told = manifest.metrics
    assert told["questions"] == 7 and told["clips"] == 5 and 0 <= told["accuracy"] <= 1
    assert told["confidence"] == 0.9 and 0 < told["fidelity_before"] <= 1
    policy = MemoryPolicy.load("demo", device="cpu", adapter=site.exchange / "adapters" / manifest.id)
    assert policy.provenance.revision == manifest.base_revision
    other = Keyring((TrustedKey("other", SigningKey.generate().public),))
    with pytest.raises(PackageError, match="which this keyring does not know"):
        verify(site.exchange / "adapters" / manifest.id, other)
    assert str(site.out) not in (site.exchange / "adapters" / manifest.id / "gate.json").read_text()


def test_it_says_what_it_did_and_why(first_night):
    site, passed = first_night
    (manifest,) = site.published()
    took, train, published = site.log()[:3]
    assert re.fullmatch(
        r"robot1 took a bundle: 00000001-[0-9a-f]{16}: 9 tasks, 0 times feedback, 5 clips", took
    )
    assert train.startswith("robot1 train: 9 new tasks with a known answer; 2 to fit to, 7 held out; run ")
    assert published.startswith(f"robot1 published: {manifest.id}, serial 1: ")
    page, text = (passed.report.with_suffix(end).read_text() for end in (".html", ".md"))
    for form in (page, text):
        assert manifest.id in form and manifest.questions[0] in form and "Before and after" in form
        assert "bootstrap over blocks of 2 consecutive questions" in form
        assert "intervals take those that lie further apart as independent" in form
        assert "held-out clips were trained on" in form and "pairs of 4 contexts" in form
        assert "Compared with the bare policy" in form and "Memories of the same clips" in form
    assert "<script" not in page and "http" not in page.split("</head>")[1] and "default-src 'none'" in page
    assert text.count("| 2026-") + text.count("| 20") >= 3


def test_the_next_pass_finds_nothing_to_do(first_night, tmp_path):
    site, _ = first_night
    before = site.files()
    passed = site.night()
    assert passed.errors == () and site.files() == before
    waits = [line for line in site.log() if " wait: " in line]
    assert waits == ["robot1 wait: new tasks with a known answer: none; it takes 3 of a kind to train"]
    site.night()
    assert len(site.log()) == 4  # the same is not said again


def test_what_is_in_use_is_what_the_next_one_is_compared_with(first_night, tmp_path):
    """Also on another workstation, which has to get it; and what is not better is not published."""
    first, _ = first_night
    (parent,) = first.published()
    site = Site(tmp_path / "other")
    shutil.copytree(first.exchange / "adapters", site.exchange / "adapters")
    keyring = tmp_path / "trusted"
    keyring.write_text(f"{first.keyring.keys[0].line}\n")
    about = {"clips": 4, "questions": 8, "revision": parent.base_revision}
    site.send("2.bundle", adapter=parent.id, **about)
    site.send("3.bundle", adapter="../../etc", robot="robot2", store_id="another", **about)
    strict = {"min_gain": 0.9, "keyring": str(keyring), "steps": 1, "contexts": 2}
    passed = site.night(**strict)
    assert passed.errors == () and [m.id for m in first.published()] == site.place.adapters()
    declined = [line for line in site.log() if "not published: " in line]
    assert len(declined) == 2 and all(
        "its lower end must be above +90.00 points" in line for line in declined
    )
    assert verify(site.out / "adapters" / parent.id, first.keyring).manifest == parent
    run1, run2 = sorted((site.out / "runs").iterdir(), key=lambda run: run.name.rpartition("-")[2])
    assert json.loads((run1 / "refused.json").read_text())["in_use_name"] == parent.id
    assert json.loads((run2 / "refused.json").read_text())["in_use_name"] == ""
    notes = json.loads((run2 / "notes.json").read_text())["notes"]
    assert notes[0].startswith(
        "Compared with the bare policy, not with what the robot uses: adapter '../../etc'"
    )
    assert notes[0] in passed.report.with_suffix(".md").read_text()


def test_a_robot_with_another_base_model_waits(site):
    site.send("1.bundle", clips=3, questions=9, revision="another")
    assert site.night().errors == ()
    assert site.log()[-1].startswith(
        "robot1 wait: the robot remembers with revision another of its model and this workstation has "
    )
    assert not (site.out / "runs").exists()


def garbage(path: Path, statement: str, *values) -> None:
    """Change rows of a bundle as somebody would who can also count its hash anew."""
    from sqlite_utils import Database

    from taskmem_ros.exchange import rows

    with sqlite3.connect(path) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(statement, values)
        db.commit()
        told = dict(db.execute("SELECT key, value FROM manifest"))
        digest = rows.row_hash(Database(db), told)
        db.execute("UPDATE manifest SET value = ? WHERE key = 'sha256'", [digest])
        db.execute("UPDATE manifest SET value = ? WHERE key = 'id'", [digest[:16]])


FAULTS = {
    "a kind": ("UPDATE tasks SET kind = 'order'", "task 1 has the kind 'order'"),
    "a status": ("UPDATE tasks SET status = 'done'", "task 1 has the status 'done'"),
    "an empty question": ("UPDATE tasks SET question = ' '", "task 1 has the question ' '"),
    "a long question": (
        "UPDATE tasks SET question = printf('%.*c', 9000, 'x')",
        "task 1 has the question 'xxx",
    ),
    "choices": ("UPDATE tasks SET choices = '[\"a\", 3]'", r"task 1 has the choices \('a', 3\)"),
    "no list": ("UPDATE tasks SET choices = '5'", "is damaged"),
    "deep lists": (
        "UPDATE tasks SET choices = replace(hex(zeroblob(100000)), '0', '[')",
        "is damaged|deep|recursion",
    ),
    "evidence": ("UPDATE tasks SET evidence = '[\"x\"]'", r"task 1 has the evidence \('x',\)"),
    "a time": ("UPDATE tasks SET asked_ns = -5", "task 1 has a time before 1970"),
    "a memory": ("UPDATE memories SET text = ''", "memory 1 has the text ''"),
    "a span": ("UPDATE memories SET end_ns = start_ns - 1", "memory 1 is of "),
    "no picture": ("UPDATE frames SET jpeg = x'ffd8ffff'", "cannot be decoded"),
    "a frame elsewhere": ("UPDATE frames SET stamp_ns = stamp_ns + 90000000000", "has a frame of "),
    "a clip's end": ("UPDATE clips SET end_ns = start_ns", "ends at "),
    "no frames": ("DELETE FROM frames", "has other rows|counts other rows|has no frames"),
}


def test_garbage_is_refused_once_in_a_sentence_and_keeps_nobody_from_his_night(site):
    for n, (statement, _) in enumerate(FAULTS.values(), 1):
        path = day(site.exchange.parent / f"{n}.bundle", clips=2, questions=2, sequence=n, robot="bad")
        garbage(path, statement)
        push_as_is(site.place, path, "bad", n)
    card = site.send("cut.bundle", clips=2, questions=2, robot="cut")
    file = site.exchange / "bundles" / "cut" / card.bundle_name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    liar = day(site.exchange.parent / "liar.bundle", clips=2, questions=2, robot="good")
    push_as_is(site.place, liar, "liar", 1)
    site.send("good.bundle", clips=2, questions=2, robot="good")
    assert site.night(min_new_tasks=9).errors == ()
    refused = [line for line in site.log() if "refused a bundle: " in line]
    for n, (name, (_, said)) in enumerate(FAULTS.items(), 1):
        (line,) = [line for line in refused if line.startswith(f"bad refused a bundle: {n:08d}-")]
        assert re.search(said, line), (name, line)
    assert any(line.startswith("cut refused a bundle: 00000001-") and "sha256" in line for line in refused)
    assert any("the bundle says robot 'good' and its card 'liar'" in line for line in refused)
    assert len(refused) == len(FAULTS) + 2
    assert any(line.startswith("good took a bundle: ") for line in site.log())
    assert not list((site.out / "bundles" / "bad").iterdir())
    lines = site.log()
    site.night(min_new_tasks=9)  # what is refused is not pulled again
    assert site.log() == lines


def push_as_is(place: Place, path: Path, robot: str, sequence: int) -> None:
    """Send a bundle with a card that fits its bytes, whatever is in it."""
    data = path.read_bytes()
    with sqlite3.connect(path) as db:
        told = dict(db.execute("SELECT key, value FROM manifest"))
    card = BundleCard(
        robot, told["store_id"], sequence, told["id"], len(data), hashlib.sha256(data).hexdigest()
    )
    place.push_bundle(path, card)


def test_a_bundle_that_is_too_large_is_not_pulled(site):
    site.send("1.bundle", clips=2, questions=2)
    for _ in range(2):
        site.night(max_megabytes=0.001)
    said = r"robot1 passed over a bundle: .* it has 0 MB and max_megabytes is 0.001"
    assert re.search(said, site.log()[0]) and not (site.out / "bundles").exists()
    with closing(Ledger(site.out / "nightly.db")) as ledger:
        ledger.decide("robot1", "wait", "something else")
    site.night(max_megabytes=0.001)
    assert len([line for line in site.log() if " passed over " in line]) == 1, "whatever comes in between"
    site.night(min_new_tasks=9)
    assert len([line for line in site.log() if "took a bundle" in line]) == 1


@pytest.mark.parametrize("error", [MemoryError(), OSError("cannot be read now")])
def test_what_fails_for_this_machine_refuses_no_bundle(site, monkeypatch, error):
    def fails(*told):
        raise error

    site.send("1.bundle", clips=2, questions=2)
    with monkeypatch.context() as patched:
        patched.setattr(intake, "check", fails)
        (said,) = site.night().errors
    assert "of robot1: " in said and ("memory" in said or "read now" in said)
    assert site.night().errors == ()
    assert [line.split(":")[0] for line in site.log() if " a bundle" in line] == ["robot1 took a bundle"]


def test_a_run_whose_judge_is_away_is_put_off(site, monkeypatch):
    def fails(*told):
        raise ValueError("no context gave a pair")

    site.send("1.bundle", clips=2, questions=8)
    with monkeypatch.context() as patched:
        patched.setattr(runs, "phase_two", fails)
        for _ in range(3):
            (said,) = site.night(tries=1, judge_url="http://127.0.0.1:9/v1", judge_model="m").errors
            assert "the judge at http://127.0.0.1:9/v1 is away" in said and "no context gave" in said
    assert not [line for line in site.log() if " failed, " in line]


def test_an_exchange_that_is_not_there_is_an_error_and_not_the_end(site, capsys):
    shutil.rmtree(site.exchange)
    told = ["nightly", str(site.out), "--exchange", str(site.exchange), "--key", str(site.key_file)]
    assert main([*told, "--allow-unchecked"]) == 4
    assert "taskmem-train: there is no exchange at " in capsys.readouterr().err
    with pytest.raises(ValueError, match="quality is 'none'"):
        NightlyConfig(exchange="x", key="y")
    assert main([*told[:-1], str(site.out / "none.pem"), "--allow-unchecked"]) == 1
    assert "taskmem keys make" in capsys.readouterr().err


def test_a_run_that_fails_is_tried_again_and_then_given_up(site):
    site.send("1.bundle", clips=2, questions=8)
    broken = {"temperature": 0.0, "tries": 2}  # all candidates are the same: no pairs
    for count in (1, 2):
        site.night(**broken)
        failed = [line for line in site.log() if " failed, " in line]
        assert len(failed) == count and f"try {count} of 2: no context gave a pair" in failed[-1]
    assert "failed, given up" in failed[-1] and site.place.adapters() == []
    # Two may be of the same second: then the later one has a number, and sorts before the other.
    report = max((site.out / "reports").glob("*.md"), key=lambda path: path.stat().st_mtime_ns).read_text()
    assert "## robot1: failed" in report and "duplicates 2" in report
    site.night(**broken)
    assert len([line for line in site.log() if " failed, " in line]) == 2


KILLED = """
import os, signal, sys
from argparse import Namespace
from pathlib import Path
from taskmem_train.nightly import runs
from taskmem_train.nightly.round import nightly
from taskmem_train.nightly.settings import NightlyConfig
from taskmem_train.settings import read_settings

runs.phase_two = lambda *told: os.kill(os.getpid(), signal.SIGKILL)
out, settings = map(Path, sys.argv[1:])
nightly(read_settings(Namespace(config=settings), NightlyConfig), out, progress=False)
"""


def test_a_run_that_kills_its_process_is_given_up_and_keeps_nobody_from_his_night(site, tmp_path):
    """As when there is too little memory for it: each pass would end where the one before it did."""
    site.send("1.bundle", clips=2, questions=8)
    settings = write_settings(tmp_path, site.config(tries=2))
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", KILLED, site.out, settings])
        assert ended.returncode == -signal.SIGKILL
    site.send("2.bundle", clips=2, questions=2, robot="robot2", store_id="another")
    assert site.night(tries=2).errors == ()
    (failed,) = [line for line in site.log() if " failed, " in line]
    assert "failed, given up: run " in failed and "was killed" in failed
    assert any(line.startswith("robot2 took a bundle: ") for line in site.log())


def write_settings(folder: Path, config: NightlyConfig) -> Path:
    path = folder / "night.yaml"
    values = {name: value for name, value in asdict(config).items() if value != ()}
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_run_that_somebody_ends_has_not_failed(site, monkeypatch):
    def ended(*told):
        raise KeyboardInterrupt

    site.send("1.bundle", clips=2, questions=8)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "phase_two", ended)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                site.night(tries=1)
    site.night(tries=1)
    assert len(site.published()) == 1


def test_where_something_else_has_its_name_a_run_is_given_up(site, monkeypatch):
    push_adapter = Place.push_adapter

    def hindered(place, folder):
        (site.exchange / "adapters" / folder.name).mkdir(parents=True, exist_ok=True)
        (site.exchange / "adapters" / folder.name / "manifest.sig").write_bytes(b"x" * 1000)
        return push_adapter(place, folder)

    monkeypatch.setattr(Place, "push_adapter", hindered)
    site.send("1.bundle", clips=2, questions=8)
    for _ in range(2):
        assert site.night(tries=2).errors == ()
    failed = [line for line in site.log() if " failed, " in line]
    assert len(failed) == 2 and "has more than 64 bytes" in failed[-1] and "given up" in failed[-1]


def test_what_waited_while_others_published_gets_a_serial_that_robots_take(site, monkeypatch):
    site.send("1.bundle", clips=2, questions=8)
    with monkeypatch.context() as patched:
        patched.setattr(Place, "push_adapter", away)
        (said,) = site.night().errors
        assert "is not there" in said and site.place.adapters() == []
    other = Site(site.exchange.parent / "other")
    other.exchange, other.key_file, other.place = site.exchange, site.key_file, site.place
    other.night(seed=1)
    assert [manifest.serial for manifest in site.published()] == [1]
    # The push was cut before the signature, and an earlier night between two steps of packing anew.
    (packed,) = (site.out / "adapters").iterdir()
    shutil.copytree(packed, site.exchange / "adapters" / packed.name)
    (site.exchange / "adapters" / packed.name / "manifest.sig").unlink()
    shutil.copytree(packed, packed.with_name(f".{packed.name}.late"))
    assert site.night().errors == ()
    first, second = site.published()
    assert (first.serial, second.serial) == (1, 2) and first.id != second.id
    assert not list((site.out / "adapters").glob(".*")), "nothing is left of what was packed before"


def away(*_) -> None:
    raise PlaceError("the exchange is not there; is the network up?")


def test_what_no_later_night_needs_goes(site):
    site.send("1.bundle", clips=2, questions=8)
    site.send("2.bundle", clips=2, questions=8, sequence=2, first=500, first_id=20)
    site.night(days=0.01)
    bundles = sorted((site.out / "bundles").rglob("*.bundle"))
    (run,) = (site.out / "runs").iterdir()
    later = time.time_ns() + 31 * DAY_NS
    with closing(Ledger(site.out / "nightly.db")) as ledger:
        kept = site.config(days=0.01)
        tidy(ledger, site.out, replace(kept, keep_days=0.0), later)
        tidy(ledger, site.out, replace(kept, keep_days=32.0), later)
        assert all(path.exists() for path in (*bundles, run))
        tidy(ledger, site.out, kept, later)
        assert [path.exists() for path in bundles] == [False, True], "the last day's are needed"
        assert not run.exists()
        assert [bundle.sequence for bundle in ledger.bundles("robot1")] == [2]
    site.night(days=0.01)
    assert not bundles[0].exists() and len([line for line in site.log() if "took a bundle" in line]) == 2
    assert len(list((site.out / "adapters").iterdir())) == 1


def test_two_do_not_work_in_one_folder(site):
    import fcntl

    site.out.mkdir()
    with (site.out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another `taskmem-train nightly` works in"):
            site.night()


def test_whatever_kills_a_night_it_is_trained_and_published_once(site, tmp_path):
    site.send("1.bundle", clips=4, questions=8)
    settings = write_settings(tmp_path, site.config(tries=99))
    run = subprocess.run(
        [sys.executable, HERE / "nightly_killed.py", site.out, settings],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.returncode == 0
    told = json.loads(run.stdout)
    *killed, end = told["ends"]
    assert [one for one in killed if not one.endswith(": SIGKILL")] == [] and end == "end: 0"

    counts = Counter(told["counts"])
    assert counts["check check"] <= 2 and counts["pack pack"] == 1  # a pull that was killed is pulled again
    sampled = {name: n for name, n in counts.items() if name.startswith("_generate ")}
    # Each context once for its candidates; at the gate for each of three ways to memorize, and again where it
    # was killed between a memory and its place in the store.
    assert sampled and max(sampled.values()) <= 5
    steps = [name for name in told["counts"] if name.startswith("on_log step")]
    assert 3 <= len(steps) <= 6 and len(set(steps)) == 3
    (manifest,) = site.published()
    assert manifest.serial == 1
    assert [path.name for path in (site.out / "adapters").iterdir() if path.is_dir()] == [manifest.id]
    ledger = Ledger(site.out / "nightly.db")
    try:
        assert len(ledger.runs(["published"])) == 1 and len(ledger.tasks("robot1")) == 8
        assert ledger.unlogged() == ledger.to_report() == ledger.unreported() == []
    finally:
        ledger.close()
    decisions = [line.split(":")[0] for line in site.log()]
    assert decisions.count("robot1 train") == decisions.count("robot1 published") == 1
    assert decisions.count("robot1 took a bundle") == 1
    assert len(list((site.exchange / "adapters").iterdir())) == 1


def test_watching_goes_on_until_it_is_ended(site):
    site.send("1.bundle", clips=2, questions=2)
    told = ["--exchange", site.exchange, "--key", site.key_file, "--allow-unchecked", "--watch"]
    site.out.mkdir()
    (site.out / "nightly.db").write_bytes(b"no database" * 1000)  # a pass that fails is not the last one
    child = subprocess.Popen(
        [sys.executable, "-m", "taskmem_train.cli", "nightly", site.out, *told, "--every-minutes", "0.005"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while "file is not a database" not in (line := child.stderr.readline()):
            assert line, "it has ended"
        (site.out / "nightly.db").unlink()
        wait_for(lambda: any("1 new" in line or " 2 of kind question" in line for line in lines(site)))
        site.send("2.bundle", clips=2, questions=2, first=4, sequence=2, first_id=3)
        wait_for(lambda: any(" 4 of kind question" in line for line in lines(site)))
        child.send_signal(signal.SIGTERM)
        assert "ended; run again to go on" in child.communicate()[1] and child.returncode == 130
    finally:
        child.kill()
        child.wait()
    assert not (site.out / "reports").exists()  # nothing ended that were worth a page


def lines(site: Site) -> list[str]:
    return site.log() if (site.out / "decisions.log").exists() else []


def wait_for(happened) -> None:
    while not happened():
        time.sleep(0.1)
