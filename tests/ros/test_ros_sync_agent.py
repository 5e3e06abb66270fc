"""The whole way of an adapter over real DDS: signed, out of an exchange, tried, taken over, in memories."""

from __future__ import annotations

import contextlib

import psutil
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from ros_helpers import RELIABLE, Camera
from std_srvs.srv import Trigger
from taskmem.msg import AdapterStatus
from taskmem.srv import AskMemory, ManageAdapter
from test_ros_sync import NODE, asked, children, start

from taskmem_ros.exchange.adapter_config import LORA_TARGETS
from taskmem_ros.exchange.keys import SigningKey
from taskmem_ros.exchange.manifest import AdapterManifest
from taskmem_ros.exchange.package import pack
from taskmem_ros.exchange.place import Place
from taskmem_ros.memory import Store
from taskmem_ros.nodes import qos
from taskmem_ros.policy import PROMPT_HASH


@pytest.fixture
def key(tmp_path) -> SigningKey:
    """A workstation's key, which the keyring in the folder trusts."""
    key = SigningKey.generate()
    (tmp_path / "trusted_keys").write_text(key.public_line("workshop") + "\n")
    return key


def small_lora(folder, revision: str, key: SigningKey, **about):
    """A LoRA as PEFT makes and saves it, of the demo model, too weak to change what is written; packed."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    from taskmem_ros.policy.load import find_checkpoint

    base = AutoModelForImageTextToText.from_pretrained(find_checkpoint("demo")[0])
    config = LoraConfig(r=2, lora_alpha=4, target_modules=LORA_TARGETS)
    model = get_peft_model(base, config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.fill_(1e-5)
    model.save_pretrained(folder / "lora")
    manifest = AdapterManifest(
        **dict(
            id="20261123T0315-robot1-0000000a",
            serial=1,
            base_model="demo",
            base_revision=revision,
            prompt_hash=PROMPT_HASH,
            kind="lora",
            created_ns=0,
        )
        | about
    )
    return pack(folder / "lora", folder / "packed", manifest, key)


def test_from_a_workstations_folder_into_the_memories(ros, demo_model, key):
    place, keyring = ros.folder / "place", ros.folder / "trusted_keys"
    place.mkdir()
    adapters = {"adapters.keyring": keyring, "adapters.trial_clips": 3, "adapters.watch_clips": 4}
    agent = ros.agent(model=demo_model, database=ros.folder / "m.db", queue_clips=100, **adapters, **RELIABLE)
    memories, statuses = ros.memories(), ros.listen(AdapterStatus, "adapter_status", qos.newest())
    sync, _ = start(ros, exchange=place, robot="robot1", contents="frames", keyring=keyring)
    ros.active()
    ros.wait(lambda: statuses, "what the base model is")
    camera = Camera(ros)
    camera.pass_time(1000, 1062)
    ros.wait(lambda: len(memories) >= 6, "memories before")
    assert {memory.adapter for memory in memories} == {""}
    ros.call(AskMemory, "ask_memory", AskMemory.Request(question="Where is the red mug?"))

    Place(str(place)).push_adapter(small_lora(ros.folder, statuses[-1].base_revision, key))
    reply = asked(ros)
    assert reply.success, reply.message
    assert "pushed 1 bundle with 1 task" in reply.message
    assert "brought adapter 20261123T0315-robot1-0000000a" in reply.message
    (card,) = Place(str(place)).bundles("robot1")
    assert (card.contents, card.tasks) == ("frames", 1) and card.clips > 0

    id = "20261123T0315-robot1-0000000a"
    ros.wait(lambda: statuses[-1].adapter == id, "it is tried and taken over")
    assert any(status.candidate == id for status in statuses)
    before = len(memories)
    camera.pass_time(1062.5, 1122)
    ros.wait(lambda: len(memories) >= before + 5, "memories after")
    assert {memory.adapter for memory in memories[before + 1 :]} == {id}
    ros.wait(lambda: ros.value("exchange", "adapter", NODE) == id, "the sync node knows")
    ros.wait(lambda: statuses[-1].phase == AdapterStatus.PHASE_STEADY, "the end of the watch")
    reply = asked(ros)
    assert reply.success and "no new adapter" in reply.message
    assert sync.end() == 0 and agent.end() == 0
    with Store.open(ros.folder / "m.db", read_only=True) as store:
        assert store.adapter(id).state == "good"
        assert [memory.adapter for memory in store.memories()][-1] == id


class Desk:
    """Where the agent's desk would be: what it is asked, and what it says."""

    def __init__(self, ros) -> None:
        self.asked: list[tuple[int, str]] = []
        self.refusal = ""
        self._node = ros.node
        self._publisher = ros.node.create_publisher(AdapterStatus, "adapter_status", qos.newest())
        self._server = None

    def open(self) -> None:
        self._server = self._node.create_service(ManageAdapter, "manage_adapter", self._manage)

    def close(self) -> None:
        self._node.destroy_service(self._server)

    def say(self, **status) -> None:
        self._publisher.publish(AdapterStatus(**status))

    def _manage(self, request, response):
        self.asked.append((request.command, request.id))
        response.success, response.message = not self.refusal, self.refusal or "the trial has begun"
        return response


def test_it_waits_for_an_agent_and_asks_again_when_that_is_free(ros, key):
    place, id = ros.folder / "place", "20261123T0315-robot1-0000000a"
    place.mkdir()
    with Store.open(ros.folder / "m.db") as store:
        store.set_base("demo", "r1")
    Place(str(place)).push_adapter(small_lora(ros.folder, "r1", key))
    sync, _ = start(ros, exchange=place, keyring=ros.folder / "trusted_keys")
    assert asked(ros).success
    ros.wait(lambda: "waits for an agent" in ros.value("exchange", "handed over", NODE), "no agent is there")

    desk = Desk(ros)
    desk.refusal = "another adapter is being watched"
    desk.open()
    ros.wait(lambda: desk.asked, "it asks the agent that appeared")
    ros.wait(lambda: desk.refusal in ros.value("exchange", "handed over", NODE), "the refusal")
    desk.say(phase=AdapterStatus.PHASE_WATCH, adapter="another", message="another is watched")
    ros.wait(lambda: ros.value("exchange", "adapter", NODE) == "another", "the status is heard")
    assert len(desk.asked) == 1, "not again and again"
    desk.refusal = ""
    desk.say(phase=AdapterStatus.PHASE_STEADY, adapter="another", message="it has proved itself")
    ros.wait(lambda: len(desk.asked) == 2, "the watch has ended")
    ros.wait(lambda: "has begun" in ros.value("exchange", "handed over", NODE), "the trial")

    desk.refusal = "it is pinned"
    reply = asked(ros)
    assert reply.success
    ros.wait(lambda: len(desk.asked) == 3, "at the next round")
    desk.close()
    ros.wait(lambda: ros.value("exchange", "agent", NODE) == "not there", "the agent is gone")
    with Store.open(ros.folder / "m.db") as store:
        store.set_adapter_state(id, "refused", "tried in vain")
    desk.open()
    ros.wait(lambda: ros.value("exchange", "agent", NODE) == "there", "the agent is back")
    assert ros.call(Trigger, "sync_adapter", Trigger.Request()).success
    assert set(desk.asked) == {(ManageAdapter.Request.TRY, id)} and len(desk.asked) == 3
    assert sync.end() == 0


def test_started_together_the_agent_outlives_its_sync_node(ros, model):
    place = ros.folder / "place"
    place.mkdir()
    words = (f"model:={model}", f"exchange:={place}", f"database:={ros.folder / 'm.db'}", "use_respawn:=true")
    up = ros.run("taskmem_ros.nodes.up", *words)
    ros.active()
    ros.wait(lambda: ros.value("sync", "state", NODE) == "active", "the sync node beside it")

    def process_of(module: str) -> psutil.Process | None:
        for one in children(up):
            with contextlib.suppress(psutil.NoSuchProcess):
                if f"taskmem_ros.nodes.{module}" in one.cmdline():
                    return one
        return None

    agent, sync = process_of("agent"), process_of("sync")
    sync.kill()
    ros.wait(lambda: process_of("sync") not in (None, sync), "another one in its place")
    ros.health.pop(f"{NODE}: sync", None)
    ros.wait(lambda: ros.value("sync", "state", NODE) == "active", "it is active again")
    assert asked(ros).success
    assert process_of("agent") == agent and ros.state() == "active"
    assert up.end() == 0, up.output()[-2000:]
