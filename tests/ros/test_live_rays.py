"""The node gives a frame the rays, the depth and the place that a recording of it has."""

import numpy as np
from oryx_scene_ros.evidence import Wanted
from oryx_scene_ros.feed import Bounds, CameraFeed, Feeds, LockedTransforms
from oryx_scene_ros.settings import CameraSettings
from oryx_scene_ros.snapshot import Snapshot

from oryx_scene.bags.bag_index import take_transforms
from oryx_scene.bags.recording import Recording
from oryx_scene.bags.writer import BagWriter
from oryx_scene.geometry.rig import load_rig
from oryx_scene.geometry.tf_trees import TransformTrees
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
    feeds = Feeds(
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
    return Snapshot(feeds, Wanted(tuple(topics), 1e9), "map", rig, 10 * SECOND)


def test_live_frames_have_the_rays_and_places_of_the_recording(tmp_path):
    rig_file = tmp_path / "rig.yaml"
    rig_file.write_text("cameras:\n  right: {depth_unit_m: 0.0005}\n")
    rig = load_rig(rig_file)
    path = record(tmp_path / "bag")
    recorded = open_source(path, rig=rig)
    snapshot = live(path, recorded.topics, rig)
    frames = list(zip(recorded.frames(), snapshot.frames(), strict=True))
    assert len(frames) == 9
    for a, b in frames:
        assert (a.camera, a.stamp_ns) == (b.camera, b.stamp_ns)
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
