"""The reference's sizes as integers: known examples, the settings' oddities, and laws."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oryx_scene.errors import BudgetError
from oryx_scene.model.api import Stride
from oryx_scene.model.sizes import (
    ResizeSettings,
    enlarged_size,
    image_sizes,
    image_tokens,
    patch_grid,
    pooled_grid,
    video_size,
    video_tokens,
)

EVALUATION = ResizeSettings()
SIDES = st.integers(1, 3000)


@pytest.mark.parametrize(
    ("raw", "high", "low"),
    [
        ((480, 640), (480, 640), (320, 416)),
        ((1080, 1920), (1056, 1920), (256, 512)),
        ((75, 101), (64, 96), (288, 448)),
    ],
)
def test_images_of_known_size(raw, high, low):
    assert image_sizes(*raw, EVALUATION) == (high, low)


@pytest.mark.parametrize(
    ("raw", "video", "video_long"),
    [
        ((360, 640), (320, 640), (256, 640)),
        ((720, 1280), (320, 640), (256, 640)),
        ((1080, 1920), (320, 640), (256, 640)),
        ((240, 320), (192, 320), (128, 256)),
        ((480, 480), (448, 448), (384, 384)),
    ],
)
def test_video_frames_of_known_size(raw, video, video_long):
    assert video_size(*raw, Stride.VIDEO, EVALUATION) == video
    assert video_size(*raw, Stride.VIDEO_LONG, EVALUATION) == video_long


def test_token_counts_of_known_slots():
    assert image_tokens((64, 96), (288, 448)) == 553
    assert video_tokens(4, 192, 320, Stride.VIDEO) == 270
    assert video_tokens(6, 128, 256, Stride.VIDEO_LONG) == 68


def test_sizes_of_which_nothing_is_left():
    with pytest.raises(BudgetError, match="no side left"):
        image_sizes(32, 4700, EVALUATION)
    with pytest.raises(BudgetError, match="no side left"):
        video_size(60, 1000, Stride.VIDEO_LONG, EVALUATION)
    with pytest.raises(BudgetError, match="empty"):
        image_sizes(0, 100, EVALUATION)
    with pytest.raises(BudgetError, match="multiple of 16"):
        patch_grid(100, 64)
    with pytest.raises(BudgetError, match="does not divide by 64"):
        pooled_grid(64, 96, Stride.VIDEO_LONG)
    with pytest.raises(BudgetError, match="at least one frame"):
        video_tokens(0, 64, 64, Stride.VIDEO)


def test_a_short_side_is_enlarged_first():
    assert enlarged_size(31, 200) == (64, 412)
    assert enlarged_size(32, 200) == (32, 200)
    # The smaller of two short sides decides.
    assert enlarged_size(20, 10) == (128, 64)


def test_settings_as_the_reference_reads_them():
    env = {
        "LOWRES_RESIZE": "128x16",
        "HIGHRES_BASE": "256x32",
        "VIDEO_RESIZE": "200x32",
        "MAXRES": "900",
        "MINRES": "100",
        "VIDEO_MAXRES": "300",
        "VIDEO_MINRES": "50",
    }
    found = ResizeSettings.from_env(env)
    assert found == ResizeSettings(128, 16, 256, 32, 200, 32, 900, 100, 300, 50)
    # Presence decides, not the value.
    assert ResizeSettings.from_env({**env, "PAD2STRIDE": "0"}).pad
    # A bound that is absent is not the one of the evaluation scripts.
    without = {key: env[key] for key in env if key not in ("VIDEO_MAXRES", "VIDEO_MINRES")}
    assert ResizeSettings.from_env(without).video_max_side == 1536
    assert ResizeSettings.from_env(without).min_side == 0
    for key, value in (("MAXRES", "big"), ("LOWRES_RESIZE", "384")):
        with pytest.raises(BudgetError, match=key):
            ResizeSettings.from_env({**env, key: value})


@given(SIDES, SIDES)
def test_image_sizes_are_multiples_within_the_bounds_or_refused(height, width):
    try:
        high, low = image_sizes(height, width, EVALUATION)
    except BudgetError:
        assert max(height, width) / min(height, width) > 4
        return
    for rows, columns in (high, low):
        assert rows % 32 == columns % 32 == 0
    # Flooring only shrinks: the area bound holds however the sides are rounded.
    assert high[0] * high[1] <= 1536**2
    assert low[0] * low[1] <= 384**2
    # Aspect ratios survive up to one multiple per side; turning the picture turns the sizes.
    assert image_sizes(width, height, EVALUATION) == (high[::-1], low[::-1])


@given(SIDES, SIDES, st.sampled_from([Stride.VIDEO, Stride.VIDEO_LONG]))
def test_video_sizes_can_be_pooled_or_are_refused(height, width, stride):
    multiple = 64 * (2 if stride is Stride.VIDEO_LONG else 1)
    try:
        rows, columns = video_size(height, width, stride, EVALUATION)
    except BudgetError:
        # At no less than 288 x 288 pixels in all, a side below the multiple makes a long strip.
        assert max(height, width) / min(height, width) > (288 / multiple) ** 2 - 1e-6
        return
    assert rows % multiple == columns % multiple == 0
    assert rows * columns <= 480**2
    grid = pooled_grid(rows, columns, stride)
    assert grid == (rows // (16 * stride), columns // (16 * stride))


@given(st.integers(1, 1500), st.integers(1, 1500))
def test_padding_never_shrinks_a_picture_within_the_bounds(height, width):
    padded = ResizeSettings(pad=True)
    big = enlarged_size(height, width)
    assume(big[0] * big[1] <= 1536**2)
    try:
        high, _ = image_sizes(height, width, padded)
    except BudgetError:
        # The coarse view is floored, padding or not: a ribbon has no side left there.
        assert max(height, width) / min(height, width) > 4
        return
    assert 0 <= high[0] - big[0] < 32
    assert 0 <= high[1] - big[1] < 32
