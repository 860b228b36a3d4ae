"""EuRoC-like sequences: two cameras on a body whose poses are known."""

import numpy as np
import pytest
from folder_layouts import EUROC_FIRST_NS, EUROC_STEP_NS, K, codes, index_of, pose

from oryx_scene.errors import SourceError
from oryx_scene.sources.registry import open_source


@pytest.mark.parametrize("inside", ["", "mav0"])
def test_two_cameras_on_a_body(euroc, inside):
    source = open_source(euroc / inside)
    assert source.cameras == ("cam0", "cam1")
    assert source.warnings == ()
    turn = np.array([[0, -1, 0, 0], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1.0]])
    for frame in source.frames():
        assert frame.warnings == ()
        index = index_of(frame)
        assert frame.stamp_ns == EUROC_FIRST_NS + index * EUROC_STEP_NS
        turn[0, 3] = index
        mounted = pose(("cam0", "cam1").index(frame.camera) + 1)
        assert np.allclose(frame.T_fixed_camera, turn @ mounted)
        assert frame.intrinsics.distortion_model == "plumb_bob"
        assert frame.intrinsics.D[0] == -0.28 and np.array_equal(frame.intrinsics.K, K)


def test_a_rig_wins_field_by_field(euroc, tmp_path):
    (tmp_path / "rig.yaml").write_text(
        f"base_frame: imu\ncameras:\n  cam1:\n    T_base_camera: {pose(7).tolist()}\n"
    )
    source = open_source(euroc, rig=tmp_path / "rig.yaml")
    stub = next(stub for stub in source.stubs() if stub.camera == "cam1")
    frame = source.load(stub)
    first = source.pose(next(stub for stub in source.stubs() if stub.camera == "cam0"))
    T_body_cam1 = pose(1) @ np.linalg.inv(first) @ frame.T_fixed_camera
    assert np.allclose(T_body_cam1, pose(7))
    assert np.array_equal(frame.intrinsics.K, K)


def test_without_ground_truth_places_are_in_the_body_frame(euroc):
    (euroc / "mav0" / "state_groundtruth_estimate0" / "data.csv").unlink()
    source = open_source(euroc)
    assert codes(source) == ["other_fixed_frame"]
    frame = next(iter(source.frames()))
    assert frame.fixed_frame == "body" and np.allclose(frame.T_fixed_camera, pose(1))


def test_files_that_are_not_there_are_counted_per_camera(euroc):
    (euroc / "mav0" / "cam1" / "data" / f"{EUROC_FIRST_NS}.png").unlink()
    source = open_source(euroc)
    assert len(source.stubs()) == 5
    assert [(w.code, w.camera) for w in source.warnings] == [("files_missing", "cam1")]


def test_a_camera_that_cannot_be_read_is_left_out_by_name(euroc):
    sensor = euroc / "mav0" / "cam0" / "sensor.yaml"
    sensor.write_text("intrinsics: [1, 2]")
    source = open_source(euroc)
    assert [(w.code, w.camera) for w in source.warnings][:1] == [("calibration_unusable", "cam0")]
    assert next(iter(source.frames())).T_fixed_camera is None
    assert source.load(source.stubs()[1]).T_fixed_camera is not None
    (euroc / "mav0" / "cam0" / "data.csv").write_text("now,a.png\n")
    source = open_source(euroc)
    assert source.cameras == ("cam1",)
    assert [(w.code, w.camera) for w in source.warnings] == [("files_missing", "cam0")]
    (euroc / "mav0" / "cam1" / "data.csv").write_text("")
    with pytest.raises(SourceError, match="no camera of it can be read"):
        open_source(euroc)


def test_ground_truth_that_is_none_is_left_out(euroc):
    (euroc / "mav0" / "state_groundtruth_estimate0" / "data.csv").write_text("1,2,3\n")
    source = open_source(euroc)
    assert codes(source) == ["pose_file_unused", "other_fixed_frame"]
