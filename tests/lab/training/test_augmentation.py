"""Cameras under other names: the same scene, and questions that name them so."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.lab.synth.marked_scene import measured_scene
from oryx_scene.lab.synth.questions import ask
from oryx_scene.lab.synth.scenes import SceneSpec
from oryx_scene.lab.training import examples
from oryx_scene.lab.training.augmentation import camera_name, rename_cameras
from oryx_scene.lab.training.samples import make_sample
from oryx_scene.qa.facts import fitting_facts
from oryx_scene.scene.measurements import Measurements


def test_a_renamed_scene_is_asked_about_by_its_new_names():
    sample = make_sample(SceneSpec(3, rig="handheld", views=3))
    assert sample is not None
    rng = np.random.default_rng(1)
    new = rename_cameras(sample, rng)
    old_names = [frame.camera for frame in sample.views.frames]
    names = [frame.camera for frame in new.views.frames]
    assert len(set(names)) == len(set(old_names)) == 1
    assert names != old_names
    scene = measured_scene(new.marks, new.objects, new.truth, new.views)
    asked = [item for _ in range(20) if (item := ask(scene, "left_right", rng)) is not None]
    assert asked
    for item in asked:
        assert names[0] in item.question.text
        (fact,) = fitting_facts(item.question.text, Measurements(new.views, new.marks), "fit")
        assert fact.startswith(f"Measured from {names[0]} ")


def test_names_are_many_and_of_several_kinds():
    rng = np.random.default_rng(2)
    names = [camera_name(rng) for _ in range(400)]
    assert len(set(names)) > 300
    for mark in ("_", "/", "cam"):
        assert any(mark in name for name in names)
    assert any(name[-1].isdigit() for name in names)


def test_every_second_lesson_has_cameras_of_other_names(monkeypatch):
    """The number that is drawn after the marks' new numbers decides, at one half."""
    sample = make_sample(SceneSpec(3, rig="handheld", views=3))
    assert sample is not None
    renamed = []
    monkeypatch.setattr(examples, "rename_cameras", lambda own, rng: renamed.append(True) or own)
    monkeypatch.setattr(examples, "make_turns", lambda *_, **__: ())
    monkeypatch.setattr(examples, "scene_ids", lambda *_: [])
    wanted = []
    for seed in range(12):
        before = np.random.default_rng(seed)
        examples.renumber(sample, before)
        wanted.append(before.random() < 0.5)
        count = len(renamed)
        examples.make_lesson(sample, None, {}, 0, np.random.default_rng(seed), pictures=False)
        assert (len(renamed) > count) == wanted[-1]
    assert 0 < sum(wanted) < len(wanted)
