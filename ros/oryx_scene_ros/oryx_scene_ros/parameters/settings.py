"""Parameter values become checked, frozen settings. No rclpy here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oryx_scene.config import GROUPS, PipelineConfig, config_from_dict, settings_of
from oryx_scene.model.api import Limits
from oryx_scene.sources.bags.pairing import CameraTopics


@dataclass(frozen=True)
class CameraSettings:
    """One camera; topic names as given, not yet expanded by ROS."""

    name: str
    topics: CameraTopics
    compressed: bool
    depth_compressed: bool
    required: bool
    detections: str = ""
    rotate_deg: int = 0


@dataclass(frozen=True)
class NodeSettings:
    """What one question is answered with: taken once, when it begins.

    Attributes:
        pipeline: of the core.
        limits: generation without deadline and cancellation.
        cameras: in the order of the parameter.
        others: every other value by parameter name.
    """

    pipeline: PipelineConfig
    limits: Limits
    cameras: tuple[CameraSettings, ...]
    others: Mapping[str, Any]

    def number(self, name: str) -> float:
        """A numeric parameter."""
        return float(self.others[name])

    def count(self, name: str) -> int:
        """An integer parameter."""
        return int(self.others[name])

    def text(self, name: str) -> str:
        """A text parameter."""
        return str(self.others[name])

    def camera(self, name: str) -> CameraSettings | None:
        """A camera by name."""
        return next((item for item in self.cameras if item.name == name), None)


def settings_from(values: Mapping[str, Any]) -> NodeSettings:
    """Build settings from parameter values that passed the schema.

    Raises:
        ConfigError: values that only together make no sense.
    """
    groups: dict[str, Any] = {
        kind.group: {key: values[f"{kind.group}.{key}"] for key in settings_of(kind)}
        for kind in GROUPS
    }
    pipeline = config_from_dict({**groups, "fixed_frame": values["fixed_frame"]})
    limits = Limits(
        max_new_tokens=values["gen.max_new_tokens"],
        temperature=values["gen.temperature"],
        top_p=values["gen.top_p"],
        seed=values["gen.seed"],
    )
    cameras = tuple(_camera(name, values) for name in values["cameras"])
    return NodeSettings(pipeline, limits, cameras, dict(values))


def _camera(name: str, values: Mapping[str, Any]) -> CameraSettings:
    def given(key: str) -> Any:
        return values[f"camera.{name}.{key}"]

    compressed = given("transport") == "compressed"
    depth_transport = given("depth_transport")
    depth_compressed = depth_transport != "raw"
    base = given("topic") or f"{name}/image_raw"
    depth = given("depth_topic")
    return CameraSettings(
        name,
        CameraTopics(
            name,
            f"{base}/compressed" if compressed else base,
            given("info_topic") or _beside(base),
            f"{depth}/{depth_transport}" if depth and depth_compressed else depth,
            given("depth_info_topic") or (_beside(depth) if depth else ""),
        ),
        compressed,
        depth_compressed,
        given("required"),
        given("detections_topic"),
        given("rotate_deg"),
    )


def _beside(topic: str) -> str:
    """`camera_info` next to an image topic (image_transport's convention)."""
    head, _, _ = topic.rpartition("/")
    return f"{head}/camera_info" if head or topic.startswith("/") else "camera_info"
