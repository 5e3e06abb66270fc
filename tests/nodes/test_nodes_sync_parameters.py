"""The sync node's parameters, judged without ROS."""

from __future__ import annotations

import datetime as dt
import re
import socket
import typing
from pathlib import Path

import pytest
import yaml

from taskmem_ros.exchange.card import CONTENTS as OF_CARDS
from taskmem_ros.exchange.names import is_name
from taskmem_ros.nodes.parameters import defaults
from taskmem_ros.nodes.sync_parameters import CONTENTS, SYNC, check_sync, robot_name, schedule

ROOT = Path(__file__).parents[2]


def values(**changes) -> dict[str, typing.Any]:
    return {**defaults(SYNC), **changes}


def test_the_defaults_are_allowed_and_let_nothing_out():
    check_sync(values())
    assert values()["exchange"] == "" and values()["contents"] == "tasks"
    never = schedule(values(every_minutes=5.0), "robot1")
    assert never.at is None and never.every_s == 0 and never.retry_s == 0


def test_every_parameter_is_described():
    for spec in SYNC:
        assert len(spec.description) > 20 and spec.description.endswith("."), spec.name


def test_the_parameters_file_has_every_parameter_with_its_default():
    ((node, content),) = yaml.safe_load((ROOT / "config" / "sync.yaml").read_text()).items()
    written = content["ros__parameters"]
    assert written.pop("autostart") is True  # who takes the file wants a running node
    assert node == "/**/taskmem_sync"
    assert written == {spec.name: spec.default for spec in SYNC if spec.name != "autostart"}


def test_contents_are_those_of_bundles():
    assert CONTENTS == OF_CARDS


@pytest.mark.parametrize(
    "change, words",
    [
        ({"sync_at": "25:00"}, ["sync_at", "25:00", "03:00"]),
        ({"contents": "everything"}, ["contents", "everything", "frames"]),
        ({"robot": "../robot"}, ["robot", "../robot"]),
        ({"robot": "x" * 65}, ["robot"]),
        ({"every_minutes": -1.0}, ["every_minutes", "-1"]),
        ({"stall_s": 100.0, "round_s": 50.0}, ["stall_s", "round_s", "100", "50"]),
        ({"exchange": "sftp://anna:hunter2@host/x"}, ["exchange", "password", "environment"]),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(change, words):
    with pytest.raises(ValueError) as refusal:
        check_sync(values(**change))
    sentence = str(refusal.value)
    assert all(word in sentence for word in words), sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    "exchange", ["/mnt/x", "sftp://anna@host:2222/a@b", "s3://bucket/a:b@c", "file:///a:b@c", "memory://x"]
)
def test_places_without_passwords_are_allowed(exchange):
    check_sync(values(exchange=exchange))


@pytest.mark.parametrize(
    "given, namespace, name",
    [
        ("kitchen", "/robot1", "kitchen"),
        ("", "/robot1", "robot1"),
        ("", "/fleet/robot1", "fleet-robot1"),
        ("", "/_hidden", "hidden"),
    ],
)
def test_the_robots_name(given, namespace, name):
    assert robot_name(values(robot=given), namespace) == name


@pytest.mark.parametrize("host", ["my robot.local", "-", "Ünicode", "x" * 80, ""])
def test_the_hosts_name_becomes_a_name(host, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert is_name(robot_name(values(), "/"))


def test_the_schedule_of_the_parameters():
    plan = schedule(values(exchange="/x", sync_at="4:30", every_minutes=2.0, retry_minutes=1.0), "robot1")
    assert (plan.at, plan.every_s, plan.jitter_s, plan.retry_s, plan.name) == (
        dt.time(4, 30), 120.0, 300.0, 60.0, "robot1",
    )  # fmt: skip


def test_no_parameter_is_for_a_secret():
    assert not [spec.name for spec in SYNC if re.search("pass|secret|token|key_id", spec.name)]
