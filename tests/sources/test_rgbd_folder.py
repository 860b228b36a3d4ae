"""Posed RGB-D folders: 3DMatch, 7-Scenes, ScanNet and flat ones."""

import json

import cv2
import numpy as np
import pytest
from folder_layouts import (
    HEIGHT,
    WIDTH,
    K,
    codes,
    index_of,
    pose,
    posed,
    scan_net,
    write_depth,
    write_picture,
)

from oryx_scene.errors import SourceError
from oryx_scene.sources.registry import open_source

S = 1_000_000_000


def test_frame_numbers_count_at_30_hz(tmp_path):
    source = open_source(posed(tmp_path, (0, 1, 30, 422)))
    assert [stub.stamp_ns for stub in source.stubs()] == [
        1 * S,
        1 * S + 33_333_333,
        2 * S,
        1 * S + 422 * S // 30,
    ]
    assert codes(source) == ["no_stamps"]
    assert not source.counted and not source.stills


@pytest.mark.parametrize("sub", ["seq-01", "."])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_frames_in_a_sequence_or_flat_beside_the_matrix(tmp_path, sub, suffix):
    source = open_source(posed(tmp_path, (0, 7), sub=sub, suffix=suffix))
    assert source.cameras == ("camera",)
    frames = list(source.frames())
    assert len(frames) == 2
    for index, frame in enumerate(frames):
        assert frame.warnings == ()
        assert frame.depth.shape == (HEIGHT, WIDTH)
        assert np.array_equal(frame.intrinsics.K, K)
        assert np.allclose(frame.T_fixed_camera, pose(index))
        assert frame.fixed_frame == "map"
        assert frame.frame_id == "camera_optical_frame"


def test_several_sequences_are_several_cameras(tmp_path):
    posed(tmp_path, (0,), sub="seq-01")
    posed(tmp_path, (0,), sub="seq-02")
    assert open_source(tmp_path).cameras == ("seq_01", "seq_02")


def test_names_that_are_stamps_are_not_counted(tmp_path):
    for index in range(3):
        write_picture(tmp_path / f"1403636579{index}63555584.png", index)
    np.savetxt(tmp_path / "camera-intrinsics.txt", K)
    source = open_source(tmp_path)
    assert source.stubs()[1].stamp_ns == 1403636579163555584
    assert "no_stamps" not in codes(source)


def test_65535_and_0_are_no_measurement(tmp_path):
    frame = next(iter(open_source(posed(tmp_path, (0,))).frames()))
    assert np.isnan(frame.depth[[0, -1]]).all()
    assert np.allclose(frame.depth[1:-1], 1.5)


def test_a_rig_states_unit_and_scale_of_depth(tmp_path):
    """Files of 4000 steps a metre, and a sensor that measures a tenth too short."""
    folder = posed(tmp_path, (0,))
    write_depth(folder / "seq-01" / "frame-000000.depth.png", 1.5, 1 / 4000)
    (tmp_path / "rig.yaml").write_text(
        "cameras:\n  camera:\n    depth_unit_m: 0.00025\n    depth_scale: 1.1\n"
    )
    frame = next(iter(open_source(folder, rig=tmp_path / "rig.yaml").frames()))
    assert np.allclose(frame.depth[1:-1], 1.65)
    assert np.isnan(frame.depth[[0, -1]]).all()
    assert np.array_equal(frame.intrinsics.K, K)


def test_colour_depth_and_pose_folders_with_two_matrices(tmp_path):
    """ScanNet's layout; a smaller depth is registered by its own matrix."""
    source = open_source(scan_net(tmp_path))
    frames = list(source.frames())
    assert len(frames) == 3
    for index, frame in enumerate(frames):
        assert frame.warnings == ()
        assert np.array_equal(frame.intrinsics.K, K)
        assert np.allclose(frame.T_fixed_camera, pose(index))
        known = np.isfinite(frame.depth)
        assert frame.depth.shape == (HEIGHT, WIDTH)
        assert known.mean() > 0.8
        assert np.allclose(frame.depth[known], 1.5)


def test_depth_of_another_size_is_registered_by_its_own_matrix(tmp_path):
    """A depth camera of twice the angle sees the picture's field in its middle."""
    posed(tmp_path, (0,))
    steps = np.full((HEIGHT * 2, WIDTH * 2), 1000, np.uint16)
    steps[:, WIDTH + 10 :] = 3000  # to the right of the optical axis by more than 10 px
    depth = next(iter((tmp_path / "seq-01").glob("*.depth.png")))
    cv2.imwrite(str(depth), steps)
    np.savetxt(tmp_path / "depth-intrinsics.txt", [[60, 0, 63.5], [0, 60, 47.5], [0, 0, 1]])
    frame = next(iter(open_source(tmp_path).frames()))
    assert frame.warnings == ()
    # Same focal length, so the same pixels around the axis: 31.5 there is 63.5 here.
    assert np.isclose(frame.depth[20, 31 + 9], 1.0)
    assert np.isclose(frame.depth[20, 31 + 12], 3.0)


def test_depth_of_half_size_is_scaled_and_that_is_said(tmp_path):
    posed(tmp_path, (0,), depth_size=(HEIGHT // 2, WIDTH // 2))
    frame = next(iter(open_source(tmp_path).frames()))
    assert codes(frame) == ["depth_scaled"]
    assert frame.depth.shape == (HEIGHT, WIDTH)
    # Every depth pixel covers two by two: its unknown first row is two rows of the picture.
    assert np.isnan(frame.depth[:2]).all() and np.isfinite(frame.depth[2:-2]).all()


def test_depth_of_another_shape_without_a_matrix_is_left_out(tmp_path):
    posed(tmp_path, (0,), depth_size=(HEIGHT, WIDTH + 16))
    frame = next(iter(open_source(tmp_path).frames()))
    assert frame.depth is None and frame.depth_sha256 == ""
    assert codes(frame) == ["depth_left_out"]
    assert "80x48" in frame.warnings[0].text and "depth-intrinsics.txt" in frame.warnings[0].advice


def test_a_matrix_of_the_depths_size_is_scaled_to_the_picture(tmp_path):
    posed(tmp_path, (0,))
    write_picture(tmp_path / "seq-01" / "frame-000000.color.png", size=(HEIGHT * 3, WIDTH * 3))
    frame = next(iter(open_source(tmp_path).frames()))
    assert codes(frame) == ["calibration_scaled", "depth_scaled"]
    assert np.allclose(frame.intrinsics.K[0], (180, 0, 95.5))


def test_a_matrix_whose_centre_is_outside_the_picture_is_left_out(tmp_path):
    posed(tmp_path, (0,))
    np.savetxt(tmp_path / "camera-intrinsics.txt", K * [[10], [10], [1]])
    frame = next(iter(open_source(tmp_path).frames()))
    assert frame.intrinsics is None
    assert codes(frame) == ["calibration_unusable"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("camera-intrinsics.txt", "60 0 31.5\n0 60 23.5\n0 0 1\n"),
        ("intrinsics.txt", "60 60 31.5 23.5 # fx fy cx cy\n"),
        ("camera_intrinsics.txt", "[[60, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]"),
        (
            "camera_intrinsic.json",
            json.dumps(
                {
                    "width": WIDTH,
                    "height": HEIGHT,
                    "intrinsic_matrix": [60, 0, 0, 0, 60, 0, 31.5, 23.5, 1],
                }
            ),
        ),
        (
            "camera_info.yaml",
            f"image_width: {WIDTH}\nimage_height: {HEIGHT}\ncamera_matrix:\n  rows: 3\n  cols: 3\n"
            "  data: [60, 0, 31.5, 0, 60, 23.5, 0, 0, 1]\n",
        ),
        ("intrinsics.yaml", "{fx: 60, fy: 60, cx: 31.5, cy: 23.5}"),
    ],
)
def test_notations_of_a_matrix(tmp_path, name, text):
    posed(tmp_path, (0,))
    (tmp_path / "camera-intrinsics.txt").unlink()
    (tmp_path / name).write_text(text)
    frame = next(iter(open_source(tmp_path).frames()))
    assert np.allclose(frame.intrinsics.K, K)


def test_a_line_of_numbers_with_distortion(tmp_path):
    posed(tmp_path, (0,))
    (tmp_path / "camera-intrinsics.txt").write_text("60 60 31.5 23.5 0.1 -0.05 0.001 0.002\n")
    frame = next(iter(open_source(tmp_path).frames()))
    assert frame.intrinsics.distortion_model == "plumb_bob"
    assert frame.intrinsics.D.tolist() == [0.1, -0.05, 0.001, 0.002]


@pytest.mark.parametrize("text", ["", "a b c\n", "1 2\n3 4\n", "1 2 3 4 5\n"])
def test_a_matrix_that_is_none_is_left_out_and_said(tmp_path, text):
    posed(tmp_path, (0,))
    (tmp_path / "camera-intrinsics.txt").write_text(text)
    source = open_source(tmp_path)
    said = source.warnings[0]
    assert (said.code, said.topic) == ("calibration_unusable", "camera-intrinsics.txt")
    assert "3x3 camera matrix" in said.text and "fx 0 cx" in said.advice
    assert source.load(source.stubs()[0]).intrinsics is None


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "hello"])
def test_a_pose_that_is_none_is_left_out_and_said(tmp_path, number):
    posed(tmp_path, (0, 1))
    file = tmp_path / "seq-01" / "frame-000001.pose.txt"
    file.write_text(f"1 0 0 {number}\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    frames = list(open_source(tmp_path).frames())
    assert frames[0].T_fixed_camera is not None and frames[0].warnings == ()
    assert frames[1].T_fixed_camera is None and frames[1].fixed_frame == ""
    assert codes(frames[1]) == ["pose_unusable"]
    assert frames[1].warnings[0].severity == "problem"


def test_a_rigs_matrix_wins_and_its_mounting_is_not_needed(tmp_path):
    posed(tmp_path, (0,))
    np.savetxt(tmp_path / "camera-intrinsics.txt", np.eye(3))
    other = (K + np.diag([3, 3, 0])).reshape(-1).tolist()
    (tmp_path / "rig.yaml").write_text(
        "cameras:\n  camera:\n    frame_id: eye\n"
        f"    image_width: {WIDTH}\n    image_height: {HEIGHT}\n"
        f"    camera_matrix: {other}\n    T_base_camera: {pose(4).tolist()}\n"
    )
    source = open_source(tmp_path, rig=tmp_path / "rig.yaml")
    frame = next(iter(source.frames()))
    assert frame.intrinsics.K[0, 0] == 63 and frame.frame_id == "eye"
    assert np.allclose(frame.T_fixed_camera, pose(0))
    assert "rig_mounting_unused" in codes(source)


def test_depth_that_is_a_coloured_picture_is_left_out(tmp_path):
    posed(tmp_path, (0,))
    write_picture(tmp_path / "seq-01" / "frame-000000.depth.png")
    frame = next(iter(open_source(tmp_path).frames()))
    assert codes(frame) == ["depth_left_out"]
    assert "16-bit" in frame.warnings[0].text


def test_depth_in_float_metres(tmp_path):
    posed(tmp_path, (0,))
    (tmp_path / "seq-01" / "frame-000000.depth.png").unlink()
    metres = np.full((HEIGHT, WIDTH), 2.25, np.float32)
    metres[0] = np.inf
    cv2.imwrite(str(tmp_path / "seq-01" / "frame-000000.depth.tiff"), metres)
    frame = next(iter(open_source(tmp_path).frames()))
    assert (frame.depth[1:] == 2.25).all() and np.isnan(frame.depth[0]).all()


def test_a_sequence_without_pictures(tmp_path):
    (tmp_path / "seq-01").mkdir()
    with pytest.raises(SourceError, match="no colour picture"):
        open_source(tmp_path)


def test_open3d_log_of_poses(tmp_path):
    """Redwood: `camera_intrinsic.json`, `image/`, `depth/` and a trajectory.log."""
    for index in range(2):
        write_picture(tmp_path / "image" / f"{index + 1:06d}.png", index)
        write_depth(tmp_path / "depth" / f"{index + 1:06d}.png", 1.0)
    log = "".join(
        f"{i} {i} {i + 1}\n" + "\n".join(" ".join(map(str, row)) for row in pose(i)) + "\n"
        for i in range(2)
    )
    (tmp_path / "trajectory.log").write_text(log)
    np.savetxt(tmp_path / "intrinsics.txt", K)
    source = open_source(tmp_path)
    for index, frame in enumerate(source.frames()):
        assert index_of(frame) == index
        assert np.allclose(frame.T_fixed_camera, pose(index))
        assert frame.depth is not None
