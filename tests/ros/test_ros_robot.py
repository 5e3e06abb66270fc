"""The whole robot: camera, agent and client as processes, over DDS."""

from __future__ import annotations

import signal
import statistics
import time

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

import cv2
import numpy as np
from ros_helpers import LONG_S
from taskmem.msg import Coverage
from taskmem.srv import AskMemory

from taskmem_ros.memory import Store


def ask(ros, question: str, namespace: str = ""):
    return ros.call(AskMemory, f"{namespace}/ask_memory".lstrip("/"), AskMemory.Request(question=question))


def make_film(path, frames: int) -> None:
    """A red ball that rolls, 10 pictures a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (160, 120))
    for number in range(frames):
        picture = np.full((120, 160, 3), 40, np.uint8)
        cv2.circle(picture, (number % 160, 60), 20, (0, 0, 255), -1)
        writer.write(picture)
    writer.release()


def test_taskmem_up_from_camera_to_answer(ros, model):
    """`taskmem up demo:=true`, the home fast by a params_file; then Ctrl-C."""
    settings = ros.folder / "fast.yaml"
    settings.write_text("home_camera:\n  ros__parameters: {speed: 10.0, wait: true, seed: 2000007}\n")
    database = ros.folder / "m.db"
    up = ros.run(
        "taskmem_ros.cli",
        "up",
        "demo:=true",
        "use_sim_time:=true",
        f"model:={model}",
        f"database:={database}",
        f"params_file:={settings}",
    )
    memories, tasks = ros.memories(), ros.tasks()
    ros.wait(lambda: len(memories) >= 4, "four memories")
    placed = {memory.id: memory.header.frame_id for memory in memories if memory.has_pose}
    assert placed == {memory.id: "map" for memory in memories}
    starts = [memory.start.sec for memory in memories]
    assert starts == sorted(starts) and all(start % 10 == 0 for start in starts[1:])

    reply = ask(ros, "Where is the red cup?")
    Reply = AskMemory.Response
    assert reply.status in (Reply.STATUS_ANSWERED, Reply.STATUS_NOT_IN_MEMORY), reply.message
    assert reply.watermark >= memories[3].id and reply.question_id == 1
    by_id = {memory.id: memory for memory in memories}
    for evidence in reply.evidence:
        if evidence.memory_id in by_id:
            assert evidence.text == by_id[evidence.memory_id].text and evidence.has_pose
    ros.wait(lambda: tasks and tasks[-1].status == reply.status, "the question on `tasks`")
    up.send(signal.SIGINT)
    assert up.wait() == 0, up.output()[-3000:]
    with Store.open(database, read_only=True) as store:
        assert store.check() == []
        assert {m.id: m.text for m in memories}.items() <= {m.id: m.text for m in store.memories()}.items()
        task = store.task(reply.question_id)
        assert task.question == "Where is the red cup?" and (task.answer or "") == reply.answer
        assert task.evidence == tuple(evidence.memory_id for evidence in reply.evidence)


def test_kill_9_loses_nothing_that_was_published(ros, model):
    database = ros.folder / "m.db"
    settings = dict(model=model, database=database, use_sim_time=True, clip_seconds=5.0)
    ros.home(speed=10.0, wait=True, seed=2000008)
    agent = ros.agent(**settings)
    memories, coverage = ros.memories(), ros.coverage()
    ros.wait(lambda: len(memories) >= 3, "three memories")
    agent.send(signal.SIGKILL)
    agent.wait()
    for _ in range(5):  # what is still on its way
        ros._executor.spin_once(timeout_sec=0.1)
    before = list(memories)
    with Store.open(database, read_only=True) as store:
        assert store.check() == []
        stored = {memory.id: memory.text for memory in store.memories()}
    assert all(stored.get(memory.id) == memory.text for memory in before)

    ros.agent(**settings)
    ros.wait(lambda: memories[-1].id > max(stored), "a new memory of the agent that was started again")
    gap = ros.wait(
        lambda: [g for g in coverage if g.reason == Coverage.REASON_INACTIVE], "the time between as coverage"
    )[0]
    assert gap.start.sec <= memories[-1].start.sec and gap.episode == memories[-1].episode == 0


def test_two_robots_side_by_side(ros, model):
    names = ("robot1", "robot2")
    heard = {name: ros.memories(name) for name in names}
    settings = ros.folder / "short.yaml"
    settings.write_text("/**/taskmem_agent:\n  ros__parameters: {clip_seconds: 2.0, sample_rate: 2.0}\n")
    for name in names:  # each remembers in its own default file
        ros.run(
            "taskmem_ros.cli",
            "up",
            f"namespace:={name}",
            "demo:=true",
            f"model:={model}",
            f"params_file:={settings}",
            name=name,
        )
    for name in names:
        ros.wait(lambda n=name: len(heard[n]) >= 2, f"two memories of {name}")
    for name in names:
        reply = ask(ros, "Where is the red cup?", name)
        assert reply.question_id == 1, "a question reached the other robot's store"
        with Store.open(ros.folder / ".taskmem" / name / "memory.db", read_only=True) as store:
            stored = {memory.id: memory for memory in store.memories()}
        for memory in heard[name]:
            assert stored[memory.id].start_ns == memory.start.sec * 10**9 + memory.start.nanosec
            assert memory.has_pose


def test_a_slow_model_blocks_nothing_and_hides_nothing(ros, endless_model):
    """The policy generates without end: its 1 Hz timer keeps time, questions time out, gaps are stored."""
    database = ros.folder / "m.db"
    ros.home(speed=20.0, wait=True, seed=2000009)
    agent = ros.agent(
        model=endless_model, database=database, use_sim_time=True, max_new_tokens=4000, queue_clips=2
    )
    coverage = ros.coverage()
    ros.wait(lambda: ros.value("policy", "busy") == "True", "the model at work")
    ros.wait(lambda: [g for g in coverage if g.reason == Coverage.REASON_DROPPED], "a dropped clip")
    ros.wait(lambda: ros.value("policy", "dropped") not in ("", "0"), "the dropped clip in /diagnostics")

    ros.beats.clear()
    ros.wait(lambda: len(ros.beats) >= 9, "nine beats of the 1 Hz timer")
    busy = [now["taskmem_agent: policy"][1]["busy"] for _, now in ros.beats]
    assert busy.count("True") >= 7, f"the model was hardly at work: {busy}"
    # Stamps are of sim time, which runs 20 times as fast as the timer.
    gaps = [(b - a) / 20.0 for (a, _), (b, _) in zip(ros.beats, ros.beats[1:], strict=False)]
    assert 0.9 < statistics.median(gaps) < 1.1 and max(gaps) < 2.5, gaps

    request = AskMemory.Request(question="Where is the red cup?")
    request.timeout.sec = 2
    ros.call_async(AskMemory, "ask_memory", request).cancel()  # the service is known now
    began = time.monotonic()
    waiting = [ros.call_async(AskMemory, "ask_memory", request) for _ in range(3)]
    ros.wait(lambda: all(future.done() for future in waiting), "three questions at once", 30.0)
    assert time.monotonic() - began < 15.0
    statuses = {future.result().status for future in waiting}
    Reply = AskMemory.Response
    assert statuses <= {
        Reply.STATUS_TIMED_OUT,
        Reply.STATUS_FAILED,
        Reply.STATUS_NOT_IN_MEMORY,
        Reply.STATUS_NOT_WATCHING,
    }
    assert agent.end() == 0
    with Store.open(database, read_only=True) as store:
        dropped = [gap for gap in store.coverage() if gap.reason == "dropped"]
        assert dropped and store.memories() == []
        assert all(task.status != "queued" for task in store.tasks())


def test_a_film_ends_at_once_when_asked_to(ros):
    film = ros.folder / "film.avi"
    make_film(film, frames=3000)
    camera = ros.run(
        "taskmem_ros.nodes.video_camera", "--ros-args", "-p", f"video:={film}", "-p", "wait:=false"
    )
    ros.wait(lambda: "frames per second" in camera.output(), "the film to begin")
    assert camera.end() == 0


def test_a_film_goes_through(ros, model):
    """video:=FILE through camera, DDS, clips, model and store; the film ends, the agent stays."""
    film = ros.folder / "film.avi"
    make_film(film, frames=80)
    settings = ros.folder / "short.yaml"
    settings.write_text(
        "taskmem_agent:\n  ros__parameters: {clip_seconds: 2.0, sample_rate: 2.0, max_stall: 1.0}\n"
    )
    up = ros.run(
        "taskmem_ros.cli",
        "up",
        f"video:={film}",
        f"model:={model}",
        "image_transport:=compressed",
        f"database:={ros.folder / 'm.db'}",
        f"params_file:={settings}",
    )
    memories, coverage = ros.memories(), ros.coverage()
    ros.wait(lambda: len(memories) >= 3, "three memories of the film")
    ros.wait(lambda: "the film has ended" in up.output(), "the film's end")
    ros.wait(lambda: [g for g in coverage if g.reason == Coverage.REASON_NO_FRAMES], "silence as coverage")
    assert "not used" not in up.output() and up.popen.poll() is None
    assert ask(ros, "Where is the red cup?").question_id == 1
    up.send(signal.SIGINT)
    assert up.wait(LONG_S) == 0, up.output()[-3000:]
