"""The window for real: Open3D on a virtual display, keys pressed through the X server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from oryx_scene.atomic_io import write_json
from oryx_scene.errors import OryxSceneError
from oryx_scene.qa.answer_json import to_plain
from oryx_scene.view.controls import KEYS, Look, help_lines, press
from oryx_scene.view.overlay import project
from oryx_scene.view.result_folders import MARKS, SNAPSHOT, KeptStory
from oryx_scene.view.shapes import BOX_COLOR, LAYERS
from oryx_scene.view.snapshot import take_snapshot
from oryx_scene.view.snapshot_file import save_snapshot
from oryx_scene.view.viewpoint import make_viewpoint
from oryx_scene.warning import Warning

SIZE = (360, 480)


def test_stepping_stops_at_both_ends():
    look = press(Look(), "previous", 3, [])
    assert look.step == 0
    for wanted in (1, 2, 2):
        look = press(look, "next", 3, [])
        assert look.step == wanted
    assert press(look, "first", 3, []).step == 0
    assert press(Look(), "last", 3, []).step == 2


def test_each_layer_has_a_key_that_toggles_it():
    for layer in LAYERS:
        key = next(key for key in KEYS if key.action == f"layer:{layer}")
        off = press(Look(), key.action, 1, [])
        assert off.layers == set(LAYERS) - {layer}
        assert press(off, key.action, 1, []) == Look()


def test_the_camera_key_goes_round_all_cameras():
    look, seen = Look(), []
    for _ in range(4):
        look = press(look, "camera", 1, ["front", "side@0", "side@1"])
        seen.append(look.viewpoint)
    assert seen == ["camera:front", "camera:side@0", "camera:side@1", "camera:front"]
    assert press(Look(), "camera", 1, []).viewpoint == "free"


def test_no_key_is_there_twice_and_all_are_explained():
    assert len({key.code for key in KEYS}) == len(KEYS)
    assert len(help_lines()) >= len({key.action for key in KEYS})


@pytest.fixture
def kept(tmp_path, make_frame, box_mark):
    """A folder with one answered step, in which a magenta square carries mark 1."""
    folder = tmp_path / "kept"
    folder.mkdir()
    frames = [make_frame((0, 0.4, 1)), make_frame((0, -0.4, 1), "side", 1_010_000_000)]
    save_snapshot(folder / SNAPSHOT, take_snapshot(frames))
    seen = box_mark.observations[0]
    item = {**vars(box_mark), **vars(seen)}
    item.pop("observations")
    views = [{"camera": frame.camera, "age_s": 0.5, "marks": [item]} for frame in frames]
    described = {
        "frame_id": "map",
        "views": views,
        "relations": [],
        "warnings": [to_plain(Warning("no_pose", "a warning"))],
    }
    described["views"][0]["marks"][0] |= {"position_std": None}
    write_json(folder / MARKS, described)
    return folder


@contextmanager
def virtual_display():
    for program, package in (("Xvfb", "xvfb"), ("xdotool", "xdotool")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {package}")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            yield f":{numbers.readline().strip()}"
    finally:
        server.terminate()
        server.wait(20)


def wait_for(process, log, text, times=1, limit_s=90.0):
    end = time.monotonic() + limit_s
    while log.read_text().count(text) < times:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_window_shows_the_scene_and_obeys_keys(kept, tmp_path):
    try:
        from oryx_scene.view.open3d_backend import load_open3d

        load_open3d()
    except OryxSceneError as err:
        pytest.skip(err.message)
    log = tmp_path / "said.txt"
    command = [sys.executable, "-m", "oryx_scene.cli.main", "view", str(kept), "--size", "480x360"]
    with virtual_display() as display, log.open("w") as said:
        environment = {**os.environ, "DISPLAY": display}
        window = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            wait_for(window, log, "marks of kept")
            time.sleep(1.0)
            # words off, so that nothing covers the scene; save; marks off; save; camera; save
            for count, keys in enumerate(("w s", "5 s", "5 c s"), start=1):
                for key in keys.split():
                    subprocess.run(["xdotool", "key", key], env=environment, check=True)
                    time.sleep(0.6)
                wait_for(window, log, "saved", count)
            subprocess.run(["xdotool", "key", "q"], env=environment, check=True)
            assert window.wait(60) == 0, log.read_text()
        finally:
            if window.poll() is None:
                window.kill()
    pictures = [
        cv2.imread(str(tmp_path / f"oryx_scene_{n:03d}.png"))[:, :, ::-1] for n in (1, 2, 3)
    ]
    _check_marks(KeptStory(kept)[0].geometry(), pictures)


def _check_marks(scene, pictures):
    position = np.array([scene.marks[0].position])
    for picture, name, marked in zip(
        pictures, ("free", "free", "camera:front"), (True, False, True), strict=True
    ):
        assert picture.shape == (*SIZE, 3)
        u, v, _ = project(make_viewpoint(name, scene, *SIZE), position)[0]
        disc = picture[round(v) - 5 : round(v) + 6, round(u) - 5 : round(u) + 6].reshape(-1, 3)
        red = np.abs(disc.astype(int) - BOX_COLOR).max(axis=-1) < 40
        assert (red.mean() > 0.4) == marked, name
    # Through the camera the square covers what it covers in the camera's own picture.
    view = make_viewpoint("camera:front", scene, *SIZE)
    u, v, _ = project(view, np.array([[2.0, 0.12, 1.12]]))[0]
    square = pictures[2][round(v) - 3 : round(v) + 4, round(u) - 3 : round(u) + 4].astype(int)
    assert np.mean(np.abs(square - (230, 60, 200)).max(axis=-1) < 30) > 0.7
