"""Moments, choice of views and freshness: laws that hold for any stamps, and known scenes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oryx_scene.config import ViewsConfig
from oryx_scene.errors import NoFramesError, StaleFramesError
from oryx_scene.records import Frame, Intrinsics
from oryx_scene.scene.frame_selection import (
    CameraPath,
    candidates_at,
    frames_at,
    newest_stamp,
    span_of,
    thumbnail,
)
from oryx_scene.scene.view_selection import CoverageReport, choose_views_reported
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


def stamps_of(stubs):
    return [(stub.camera, stub.stamp_ns // MS) for stub in stubs]


def test_of_each_span_only_the_newest_frame_of_a_camera_counts():
    source = Recorded([frame("a", ms) for ms in (0, 150, 200, 350, 399, 400)])
    stubs, _ = candidates_at(source, 400 * MS, ViewsConfig(min_gap_s=0.2))
    assert stamps_of(stubs) == [("a", 150), ("a", 399), ("a", 400)]
    stubs, _ = candidates_at(source, 400 * MS, ViewsConfig(min_gap_s=0.0))
    assert len(stubs) == 6
    assert [span_of(ns, 200) for ns in (0, 199, 200)] == [0, 0, 1]
    assert [span_of(7, gap) for gap in (0, 1)] == [7, 7]
    # What somebody put together is not thinned.
    source.stills = True
    assert len(candidates_at(source, 400 * MS, ViewsConfig(min_gap_s=0.2))[0]) == 6


def test_history_reaches_back_to_its_end_and_no_further():
    source = Recorded([frame("a", ms) for ms in (0, 1000, 2000, 3000)])
    for history_s, first in ((3.0, 0), (2.999, 1000), (0.0, 3000)):
        stubs, _ = candidates_at(source, 3000 * MS, ViewsConfig(history_s=history_s))
        assert stamps_of(stubs)[0] == ("a", first)
    # The newest moment counts, however little history is wanted; what comes later does not.
    stubs, _ = candidates_at(source, 2900 * MS, ViewsConfig(history_s=0.5))
    assert stamps_of(stubs) == [("a", 2000)]
    source.counted = True
    stubs, moment = candidates_at(source, 2000 * MS, ViewsConfig(history_s=0.0))
    assert stamps_of(stubs) == [("a", 0), ("a", 1000), ("a", 2000)]
    assert moment.stamps == {"a": 2000 * MS}


def test_many_candidates_are_thinned_evenly_and_the_newest_of_each_camera_stay():
    """Of 100 spans and two cameras 64 are looked at: the newest two and 62 of the other 198."""
    source = Recorded([frame(camera, ms) for ms in range(0, 10000, 100) for camera in "ab"])
    settings = ViewsConfig(min_gap_s=0.1)
    stubs = stamps_of(candidates_at(source, 9900 * MS, settings)[0])
    assert len(stubs) == 64 and stubs[-2:] == [("a", 9900), ("b", 9900)]
    assert stubs[0] == ("b", 0) and stubs[-3] == ("a", 9800)
    gaps = np.diff([ms for _, ms in stubs])
    assert gaps.max() <= 200
    assert len(candidates_at(source, 9900 * MS, ViewsConfig(min_gap_s=0.1, count=70))[0]) == 70


def test_a_moment_before_the_first_frame_has_none():
    source = Recorded([frame("a", 1000)])
    with pytest.raises(NoFramesError, match=r"no frame up to 0\.999 s"):
        candidates_at(source, 999 * MS, ViewsConfig())
    assert len(candidates_at(source, 1000 * MS, ViewsConfig())[0]) == 1
    with pytest.raises(StaleFramesError) as caught:
        candidates_at(source, 2001 * MS, ViewsConfig(max_age_s=1.0))
    assert (caught.value.camera, caught.value.age_s, caught.value.limit_s) == ("a", 1.001, 1.0)
    assert len(candidates_at(source, 2000 * MS, ViewsConfig(max_age_s=1.0))[0]) == 1
    assert newest_stamp(Recorded([frame("a", 5), frame("b", 3)])) == 5 * MS
    with pytest.raises(NoFramesError, match="holds no frame"):
        newest_stamp(Recorded([]))


class Broken(Recorded):
    """Its frames of some stamps cannot be decoded; counts what is decoded."""

    def __init__(self, frames, broken):
        super().__init__(frames)
        self.broken, self.loads = broken, []

    def load(self, stub):
        self.loads.append(stub.stamp_ns // MS)
        if stub.stamp_ns // MS in self.broken:
            raise NoFramesError("it is broken.")
        return super().load(stub)


def test_a_frame_that_cannot_be_decoded_is_left_out_and_said():
    source = Broken([frame("a", ms) for ms in (0, 1000, 2000)], {1000})
    found = frames_at(source, 2000 * MS, ViewsConfig(count=3))
    assert [f.stamp_ns // MS for f in found.frames] == [0, 2000]
    (warning,) = found.warnings
    assert (warning.code, warning.camera) == ("frame_left_out", "a")
    # So few are decoded once; of more than may be chosen the chosen ones twice.
    assert source.loads == [0, 1000, 2000]
    source.loads.clear()
    found = frames_at(source, 2000 * MS, ViewsConfig(count=1))
    assert [f.stamp_ns // MS for f in found.frames] == [2000]
    assert source.loads == [0, 1000, 2000, 2000]
    with pytest.raises(NoFramesError, match=r"none of 1 frames could be decoded.*it is broken"):
        frames_at(Broken([frame("a", 0)], {0}), 0, ViewsConfig())
    shown = []
    frames_at(source, 2000 * MS, ViewsConfig(), lambda stubs: shown.append(len(stubs)) or stubs)
    assert shown == [3]


@pytest.mark.parametrize(
    ("count", "depth", "said"),
    [
        (3, False, None),
        (2, False, "2 of 3 pictures are used: chosen evenly"),
        (2, True, "2 of 3 pictures are used: those that see most"),
    ],
)
def test_of_pictures_that_somebody_put_together_it_is_said_how_many_are_used(count, depth, said):
    frames = [frame("a", ms, x=0.0 if depth else None) for ms in (0, 1000, 2000)]
    source = Recorded(frames)
    assert frames_at(source, 2000 * MS, ViewsConfig(count=count)).warnings == ()
    source.stills = True
    found = frames_at(source, 2000 * MS, ViewsConfig(count=count)).warnings
    assert [(w.code, w.text) for w in found] == ([("frames_chosen", said)] if said else [])


def test_a_thumbnail_is_every_eighth_pixel_with_its_own_k():
    whole = frame("a", 5, x=1.0)
    rgb = np.arange(24 * 32 * 3, dtype=np.uint32).reshape(24, 32, 3).astype(np.uint8)
    whole = dataclasses.replace(whole, rgb=rgb, labels=np.zeros((24, 32), np.int32))
    small = thumbnail(whole)
    assert np.array_equal(small.rgb, rgb[::8, ::8]) and small.rgb.shape == (3, 4, 3)
    assert small.depth.shape == (3, 4) and small.labels is None
    assert (small.intrinsics.height, small.intrinsics.width) == (3, 4)
    assert small.intrinsics.K[0, 0] == 30.0 / 8
    plain = thumbnail(frame("a", 5))
    assert (plain.depth, plain.intrinsics) == (None, None)


class Walked(Recorded):
    def pose(self, stub):
        self.asked = [*getattr(self, "asked", []), stub.stamp_ns // MS]
        return self._frames[stub.serial].T_fixed_camera


def test_a_path_is_where_a_camera_was_until_then():
    frames = [frame("a", ms, x=ms / 1000) for ms in range(10)]
    frames[3] = frame("a", 3)  # no pose
    source = Walked([*frames, frame("b", 4, x=9.0)])
    path = CameraPath(source, most=4)
    assert path.until("a", 2 * MS)[:, 0] == pytest.approx([0.0, 0.001, 0.002])
    assert path.until("a", 4 * MS)[:, 0] == pytest.approx([0.0, 0.001, 0.002, 0.004])
    # Longer ones keep their ends; every pose is asked for once.
    assert path.until("a", 9 * MS)[:, 0] == pytest.approx([0.0, 0.004, 0.006, 0.009])
    assert source.asked == list(range(10))
    assert path.until("c", 9 * MS).shape == (0, 3)
    assert path.until("b", 9 * MS).tolist() == [[9.0, 0.0, 0.0]]


def test_without_depth_views_are_chosen_evenly_beside_the_newest():
    frames = [frame("a", ms) for ms in range(0, 90, 10)]
    assert choose_views_reported(frames, 4)[0] == (0, 4, 7, 8)
    assert choose_views_reported(frames, 1)[0] == (8,)
    both = [frame("a", 0), frame("b", 10), frame("c", 5), frame("a", 20)]
    assert choose_views_reported(both, 2)[0] == (1, 3)
    # A frame without a pose sees nothing that could be counted.
    mixed = [frame("a", 0, x=0.0), frame("a", 10), frame("a", 20, x=1.0)]
    assert choose_views_reported(mixed, 2)[1].method == "uniform"


def test_the_report_of_a_choice_counts_voxels_where_it_can():
    report = choose_views_reported([frame("a", ms, x=x) for ms, x in ((0, 0.0), (1, 9.0))], 1)[1]
    # 32 x 24 pixels at 2 m and 30 px focal length: 2.13 x 1.6 m, each pixel 7 cm apart.
    assert report.total == 2 * report.covered
    assert report.as_dict() == {
        "method": "coverage",
        "candidates": 2,
        "voxels_covered": report.covered,
        "voxels_total": report.total,
    }
    assert 17 * 22 <= report.covered + 30 <= 17 * 22 + 60
    assert CoverageReport("all", candidates=3).as_dict() == {"method": "all", "candidates": 3}


def test_of_a_large_picture_about_3000_points_are_counted():
    """480 x 640 pixels of depth are every tenth each way: 48 x 64 points, each in its own voxel."""
    K = Intrinsics(np.array([[60.0, 0, 319.5], [0, 60.0, 239.5], [0, 0, 1]]), 480, 640)
    rgb, depth = np.zeros((480, 640, 3), np.uint8), np.full((480, 640), 2.0, np.float32)
    pose = {"T_fixed_camera": np.eye(4), "fixed_frame": "map"}
    frames = [Frame("a", ms, "", rgb, str(ms), depth=depth, intrinsics=K, **pose) for ms in (0, 1)]
    assert choose_views_reported(frames, 1)[1].covered == 48 * 64
