"""Which image topics are cameras: not what this project or a detector drew, nor a second version.

A picture with old numbers or boxes in it takes the place of a view and is answered about as if it
were the scene. What is left out is said; a rig file that names a topic keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable

from oryx_scene.geometry.rig import Rig
from oryx_scene.sources.bags.decode import knows_encoding
from oryx_scene.sources.bags.index import BagIndex, ImageTopic
from oryx_scene.sources.bags.pairing import role_of
from oryx_scene.sources.bags.topics import base_topic, parts_of

# The node's ~/marked/<camera>, and what replay writes beside it.
OWN_TOPIC, OWN_FRAME = "marked", "oryx_scene/"
# Words that detectors and debuggers give to pictures that they drew.
_DRAWN_WORDS = {
    *("debug", "dbg", "annotated", "annotations", "overlay", "overlaid", "visualization"),
    *("visualisation", "viz", "mask", "masks", "segmentation", "segmented", "heatmap", "boxes"),
}
# Codecs of CompressedImage that are streams, of which no message stands alone.
_STREAMS = ("h264", "h265", "hevc", "av1", "theora", "ffmpeg", "vp8", "vp9")


def leave_out_no_cameras(index: BagIndex, rig: Rig | None) -> None:
    """Take image topics that are no cameras out of an index, with a warning for each."""
    kept = set()
    if rig is not None:
        kept = {camera.topic for camera in rig.cameras.values()}
        kept |= {topic for topic, role in rig.roles.items() if role == "picture"}
    pictures = {
        name: item for name, item in index.images.items() if role_of(item, rig).kind == "picture"
    }
    reasons = {
        name: why
        for name, item in pictures.items()
        if name not in kept and (why := _own_or_foreign(item))
    }
    rest = [item for name, item in pictures.items() if name not in reasons]
    for item in rest:
        others = [other for other in rest if other is not item and other.topic not in reasons]
        why = _drawn_or_second(item, others, index.infos)
        if why and item.topic not in kept:
            reasons[item.topic] = why
    if set(reasons) == set(pictures) and all(
        code == "topic_undecodable" for code, _ in reasons.values()
    ):
        return  # decoding says what is wrong with each picture
    for name, (code, text) in reasons.items():
        index.warn(code, text, name)
        del index.images[name]


def _own_or_foreign(item: ImageTopic) -> tuple[str, str] | None:
    parts = parts_of(base_topic(item.topic))
    if item.frame_id.startswith(OWN_FRAME) or parts[-2:-1] == (OWN_TOPIC,):
        return "topic_of_marked_pictures", "left out: oryx_scene drew numbers into its pictures"
    encoding = item.encoding
    if item.msgtype.endswith("/CompressedImage"):
        if any(word in encoding.lower() for word in _STREAMS):
            return "topic_undecodable", f"left out: its pictures are a stream ('{encoding}')"
    elif encoding and not knows_encoding(encoding):
        return "topic_undecodable", f"left out: encoding '{encoding}' is not known"
    return None


def _drawn_or_second(
    item: ImageTopic, others: list[ImageTopic], infos: Iterable[str]
) -> tuple[str, str] | None:
    own = _own_info(item.topic, infos)
    words = {word for part in parts_of(base_topic(item.topic)) for word in part.lower().split("_")}
    if words & _DRAWN_WORDS and not own and others:
        return "topic_of_drawn_pictures", "left out: its name says that something was drawn into it"
    for other in others:
        if base_topic(other.topic) == base_topic(item.topic) or not _same_moments(item, other):
            continue
        info = _own_info(other.topic, infos)
        if info and (not own or (own == info and _rank(other) < _rank(item))):
            text = f"left out: the same camera and moments as {other.topic}"
            return "topic_of_same_camera", text
    return None


def _own_info(topic: str, infos: Iterable[str]) -> str:
    """The camera_info beside an image topic, or below it; "" where there is none."""
    base = base_topic(topic)
    for name in ("/".join(base.split("/")[:-1]) + "/camera_info", f"{base}/camera_info"):
        if name in infos:
            return name
    return ""


def _same_moments(item: ImageTopic, other: ImageTopic) -> bool:
    """Whether all stamps of one topic are of the other, in the same optical frame."""
    if not item.frame_id or item.frame_id != other.frame_id:
        return False
    return {stamp for stamp, _ in item.entries} <= {stamp for stamp, _ in other.entries}


def _rank(item: ImageTopic) -> tuple[bool, bool, int, str]:
    """Colour before grey, as recorded before rectified, short names before long ones."""
    grey = item.encoding.startswith(("mono", "8UC1"))
    return grey, "rect" in item.topic, len(item.topic), item.topic
