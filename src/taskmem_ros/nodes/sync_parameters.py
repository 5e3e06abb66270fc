"""The parameters of taskmem_sync: the table of them, and what their values must be together."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Any

from .agent_parameters import AGENT, database
from .parameters import Spec, check
from .schedule import LONGEST_JITTER_S, Schedule, time_of_day

CONTENTS = ("tasks", "memories", "frames")
_ROBOT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_OF_AGENT = {spec.name: spec for spec in AGENT}

SYNC: tuple[Spec, ...] = (
    Spec(
        "exchange",
        "",
        "Where robots and workstations meet: a folder, sftp://USER@HOST/FOLDER, s3://BUCKET/FOLDER, or "
        "another URL that fsspec knows. No passwords here: these belong in the environment, or in the files "
        "of ssh and cloud clients. Empty: nothing is exchanged.",
    ),
    Spec("robot", "", "This robot's name in the exchange; empty: the namespace, or else the host's name."),
    _OF_AGENT["database"],
    Spec(
        "contents",
        CONTENTS[0],
        "What leaves the robot: tasks (questions, answers, feedback), memories (also what was written around "
        "them), frames (also the pictures, which a workstation needs to learn from).",
        choices=CONTENTS,
    ),
    Spec(
        "bundle_megabytes",
        200.0,
        "Largest bundle, megabytes; pictures that do not fit stay here.",
        1.0,
        100_000.0,
    ),
    Spec(
        "keyring",
        "",
        "File of the keys that are trusted to sign adapters; empty: ~/.taskmem/trusted_keys.",
    ),
    Spec(
        "sync_at",
        "03:00",
        "Time of day, by the robot's clock and zone, at which a round begins; one that was missed is made up "
        "for. Empty: never by the clock.",
    ),
    Spec(
        "every_minutes", 0.0, "Also a round each time so many minutes have passed; 0: none.", 0.0, 100_000.0
    ),
    Spec(
        "jitter_s",
        300.0,
        "A round that is due begins up to so many seconds later, each robot at its own time, so that a fleet "
        "does not come all at once.",
        0.0,
        LONGEST_JITTER_S,
    ),
    Spec(
        "retry_minutes",
        15.0,
        "After a round that failed the next one follows in so many minutes, then in twice as many, up to six "
        "hours; 0: only when the next one is due.",
        0.0,
        1440.0,
    ),
    Spec(
        "stall_s",
        300.0,
        "A round in which nothing moves over the network for so long is given up, seconds.",
        1.0,
        86_400.0,
    ),
    Spec(
        "round_s",
        14_400.0,
        "A round that takes longer is given up, seconds; the next one goes on where it was.",
        1.0,
        604_800.0,
    ),
    _OF_AGENT["autostart"],
)


def check_sync(values: Mapping[str, Any]) -> None:
    """Judge the values one by one, then together. Raises ValueError with a sentence."""
    check(SYNC, values)
    try:
        time_of_day(values["sync_at"])
    except ValueError as error:
        raise ValueError(f"sync_at is {error}") from error
    if values["robot"] and not re.fullmatch(_ROBOT, values["robot"]):
        raise ValueError(
            f"robot is {values['robot']!r}; use up to 64 letters, digits and . _ -, beginning with a letter "
            "or digit, as in robot1."
        )
    if re.search(r"://[^/@]*:[^/@]+@", values["exchange"]):
        raise ValueError(
            "exchange has a password in it, which everybody in the ROS domain could read; leave it out, and "
            "give it by the environment or by the files of ssh and cloud clients (see config/sync.yaml)."
        )
    if values["stall_s"] > values["round_s"]:
        raise ValueError(
            f"stall_s is {values['stall_s']:g} and round_s {values['round_s']:g}; a round must be allowed to "
            "take longer than it may stand still."
        )


def robot_name(values: Mapping[str, Any], namespace: str) -> str:
    """The robot's name in the exchange: what was given, or the namespace, or the host's name, as a name can
    be written there.
    """
    if values["robot"]:
        return values["robot"]
    name = "-".join(part for part in namespace.split("/") if part) or socket.gethostname()
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-")[:64] or "robot"


def schedule(values: Mapping[str, Any], robot: str) -> Schedule:
    """When rounds begin by themselves; never without an exchange."""
    there = bool(values["exchange"])
    return Schedule(
        at=time_of_day(values["sync_at"]) if there else None,
        every_s=values["every_minutes"] * 60 if there else 0.0,
        jitter_s=values["jitter_s"],
        retry_s=values["retry_minutes"] * 60 if there else 0.0,
        name=robot,
    )


__all__ = ["CONTENTS", "SYNC", "check_sync", "database", "robot_name", "schedule"]
