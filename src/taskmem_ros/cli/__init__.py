"""The `taskmem` command. `main` finds the command; each module here has the commands of one kind."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from taskmem_ros import __version__
from taskmem_ros.cli import (
    adapters,
    ask,
    bundle,
    doctor,
    export,
    feedback,
    index,
    ingest,
    keep,
    keys,
    look,
    report,
    sync,
)
from taskmem_ros.cli.ros import NoRos, import_node_module
from taskmem_ros.memory import StoreError

# Commands that run nodes: everything after their name is theirs (ros2 launch adds --ros-args), rclpy
# included.
NODE_COMMANDS = {
    "up": ("taskmem_ros.nodes.up", "start the agent and its cameras, as ros2 launch would"),
    "demo": ("taskmem_ros.nodes.demo", "the demo home: watch, remember, ask, compare with the truth"),
    "nights": ("taskmem_ros.nodes.nights", "the demo home by day and night: asked, learned from, better"),
    "agent": ("taskmem_ros.nodes.agent", "run the agent node alone"),
    "sync-node": ("taskmem_ros.nodes.sync", "run the node of the exchange alone"),
    "home-camera": ("taskmem_ros.nodes.home_camera", "run the demo home's camera node alone"),
    "video-camera": ("taskmem_ros.nodes.video_camera", "publish a film or a camera device as a camera node"),
}
ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 nothing found or not well, 2 error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in NODE_COMMANDS:
            return _run_node(arguments[0], arguments[1:])
        options = _parser().parse_args(arguments)
        status = options.run(options)
        sys.stdout.flush()  # here a closed pipe is caught, at the interpreter's end it is not
        return status
    except (StoreError, ValueError, NoRos) as error:
        print(f"taskmem: {error}", file=sys.stderr)
        return ERROR
    except BrokenPipeError:  # `taskmem timeline | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("taskmem: interrupted", file=sys.stderr)
        return 130


def _run_node(command: str, arguments: list[str]) -> int:
    module = import_node_module(NODE_COMMANDS[command][0], f"`taskmem {command}`")
    return module.main(arguments) or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskmem",
        description="A robot's long-term memory: what was seen, asked of it, and how it is doing.",
        epilog="taskmem COMMAND --help tells more, with examples. `taskmem doctor` says what is missing.",
    )
    parser.add_argument("--version", action="version", version=f"taskmem {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    ask.add_commands(commands)
    look.add_commands(commands)
    report.add_commands(commands)
    ingest.add_commands(commands)
    index.add_commands(commands)
    keep.add_commands(commands)
    export.add_commands(commands)
    feedback.add_commands(commands)
    bundle.add_commands(commands)
    sync.add_commands(commands)
    keys.add_commands(commands)
    adapters.add_commands(commands)
    doctor.add_commands(commands)
    for name, (_module, text) in NODE_COMMANDS.items():
        commands.add_parser(name, help=f"{text} (needs ROS 2)", add_help=False)
    return parser
