import pytest

from oryx_scene.config import BudgetConfig
from oryx_scene.errors import BudgetError
from oryx_scene.model.api import Stride
from oryx_scene.scene.budget import plan_budget

VGA = (480, 640)


def plan(sizes, **settings):
    context = settings.pop("context_length", 32768)
    return plan_budget(
        sizes, BudgetConfig(**settings), context_length=context, reserved_tokens=1280
    )


def test_few_views_are_shown_at_1x_more_at_4x_many_at_16x():
    assert plan([VGA] * 4).stride is Stride.IMAGE
    assert plan([VGA] * 8).stride is Stride.VIDEO
    assert plan([VGA] * 300).stride is Stride.VIDEO_LONG


@pytest.mark.parametrize("count", [1, 3, 4, 5, 17, 64, 200])
@pytest.mark.parametrize("size", [VGA, (720, 1280), (1080, 1920), (192, 256), (97, 131)])
def test_never_beyond_budget_or_context(count, size):
    found = plan([size] * count)
    assert 0 < found.visual_tokens <= 16384
    small = plan([size] * min(count, 5), context_length=4096)
    assert small.visual_tokens <= 4096 - 1280


def test_a_budget_may_be_spent_to_its_last_token():
    tokens = plan([VGA] * 8).visual_tokens
    assert plan([VGA] * 8, max_visual_tokens=tokens).visual_tokens == tokens
    assert plan([VGA] * 8, max_visual_tokens=tokens - 1).visual_tokens < tokens


def test_shrinks_pictures_before_it_compresses():
    found = plan([VGA] * 70, max_visual_tokens=12000)
    assert found.stride is Stride.VIDEO
    assert found.max_side < 480
    assert "bounded" in found.reason


def test_says_what_would_be_needed_when_nothing_fits():
    with pytest.raises(BudgetError, match="2000 views take at least"):
        plan([VGA] * 2000)


def test_different_sizes_get_slots_of_their_own():
    found = plan([VGA, VGA, (720, 1280), VGA, VGA, VGA])
    assert found.groups == ((0, 1), (2,), (3, 4, 5))


def test_reference_resize_floors_as_the_original_does():
    found = plan([(720, 1280)] * 8, resize="reference")
    assert (found.placements[0].height, found.placements[0].width) == (320, 640)
