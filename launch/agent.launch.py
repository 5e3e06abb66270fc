"""The agent, and a camera or the sync node where asked for.

The arguments (ros2 launch taskmem agent.launch.py --show-args) are those of `taskmem up`, which starts the
same nodes where ros2 launch is not installed: taskmem_ros.nodes.bringup has the table of both. Of two
settings of one parameter the argument wins over params_file, but only if it was given.
"""

from typing import Any, List, Optional

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import Parameter, ParameterValue

from taskmem_ros.nodes.bringup import ARGUMENTS, NodePlan, plan

RESPAWN_DELAY_S = 2.0
ARGUMENT_OF = {"camera": "cameras"}  # the parameter of a camera's node that has another argument's name


def generate_launch_description() -> LaunchDescription:
    given: dict[str, str] = {}

    def note_what_is_given(context: LaunchContext) -> None:
        # Before the declarations: they fill in the defaults, and then nobody can tell.
        given.update(
            {
                a.name: context.launch_configurations[a.name]
                for a in ARGUMENTS
                if a.name in context.launch_configurations
            }
        )

    declarations = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=a.choices or None
        )
        for a in ARGUMENTS
    ]
    nodes = OpaqueFunction(function=lambda context: [GroupAction(start_nodes(given))])
    return LaunchDescription([OpaqueFunction(function=note_what_is_given), *declarations, nodes])


def start_nodes(given: dict[str, str]) -> List[LaunchDescriptionEntity]:
    """One action for each node that the arguments ask for."""
    respawn = given.get("use_respawn") == "true"
    return [start_node(node, given, respawn) for node in plan(given)]


def start_node(node: NodePlan, given: dict[str, str], respawn: bool) -> Node:
    # The file wins over an argument's default, and an argument that was given wins over the file. rcl ranks
    # settings by the place where each pattern of node names comes first: "/**" (a Parameter), those of the
    # file, the full name (a dict).
    by_default: List[Parameter] = []
    by_argument: dict[str, Any] = {}
    for name, value in node.parameters.items():
        if ARGUMENT_OF.get(name, name) in given:
            by_argument[name] = typed(value)
        else:
            by_default.append(Parameter(name, value, value_type=type(value)))

    def end_all(event: ProcessExited, context: LaunchContext) -> Optional[Shutdown]:
        return None if context.is_shutdown else Shutdown(reason=f"{node.name} has ended")

    kind = LifecycleNode if node.lifecycle else Node
    return kind(
        package="taskmem",
        executable=node.executable,
        name=node.name,
        namespace=node.namespace,
        remappings=list(node.remappings),
        parameters=[setting for setting in (*by_default, node.params_file, by_argument) if setting],
        ros_arguments=["--log-level", node.log_level],
        output="both",
        emulate_tty=True,
        respawn=respawn and node.lasting,
        respawn_delay=RESPAWN_DELAY_S,
        on_exit=end_all if node.required and not respawn else None,
    )


def typed(value: Any) -> Any:
    """A parameter that stays what it is: launch would read the text "0" as a number."""
    if isinstance(value, str):
        return ParameterValue(value, value_type=str)
    if isinstance(value, list):
        return ParameterValue(value, value_type=List[str])
    return value
