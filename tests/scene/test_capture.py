"""Moments, choice of views and freshness: laws that hold for any stamps, and known scenes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oryx_scene.config import ViewsConfig
from oryx_scene.errors import NoFramesError, StaleFramesError
from oryx_scene.records import Frame, Intrinsics
from oryx_scene.scene.frame_selection import candidates_at, frames_at
from oryx_scene.scene.view_selection import choose_views_reported
from oryx_scene.sources.freshness import require_fresh
from oryx_scene.sources.synchronize import newest_moment

MS = 1_000_000


def frame(camera, stamp_ms, *, x=None):
    """A camera at (x, 0, 0) that looks along z at a wall 2 m away; None: no depth, no pose."""
    rgb = np.zeros((24, 32, 3), np.uint8)
    made = Frame(camera, stamp_ms * MS, "optical", rgb, f"{camera}{stamp_ms}")
    if x is None:
        return made
    K = np.array([[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]])
    T = np.eye(4)
    T[0, 3] = x
    return dataclasses.replace(
        made,
        depth=np.full((24, 32), 2.0, np.float32),
        intrinsics=Intrinsics(K, 24, 32),
        T_fixed_camera=T,
        fixed_frame="map",
    )


STAMPS = st.dictionaries(
    st.sampled_from(["front", "left", "rear"]),
    st.lists(st.integers(0, 400), max_size=8, unique=True).map(sorted),
)


def sets_within(stamps, slop):
    """All anchors at which every camera has a frame no older than the slop, by brute force."""
    found = []
    for anchor in sorted({stamp for own in stamps.values() for stamp in own}):
        last = {c: max((s for s in own if s <= anchor), default=-1) for c, own in stamps.items()}
        if min(last.values()) >= max(0, anchor - slop):
            found.append(last)
    return found


@given(STAMPS, st.integers(0, 60))
def test_the_newest_set_within_the_slop_is_found(stamps, slop_ms):
    nanoseconds = {camera: [s * MS for s in own] for camera, own in stamps.items()}
    moment = newest_moment(nanoseconds, slop_ms / 1000, max_age_s=10.0)
    seen = {camera: own for camera, own in stamps.items() if own}
    if not seen:
        assert moment is None
        return
    whole = sets_within(seen, slop_ms)
    assert moment.synchronous == bool(whole)
    want = whole[-1] if whole else {camera: own[-1] for camera, own in seen.items()}
    assert moment.stamps == {camera: stamp * MS for camera, stamp in want.items()}
    assert bool(moment.warnings(slop_ms / 1000)) == (not whole)
    if whole:
        assert moment.skew_s * 1000 <= slop_ms + 1e-6


def test_a_camera_that_stopped_is_left_out_and_named():
    moment = newest_moment({"front": [0, 5000 * MS], "left": [100 * MS]}, 0.05, 1.0)
    assert moment.stamps == {"front": 5000 * MS}
    assert moment.left_out == {"left": 4.9}
    (late,) = moment.warnings(0.05)
    assert (late.code, late.camera) == ("camera_late", "left")
    assert str(late) == "left: it has had no frame for 4.90 s"


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=12, unique=True
    ),
    st.integers(1, 6),
    st.randoms(),
    st.booleans(),
)
def test_the_newest_are_in_and_the_order_given_does_not_matter(places, count, random, depth):
    frames = [frame(camera, ms, x=ms / 10 if depth else None) for camera, ms in places]
    indices, report = choose_views_reported(frames, count)
    chosen = [frames[i] for i in indices]
    assert len(chosen) == min(count, len(frames)) == len(set(indices))
    assert [f.stamp_ns for f in chosen] == sorted(f.stamp_ns for f in chosen)
    assert max(f.stamp_ns for f in frames) in {f.stamp_ns for f in chosen}
    newest = {c: max(f.stamp_ns for f in frames if f.camera == c) for c in {p[0] for p in places}}
    if count >= len(newest):
        assert set(newest.items()) <= {(f.camera, f.stamp_ns) for f in chosen}
    random.shuffle(frames)
    again = [frames[i] for i in choose_views_reported(frames, count)[0]]
    assert [f.sha256 for f in again] == [f.sha256 for f in chosen]
    few = len(frames) <= count
    assert report.method == ("all" if few else "coverage" if depth else "uniform")
    assert report.candidates == len(frames)


def test_views_that_see_something_new_win():
    """Three cameras see the same wall, one looks 5 m further: it is chosen although it is old."""
    frames = [frame("a", 0, x=5.0), *(frame("a", ms, x=0.0) for ms in (10, 20, 30))]
    indices, report = choose_views_reported(frames, 2)
    assert indices == (0, 3)
    assert report.covered == report.total > 0


def test_of_views_that_add_equally_much_the_newer_one_is_chosen():
    indices, _ = choose_views_reported([frame("a", ms, x=0.0) for ms in (0, 10, 20)], 2)
    assert indices == (1, 2)


def test_what_lies_beyond_8_m_counts_for_no_view():
    """Of two equal walls the one 7.9 m away is worth a view, the one 8.1 m away is not."""
    wall = [frame("a", ms, x=0.0) for ms in (0, 10, 20)]
    near, far, newest = (
        dataclasses.replace(one, depth=np.full((24, 32), z, np.float32))
        for one, z in zip(wall, (7.9, 8.1, 2.0), strict=True)
    )
    assert choose_views_reported([near, far, newest], 2)[0] == (0, 2)


def test_freshness():
    frames = (frame("a", 900), frame("b", 1000))
    assert require_fresh(frames, 1100 * MS, 0.25) == frames
    with pytest.raises(StaleFramesError) as caught:
        require_fresh(frames, 1200 * MS, 0.25)
    assert "0.300" in str(caught.value)
    assert "'a'" in str(caught.value)
    with pytest.raises(StaleFramesError):
        require_fresh(frames, 1100 * MS, 10.0, not_before_ns=950 * MS)
    with pytest.raises(NoFramesError, match="future"):
        require_fresh(frames, -500 * MS, 10.0)
    with pytest.raises(NoFramesError):
        require_fresh((), 0, 1.0)


class Recorded:
    """A source in memory."""

    warnings = ()
    synthetic = stills = counted = False

    def __init__(self, frames):
        from oryx_scene.sources.base import FrameStub

        self._frames = sorted(frames, key=lambda f: f.stamp_ns)
        self.cameras = tuple(sorted({f.camera for f in frames}))
        self._stubs = [
            FrameStub(f.camera, f.stamp_ns, f.stamp_ns, "", i) for i, f in enumerate(self._frames)
        ]

    def stubs(self):
        return self._stubs

    def load(self, stub):
        return self._frames[stub.serial]


def test_a_fast_camera_waits_for_a_slow_one():
    fast = [frame("fast", ms) for ms in range(0, 1000, 33)]
    slow = [frame("slow", ms) for ms in (0, 400, 800)]
    source = Recorded(fast + slow)
    stubs, moment = candidates_at(source, 990 * MS, ViewsConfig(slop_s=0.02))
    assert moment.stamps == {"fast": 792 * MS, "slow": 800 * MS}
    assert max(stub.stamp_ns for stub in stubs) == 800 * MS
    found = frames_at(source, 990 * MS, ViewsConfig(slop_s=0.02, count=2))
    assert [(f.camera, f.stamp_ns // MS) for f in found.frames] == [("fast", 792), ("slow", 800)]
    assert not found.warnings


def test_two_clocks_are_said():
    source = Recorded([frame("a", 1000), frame("b", 1300)])
    found = frames_at(source, 1300 * MS, ViewsConfig(count=2))
    assert len(found.frames) == 2
    assert "0.300 s apart" in found.warnings[0].text


def test_a_stale_recording_is_refused():
    with pytest.raises(StaleFramesError):
        frames_at(Recorded([frame("a", 0)]), 5000 * MS, ViewsConfig())
