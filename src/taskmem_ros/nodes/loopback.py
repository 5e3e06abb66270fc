"""An environment in which processes hear each other over DDS and nobody else does."""

from __future__ import annotations

import os
import random
import socket


def loopback_environment(domain: int | None = None) -> dict[str, str]:
    """Variables that keep ROS 2 on this machine, in a domain of its own (0..101; None: a free one)."""
    domain = free_domain() if domain is None else domain
    return {
        "ROS_DOMAIN_ID": str(domain),
        # Humble knows only the older variable; later releases warn about it.
        **(
            {"ROS_LOCALHOST_ONLY": "1"}
            if os.environ.get("ROS_DISTRO") == "humble"
            else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        ),
    }


def free_domain() -> int:
    """A domain from 1 to 101 in which nobody on this machine seems to be; any where none is free."""
    domains = random.SystemRandom().sample(range(1, 102), 101)
    return next((domain for domain in domains if not _in_use(domain)), domains[0])


def _in_use(domain: int) -> bool:
    """Whether somebody has the port of a domain's first participant (DDSI-RTPS 9.6.2)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 7410 + 250 * domain))
        except OSError:
            return True
    return False
