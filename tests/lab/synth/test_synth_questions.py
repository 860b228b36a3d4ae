import dataclasses
import re

import numpy as np
import pytest

from oryx_scene.lab.synth.judge import right, said
from oryx_scene.lab.synth.marked_scene import measured_scene, true_scene
from oryx_scene.lab.synth.question_types import MEASURES
from oryx_scene.lab.synth.questions import FACT_KINDS, KINDS, PICTURE_KINDS, ask
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config, render_spec
from oryx_scene.lab.synth.true_marks import objects_under, true_marks
from oryx_scene.qa.facts import fitting_facts
from oryx_scene.scene.freeze import NO_MODEL, freeze_scene
from oryx_scene.scene.measurements import Measurements


@pytest.fixture(scope="module")
def rooms():
    """Four scenes with true marks, one of two times: (scene, world, objects)."""
    found = []
    specs = [SceneSpec(seed, "test", views=3) for seed in (1, 4, 11)]
    for spec in (*specs, SceneSpec(2, "test", changed=True)):
        world, frames = render_spec(spec)
        scene = freeze_scene(
            frames,
            frames[0].stamp_ns,
            pipeline_config(spec),
            NO_MODEL,
            find_marks=lambda views, config, _, w=world: true_marks(views, w.truth, config),
        )
        found.append((scene, world, objects_under(scene.views, scene.marks)))
    return found


def asked_of(rooms, kind, count=6):
    found = []
    for index, (scene, world, objects) in enumerate(rooms):
        marked = measured_scene(scene.marks, objects, world.truth, scene.views)
        rng = np.random.default_rng(index)
        found += [(scene, a) for _ in range(count) if (a := ask(marked, kind, rng)) is not None]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_taught_answer_is_judged_right_and_another_ones_wrong(rooms, kind):
    asked = asked_of(rooms, kind)
    assert len(asked) >= 3
    keys = {item.key for _, item in asked}
    for _, item in asked:
        assert right(item, item.target)
        assert not right(item, "I do not know.")
        for _, other in asked:
            if kind in PICTURE_KINDS and other.key != item.key:
                assert not right(item, other.target)
    if kind in ("exists", "left_right", "front_behind"):
        assert keys == {"yes", "no"}


@pytest.mark.parametrize("kind", [kind for kind in FACT_KINDS if kind not in ("total", "on")])
def test_numbers_in_taught_answers_stand_in_the_facts(rooms, kind):
    for scene, item in asked_of(rooms, kind):
        facts = " ".join(
            fitting_facts(item.question.text, Measurements(scene.views, scene.marks), "fit")
        )
        for number in re.findall(r"-?\d+\.\d", item.target):
            assert number in facts, (item.question.text, facts, item.target)


def test_every_answer_or_scratchpad_begins_with_a_mark_or_what_is_compared(rooms):
    for kind in KINDS:
        if kind == "total":
            continue
        for _, item in asked_of(rooms, kind, 2):
            begin = rf"(<think> (({'|'.join(MEASURES)}) )?|Mark )\d|None\.$"
            assert re.match(begin, item.target), item.target


def test_true_names_and_places(rooms):
    scene, world, objects = rooms[0]
    marked = true_scene(scene.marks, objects, world.truth, scene.views)
    for number, thing in marked.things.items():
        true = world.truth[objects[number]]
        assert (thing.colour, thing.shape, thing.position) == (
            true.colour,
            true.shape,
            true.position,
        )


def test_true_marks_stand_on_what_they_name(rooms):
    for scene, world, objects in rooms:
        assert scene.marks.route == "truth"
        named = [world.truth[objects[mark.number]].position for mark in scene.marks.marks]
        assert named == [mark.position for mark in scene.marks.marks]


def test_discs_sit_in_the_middle_of_patches_where_things_are_large_enough(rooms):
    discs = [disc for scene, _, _ in rooms for view in scene.discs for disc in view]
    middle = [disc.u % 16 == 7.5 and disc.v % 16 == 7.5 for disc in discs]
    assert np.mean(middle) > 0.8


def test_distances_are_judged_within_a_tolerance(rooms):
    _, item = asked_of(rooms, "distance")[0]
    near = dataclasses.replace(item, key=f"{float(item.key) + 0.1:.3f}")
    far = dataclasses.replace(item, key=f"{float(item.key) + 0.5:.3f}")
    assert right(near, item.answer)
    assert not right(far, item.answer)
    assert said("exists", "Yes, mark 3.") == "yes"
    assert said("which", "Mark 12.") == "12"
    assert said("what", "Mark 1 is a red box or a blue ball.") == ""
