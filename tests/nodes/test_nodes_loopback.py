"""The domain of a play is one that nobody on this machine is in."""

import socket

from taskmem_ros.nodes import loopback


def test_a_domain_in_which_somebody_is_is_not_taken(monkeypatch):
    taken = loopback.free_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
        somebody.bind(("", 7410 + 250 * taken))
        assert taken not in {loopback.free_domain() for _ in range(300)}
        monkeypatch.setattr(loopback, "_in_use", lambda domain: True)
        assert 1 <= loopback.free_domain() <= 101, "a full machine is no reason to fail"
