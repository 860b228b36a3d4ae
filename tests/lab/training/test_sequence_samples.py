"""Kept scenes know what views show and what changed; those kept before that still load."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.lab.synth.marked_scene import measured_scene
from oryx_scene.lab.synth.questions import ask
from oryx_scene.lab.synth.scenes import SceneSpec
from oryx_scene.lab.training.examples import renumber
from oryx_scene.lab.training.samples import (
    draw_spec,
    load_sample,
    make_sample,
    save_sample,
)
from oryx_scene.qa.facts import fitting_facts
from oryx_scene.records import Changes
from oryx_scene.scene.measurements import Measurements

SPEC = SceneSpec(5, "train", "handheld", 8, compression="16", changed=True)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "5.npz"
    sample = make_sample(SPEC)
    assert sample is not None
    save_sample(sample, path)
    return sample, path


def asked_of(sample, kind, seed=1):
    scene = measured_scene(sample.marks, sample.objects, sample.truth, sample.views)
    return ask(scene, kind, np.random.default_rng(seed))


def test_changes_and_sightings_come_back(kept):
    sample, path = kept
    again = load_sample(path)
    assert again.spec == SPEC
    assert again.marks.changes == sample.marks.changes != Changes()
    for kind in ("needle", "differs", "changed"):
        asked = asked_of(again, kind)
        assert asked == asked_of(sample, kind)
        facts = [
            fitting_facts(asked.question.text, Measurements(one.views, one.marks), "fit")
            for one in (sample, again)
        ]
        assert facts[0] == facts[1] and len(facts[0]) == 1


def test_other_numbers_change_the_same_things(kept):
    sample, _ = kept
    other = renumber(sample, np.random.default_rng(2))
    changes, new = sample.marks.changes, other.marks.changes
    assert new != changes
    for side in ("gone", "new"):
        assert {sample.objects[n] for n in getattr(changes, side)} == {
            other.objects[n] for n in getattr(new, side)
        }
    assert asked_of(other, "needle").key != asked_of(sample, "needle").key


def test_a_scene_kept_before_changes_were_measured_is_asked_about_views_only(kept, tmp_path):
    _, path = kept
    with np.load(path) as arrays:
        parts = dict(arrays)
    described = json.loads(parts["described"].tobytes())
    del described["changes"], described["spec"]["changed"]
    parts["described"] = np.frombuffer(json.dumps(described).encode(), np.uint8)
    np.savez(tmp_path / "old.npz", **parts)
    old = load_sample(tmp_path / "old.npz")
    assert old.marks.changes is None and not old.spec.changed
    assert asked_of(old, "changed") is None
    assert asked_of(old, "needle") == asked_of(load_sample(path), "needle")


def test_some_scenes_with_enough_views_see_things_change():
    specs = [draw_spec(seed) for seed in range(3000)]
    enough = [spec for spec in specs if spec.views >= 4]
    share = np.mean([spec.changed for spec in enough])
    assert 0.08 < share < 0.16
    assert {spec.own_marks for spec in enough if spec.changed} == {True, False}
    assert not any(spec.changed for spec in specs if spec.views < 4)
