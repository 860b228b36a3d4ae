"""What tests of many parts share: a rendered office as an ordinary recording, and real ones."""

import dataclasses
import os
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest

from oryx_scene.lab.synth.furniture import SENSOR, furnished_world, office_poses
from oryx_scene.lab.synth.noise import spoil
from oryx_scene.lab.synth.render import render_views

# A busy machine is no failure: no example has a time limit.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

RECORDINGS = "ORYX_SCENE_RECORDINGS"
# Frame numbers count at 30 Hz: three pictures within a tenth of a second, then two seconds apart.
NUMBERS = (0, 1, 2, 116, 422)


@pytest.fixture(scope="session")
def office_frames():
    """Five frames of 640x480 with sensor noise and true ids, and the same with true poses."""
    world = furnished_world(0)
    start, _, middle, _, end = office_poses(0, 5, (480, 640))
    moved = []
    for index in (1, 2):
        T = start.T_map_camera.copy()
        T[:3, 3] += [0.008 * index, 0.004, 0.002 * index]
        moved.append(dataclasses.replace(start, T_map_camera=T))
    poses = [
        dataclasses.replace(pose, stamp_ns=1_000_000_000_000 + round(number * 1e9 / 30))
        for pose, number in zip((start, *moved, middle, end), NUMBERS, strict=True)
    ]
    true = render_views(world, poses)
    return spoil(true, SENSOR, 0), true


def write_office(folder, frames, drift_m=(0.0, 0.0)):
    """The layout of 7-Scenes and 3DMatch; every viewpoint's pose is off by ``drift_m`` (range)."""
    rng = np.random.default_rng(4)
    sequence = folder / "seq-01"
    sequence.mkdir(parents=True)
    np.savetxt(folder / "camera-intrinsics.txt", frames[0].intrinsics.K)
    for number, frame in zip(NUMBERS, frames, strict=True):
        name = sequence / f"frame-{number:06d}"
        steps = np.nan_to_num(np.round(1000 * frame.depth)).astype(np.uint16)
        cv2.imwrite(f"{name}.color.png", frame.rgb[..., ::-1])
        cv2.imwrite(f"{name}.depth.png", steps)
        T = frame.T_fixed_camera.copy()
        away = rng.standard_normal(3)
        T[:3, 3] += away / np.linalg.norm(away) * rng.uniform(*drift_m)
        np.savetxt(f"{name}.pose.txt", T)
    return folder


@pytest.fixture(scope="session")
def office_folder(office_frames, tmp_path_factory):
    """An ordinary RGB-D recording: posed frames in a folder."""
    return write_office(tmp_path_factory.mktemp("recordings") / "office", office_frames[0])


@pytest.fixture(scope="session")
def drifted_office_folder(office_frames, tmp_path_factory):
    """The same with poses 10 to 30 cm off, as a SLAM of a real office gave them."""
    folder = tmp_path_factory.mktemp("recordings") / "drifted"
    return write_office(folder, office_frames[0], (0.1, 0.3))


@pytest.fixture
def recording():
    """Path of a real recording by its name; the test is skipped where it is not there."""

    def find(name):
        given = os.environ.get(RECORDINGS, "")
        if not given:
            pytest.skip(f"{RECORDINGS} is not set: the recording '{name}' is not read")
        path = Path(given) / name
        if not path.exists():
            pytest.skip(f"{RECORDINGS} has no '{name}'")
        return path

    return find
