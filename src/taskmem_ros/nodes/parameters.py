"""Parameters: what each is, may be, and when it may change; values are judged as a set.

The specs and the checks need no ROS; `declare` and `guard` are the few lines that hand them to rclpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spec:
    """One parameter: `low`/`high` bound numbers (inclusive), `choices` list the allowed words.

    `when` says when it may change: "always", "unconfigured" (a lifecycle node that is not configured),
    "never".
    """

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    when: str = "always"

    def problem(self, value: Any) -> str | None:
        """A sentence that names the value and what is allowed, or None when `value` is fine."""
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}; allowed are {', '.join(self.choices)}."
        if self.low is not None and not self.low <= value <= self.high:
            return f"{self.name} is {value:g}; it must lie between {self.low:g} and {self.high:g}."
        return None


def defaults(specs: Sequence[Spec]) -> dict[str, Any]:
    return {spec.name: spec.default for spec in specs}


def check(specs: Sequence[Spec], values: Mapping[str, Any]) -> None:
    """Judge each value by its spec. Raises ValueError with one sentence per wrong value."""
    problems = [problem for spec in specs if (problem := spec.problem(values[spec.name]))]
    if problems:
        raise ValueError(" ".join(problems))


def describe(spec: Spec) -> Any:
    """The rcl_interfaces ParameterDescriptor of `spec`."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    descriptor = ParameterDescriptor(
        name=spec.name, description=spec.description, read_only=spec.when == "never"
    )
    if spec.choices:
        descriptor.additional_constraints = "One of: " + ", ".join(spec.choices)
    elif spec.when == "unconfigured":
        descriptor.additional_constraints = "Can change while the node is unconfigured."
    if spec.low is not None:
        if isinstance(spec.default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=0)
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high), step=0.0)
            ]
    return descriptor


def declare(node: Any, specs: Sequence[Spec]) -> None:
    """Declare `specs` on an rclpy node. Raises ValueError with a sentence when a start value is wrong."""
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    for spec in specs:
        default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        try:
            node.declare_parameter(spec.name, default, describe(spec))
        except InvalidParameterTypeException as error:
            raise ValueError(f"{error}; write a value of the same type as {default!r}.") from error
        except InvalidParameterValueException as error:
            raise ValueError(f"{spec.name} was refused at the start: {error}") from error


def read(node: Any, specs: Sequence[Spec]) -> dict[str, Any]:
    """The present values of `specs` on `node`."""
    return {spec.name: node.get_parameter(spec.name).value for spec in specs}


def guard(
    node: Any,
    specs: Sequence[Spec],
    judge: Callable[[Mapping[str, Any]], None],
    *,
    configured: Callable[[], bool] = lambda: True,
    changed: Callable[[], None] = lambda: None,
) -> None:
    """Refuse changes that `judge` raises ValueError for, or that come when the spec does not allow them.

    `changed()` is called after a change was accepted by this check; the new values can be read a moment
    later.
    """
    from rcl_interfaces.msg import SetParametersResult

    by_name = {spec.name: spec for spec in specs}

    def on_set(parameters: Sequence[Any]) -> Any:
        news = {p.name: p.value for p in parameters if p.name in by_name}
        if not news:
            return SetParametersResult(successful=True)
        late = [name for name in news if by_name[name].when == "unconfigured" and configured()]
        if late:
            return SetParametersResult(
                successful=False,
                reason=(
                    f"{', '.join(late)} can change only while the node is unconfigured; "
                    "deactivate and clean it up first."
                ),
            )
        try:
            judge({**read(node, specs), **news})
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        changed()
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)
