"""Questions about views and time: facts, keys from the truth, and what is judged right."""

import dataclasses

import numpy as np
import pytest

from oryx_scene.lab.synth.judge import right, said
from oryx_scene.lab.synth.marked_scene import measured_scene, true_scene
from oryx_scene.lab.synth.question_types import SceneQuestion
from oryx_scene.lab.synth.questions import ask
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config, render_spec
from oryx_scene.lab.synth.true_marks import objects_under, true_marks
from oryx_scene.qa.facts import fitting_facts
from oryx_scene.records import Changes, Question
from oryx_scene.scene.freeze import NO_MODEL, freeze_scene

SPEC = SceneSpec(5, "train", "handheld", 8, changed=True)


@pytest.fixture(scope="module")
def scene():
    """(frozen scene with true marks, world, objects)."""
    world, frames = render_spec(SPEC)
    frozen = freeze_scene(
        frames,
        frames[-1].stamp_ns,
        pipeline_config(SPEC),
        NO_MODEL,
        find_marks=lambda views, config, _: true_marks(views, world.truth, config),
    )
    return frozen, world, objects_under(frozen.views, frozen.marks)


def both(scene):
    frozen, world, objects = scene
    parts = (frozen.marks, objects, world.truth, frozen.views)
    return measured_scene(*parts), true_scene(*parts, world)


def test_what_was_measured_agrees_with_the_truth(scene):
    measured, true = both(scene)
    assert measured.seen_in == true.seen_in
    assert measured.changes == true.changes
    assert true.changes is not None and true.changes.gone and true.changes.new


@pytest.mark.parametrize("seed", range(8))
def test_answers_stand_in_the_facts(scene, seed):
    frozen, _, _ = scene
    measured, true = both(scene)
    for kind in ("needle", "differs", "changed"):
        asked = ask(measured, kind, np.random.default_rng(seed))
        assert asked == ask(true, kind, np.random.default_rng(seed))
        (fact,) = fitting_facts(asked.question.text, frozen.measured, "fit")
        told = fact.rstrip(".").split(": ")[1].split("; ")
        key = asked.key.split("; ")
        if kind == "needle":
            assert [part.split()[0] for part in key] == told
        elif kind == "differs":
            assert key == [part for part in told if "only" in part] or key == ["none"]
        else:
            assert key == told


def test_the_key_of_a_view_holds_the_numbers_drawn_in_it(scene):
    frozen, _, _ = scene
    measured, _ = both(scene)
    for seed in range(6):
        asked = ask(measured, "needle", np.random.default_rng(seed))
        name = fitting_facts(asked.question.text, frozen.measured, "fit")[0]
        index = int(name.split(":")[0].split()[-1]) - 1
        drawn = sorted(disc.number for disc in frozen.discs[index])
        assert [int(part.split()[0]) for part in asked.key.split("; ")] == drawn


def test_a_number_that_stands_on_something_else_is_not_in_that_view(scene):
    frozen, world, objects = scene
    mark = frozen.marks.marks[0]
    moved = dataclasses.replace(mark.observations[0], u=0.0, v=0.0)
    wrong = dataclasses.replace(mark, observations=(moved, *mark.observations[1:]))
    marks = dataclasses.replace(frozen.marks, marks=(wrong, *frozen.marks.marks[1:]))
    assert frozen.views.frames[moved.view].labels[0, 0] != objects[mark.number]
    true = true_scene(marks, objects, world.truth, frozen.views)
    assert moved.view not in true.seen_in[mark.number]


def test_without_a_known_change_nothing_is_asked_about_it(scene):
    measured, _ = both(scene)
    rng = np.random.default_rng(0)
    assert ask(dataclasses.replace(measured, changes=None), "changed", rng) is None
    asked = ask(dataclasses.replace(measured, changes=Changes()), "changed", rng)
    assert (asked.key, asked.answer) == ("none", "None.")


@pytest.mark.parametrize(
    ("kind", "key", "good", "bad"),
    [
        (
            "needle",
            "2 red box; 5 blue ball",
            ["5 ball; 5 blue; 2 box; 2 red", "Mark 2 is a red box. Mark 5 is a blue ball."],
            ["Mark 2 red; 2 box.", "Mark 2 red; 2 ball; mark 5 blue; 5 ball.", "None."],
        ),
        (
            "differs",
            "3 only in view 2; 6 only in hand 5",
            [
                "Mark 6 only in hand 5; mark 3 only in view 2.",
                "6 is only in hand 5; 3 only in view 2",
            ],
            ["Mark 3 only in view 2.", "Mark 3 only in hand 5; mark 6 only in view 2.", "None."],
        ),
        (
            "changed",
            "3 gone; 6 new",
            ["Mark 6 new; mark 3 gone.", "Mark 3 is gone, mark 6 is new."],
            ["Mark 3 new; mark 6 gone.", "Mark 3 gone.", "None.", "Mark 3 gone; mark 3 new."],
        ),
    ],
)
def test_the_order_of_marks_does_not_matter_and_everything_else_does(kind, key, good, bad):
    asked = SceneQuestion(kind, Question("?"), "", "", key, 9)
    assert all(right(asked, text) for text in good), [said(kind, text) for text in good]
    assert not any(right(asked, text) for text in bad)
    assert right(dataclasses.replace(asked, key="none"), "None.")
    assert not right(dataclasses.replace(asked, key="none"), good[0])
