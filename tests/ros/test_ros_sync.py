"""taskmem_sync over real DDS: rounds when asked, shared, cut off, and against places that hang."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import psutil
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from std_srvs.srv import Trigger
from taskmem.msg import SyncStatus

from taskmem_ros.exchange.notebook import Notebook
from taskmem_ros.exchange.place import Place
from taskmem_ros.memory import Store
from taskmem_ros.nodes import qos

NODE = "taskmem_sync"


def start(ros, **parameters):
    """The node, and all that it says on sync_status."""
    heard = ros.listen(SyncStatus, "sync_status", qos.newest())
    given = {"autostart": True, "sync_at": "", "database": ros.folder / "m.db", **parameters}
    words = ros_parameters(given)
    process = ros.run("taskmem_ros.nodes.sync", "--ros-args", *words)
    if given["autostart"]:
        ros.wait(lambda: ros.value("sync", "state", NODE) == "active", "taskmem_sync active")
    return process, heard


def ros_parameters(values) -> list[str]:
    from ros_helpers import _parameters

    return _parameters(values)


def a_past(path, questions: int = 2) -> None:
    with Store.open(path) as store:
        for number in range(questions):
            task = store.add_task(f"Where is mug {number}?")
            store.finish_task(task.id, "answered", answer="on the table", confidence=0.9)


def trigger(ros):
    return ros.call_async(Trigger, "sync_adapter", Trigger.Request())


def asked(ros):
    return ros.call(Trigger, "sync_adapter", Trigger.Request())


def children(process) -> list[psutil.Process]:
    """What it started and what runs."""
    running = []
    for one in psutil.Process(process.popen.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if one.status() != psutil.STATUS_ZOMBIE:
                running.append(one)
    return running


@pytest.fixture
def silent():
    """The port of a server that takes connections and never says a word."""
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def accept() -> None:
        while True:
            try:
                held.append(server.accept())
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    for connection, _ in held:
        connection.close()


def test_without_an_exchange_it_is_off_and_says_so(ros):
    process, heard = start(ros)
    ros.wait(lambda: heard, "a status")
    assert heard[-1].state == SyncStatus.STATE_OFF and heard[-1].exchange == ""
    reply = asked(ros)
    assert not reply.success and "exchange" in reply.message
    assert process.end() == 0


def test_rounds_when_asked(ros):
    place = ros.folder / "place"
    place.mkdir()
    a_past(ros.folder / "m.db")
    process, heard = start(ros, exchange=place, robot="kitchen")
    reply = asked(ros)
    assert reply.success, reply.message
    assert "pushed 1 bundle with 2 tasks" in reply.message
    (card,) = Place(str(place)).bundles()
    assert (card.robot, card.tasks, card.contents, card.sequence) == ("kitchen", 2, "tasks", 1)
    ros.wait(lambda: heard[-1].bundles_pushed == 1, "a status of it")
    status = heard[-1]
    assert (status.state, status.tasks_pushed, status.error) == (SyncStatus.STATE_WAITING, 2, "")
    assert abs(status.last_success.sec - time.time()) < 3600 and status.next.sec == 0
    assert {SyncStatus.STATE_WAITING, SyncStatus.STATE_RUNNING} <= {one.state for one in heard}

    reply = asked(ros)
    assert reply.success and "no new task to push" in reply.message
    ros.wait(lambda: ros.value("exchange", "rounds", NODE) == "2", "the rounds in /diagnostics")
    assert ros.value("exchange", "last success", NODE) == "0 min ago"
    assert process.end() == 0

    late, heard = start(ros, exchange=place, robot="kitchen")
    ros.wait(lambda: heard and heard[-1].last_success.sec, "the last success outlives the node")
    assert late.end() == 0


def test_two_who_ask_at_once_share_one_round(ros):
    place = ros.folder / "place"
    place.mkdir()
    a_past(ros.folder / "m.db")
    process, _ = start(ros, exchange=place)
    replies = [trigger(ros) for _ in range(5)]
    ros.wait(lambda: all(reply.done() for reply in replies), "all replies")
    assert {reply.result().message for reply in replies} == {replies[0].result().message}
    ros.wait(lambda: ros.value("exchange", "rounds", NODE) == "1", "one round")
    assert process.end() == 0


def test_a_place_that_hangs_has_a_sentence_and_the_node_lives_on(ros, silent):
    a_past(ros.folder / "m.db")
    process, heard = start(ros, exchange=f"sftp://anna@127.0.0.1:{silent}/x", stall_s=2.0, retry_minutes=0.02)
    waiting = trigger(ros)
    ros.wait(lambda: heard and heard[-1].state == SyncStatus.STATE_RUNNING, "a round")
    assert ros.state(NODE) == "active", "it answers while the round hangs"
    ros.wait(waiting.done, "the end of the round")
    reply = waiting.result()
    assert not reply.success and f"127.0.0.1:{silent}" in reply.message, reply.message
    ros.wait(lambda: heard[-1].error, "the error in the status")
    assert heard[-1].bundles_waiting == 1 and heard[-1].exchange == f"sftp://anna@127.0.0.1:{silent}/x"
    ros.wait(lambda: int(ros.value("exchange", "rounds", NODE)) >= 2, "another try, by itself")
    assert process.end() == 0


def test_deactivated_it_ends_a_hanging_round_at_once(ros, silent):
    a_past(ros.folder / "m.db")
    process, heard = start(ros, exchange=f"sftp://anna@127.0.0.1:{silent}/x", stall_s=1000.0)
    waiting = trigger(ros)
    ros.wait(lambda: children(process), "the round's process")
    ros.wait(lambda: "waiting" not in (ros.value("exchange", "now", NODE) or "waiting"), "what it does")
    assert ros.change_state("deactivate", NODE)
    ros.wait(waiting.done, "an answer to whoever waited")
    assert not waiting.result().success and "deactivated" in waiting.result().message
    ros.wait(lambda: not children(process), "the end of the round's process")
    assert not asked(ros).success
    assert ros.change_state("activate", NODE)
    waiting = trigger(ros)
    ros.wait(lambda: children(process), "the next round's process")
    (round,) = children(process)
    round.kill()
    ros.wait(waiting.done, "an answer though the round was killed")
    assert "killed by signal 9" in waiting.result().message
    waiting = trigger(ros)
    ros.wait(lambda: children(process), "one more")
    left = children(process)
    assert process.end() == 0
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE], "nothing outlives the node"


def test_by_the_clock_and_by_parameters_that_change(ros):
    place = ros.folder / "place"
    place.mkdir()
    a_past(ros.folder / "m.db")
    process, heard = start(ros, exchange=place, sync_at="03:00", jitter_s=0.0)
    ros.wait(lambda: heard and heard[-1].next.sec, "the next round's time")
    planned = time.localtime(heard[-1].next.sec)
    assert (planned.tm_hour, planned.tm_min) in ((3, 0), (4, 0))  # 4 where there is no 3 o'clock that day
    assert heard[-1].next.sec > time.time()

    def change(name: str, **value):
        parameter = Parameter(name=name, value=ParameterValue(**value))
        request = SetParametersAtomically.Request(parameters=[parameter])
        return ros.call(SetParametersAtomically, f"{NODE}/set_parameters_atomically", request).result

    text, number = ParameterType.PARAMETER_STRING, ParameterType.PARAMETER_DOUBLE
    assert "25:00" in change("sync_at", type=text, string_value="25:00").reason
    assert "unconfigured" in change("database", type=text, string_value="/tmp/x.db").reason
    assert change("every_minutes", type=number, double_value=0.01).successful
    ros.wait(lambda: int(ros.value("exchange", "rounds", NODE) or 0) >= 2, "rounds by themselves")
    ros.wait(lambda: heard[-1].last_success.sec, f"a good one: {ros.value('exchange', 'last error', NODE)}")
    assert len(Place(str(place)).bundles()) == 1
    assert change("exchange", type=text, string_value="").successful
    ros.wait(lambda: heard[-1].state == SyncStatus.STATE_OFF, "switched off")
    assert process.end() == 0


def test_a_time_that_was_missed_while_off_is_made_up_for(ros):
    place, database = ros.folder / "place", ros.folder / "m.db"
    place.mkdir()
    a_past(database)
    late = (time.localtime().tm_hour + 12) % 24  # not within the next hours
    process, _ = start(ros, exchange=place, sync_at=f"{late:02}:30", jitter_s=0.0)
    assert process.end() == 0
    notebook = Notebook.beside(database)
    assert abs(notebook.since_ns / 1e9 - time.time()) < 3600 and notebook.succeeded_ns is None
    assert Place(str(place)).bundles() == [], "a new robot waits for its first night"

    notebook.since_ns -= 2 * 86400 * 10**9  # two days ago: it was off since
    notebook.write()
    process, _ = start(ros, exchange=place, sync_at=f"{late:02}:30", jitter_s=0.0)
    ros.wait(lambda: Place(str(place)).bundles(), "a round without being asked")
    assert process.end() == 0


def test_without_a_store_it_says_so_and_goes_on(ros):
    place = ros.folder / "place"
    place.mkdir()
    process, _ = start(ros, exchange=place)
    reply = asked(ros)
    assert not reply.success and "There is no store" in reply.message
    a_past(ros.folder / "m.db")
    assert asked(ros).success
    assert process.end() == 0


def test_lifecycle_by_a_manager(ros):
    process, heard = start(ros, autostart=False, exchange=ros.folder)
    assert ros.state(NODE) == "unconfigured"
    assert not asked(ros).success
    for transition, state in (
        ("configure", "inactive"), ("activate", "active"), ("deactivate", "inactive"),
        ("cleanup", "unconfigured"), ("configure", "inactive"), ("inactive_shutdown", "finalized"),
    ):  # fmt: skip
        assert ros.change_state(transition, NODE)
        assert ros.state(NODE) == state
    assert process.end() == 0
