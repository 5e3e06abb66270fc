"""An environment in which processes hear each other over DDS and nobody else does."""

from __future__ import annotations

import os
import random


def loopback_environment(domain: int | None = None) -> dict[str, str]:
    """Variables that keep ROS 2 on this machine, in a domain of its own (0..101; None: any above 0)."""
    domain = random.SystemRandom().randint(1, 101) if domain is None else domain
    return {
        "ROS_DOMAIN_ID": str(domain),
        # Humble knows only the older variable; later releases warn about it.
        **(
            {"ROS_LOCALHOST_ONLY": "1"}
            if os.environ.get("ROS_DISTRO") == "humble"
            else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        ),
    }
