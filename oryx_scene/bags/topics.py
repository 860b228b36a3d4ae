"""Which topics belong together: names of cameras, their CameraInfo, their depth.

Follows image_transport's conventions (sibling `camera_info`, `<base>/compressed`) and, where those
say nothing, takes the topic that shares the longest path. What stays ambiguous is not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

_IMAGE_WORDS = {
    *("image", "image_raw", "image_rect", "image_color", "image_rect_color", "image_rect_raw"),
    *("image_mono", "data", "compressed", "compresseddepth", "raw"),
}
_COLOR_WORDS = {"color", "colour", "rgb", "rgb_raw"}
_DEPTH_WORDS = {
    *("depth", "depth_raw", "depth_registered", "aligned_depth_to_color", "aligned_depth"),
    *("depth_to_rgb", "depth_image", "image_depth"),
}
_REGISTERED_WORDS = ("aligned_depth", "depth_registered", "registered_depth", "depth_to_rgb")


def parts_of(topic: str) -> tuple[str, ...]:
    """Path components of a topic."""
    return tuple(part for part in topic.split("/") if part)


def base_topic(topic: str) -> str:
    """The raw topic that a transport belongs to."""
    for suffix in ("/compressed", "/compressedDepth", "/theora"):
        if topic.endswith(suffix):
            return topic[: -len(suffix)]
    return topic


def is_depth_topic(topic: str) -> bool:
    """Whether the words of a topic say that it is depth."""
    words = [part.lower() for part in parts_of(base_topic(topic))]
    return any(word in _DEPTH_WORDS or word.startswith("depth_") for word in words)


def says_registered(topic: str) -> bool:
    """Whether the name of a depth topic says that it is registered to the colour image."""
    lowered = topic.lower()
    return any(word in lowered for word in _REGISTERED_WORDS)


def _stem(topic: str) -> tuple[str, ...]:
    """What is left of a topic without the words that say "image" or "depth"."""
    skipped = _IMAGE_WORDS | _COLOR_WORDS | _DEPTH_WORDS
    return tuple(part for part in parts_of(topic) if part.lower() not in skipped)


def camera_names(topics: Sequence[str]) -> dict[str, str]:
    """Our name for the camera of each colour topic: short, and different for each.

    "/robot/front/image_raw" is "front", "/camera/color/image_raw" is "camera"; where two topics
    would share a name, more of their path is taken.
    """
    stems = {topic: _stem(base_topic(topic)) or ("camera",) for topic in topics}
    for choose in (lambda stem: stem[-1], "_".join):
        short = {topic: str(choose(stem)) for topic, stem in stems.items()}
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


def info_topic(image: str, infos: Sequence[str]) -> str:
    """The CameraInfo topic of an image topic, "" where none or several fit."""
    base = base_topic(image)
    sibling = "/".join(base.split("/")[:-1]) + "/camera_info"
    if sibling in infos:
        return sibling
    own = f"{base}/camera_info"
    return own if own in infos else _closest(base, infos, only_one_fits=len(infos) == 1)


def depth_topic(image: str, depths: Sequence[str], colors: Sequence[str]) -> str:
    """The depth topic of a colour topic, "" where none or several fit."""
    same = [topic for topic in depths if _stem(base_topic(topic)) == _stem(base_topic(image))]
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
