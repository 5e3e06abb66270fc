"""Adapters and the agent as a process: the service, the latched status, /diagnostics, kill -9, restarts."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from ros_helpers import RELIABLE, Camera
from steer_packages import HARMLESS, RUINOUS, Workshop
from taskmem.msg import AdapterStatus
from taskmem.srv import ManageAdapter

from taskmem_ros.memory import Store
from taskmem_ros.nodes import qos

TRY, ACTIVATE, ROLL_BACK, PIN, UNPIN = 1, 2, 3, 4, 5


class Desk:
    """An agent's desk, from outside, and adapters that come to its robot."""

    def __init__(self, ros, model: str, **parameters):
        self.ros, self.model = ros, model
        self.database = ros.folder / "robot" / "m.db"
        self.parameters = {"adapters.trial_clips": 2, "adapters.watch_clips": 4} | parameters
        self.workshop = None
        self.seconds = 1000
        self.heard = ros.listen(AdapterStatus, "adapter_status", qos.newest())
        self.memories = ros.memories()

    def start(self, **parameters):
        agent = self.ros.agent(
            model=self.model, database=self.database, **self.parameters | parameters, **RELIABLE,
            **{"adapters.keyring": self.ros.folder / "trusted_keys"},
        )  # fmt: skip
        self.heard.clear()
        self.ros.health.clear()
        self.ros.active()
        self.ros.wait(lambda: self.heard, "the status of adapters")
        self.workshop = self.workshop or Workshop(self.ros.folder, self.model, self.status.base_revision)
        self.camera = Camera(self.ros)
        return agent

    @property
    def status(self) -> AdapterStatus:
        return self.heard[-1]

    def stage(self, scale: float = HARMLESS, **manifest) -> str:
        folder = self.workshop.make(self.database.parent / "adapters", scale, **manifest)
        with Store.open(self.database) as store:
            store.add_adapter((folder / "manifest.json").read_bytes(), folder)
        return folder.name

    def manage(self, command: int, id: str = "", ok: bool = True) -> str:
        reply = self.ros.call(ManageAdapter, "manage_adapter", ManageAdapter.Request(command=command, id=id))
        assert reply.success == ok, reply.message
        assert reply.message
        return reply.message

    def state(self, id: str) -> str:
        with Store.open(self.database, read_only=True) as store:
            return store.adapter(id).state

    def until_state(self, id: str, state: str) -> None:
        self.ros.wait(lambda: self.state(id) == state, f"{id} {state}; the status is {self.status}")

    def see(self, clips: int) -> None:
        """Pictures of so many clips."""
        before = len(self.memories)
        self.camera.pass_time(self.seconds, self.seconds + 10 * clips + 3)
        self.seconds += 10 * clips + 20
        self.ros.wait(lambda: len(self.memories) >= before + clips, f"{clips} more memories")


def test_an_adapter_is_tried_taken_over_watched_and_a_restart_has_it(ros, demo_model):
    desk = Desk(ros, demo_model)
    agent = desk.start()
    assert (desk.status.phase, desk.status.adapter, desk.status.base_model) == (0, "", "demo")
    id, bad = desk.stage(), desk.stage(RUINOUS)
    assert "begun" in desk.manage(TRY, id)
    ros.wait(lambda: desk.status.phase == AdapterStatus.PHASE_TRIAL, "on trial")
    assert desk.status.candidate == id and desk.status.adapter == ""
    desk.see(2)
    ros.wait(lambda: desk.status.phase == AdapterStatus.PHASE_WATCH, "on watch")
    assert (desk.status.adapter, desk.status.previous, desk.status.candidate) == (id, "", "")
    ros.wait(lambda: ros.value("adapter", "phase") == "watch", "/diagnostics")
    assert ros.value("adapter", "in use") == id
    desk.see(4)
    desk.until_state(id, "good")
    assert desk.memories[-1].adapter == id and desk.memories[0].adapter == ""
    assert "refused" in desk.manage(TRY, bad) or desk.state(bad) == "trial"
    desk.until_state(bad, "refused")
    assert desk.status.adapter == id
    desk.manage(PIN)
    assert "pinned" in desk.manage(ROLL_BACK, ok=False)
    ros.wait(lambda: desk.status.pinned, "pinned")
    desk.manage(UNPIN)
    assert "no adapter 'nothing'" in desk.manage(ACTIVATE, "nothing", ok=False)
    assert "command is 9" in desk.manage(9, ok=False)
    agent.end(signal.SIGKILL)

    agent = desk.start()
    assert desk.status.adapter == id and desk.status.message == f"adapter {id} is in use"
    desk.manage(ROLL_BACK)
    ros.wait(lambda: desk.status.adapter == "", "back to the bare model")
    assert desk.state(id) == "rolled_back"
    assert "rolled back before" in desk.manage(TRY, id, ok=False)
    desk.see(1)
    assert desk.memories[-1].adapter == ""
    assert agent.end() == 0


@pytest.mark.parametrize("moment", ["trial", "watch", "rollback"])
def test_kill_9_in_the_middle(ros, demo_model, moment):
    """The next start goes on with it, and remembers with the right adapter."""
    desk = Desk(ros, demo_model)
    agent = desk.start()
    id = desk.stage()
    desk.manage(TRY, id)
    if moment == "trial":
        agent.end(signal.SIGKILL)
        desk.start()
        ros.wait(lambda: desk.status.candidate == id, "the trial goes on")
        desk.see(2)
        desk.until_state(id, "watched")
        desk.see(4)
        desk.until_state(id, "good")
        return
    desk.see(2)
    desk.until_state(id, "watched")
    if moment == "rollback":
        request = ManageAdapter.Request(command=ROLL_BACK)
        ros.call_async(ManageAdapter, "manage_adapter", request)
        desk.until_state(id, "rolled_back")
    agent.end(signal.SIGKILL)
    desk.start()
    if moment == "rollback":
        assert desk.status.adapter == "" and desk.state(id) == "rolled_back"
        desk.see(1)
        assert desk.memories[-1].adapter == ""
    else:
        assert desk.status.adapter == id
        ros.wait(lambda: desk.status.phase == AdapterStatus.PHASE_WATCH, "watched again")
        desk.see(4)
        desk.until_state(id, "good")


def test_a_folder_that_was_tampered_with_is_no_reason_not_to_come_up(ros, demo_model):
    desk = Desk(ros, demo_model, **{"adapters.trial_clips": 0, "adapters.watch_clips": 0})
    agent = desk.start()
    id = desk.stage()
    desk.manage(TRY, id)
    desk.until_state(id, "good")
    assert agent.end() == 0
    weights = desk.database.parent / "adapters" / id / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    agent = desk.start()
    assert desk.status.adapter == "" and desk.state(id) == "refused"
    ros.wait(lambda: f"adapter {id} is given up" in ros.health["taskmem_agent: adapter"][0], "a warning")
    assert f"adapter {id} is given up" in agent.output()
    desk.see(1)
    assert desk.memories[-1].adapter == ""


def test_an_adapter_set_by_hand_turns_the_desk_off(ros, demo_model):
    desk = Desk(ros, demo_model)
    agent = desk.start()
    id = desk.stage()
    assert agent.end() == 0
    desk.start(adapter=str(desk.database.parent / "adapters" / id))
    assert desk.status.adapter and desk.status.adapter != id, "the hash of its weights, as ever"
    assert "set by hand (parameter adapter" in desk.manage(TRY, id, ok=False)
    assert "set by hand" in desk.manage(ROLL_BACK, ok=False)
    desk.see(1)
    assert desk.memories[-1].adapter == desk.status.adapter
