"""Which cameras a folder holds, and what of it is passed over."""

from pathlib import Path

import numpy as np
import pytest
from folder_layouts import K, codes, write_depth, write_picture

from oryx_scene.sources.registry import open_source

S = 1_000_000_000


def test_folders_of_depth_belong_to_the_camera_of_their_name(tmp_path):
    for index in range(2):
        write_picture(tmp_path / "left" / f"{index}.png", index)
        write_picture(tmp_path / "right" / f"{index}.png", index)
        write_depth(tmp_path / "depth_left" / f"{index}.png", 1.0)
        write_depth(tmp_path / "right-depth" / f"{index}.png", 2.0)
    source = open_source(tmp_path)
    assert source.cameras == ("left", "right")
    assert {f.camera: round(float(f.depth[5, 5]), 3) for f in source.frames()} == {
        "left": 1.0,
        "right": 2.0,
    }


def test_a_folder_of_depth_is_no_camera(tmp_path):
    write_picture(tmp_path / "left" / "0.png")
    write_picture(tmp_path / "right" / "0.png")
    write_depth(tmp_path / "depth" / "0.png", 1.0)
    source = open_source(tmp_path)
    assert source.cameras == ("left", "right")
    assert [w.topic for w in source.warnings if w.code == "depth_unused"] == ["depth"]


def test_masks_and_labels_are_no_pictures(tmp_path):
    for index in range(3):
        write_picture(tmp_path / "rgb" / f"{index}.png", index)
        write_picture(tmp_path / "masks" / f"{index}.png", 9)
        write_picture(tmp_path / "rgb" / f"{index}_label.png", 9)
    source = open_source(tmp_path)
    assert source.cameras == ("camera",) and len(source.stubs()) == 3
    said = next(w for w in source.warnings if w.code == "files_passed_over")
    assert said.text.endswith("0_label.png, 1_label.png, 2_label.png: " + _MASK)


_MASK = "a mask, label or the like by its name"


def test_pictures_beside_folders_of_more_are_passed_over_by_name(tmp_path):
    write_picture(tmp_path / "preview.jpg")
    for index in range(2):
        write_picture(tmp_path / "cam0" / f"170000000{index}.5.png", index)
    source = open_source(tmp_path)
    assert source.cameras == ("cam0",) and not source.counted
    assert "preview.jpg" in next(w for w in source.warnings if w.code == "files_passed_over").text


def test_folders_beside_more_pictures_are_passed_over_by_name(tmp_path):
    for index in range(3):
        write_picture(tmp_path / f"{index}.png", index)
    write_picture(tmp_path / "old" / "1.png")
    source = open_source(tmp_path)
    assert source.cameras == ("camera",) and len(source.stubs()) == 3
    said = next(w for w in source.warnings if w.code == "files_passed_over")
    assert "the folders old" in said.text


def test_folders_that_differ_by_a_space_are_two_cameras(tmp_path):
    write_picture(tmp_path / "cam front" / "0.png")
    write_picture(tmp_path / "cam_front" / "0.png")
    assert open_source(tmp_path).cameras == ("cam_front", "cam_front_2")


def test_depth_whose_names_are_other_stamps_goes_by_the_nearest(tmp_path):
    """A TUM sequence whose lists are lost."""
    for index in range(3):
        write_picture(tmp_path / "rgb" / f"1305031102.{index}75304.png", index)
        late = 19 if index < 2 else 21
        write_depth(tmp_path / "depth" / f"1305031102.{index}{75 + late}304.png", 1.0 + index)
    np.savetxt(tmp_path / "camera-intrinsics.txt", K)
    frames = list(open_source(tmp_path).frames())
    depths = [None if f.depth is None else round(float(f.depth[5, 5]), 3) for f in frames]
    assert depths == [1.0, 2.0, None]


@pytest.mark.parametrize(
    ("lines", "stamps"),
    [
        (["2011-09-26 13:02:25.964389445", "2011-09-26 13:02:26.067"], (1317042145964389445, 0)),
        (["0.000000e+00", "1.036640e-01"], (0, 103664000)),
        (["# seconds", "1700000000.25", "1700000000.5"], (1700000000 * S + S // 4, 0)),
        (["0,1403636579763555584", "1,1403636579813555456"], (1403636579763555584, 0)),
    ],
)
def test_stamps_from_a_list(tmp_path, lines, stamps):
    """KITTI: `timestamps.txt` with one line per picture."""
    for index in range(2):
        write_picture(tmp_path / "image_02" / "data" / f"{index:010d}.png", index)
    (tmp_path / "image_02" / "timestamps.txt").write_text("\n".join(lines) + "\n")
    source = open_source(tmp_path / "image_02")
    assert not source.counted
    found = [stub.stamp_ns for stub in source.stubs()]
    assert found[0] == stamps[0] and found[1] > found[0]
    if stamps[1]:
        assert found[1] == stamps[1]
    assert open_source(tmp_path).stubs()[0].stamp_ns == stamps[0]


@pytest.mark.parametrize("text", ["1700000000.1\n", "soon\nlater\n", "1.5\n1.5\n"])
def test_a_list_of_stamps_that_does_not_fit_is_left_out(tmp_path, text):
    for index in range(2):
        write_picture(tmp_path / f"{index}.png", index)
    (tmp_path / "times.txt").write_text(text)
    source = open_source(tmp_path)
    assert source.counted and "stamp_file_unused" in codes(source)


def test_pictures_of_mixed_sizes_are_read_as_they_are(tmp_path):
    for index, size in enumerate(((48, 64), (96, 128), (64, 48))):
        write_picture(tmp_path / f"{index}.png", index, size)
    sizes = [frame.rgb.shape[:2] for frame in open_source(tmp_path).frames()]
    assert sizes == [(48, 64), (96, 128), (64, 48)]


def test_a_linked_folder_is_followed(tmp_path):
    write_picture(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "front").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    source = open_source(tmp_path / "set")
    assert source.cameras == ("front",)
    assert [Path(stub.topic).name for stub in source.stubs()] == ["0.png"]
