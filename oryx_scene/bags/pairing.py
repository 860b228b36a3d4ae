"""Which topics of a bag belong to one camera: picture, calibration and depth.

Decided from names, types and encodings of an index, and from a rig file where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from oryx_scene.bags.bag_index import BagIndex, ImageTopic
from oryx_scene.bags.data_file import Channel
from oryx_scene.bags.topics import (
    base_topic,
    camera_names,
    depth_topic,
    info_topic,
    is_depth_topic,
)
from oryx_scene.errors import SourceError
from oryx_scene.geometry.rig import Rig, RigCamera


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera; "" where there is none."""

    name: str
    image: str
    info: str
    depth: str
    depth_info: str


def pair_topics(index: BagIndex, rig: Rig | None, path: Path) -> dict[str, CameraTopics]:
    """Our name of a camera -> its topics.

    Raises:
        SourceError: no topic holds colour pictures.
    """
    images = index.images
    depths = [topic for topic, found in images.items() if is_depth(found)]
    colors = _one_transport([topic for topic in images if topic not in depths])
    if not colors:
        what = "only depth" if depths else "no image topic"
        kinds = ", ".join(sorted({_described(item) for item in index.channels})[:6])
        raise SourceError(
            path, f"the bag holds {what} (types: {kinds}).", hint="record the cameras too"
        )
    names = {**camera_names(colors), **_rig_names(rig, colors)}
    infos = sorted(index.infos)
    found = {}
    for topic in colors:
        camera = rig_camera(rig, names[topic])
        depth = camera.depth_topic or depth_topic(topic, sorted(depths), colors)
        found[names[topic]] = CameraTopics(
            names[topic],
            topic,
            info_topic(topic, infos),
            depth if depth in images else "",
            info_topic(depth, infos) if depth else "",
        )
    return found


def _described(channel: Channel) -> str:
    form = "" if channel.understood else f" encoded as '{channel.encoding}', which is not read"
    return f"{channel.msgtype or 'no type'}{form}"


def rig_camera(rig: Rig | None, name: str) -> RigCamera:
    """What a rig file says of a camera; nothing where it does not know it."""
    return (rig.cameras.get(name) if rig else None) or RigCamera()


def _one_transport(topics: list[str]) -> list[str]:
    """Raw before compressed where a camera was recorded both ways."""
    by_base: dict[str, list[str]] = {}
    for topic in topics:
        by_base.setdefault(base_topic(topic), []).append(topic)
    return [min(several, key=len) for _, several in sorted(by_base.items())]


def _rig_names(rig: Rig | None, topics: list[str]) -> dict[str, str]:
    if rig is None:
        return {}
    return {camera.topic: name for name, camera in rig.cameras.items() if camera.topic in topics}


def is_depth(found: ImageTopic) -> bool:
    """Whether an image topic carries depth, by its encoding (REP-118) or a vendor's habit."""
    if found.encoding in ("16UC1", "32FC1") or "compressedDepth" in found.encoding:
        return True
    # RealSense recordings say mono16 for depth.
    return found.encoding == "mono16" and is_depth_topic(found.topic)
