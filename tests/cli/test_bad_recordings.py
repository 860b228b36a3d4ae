"""Recordings with something wrong still answer, say what was left out, and invent no places."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main
from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.writer import BagWriter

K = np.array([[120.0, 0, 79.5], [0, 120.0, 59.5], [0, 0, 1]])
START_NS = 10**12


def record(path, *, depth=None, jpeg=None, count=3):
    """A camera that moves along a wall with a box; depth and jpeg bytes can be bent per frame."""
    scene = np.zeros((120, 160, 3), np.uint8)
    scene[40:80, 60:100] = 200
    metres = np.full((120, 160), 2.0, np.float32)
    metres[40:80, 60:100] = 1.4
    good = cv2.imencode(".jpg", scene)[1].tobytes()
    with BagWriter(path) as writer:
        for index in range(count):
            stamp = START_NS + index * 3 * 10**8
            T = np.eye(4)
            T[0, 3] = 0.05 * index
            writer.add_transform("map", "optical", stamp, T)
            for topic in ("/front/camera_info", "/front/depth/camera_info"):
                writer.add_camera_info(topic, stamp, "optical", Intrinsics(K, 120, 160))
            data = good if jpeg is None else jpeg(index, good)
            writer.add_compressed("/front/image_raw/compressed", stamp, "optical", data, "jpeg")
            shown = metres if depth is None else depth(index, metres)
            writer.add_depth("/front/depth/image_raw", stamp, "optical", shown)
    return str(path)


def ask(capsys, path, *words):
    arguments = ["ask", path, "--model", "random", "--max-new-tokens", "4", "--json"]
    code = main([*arguments, "-q", "What is nearest?", *words])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


def test_a_good_recording_has_marks_and_no_complaints(capsys, tmp_path):
    answer = ask(capsys, record(tmp_path / "good"))
    assert len(answer["evidence"]) == 3
    assert len(answer["scene"]) >= 1
    assert [item["code"] for item in answer["warnings"]] == ["model_random"]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_depth_without_a_value_gives_no_marks_and_says_so(capsys, tmp_path, value):
    path = record(tmp_path / "flat", depth=lambda _, metres: np.full_like(metres, value))
    answer = ask(capsys, path)
    assert answer["scene"] == []
    assert any(
        "depth" in text["text"] or "no correspondence" in text["text"]
        for text in answer["warnings"]
    )


def test_a_broken_picture_is_left_out_and_named(capsys, tmp_path):
    path = record(tmp_path / "cut", jpeg=lambda i, data: data[: len(data) // 2] if i == 1 else data)
    answer = ask(capsys, path)
    assert [e["stamp_ns"] for e in answer["evidence"]] == [START_NS, START_NS + 6 * 10**8]
    assert any("left out a frame of 'front'" in text["text"] for text in answer["warnings"])


def test_only_broken_pictures_are_an_error(capsys, tmp_path):
    path = record(tmp_path / "all", jpeg=lambda _i, data: data[:40])
    assert main(["ask", path, "--model", "random", "-q", "What?"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "none of 3 frames could be decoded" in lines[-1]
    assert "Hint" in lines[-1]


def test_a_camera_on_another_clock_is_left_out_and_named(capsys, tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    with BagWriter(tmp_path / "clocks") as writer:
        for index in range(4):
            stamp = START_NS + index * 10**8
            for name, offset in (("front", 0), ("back", -(10**11))):
                writer.add_image(f"/{name}/image_raw", stamp + offset, name, picture)
    answer = ask(capsys, str(tmp_path / "clocks"))
    assert {e["camera"] for e in answer["evidence"]} == {"front"}
    assert ("camera_late", "back") in {(w["code"], w["camera"]) for w in answer["warnings"]}


def test_a_full_disk_while_converting(capsys, tmp_path, monkeypatch):
    import errno

    path = record(tmp_path / "good")

    def full(self, *_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    from rosbags.rosbag2 import Writer

    monkeypatch.setattr(Writer, "write", full)
    assert main(["convert", path, str(tmp_path / "copy")]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "No space left" in line
