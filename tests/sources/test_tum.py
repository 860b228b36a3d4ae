"""TUM RGB-D sequences, read as their authors describe them."""

import numpy as np
import pytest
from folder_layouts import K, codes, index_of

from oryx_scene.errors import SourceError
from oryx_scene.sources.registry import open_source

FIRST_NS = 1305031102175304000


def test_a_sequence_with_its_matrix(tum):
    source = open_source(tum)
    assert source.cameras == ("camera",)
    assert source.warnings == ()
    frames = list(source.frames())
    assert [index_of(frame) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.stamp_ns - FIRST_NS for frame in frames] == [33333000 * i for i in range(5)]
    assert [frame.topic for frame in frames][:1] == ["rgb/1305031102.175304000.png"]
    for frame in frames:
        assert frame.warnings == ()
        # 5000 steps a metre; neither 0 nor 65535 is a measurement.
        assert np.allclose(frame.depth[1:-1], 1.5, atol=1e-4)
        assert np.isnan(frame.depth[[0, -1]]).all()
        assert np.array_equal(frame.intrinsics.K, K)
        # Poses are interpolated at the picture's stamp: 1 m/s along x.
        T = np.eye(4)
        T[0, 3] = (frame.stamp_ns - FIRST_NS) / 1e9
        assert np.allclose(frame.T_fixed_camera, T, atol=1e-4)
        assert frame.fixed_frame == "map"


def test_without_a_matrix_that_is_said_and_nothing_is_assumed(tum):
    (tum / "camera-intrinsics.txt").unlink()
    source = open_source(tum)
    assert codes(source) == ["no_camera_info"]
    assert "camera-intrinsics.txt" in source.warnings[0].advice
    assert "--rig" in source.warnings[0].advice
    assert next(iter(source.frames())).intrinsics is None


def test_depth_further_away_than_the_slop_is_not_taken(tum):
    lines = (tum / "depth.txt").read_text().splitlines()
    (tum / "depth.txt").write_text("\n".join(lines[:1] + lines[2:]))
    frames = list(open_source(tum).frames())
    # The second depth is 45 ms after the first picture, 12 ms after the second.
    assert [frame.depth is not None for frame in frames] == [False, True, True, True, True]
    assert "no_depth" in codes(frames[0])


def test_depth_at_exactly_the_slop_is_taken(tum):
    lines = (tum / "depth.txt").read_text().splitlines()
    name = lines[1].split()[1]
    for late_ns, taken in ((20_000_000, True), (20_000_001, False)):
        stamp = f"1305031102.{175304000 + late_ns:09d}"
        (tum / "depth.txt").write_text(f"{stamp} {name}\n")
        assert (open_source(tum).load(open_source(tum).stubs()[0]).depth is not None) == taken


def test_files_that_are_listed_and_not_there_are_counted(tum):
    next(iter(sorted((tum / "rgb").iterdir()))).unlink()
    source = open_source(tum)
    assert len(source.stubs()) == 4
    assert [w.text for w in source.warnings] == ["1 of its 5 files are not there"]


def test_poses_that_are_none_are_left_out_and_counted(tum):
    with (tum / "groundtruth.txt").open("a") as file:
        file.write("1305031102.2000 nan 0 0 0 0 0 1\n1305031102.2001 9 0 0 0 0 0 0\n")
    source = open_source(tum)
    assert codes(source) == ["pose_unusable"]
    assert source.warnings[0].text.startswith("2 of 43 poses")
    moved = [source.pose(stub)[0, 3] for stub in source.stubs()]
    assert np.allclose(moved, [0.033333 * i for i in range(5)], atol=1e-4)


def test_a_sequence_without_ground_truth(tum):
    (tum / "groundtruth.txt").unlink()
    source = open_source(tum)
    assert codes(source) == ["no_tf"]
    assert source.load(source.stubs()[0]).T_fixed_camera is None


def test_poses_of_another_time_are_not_stretched(tum):
    (tum / "groundtruth.txt").write_text("1305031100.0 0 0 0 0 0 0 1\n1305031101.0 0 0 0 0 0 0 1\n")
    frame = next(iter(open_source(tum).frames()))
    assert frame.T_fixed_camera is None
    assert "no_pose" in codes(frame)


@pytest.mark.parametrize("text", ["soon rgb/a.png\n", "\n"])
def test_a_broken_list_is_refused(tum, text):
    (tum / "rgb.txt").write_text(text)
    with pytest.raises(SourceError, match=r"rgb.txt|no frame"):
        open_source(tum)
