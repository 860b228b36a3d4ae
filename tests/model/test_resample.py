"""Pixels of the reference's resize; the golden cases hold the exact bytes."""

import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oryx_scene.model.api import Stride
from oryx_scene.model.oryx.resample import prepare_image, prepare_video_frame, resize
from oryx_scene.model.sizes import ResizeSettings


def picture(height, width):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def passes(rgb, *sizes):
    found = Image.fromarray(rgb)
    for height, width in sizes:
        found = found.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(found)


def test_resize_is_pils_bicubic_in_two_passes_of_fixed_order():
    """(height, width); the order decides last bits, and Pillow's own changed with version 13."""
    rgb = picture(75, 101)
    rows_first = passes(rgb, (64, 101), (64, 96))
    assert np.array_equal(resize(rgb, (64, 96)), rows_first)
    columns_first = passes(rgb, (75, 30), (40, 30))
    assert np.array_equal(resize(rgb, (40, 30)), columns_first)
    assert not np.array_equal(rows_first, passes(rgb, (75, 96), (64, 96)))


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow is older than 13")
@given(*[st.integers(8, 80)] * 4)
def test_the_order_is_that_of_pillow_13(height, width, new_height, new_width):
    rgb = picture(height, width)
    assert np.array_equal(
        resize(rgb, (new_height, new_width)), passes(rgb, (new_height, new_width))
    )


def test_the_coarse_view_is_made_from_the_fine_one():
    rgb = picture(101, 133)
    views = prepare_image(rgb, ResizeSettings())
    assert views.high.shape == (96, 128, 3)
    assert np.array_equal(views.low, resize(views.high, views.low.shape[:2]))
    assert not np.array_equal(views.low, resize(rgb, views.low.shape[:2]))


def test_padding_keeps_every_pixel_around_the_centre():
    rgb = picture(100, 130)
    padded = prepare_video_frame(rgb, Stride.VIDEO, ResizeSettings(pad=True, video_min_side=0))
    assert padded.shape == (128, 192, 3)
    assert np.array_equal(padded[14:114, 31:161], rgb)
    padded[14:114, 31:161] = 127
    assert (padded == 127).all()


def test_a_picture_that_fits_is_left_as_it_is():
    rgb = picture(128, 192)
    same = prepare_video_frame(rgb, Stride.VIDEO, ResizeSettings(video_min_side=0))
    assert np.array_equal(same, rgb)


def test_without_its_settings_the_views_are_raw_and_square():
    views = prepare_image(picture(50, 70), ResizeSettings(high_kept=True, low_square=True))
    assert (views.high.shape, views.low.shape) == ((50, 70, 3), (384, 384, 3))
