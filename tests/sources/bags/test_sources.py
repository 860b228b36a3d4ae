"""Bags written here are read back; broken ones give one line with a hint, or a warning."""

import numpy as np
import pytest

from oryx_scene.cli.main import main
from oryx_scene.errors import SourceError
from oryx_scene.sources.registry import open_source


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_there_and_back(write_bag, storage):
    source = open_source(write_bag(storage=storage))
    assert source.cameras == ("front",)
    assert source.warnings == ()
    frames = list(source.frames())
    assert [frame.stamp_ns for frame in frames] == [1_000_000_000 + i * 10**8 for i in range(3)]
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [0, 10, 20]
    assert frames[0].depth is not None
    assert np.isnan(frames[0].depth[:5]).all()
    assert np.allclose(frames[0].depth[5:], 1.5)
    assert np.array_equal(frames[0].T_fixed_camera, np.eye(4))
    assert frames[0].fixed_frame == "map"
    assert len({frame.sha256 for frame in frames}) == 3


def test_what_is_missing_is_said(write_bag):
    no_info = open_source(write_bag("a", info=False))
    frame = next(iter(no_info.frames()))
    assert frame.intrinsics is None
    assert frame.depth is None
    assert any("CameraInfo" in text.text for text in frame.warnings)

    no_tf = open_source(write_bag("b", tf=()))
    assert any("no TF" in text.text for text in no_tf.warnings)
    assert next(iter(no_tf.frames())).T_fixed_camera is None

    late = open_source(write_bag("c", tf=(1, 2)))
    frames = list(late.frames())
    assert frames[0].T_fixed_camera is None
    assert any("from 0.100 s later" in text.text for text in frames[0].warnings)
    assert frames[2].T_fixed_camera is not None

    early = list(open_source(write_bag("d", tf=(0, 1))).frames())
    assert any("until 0.100 s earlier" in text.text for text in early[2].warnings)

    wrong = next(iter(open_source(write_bag("e", fy=-60.0)).frames()))
    assert wrong.intrinsics is None
    assert any("fy -60" in text.text for text in wrong.warnings)


def test_unknown_fixed_frame_and_camera(write_bag):
    path = write_bag()
    source = open_source(path, fixed_frame="moon")
    assert source.fixed_frame == "map"
    assert any("'moon'" in text.text for text in source.warnings)
    with pytest.raises(SourceError, match="there are: front"):
        open_source(path, cameras=("back",))


def one_line(capsys, *arguments):
    """Run a command that must fail: exit code 2, one line, a hint, no traceback."""
    assert main([str(word) for word in arguments]) == 2
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1, printed.err
    assert "error:" in lines[0]
    assert "Hint:" in lines[0]
    return lines[0]


@pytest.mark.parametrize("command", ["check", "marks"])
def test_broken_bags_give_one_line(capsys, tmp_path, write_bag, command):
    path = write_bag("cut")
    file = next(path.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:200])
    assert "mcap recover" in one_line(capsys, command, path)

    path = write_bag("db", storage="sqlite3")
    file = next(path.glob("*.db3"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    one_line(capsys, command, path)

    empty = tmp_path / "empty.mcap"
    empty.write_bytes(b"")
    one_line(capsys, command, empty)
    ros1 = tmp_path / "cut.bag"
    ros1.write_bytes(b"#ROSBAG V2.0\nnothing more")
    one_line(capsys, command, ros1)
    one_line(capsys, command, tmp_path / "nowhere")
    folder = tmp_path / "just_a_folder"
    folder.mkdir()
    one_line(capsys, command, folder)


def test_a_bag_without_pictures(capsys, tmp_path, write_bag):
    assert "no image topic" in one_line(capsys, "check", write_bag(frames=0))


def test_a_broken_picture_file(capsys, tmp_path):
    file = tmp_path / "broken.jpg"
    file.write_bytes(b"\xff\xd8\xff not a jpeg")
    one_line(capsys, "marks", file)


def test_messages_lost_in_a_database_are_counted(write_bag):
    import sqlite3

    path = write_bag(storage="sqlite3")
    with sqlite3.connect(next(path.glob("*.db3"))) as database:
        database.execute("DELETE FROM messages WHERE id = (SELECT MAX(id) FROM messages)")
    (lost,) = open_source(path).warnings
    assert (lost.code, lost.severity) == ("recording_incomplete", "problem")


def test_check_exits_by_what_it_finds(capsys, write_bag):
    assert main(["check", str(write_bag("good"))]) == 0
    assert "all is there" in capsys.readouterr().out
    assert main(["check", str(write_bag("bad", tf=()))]) == 1
    assert "PROBLEM" in capsys.readouterr().out


def test_a_question_needs_words_and_a_known_time(capsys, write_bag):
    path = write_bag()
    assert "empty" in one_line(capsys, "ask", path, "-q", " ", "--model", "random")
    assert "later moment" in one_line(capsys, "marks", path, "--at", "-5")
    assert "not a time" in one_line(capsys, "marks", path, "--at", "noon")
    assert "old" in one_line(capsys, "marks", path, "--at", "60")


def test_from_front_to_back_equals_one_by_one(write_bag):
    """One pass over the bag and finding every message again give the same frames."""
    path = write_bag(frames=6)
    passed = list(open_source(path).frames())
    source = open_source(path)
    for frame, stub in zip(passed, source.stubs(), strict=True):
        again = source.load(stub)
        assert (again.sha256, again.depth_sha256) == (frame.sha256, frame.depth_sha256)
        assert again.sha256 and again.depth_sha256
    late = list(source.frames(start_ns=1_300_000_000, end_ns=1_400_000_000))
    assert [frame.sha256 for frame in late] == [frame.sha256 for frame in passed[3:5]]
    assert [frame.depth_sha256 for frame in late] == [f.depth_sha256 for f in passed[3:5]]


def test_a_pass_survives_a_look_elsewhere(write_bag):
    source = open_source(write_bag(frames=6))
    seen = []
    for frame in source.frames():
        seen.append(frame.sha256)
        source.load(source.stubs()[0])
    assert seen == [source.load(stub).sha256 for stub in source.stubs()]
    assert len(set(seen)) == 6
