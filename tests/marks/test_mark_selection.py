"""Which objects get a number and where it is drawn: laws that hold for any objects."""

import dataclasses
import hashlib
import itertools
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.marks.label_placement import (
    ALIKE,
    MAX_HIDDEN,
    Cutout,
    Taken,
    centre_of,
    find_spot,
    hidden_shares,
)
from oryx_scene.marks.mark_selection import (
    BEYOND,
    NO_PLACE,
    FoundObject,
    SeenIn,
    _along,
    choose_marks,
    disc_radii,
    rank,
    reasons_by_view,
)
from oryx_scene.marks.named_objects import UNNAMED, names_in, number_place, place_in
from oryx_scene.records import Frame

HEIGHT, WIDTH, STEP = 96, 128, 2


def frame(name="front"):
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return Frame(name, 1, f"{name}_optical", rgb, hashlib.sha256(name.encode()).hexdigest())


def block(top, left, height, width):
    """A rectangle of cells; arguments in cells."""
    return Cutout(np.ones((height, width), bool), left * STEP, top * STEP, STEP)


@st.composite
def cutouts(draw):
    """A rectangle or an ellipse, perhaps with a hole, inside the picture."""
    height, width = draw(st.integers(3, 40)), draw(st.integers(3, 50))
    top = draw(st.integers(0, HEIGHT // STEP - height))
    left = draw(st.integers(0, WIDTH // STEP - width))
    mask = np.ones((height, width), bool)
    v, u = np.mgrid[0:height, 0:width]
    if draw(st.booleans()):
        mask = ((v - height / 2 + 0.5) / height) ** 2 + ((u - width / 2 + 0.5) / width) ** 2 <= 0.25
    if draw(st.booleans()):
        mask &= (v - height // 2) ** 2 + (u - width // 2) ** 2 > (min(height, width) // 4) ** 2
    if not mask.any():
        mask[:] = True
    return Cutout(mask, left * STEP, top * STEP, STEP)


def inside(seen, spot):
    row, column = int(spot.v - seen.v0) // STEP, int(spot.u - seen.u0) // STEP
    return bool(seen.mask[row, column])


def true_share(seen, spot, radius):
    rows, columns = np.nonzero(seen.mask)
    away = np.hypot(columns * STEP + seen.u0 - spot.u, rows * STEP + seen.v0 - spot.v)
    return float((away <= radius).mean())


def free_places(seen, radius, taken=()):
    """Cells two cells inside the object where a disc is neither cut nor on another one."""
    v, u = np.mgrid[0 : seen.mask.shape[0], 0 : seen.mask.shape[1]] * STEP
    u, v = u + seen.u0, v + seen.v0
    free = (u >= radius) & (u <= WIDTH - 1 - radius) & (v >= radius) & (v <= HEIGHT - 1 - radius)
    free &= cv2.erode(np.pad(seen.mask, 2).astype(np.uint8), np.ones((5, 5)))[2:-2, 2:-2] > 0
    for other in taken:
        free &= np.hypot(u - other.u, v - other.v) > radius + other.radius
    return free


@settings(max_examples=60, deadline=None)
@given(
    cutouts(),
    st.floats(4, 16),
    st.lists(st.tuples(st.integers(0, WIDTH), st.integers(0, HEIGHT)), max_size=3),
)
def test_a_disc_lies_on_its_object_inside_the_picture_and_over_no_other(seen, radius, others):
    taken = [Taken(u, v, radius) for u, v in others]
    spot = find_spot(seen, (HEIGHT, WIDTH), radius, taken)
    if spot is None:
        assert not free_places(seen, radius, taken).any()
        return
    assert inside(seen, spot)
    assert radius <= spot.u <= WIDTH - 1 - radius
    assert radius <= spot.v <= HEIGHT - 1 - radius
    assert all(np.hypot(spot.u - o.u, spot.v - o.v) > 2 * radius for o in taken)


@settings(max_examples=60, deadline=None)
@given(cutouts(), st.floats(4, 16))
def test_a_disc_hides_a_fifth_at_most_where_any_place_allows_it(seen, radius):
    spot = find_spot(seen, (HEIGHT, WIDTH), radius, [])
    free = free_places(seen, radius)
    if spot is None:
        assert not free.any()
        return
    assert spot.hidden == pytest.approx(true_share(seen, spot, radius))
    shares = hidden_shares(seen.mask, radius / STEP)
    if free.any():
        assert spot.hidden <= max(MAX_HIDDEN, float(shares[free].min()) + ALIKE) + 1e-9


def test_a_place_is_found_where_one_is_free():
    assert find_spot(block(10, 10, 20, 20), (HEIGHT, WIDTH), 8.0, []) is not None
    at_border = find_spot(block(0, 0, 12, 12), (HEIGHT, WIDTH), 8.0, [])
    assert at_border is not None
    assert min(at_border.u, at_border.v) >= 8.0
    # Thinner than a disc and at the border: any disc would be cut.
    assert find_spot(block(0, 0, 3, 40), (HEIGHT, WIDTH), 8.0, []) is None


def test_a_large_object_is_marked_in_its_middle():
    spot = find_spot(block(8, 8, 30, 30), (HEIGHT, WIDTH), 6.0, [])
    assert (spot.u, spot.v) == pytest.approx((45, 45), abs=2 * STEP)


def thing(views, *, label="", x=0.0, number=0):
    parts = tuple(SeenIn(view, seen) for view, seen in sorted(views.items()))
    return FoundObject(parts, position=(x, 0.0, 0.0), label=label, number=number)


FRAMES = [frame("a"), frame("b"), frame("c")]
RADII = [5.0, 5.0, 5.0]


def spread(count):
    """``count`` blocks side by side; the later ones in fewer views."""
    things = []
    for i in range(count):
        views = {view: block(2 + 14 * (i // 4), 2 + 15 * (i % 4), 11, 12) for view in range(3)}
        for view in range(min(i // 2, 2)):
            del views[view]
        things.append(thing(views, x=float(i)))
    return things


def test_most_views_first_then_the_largest():
    small = thing({0: block(2, 2, 8, 8), 1: block(2, 2, 8, 8)}, x=1.0)
    large = thing({0: block(14, 2, 12, 12), 1: block(14, 2, 12, 12)}, x=2.0)
    once = thing({0: block(2, 30, 40, 30)}, x=3.0)
    marks = choose_marks([once, small, large], FRAMES, RADII, 8).marks
    assert [mark.position[0] for mark in marks] == [2.0, 1.0, 3.0]
    assert [mark.number for mark in marks] == [1, 2, 3]


def test_an_object_named_in_the_question_comes_before_larger_ones():
    things = spread(6)
    things[5] = dataclasses.replace(things[5], label="coffee_mug")
    things[4] = dataclasses.replace(things[4], label="box")
    few = choose_marks(things, FRAMES, RADII, 2, question="Is the coffee mug near two boxes?")
    assert [mark.label for mark in few.marks] == ["coffee_mug", "box"]
    assert few.left_out[BEYOND] == 4
    assert "coffee_mug" not in {m.label for m in choose_marks(things, FRAMES, RADII, 2).marks}


def test_a_mark_that_the_question_names_by_number_is_kept():
    things = [dataclasses.replace(item, number=i + 3) for i, item in enumerate(spread(6))]
    kept = choose_marks(things, FRAMES, RADII, 2, question="How far is mark 8?")
    assert 8 in {mark.number for mark in kept.marks}


def test_numbers_stay_and_are_never_given_twice():
    things = spread(5)
    things[1] = dataclasses.replace(things[1], number=2)
    things[3] = dataclasses.replace(things[3], number=6)
    marks = choose_marks(things, FRAMES, RADII, 8, used={1, 2, 6, 4}).marks
    assert [mark.number for mark in marks] == [2, 3, 5, 6, 7]
    places = {mark.position[0]: mark.number for mark in marks}
    assert places[1.0] == 2
    assert places[3.0] == 6


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(7)), st.integers(1, 8))
def test_the_order_of_the_objects_does_not_matter(order, most):
    things = spread(7)
    shuffled = choose_marks([things[i] for i in order], FRAMES, RADII, most)
    # Depth is unknown here, and NaN equals nothing: compare what is printed.
    assert repr(shuffled) == repr(choose_marks(things, FRAMES, RADII, most))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(0, 2), cutouts(), min_size=1), max_size=8),
    st.floats(4, 14),
)
def test_all_discs_of_a_view_stay_apart(objects, radius):
    things = [thing(views, x=float(i)) for i, views in enumerate(objects)]
    choice = choose_marks(things, FRAMES, [radius] * 3, 8)
    assert len(choice.marks) + choice.left_out[NO_PLACE] == len(things)
    for view in range(3):
        spots = [o for mark in choice.marks for o in mark.observations if o.view == view]
        for a, b in itertools.combinations(spots, 2):
            assert np.hypot(*np.subtract(a.disc, b.disc)) > 2 * radius
        assert all(radius <= o.disc[0] <= WIDTH - 1 - radius for o in spots)
        shown = [(name, views[view]) for name, views in enumerate(objects) if view in views]
        by_name = {mark.position[0]: mark for mark in choice.marks}
        for name, mark in by_name.items():
            for o in (o for o in mark.observations if o.view == view):
                own = objects[int(name)][view]
                # Depth of the thing, not of what its number stands on.
                assert own.mask[int(o.v - own.v0) // STEP, int(o.u - own.u0) // STEP]
                for other, seen in shown:
                    if other != name:
                        away = np.subtract(o.disc, centre_of(seen)[:2])
                        assert np.hypot(*away) > radius
                if o.beside is not None:
                    rows, columns = np.nonzero(own.mask)
                    cells = np.column_stack([columns, rows]) * STEP + (own.u0, own.v0)
                    assert np.linalg.norm(cells - o.beside, axis=1).min() > radius


def test_a_disc_that_would_hide_its_thing_stands_beside_it():
    """A thing of 12 pixels under a disc of 16: the disc keeps off it and off the table's centre."""
    small, table = block(20, 30, 6, 6), block(26, 20, 14, 40)
    choice = choose_marks([thing({0: small}), thing({0: table}, x=1.0)], FRAMES, [8.0] * 3, 8)
    by_place = {mark.position[0]: mark.observations[0] for mark in choice.marks}
    aside, on_it = by_place[0.0], by_place[1.0]
    assert (aside.u, aside.v) == pytest.approx((65, 45), abs=STEP)
    # As near as a disc goes: its rim touches the thing, above it or at its side, not on the table.
    away = np.hypot(*np.subtract(aside.disc, (aside.u, aside.v)))
    assert 6 + 8 < away < 8 * 1.5 + 6 + 8
    assert aside.disc[1] < 26 * STEP - 8 + STEP
    assert on_it.beside is None and on_it.disc == (on_it.u, on_it.v)
    assert choice.left_out == {} and choice.by_view == {}


def test_a_disc_stands_beside_where_more_than_half_would_be_hidden():
    hidden = {}
    for side in range(4, 11):
        seen = block(20, 20, side, side)
        spot = find_spot(seen, (HEIGHT, WIDTH), 8.0, [])
        observed = choose_marks([thing({0: seen})], FRAMES, [8.0] * 3, 8).marks[0].observations[0]
        hidden[side] = spot.hidden
        assert (observed.beside is None) == (spot.hidden <= 0.5)
    # Both happen.
    assert hidden[4] == 1.0 and hidden[10] < 0.5


def test_a_number_lies_on_its_object_by_more_than_rounding():
    """Two cells high, any centre would be on the edge; three cells high, the middle row is not."""
    size = (HEIGHT, WIDTH)
    assert find_spot(block(20, 20, 2, 30), size, 4.0, []) is None
    spot = find_spot(block(20, 20, 3, 30), size, 4.0, [])
    assert spot is not None and spot.v == 21 * STEP
    assert choose_marks([thing({0: block(20, 20, 2, 30)})], FRAMES, RADII, 8).marks == ()


def test_what_is_left_out_is_counted_by_view():
    things = [*spread(3), thing({1: block(40, 2, 2, 30)}, x=9.0)]
    choice = choose_marks(things, FRAMES, RADII, 2)
    assert choice.left_out == {BEYOND: 2}
    # The third of the spread is missing where its last view is, the strip in view 1 alone.
    shown = [part.view for item in things[2:] for part in item.views]
    ranked_out = {mark.position[0] for mark in choice.marks}
    assert len(ranked_out) == 2
    assert sum(choice.by_view.values()) == len(shown)


def test_labels_in_questions():
    assert place_in("Where is the Coffee-Mug?", "coffee_mug") == 13
    assert place_in("How many boxes are there?", "box") < UNNAMED
    assert place_in("Is there a carton?", "car") == UNNAMED
    assert place_in("anything", "") == UNNAMED
    # The full name wins over a shared last word.
    text = "Is the red mug left of the blue mug?"
    assert place_in(text, "blue mug") < place_in(text, "green mug") < UNNAMED
    assert names_in("a chair and a desk", ["desk", "lamp", "chair"]) == ["desk", "chair"]
    assert number_place("How far is mark 12 from object #3?", 3) < UNNAMED
    assert number_place("How far is mark 12?", 1) == UNNAMED


def test_the_rank_is_name_then_views_then_share_then_place():
    def key(views, question="", **rest):
        return rank(dataclasses.replace(thing(views), **rest), FRAMES, question)

    seen = block(4, 6, 5, 7)
    whole = HEIGHT * WIDTH
    assert key({0: seen}) == (UNNAMED, -1, -round(35 * 4 / whole, 9), 0, 0, 0, 0, 8, 12)
    assert key({1: seen, 2: seen})[1:4] == (-2, -round(2 * 35 * 4 / whole, 9), 0)
    assert key({1: seen}, position=None)[3:7] == (0, 0, 0, 1)
    assert key({1: seen}, position=(1.23456789, 2, 3))[3:6] == (1.234568, 2, 3)
    assert key({0: seen}, "Is mark 7 a mug?", number=7)[0] == 3
    assert key({0: seen}, "Is mark 7 a mug?", label="mug")[0] == 12
    assert key({0: seen}, "Is mark 7 a mug?", label="mug", number=7)[0] == 3
    assert key({0: seen}, "Is mark 0 a mug?")[0] == UNNAMED


def test_a_mark_keeps_what_was_found_of_its_object():
    depth = np.full((11, 12), 2.0)
    depth[5, 6] = 3.5
    covariance = ((0.01, 0, 0), (0, 0.04, 0), (0, 0, 0.01))
    part = SeenIn(1, block(20, 20, 11, 12), 0.75, depth)
    found = FoundObject(
        (part,), (1, 2, 3), (0.1, 0.2, 0.3), covariance, "map", "mug", 0.8, 0
    )  # fmt: skip
    (mark,) = choose_marks([found], FRAMES, RADII, 1).marks
    assert (mark.position, mark.size, mark.covariance) == (found.position, found.size, covariance)
    assert mark.position_std == pytest.approx(0.2)
    assert (mark.label, mark.score, mark.frame_id, mark.number) == ("mug", 0.8, "map", 1)
    (seen,) = mark.observations
    assert (seen.view, seen.radius_px, seen.visible_fraction) == (1, 5.0, 0.75)
    assert (seen.area_px, seen.bbox) == (11 * 12 * 4, (40.0, 40.0, 63.0, 61.0))
    row, column = int(seen.v - 40) // STEP, int(seen.u - 40) // STEP
    assert seen.depth_m == depth[row, column]
    depth[row, column] = np.inf
    assert np.isnan(choose_marks([found], FRAMES, RADII, 1).marks[0].observations[0].depth_m)


def test_radii_are_those_given_or_a_fortieth_of_the_width():
    assert disc_radii(FRAMES, (3.0, 4.0, 5.0)) == [3.0, 4.0, 5.0]
    assert disc_radii(FRAMES, ()) == [WIDTH / 40] * 3
    assert reasons_by_view(Counter({(1, "x"): 2, (0, "x"): 1, (1, "a"): 3}), [1, 0]) == (
        {"a": 3, "x": 2},
        {"x": 1},
    )


def test_points_of_a_leader_are_at_most_4_px_apart_and_leave_out_the_disc():
    points = _along((0.0, 0.0), (12.0, 0.0))
    assert [(p.u, p.v, p.radius) for p in points] == [(4, 0, 0), (8, 0, 0), (12, 0, 0)]
    assert [p.v for p in _along((0.0, 1.0), (0.0, 2.0))] == [1.5, 2.0]
