"""Not every image topic is a camera; and what is left out is said."""

import cv2
import numpy as np
import pytest

from oryx_scene.errors import SourceError
from oryx_scene.geometry.rig import load_rig
from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

K = Intrinsics(np.array([[9.0, 0, 4], [0, 9, 3], [0, 0, 1]]), 6, 8)
PICTURE = np.full((6, 8, 3), 40, np.uint8)
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()


def record(path, *topics, infos=("/cam/camera_info",), stamps=(1, 2, 3)):
    """A bag of /cam/image_raw with calibration, and of (topic, frame_id[, encoding]) beside it."""
    with BagWriter(path) as writer:
        for stamp in (stamp * 10**9 for stamp in stamps):
            for info in infos:
                writer.add_camera_info(info, stamp, "cam", K)
            for topic, frame_id, *encoding in (("/cam/image_raw", "cam"), *topics):
                if topic.endswith("/compressed"):
                    text = encoding[0] if encoding else "jpeg"
                    writer.add_compressed(topic, stamp, frame_id, JPEG, text)
                elif encoding:
                    pixels = np.zeros((6, 8), np.int32)
                    writer._image(topic, stamp, frame_id, pixels, encoding[0], 4)
                else:
                    writer.add_image(topic, stamp, frame_id, PICTURE)
    return path


NO_CAMERAS = {
    "the node's marked pictures": ("/oryx_scene/marked/cam", "cam"),
    "the same compressed": ("/oryx_scene/marked/cam/compressed", "cam"),
    "of a node of another name": ("/robot/eyes/marked/cam/compressed", "cam"),
    "of a replay": ("/oryx_scene/marked/cam/compressed", "oryx_scene/cam"),
    "a detector's picture": ("/yolo/dbg_image", "cam"),
    "a detector's picture of another frame": ("/yolo/debug_image", "base_link"),
    "the same header as the camera's": ("/detector/image", "cam"),
    "rectified beside raw": ("/cam/image_rect_color", "cam"),
    "mono beside colour": ("/cam/image_mono", "cam"),
    "label numbers": ("/segmenter/labels", "seg", "32SC1"),
    "a video stream": ("/other/compressed", "other", "h264"),
}


@pytest.mark.parametrize("name", sorted(NO_CAMERAS))
def test_what_is_no_camera_is_left_out_and_said(tmp_path, name):
    topic = NO_CAMERAS[name]
    source = open_source(record(tmp_path / "bag", topic))
    assert source.cameras == ("cam",)
    said = [item for item in source.warnings if item.topic == topic[0]]
    assert len(said) == 1
    assert said[0].text.startswith("left out")
    assert len(list(source.frames())) == 3


CAMERAS = {
    "another camera": ("/rear/image_raw", "rear"),
    "stereo with one frame and two calibrations": ("/right/image_raw", "cam"),
    "no frame at all": ("/rear/image_raw", ""),
}


@pytest.mark.parametrize("name", sorted(CAMERAS))
def test_what_is_a_camera_stays(tmp_path, name):
    infos = ("/cam/camera_info", "/right/camera_info")
    source = open_source(record(tmp_path / "bag", CAMERAS[name], infos=infos))
    assert len(source.cameras) == 2


def test_stereo_without_any_calibration_stays(tmp_path):
    topics = ("/left/image_raw", "cam"), ("/right/image_raw", "cam")
    assert open_source(record(tmp_path / "bag", *topics, infos=())).cameras == (
        "cam",
        "left",
        "right",
    )


def test_a_rig_keeps_what_it_names(tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text("cameras:\n  drawn: {topic: /yolo/dbg_image}\n")
    path = record(tmp_path / "bag", ("/yolo/dbg_image", "cam"))
    assert open_source(path, rig=load_rig(rig)).cameras == ("cam", "drawn")


def test_only_marked_pictures_are_no_recording_of_cameras(tmp_path):
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        writer.add_image("/oryx_scene/marked/cam", 10**9, "cam", PICTURE)
    with pytest.raises(SourceError, match="no image topic"):
        open_source(path)


# -- pictures of 16 bits -----------------------------------------------------------------------


def thermal(path, encoding, low, high, compressed=False):
    channels = {"mono16": 1, "bayer_rggb16": 1, "rgb16": 3}[encoding]
    ramp = np.linspace(low, high, 60 * 80).reshape(60, 80).astype(np.uint16)
    pixels = np.repeat(ramp[..., None], channels, axis=2) if channels > 1 else ramp
    with BagWriter(path) as writer:
        if compressed:
            data = cv2.imencode(".png", pixels)[1].tobytes()
            writer.add_compressed("/ir/image/compressed", 10**9, "ir", data, "mono16; png")
        else:
            writer._image("/ir/image", 10**9, "ir", pixels, encoding, 2 * channels)
    return path


@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bayer_rggb16"])
@pytest.mark.parametrize(("low", "high"), [(2900, 3920), (0, 4095), (100, 1023), (7000, 9000)])
def test_a_nearly_black_16_bit_picture_is_said(tmp_path, encoding, low, high):
    (frame,) = open_source(thermal(tmp_path / "bag", encoding, low, high)).frames()
    said = [item for item in frame.warnings if item.code == "picture_range_unused"]
    assert len(said) == 1
    assert "grey_range" in said[0].text


@pytest.mark.parametrize(("encoding", "said"), [("8UC3", True), ("bgr8", False), ("rgb8", False)])
def test_an_assumed_order_of_colours_is_said(tmp_path, encoding, said):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[..., 0] = 200
    with BagWriter(tmp_path / "bag") as writer:
        writer._image("/front/image_raw", 10**9, "front", pixels, encoding, 3)
    (frame,) = open_source(tmp_path / "bag").frames()
    assert ("encoding_assumed" in {item.code for item in frame.warnings}) == said
    # Without a word it is read as OpenCV would: blue first.
    assert tuple(frame.rgb[0, 0]) == ((200, 0, 0) if encoding == "rgb8" else (0, 0, 200))


def test_a_full_16_bit_picture_is_not_said(tmp_path):
    (frame,) = open_source(thermal(tmp_path / "bag", "mono16", 0, 65535)).frames()
    assert "picture_range_unused" not in {item.code for item in frame.warnings}
    assert frame.rgb.min() == 0 and frame.rgb.max() == 255


@pytest.mark.parametrize("compressed", [False, True])
def test_grey_range_stretches(tmp_path, compressed):
    rig = tmp_path / "rig.yaml"
    rig.write_text("cameras:\n  ir: {grey_range: [3000, 4000]}\n")
    path = thermal(tmp_path / "bag", "mono16", 2000, 5000, compressed)
    (dark,) = open_source(path).frames()
    assert "picture_range_unused" in {item.code for item in dark.warnings}
    (frame,) = open_source(path, rig=rig).frames()
    assert "picture_range_unused" not in {item.code for item in frame.warnings}
    grey = frame.rgb[..., 0].ravel().astype(int)
    # 2000..3000 is black, 4000..5000 white, 3500 in the middle.
    assert not grey[: 60 * 80 // 3 - 5].any()
    assert (grey[-60 * 80 // 3 + 5 :] == 255).all()
    assert abs(grey[60 * 80 // 2] - 127.5) <= 1.5


@pytest.mark.parametrize("text", ["[5, 5]", "[9, 3]", "[-1, 3]", "[0, 70000]", "[1]", "dark"])
def test_a_wrong_grey_range_is_refused(tmp_path, text):
    from oryx_scene.errors import CalibrationError

    rig = tmp_path / "rig.yaml"
    rig.write_text(f"cameras:\n  ir: {{grey_range: {text}}}\n")
    with pytest.raises(CalibrationError, match="grey_range"):
        load_rig(rig)
