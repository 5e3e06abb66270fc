"""How each node's process begins and ends."""

from __future__ import annotations

import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from .parameters import Spec

WAKE_S = 0.2


def run(make_node: Callable[[], Any], args: Sequence[str] | None, about: str, specs: Sequence[Spec]) -> int:
    """Spin the node of `make_node` until SIGINT, SIGTERM or its own SystemExit; return the exit code.

    about, specs: what --help prints. rclpy's signal handlers are left out: they invalidate the context at
    once, and then nothing can be published on the way out. Python's exception ends the spin instead, and the
    node's `close()` still has a working context.
    """
    args = list(sys.argv[1:] if args is None else args)
    words = remove_ros_args(["", *args])[1:]
    if words:
        helping = words[0] in ("-h", "--help")
        print(
            usage(about, specs)
            if helping
            else f"error: {' '.join(words)!r} is not known; parameters are given as in "
            "--ros-args -p name:=value, and --help lists them.",
            file=sys.stdout if helping else sys.stderr,
        )
        return 0 if helping else 2
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    node = None
    code = 0
    try:
        node = make_node()
        # Python runs its signal handlers between two waits of the executor, so that none may last.
        node.create_timer(WAKE_S, lambda: None, clock=Clock(clock_type=ClockType.STEADY_TIME))
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except ValueError as error:
        if node is not None:
            raise
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # asked to end
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        # A second Ctrl-C must not cut the flush short; the store's commits are quick.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if node is not None:
                node.close()
                node.destroy_node()
        except Exception:
            print(f"error while ending:\n{traceback.format_exc()}", file=sys.stderr)
            code = code or 1
        rclpy.try_shutdown()
    return code


def usage(about: str, specs: Sequence[Spec]) -> str:
    """What --help prints: what the node is, and its parameters."""
    lines = [about, "", "Parameters, given as in: --ros-args -p name:=value", ""]
    for spec in specs:
        default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        allowed = (
            f"; {', '.join(spec.choices)}"
            if spec.choices
            else ("" if spec.low is None else f"; {spec.low:g} to {spec.high:g}")
        )
        lines.append(f"  {spec.name} (default: {default!r}{allowed})")
        lines.append(textwrap.fill(spec.description, 100, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)
