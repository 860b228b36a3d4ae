"""One damaged file of a folder: the rest is read as before, or the folder is refused by us."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from folder_layouts import pose, posed, scan_net, write_depth, write_euroc, write_picture, write_tum
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.cli.check import SCREEN_LINES, screen
from oryx_scene.errors import OryxSceneError
from oryx_scene.sources.check import check_source
from oryx_scene.sources.registry import open_source


def plain(folder):
    for index in range(4):
        write_picture(folder / f"170000000{index}.25.png", index)
        write_depth(folder / f"170000000{index}.25_depth.png", 1.0)
    np.savetxt(folder / "poses.txt", np.vstack([pose(index) for index in range(4)]))
    return folder


LAYOUTS = {
    "tum": write_tum,
    "euroc": write_euroc,
    "scan_net": scan_net,
    "posed": lambda folder: posed(folder, (0, 3, 9)),
    "flat": lambda folder: posed(folder, (0, 3, 9), sub="."),
    "plain": plain,
}
DAMAGE = {
    "gone": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "noise": lambda file: file.write_bytes(np.random.default_rng(0).bytes(500)),
    "words": lambda file: file.write_text("nothing of the kind\n"),
    "numbers": lambda file: file.write_text("1 2 3\n4 5\n"),
    "not finite": lambda file: file.write_text("nan nan nan nan\n" * 4),
    "pointer": lambda file: file.write_text("version https://git-lfs.github.com/spec/v1\n"),
    "page": lambda file: file.write_text("<!DOCTYPE html><html>404</html>"),
    "folder": lambda file: (file.unlink(), file.mkdir()),
    "link to nowhere": lambda file: (file.unlink(), file.symlink_to("nowhere")),
    "link to itself": lambda file: (file.unlink(), file.symlink_to(file.name)),
}


def read(folder):
    """{(camera, stamp): what a frame holds}, and what is said."""
    source = open_source(folder)
    lines = screen(check_source(source, folder))
    assert len(lines) <= SCREEN_LINES
    frames = {
        (f.camera, f.topic): (
            f.stamp_ns,
            f.sha256,
            f.depth_sha256,
            None if f.intrinsics is None else f.intrinsics.K.tolist(),
            None if f.T_fixed_camera is None else f.T_fixed_camera.tolist(),
        )
        for f in source.frames()
    }
    said = [*source.warnings, *(w for s in source.stubs() for w in _frame_warnings(source, s))]
    return frames, said


def _frame_warnings(source, stub):
    try:
        return source.load(stub).warnings
    except OryxSceneError:
        return ()


def damaged(layout, number, damage):
    """Read a layout whole and with its ``number``-th file damaged; None, reason if refused."""
    base = Path(tempfile.mkdtemp())
    try:
        folder = LAYOUTS[layout](base / "recording")
        whole, before = read(folder)
        files = sorted(item for item in folder.rglob("*") if item.is_file())
        file = files[number % len(files)]
        DAMAGE[damage](file)
        try:
            left, said = read(folder)
        except OryxSceneError as err:
            return file.relative_to(folder), whole, None, [err.message, err.hint]
        return file.relative_to(folder), whole, left, [w for w in said if w not in before]
    finally:
        shutil.rmtree(base)


@settings(max_examples=60, deadline=None)
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    number=st.integers(0, 40),
    damage=st.sampled_from(sorted(DAMAGE)),
)
def test_damage_stays_where_it_is(layout, number, damage):
    file, whole, left, said = damaged(layout, number, damage)
    judge(file, whole, left, said)


def judge(file, whole, left, said):
    if left is None:
        # Only the list of all pictures may condemn the folder.
        assert file.name == "rgb.txt" and all(said), (file, said)
        return
    by_number = any(w.code == "pose_file_unused" for w in said)
    for key, frame in left.items():
        own = file.as_posix() in key[1] or file.stem.split(".")[0] in key[1]
        if file.suffix in (".png", ".jpg") and not own:
            kept = 4 if by_number else 5  # four pictures' poses are not those of three
            assert frame[:kept] == whole[key][:kept], (file, key)
    # A layout without this file, or with another one of its kind, may be whole as well.
    assert said or left == whole or file.name in _OPTIONAL, file


# A layout without them is another, complete layout.
_OPTIONAL = ("groundtruth.txt", "poses.txt", "depth.txt")


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_is_whole_before(layout, tmp_path):
    frames, _ = read(LAYOUTS[layout](tmp_path / "recording"))
    assert len(frames) >= 3
    assert all(frame[4] is not None for frame in frames.values())
