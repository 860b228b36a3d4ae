import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oryx_scene.errors import BudgetError
from oryx_scene.scene.placement import MAX_STRETCH, place

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
