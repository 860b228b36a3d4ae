"""What the names of picture files say: their order, their stamps, and which belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone

# Numbers of seconds that are taken for a time since 1970: from 2001 to 2096.
_EPOCH_S = (1_000_000_000, 4_000_000_000)
# A whole number is told apart by its digits: seconds, milli-, micro- or nanoseconds. 18 digits are
# nanoseconds of a clock that began in 1980 (GPS).
_UNIT_NS = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 18: 1, 19: 1}
_WORDS = re.compile(r"\d+|[^\W\d_]+")
DEPTH_WORDS = frozenset({"depth", "depthmap", "depths"})
POSE_WORDS = frozenset({"pose", "poses"})
_COLOR_WORDS = frozenset(
    {"color", "colour", "rgb", "image", "images", "img", "frame", "frames", "picture", "data"}
)


# Pictures of these names show something else than a camera saw.
_NO_PICTURE_WORDS = frozenset(
    {
        *("mask", "masks", "label", "labels", "segmentation", "semantic", "semantics"),
        *("instance", "instances", "normal", "normals", "confidence", "thumbnail", "thumbnails"),
    }
)


def holds_pictures(name: str) -> bool:
    """Whether a name can be that of colour pictures: not of depth, masks, labels or poses."""
    other = DEPTH_WORDS | POSE_WORDS | _NO_PICTURE_WORDS
    return other.isdisjoint(words_of(name))


def readable_name(name: str) -> str:
    """A file name that can be written as UTF-8: bytes that are none are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which "2.png" comes before "10.png"; letters whatever their case."""
    parts = re.split(r"(\d+)", name)
    key = tuple((0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p)
    # Equal but for leading zeros or case: still one order.
    return (*key, (2, 0, name))


def words_of(stem: str) -> tuple[str, ...]:
    """Runs of letters and of digits, in small letters: "frame-000012.Color" -> 3 words."""
    return tuple(word.lower() for word in _WORDS.findall(stem))


def pair_key(stem: str) -> tuple[str, ...]:
    """What the names of a picture, its depth and its pose have in common.

    "1_depth", "1" and "1_color" give one key, so do "depth000001" and "frame000001".
    """
    roles = DEPTH_WORDS | POSE_WORDS | _COLOR_WORDS
    return tuple(word for word in words_of(stem) if word not in roles)


def is_depth_name(stem: str) -> bool:
    """Whether a name says that the picture holds depth."""
    return not DEPTH_WORDS.isdisjoint(words_of(stem))


def stamps_from_names(stems: Sequence[str]) -> list[int] | None:
    """Stamps in ns that all names carry in one notation; None where they do not.

    Understood are seconds since 1970 with a fraction ("1341847980.722988", or "_" with 3, 6 or 9
    digits), whole numbers of 10, 13, 16, 18 or 19 digits (s, ms, us, ns), dates
    ("2024-05-01T12-30-15.250", "20240501_123015"; UTC unless an offset is there), and names that
    are nothing but seconds with a fraction ("12.500").
    """
    for notation in (_epoch_fraction, _epoch_number, _date, _plain_seconds):
        stamps = [_read(notation, stem) for stem in stems]
        known = [stamp for stamp in stamps if stamp is not None]
        if len(known) == len(stems) and len(set(known)) == len(known):
            return known
    return None


def _read(notation: Callable[[str], int | None], stem: str) -> int | None:
    try:
        return notation(stem)
    except (ValueError, OverflowError):
        return None


def _fraction_ns(digits: str) -> int:
    return int(digits[:9].ljust(9, "0"))


def _epoch_fraction(stem: str) -> int | None:
    found = re.search(r"(?<!\d)(\d{10})(?:\.(\d{1,9})|[_-](\d{9}|\d{6}|\d{3}))(?!\d)", stem)
    if found is None or not _EPOCH_S[0] <= int(found[1]) < _EPOCH_S[1]:
        return None
    return int(found[1]) * 1_000_000_000 + _fraction_ns(found[2] or found[3])


def _epoch_number(stem: str) -> int | None:
    for digits in re.findall(r"\d+", stem):
        unit = _UNIT_NS.get(len(digits))
        if unit is not None and (len(digits) == 18 or digits[0] in "123"):
            return int(digits) * unit
    return None


_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.:]?(\d\d)[-_.:]?(\d\d)[T _.-]*"
    r"(\d\d)[-_:.h]?(\d\d)[-_:.m]?(\d\d)s?(?:[._,-]?(\d{9}|\d{6}|\d{3})(?!\d)|[.,](\d{1,9}))?"
    r"(Z|[+-]\d\d:?\d\d)?(?![\d])"
)


def _date(stem: str) -> int | None:
    found = _DATE.search(stem)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    offset = found[9] or "Z"
    if offset != "Z":
        sign = -1 if offset[0] == "-" else 1
        moment -= sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
    seconds = int((moment - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds())
    return seconds * 1_000_000_000 + _fraction_ns(found[7] or found[8] or "0")


def _plain_seconds(stem: str) -> int | None:
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", stem)
    return None if found is None else int(found[1]) * 1_000_000_000 + _fraction_ns(found[2])
