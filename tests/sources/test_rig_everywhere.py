"""A rig file counts for every kind of source, and a conversion keeps what it says."""

import cv2
import numpy as np
import pytest

from oryx_scene.geometry.rig import load_rig, with_turns
from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.writer import BagWriter, write_source
from oryx_scene.sources.registry import open_source

SECOND = 1_000_000_000
RIG = """base_frame: base_link
cameras:
  front:
    image_width: 80
    image_height: 60
    camera_matrix: {rows: 3, cols: 3, data: [70.0, 0.0, 39.5, 0.0, 70.0, 29.5, 0.0, 0.0, 1.0]}
    T_base_camera: {xyz: [0.3, 0.0, 0.5], quaternion_xyzw: [-0.5, 0.5, -0.5, 0.5]}
  nose:
    T_base_camera: {xyz: [0.0, 0.0, 0.0], rpy: [0.0, 0.0, 0.0]}
"""
GREY = np.full((60, 80, 3), 90, np.uint8)
OTHER = Intrinsics(np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]]), 60, 80)


@pytest.fixture
def rig(tmp_path):
    path = tmp_path / "rig.yaml"
    path.write_text(RIG)
    return path


def moving_bag(path):
    """The base moves in the map, the recording knows no camera's place and another K."""
    with BagWriter(path) as writer:
        for index in range(3):
            stamp = (index + 1) * SECOND
            T = np.eye(4)
            T[0, 3] = index
            writer.add_transform("map", "base_link", stamp, T)
            writer.add_camera_info("/front/camera_info", stamp, "cam", OTHER)
            writer.add_image("/front/image_raw", stamp, "cam", GREY)
    return path


def pictures(path):
    path.mkdir()
    cv2.imwrite(str(path / "front.png"), GREY)
    return path


@pytest.mark.parametrize("make", [moving_bag, pictures])
def test_intrinsics_and_mounting_are_used_and_unknown_cameras_said(tmp_path, rig, make):
    source = open_source(make(tmp_path / "source"), rig=rig, fixed_frame="base_link")
    frame = source.load(source.stubs()[0])
    assert frame.intrinsics.K[0, 0] == 70.0
    assert np.allclose(frame.T_fixed_camera, load_rig(rig).cameras["front"].T_base_camera)
    (said,) = [item for item in source.warnings if item.code == "rig_camera_unknown"]
    assert "nose" in said.text


def video(path):
    path.mkdir()
    out = cv2.VideoWriter(str(path / "front.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for _ in range(3):
        out.write(GREY)
    out.release()
    return path / "front.avi"


@pytest.mark.parametrize("make", [moving_bag, pictures, video])
def test_every_source_is_turned_and_its_conversion_is_the_same(tmp_path, rig, make):
    stated = load_rig(rig)
    path, turn = make(tmp_path / "source"), np.eye(4)
    turn[:2, :2] = [[0, 1], [-1, 0]]
    turned = with_turns(stated, {"front": 90})
    source = open_source(path, rig=turned, fixed_frame="base_link")
    stub = source.stubs()[0]
    frame = source.load(stub)
    assert (frame.height, frame.width) == (80, 60)
    assert np.allclose(frame.T_fixed_camera, stated.cameras["front"].T_base_camera @ turn)
    assert np.array_equal(source.pose(stub), frame.T_fixed_camera)
    write_source(open_source(path, rig=turned), tmp_path / "bag")
    again = open_source(tmp_path / "bag", fixed_frame="base_link")
    copy = again.load(again.stubs()[0])
    assert np.array_equal(copy.rgb, frame.rgb) and copy.frame_id == frame.frame_id
    assert np.array_equal(copy.intrinsics.K, frame.intrinsics.K)
    assert np.allclose(copy.T_fixed_camera, frame.T_fixed_camera)
    if make is moving_bag:
        in_map = [one.T_fixed_camera[0, 3] for one in open_source(tmp_path / "bag").frames()]
        assert np.allclose(in_map, [0.3, 1.3, 2.3])


@pytest.mark.parametrize("make", [moving_bag, pictures])
def test_a_conversion_keeps_mounting_and_path(tmp_path, rig, make):
    source = open_source(make(tmp_path / "source"), rig=rig)
    write_source(source, tmp_path / "bag")
    again = open_source(tmp_path / "bag", fixed_frame="base_link")
    mounted = load_rig(rig).cameras["front"].T_base_camera
    for frame in again.frames():
        assert np.allclose(frame.T_fixed_camera, mounted)
        assert frame.intrinsics.K[0, 0] == 70.0
    if make is moving_bag:
        in_map = [frame.T_fixed_camera for frame in open_source(tmp_path / "bag").frames()]
        assert np.allclose([T[0, 3] for T in in_map], [0.3, 1.3, 2.3])


def test_a_mounting_wins_over_the_recorded_one(tmp_path, rig):
    bag = tmp_path / "bag"
    with BagWriter(bag) as writer:
        writer.add_transform("base_link", "cam", SECOND, np.eye(4), static=True)
        writer.add_transform("base_link", "cam", SECOND, np.eye(4))
        writer.add_image("/front/image_raw", SECOND, "cam", GREY)
    source = open_source(bag, rig=rig, fixed_frame="base_link")
    assert source.pose(source.stubs()[0])[:3, 3] == pytest.approx((0.3, 0.0, 0.5))


def test_cameras_of_one_frame_id_are_converted_with_one_each(tmp_path):
    bag = tmp_path / "bag"
    with BagWriter(bag) as writer:
        writer.add_transform("map", "stereo", SECOND, np.eye(4))
        for side, shift in (("left", 0.0), ("right", -6.0)):
            kind = writer.type("sensor_msgs/msg/CameraInfo")
            info = kind(
                header=writer.header(SECOND, "stereo"),
                height=60,
                width=80,
                distortion_model="plumb_bob",
                d=np.zeros(5),
                k=OTHER.K.ravel(),
                r=np.eye(3).ravel(),
                p=np.column_stack([OTHER.K, [shift, 0, 0]]).ravel(),
                binning_x=0,
                binning_y=0,
                roi=writer.type("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False),
            )
            writer.write(f"/s/{side}/camera_info", "sensor_msgs/msg/CameraInfo", SECOND, info)
            writer.add_image(f"/s/{side}/image_rect", SECOND, "stereo", GREY)
    write_source(open_source(bag), tmp_path / "again")
    places = {
        frame.camera: (frame.frame_id, frame.T_fixed_camera[0, 3])
        for frame in open_source(tmp_path / "again").frames()
    }
    assert places == {"left": ("stereo", 0.0), "right": ("right_optical_frame", 0.1)}
