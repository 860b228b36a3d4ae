"""Which topics of a bag belong to one camera: picture, calibration and depth.

Decided from names, types and encodings of an index, and from a rig file where there is one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from oryx_scene.errors import SourceError
from oryx_scene.geometry.rig import Rig, RigCamera
from oryx_scene.sources.bags.compressed import parse_format
from oryx_scene.sources.bags.data_file import Channel
from oryx_scene.sources.bags.index import BagIndex, ImageTopic
from oryx_scene.sources.bags.topics import (
    base_topic,
    camera_names,
    depth_topic,
    info_topic,
    named_kind,
    stem,
)
from oryx_scene.warning import Warning


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
    roles = {topic: role_of(found, rig) for topic, found in images.items()}
    depths = [topic for topic, role in roles.items() if role.kind == "depth"]
    colors = _one_transport([topic for topic, role in roles.items() if role.kind == "picture"])
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
            info_topic(topic, infos, list(images)),
            depth if depth in images else "",
            info_topic(depth, infos, list(images)) if depth else "",
        )
    index.warnings += _unused(roles, found.values())
    return found


def _described(channel: Channel) -> str:
    form = "" if channel.understood else f" encoded as '{channel.encoding}', which is not read"
    return f"{channel.msgtype or 'no type'}{form}"


def _unused(roles: Mapping[str, Role], cameras: Collection[CameraTopics]) -> list[Warning]:
    """Image topics that are no part of any camera, where that is a loss or a surprise."""
    with_depth = {stem(item.depth) for item in cameras if item.depth}
    with_depth |= {stem(item.image) for item in cameras if item.depth}
    said = []
    for topic, role in sorted(roles.items()):
        if role.kind == "depth" and stem(topic) not in with_depth:
            text = "it is depth, and which camera it belongs to is not clear: not used"
            said.append(Warning("depth_unused", text, topic=topic))
        elif role.kind == "" and stem(topic) not in with_depth:
            said.append(Warning(role.code, role.reason, topic=topic))
    return said


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


@dataclass(frozen=True)
class Role:
    """What an image topic is taken for.

    Attributes:
        kind: "picture", "depth", or "" for neither.
        reason: why it is neither.
        code: of the warning that says so.
    """

    kind: str
    reason: str = ""
    code: str = "image_topic_unused"


def role_of(found: ImageTopic, rig: Rig | None) -> Role:
    """Whether an image topic carries pictures or depth.

    By the rig's word; else by encoding (REP-118), what the payload is and what the name says: a
    16-bit picture of an infrared sensor is no depth, a 16-bit png on a depth topic is.
    """
    stated = _stated_role(found.topic, rig)
    if stated is not None:
        return stated
    name = named_kind(found.topic)
    if not _holds_numbers(found, name):
        return Role("picture")
    if name == "other":
        return Role("", f"{_first_word(found)} whose name says that it is no depth: not used")
    if _is_lossy(found):
        text = "depth as jpeg: its values are no longer distances, not used"
        return Role("", text, "depth_lossy")
    return Role("depth")


def _stated_role(topic: str, rig: Rig | None) -> Role | None:
    if rig is None:
        return None
    for camera in rig.cameras.values():
        if topic in (camera.topic, camera.depth_topic):
            return Role("picture" if topic == camera.topic else "depth")
    stated = rig.roles.get(topic, rig.roles.get(base_topic(topic)))
    if stated == "ignored":
        return Role("", "the rig file says to ignore it")
    return None if stated is None else Role(stated)


def _holds_numbers(found: ImageTopic, name: str) -> bool:
    """Whether the values are 16-bit or float numbers that may be distances, and no grey values."""
    first = _first_word(found)
    if first in ("16UC1", "32FC1") or "compressedDepth" in found.encoding:
        return True
    # RealSense recordings say mono16 for depth, image_transport may leave out what was compressed.
    return name == "depth" and (first == "mono16" or found.png16)


def _first_word(found: ImageTopic) -> str:
    """The encoding before compression, "" where a compressed picture does not say it."""
    if found.msgtype.endswith("CompressedImage"):
        return parse_format(found.encoding)[0]
    return found.encoding


def _is_lossy(found: ImageTopic) -> bool:
    return found.msgtype.endswith("CompressedImage") and parse_format(found.encoding)[1] == "jpeg"
