"""Detections of a bag's topic become marks, whichever vision_msgs wrote them."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.typesys import get_types_from_msg

from oryx_scene.cli.main import main
from oryx_scene.errors import SourceError
from oryx_scene.lab.evaluation.mark_worlds import CONDITIONS, make_scene
from oryx_scene.marks.detections.topic import boxes_of, read_detection_topic
from oryx_scene.sources.bags.writer import BagWriter

COMMON = {
    "Detection2D": "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox2D bbox",
    "Detection2DArray": "std_msgs/Header header\nDetection2D[] detections",
}
# Of vision_msgs 4.1 (Humble and later) and of 2.0 (Foxy), as far as they are read.
NEW = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "Point2D position\nfloat64 theta",
    "BoundingBox2D": "Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": (
        "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose"
    ),
    **COMMON,
}
OLD = {
    "BoundingBox2D": "geometry_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesisWithPose": "string id\nfloat64 score\ngeometry_msgs/PoseWithCovariance pose",
    **COMMON,
}
TOPIC = "/detector/detections"


class Messages:
    """Makes vision_msgs of one version for one bag."""

    def __init__(self, writer, definitions):
        self.writer, self.new = writer, definitions is NEW
        for name, text in definitions.items():
            writer._store.register(get_types_from_msg(text, f"vision_msgs/msg/{name}"))

    def make(self, name, *fields):
        return self.writer._store.types[name](*fields)

    def detection(self, header, box, label, score):
        u0, v0, u1, v1 = box
        x, y, wide, high = (u0 + u1 + 1) / 2, (v0 + v1 + 1) / 2, u1 - u0 + 1, v1 - v0 + 1
        pose = self.make(
            "geometry_msgs/msg/PoseWithCovariance",
            self.make(
                "geometry_msgs/msg/Pose",
                self.make("geometry_msgs/msg/Point", 0.0, 0.0, 0.0),
                self.make("geometry_msgs/msg/Quaternion", 0.0, 0.0, 0.0, 1.0),
            ),
            np.zeros(36),
        )
        guess, own = (label, score), "vision_msgs/msg/ObjectHypothesisWithPose"
        if self.new:
            point = self.make("vision_msgs/msg/Point2D", x, y)
            centre = self.make("vision_msgs/msg/Pose2D", point, 0.0)
            result = self.make(own, self.make("vision_msgs/msg/ObjectHypothesis", *guess), pose)
        else:
            centre = self.make("geometry_msgs/msg/Pose2D", x, y, 0.0)
            result = self.make(own, *guess, pose)
        bbox = self.make("vision_msgs/msg/BoundingBox2D", centre, wide, high)
        return self.make("vision_msgs/msg/Detection2D", header, [result], bbox)

    def write(self, frame, boxes):
        header = self.writer.header(frame.stamp_ns, frame.frame_id)
        found = [self.detection(header, *item) for item in boxes]
        name = "vision_msgs/msg/Detection2DArray"
        self.writer.write(TOPIC, name, frame.stamp_ns, self.make(name, header, found))


@pytest.fixture(scope="module")
def scene():
    ring = dataclasses.replace(CONDITIONS["clean"], rigs=("ring",), views=(4, 4))
    return make_scene(ring, 3, (180, 240))


def boxes_in(frame, world):
    found = []
    for thing in world.objects:
        rows, columns = np.nonzero(frame.labels == thing.object_id)
        if len(rows) > 200:
            box = (columns.min(), rows.min(), columns.max(), rows.max())
            found.append((tuple(map(float, box)), thing.shape, 0.9))
    return found


def record(folder, scene, definitions):
    with BagWriter(folder) as writer:
        messages = Messages(writer, definitions)
        for frame in scene.views.frames:
            base = f"/{frame.camera}"
            writer.add_transform("map", frame.frame_id, frame.stamp_ns, frame.T_fixed_camera)
            info = (frame.stamp_ns, frame.frame_id, frame.intrinsics)
            writer.add_camera_info(f"{base}/camera_info", *info)
            writer.add_image(f"{base}/image_raw", *info[:2], frame.rgb)
            writer.add_camera_info(f"{base}/depth/camera_info", *info)
            writer.add_depth(f"{base}/depth/image_raw", *info[:2], frame.depth)
            messages.write(frame, boxes_in(frame, scene.world))
    return folder


@pytest.mark.parametrize("definitions", [NEW, OLD], ids=["vision_msgs 4", "vision_msgs 2"])
def test_a_topic_of_the_bag_labels_the_marks(tmp_path, scene, definitions, capsys):
    bag = record(tmp_path / "bag", scene, definitions)
    found = read_detection_topic(bag, TOPIC)
    assert len(found) == 4
    first = scene.views.frames[0]
    assert [(d.box, d.label) for d in found.of_frame(first)] == [
        (box, label) for box, label, _ in boxes_in(first, scene.world)
    ]
    assert main(["marks", str(bag), "--detections-topic", TOPIC, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["route"] == "detections"
    labels = {mark["label"] for view in described["views"] for mark in view["marks"]}
    assert labels and labels <= {thing.shape for thing in scene.world.objects}


def test_a_topic_that_is_not_there_is_refused_with_those_that_are(tmp_path, scene, capsys):
    bag = record(tmp_path / "bag", scene, NEW)
    with pytest.raises(SourceError, match="no Detection2DArray on '/front/image_raw'"):
        read_detection_topic(bag, "/front/image_raw")
    assert main(["marks", str(bag), "--detections-topic", "/boxes"]) == 2
    assert TOPIC in capsys.readouterr().err


def message(results, *, frame_id="front_optical_frame", size=10.0, stamp=5):
    header = SimpleNamespace(frame_id=frame_id, stamp=SimpleNamespace(sec=stamp, nanosec=0))
    bbox = SimpleNamespace(center=SimpleNamespace(x=20.0, y=20.0), size_x=size, size_y=4.0)
    one = SimpleNamespace(bbox=bbox, results=[SimpleNamespace(**item) for item in results])
    return SimpleNamespace(header=header, detections=[one])


def test_the_likeliest_class_names_a_box_and_wrong_boxes_are_left_out():
    (seen,) = boxes_of(message([{"id": 3, "score": 0.2}, {"id": "mug", "score": 0.7}])).boxes
    assert (seen.label, seen.score, seen.box) == ("mug", 0.7, (15.0, 18.0, 24.0, 21.0))
    assert boxes_of(message([{"id": 3, "score": 1.4}])).boxes[0].label == "class 3"
    assert boxes_of(message([{"id": 3, "score": 1.4}])).boxes[0].score == 1.0
    assert boxes_of(message([])).boxes[0].label == ""
    assert boxes_of(message([], size=0.0)).boxes == ()
    assert boxes_of(message([], size=float("nan"))).boxes == ()
