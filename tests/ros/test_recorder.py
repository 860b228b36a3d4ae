"""What the node records is read back as any recording is; a disk that fails stops nothing."""

import json
import shutil
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from harness import transform, wait_until
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.output import recorder as module
from oryx_scene_ros.output.recorder import RecordedAnswer, Recorder, RecordLimits
from rosbags.highlevel import AnyReader
from test_cameras import show_rgbd

from oryx_scene.errors import OutputError
from oryx_scene.records import Frame
from oryx_scene.sources.registry import open_source

MIB = 2**20
OK, WARN = b"\x00", b"\x01"


def messages(path):
    """Topic -> messages of a recording."""
    found = {}
    with AnyReader([path]) as reader:
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append(message)
    return found


def parts(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir())


def test_answers_and_evidence_are_read_back(bench, tmp_path):
    robot = bench(
        name="recorded",
        camera__front__depth_topic="/front/aligned_depth_to_color/image_raw",
        record__folder=str(tmp_path / "bags"),
        record__keep_free_mib=0,
    )
    robot.tf(transform("map", "front_optical", 0, x=10.0), static=True)
    stamp_ns = show_rgbd(robot)
    first = robot.ask("What is here?", session_id="one")
    assert robot.ask("And what else?", session_id="one").error.code == Code.NONE
    robot.answerer.fail_next = True
    assert robot.ask("Is it broken?", session_id="one").error.code
    wait_until(lambda: robot.node.recorder.counts["written"] == 3, "three recorded answers")
    (part,) = parts(tmp_path / "bags")
    # As after a power cut: no index, no metadata.yaml.
    cut = tmp_path / "cut.mcap"
    shutil.copy(next(part.glob("*.mcap")), cut)
    assert not (part / "metadata.yaml").exists()
    assert robot.transition("deactivate")
    assert robot.node.recorder is None
    for path in (part, cut):
        source = open_source(path)
        assert source.cameras == ("front",)
        (frame,) = source.frames()
        assert frame.stamp_ns == stamp_ns and frame.rgb.shape == (120, 160, 3)
        assert (frame.rgb[45, 60] == (200, 30, 30)).all() and (frame.rgb[0, 0] == 90).all()
        assert frame.depth[45, 60] == pytest.approx(1.5) and frame.depth[0, 0] == pytest.approx(3.0)
        assert frame.T_fixed_camera[0, 3] == pytest.approx(10.0)
        assert frame.fixed_frame == "map" and frame.intrinsics.K[0, 0] == pytest.approx(150.0)
    found = messages(part)
    texts = [message.data for message in found["/oryx_scene/question"]]
    assert texts == ["What is here?", "And what else?", "Is it broken?"]
    *said, broken = [message.data for message in found["/oryx_scene/answer_text"]]
    assert said == [first.text] * 2 and broken.startswith("error: ")
    (answer, _) = [json.loads(message.data) for message in found["/oryx_scene/answer_json"]]
    assert answer["text"] == first.text and answer["evidence"][0]["stamp_ns"] == stamp_ns
    assert len(found["/oryx_scene/markers"]) == 2 and found["/oryx_scene/markers"][0].markers
    # One scene, one picture of it.
    (marked,) = found["/oryx_scene/marked/front/compressed"]
    drawn = cv2.imdecode(marked.data, cv2.IMREAD_COLOR)
    assert drawn.shape == (120, 160, 3)
    # The next activation begins another file.
    assert robot.transition("activate")
    robot.show()
    assert robot.ask().error.code == Code.NONE
    wait_until(lambda: len(parts(tmp_path / "bags")) == 2, "the second file")


def item(number, size=128):
    """A question about a scene of one camera's noise, which does not compress."""
    rgb = np.random.default_rng(number).integers(0, 255, (size, size, 3), dtype=np.uint8)
    frame = Frame("front", number + 1, "front_optical", rgb, "")
    scene = SimpleNamespace(scene_id=str(number), views=SimpleNamespace(frames=[frame]))
    return RecordedAnswer(number + 1, f"{number}?", scene, None, "TIMEOUT: late")


def written(recorder, count):
    wait_until(lambda: recorder.counts["written"] >= count, f"{count} written")


def test_files_are_split_and_bounded_and_only_own_ones_go(tmp_path):
    size = 3 * 128 * 128
    limits = RecordLimits(split=2 * size, total=7 * size, keep_free=0)
    (tmp_path / "robot_20250101T000000Z_0001").mkdir()
    (tmp_path / "robot_20250101T000000Z_0001" / "old.mcap").write_bytes(bytes(5 * size))
    for name in ("notes", "robot_2_20250101T000000Z_0001", "robot_mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(9 * size))
    recorder = Recorder(tmp_path, "robot", limits)
    for number in range(12):
        recorder.add(item(number))
        written(recorder, number + 1)
        own = [path for path in parts(tmp_path) if (path / f"{path.name}.mcap").exists()]
        held = sum(one.stat().st_size for path in own for one in path.iterdir())
        assert held <= limits.total + size + MIB // 8
    assert recorder.close(20.0)
    names = [path.name for path in parts(tmp_path)]
    assert {"notes", "robot_2_20250101T000000Z_0001", "robot_mine"} < set(names)
    # The earlier run's went first; two answers a file, the newest are there.
    assert "robot_20250101T000000Z_0001" not in names
    assert recorder.counts["files"] == 6 and recorder.counts["left_out"] == 0
    last = messages(max(path for path in parts(tmp_path) if path.name.startswith("robot_20")))
    assert [text.data for text in last["/oryx_scene/question"]] == ["10?", "11?"]
    assert len(last["/front/image_raw"]) == 2


def test_a_slow_disk_costs_answers_in_the_recording_and_nothing_else(tmp_path, monkeypatch):
    gate, begun = threading.Event(), threading.Event()

    def slow(*_):
        begun.set()
        assert gate.wait(20)

    monkeypatch.setattr(module, "write_frame", slow)
    recorder = Recorder(tmp_path, "robot", RecordLimits(MIB, 4 * MIB, 0))
    recorder.add(item(0))
    assert begun.wait(20)
    for number in range(1, 10):
        recorder.add(item(number))
    assert recorder.counts["left_out"] == 9 - module.MAX_WAITING
    level, message = recorder.status().level, recorder.status().message
    assert level == WARN and "faster than they can be written" in message
    gate.set()
    assert recorder.close(20.0)
    assert recorder.counts["written"] == 1 + module.MAX_WAITING
    # Nobody writes any more, and who hands over does not wait.
    for number in range(20):
        recorder.add(item(number))


def test_a_full_disk_is_a_warning_and_is_tried_again(bench, tmp_path, monkeypatch):
    robot = bench(record__folder=str(tmp_path), record__keep_free_mib=0)
    plain, full = module.write_frame, OutputError(tmp_path, "No space left on device")

    def fail(*_):
        raise full

    monkeypatch.setattr(module, "write_frame", fail)
    robot.show()
    assert robot.ask().error.code == Code.NONE
    recorder = robot.node.recorder
    wait_until(lambda: recorder.problem, "the failure")
    assert recorder.status().level == WARN and "No space left" in recorder.status().message
    # Nothing is tried for a while, and questions are answered all the same.
    monkeypatch.setattr(module, "write_frame", plain)
    robot.show()
    assert robot.ask().error.code == Code.NONE
    wait_until(lambda: recorder.counts["left_out"] == 2, "one that is left out")
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    robot.show()
    assert robot.ask().error.code == Code.NONE
    written(recorder, 1)
    assert not recorder.problem


@pytest.mark.parametrize("broken", ["free", "folder"])
def test_a_disk_that_cannot_be_used_is_said(tmp_path, broken):
    folder = tmp_path / "bags"
    if broken == "folder":
        folder.write_text("a file")
    keep_free = 2**62 if broken == "free" else 0
    recorder = Recorder(folder, "robot", RecordLimits(MIB, 4 * MIB, keep_free))
    recorder.add(item(0))
    wait_until(lambda: recorder.problem, "the failure")
    assert ("MiB are free" if broken == "free" else "exist") in recorder.problem
    assert recorder.close(20.0) and recorder.counts["written"] == 0


def test_one_file_cannot_be_all_that_is_kept(bench, tmp_path):
    robot = bench(activate=False, record__split_mib=64, record__max_mib=100)
    assert not robot.transition("configure")
    assert "record.max_mib is 100, less than twice record.split_mib." in robot.node.fault
