import dataclasses

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
    with pytest.raises(BudgetError, match="4000 views take at least"):
        plan([VGA] * 4000)


def test_different_sizes_get_slots_of_their_own():
    found = plan([VGA, VGA, (720, 1280), VGA, VGA, VGA])
    assert found.groups == ((0, 1), (2,), (3, 4, 5))


def test_reference_resize_floors_as_the_original_does():
    found = plan([(720, 1280)] * 8, resize="reference")
    assert (found.placements[0].height, found.placements[0].width) == (320, 640)


def test_up_to_four_views_are_images_and_what_does_not_fit_is_compressed():
    assert plan([VGA] * 5).stride is Stride.VIDEO
    assert plan([VGA] * 5, image_views_max=5).stride is Stride.IMAGE
    assert plan([VGA] * 2, image_views_max=1).stride is Stride.VIDEO
    found = plan([VGA] * 4)
    assert found.reason == "4 of at most 4 views fit at 1x"
    assert plan([VGA] * 8).reason == "8 views fit at 4x"
    assert plan([VGA] * 300).reason.startswith("300 views fit only at 16x")
    assert plan([VGA], compression="16").reason == "compression 16x was asked for"
    shrunk = plan([VGA] * 4, max_visual_tokens=4000)
    assert shrunk.reason.endswith(f", pictures bounded at {shrunk.max_side} instead of 1024 px")


def test_tokens_are_counted_per_slot():
    # 480x640 at 1x is 30x40 cells, its coarse view 320x416 is 20x26.
    found = plan([VGA] * 2, compression="1")
    assert found.low_sizes == ((320, 416),) * 2
    assert found.visual_tokens == 2 * (20 * 27 + 1 + 30 * 41 + 2)
    assert found.groups == ((0,), (1,))
    # 416x544 at 4x is 13x17 tokens; two equal views share a slot.
    found = plan([VGA] * 2, compression="4")
    assert found.low_sizes == ()
    assert found.visual_tokens == 2 * (13 * 18 + 1) + 2
    mixed = plan([VGA, VGA[::-1], VGA], compression="4")
    assert mixed.groups == ((0,), (1,), (2,))
    assert mixed.visual_tokens == 2 * (13 * 18 + 3) + 17 * 14 + 3


def test_the_plan_of_an_answer():
    found = plan([VGA, VGA[::-1], VGA], compression="4")
    assert found.as_dict() == {
        "compression": 4,
        "views": 3,
        "visual_tokens": found.visual_tokens,
        "token_budget": 16384,
        "max_side_px": 480,
        "resize": "480x640 -> 416x544 (stretched 2.0 %); 640x480 -> 544x416 (stretched 2.0 %)",
        "reason": "compression 4x was asked for",
    }
    timed = dataclasses.replace(found, deadline_s=1.5, predicted_s=0.12345).as_dict()
    assert (timed["deadline_s"], timed["predicted_s"]) == (1.5, 0.123)


def test_the_context_bounds_the_budget():
    assert plan([VGA], context_length=5000).token_budget == 5000 - 1280
    assert plan([VGA], context_length=32768).token_budget == 16384
    with pytest.raises(BudgetError, match="0 are left of a budget of 16384 and a context of 1000"):
        plan([VGA], context_length=1000)
    with pytest.raises(BudgetError, match="no view"):
        plan([])


def test_pictures_shrink_in_six_steps_down_to_what_the_reference_enlarges():
    def sides(**settings):
        tried = []
        with pytest.raises(BudgetError):
            plan_budget(
                [VGA],
                BudgetConfig(**settings),
                context_length=32768,
                reserved_tokens=0,
                accept=lambda plan: tried.append((plan.stride.compression, plan.max_side)),
            )
        return tried

    assert sides(compression="1") == [(1, s) for s in (1024, 917, 811, 704, 597, 491, 384)]
    assert sides(compression="4") == [(4, s) for s in (480, 448, 416, 384, 352, 320, 288)]
    assert sides(compression="16", video_max_side=300)[::6] == [(16, 300), (16, 288)]
    # A smaller wish is kept to.
    assert sides(compression="4", video_max_side=200) == [(4, 200)]
    assert sides(compression="1", resize="reference") == [(1, 1024)]
    assert [c for c, _ in sides(resize="reference")] == [1, 4, 16]
    assert {c for c, _ in sides(image_views_max=0)} == {4, 16}


def test_reference_sizes_are_those_of_its_code():
    one = plan([(720, 1280)], resize="reference", compression="1")
    assert (one.placements[0].height, one.placements[0].width) == (704, 1280)
    strong = plan([(720, 1280)], resize="reference", compression="16")
    assert (strong.placements[0].height, strong.placements[0].width) == (256, 640)
    assert (strong.placements[0].source_height, strong.placements[0].source_width) == (720, 1280)
    # Cells of 16x pictures are 64 px, of the others 32 px.
    for compression, multiple in (("1", 32), ("4", 32), ("16", 64)):
        placed = plan([(481, 641)], compression=compression).placements[0]
        assert placed.height % multiple == placed.width % multiple == 0
    assert plan([(96, 96)], compression="4").placements[0].height == 96
    assert plan([(96, 96)], compression="16").placements[0].height == 128
