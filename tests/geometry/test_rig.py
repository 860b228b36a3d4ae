"""Rig files: every field is read as it is written, everything else is refused by its path."""

import dataclasses

import numpy as np
import pytest
import yaml

from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.rig import Rig, RigCamera, load_rig, rig_mountings, with_turns
from oryx_scene.geometry.transforms import from_translation_rpy
from oryx_scene.geometry.turning import T_camera_turned

FULL = {
    "image_width": 640,
    "image_height": 480,
    "camera_name": "a",
    "camera_matrix": {"rows": 3, "cols": 3, "data": [500, 0, 320, 0, 510, 240, 0, 0, 1]},
    "distortion_coefficients": [-0.1, 0.01, 0.0, 0.0, 0.02],
    "rectification_matrix": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    "projection_matrix": [400, 0, 310, -40, 0, 401, 230, 0, 0, 0, 1, 0],
    "frame_id": "front_optical",
    "topic": "/f/image",
    "depth_topic": "/f/depth",
    "depth_unit_m": 0.0001,
    "depth_scale": 1.02,
    "grey_range": [100, 4000],
    "rotate_deg": 180,
    "T_base_camera": {"xyz": [1, 2, 3], "rpy": [0.1, 0.2, 0.3]},
}


def load(tmp_path, camera=None, **top):
    path = tmp_path / "rig.yaml"
    values = top if camera is None else {"cameras": {"front": camera}, **top}
    path.write_text(yaml.safe_dump(values))
    return load_rig(path)


def test_every_field_is_read(tmp_path):
    rig = load(tmp_path, FULL, base_frame="base", roles={"/x": "ignored", "/y": "depth"})
    assert (rig.base_frame, rig.roles) == ("base", {"/x": "ignored", "/y": "depth"})
    front = rig.cameras["front"]
    assert front.intrinsics.K.tolist() == [[500, 0, 320], [0, 510, 240], [0, 0, 1]]
    assert front.intrinsics.D.tolist() == [-0.1, 0.01, 0.0, 0.0, 0.02]
    assert front.intrinsics.distortion_model == "plumb_bob"
    assert (front.intrinsics.height, front.intrinsics.width) == (480, 640)
    assert front.rectified.K.tolist() == [[400, 0, 310], [0, 401, 230], [0, 0, 1]]
    assert (front.rectified.height, front.rectified.width) == (480, 640)
    assert (front.rectified.distortion_model, front.rectified.D.size) == ("none", 0)
    assert np.array_equal(front.T_base_camera, from_translation_rpy((1, 2, 3), (0.1, 0.2, 0.3)))
    assert (front.frame_id, front.topic, front.depth_topic) == (
        "front_optical",
        "/f/image",
        "/f/depth",
    )
    assert (front.depth_unit_m, front.depth_scale) == (0.0001, 1.02)
    assert (front.grey_range, front.rotate_deg) == ((100.0, 4000.0), 180)


def test_what_is_not_written_is_not_known(tmp_path):
    rig = load(tmp_path, {})
    assert (rig.base_frame, rig.roles, list(rig.cameras)) == ("base_link", {}, ["front"])
    assert dataclasses.asdict(rig.cameras["front"]) == dataclasses.asdict(RigCamera())
    only_roles = load(tmp_path, roles={"/x": "picture"})
    assert (only_roles.cameras, only_roles.roles) == ({}, {"/x": "picture"})
    lens = {key: FULL[key] for key in ("image_width", "image_height", "camera_matrix")}
    plain = load(tmp_path, lens).cameras["front"]
    assert (plain.intrinsics.distortion_model, plain.rectified) == ("none", None)
    named = {**lens, "distortion_model": "fisheye"}
    assert load(tmp_path, named).cameras["front"].intrinsics.distortion_model == "equidistant"
    # A rectified picture has the size that its camera states.
    alone = {"projection_matrix": FULL["projection_matrix"]}
    assert load(tmp_path, alone).cameras["front"].rectified is None


def test_a_pose_may_be_a_matrix_or_a_quaternion(tmp_path):
    T = from_translation_rpy((1, 2, 3), (0, 0, np.pi / 2)).round(9)
    for pose in (
        T.tolist(),
        T.ravel().tolist(),
        {"xyz": [1, 2, 3], "quaternion_xyzw": [0, 0, 1, 1]},
    ):
        found = load(tmp_path, {"T_base_camera": pose}).cameras["front"].T_base_camera
        assert np.allclose(found, T, atol=1e-8)
    far = {"xyz": [100, 0, 0], "rpy": [0, 0, 0]}
    assert load(tmp_path, {"T_base_camera": far}).cameras["front"].T_base_camera[0, 3] == 100


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({"colour": 1}, r"cameras\.front': unknown key 'colour'.*rotate_deg"),
        ("front", r"cameras\.front'.*got str"),
        ({**FULL, "image_height": "480"}, r"cameras\.front\.image_height'.*got '480'"),
        ({**FULL, "image_width": 0}, r"cameras\.front'.*0x480"),
        ({**FULL, "camera_matrix": [1.0] * 8}, r"camera_matrix': 9 numbers were expected, got 8"),
        ({**FULL, "camera_matrix": ["a"] * 9}, r"camera_matrix': a list of numbers"),
        ({**FULL, "camera_matrix": {"data": [1.0], "size": 1}}, r"unknown key 'size'.*cols, data"),
        ({**FULL, "distortion_coefficients": 0.1}, r"front\.distortion_coefficients': a list"),
        ({**FULL, "projection_matrix": [1.0] * 9}, r"front\.projection_matrix': 12 numbers"),
        ({**FULL, "projection_matrix": [0.0] * 12}, r"'cameras\.front': the focal lengths"),
        *(
            ({"depth_unit_m": bad}, r"front\.depth_unit_m': a positive number was expected")
            for bad in (0, -1.0, 1000, True, "1", None)
        ),
        ({"depth_scale": 0.0}, r"front\.depth_scale': a positive number"),
        ({"grey_range": [1, 2, 3]}, r"front\.grey_range': 2 numbers"),
        *(({"grey_range": bad}, r"front\.grey_range': 0 <= low") for bad in ([5, 5], [-1, 5])),
        ({"grey_range": [0, 65536]}, r"front\.grey_range': 0 <= low"),
        ({"T_base_camera": {"xyz": [0, 0, 0]}}, r"T_base_camera': give either"),
        (
            {"T_base_camera": {"xyz": [0, 0, 0], "rpy": [0] * 3, "quaternion_xyzw": [0] * 4}},
            r"T_base_camera': give either",
        ),
        ({"T_base_camera": {"xyz": [0, 0], "rpy": [0] * 3}}, r"T_base_camera\.xyz': 3 numbers"),
        ({"T_base_camera": {"xyz": [0] * 3, "rpy": [0]}}, r"T_base_camera\.rpy': 3 numbers"),
        (
            {"T_base_camera": {"xyz": [0] * 3, "quaternion_xyzw": [1]}},
            r"T_base_camera\.quaternion_xyzw': 4 numbers",
        ),
        ({"T_base_camera": {"rpy": [0] * 3}}, r"T_base_camera\.xyz': a list of numbers"),
        ({"T_base_camera": "up"}, r"front\.T_base_camera': named values"),
        ({"T_base_camera": {"xyz": [0] * 3, "yaw": 1}}, r"front\.T_base_camera': unknown key"),
        ({"T_base_camera": [1.0] * 15}, r"T_base_camera': 16 numbers"),
        ({"T_base_camera": [1.0] * 16}, r"T_base_camera': the last row"),
        (
            {"T_base_camera": {"xyz": [0, 100.6, 0], "rpy": [0] * 3}},
            r"T_base_camera': the camera would be 101 m .*metres, not mm",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(tmp_path, camera, said):
    with pytest.raises(CalibrationError) as caught:
        load(tmp_path, camera)
    assert caught.match(said)


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ({"lenses": {}}, r"rig\.yaml': unknown key 'lenses'.*base_frame, cameras, roles"),
        ({"cameras": []}, r"rig\.yaml: cameras': named values were expected, got list"),
        ({"cameras": {}, "roles": []}, r"rig\.yaml: roles': named values"),
        ({"base_frame": "b"}, "names no camera"),
        ({"roles": {"/x": "colour"}}, r"roles\./x': got 'colour'.*picture, depth, ignored"),
    ],
)
def test_a_file_that_is_no_rig_is_refused(tmp_path, top, said):
    with pytest.raises(CalibrationError, match=said):
        load(tmp_path, **top)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(
        CalibrationError, match=r"none\.yaml': the rig file cannot be read: No such"
    ):
        load_rig(tmp_path / "none.yaml")
    for bad in (b"a: [", b"\xff\xfe\xff"):
        (tmp_path / "bad.yaml").write_bytes(bad)
        with pytest.raises(CalibrationError, match=r"bad\.yaml': no YAML"):
            load_rig(tmp_path / "bad.yaml")


def test_mountings_are_those_of_the_published_frames():
    T = from_translation_rpy((1, 2, 3), (0.1, 0.2, 0.3))
    rig = Rig(
        "base", {"a": RigCamera(T_base_camera=T), "b": RigCamera(), "c": RigCamera(T_base_camera=T)}
    )
    frames = {"a": "a_optical", "b": "b_optical", "c": "base", "d": "d_optical"}
    found = rig_mountings(rig, frames)
    assert list(found) == ["a_optical"]
    assert found["a_optical"][0] == "base" and np.array_equal(found["a_optical"][1], T)
    (turned,) = rig_mountings(with_turns(rig, {"a": 90}), {"a": "a_optical"}).items()
    assert turned[0] == "a_optical_turned_90"
    assert np.array_equal(turned[1][1], T @ T_camera_turned(90))
    assert rig_mountings(None, frames) == {}
    assert with_turns(None, {"a": 90}).base_frame == "base_link"
