"""Declares the parameters, refuses bad ones with a reason, keeps the settings of the next query."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from oryx_scene.errors import ConfigError
from oryx_scene_ros.distribution import after_parameters_set, parameter_overrides
from oryx_scene_ros.parameters.schema import (
    SPECS,
    Spec,
    camera_specs,
    parameters_left_out,
    problem_with,
    unknown_parameter,
)
from oryx_scene_ros.parameters.settings import NodeSettings, settings_from


def descriptor_of(spec: Spec) -> ParameterDescriptor:
    """What `ros2 param describe` and rqt show."""
    descriptor = ParameterDescriptor(description=spec.text)
    if spec.choices:
        descriptor.additional_constraints = f"one of: {spec.range_text()}"
    if spec.read_only:
        descriptor.additional_constraints += " (only while unconfigured)"
    # `max_age_s: 1` in a file, or `ros2 param set ... 1`, is an integer to ROS: it is taken, too.
    descriptor.dynamic_typing = isinstance(spec.default, float)
    if spec.low is not None and spec.high is not None:
        if isinstance(spec.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.low), to_value=int(spec.high))
            ]
    return descriptor


class Parameters:
    """The parameters of one node.

    Args:
        node: owner.
        on_change: called after accepted changes.
    """

    def __init__(self, node: Node, on_change: Callable[[], None]) -> None:
        self._node = node
        self._specs: dict[str, Spec] = {}
        self._on_change = on_change
        self.configured = False
        self._settings: NodeSettings | None = None
        self._lock = threading.Lock()
        self.problems: list[str] = []
        # Values of a parameter file are judged when they are declared, by the same check.
        node.add_on_set_parameters_callback(self._check)
        self._declare(SPECS)
        self.declare_cameras()
        after_parameters_set(node, self._taken)

    def _declare(self, specs: Sequence[Spec]) -> None:
        for spec in specs:
            if spec.name in self._specs:
                continue
            self._specs[spec.name] = spec
            try:
                self._node.declare_parameter(spec.name, spec.default, descriptor_of(spec))
            except (InvalidParameterValueException, InvalidParameterTypeException) as err:
                # The node comes up all the same: "configure" fails with these sentences.
                self.problems.append(_reason(err, spec))
                self._node.declare_parameter(
                    spec.name, spec.default, descriptor_of(spec), ignore_override=True
                )

    def declare_cameras(self) -> None:
        """Declare the parameters of every camera that is named now."""
        for name in self._value("cameras"):
            self._declare(camera_specs(name))

    def _value(self, name: str) -> Any:
        value = self._node.get_parameter(name).value
        default = self._specs[name].default
        return type(default)(value) if isinstance(default, list | float) else value

    def settings(self) -> NodeSettings:
        """What the next query is answered with.

        Raises:
            ConfigError: a value of the parameter file was refused, or values do not fit together.
        """
        # Asked for at every picture that comes in, by several threads.
        with self._lock:
            if self._settings is None:
                self._settings = self._checked_settings()
            return self._settings

    def _checked_settings(self) -> NodeSettings:
        if self.problems:
            raise ConfigError(
                " ".join(self.problems), hint="repair the parameter file, or `ros2 param set`"
            )
        problem = unknown_parameter(self._value("cameras"), self._given(), self._undeclared())
        if problem:
            raise ConfigError(problem, hint="repair the parameter file, or the launch argument")
        return settings_from({name: self._value(name) for name in self._specs})

    def _given(self) -> list[str]:
        """Names in the parameter file and among the command line's overrides."""
        return sorted(parameter_overrides(self._node))

    def _undeclared(self) -> list[str]:
        return [name for name in self._given() if not self._node.has_parameter(name)]

    def left_out(self) -> list[str]:
        """What was given and is not used, one sentence each."""
        return parameters_left_out(self._value("cameras"), self._given(), self._undeclared())

    def _check(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            spec = self._specs.get(parameter.name)
            if spec is None:
                continue
            value = parameter.value
            if isinstance(spec.default, list) and value is not None:
                value = list(value)
            problem = problem_with(spec, value)
            if not problem and spec.read_only and self.configured:
                problem = f"{spec.name} can only be changed while the node is unconfigured."
            if problem:
                return SetParametersResult(successful=False, reason=problem)
        return SetParametersResult(successful=True)

    def _taken(self, parameters: Sequence[Parameter]) -> None:
        names = {parameter.name for parameter in parameters}
        if not names & set(self._specs):
            return
        with self._lock:
            self._settings = None
        # What has been set to a good value since is no problem any more.
        self.problems = [text for text in self.problems if text.split(" ", 1)[0] not in names]
        if "cameras" in names:
            self.declare_cameras()
        self._on_change()


def _reason(err: Exception, spec: Spec) -> str:
    text = " ".join(str(err).split())
    at = text.find(f"{spec.name} ")
    return text[at:] if at >= 0 else f"{spec.name} in the parameter file: {text}"
