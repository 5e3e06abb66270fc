"""A bring-up: its arguments, and the nodes they ask for. `ros2 launch` and `taskmem up` share it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .agent_parameters import AGENT
from .sync_parameters import SYNC

_SPECS = {spec.name: spec for spec in (*SYNC, *AGENT)}


@dataclass(frozen=True)
class Argument:
    """One argument of a bring-up; values are text, as on a command line."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


def _of_node(name: str) -> Argument:
    spec = _SPECS[name]
    default = ",".join(spec.default) if isinstance(spec.default, tuple) else str(spec.default)
    return Argument(name, default, spec.description, spec.choices)


_BOOL = ("true", "false")
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")

ARGUMENTS: tuple[Argument, ...] = (
    Argument("namespace", "", "Namespace of every node and name, as in robot1."),
    Argument(
        "params_file",
        "",
        "YAML file of ROS parameters, for all nodes; what is given here as an argument wins over it.",
    ),
    Argument("use_sim_time", "false", "Take time from /clock.", _BOOL),
    Argument(
        "autostart",
        "true",
        "Agent and sync node configure and activate themselves; false: a lifecycle manager does.",
        _BOOL,
    ),
    Argument("log_level", "info", "Least level that is logged.", LOG_LEVELS),
    Argument("use_respawn", "false", "Start a node again when it dies.", _BOOL),
    _of_node("model"),
    _of_node("quantization"),
    _of_node("device"),
    _of_node("database"),
    Argument(
        "cameras", "camera", "Names of the cameras, separated by commas; camera C is read from C/image_raw."
    ),
    _of_node("image_topic"),
    _of_node("image_transport"),
    Argument(
        "sync",
        "false",
        "Also start taskmem_sync, which carries tasks out and adapters in; so does exchange.",
        _BOOL,
    ),
    _of_node("exchange"),
    Argument("demo", "false", "Also start the demo home's camera.", _BOOL),
    Argument("video", "", "Also publish this film file, or the device of this index, as a camera."),
)


@dataclass(frozen=True)
class NodePlan:
    """One node to start.

    executable: in lib/taskmem. parameters: typed values. required: when this node ends, all do. lasting: it
    does not end by itself, so that it may be started again when it does. lifecycle: a lifecycle node.
    Of two settings of one parameter the last wins: a default, then params_file, then those `given` as
    arguments.
    """

    executable: str
    name: str
    namespace: str
    params_file: str
    log_level: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    required: bool = True
    lasting: bool = True
    lifecycle: bool = False
    remappings: tuple[tuple[str, str], ...] = ()
    given: frozenset[str] = frozenset()

    @property
    def full_name(self) -> str:
        return "/".join(["", *(part for part in self.namespace.split("/") if part), self.name])

    def ros_arguments(self, given_file: str = "") -> list[str]:
        """What stands after the executable on a command line.

        rcl ranks settings by where their pattern of node names comes first, and every -p has the pattern of
        all nodes. So after a params_file what was given only wins in a file of its own: `given_file`, with
        `given_yaml`.
        """
        words = ["--ros-args", "-r", f"__node:={self.name}", "--log-level", self.log_level]
        if self.namespace:
            words += ["-r", f"__ns:={self.full_name.rpartition('/')[0]}"]
        for old, new in self.remappings:
            words += ["-r", f"{old}:={new}"]
        for name, value in self.parameters.items():
            if not (given_file and name in self.given):
                words += ["-p", f"{name}:={_yaml(value)}"]
        if self.params_file:
            words += ["--params-file", self.params_file]
        if given_file:
            words += ["--params-file", given_file]
        return words

    def given_yaml(self) -> str:
        """What was given as arguments, as a parameters file of this node; "" where that is nothing."""
        lines = [
            f"    {name}: {_yaml(value)}" for name, value in self.parameters.items() if name in self.given
        ]
        return "\n".join([f"{self.full_name}:", "  ros__parameters:", *lines, ""]) if lines else ""


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # In double quotes a device index, a hash or "none" stays a string.
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    return repr(value)


def complete(given: Mapping[str, str]) -> dict[str, str]:
    """`given` with the defaults filled in. Raises ValueError, in a sentence, for a wrong name or value."""
    known = {argument.name: argument for argument in ARGUMENTS}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"there is no argument {name!r}; there are: {', '.join(known)}.")
        if known[name].choices and value not in known[name].choices:
            raise ValueError(f"{name} is {value!r}; allowed are {', '.join(known[name].choices)}.")
    values = {name: given.get(name, argument.default) for name, argument in known.items()}
    if values["demo"] == "true" and values["video"]:
        raise ValueError(
            f"demo is true and video is {values['video']!r}; only one of them can be the camera."
        )
    return values


def plan(given: Mapping[str, str]) -> list[NodePlan]:
    """The nodes to start for these arguments, the agent first.

    An argument that is not in `given` is left to params_file where there is one, and to the node's own
    default.
    """
    values = complete(given)
    common: dict[str, Any] = dict(
        namespace=values["namespace"],
        params_file=values["params_file"],
        log_level=values["log_level"],
        given=frozenset(given) | ({"camera"} if "cameras" in given else frozenset()),
    )
    if values["demo"] == "true" and values["namespace"]:
        # Each demo home has a map of its own; on the common /tf two of them would be one.
        common["remappings"] = (("/tf", "tf"), ("/tf_static", "tf_static"))
    wanted = [
        name
        for name in ("model", "quantization", "device", "database", "image_topic", "image_transport")
        if name in given
    ]
    parameters: dict[str, Any] = {name: values[name] for name in wanted}
    if "cameras" in given:
        parameters["cameras"] = [camera.strip() for camera in values["cameras"].split(",") if camera.strip()]
    parameters["use_sim_time"] = values["use_sim_time"] == "true"
    parameters["autostart"] = values["autostart"] == "true"
    plans = [NodePlan("taskmem_agent", "taskmem_agent", parameters=parameters, lifecycle=True, **common)]
    if values["sync"] == "true" or values["exchange"]:
        # Whatever becomes of it, the agent goes on.
        shared = {name: values[name] for name in ("exchange", "database") if name in given}
        plans.append(
            NodePlan(
                "taskmem_sync",
                "taskmem_sync",
                parameters={**shared, "autostart": parameters["autostart"]},
                required=False,
                lifecycle=True,
                **common,
            )
        )
    camera = {"camera": values["cameras"].split(",")[0].strip()}
    if values["demo"] == "true":
        # Nobody else would tell the time of the home.
        clock = {"publish_clock": True} if parameters["use_sim_time"] else {}
        plans.append(NodePlan("home_camera", "home_camera", parameters={**camera, **clock}, **common))
    if values["video"]:
        # When the film has ended, questions about it may still come.
        plans.append(
            NodePlan(
                "video_camera",
                "video_camera",
                parameters={**camera, "video": values["video"]},
                required=False,
                lasting=False,
                **common,
            )
        )
    return plans
