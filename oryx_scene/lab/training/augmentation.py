"""Other names for the cameras of a kept scene: a robot's cameras have names that no rig here has.

A name that was never met is spelt in pieces; unless those were learnt, it breaks every answer that
stands behind it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from oryx_scene.lab.training.samples import Sample
from oryx_scene.records import ViewSet

PLACES = ("front", "rear", "back", "left", "right", "top", "side", "head", "wrist", "arm", "base")
DEVICES = ("cam", "camera", "rgb", "color", "eye", "fisheye", "zed", "realsense", "oak", "usb")
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxyz", "aeiou"


def camera_name(rng: np.random.Generator) -> str:
    """A name as robots have them: places, devices, numbers, or letters without sense."""

    def one(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    style = int(rng.integers(6))
    if style == 0:
        return f"{one(PLACES)}_{one(DEVICES)}"
    if style == 1:
        return f"{one(DEVICES)}{'_' if rng.random() < 0.5 else ''}{int(rng.integers(10))}"
    if style == 2:
        return f"{one(DEVICES)}_{one(PLACES)}"
    if style == 3:
        return f"{one(PLACES)}{'_' if rng.random() < 0.5 else '/'}{_spelt(rng)}"
    if style == 4:
        return f"{_spelt(rng)}{int(rng.integers(10))}"
    return _spelt(rng)


def _spelt(rng: np.random.Generator) -> str:
    count = int(rng.integers(2, 4))
    return "".join(
        letters[int(rng.integers(len(letters)))]
        for _ in range(count)
        for letters in (CONSONANTS, VOWELS)
    )


def rename_cameras(sample: Sample, rng: np.random.Generator) -> Sample:
    """The same scene, each camera under another name."""
    new: dict[str, str] = {}
    for frame in sample.views.frames:
        while frame.camera not in new:
            name = camera_name(rng)
            if name not in new.values():
                new[frame.camera] = name
    frames = tuple(
        dataclasses.replace(
            frame, camera=new[frame.camera], frame_id=f"{new[frame.camera]}_optical_frame"
        )
        for frame in sample.views.frames
    )
    return dataclasses.replace(sample, views=ViewSet(frames))
