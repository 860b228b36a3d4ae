"""The node gives a frame the rays, the depth and the place that a recording of it has."""

from array import array

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from harness import camera_info, wait_until
from oryx_scene_ros.convert import pose_message
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.intake.frame_requirements import Wanted
from oryx_scene_ros.intake.message_buffer import (
    Bounds,
    CameraFeed,
    LockedTransforms,
    MessageBuffers,
)
from oryx_scene_ros.intake.moment import BufferedMoment
from oryx_scene_ros.parameters.settings import CameraSettings

from oryx_scene.geometry.camera import check_intrinsics, normalised_rays
from oryx_scene.geometry.rig import load_rig
from oryx_scene.geometry.tf_trees import TransformTrees
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import WorldConfig, make_world
from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.index import take_transforms
from oryx_scene.sources.bags.recording import Recording
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

SECOND = 1_000_000_000
K = np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]])


def put_info(writer, topic, stamp, K, P, D=()):
    kind = writer.type("sensor_msgs/msg/CameraInfo")
    info = kind(
        header=writer.header(stamp, "stereo"),
        height=60,
        width=80,
        distortion_model="plumb_bob",
        d=np.asarray(D, float),
        k=np.asarray(K, float).ravel(),
        r=np.eye(3).ravel(),
        p=np.asarray(P, float).ravel(),
        binning_x=0,
        binning_y=0,
        roi=writer.type("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False),
    )
    writer.write(topic, "sensor_msgs/msg/CameraInfo", stamp, info)


def record(path):
    """A rectified stereo pair of one frame_id with depth, and a raw camera whose lens changes."""
    z = np.full((60, 80), 1.2, np.float32)
    z[20:40, 40:50] = 0.6
    grey = np.full((60, 80, 3), 90, np.uint8)
    with BagWriter(path) as writer:
        for index in range(3):
            stamp = (index + 1) * SECOND
            T = np.eye(4)
            T[0, 3] = index
            writer.add_transform("map", "stereo", stamp, T)
            for side, shift in (("left", 0.0), ("right", -6.0)):
                P = np.column_stack([K, [shift, 0, 0]])
                put_info(writer, f"/s/{side}/camera_info", stamp, 1.3 * K, P, (-0.2, 0, 0, 0, 0))
                writer.add_image(f"/s/{side}/image_rect", stamp, "stereo", grey)
            put_info(writer, "/s/left/depth/camera_info", stamp, K, np.column_stack([K, [0, 0, 0]]))
            writer.add_depth("/s/left/depth/image_raw", stamp, "stereo", z)
            P = np.column_stack([K, [0, 0, 0]])
            put_info(writer, "/s/left/wide/camera_info", stamp, K, P, (-0.1 * index, 0, 0, 0, 0))
            writer.add_image("/s/left/wide/image_raw", stamp, "stereo", grey)
    return path


def live(path, topics, rig):
    """Everything of a recording arrives at a node."""
    feeds = MessageBuffers(
        {
            name: CameraFeed(CameraSettings(name, found, False, False, True), found)
            for name, found in topics.items()
        },
        LockedTransforms(None),
        lambda: Bounds(10**12, 0, 10**12, 10**9),
        rig,
    )
    recording = Recording(path)
    tree = TransformTrees(feeds.transforms)
    for channel, _, data in recording.messages(lambda channel: True):
        message = recording.deserialize(data, channel)
        if channel.topic == "/tf":
            assert take_transforms(tree, "/tf", message) == []
        for name, found in topics.items():
            if channel.topic in (found.info, found.depth_info):
                feeds.add_info(name, channel.topic, message)
            elif channel.topic in (found.image, found.depth):
                feeds.add_image(name, message, depth=channel.topic == found.depth)
    return BufferedMoment(feeds, Wanted(tuple(topics), 1e9), "map", rig, 10 * SECOND)


def test_live_frames_have_the_rays_and_places_of_the_recording(tmp_path):
    rig_file = tmp_path / "rig.yaml"
    rig_file.write_text("cameras:\n  right: {depth_unit_m: 0.0005}\n  wide: {rotate_deg: 90}\n")
    rig = load_rig(rig_file)
    path = record(tmp_path / "bag")
    recorded = open_source(path, rig=rig)
    snapshot = live(path, recorded.topics, rig)
    frames = list(zip(recorded.frames(), snapshot.frames(), strict=True))
    assert len(frames) == 9
    for a, b in frames:
        assert (a.camera, a.stamp_ns) == (b.camera, b.stamp_ns)
        assert np.array_equal(a.rgb, b.rgb) and a.frame_id == b.frame_id
        assert np.array_equal(a.intrinsics.K, b.intrinsics.K)
        assert np.array_equal(a.intrinsics.D, b.intrinsics.D)
        assert np.array_equal(a.T_fixed_camera, b.T_fixed_camera)
        assert (a.depth is None) == (b.depth is None)
        assert a.depth is None or np.array_equal(a.depth, b.depth, equal_nan=True)
    last = {frame.camera: frame for _, frame in frames[-3:]}
    assert last["left"].intrinsics.K[0, 0] == 60.0
    assert last["right"].T_fixed_camera[0, 3] == 2.1
    assert np.nanmax(last["right"].depth) == np.float32(0.6)
    assert last["wide"].intrinsics.D[0] == -0.2
    assert (last["wide"].height, last["wide"].width) == (80, 60)


LENSES = {
    # The polynomial folds back before the corners, which have no ray.
    "plumb_bob": (140.0, (-0.3, 0.0, 0.0, 0.0, 0.0)),
    "equidistant": (110.0, (0.02, -0.01, 0.003, -0.001)),
}


def through_lens(frame, lens):
    """What a camera with that lens shows of a pinhole picture; black outside of it."""
    v, u = np.mgrid[: lens.height, : lens.width]
    rays = normalised_rays(lens, np.column_stack([u.ravel(), v.ravel()]).astype(float))
    K = frame.intrinsics.K
    at = (rays * np.diag(K)[:2] + K[:2, 2]).astype(np.float32).reshape(lens.height, lens.width, 2)
    return cv2.remap(frame.rgb, np.nan_to_num(at, nan=-10.0), None, cv2.INTER_LINEAR)


@pytest.mark.parametrize("model", LENSES)
def test_a_wide_lens_without_depth_is_answered(bench, model):
    focal, D = LENSES[model]
    K = np.array([[focal, 0, 119.5], [0, focal, 89.5], [0, 0, 1]])
    lens = check_intrinsics(Intrinsics(K, 180, 240, model, np.array(D)), model)
    world = make_world(7, WorldConfig(split="test", touching=0.0, stacked=0.0))
    pinhole = RigConfig("handheld", 4, 180, 240, focal=(0.45, 0.45))
    frames = render_views(world, make_poses(world, pinhole))
    names = [f"eye{index}" for index in range(len(frames))]
    robot = bench(cameras=names)
    stamp_ns = robot.now()
    for name, frame in zip(names, frames, strict=True):
        mounted = TransformStamped(child_frame_id=f"{name}_optical")
        mounted.header.frame_id = "map"
        pose = pose_message(frame.T_fixed_camera)
        mounted.transform.rotation = pose.orientation
        at = mounted.transform.translation
        at.x, at.y, at.z = pose.position.x, pose.position.y, pose.position.z
        robot.tf(mounted, static=True)
        info = camera_info(stamp_ns, height=180, width=240, frame_id=f"{name}_optical")
        info.distortion_model, info.k, info.d = model, K.ravel(), list(D)
        robot.publish(f"/{name}/camera_info", info)
        feed = robot.node.feeds.cameras[name]
        wait_until(lambda feed=feed: feed.infos, "calibration")
    for name, frame in zip(names, frames, strict=True):
        data = array("B", through_lens(frame, lens).tobytes())
        robot.show(name, stamp_ns, height=180, width=240, data=data)
    answer = robot.ask()
    assert answer.error.code == Code.NONE, answer.error
    assert answer.text == "It is mark 1."
    assert not {"calibration_unusable", "no_camera_info"} & {item.code for item in answer.warnings}
    places = [item.pose.position for item in answer.objects if item.has_box]
    assert places, [item.text for item in answer.warnings]
    things = np.array([thing.position for thing in world.objects])
    for place in places:
        off = np.linalg.norm(things - (place.x, place.y, place.z), axis=1)
        assert off.min() < 0.3
