"""Which topics belong together: names of cameras, their CameraInfo, their depth.

Follows image_transport's conventions (sibling `camera_info`, `<base>/compressed`) and, where those
say nothing, takes the topic that shares the longest path. What stays ambiguous is not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

# Words that say "image", "colour" or "depth", not which camera.
_GENERIC = {
    *("image", "raw", "rect", "rectified", "color", "colour", "rgb", "mono", "data", "compressed"),
    *("compresseddepth", "depth", "registered", "aligned", "to", "hw"),
}
_COLOR = {"color", "colour", "rgb", "bgr"}
# Sensors whose 16-bit or float pictures are no distances along the optical axis.
_NO_DEPTH = {
    *(
        "ir",
        "infra",
        "infrared",
        "nir",
        "nearir",
        "amplitude",
        "amplitudes",
        "intensity",
        "thermal",
    ),
    *("reflec", "reflectivity", "ambient", "signal", "disparity", "normal", "normals"),
}
# Pictures about depth or pixels, whatever else the name says.
_ABOUT = {
    *("confidence", "mask", "masks", "label", "labels", "segmentation", "semantic", "instance"),
    *("valid", "validity"),
}
_REGISTERED_WORDS = ("aligned_depth", "depth_registered", "registered_depth", "depth_to_rgb")


def words_of(name: str) -> set[str]:
    """Lower-case words of a topic or frame_id, split at "/" and "_"."""
    return {word for word in name.lower().replace("/", "_").split("_") if word}


def parts_of(topic: str) -> tuple[str, ...]:
    """Path components of a topic."""
    return tuple(part for part in topic.split("/") if part)


def base_topic(topic: str) -> str:
    """The raw topic that a transport belongs to."""
    for suffix in ("/compressed", "/compressedDepth", "/theora"):
        if topic.endswith(suffix):
            return topic[: -len(suffix)]
    return topic


def named_kind(topic: str) -> str:
    """What the words of a topic say it shows: "depth", "color", "other" (infrared, confidence,
    labels ...) or "" where they say nothing; the last component that says something decides."""
    for part in reversed(parts_of(base_topic(topic))):
        words = {word.rstrip("0123456789") for word in words_of(part)}
        if words & _ABOUT:
            return "other"
        if "depth" in words:
            return "depth"
        if words & _NO_DEPTH:
            return "other"
        if words & _COLOR:
            return "color"
    return ""


def is_rectified(topic: str) -> bool:
    """Whether the last component of an image topic says that the picture is rectified."""
    parts = parts_of(base_topic(topic))
    return bool(parts) and not {"rect", "rectified"}.isdisjoint(words_of(parts[-1]))


def says_registered(topic: str) -> bool:
    """Whether the name of a depth topic says that it is registered to the colour image."""
    lowered = topic.lower()
    return any(word in lowered for word in _REGISTERED_WORDS)


def stem(topic: str) -> tuple[str, ...]:
    """What is left of a topic without the words that say "image" or "depth": which camera it is."""
    return tuple(part for part in parts_of(base_topic(topic)) if not words_of(part) <= _GENERIC)


def camera_names(topics: Sequence[str]) -> dict[str, str]:
    """Our name for the camera of each colour topic: short, and different for each.

    "/robot/front/image_raw" is "front", "/camera/color/image_raw" is "camera"; where two topics
    would share a name, more of their path is taken.
    """
    stems = {topic: stem(topic) or ("camera",) for topic in topics}
    for choose in (lambda found: found[-1], "_".join):
        short = {topic: str(choose(found)) for topic, found in stems.items()}
        if len(set(short.values())) == len(short):
            return short
    return {topic: "_".join(parts_of(base_topic(topic))) for topic in topics}


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    count = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        count += 1
    return count


def info_topic(image: str, infos: Sequence[str], images: Sequence[str] = ()) -> str:
    """The CameraInfo topic of an image topic, "" where none or several fit.

    Args:
        image: picture or depth topic.
        infos: all CameraInfo topics.
        images: all image topics: a CameraInfo that lies beside another of them is not taken.
    """
    base = base_topic(image)
    beside = _beside(base)
    wanted = [f"{beside}_rect"] if is_rectified(image) else []
    for name in (*wanted, beside, f"{base}/camera_info"):
        if name in infos:
            return name
    taken = {_beside(base_topic(other)) for other in images}
    free = [info for info in infos if info not in taken]
    return _closest(base, free, only_one_fits=len(free) == 1 and len(infos) == 1)


def _beside(base: str) -> str:
    return "/".join(base.split("/")[:-1]) + "/camera_info"


def depth_topic(image: str, depths: Sequence[str], colors: Sequence[str]) -> str:
    """The depth topic of a colour topic, "" where none or several fit."""
    same = [topic for topic in depths if stem(topic) == stem(image)]
    registered = [topic for topic in same if says_registered(topic)]
    for fitting in (registered, same):
        bases = {base_topic(topic) for topic in fitting}
        if len(bases) == 1:
            return min(fitting, key=len)
    one_pair = len({base_topic(topic) for topic in depths}) == 1 and len(colors) == 1
    return _closest(image, depths, only_one_fits=one_pair)


def _closest(topic: str, others: Sequence[str], *, only_one_fits: bool) -> str:
    """The other topic with the longest common path; unique, and more than the first component."""
    if not others:
        return ""
    ranked = sorted(others, key=lambda other: -_shared(parts_of(topic), parts_of(other)))
    best = _shared(parts_of(topic), parts_of(ranked[0]))
    if only_one_fits:
        return ranked[0]
    second = _shared(parts_of(topic), parts_of(ranked[1])) if len(ranked) > 1 else 0
    return ranked[0] if best > second and best >= 1 else ""
