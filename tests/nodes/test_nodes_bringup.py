"""What a bring-up starts, and the supervisor that starts it, with children that need no ROS."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from taskmem_ros.nodes.bringup import ARGUMENTS, NodePlan, plan
from taskmem_ros.nodes.up import arguments


def test_both_spellings_mean_the_same():
    expected = {"demo": "true", "model": "a/b", "use_sim_time": "true"}
    assert arguments(["demo:=true", "--model", "a/b", "use_sim_time:=true"]) == expected
    assert arguments(["--demo=true", "model:=a/b", "--use-sim-time", "true"]) == expected


@pytest.mark.parametrize("words", [["demo:=perhaps"], ["colour:=red"], ["demo:=true", "video:=film.avi"]])
def test_a_wrong_argument_is_refused(words):
    with pytest.raises((SystemExit, ValueError)):
        plan(arguments(words))


def test_every_argument_is_described():
    assert all(argument.description.endswith(".") for argument in ARGUMENTS)


def test_the_agent_alone():
    (agent,) = plan({})
    assert (agent.executable, agent.required) == ("taskmem_agent", True)
    assert agent.parameters == {"use_sim_time": False, "autostart": True}


def test_demo_in_a_namespace_keeps_its_map_to_itself():
    agent, camera = plan({"demo": "true", "namespace": "robot1", "cameras": "front,back"})
    assert agent.parameters["cameras"] == ["front", "back"]
    assert camera.parameters["camera"] == "front"
    for node in (agent, camera):
        words = " ".join(node.ros_arguments())
        assert "__ns:=/robot1" in words and "/tf:=tf" in words


def test_a_film_may_end_without_ending_the_agent():
    _, video = plan({"video": "0"})
    assert not video.required
    assert 'video:="0"' in video.ros_arguments()  # a device's index stays a string


@pytest.mark.parametrize("given", [{"exchange": "/mnt/exchange"}, {"sync": "true"}])
def test_the_sync_node_goes_with_an_exchange_and_never_ends_the_agent(given):
    agent, sync = plan({**given, "namespace": "robot1", "database": "/data/m.db", "autostart": "false"})
    assert (sync.executable, sync.required, sync.lasting, sync.lifecycle) == (
        "taskmem_sync",
        False,
        True,
        True,
    )
    exchange = {"exchange": "/mnt/exchange"} if "exchange" in given else {}
    assert sync.parameters == {**exchange, "database": "/data/m.db", "autostart": False}
    assert "exchange" not in agent.parameters and agent.parameters["database"] == "/data/m.db"
    assert sync.full_name == "/robot1/taskmem_sync"


def test_one_file_of_parameters_serves_both():
    agent, sync = plan({"params_file": "my.yaml", "exchange": "/mnt/exchange"})
    assert agent.params_file == sync.params_file == "my.yaml"
    assert sync.given_yaml() == '/taskmem_sync:\n  ros__parameters:\n    exchange: "/mnt/exchange"\n'
    assert agent.given_yaml() == ""


def test_params_file_stands_between_defaults_and_what_was_given():
    (agent,) = plan({"params_file": "my.yaml", "model": "a/b", "namespace": "robot1"})
    words = agent.ros_arguments("given.yaml")
    assert words.index("autostart:=true") < words.index("my.yaml") < words.index("given.yaml")
    assert 'model:="a/b"' not in words
    assert agent.given_yaml() == '/robot1/taskmem_agent:\n  ros__parameters:\n    model: "a/b"\n'


def test_sim_time_in_the_demo_home_has_a_clock():
    _, camera = plan({"demo": "true", "use_sim_time": "true"})
    assert camera.parameters["publish_clock"] is True


def test_the_ranking_of_settings_is_what_rcl_makes_of_them(tmp_path):
    """A default, then the file, then what was given, however the file names the node."""
    pytest.importorskip(
        "rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh"
    )
    from taskmem_ros.nodes.up import Child

    show = (
        "import rclpy; from rclpy.node import Node; rclpy.init(); n = Node('x');"
        "print(*(n.declare_parameter(k, d).value for k, d in (('autostart', True), ('model', ''))))"
    )
    for number, pattern in enumerate(("/**", "/**/taskmem_agent", "/robot1/taskmem_agent")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(f"{pattern}:\n  ros__parameters: {{autostart: false, model: file}}\n")
        (agent,) = plan({"params_file": str(file), "model": "given", "namespace": "robot1"})
        child = Child.__new__(Child)
        child.node = agent
        words = child.command()[3:]
        out = subprocess.run(
            [sys.executable, "-c", show, *words], capture_output=True, text=True, timeout=120
        )
        assert out.stdout.split() == ["False", "given"], (pattern, out.stdout, out.stderr)


SCRIPT = textwrap.dedent("""
    import sys
    from taskmem_ros.nodes import up
    up.RESPAWN_DELAY_S = 0.1
    up.Child.command = lambda self: [sys.executable, "-u", "-c", CHILDREN[self.node.name]]
    CHILDREN = {children!r}
    nodes = [
        up.NodePlan(n, n, "", "", "info", required=n not in ("optional", "lasting"), lasting=n != "optional")
        for n in CHILDREN
    ]
    sys.exit(up.Supervisor(nodes, respawn={respawn!r}).run())
""")
FOREVER = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (print("bye"), sys.exit(0)))
print("ready")
while True: time.sleep(0.05)
"""


def supervise(children: dict[str, str], respawn: bool = False) -> subprocess.Popen:
    script = SCRIPT.format(children=children, respawn=respawn)
    return subprocess.Popen([sys.executable, "-u", "-c", script], stdout=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen, text: str, seconds: float = 60.0) -> str:
    seen, deadline = "", time.monotonic() + seconds
    while text not in seen:
        line = process.stdout.readline()
        assert line and time.monotonic() < deadline, seen
        seen += line
    return seen


def test_a_signal_is_passed_on_and_all_end_well():
    process = supervise({"one": FOREVER, "two": FOREVER})
    seen = read_until(process, "ready")
    if seen.count("ready") < 2:
        read_until(process, "ready")
    process.send_signal(signal.SIGTERM if os.name == "posix" else signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert "[one]" in seen + rest
    # SIGTERM has no handler in these children, so they end by it, as they were asked to.
    assert process.returncode == 0


def test_ctrl_c_ends_with_zero():
    process = supervise({"one": FOREVER})
    read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "[one] bye" in out


def test_ctrl_c_while_a_node_still_starts_ends_with_zero():
    # Python that is importing has no handler yet: it ends by the very signal that was passed on.
    process = supervise({"one": "import time; print('ready'); time.sleep(1000)"})
    read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[0]
    assert process.returncode == 0


def test_one_that_ends_badly_leaves_no_other_behind():
    slow = FOREVER.replace('(print("bye")', '(time.sleep(1), print("bye")')
    process = supervise({"bad": FOREVER.replace("sys.exit(0)", "sys.exit(7)"), "slow": slow})
    seen = ""
    while seen.count("ready") < 2:
        seen += read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    assert "[slow] bye" in process.communicate(timeout=60)[0]
    assert process.returncode == 7


def test_when_a_required_one_fails_all_end_with_its_code():
    process = supervise({"one": FOREVER, "two": "raise SystemExit(7)"})
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 7, out


def test_one_that_is_not_required_may_end():
    process = supervise({"one": FOREVER, "optional": "print('the end')"})
    read_until(process, "[optional] process has ended with exit code 0")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_respawn_starts_again():
    process = supervise({"one": "raise SystemExit(3)"}, respawn=True)
    seen = read_until(process, "exit code 3")
    seen += read_until(process, "process started")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert seen.count("process started") >= 2


def test_one_that_lasts_is_started_again_and_one_that_may_end_is_not():
    process = supervise({"one": FOREVER, "lasting": "pass", "optional": "pass"}, respawn=True)
    seen = read_until(process, "[lasting] process has ended with exit code 0")
    while seen.count("[lasting] process started") < 2:
        seen += read_until(process, "[lasting] process started")
    process.send_signal(signal.SIGINT)
    seen += process.communicate(timeout=60)[0]
    assert seen.count("[optional] process started") == 1


def test_plan_words_stay_typed():
    node = NodePlan(
        "x",
        "x",
        "",
        "",
        "info",
        parameters={"text": 'a "quoted" # word', "list": ["a", "b"], "yes": True, "number": 2.5, "count": 3},
    )
    words = node.ros_arguments()
    assert 'text:="a \\"quoted\\" # word"' in words
    assert 'list:=["a", "b"]' in words
    assert {"yes:=true", "number:=2.5", "count:=3"} <= set(words)


def test_child_output_carries_its_name():
    from taskmem_ros.nodes import up

    out = io.StringIO()
    child = up.Child.__new__(up.Child)
    child.node, child._out = NodePlan("x", "agent", "", "", "info"), out
    child._copy(io.StringIO("hello\nworld\n"))
    assert out.getvalue() == "[agent] hello\n[agent] world\n"
