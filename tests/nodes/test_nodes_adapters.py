"""What becomes of an adapter on the robot: real store, real engine and model, real packages; no ROS."""

from __future__ import annotations

import logging
import random
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "policy"))

from steer_packages import HARMLESS, RUINOUS, Workshop
from tiny_models import TAUGHT, make_clip, make_folder, teach

from taskmem_ros.clips import ClipQueue
from taskmem_ros.memory import Store, StoreError
from taskmem_ros.memory.ring import ClipRing
from taskmem_ros.nodes import adapter_in_use, adapter_keeper
from taskmem_ros.nodes.adapter_in_use import AdapterSettings, Refused
from taskmem_ros.nodes.adapter_keeper import AdapterKeeper
from taskmem_ros.policy import Engine, MemoryPolicy, slot

PATIENCE_S = 60


@pytest.fixture(scope="session")
def taught(tmp_path_factory) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("taught") / "model")
    teach(folder)
    return folder


@pytest.fixture(scope="session")
def policy(taught) -> MemoryPolicy:
    return MemoryPolicy.load(str(taught), device="cpu")


class Robot:
    """The parts of an agent that adapters concern; `start` and `stop` as often as one likes."""

    def __init__(self, folder: Path, policy: MemoryPolicy, **settings):
        self.policy, self.drafts = policy, []
        self.store = Store.open(folder / "robot" / "memory.db")
        self.ring = ClipRing(self.store, 100_000_000)
        self.workshop = Workshop(folder, str(policy.checkpoint.name), policy.provenance.revision)
        self.settings = {"trial_clips": 3, "watch_clips": 5, "max_new_tokens": 60} | settings
        self._clips = 0
        self.keeper: AdapterKeeper = None
        self.running = False

    def start(self, **settings) -> Robot:
        self.configure(**settings)
        self.activate()
        return self

    def configure(self, **settings) -> None:
        self.policy.set_adapter(None)
        self.engine = Engine(self.policy, ClipQueue(100), self._on_memory, max_new_tokens=60)
        self.keeper = AdapterKeeper(
            self.store, self.policy, self.engine, self.ring,
            AdapterSettings(keyring=self.workshop.keyring, **self.settings | settings),
            lambda: None, lambda work: work(),
        )  # fmt: skip
        self.keeper.start_up()

    def activate(self) -> None:
        self.keeper.settle()
        self.engine.start()
        self.keeper.open()
        self.running = True

    def stop(self) -> None:
        if self.running:
            self.keeper.close()
            self.engine.stop()
            self.keeper.end()
        self.running = False

    def kill(self) -> None:
        """As kill -9 leaves it: nothing is said to the store any more."""
        self.keeper._store = _Deaf()
        self.stop()

    def see(self, count: int = 1) -> None:
        """Watch clips, one after the other."""
        for _ in range(count):
            wanted = len(self.drafts) + 1
            self.engine.submit_clip(make_clip(self._clips))
            self._clips += 1
            until(lambda wanted=wanted: len(self.drafts) >= wanted, "the clip is memorized")

    def stage(self, scale: float = HARMLESS, **manifest) -> str:
        folder = self.workshop.make(self.store.path.parent / "adapters", scale, **manifest)
        self.store.add_adapter((folder / "manifest.json").read_bytes(), folder)
        return folder.name

    def state(self, id: str) -> tuple[str, str]:
        row = self.store.adapter(id)
        return row.state, row.reason

    def until_state(self, id: str, state: str) -> None:
        until(lambda: self.state(id)[0] == state, f"{id} is {state}: {self.keeper.health}")

    def taken_over(self, scale: float = HARMLESS) -> str:
        """One that came and is watched."""
        id = self.stage(scale)
        self.keeper.try_adapter(id)
        self.until_state(id, "watched")
        until(lambda: self.keeper.health.phase == "watch", "it is watched")
        return id

    def proven(self) -> str:
        id = self.taken_over()
        self.see(self.settings["watch_clips"])
        self.until_state(id, "good")
        return id

    def _on_memory(self, clip, draft):
        by = self.policy.provenance
        if draft.text is None:
            self.store.add_failure(clip.camera, 0, clip.start_ns, clip.end_ns, raw="", error="x", **vars(by))
        else:
            self.store.add_memory(clip.camera, 0, clip.start_ns, clip.end_ns, draft.text, **vars(by))
        self.ring.add(clip)
        self.drafts.append((clip, draft, by.adapter))
        self.keeper.wrote(draft.text)


class _Deaf:
    def __getattr__(self, name):
        raise StoreError("killed")


def until(condition, what: str):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


@pytest.fixture
def robot(tmp_path, policy):
    robots = []

    def make(**settings) -> Robot:
        robots.append(Robot(tmp_path, policy, **settings))
        return robots[-1].start()

    yield make
    for one in robots:
        one.stop()
        one.store.close()
    policy.set_adapter(None)


def test_a_good_adapter_is_tried_taken_over_watched_and_proves_itself(robot):
    robot = robot()
    robot.see(3)
    id = robot.stage()
    assert robot.keeper.health.in_use == "" and "begun" in robot.keeper.try_adapter(id)
    robot.until_state(id, "watched")
    robot.see(4)
    assert robot.state(id)[0] == "watched" and robot.keeper.health.watched[1] == 5
    robot.see(1)
    robot.until_state(id, "good")
    use = robot.store.adapter_use()
    assert (use.in_use, use.previous, use.serial) == (id, "", 1)
    assert [adapter for _, _, adapter in robot.drafts] == [""] * 3 + [id] * 5
    assert {memory.adapter for memory in robot.store.memories()} == {"", id}
    events = [event.event for event in reversed(robot.store.adapter_events(id))]
    assert events == ["staged", "trial", "taken_over", "good"]
    assert "proved itself over 5 clips" in robot.keeper.health.message


def test_one_that_ruins_memories_is_refused_by_its_trial_and_never_tried_again(robot):
    robot = robot()
    robot.see(3)
    id = robot.stage(RUINOUS)
    robot.keeper.try_adapter(id)
    robot.until_state(id, "refused")
    assert "no memory of 3 of 3 clips" in robot.state(id)[1]
    assert robot.policy.adapter_id == "" and robot.store.adapter_use().serial == 0
    with pytest.raises(Refused, match="refused before .*a person may activate"):
        robot.keeper.try_adapter(id)
    robot.see(1)
    assert robot.drafts[-1][1].text == TAUGHT


def test_a_trial_waits_until_enough_clips_are_kept_and_says_so(robot):
    robot = robot()
    robot.see(1)
    id = robot.stage()
    robot.keeper.try_adapter(id)
    until(
        lambda: "until 3 clips are kept, 1 are now" in robot.keeper.health.message,
        "it says what it waits for",
    )
    assert (robot.keeper.health.phase, robot.keeper.health.candidate) == ("trial", id)
    robot.see(2)
    robot.until_state(id, "watched")


def test_without_trial_and_watch_it_is_taken_over_at_once(robot):
    robot = robot(trial_clips=0, watch_clips=0)
    id = robot.stage()
    robot.keeper.try_adapter(id)
    robot.until_state(id, "good")
    until(lambda: robot.policy.adapter_id == id, "it is in use")


def test_one_that_fails_on_probation_is_given_up_for_good(robot):
    robot = robot(trial_clips=0, watch_clips=30)
    good = robot.stage()
    robot.keeper.activate(good)
    robot.see(25)
    id = robot.taken_over(RUINOUS)
    while robot.state(id)[0] == "watched":
        robot.see(1)
    assert len(robot.drafts) < 40
    assert robot.state(id)[0] == "rolled_back" and "clips failed (before: 0 of 25)" in robot.state(id)[1]
    until(lambda: robot.policy.adapter_id == good, "the one before is in use")
    robot.see(1)
    assert robot.drafts[-1][1].text == TAUGHT and robot.drafts[-1][2] == good
    assert "given up" in robot.keeper.health.problem
    with pytest.raises(Refused, match="rolled back before"):
        robot.keeper.try_adapter(id)
    again = robot.stage(serial=robot.store.adapter_use().serial)
    assert again != id
    with pytest.raises(Refused, match="an old one does not come back by itself"):
        robot.keeper.try_adapter(again)
    assert robot.state(again)[0] == "refused"


def test_no_clip_is_lost_or_written_by_another_while_adapters_are_tried(robot):
    """Clips in a stream while trial, take-over and rollback go on: each has one memory, in order."""
    robot, dice = robot(trial_clips=3, watch_clips=0), random.Random(3)
    robot.see(3)
    first, second = robot.stage(), robot.stage()
    sent = 0
    for id in (first, second):
        robot.keeper.try_adapter(id)
        while robot.state(id)[0] != "good":
            robot.engine.submit_clip(make_clip(100 + sent))
            sent += 1
            until(lambda sent=sent: len(robot.drafts) == 3 + sent, "the clip is memorized")
            time.sleep(dice.uniform(0.0, 0.1))  # the next one comes in the middle of something
    robot.keeper.roll_back()
    until(lambda: len(robot.drafts) == 3 + sent, "all are memorized")
    starts = [clip.start_ns for clip, _, _ in robot.drafts[3:]]
    assert starts == [make_clip(100 + number).start_ns for number in range(sent)] and sent >= 2
    by = [adapter for _, _, adapter in robot.drafts]
    assert by == sorted(by, key=["", first, second].index), "by the one in use, each time"


def test_a_person_activates_rolls_back_pins(robot):
    robot = robot()
    robot.see(3)
    old, new = robot.proven(), robot.stage(RUINOUS)
    assert "as a person wished" in robot.keeper.activate(new) and robot.policy.adapter_id == new
    robot.see(10)
    assert robot.state(new)[0] == "good", "a person's choice is not watched"
    robot.keeper.pin(True)
    third = robot.stage()
    for command in (
        lambda: robot.keeper.try_adapter(third),
        robot.keeper.roll_back,
        lambda: robot.keeper.activate(""),
    ):
        with pytest.raises(Refused, match="pinned"):
            command()
    assert robot.state(third)[0] == "staged"
    robot.keeper.pin(False)
    assert f"adapter {old} is in use" in robot.keeper.roll_back() and robot.policy.adapter_id == old
    assert robot.state(new) == ("rolled_back", "a person rolled it back")
    robot.keeper.activate("")
    assert robot.policy.adapter_id == ""
    with pytest.raises(Refused, match="nothing before it"):
        robot.keeper.roll_back()
    with pytest.raises(Refused, match="no adapter 'x'"):
        robot.keeper.activate("x")
    robot.keeper.activate(new)  # even one that was given up


def test_what_cannot_be_verified_or_fits_no_more_is_refused(robot):
    robot = robot()
    other_base = robot.stage(revision="f" * 12)
    with pytest.raises(Refused, match="for the base model"):
        robot.keeper.try_adapter(other_base)
    assert robot.state(other_base)[0] == "refused"
    changed = robot.stage()
    flip(robot.store.adapter(changed).folder / "adapter_model.safetensors")
    for command in (robot.keeper.try_adapter, robot.keeper.activate):
        with pytest.raises(Refused, match="is refused|cannot be used"):
            command(changed)
    robot.workshop.keyring.rename(robot.workshop.keyring.with_suffix(".away"))
    with pytest.raises(Refused, match="cannot be verified: there is no"):
        robot.keeper.try_adapter(robot.stage())
    assert robot.store.adapters()[-1].state == "staged", "nothing is known against it"
    assert robot.policy.adapter_id == "" and robot.store.adapter_use().in_use == ""


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_a_restart_comes_up_with_the_last_good_one(robot):
    robot = robot()
    robot.see(3)
    id = robot.proven()
    robot.kill()
    robot.start()
    assert robot.policy.adapter_id == id and robot.keeper.health.problem == ""
    assert robot.keeper.health.message == f"adapter {id} is in use"


@pytest.mark.parametrize("harm", ["missing", "changed", "revoked"])
def test_one_that_cannot_be_had_any_more_gives_way_to_the_one_before_and_at_last_to_none(robot, harm, caplog):
    robot = robot()
    robot.see(3)
    first, second = robot.proven(), robot.proven()
    robot.kill()
    if harm == "revoked":
        line = robot.workshop.keyring.read_text()
        robot.workshop.keyring.write_text(f"revoked {line}")
    else:
        harmed(robot, second, harm)
    with caplog.at_level(logging.WARNING):
        robot.start()
    left = "" if harm == "revoked" else first
    assert robot.policy.adapter_id == left and robot.store.adapter_use().in_use == left
    assert robot.state(second)[0] == "refused" and second in caplog.text
    assert second in robot.keeper.health.problem or first in robot.keeper.health.problem
    robot.kill()
    if harm != "revoked":
        harmed(robot, first, harm)
    robot.start()
    assert robot.policy.adapter_id == "" and robot.state(first)[0] == "refused"
    robot.see(1)
    assert robot.drafts[-1][1].text == TAUGHT


def harmed(robot: Robot, id: str, harm: str) -> None:
    folder = robot.store.adapter(id).folder
    shutil.rmtree(folder) if harm == "missing" else flip(folder / "adapter_model.safetensors")


def test_without_its_keyring_the_bare_model_is_used_and_nothing_is_forgotten(robot):
    robot = robot()
    robot.see(3)
    id = robot.proven()
    robot.stop()
    away = robot.workshop.keyring.rename(robot.workshop.keyring.with_suffix(".away"))
    robot.start()
    assert robot.policy.adapter_id == "" and robot.state(id)[0] == "good"
    assert "cannot be had now" in robot.keeper.health.problem
    robot.stop()
    away.rename(robot.workshop.keyring)
    robot.start()
    assert robot.policy.adapter_id == id


@pytest.mark.parametrize("state", ["good", "watched"])
def test_what_could_not_be_had_is_had_as_soon_as_it_can_be(robot, state, monkeypatch, caplog):
    robot = robot(trial_clips=0)
    id = robot.proven() if state == "good" else robot.taken_over()
    robot.stop()
    away = robot.workshop.keyring.rename(robot.workshop.keyring.with_suffix(".away"))
    robot.start()
    why = robot.keeper.health.problem
    with monkeypatch.context() as patched, caplog.at_level(logging.INFO):
        patched.setattr(adapter_keeper, "MISSING_S", 0.0)
        caplog.clear()
        for _ in range(3):
            robot.keeper.tick()
        assert robot.policy.adapter_id == "" and robot.keeper.health.problem == why
        assert "cannot be had now" in why and not caplog.records, "it was said before"
    away.rename(robot.workshop.keyring)
    robot.keeper.tick()
    assert robot.policy.adapter_id == "", "it is looked for now and then"
    monkeypatch.setattr(adapter_keeper, "MISSING_S", 0.0)
    robot.keeper.tick()
    health = robot.keeper.health
    assert (robot.policy.adapter_id, health.problem, robot.state(id)[0]) == (id, "", state)
    assert health.phase == ("steady" if state == "good" else "watch")
    assert health.message == f"adapter {id} could be had again and is in use"
    robot.see(1)
    assert robot.drafts[-1][2] == id


def test_that_there_is_no_room_yet_is_said_once(robot, monkeypatch, caplog):
    robot = robot(trial_clips=0)
    id, tries = robot.proven(), []
    robot.stop()

    def full(*_, **__):
        tries.append(1)
        raise torch.OutOfMemoryError(f"CUDA out of memory. {len(tries)} MiB is free.")

    monkeypatch.setattr(slot, "_allocate", full)
    robot.start()
    robot.keeper.tick()
    assert f"adapter {id} cannot be had now" in robot.keeper.health.problem and len(tries) == 2
    monkeypatch.setattr(adapter_keeper, "MISSING_S", 0.0)
    with caplog.at_level(logging.INFO):
        caplog.clear()
        robot.keeper.tick()
        robot.keeper.tick()
    assert len(tries) == 4 and not caplog.records


def test_what_is_missing_is_not_looked_for_in_a_trial(robot, monkeypatch):
    robot = robot()
    id = robot.stage()
    robot.keeper.activate(id)
    robot.stop()
    line = robot.workshop.keyring.read_text()
    robot.workshop.keyring.unlink()
    robot.start()
    robot.workshop.keyring.write_text(line)
    other = robot.stage()
    robot.keeper.try_adapter(other)  # waits for clips
    monkeypatch.setattr(adapter_keeper, "MISSING_S", 0.0)
    robot.keeper.tick()
    assert robot.policy.adapter_id == "" and robot.keeper.health.candidate == other


def test_without_room_for_it_nothing_is_held_against_an_adapter(robot, monkeypatch):
    robot = robot()
    robot.see(3)
    proven, tried = robot.proven(), robot.stage()

    with monkeypatch.context() as patched:
        patched.setattr(slot, "_allocate", full)
        robot.keeper.try_adapter(tried)
        until(lambda: not robot.keeper.health.candidate, "its trial has ended")
        assert robot.state(tried)[0] == "staged"
        assert "cannot be tried now: there is no memory left" in robot.keeper.health.message
        with pytest.raises(Refused, match="no memory left .* take a smaller model"):
            robot.keeper.activate(tried)
        robot.stop()
        robot.start()
        assert robot.policy.adapter_id == "" and robot.state(proven)[0] == "good"
        assert "no memory left" in robot.keeper.health.problem
    robot.stop()
    robot.start()
    assert robot.policy.adapter_id == proven and robot.state(tried)[0] == "staged"
    robot.keeper.try_adapter(tried)
    robot.until_state(tried, "watched")


def test_what_finds_no_room_is_not_tried_again_at_once(robot, monkeypatch):
    """taskmem_sync offers what is staged as soon as no trial goes on."""
    robot = robot(trial_clips=0)
    id = robot.stage()
    with monkeypatch.context() as patched:
        patched.setattr(slot, "_allocate", full)
        robot.keeper.try_adapter(id)
        until(lambda: not robot.keeper.health.candidate, "its trial has ended")
        with pytest.raises(Refused, match="a moment ago .*no memory left.* again 10 minutes after"):
            robot.keeper.try_adapter(id)
    assert [event.event for event in robot.store.adapter_events(id)] == ["staged", "trial", "staged"]
    monkeypatch.setattr(adapter_keeper, "AGAIN_S", 0.0)
    robot.keeper.try_adapter(id)
    robot.until_state(id, "watched")


def test_a_trial_that_runs_out_of_memory_is_no_verdict(robot, monkeypatch):
    robot = robot()
    robot.see(3)
    id = robot.stage()
    with monkeypatch.context() as patched:
        patched.setattr(robot.policy, "try_adapter", full)
        robot.keeper.try_adapter(id)
        until(lambda: not robot.keeper.health.candidate, "its trial has ended")
    state, reason = robot.state(id)
    assert state == "staged" and "no memory left for the trial" in reason


def test_without_memory_to_read_it_an_adapter_is_not_tried(robot, monkeypatch):
    robot = robot()
    id = robot.stage()

    def gone(*_, **__):
        raise MemoryError

    monkeypatch.setattr(adapter_in_use, "verify", gone)
    for command in (robot.keeper.try_adapter, robot.keeper.activate):
        with pytest.raises(Refused, match="no memory left"):
            command(id)
    assert robot.state(id)[0] == "staged"


def full(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_another_base_model_puts_the_adapter_aside_and_the_old_one_finds_it_again(robot):
    robot = robot()
    robot.see(3)
    id = robot.proven()
    robot.stop()
    robot.store.set_base("another", "e" * 12)
    robot.store.set_base("another", "d" * 12)
    robot.start()
    assert robot.policy.adapter_id == id and robot.store.adapter_use().serial == 1
    robot.stop()
    robot.store.set_base("another", "e" * 12)
    assert robot.store.adapter_use().in_use == ""


def test_probation_begins_anew_after_a_restart_and_the_third_start_is_one_too_many(robot):
    robot = robot(trial_clips=0)
    id = robot.taken_over()
    robot.see(3)
    for _ in range(2):
        robot.kill()
        robot.start()
        assert robot.keeper.health.phase == "watch" and robot.policy.adapter_id == id
        robot.see(4)
        assert robot.state(id)[0] == "watched"
    robot.kill()
    robot.start()
    assert robot.state(id)[0] == "rolled_back" and robot.policy.adapter_id == ""
    assert "ended 3 times" in robot.keeper.health.problem


def test_one_that_proves_itself_after_a_restart_is_good(robot):
    robot = robot(trial_clips=0)
    id = robot.taken_over()
    robot.kill()
    robot.start()
    robot.see(5)
    robot.until_state(id, "good")


def test_a_trial_that_was_cut_off_goes_on_and_one_that_ends_the_agent_is_refused(robot):
    robot = robot()
    id = robot.stage()
    robot.keeper.try_adapter(id)  # waits for clips
    for _ in range(5):
        robot.stop()  # in good order, as often as one likes
        robot.start()
        assert robot.keeper.health.candidate == id
    for _ in range(2):
        robot.kill()
        robot.start()
        assert robot.keeper.health.candidate == id
    robot.kill()
    robot.start()
    assert robot.keeper.health.candidate == "" and robot.state(id)[0] == "refused"
    assert "3 times in the middle of its trial" in robot.state(id)[1]


def test_the_agent_that_was_deactivated_in_a_trial_goes_on_with_it(robot):
    robot = robot()
    id = robot.stage()
    robot.keeper.try_adapter(id)
    robot.stop()
    robot.activate()
    robot.see(3)
    robot.until_state(id, "watched")


def test_a_newer_one_takes_the_place_of_one_on_trial_and_a_watched_one_is_let_be(robot):
    robot = robot()
    first, second, third = robot.stage(), robot.stage(), robot.stage()
    robot.keeper.try_adapter(first)
    assert "already" in robot.keeper.try_adapter(first)
    robot.keeper.try_adapter(second)
    assert robot.state(first)[0] == "staged" and robot.keeper.health.candidate == second
    robot.see(3)
    robot.until_state(second, "watched")
    until(lambda: robot.keeper.health.phase == "watch", "watched")
    with pytest.raises(Refused, match="being watched"):
        robot.keeper.try_adapter(third)
    with pytest.raises(Refused, match="in use already"):
        robot.keeper.try_adapter(second)


def test_set_by_hand_it_stays(robot, tmp_path):
    robot = robot()
    robot.stop()
    robot.start(by_hand=str(tmp_path))
    id = robot.stage()
    for command in (
        lambda: robot.keeper.try_adapter(id),
        lambda: robot.keeper.activate(id),
        robot.keeper.roll_back,
    ):
        with pytest.raises(Refused, match="set by hand"):
            command()
    assert "set by hand" in robot.keeper.health.message and robot.store.adapter_use().base_revision


def test_what_another_program_writes_is_followed(robot):
    robot = robot(trial_clips=0)
    first = robot.taken_over()
    second = robot.stage()
    robot.keeper.tick()
    assert robot.keeper.health.phase == "watch"
    robot.store.activate_adapter(second)
    robot.keeper.tick()
    assert robot.policy.adapter_id == second and robot.keeper.health.phase == "steady"
    assert "written into the database" in robot.keeper.health.message
    assert robot.state(first)[0] == "staged"
    robot.store.pin_adapter(True)
    robot.keeper.tick()
    assert robot.keeper.health.use.pinned and robot.policy.adapter_id == second
    flip(robot.store.adapter(first).folder / "adapter_model.safetensors")
    robot.store.activate_adapter(first)
    robot.keeper.tick()
    assert robot.policy.adapter_id == second and robot.state(first)[0] == "refused"


def test_a_rollback_that_the_store_does_not_take_is_done_and_written_later(robot):
    robot = robot(trial_clips=0, watch_clips=30)
    good = robot.stage()
    robot.keeper.activate(good)
    robot.see(25)
    id = robot.taken_over(RUINOUS)
    robot.keeper._store = _Locked(robot.store, "roll_back")
    while robot.policy.adapter_id == id:
        robot.see(1)
    assert robot.policy.adapter_id == good and robot.state(id)[0] == "watched"
    until(lambda: "the store could not take that yet" in robot.keeper.health.problem, "it says so")
    assert f"adapter {good} is in use" in robot.keeper.health.problem
    robot.keeper._store = robot.store
    robot.keeper.tick()
    robot.until_state(id, "rolled_back")
    assert robot.policy.adapter_id == good


class _Locked:
    """The store while another program holds it: it does all but what is named."""

    def __init__(self, store, *refused):
        self._store, self._refused = store, refused

    def __getattr__(self, name):
        if name in self._refused:
            raise StoreError("locked by another program")
        return getattr(self._store, name)


def test_what_a_trial_came_to_is_done_when_the_store_takes_it(robot):
    robot = robot()
    id = robot.stage()
    robot.keeper.try_adapter(id)
    robot.keeper._store = _Locked(robot.store, "take_over")
    robot.see(3)
    until(lambda: "not stored yet" in robot.keeper.health.message, "it says so")
    assert (robot.keeper.health.candidate, robot.policy.adapter_id) == (id, "")
    robot.keeper._store = robot.store
    robot.until_state(id, "watched")


def test_one_that_proved_itself_is_good_when_the_store_takes_it(robot):
    robot = robot(trial_clips=0)
    id = robot.taken_over()
    robot.keeper._store = _Locked(robot.store, "set_adapter_state")
    robot.see(5)
    until(lambda: robot.keeper.health.problem, "it says so")
    robot.keeper._store = robot.store
    robot.see(1)
    robot.until_state(id, "good")
    until(lambda: robot.keeper.health.phase == "steady", "the watch has ended")
    assert not robot.keeper.health.problem


def test_a_store_that_cannot_be_read_for_a_while_is_no_lasting_problem(robot):
    robot = robot()
    robot.keeper._store = _Locked(robot.store, "adapter_use")
    robot.keeper.tick()
    assert "locked" in robot.keeper.health.problem
    robot.keeper._store = robot.store
    robot.keeper.tick()
    assert robot.keeper.health.problem == ""


def test_one_on_trial_that_a_person_activates_in_the_database_stays_good(robot):
    robot = robot()
    id = robot.stage()
    robot.keeper.try_adapter(id)  # waits for clips
    robot.store.activate_adapter(id)
    robot.keeper.tick()
    assert robot.policy.adapter_id == id and robot.state(id)[0] == "good"
    assert robot.keeper.health.phase == "steady"


def test_a_pin_in_the_database_counts_from_the_moment_it_is_there(robot):
    """Nobody looked into the database between the pin and the trial's end."""
    robot = robot()
    id = robot.stage()
    robot.keeper.try_adapter(id)
    robot.store.pin_adapter(True)
    robot.see(3)
    robot.until_state(id, "staged")
    assert robot.policy.adapter_id == "" and robot.keeper.health.use.pinned


def test_a_trial_goes_on_after_a_restart_only_where_it_might_begin(robot):
    robot = robot()
    id = robot.stage()
    robot.keeper.try_adapter(id)
    robot.stop()
    robot.store.pin_adapter(True)
    robot.start()
    assert robot.keeper.health.phase == "steady"
    assert robot.state(id) == ("staged", "the bare model is pinned")
    robot.keeper.pin(False)
    robot.keeper.try_adapter(id)
    robot.stop()
    newer = robot.stage()
    robot.store.take_over(newer)
    robot.store.set_adapter_state(newer, "good")
    robot.start()
    assert robot.keeper.health.phase == "steady" and robot.policy.adapter_id == newer
    assert robot.state(id)[0] == "staged" and "serial 2 was taken over" in robot.state(id)[1]


def test_one_on_watch_that_a_person_activates_in_the_database_is_let_be(robot):
    robot = robot(trial_clips=0, watch_clips=30)
    robot.see(25)
    id = robot.taken_over(RUINOUS)
    robot.store.activate_adapter(id)  # it is in use already
    robot.see(15)
    assert robot.policy.adapter_id == id and robot.state(id)[0] == "good"
    assert robot.keeper.health.phase == "steady"


def test_what_a_person_chose_in_the_database_is_not_given_up_for_what_was_watched(robot):
    """Nobody looked into the database between the choice and the end of the watch."""
    robot = robot(trial_clips=0, watch_clips=30)
    chosen = robot.stage()
    robot.see(25)
    id = robot.taken_over(RUINOUS)
    robot.store.activate_adapter(chosen)
    while robot.policy.adapter_id == id:
        robot.see(1)
    assert robot.policy.adapter_id == chosen
    assert robot.state(chosen)[0] == "good" and robot.state(id)[0] == "staged"


def test_ends_in_good_order_say_nothing_against_one_on_probation(robot):
    robot = robot(trial_clips=0)
    id = robot.taken_over()
    for _ in range(4):
        robot.stop()
        robot.start()
    assert robot.state(id)[0] == "watched" and robot.keeper.health.phase == "watch"


@pytest.mark.parametrize("end", ["active", "never active"])
def test_ends_in_good_order_are_forgiven_where_it_could_not_be_had(robot, end):
    robot = robot(trial_clips=0)
    id = robot.taken_over()
    robot.stop()
    away = robot.workshop.keyring.rename(robot.workshop.keyring.with_suffix(".away"))
    for _ in range(4):
        if end == "active":
            robot.start()
            assert robot.policy.adapter_id == "" and robot.keeper.health.phase == "steady"
            robot.stop()
        else:
            robot.configure()
            robot.keeper.end()
    away.rename(robot.workshop.keyring)
    robot.start()
    assert robot.state(id)[0] == "watched" and robot.keeper.health.phase == "watch"


def test_a_watch_ends_where_another_is_in_use_when_the_agent_is_active_again(robot):
    robot = robot(trial_clips=0)
    robot.taken_over()
    robot.stop()
    robot.store.activate_adapter("")
    robot.activate()
    assert (robot.keeper.health.in_use, robot.keeper.health.phase) == ("", "steady")
    robot.keeper.try_adapter(robot.stage())
