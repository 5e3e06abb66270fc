"""How each node's process begins and ends."""
from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions


def run(make_node: Callable[[], Any], args: Sequence[str] | None = None) -> int:
    """Spin the node of `make_node` until SIGINT, SIGTERM or its own `stop`; return the process's exit code.

    rclpy's signal handlers are left out: they invalidate the context at once, and then nothing can be published on
    the way out. Python's exception ends the spin instead, and the node's `close()` still has a working context.
    A node may set `exit_code` and raise SystemExit from a callback to end by itself.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    node = None
    code = 0
    try:
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except ValueError as error:
        if node is not None:
            raise
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
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


def without_ros_arguments(args: Sequence[str] | None) -> list[str]:
    """The words of a command line that rclpy does not take for itself."""
    from rclpy.utilities import remove_ros_args

    return remove_ros_args(["", *args])[1:] if args is not None else remove_ros_args(sys.argv)[1:]
