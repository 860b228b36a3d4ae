"""Which frames of several cameras belong to one moment: stamps in, stamps out; never reads a clock.

A moment is the newest stamp up to which every camera has a frame no older than the slop. A fast
camera's later frames wait for the slower cameras, so that no answer mixes "before" and "after".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oryx_scene.warning import Warning


@dataclass(frozen=True)
class Moment:
    """One synchronised set.

    Attributes:
        stamps: camera -> capture stamp of its frame, ns.
        synchronous: whether all frames lie within the slop of each other.
        left_out: camera -> seconds that its newest frame lies behind the newest of all.
    """

    stamps: dict[str, int] = field(default_factory=dict)
    synchronous: bool = True
    left_out: dict[str, float] = field(default_factory=dict)

    @property
    def anchor_ns(self) -> int:
        """Stamp of the newest frame of the set."""
        return max(self.stamps.values())

    @property
    def skew_s(self) -> float:
        """Spread of the stamps."""
        return (self.anchor_ns - min(self.stamps.values())) / 1e9

    def warnings(self, slop_s: float) -> tuple[Warning, ...]:
        """What an answer resting on this set must say."""
        said = [
            Warning("camera_late", f"it has had no frame for {behind:.2f} s", camera=camera)
            for camera, behind in sorted(self.left_out.items())
        ]
        if not self.synchronous:
            text = (
                f"no frames of all cameras lie within {slop_s:g} s of each other; the newest of "
                f"each are {self.skew_s:.3f} s apart"
            )
            said.append(Warning("views_unsynchronised", text))
        return tuple(said)


def newest_moment(
    stamps: Mapping[str, Sequence[int]], slop_s: float, max_age_s: float
) -> Moment | None:
    """The newest synchronised set.

    Args:
        stamps: camera -> capture stamps in ns, ascending.
        slop_s: allowed spread of the stamps of one set.
        max_age_s: a camera that lies further behind than this is left out; sets that lie further
            back than this are not considered.

    Returns:
        None if there is no stamp at all. Where no set lies within the slop, the newest frame of
        each camera with ``synchronous`` False.
    """
    last = {camera: found[-1] for camera, found in stamps.items() if found}
    if not last:
        return None
    newest = max(last.values())
    oldest = newest - round(max_age_s * 1e9)
    alive = {camera: stamps[camera] for camera, stamp in last.items() if stamp >= oldest}
    behind = {
        camera: (newest - stamp) / 1e9 for camera, stamp in last.items() if camera not in alive
    }
    anchors = sorted(
        {stamp for found in alive.values() for stamp in found[bisect_right(found, oldest - 1) :]},
        reverse=True,
    )
    slop_ns = round(slop_s * 1e9)
    for anchor in anchors:
        picked = _at(alive, anchor)
        if len(picked) == len(alive) and min(picked.values()) >= anchor - slop_ns:
            return Moment(picked, True, behind)
    return Moment({camera: last[camera] for camera in alive}, False, behind)


def _at(stamps: Mapping[str, Sequence[int]], anchor: int) -> dict[str, int]:
    """The last stamp of each camera up to the anchor."""
    ends = {camera: bisect_right(found, anchor) for camera, found in stamps.items()}
    return {camera: stamps[camera][end - 1] for camera, end in ends.items() if end}
