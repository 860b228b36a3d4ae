"""Parameters qos_overrides.<topic>.<publisher|subscription>.<policy>, as ROS 2 has them.

rclpy declares such a parameter when the publisher or subscription is made, read-only and for good.
Here only what was given is declared: a default that stays would win over `image_reliability` at the
next activation.
"""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from oryx_scene.errors import ConfigError
from oryx_scene_ros.distribution import parameter_overrides

PREFIX = "qos_overrides."
# Policy -> what its values are called; a number where there is none.
POLICIES: dict[str, Any] = {
    "history": HistoryPolicy,
    "depth": None,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
}


class QosOverrides:
    """What was given of one node, and which of it was used.

    Args:
        node: owner of the publishers and subscriptions.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        given = parameter_overrides(node)
        self._given = {name: item for name, item in given.items() if name.startswith(PREFIX)}
        self._used: set[str] = set()

    def publisher(self, topic: str) -> QoSOverridingOptions:
        """For ``create_publisher`` on ``topic``, as given there.

        Raises:
            ConfigError: a value that the policy does not have.
        """
        return self._options(topic, "publisher")

    def subscription(self, topic: str) -> QoSOverridingOptions:
        """The same for ``create_subscription``."""
        return self._options(topic, "subscription")

    def unused(self) -> list[str]:
        """What was given and has changed nothing, one sentence each."""
        return [
            f"{name} belongs to no topic and policy of this node."
            for name in sorted(set(self._given) - self._used)
        ]

    def _options(self, topic: str, kind: str) -> QoSOverridingOptions:
        base = f"{PREFIX}{self._node.resolve_topic_name(topic)}.{kind}."
        given = [policy for policy in POLICIES if f"{base}{policy}" in self._given]
        for policy in given:
            _check(f"{base}{policy}", self._given[f"{base}{policy}"].value, POLICIES[policy])
            self._used.add(f"{base}{policy}")
        return QoSOverridingOptions([QoSPolicyKind[policy.upper()] for policy in given])


def _check(name: str, value: object, values: Any) -> None:
    if values is None:
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number above 0.")
        return
    known = [item.name.lower() for item in values if item.name != "UNKNOWN"]
    if not isinstance(value, str) or value.lower() not in known:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
