"""Plain pictures as people bring them."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from folder_layouts import HEIGHT, WIDTH, K, codes, index_of, pose, write_depth, write_picture
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from oryx_scene.cli.main import main
from oryx_scene.config import ViewsConfig
from oryx_scene.errors import ImageDecodeError, SourceError
from oryx_scene.replay.frame_cache import RecentFrames
from oryx_scene.replay.questions import load_questions, make_schedule
from oryx_scene.scene.frame_selection import candidates_at, frames_at, newest_stamp
from oryx_scene.sources.registry import open_source

S = 1_000_000_000


def numbered(folder, count, name="{}.png"):
    for index in range(count):
        write_picture(folder / name.format(index + 1), index)
    return folder


def test_a_folder_is_one_camera_in_natural_order(tmp_path):
    source = open_source(numbered(tmp_path / "p", 12))
    assert source.cameras == ("camera",)
    assert [index_of(frame) for frame in source.frames()] == list(range(12))
    assert source.stills and source.counted
    assert codes(source) == ["no_stamps", "no_tf", "no_camera_info"]


def test_sub_folders_are_several_cameras_of_one_moment(tmp_path):
    for camera in ("CAM front", "2nd"):
        numbered(tmp_path / "p" / camera, 3, "{:06d}.jpg")
    source = open_source(tmp_path / "p")
    assert source.cameras == ("cam_front", "camera_2nd")
    newest = candidates_at(source, newest_stamp(source), ViewsConfig())[1]
    assert newest.synchronous and not newest.left_out


def test_cameras_of_different_length_are_none_late(tmp_path):
    """Counted stamps mean no time, so no camera can have stopped."""
    numbered(tmp_path / "p" / "a", 9)
    numbered(tmp_path / "p" / "b", 3)
    source = open_source(tmp_path / "p")
    found = frames_at(source, newest_stamp(source), ViewsConfig(count=8))
    assert {frame.camera for frame in found.frames} == {"a", "b"}
    assert codes(found) == ["frames_chosen"]


def test_names_that_are_stamps_are_stamps(tmp_path):
    for index in range(4):
        write_picture(tmp_path / "p" / f"1341847980.{index}22988.png", index)
    source = open_source(tmp_path / "p")
    assert [stub.stamp_ns for stub in source.stubs()] == [
        1341847980 * S + 22988000 + index * 100_000_000 for index in range(4)
    ]
    assert not source.counted
    assert codes(source) == ["no_tf", "no_camera_info"]


def test_one_clock_for_all_cameras(tmp_path):
    """Where one camera's names are no stamps, all are counted."""
    for index in range(2):
        write_picture(tmp_path / "p" / "a" / f"1341847980.{index}.png", index)
        write_picture(tmp_path / "p" / "b" / f"{index}.png", index)
    source = open_source(tmp_path / "p")
    assert source.counted
    assert max(stub.stamp_ns for stub in source.stubs()) < 100 * S


def test_how_many_are_used_is_said(tmp_path):
    source = open_source(numbered(tmp_path / "p", 17))
    found = frames_at(source, newest_stamp(source), ViewsConfig(count=8))
    used = [index_of(frame) for frame in found.frames]
    assert len(used) == 8 and used[0] == 0 and used[-1] == 16
    assert [w.text for w in found.warnings] == ["8 of 17 pictures are used: chosen evenly"]
    every = frames_at(source, newest_stamp(source), ViewsConfig(count=17))
    assert len(every.frames) == 17 and not every.warnings


def test_no_window_of_time_applies_to_counted_pictures(tmp_path):
    """The first of 90 comes into question, though it counts as 89 s old."""
    for index in range(90):
        write_picture(tmp_path / f"{index}.png", index, (8, 8))
    source = open_source(tmp_path)
    found = frames_at(source, newest_stamp(source), ViewsConfig(count=8, history_s=60.0))
    assert index_of(found.frames[0]) == 0


def test_eight_pictures_of_a_quarter_second_are_all_used(tmp_path):
    for index in range(8):
        write_picture(tmp_path / "p" / f"{1700000000000 + 33 * index}.png", index)
    source = open_source(tmp_path / "p")
    found = frames_at(source, newest_stamp(source), ViewsConfig(min_gap_s=0.2))
    assert [index_of(frame) for frame in found.frames] == list(range(8))
    assert not found.warnings


def test_a_replay_goes_through_all_pictures(tmp_path):
    source = RecentFrames(open_source(numbered(tmp_path / "p", 17)))
    (tmp_path / "q.yaml").write_text("questions:\n  - What is there?\n")
    stamps = [stub.stamp_ns for stub in source.stubs()]
    schedule = make_schedule(
        load_questions(tmp_path / "q.yaml"),
        stamps[0],
        stamps[-1],
        every_s=5.0,
        to_last=source.counted,
    )
    assert [(moment.at_ns - stamps[0]) // S for moment in schedule] == [0, 5, 10, 15, 16]
    for moment in schedule:
        frames_at(source, moment.at_ns, ViewsConfig())
    assert source.frames_read == 17


def test_depth_and_poses_go_with_their_picture(tmp_path):
    folder = numbered(tmp_path / "p", 3)
    for index in (0, 2):
        write_depth(folder / f"{index + 1}_depth.png", 2.0 + index)
    np.savetxt(folder / "poses.txt", np.vstack([pose(index) for index in range(3)]))
    source = open_source(folder)
    assert source.cameras == ("camera",)
    frames = list(source.frames())
    assert len(frames) == 3
    assert [None if f.depth is None else float(f.depth[5, 5]) for f in frames] == [2.0, None, 4.0]
    assert "no_depth" in codes(frames[1])
    for index, frame in enumerate(frames):
        assert np.allclose(frame.T_fixed_camera, pose(index))


@pytest.mark.parametrize("pattern", ["depth_{}.png", "{}-depth.png", "Depth{}.PNG", "{}.depth.png"])
def test_names_of_depth(tmp_path, pattern):
    folder = numbered(tmp_path / "p", 2, "color_{}.png")
    for index in (1, 2):
        write_depth(folder / pattern.format(index), 1.0)
    frames = list(open_source(folder).frames())
    assert [frame.depth is not None for frame in frames] == [True, True]


def test_poses_for_another_number_of_pictures_are_left_out(tmp_path):
    folder = numbered(tmp_path / "p", 3)
    np.savetxt(folder / "poses.txt", np.vstack([pose(index) for index in range(2)]))
    source = open_source(folder)
    assert "pose_file_unused" in codes(source)
    assert "2 poses for 3 pictures" in str(source.warnings[0])
    assert source.pose(source.stubs()[0]) is None


def test_a_trajectory_with_stamps_goes_with_names_that_are_stamps(tmp_path):
    for index in range(3):
        write_picture(tmp_path / "p" / f"170000000{index}.5.jpg", index)
    (tmp_path / "p" / "trajectory.txt").write_text(
        "1700000000 0 0 0 0 0 0 1\n1700000003 3 0 0 0 0 0 1\n"
    )
    source = open_source(tmp_path / "p")
    assert [round(source.pose(stub)[0, 3], 9) for stub in source.stubs()] == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".bmp", ".tif", ".TIFF", ".webp", ".ppm"])
def test_every_suffix_that_is_taken_can_be_decoded(tmp_path, suffix):
    write_picture(tmp_path / "p" / f"a{suffix}")
    frame = next(iter(open_source(tmp_path / "p").frames()))
    assert frame.rgb.shape == (HEIGHT, WIDTH, 3)
    # Green above, black below: the right colours, also where the codec is lossy.
    assert frame.rgb[5, 5, 1] > 150 and frame.rgb[-5, 5, 1] < 60


def test_sixteen_bits_keep_their_high_byte(tmp_path):
    pixels = np.full((HEIGHT, WIDTH, 3), 0x4321, np.uint16)
    (tmp_path / "p").mkdir()
    cv2.imwrite(str(tmp_path / "p" / "a.tiff"), pixels)
    frame = next(iter(open_source(tmp_path / "p").frames()))
    assert set(np.unique(frame.rgb)) == {0x43}


def test_what_is_no_picture_is_passed_over_by_name_and_reason(tmp_path):
    folder = numbered(tmp_path / "p", 2)
    (folder / "3.png").write_bytes(b"")
    (folder / "4.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    (folder / "5.heic").write_bytes(b"\0\0\0\x20ftypheic" + bytes(50))
    (folder / "6.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "._1.png").write_bytes(b"resource fork")
    (folder / ".hidden.png").write_bytes((folder / "1.png").read_bytes())
    (folder / "notes.txt").write_text("a note")
    (folder / "with space.png").write_bytes((folder / "1.png").read_bytes())
    (folder / "link.png").symlink_to(folder / "1.png")
    os.mkfifo(folder / "pipe.png")
    source = open_source(folder)
    assert {Path(stub.topic).name for stub in source.stubs()} == {
        *("1.png", "2.png", "link.png", "with space.png")
    }
    said = " | ".join(str(w) for w in source.warnings if w.code == "files_passed_over")
    assert "3.png: an empty file" in said
    assert "4.png: a git-lfs pointer" in said
    assert "5.heic: a heif or avif picture" in said
    assert "6.jpg: a link that leads nowhere" in said
    assert "pipe.png: no regular file" in said
    assert "notes.txt" not in said and "hidden" not in said and "._1" not in said


def test_names_that_are_no_utf8_or_steer_a_terminal(tmp_path, capsys):
    """A name is bytes: what cannot be written is replaced, in topics, warnings and on screen."""
    data = numbered(tmp_path / "one", 1) / "1.png"
    (tmp_path / "p").mkdir()
    folder = os.fsencode(tmp_path / "p")
    for name in (b"\xff\xfe.png", "k\u00fcche 1.png".encode(), b"\x1b[31mred.png"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(data.read_bytes())
    Path(os.fsdecode(folder + b"/\xff.heic")).write_bytes(b"")
    source = open_source(tmp_path / "p")
    assert len(list(source.frames())) == 3
    words = [stub.topic for stub in source.stubs()] + [w.text for w in source.warnings]
    assert "\ufffd\ufffd.png" in words
    assert all(text.encode("utf-8") for text in words)
    assert main(["check", str(tmp_path / "p")]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_many_of_one_fault_are_one_warning(tmp_path):
    folder = numbered(tmp_path / "p", 1)
    for index in range(2, 50):
        (folder / f"{index}.png").write_bytes(b"")
    said = [w for w in open_source(folder).warnings if w.code == "files_passed_over"]
    assert [w.text for w in said] == ["passed over 2.png, 3.png, 4.png and 45 more: an empty file"]


def test_a_folder_without_pictures_says_what_lies_there(tmp_path):
    (tmp_path / "1.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    with pytest.raises(SourceError, match="1 x a git-lfs pointer") as caught:
        open_source(tmp_path)
    assert "git lfs pull" in caught.value.hint


def test_a_file_that_breaks_after_it_was_listed(tmp_path):
    folder = numbered(tmp_path / "p", 3)
    source = open_source(folder)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    with pytest.raises(ImageDecodeError, match="cut off"):
        source.load(source.stubs()[1])
    assert [index_of(frame) for frame in source.frames()] == [0, 2]
    left_out = source.warnings[-1]
    assert (left_out.code, left_out.topic) == ("frame_left_out", "2.png")


def rig_file(path, cameras, K=K, size=(HEIGHT, WIDTH)):
    lines = ["base_frame: base_link", "cameras:"]
    for index, name in enumerate(cameras):
        lines += [
            f"  {name}:",
            f"    image_height: {size[0]}",
            f"    image_width: {size[1]}",
            f"    camera_matrix: {{rows: 3, cols: 3, data: {K.reshape(-1).tolist()}}}",
            f"    T_base_camera: {pose(index).tolist()}",
        ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_pictures_named_after_a_rigs_cameras_are_these_cameras(tmp_path):
    names = ("front", "left", "rear_left")
    for index, name in enumerate(names):
        write_picture(tmp_path / "p" / f"{name}.png", index)
    source = open_source(tmp_path / "p", rig=rig_file(tmp_path / "rig.yaml", names))
    assert source.cameras == names
    frames = {frame.camera: frame for frame in source.frames()}
    for index, name in enumerate(names):
        assert index_of(frames[name]) == index
        assert np.array_equal(frames[name].intrinsics.K, K)
        assert np.allclose(frames[name].T_fixed_camera, pose(index))
        assert frames[name].fixed_frame == "base_link"
    assert codes(source) == ["no_stamps", "other_fixed_frame"]


def test_poses_of_the_base_carry_a_rigs_cameras(tmp_path):
    for name in ("left", "right"):
        for index in range(2):
            write_picture(tmp_path / "p" / name / f"{index}.png", index)
    np.savetxt(tmp_path / "p" / "poses.txt", np.vstack([pose(3), pose(4)]))
    without = open_source(tmp_path / "p")
    assert "pose_file_unused" in codes(without)
    source = open_source(tmp_path / "p", rig=rig_file(tmp_path / "rig.yaml", ("left", "right")))
    for stub in source.stubs():
        mounted = pose(("left", "right").index(stub.camera))
        assert np.allclose(source.pose(stub), pose(3 + stub.serial) @ mounted)


def test_convert_keeps_a_rigs_mounting_as_static_transforms(tmp_path):
    """Of pictures with poses of the base; and of the bag made of them, with another rig."""
    names = ("left", "right")
    for name in names:
        for index in range(2):
            write_picture(tmp_path / "p" / name / f"{index}.png", index)
    np.savetxt(tmp_path / "p" / "poses.txt", np.vstack([pose(3), pose(4)]))
    rig = rig_file(tmp_path / "rig.yaml", names)
    bag = tmp_path / "bag"
    assert main(["convert", str(tmp_path / "p"), str(bag), "--rig", str(rig)]) == 0
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        edges = {
            (c.topic, item.header.frame_id, item.child_frame_id)
            for c, _, data in reader.messages()
            if c.topic.startswith("/tf")
            for item in reader.deserialize(data, c.msgtype).transforms
        }
    assert edges == {
        ("/tf", "map", "base_link"),
        ("/tf_static", "base_link", "left_optical_frame"),
        ("/tf_static", "base_link", "right_optical_frame"),
    }
    read = open_source(bag)
    assert codes(read) == []
    for stub in read.stubs():
        mounted = pose(names.index(stub.camera))
        assert np.allclose(read.pose(stub), pose(3 + stub.serial) @ mounted)
    other = rig_file(tmp_path / "other.yaml", ("somewhere", *names))
    again = tmp_path / "again"
    assert main(["convert", str(bag), str(again), "--rig", str(other)]) == 0
    read = open_source(again)
    for stub in read.stubs():
        mounted = pose(names.index(stub.camera) + 1)
        assert np.allclose(read.pose(stub), pose(3 + stub.serial) @ mounted)


def test_a_rig_of_other_cameras_is_said(tmp_path):
    source = open_source(
        numbered(tmp_path / "p", 2), rig=rig_file(tmp_path / "rig.yaml", ("front",))
    )
    said = next(w for w in source.warnings if w.code == "rig_camera_unknown")
    assert said.text == "the rig file names front; the cameras here are camera"


def test_a_rig_of_another_size_is_left_out(tmp_path):
    rig = rig_file(tmp_path / "rig.yaml", ("camera",), size=(96, 128))
    frame = next(iter(open_source(numbered(tmp_path / "p", 1), rig=rig).frames()))
    assert frame.intrinsics is None
    assert codes(frame) == ["calibration_of_other_size"]


def test_one_picture(tmp_path, capsys):
    write_picture(tmp_path / "Kitchen 1.png")
    source = open_source(tmp_path / "Kitchen 1.png")
    assert source.cameras == ("kitchen_1",)
    assert main(["convert", str(tmp_path / "Kitchen 1.png"), str(tmp_path / "bag")]) == 0
    assert open_source(tmp_path / "bag").cameras == ("kitchen_1",)


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("a.zip", b"PK\3\4" + bytes(500), "zip"),
        ("clip.heic", b"\0\0\0\x20ftypheic" + bytes(50), "heif"),
        ("a.jpg", b"", "empty"),
        ("a.png", b"\n<!DOCTYPE html><html>", "web page"),
    ],
)
def test_a_file_that_is_no_picture(tmp_path, name, data, word):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=word):
        open_source(tmp_path / name)
