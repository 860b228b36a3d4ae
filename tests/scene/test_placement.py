import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oryx_scene.errors import BudgetError
from oryx_scene.scene.placement import MAX_STRETCH, Placement, place

SIDES = st.integers(20, 2200)
MULTIPLES = st.sampled_from([32, 64])


@given(SIDES, SIDES, MULTIPLES, st.integers(64, 1536))
def test_laws_of_every_placement(height, width, multiple, side):
    if max(height / width, width / height) > 16:
        with pytest.raises(BudgetError):
            place(height, width, multiple=multiple, max_area=side * side)
        return
    found = place(height, width, multiple=multiple, max_area=side * side)
    assert found.height % multiple == 0
    assert found.width % multiple == 0
    smallest = (found.height, found.width) == (multiple, multiple)
    assert found.height * found.width <= side * side or smallest
    assert found.content_height <= found.height
    assert found.content_width <= found.width
    if not found.padded:
        assert found.stretch <= MAX_STRETCH + 1e-9


@given(SIDES, SIDES, MULTIPLES, st.floats(0, 1), st.floats(0, 1))
def test_mapping_there_and_back(height, width, multiple, fu, fv):
    assume(max(height / width, width / height) <= 16)
    placement = place(height, width, multiple=multiple, max_area=480 * 480)
    u, v = fu * (width - 1), fv * (height - 1)
    again = placement.to_received(*placement.to_prepared(u, v))
    assert again == pytest.approx((u, v), abs=1e-6)


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1080, 1920), (480, 640), (480, 848)])
def test_camera_sizes_keep_their_aspect_ratio(height, width):
    # The reference floors 1280x720 to 640x320: a stretch of 12 %.
    found = place(height, width, multiple=32, max_area=480 * 480)
    content = (found.content_width / found.content_height) / (width / height)
    assert abs(content - 1) <= MAX_STRETCH + 1e-9
    used = found.content_height * found.content_width / (480 * 480)
    assert used > 0.6


def test_a_strip_of_4700x32_is_refused_by_name():
    with pytest.raises(BudgetError, match="4700x32"):
        place(32, 4700, multiple=32, max_area=1024 * 1024)


def test_an_empty_picture_is_refused():
    with pytest.raises(BudgetError, match="0x480"):
        place(480, 0, multiple=32, max_area=1024 * 1024)


@pytest.mark.parametrize(
    ("height", "width", "multiple", "side", "expected"),
    [
        # (height, width, content height, content width, top, left)
        (480, 640, 32, 1024, (480, 640, 480, 640, 0, 0)),  # fits as it is; never enlarged
        (480, 640, 32, 480, (416, 544, 416, 544, 0, 0)),  # stretched by 1.96 %
        (100, 100, 64, 480, (128, 128, 128, 128, 0, 0)),  # up to whole cells
        (100, 100, 64, 127, (64, 64, 64, 64, 0, 0)),
        (32, 512, 32, 1024, (32, 512, 32, 512, 0, 0)),  # 16 to 1 is allowed
        (97, 131, 32, 480, (96, 128, 96, 128, 0, 0)),
        # 64x64 would keep under half of the pixels of 100x90, padded to 128x128.
        (100, 90, 64, 480, (128, 128, 100, 90, 14, 19)),
        (20, 20, 32, 16, (32, 32, 16, 16, 8, 8)),  # at least one cell is always given
    ],
)
def test_exact_placements(height, width, multiple, side, expected):
    found = place(height, width, multiple=multiple, max_area=side * side)
    assert (
        found.height,
        found.width,
        found.content_height,
        found.content_width,
        found.top,
        found.left,
    ) == expected
    assert (found.source_height, found.source_width) == (height, width)


def test_pixels_map_by_their_middles_and_the_padding():
    placement = Placement(100, 50, 128, 64, 50, 25, 39, 19)
    assert (placement.scale_u, placement.scale_v) == (0.5, 0.5)
    # The first pixel's middle: (0 + 0.5) / 2 - 0.5, then the offset.
    assert placement.to_prepared(0, 0) == (18.75, 38.75)
    assert placement.to_prepared(10, 20) == (23.75, 48.75)
    assert placement.to_received(18.75, 38.75) == (0, 0)
    assert placement.describe() == "50x100 -> 64x128 (padded)"
    wide = Placement(100, 100, 64, 96, 64, 96)
    assert (wide.scale_u, wide.scale_v, wide.stretch) == (0.96, 0.64, pytest.approx(0.5))
    assert Placement(100, 100, 96, 64, 96, 64).stretch == pytest.approx(0.5)
    assert wide.describe() == "100x100 -> 96x64 (stretched 50.0 %)"
    assert not wide.padded
    assert Placement(1, 1, 64, 96, 64, 95).padded and Placement(1, 1, 64, 96, 63, 96).padded


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (17, 272 + 1), (272 + 1, 17)])
def test_empty_and_endless_pictures_are_refused(size):
    with pytest.raises(BudgetError, match=f"{size[1]}x{size[0]}"):
        place(*size, multiple=32, max_area=480 * 480)
    assert place(17, 272, multiple=32, max_area=480 * 480).source_width == 272
    for height, width in ((1, 9), (9, 1)):
        found = place(height, width, multiple=32, max_area=480 * 480)
        assert (found.source_height, found.source_width) == (height, width)
