"""Names of measured colours and shapes: exact cases, and laws that hold for all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from oryx_scene.lab.synth.words import COLOURS as RENDERED
from oryx_scene.marks.colour_invariance import paint_of
from oryx_scene.memory.looks import (
    COLOURS,
    SHAPES,
    colour_called,
    colour_names,
    colour_tones,
    shape_chances,
    shape_misfits,
    shape_names,
)


def paint(*rgb):
    return paint_of(np.array([rgb], np.uint8))[0]


def surface(shape, rng, count=400, noise=0.003):
    """Points of the sides of a thing that a camera above and beside it sees, 0.4 m large."""
    u, v = rng.uniform(-1, 1, (2, count))
    if shape == "ball":
        points = rng.standard_normal((4 * count, 3))
        points = 0.2 * points / np.linalg.norm(points, axis=1, keepdims=True)
        points = points[points @ (1.0, 0.5, 0.8) > 0][:count]
    elif shape == "cylinder":
        angle = u * 1.5
        points = np.column_stack([0.2 * np.cos(angle), 0.2 * np.sin(angle), 0.2 * v])
    elif shape == "flat":
        points = np.column_stack([np.zeros(count), 0.2 * u, 0.2 * v])
    else:
        front = np.column_stack([np.full(count, 0.2), 0.2 * u, 0.2 * v])
        side = np.column_stack([0.2 * u, np.full(count, 0.2), 0.2 * v])
        top = np.column_stack([0.2 * u, 0.2 * v, np.full(count, 0.2)])
        points = np.concatenate([front, side, top])
    return points + rng.normal(0, noise, points.shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_a_measured_surface_has_the_name_of_its_shape(shape, turn):
    points = surface(shape, np.random.default_rng(3))
    c, s = np.cos(turn), np.sin(turn)
    points = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) + (3.0, -2.0, 0.4)
    names = shape_names(shape_misfits(points), 4)
    assert max(names, key=names.get) == shape


def test_too_few_points_say_nothing_of_a_shape():
    assert shape_misfits(np.zeros((5, 3))) is None


@pytest.mark.parametrize("name", [name for name in RENDERED if name not in ("white", "black")])
@pytest.mark.parametrize("light", [1.0, 0.6])
def test_a_colour_keeps_its_name_in_half_the_light(name, light):
    names = colour_names(paint(*(round(light * value) for value in RENDERED[name])))
    assert max(names, key=names.get) == name


def test_a_word_names_its_own_tone_fully_and_others_less():
    red, blue = paint(200, 40, 40), paint(50, 80, 200)
    found = colour_called(colour_tones("red"), np.stack([red, blue]))
    assert found[0] == 1.0 and found[1] < 0.01
    assert np.array_equal(colour_tones("grey"), colour_tones("gray"))
    assert colour_called(colour_tones("teal"), paint(0, 128, 128)[None])[0] == 1.0
    assert colour_tones("toolbox") is None and colour_tones("#ff0000") is None


@given(arrays.arrays(np.uint8, (3,)))
def test_probabilities_of_colours_sum_to_one(rgb):
    names = colour_names(paint(*rgb.tolist()))
    assert set(names) == set(COLOURS)
    assert np.isclose(sum(names.values()), 1.0)
    # The likeliest name is the one that the word names fully.
    best = max(names, key=names.get)
    assert colour_called(colour_tones(best), paint(*rgb.tolist())[None])[0] == 1.0


@given(
    arrays.arrays(np.float64, (3, len(SHAPES)), elements=st.floats(0, 36)),
    arrays.arrays(np.float64, (3,), elements=st.integers(1, 100)),
)
def test_probabilities_of_shapes_sum_to_one_and_follow_the_misfits(misfits, views):
    chances = shape_chances(misfits, views)
    assert np.allclose(chances.sum(axis=1), 1.0) and (chances >= 0).all()
    solid = misfits[:, :3]
    assert (np.argmax(chances[:, :3], axis=1) == np.argmin(solid, axis=1)).all() or np.isclose(
        np.sort(solid, axis=1)[:, 0], np.sort(solid, axis=1)[:, 1], atol=1e-3
    ).any()
