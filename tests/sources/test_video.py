"""A video file is one camera, decoded frame by frame."""

import cv2
import numpy as np
import pytest
from folder_layouts import HEIGHT, WIDTH, K, codes, pose

from oryx_scene.config import ViewsConfig
from oryx_scene.errors import SourceError
from oryx_scene.scene.frame_selection import frames_at, newest_stamp
from oryx_scene.sources.registry import open_source

RATE_HZ = 10.0


def write_video(path, count=40, codec="MJPG", size=(HEIGHT, WIDTH)):
    """Frame n is a grey of 6 n + 10; codecs darken it by up to 3."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), RATE_HZ, size[::-1])
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {codec}")
    for index in range(count):
        writer.write(np.full((*size, 3), 6 * index + 10, np.uint8))
    writer.release()
    return path


def number_of(frame):
    return round((float(frame.rgb.mean()) - 8) / 6)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "MJPG"), ("b.mp4", "mp4v"), ("c.mkv", "MJPG")]
)
def test_all_frames_in_order_and_at_random(tmp_path, name, codec):
    source = open_source(write_video(tmp_path / name, codec=codec))
    assert source.cameras == (name[0],)
    assert codes(source) == ["no_stamps", "no_tf", "no_camera_info"]
    stubs = source.stubs()
    assert [stub.stamp_ns for stub in stubs] == [10**9 + index * 10**8 for index in range(40)]
    assert [number_of(frame) for frame in source.frames()] == list(range(40))
    for index in (30, 3, 4, 39, 0, 17, 16, 38):
        assert number_of(source.load(stubs[index])) == index
    assert source.load(stubs[7]).sha256 == source.load(stubs[7]).sha256
    assert source.load(stubs[7]).sha256 != source.load(stubs[8]).sha256


def test_how_many_frames_are_used_is_said(tmp_path):
    source = open_source(write_video(tmp_path / "a.avi"))
    found = frames_at(source, newest_stamp(source), ViewsConfig(count=4))
    assert "4 of 40 pictures are used: chosen evenly" in [w.text for w in found.warnings]


def test_a_rig_gives_a_video_its_matrix_and_place(tmp_path):
    (tmp_path / "rig.yaml").write_text(
        f"cameras:\n  clip_1:\n    image_width: {WIDTH}\n    image_height: {HEIGHT}\n"
        f"    camera_matrix: {K.reshape(-1).tolist()}\n    T_base_camera: {pose(2).tolist()}\n"
    )
    path = write_video(tmp_path / "Clip 1.avi", 2)
    frame = next(iter(open_source(path, rig=tmp_path / "rig.yaml").frames()))
    assert np.array_equal(frame.intrinsics.K, K)
    assert np.allclose(frame.T_fixed_camera, pose(2)) and frame.fixed_frame == "base_link"
    assert frame.warnings == ()


def test_what_only_begins_like_a_video(tmp_path):
    file = tmp_path / "clip.mp4"
    file.write_bytes(bytes.fromhex("0000002066747970") + b"isom" + bytes(5000))
    with pytest.raises(SourceError, match="video"):
        open_source(file)


def test_a_video_that_is_cut_off(tmp_path):
    path = write_video(tmp_path / "a.avi")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    try:
        source = open_source(path)
    except SourceError as err:
        assert "video" in err.message
        return
    numbers = [number_of(frame) for frame in source.frames()]
    assert numbers == list(range(len(numbers)))
    lost = [w for w in source.warnings if w.code == "frame_left_out"]
    assert len(numbers) + len(lost) == len(source.stubs())
