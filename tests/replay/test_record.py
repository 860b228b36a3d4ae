"""The replay's mcap, read back with two other libraries: standard types, right places and times."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from parrot import parrot_answerer, replay_wall
from rosbags.highlevel import AnyReader

from oryx_scene.errors import OutputError, SourceError
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.transforms import from_translation_quaternion
from oryx_scene.replay.journal import read_answers
from oryx_scene.replay.record import write_layout, write_replay_bag
from oryx_scene.sources.registry import open_source

TOPICS = {
    "/oryx_scene/question": "std_msgs/msg/String",
    "/oryx_scene/answer_text": "std_msgs/msg/String",
    "/oryx_scene/answer_json": "std_msgs/msg/String",
    "/oryx_scene/markers": "visualization_msgs/msg/MarkerArray",
    "/oryx_scene/cloud": "sensor_msgs/msg/PointCloud2",
    "/oryx_scene/marked/front/compressed": "sensor_msgs/msg/CompressedImage",
    "/oryx_scene/marked/front/camera_info": "sensor_msgs/msg/CameraInfo",
    "/oryx_scene/marked/side/compressed": "sensor_msgs/msg/CompressedImage",
    "/oryx_scene/marked/side/camera_info": "sensor_msgs/msg/CameraInfo",
    "/tf": "tf2_msgs/msg/TFMessage",
}


@pytest.fixture(scope="module")
def replayed(wall_bag, tmp_path_factory):
    folder = tmp_path_factory.mktemp("record") / "replay"
    replay_wall(wall_bag, folder, parrot_answerer(), every_s=3.0)
    return folder


@pytest.fixture(scope="module")
def mcap_file(replayed):
    path = replayed.parent / "answers.mcap"
    assert write_replay_bag(replayed, path) == 6
    return path


@pytest.fixture(scope="module")
def messages(mcap_file):
    found = {}
    with AnyReader([mcap_file]) as reader:
        types = {connection.topic: connection.msgtype for connection in reader.connections}
        for connection, time_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((time_ns, message))
    assert types == TOPICS
    return found


def test_answers_are_there_in_order(messages, replayed):
    records = read_answers(replayed)
    texts = [message.data for _, message in messages["/oryx_scene/answer_text"]]
    assert texts == [record["answer"]["text"] for record in records]
    as_json = [json.loads(message.data) for _, message in messages["/oryx_scene/answer_json"]]
    assert as_json == [record["answer"] for record in records]
    times = [time_ns for time_ns, _ in messages["/oryx_scene/answer_text"]]
    assert times == sorted(set(times))
    assert all(0 <= t - record["at_ns"] < 10 for t, record in zip(times, records, strict=True))


def test_markers_are_the_marks(messages, replayed):
    answer = read_answers(replayed)[0]["answer"]
    _, array = messages["/oryx_scene/markers"][0]
    assert array.markers[0].action == 3  # delete the markers of the answer before
    boxes = [m for m in array.markers if m.ns == "oryx_scene/boxes"]
    texts = [m for m in array.markers if m.ns == "oryx_scene/numbers"]
    assert [box.id for box in boxes] == [mark["number"] for mark in answer["scene"]]
    for box, text, mark in zip(boxes, texts, answer["scene"], strict=True):
        place = (box.pose.position.x, box.pose.position.y, box.pose.position.z)
        assert place == pytest.approx(mark["position"])
        # RViz refuses boxes without thickness, and flat things have none.
        size = [max(side, 0.01) for side in mark["size"]]
        assert (box.scale.x, box.scale.y, box.scale.z) == pytest.approx(size)
        assert box.header.frame_id == "map"
        assert text.text.startswith(str(mark["number"]))
        assert text.pose.position.z > box.pose.position.z
        assert box.color.a > 0 and text.color.a > 0
        assert box.pose.orientation.w == 1.0


def test_a_marked_picture_shows_its_mark_and_hangs_on_tf(messages, replayed):
    answer = read_answers(replayed)[0]["answer"]
    _, picture = messages["/oryx_scene/marked/front/compressed"][0]
    assert picture.format == "jpeg"
    image = cv2.imdecode(picture.data, cv2.IMREAD_COLOR)[:, :, ::-1]
    views = [item["camera"] for item in answer["evidence"]]
    seen = next(s for s in answer["scene"][0]["observations"] if views[s["view"]] == "front")
    reach = max(2, round(0.6 * seen["radius_px"]))
    u, v = round(seen["u"]), round(seen["v"])
    disc = image[v - reach : v + reach + 1, u - reach : u + reach + 1].reshape(-1, 3).astype(int)
    assert ((disc[:, 0] > 150) & (disc[:, 1] < 110)).mean() > 0.3  # red, as far as jpeg keeps it
    _, info = messages["/oryx_scene/marked/front/camera_info"][0]
    assert (info.width, info.height) == (image.shape[1], image.shape[0])
    assert info.header.frame_id == picture.header.frame_id
    # Through TF and the calibration the mark's place falls on its disc.
    buffer = TransformBuffer()
    for _, message in messages["/tf"]:
        for item in message.transforms:
            t, q = item.transform.translation, item.transform.rotation
            T = from_translation_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
            stamp = item.header.stamp.sec * 10**9 + item.header.stamp.nanosec
            buffer.add(item.header.frame_id, item.child_frame_id, stamp, T)
    stamp = picture.header.stamp.sec * 10**9 + picture.header.stamp.nanosec
    T_map_camera = buffer.lookup("map", picture.header.frame_id, stamp)
    place = np.linalg.inv(T_map_camera) @ [*answer["scene"][0]["position"], 1.0]
    pixel = info.k.reshape(3, 3) @ (place[:3] / place[2])
    assert pixel[:2] == pytest.approx((seen["u"], seen["v"]), abs=12)


def test_the_cloud_has_coloured_points_where_the_box_is(messages):
    _, cloud = messages["/oryx_scene/cloud"][0]
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb"]
    points = cloud.data.view([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    assert len(points) == cloud.width
    box = points[np.abs(points["x"] - 2.0) < 0.02]
    assert len(box) > 100
    assert ((box["rgb"] >> 16) & 255).mean() == pytest.approx(220, abs=6)


def test_the_mcap_library_reads_it_too(mcap_file):
    reader_module = pytest.importorskip("mcap.reader", reason="the package 'mcap' is missing")
    with mcap_file.open("rb") as stream:
        reader = reader_module.make_reader(stream)
        summary = reader.get_summary()
        topics = {channel.topic: channel for channel in summary.channels.values()}
        schemas = {summary.schemas[c.schema_id].name for c in topics.values()}
        count = sum(1 for _ in reader.iter_messages())
    assert set(topics) == set(TOPICS)
    assert schemas == set(TOPICS.values())
    assert {channel.message_encoding for channel in topics.values()} == {"cdr"}
    assert count == summary.statistics.message_count > 20


def test_marked_pictures_are_cameras_only_where_a_rig_says_so(mcap_file, tmp_path):
    """What this project drew itself is no evidence, unless the user names it."""
    with pytest.raises(SourceError, match="no image topic"):
        open_source(mcap_file)
    cameras = "".join(
        f"  {name}: {{topic: /oryx_scene/marked/{name}/compressed}}\n" for name in ("front", "side")
    )
    (tmp_path / "rig.yaml").write_text(f"cameras:\n{cameras}")
    source = open_source(mcap_file, rig=tmp_path / "rig.yaml")
    assert source.cameras == ("front", "side")
    assert len(source.stubs()) == 6
    frame = source.load(source.stubs()[0])
    assert frame.T_fixed_camera is not None and frame.intrinsics is not None


def test_the_foxglove_layout_shows_topics_of_the_bag(replayed, messages):
    path = replayed.parent / "answers.foxglove.json"
    write_layout(replayed, path)
    layout = json.loads(path.read_text())
    panels = layout["configById"]
    shown = set(panels["3D!scene"]["topics"])
    for name in ("front", "side"):
        shown |= set(panels[f"Image!{name}"]["imageMode"].values())
    shown |= {v["topicPath"].removesuffix(".data") for k, v in panels.items() if "Raw" in k}
    assert shown <= set(messages)
    assert len(shown) == 9  # all but the answer's JSON
    assert panels["3D!scene"]["followTf"] == "map"

    def leaves(node):
        if isinstance(node, str):
            return [node]
        return [*leaves(node["first"]), *leaves(node["second"])]

    assert sorted(leaves(layout["layout"])) == sorted(panels)


def test_an_existing_file_is_not_overwritten(replayed, tmp_path):
    path = tmp_path / "there.mcap"
    path.write_text("mine")
    with pytest.raises(OutputError, match="it exists"):
        write_replay_bag(replayed, path)
    assert path.read_text() == "mine"


def test_nothing_half_written_is_left(replayed, tmp_path, monkeypatch):
    monkeypatch.setattr("oryx_scene.replay.record.scene_markers", lambda *_a, **_k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_replay_bag(replayed, tmp_path / "half.mcap")
    assert list(tmp_path.iterdir()) == []
