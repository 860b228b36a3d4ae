"""What is wrong with one channel of a recording is wrong with that channel only."""

import json

import numpy as np
import pytest
from mcap.writer import CompressionType, IndexType, Writer
from rosbags.typesys import Stores, get_typestore

from oryx_scene.cli.main import main
from oryx_scene.errors import SourceError
from oryx_scene.marks.detections.topic import read_detection_topic
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

HUMBLE, NOETIC = get_typestore(Stores.ROS2_HUMBLE), get_typestore(Stores.ROS1_NOETIC)
STAMP_NS = 1_000_000_000
IMAGE = "sensor_msgs/msg/Image"
OWN_TYPE = ("own_msgs/msg/Thing", "ros2msg", "int32 a\n")


def image(stamp_ns, grey, ros1=False):
    store = NOETIC if ros1 else HUMBLE
    types = store.types
    stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
    fields = {"seq": 5} if ros1 else {}
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam", **fields)
    message = types[IMAGE](header, 6, 8, "rgb8", 0, 24, np.full(144, grey, np.uint8))
    if ros1:
        return bytes(store.serialize_ros1(message, IMAGE))
    return bytes(store.serialize_cdr(message, IMAGE))


class File:
    """A mcap file with cameras that are healthy and channels that are not."""

    def __init__(self, path, profile="ros2", **options):
        self._file = path.open("wb")
        self.writer = Writer(self._file, **options)
        self.writer.start(profile, "test")
        self._channels = {}
        self.path = path

    def put(self, topic, schema, coding, data, stamp_ns=STAMP_NS):
        if (topic, schema, coding) not in self._channels:
            name, form, text = schema
            number = self.writer.register_schema(name, form, text.encode())
            channel = self.writer.register_channel(topic, coding, number)
            self._channels[topic, schema, coding] = channel
        self.writer.add_message(self._channels[topic, schema, coding], stamp_ns, data, stamp_ns)

    def close(self):
        self.writer.finish()
        self._file.close()
        return self.path


def with_camera(path, frames=2, definition="not a definition", **options):
    file = File(path, **options)
    for index in range(frames):
        stamp = STAMP_NS + index
        file.put(
            "/cam/image_raw", (IMAGE, "ros2msg", definition), "cdr", image(stamp, index), stamp
        )
    return file


FOREIGN = {
    "protobuf": (("foxglove.Log", "protobuf", "\n"), "protobuf", b"\n\0"),
    "json": (("Foo", "jsonschema", "{}"), "json", b"{}"),
    "no_schema_encoding": (("Foo", "", ""), "cbor", b"\xa0"),
    "flatbuffer": (("foxglove.RawImage", "flatbuffer", "x"), "flatbuffer", b"1234"),
    "image_as_json": ((IMAGE, "jsonschema", "{}"), "json", b"{}"),
    "own_name": (("sensor_msgs/msg/PointCloud2", "ros2msg", "sensor_msgs/msg/PointCloud2"),
                 "cdr", b"\0\1\0\0abcd"),
    "broken_idl": (("my_msgs/msg/Foo", "ros2idl", "module nope { broken"), "cdr", b"\0\1\0\0"),
    "recursive": (("my_msgs/msg/Foo", "ros2msg", "my_msgs/Foo[] a"), "cdr", b"\0\1\0\0"),
    "empty_message": (OWN_TYPE, "cdr", b""),
    "camera_info_cut_off": (
        ("sensor_msgs/msg/CameraInfo", "ros2msg", ""), "cdr", b"\0\1\0\0\1\0\0\0\2\0"),
    "tf_of_garbage": (
        ("tf2_msgs/msg/TFMessage", "ros2msg", "x"), "cdr", b"\0\1\0\0\xff\xff\xff\xff"),
    "odometry_of_garbage": (("nav_msgs/msg/Odometry", "ros2msg", "x"), "cdr", b"\0\1\0\0"),
    "xcdr2": ((IMAGE, "ros2msg", ""), "cdr", b"\0\7\0\0" + image(STAMP_NS, 1)[4:]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_a_foreign_channel_leaves_the_cameras_alone(tmp_path, name):
    file = with_camera(tmp_path / "a.mcap")
    schema, coding, data = FOREIGN[name]
    file.put("/other", schema, coding, data)
    source = open_source(file.close())
    frames = [frame for frame in source.frames() if frame.camera == "cam"]
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [0, 1]
    said = [item for item in source.warnings if item.topic == "/other"]
    if coding not in ("cdr", "ros1"):
        assert [item.code for item in said] == ["foreign_channel"]
        assert coding in said[0].text and schema[0] in said[0].text
    assert "recording_damaged" not in {item.code for item in source.warnings}


@pytest.mark.parametrize(
    ("schema", "coding"),
    [
        (("foxglove.CompressedImage", "protobuf", "x"), "protobuf"),
        (("foxglove.RawImage", "jsonschema", "{}"), "json"),
        ((IMAGE, "jsonschema", "{}"), "json"),
    ],
)
def test_where_no_camera_is_left_the_encoding_is_named(tmp_path, schema, coding):
    file = File(tmp_path / "a.mcap")
    file.put("/cam", schema, coding, b"{}")
    with pytest.raises(SourceError) as caught:
        open_source(file.close())
    assert schema[0] in caught.value.message
    assert f"'{coding}'" in caught.value.message
    assert "recover" not in caught.value.hint


@pytest.mark.parametrize("profile", ["ros1", "", "ros2"])
def test_ros1_messages_in_mcap(tmp_path, profile):
    file = File(tmp_path / "a.mcap", profile)
    schema = ("sensor_msgs/Image", "ros1msg", "uint8[] whatever")
    for index in range(3):
        data = image(STAMP_NS + index, 10 * index, ros1=True)
        file.put("/cam/image_raw", schema, "ros1", data, STAMP_NS + index)
    frames = list(open_source(file.close()).frames())
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [0, 10, 20]
    assert [frame.stamp_ns for frame in frames] == [STAMP_NS + index for index in range(3)]
    assert frames[0].frame_id == "cam"


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_chunking": False},
        {"use_statistics": False, "use_summary_offsets": False},
        {"index_types": IndexType.NONE, "use_statistics": False},
        {"repeat_channels": False, "repeat_schemas": False},
        {"enable_crcs": False},
        {"chunk_size": 1},
    ],
    ids=lambda options: next(iter(options), "all"),
)
def test_no_index_is_needed(tmp_path, options, compression):
    file = with_camera(tmp_path / "a.mcap", 3, compression=compression, **options)
    source = open_source(file.close())
    assert [int(frame.rgb[0, 0, 0]) for frame in source.frames()] == [0, 1, 2]
    assert {item.code for item in source.warnings} == {"no_tf"}


@pytest.mark.parametrize("compression", list(CompressionType))
def test_a_damaged_chunk_loses_itself_only(tmp_path, compression):
    file = with_camera(tmp_path / "a.mcap", 3, compression=compression, chunk_size=1)
    data = bytearray(file.close().read_bytes())
    chunks = []
    at = 8
    while at < len(data):
        if data[at] == 6:
            chunks.append(at)
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    middle = chunks[1] + 9 + 60
    data[middle : middle + 4] = bytes(byte ^ 255 for byte in data[middle : middle + 4])
    file.path.write_bytes(data)
    source = open_source(file.path)
    assert [int(frame.rgb[0, 0, 0]) for frame in source.frames()] == [0, 2]
    problems = {item.code for item in source.warnings if item.severity == "problem"}
    assert {"recording_damaged", "recording_incomplete"} <= problems


# -- topics of several types -------------------------------------------------------------------


def clash(path, topic, msgtype, write):
    """A topic that carries a string first and then what it should."""
    with BagWriter(path) as writer:
        text = writer.type("std_msgs/msg/String")("hello")
        writer.write(topic, "std_msgs/msg/String", STAMP_NS - 10, text)
        write(writer)
    return path


def put_camera(writer):
    for index in range(3):
        stamp = STAMP_NS + index
        writer.add_transform("map", "cam", stamp, np.eye(4))
        writer.add_image("/cam/image_raw", stamp, "cam", np.full((6, 8, 3), index, np.uint8))


@pytest.mark.parametrize("topic", ["/cam/image_raw", "/tf", "/cam/camera_info"])
def test_a_topic_of_two_types(tmp_path, capsys, topic):
    from oryx_scene.records import Intrinsics

    def put(writer):
        K = np.array([[9.0, 0, 4], [0, 9, 3], [0, 0, 1]])
        writer.add_camera_info("/cam/camera_info", STAMP_NS, "cam", Intrinsics(K, 6, 8))
        put_camera(writer)

    path = clash(tmp_path / "bag", topic, "std_msgs/msg/String", put)
    source = open_source(path)
    frames = list(source.frames())
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [0, 1, 2]
    assert all(frame.T_fixed_camera is not None for frame in frames)
    assert all(frame.intrinsics is not None for frame in frames)
    said = [item for item in source.warnings if item.code == "topic_of_several_types"]
    assert [item.topic for item in said] == [topic]
    assert main(["convert", str(path), str(tmp_path / "out")]) == 0


def test_raw_and_compressed_pictures_on_one_topic(tmp_path):
    import cv2

    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        put_camera(writer)
        png = cv2.imencode(".png", np.full((6, 8, 3), 9, np.uint8))[1].tobytes()
        writer.add_compressed("/cam/image_raw", STAMP_NS + 5, "cam", png, "png")
    frames = list(open_source(path).frames())
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [0, 1, 2, 9]


def test_detections_from_a_definition_in_the_file(tmp_path):
    """A type that the library does not know is made from the file's own definition."""
    from rosbags.typesys import get_types_from_msg

    definition = (
        "std_msgs/Header header\nvision_msgs/Detection2D[] detections\n" + "=" * 80 + "\n"
        "MSG: vision_msgs/Detection2D\nstd_msgs/Header header\n"
    )
    store = get_typestore(Stores.ROS2_HUMBLE)
    name = "vision_msgs/msg/Detection2DArray"
    store.register(get_types_from_msg(definition, name))
    stamp = store.types["builtin_interfaces/msg/Time"](1, 0)
    header = store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam")
    data = bytes(store.serialize_cdr(store.types[name](header, []), name))
    file = with_camera(tmp_path / "a.mcap")
    file.put("/found", (name, "ros2msg", definition), "cdr", data)
    file.put("/other", *FOREIGN["protobuf"])
    assert len(read_detection_topic(file.close(), "/found")) == 1


def test_check_says_what_was_left_out(tmp_path, capsys):
    file = with_camera(tmp_path / "a.mcap")
    file.put("/other", *FOREIGN["protobuf"])
    main(["check", str(file.close()), "--json"])
    printed = capsys.readouterr().out
    assert json.loads(printed)["cameras"][0]["frames"] == 2
    assert "foxglove.Log encoded as 'protobuf'" in printed


@pytest.mark.parametrize("kind", ["raw", "jpeg", "depth", "encoding"])
def test_a_damaged_picture_in_the_middle_is_said_and_left_out(tmp_path, capsys, kind):
    import cv2

    path = tmp_path / "bag"
    topic = "/cam/image_raw/compressed" if kind == "jpeg" else "/cam/image_raw"
    jpeg = cv2.imencode(".jpg", np.full((6, 8, 3), 9, np.uint8))[1].tobytes()
    with BagWriter(path) as writer:
        for index in range(3):
            stamp = STAMP_NS + index
            data = np.full(144, 9, np.uint8)
            encoding = "rgb9" if kind == "encoding" and index == 1 else "rgb8"
            if kind == "jpeg":
                writer.add_compressed(
                    topic, stamp, "cam", jpeg[: 8 if index == 1 else None], "jpeg"
                )
                continue
            if kind == "depth":
                depth = np.ones((6, 8), np.float32)
                writer.add_depth("/cam/depth/image_raw", stamp, "cam", depth[: 6 - index % 2])
            size = 8 if kind == "raw" and index == 1 else 144
            message = writer.type(IMAGE)(
                writer.header(stamp, "cam"), 6, 8, encoding, 0, 24, data[:size]
            )
            writer.write(topic, IMAGE, stamp, message)
    source = open_source(path)
    said = [item.text for item in source.warnings if item.code == "pictures_damaged"]
    if kind in ("raw", "jpeg"):
        assert len(said) == 1 and said[0].startswith("1 of 3 pictures")
        assert main(["check", str(path)]) == 1
    frames = list(source.frames())
    assert len(frames) == (3 if kind == "depth" else 2)
    assert any(item.code == "frame_left_out" for item in source.warnings) == (kind != "depth")
