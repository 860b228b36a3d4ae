"""Collages: patches of real pictures, truth that goes with them."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.lab.synth.scenes import SceneSpec
from oryx_scene.lab.training.collage import CELL, make_collages, windows
from oryx_scene.lab.training.dense import PATCH, SHAPE_INDEX, dense_targets
from oryx_scene.lab.training.samples import make_sample


@pytest.fixture(scope="module")
def samples():
    made = [make_sample(SceneSpec(seed, views=4)) for seed in (3, 5, 8)]
    assert all(made)
    return made


@pytest.mark.parametrize("side", [64, 96])
def test_a_window_is_a_piece_of_a_picture_that_holds_the_whole_thing(samples, side):
    for sample in samples:
        for window in windows(sample, side):
            assert window.picture.shape == (side, side, 3)
            places = [
                (view, top, left)
                for view, picture in enumerate(sample.pictures)
                for top in range(0, picture.shape[0] - side + 1, CELL)
                for left in range(0, picture.shape[1] - side + 1, CELL)
                if np.array_equal(picture[top : top + side, left : left + side], window.picture)
            ]
            assert places
            view = places[0][0]
            whole = (sample.labels[view] == window.object_id).sum()
            assert (window.labels == window.object_id).sum() == whole > 0


def test_numbers_of_a_collage_name_the_things_under_them(samples):
    made = [
        one for seed in range(6) for one in make_collages(samples, np.random.default_rng(seed), 3)
    ]
    assert made
    for collage in made:
        assert {disc.number for disc in collage.discs[0]} == set(collage.objects)
        assert set(np.unique(collage.labels)) - {0} == set(collage.truth)
        targets = dense_targets(collage)
        columns = collage.labels.shape[2] // PATCH
        for disc in collage.discs[0]:
            at = int(disc.v + 0.5) // PATCH * columns + int(disc.u + 0.5) // PATCH
            true = collage.truth[collage.objects[disc.number]]
            assert targets.digit[at] == disc.number
            assert targets.shape[at] == SHAPE_INDEX[true.shape]
