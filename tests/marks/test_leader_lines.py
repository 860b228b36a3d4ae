"""Where a number stands beside its thing, and where on it: exact places on small pictures."""

import numpy as np
import pytest

from oryx_scene.marks.drawing import disc_radius, snapped
from oryx_scene.marks.label_placement import Cutout, Taken, centre_of, find_spot, hidden_shares
from oryx_scene.marks.leader_lines import _leader_is_clear, _share_on, find_beside, occupancy
from oryx_scene.marks.named_objects import UNNAMED, number_place, place_in
from oryx_scene.records import Lattice

SIZE = (96, 128)
NOTHING = np.zeros((25, 33), bool)
# Two by two cells of 2 px: pixels 60..63 across, 40..43 down.
DOT = Cutout(np.ones((2, 2), bool), 60, 40, 2)
MIDDLE = (61.0, 41.0)


def beside(radius=8.0, taken=(), things=NOTHING, lattice=None, seen=DOT, centre=MIDDLE):
    return find_beside(seen, centre, SIZE, radius, taken, things, lattice)


def test_a_cutout_knows_its_box_and_area():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    seen = Cutout(mask, 10, 20, 3)
    assert seen.area_px == 6 * 9
    assert seen.bbox == (16.0, 23.0, 24.0, 28.0)


def test_the_disc_stands_as_near_as_its_rim_allows():
    u, v = beside()
    away = min(np.hypot(u - x, v - y) for x in (60, 62) for y in (40, 42))
    # One pixel between the rim and the thing, whose cells reach one pixel beyond their middles.
    assert away >= 8 + 1 + 1
    # Places lie on a lattice of half a radius: no other one is nearer.
    others = [(x, y) for x in range(8, 120, 4) for y in range(8, 88, 4)]
    gaps = [min(np.hypot(x - a, y - b) for a in (60, 62) for b in (40, 42)) for x, y in others]
    assert away == min(gap for gap in gaps if gap >= 10)
    # Of places that are as near the uppermost, then the leftmost.
    best = [(y, x) for (x, y), gap in zip(others, gaps, strict=True) if gap == away]
    assert (v, u) == min(best)


def test_a_disc_may_only_stand_on_the_middles_of_patches():
    # The nearest middle of a patch that clears the dot: 23 px above 40, 61.5 across.
    assert beside(lattice=Lattice(7.5, 7.5, 54.0, 10.0)) == (61.5, 27.5)
    assert beside(lattice=Lattice(7.5, 2.5, 54.0, 30.0)) == (61.5, 62.5)
    # Its rim may be three radii away and no more: 8 + 24 + 1 px from the lower cells, at 42.
    assert beside(lattice=Lattice(60.0, 75.0, 200.0, 200.0)) == (60.0, 75.0)
    assert beside(lattice=Lattice(60.0, 75.1, 200.0, 200.0)) is None


def test_no_disc_is_cut_by_the_border():
    narrow = Cutout(np.ones((2, 2), bool), 60, 6, 2)
    found = find_beside(narrow, (61.0, 7.0), (20, 128), 8.0, (), NOTHING)
    assert found is not None and 8 <= found[1] <= 11
    assert find_beside(narrow, (61.0, 7.0), (16, 128), 8.0, (), NOTHING) is None


def test_discs_and_centres_of_others_are_kept_clear():
    u, v = beside()
    other = beside(taken=[Taken(u, v, 0.0)])
    assert np.hypot(other[0] - u, other[1] - v) > 8 + 1
    wide = beside(taken=[Taken(u, v, 8.0)])
    assert np.hypot(wide[0] - u, wide[1] - v) > 8 + 8 + 1
    assert beside(taken=[Taken(*MIDDLE, 60.0)]) is None


def test_a_disc_rather_stands_on_nothing():
    above = beside()[1]
    things = NOTHING.copy()
    things[: int(above) // 4 + 4, :] = True
    assert beside(things=things)[1] > above


def test_a_leader_keeps_off_other_discs_and_centres():
    place, centre = np.array([0.0, 0.0]), np.array([10.0, 0.0])
    for other, clear in (
        (Taken(5.0, 1.9, 0.0), False),
        (Taken(5.0, 2.0, 0.0), True),  # two pixels
        (Taken(5.0, -4.9, 5.0), False),
        (Taken(5.0, -5.0, 5.0), True),
        (Taken(-2.0, 0.0, 0.0), True),  # behind the disc
        (Taken(-1.9, 0.0, 0.0), False),
        (Taken(12.0, 0.0, 0.0), True),  # beyond the thing
        (Taken(11.9, 0.0, 0.0), False),
    ):
        assert _leader_is_clear(place, centre, [other]) == clear, other
        assert _leader_is_clear(place, centre, [Taken(50, 50, 1), other]) == clear
    assert _leader_is_clear(place, place, [Taken(3.0, 0.0, 0.0)])


def test_cells_that_show_a_thing():
    found = occupancy([DOT, Cutout(np.ones((1, 1), bool), 126, 94, 2)], SIZE)
    assert found.shape == (25, 33)
    assert np.argwhere(found).tolist() == [[10, 15], [23, 31]]
    assert not occupancy([Cutout(np.ones((1, 1), bool), 400, -9, 2)], SIZE).any()


def test_the_share_of_a_disc_on_things():
    things = np.zeros((25, 33), bool)
    things[:, 16:] = True  # from u = 64 on
    places = np.array([[32.0, 48.0], [96.0, 48.0], [65.0, 48.0]])
    # Of 13 points, the middle, 4 at half of the radius and 8 near the rim, 4 lie left of 64.
    assert _share_on(places, 8.0, things).tolist() == [0.0, 1.0, 9 / 13]


def test_the_innermost_cell_is_the_centre():
    mask = np.ones((5, 9), bool)
    u, v, inside = centre_of(Cutout(mask, 10, 20, 2))
    assert (u, v, inside) == (10 + 2 * 4, 20 + 2 * 2, True)
    thin = np.ones((1, 9), bool)
    assert centre_of(Cutout(thin, 10, 20, 2)) == (18.0, 20.0, False)
    assert centre_of(Cutout(np.ones((3, 9), bool), 0, 0, 1))[2]


def test_hidden_shares_are_those_of_a_disc():
    mask = np.ones((5, 5), bool)
    found = hidden_shares(mask, 1.0)
    # A disc of radius 1 covers a cell and its four neighbours.
    assert found[2, 2] == 5 / 25
    assert found[0, 2] == 4 / 25
    assert found[0, 0] == 3 / 25
    assert hidden_shares(mask, 0.4)[2, 2] == 1 / 25
    assert hidden_shares(mask, 9.0)[0, 0] == 1.0


def test_a_spot_hides_what_it_says_and_avoids_what_is_taken():
    seen = Cutout(np.ones((20, 30), bool), 10, 10, 1)
    spot = find_spot(seen, SIZE, 4.0, [])
    # The innermost row and column; of 600 cells a disc of radius 4 hides 49.
    assert (spot.u, spot.v, spot.hidden) == (19.0, 19.0, 49 / 600)
    away = find_spot(seen, SIZE, 4.0, [Taken(spot.u, spot.v, 4.0)])
    assert np.hypot(away.u - spot.u, away.v - spot.v) > 8
    on = find_spot(seen, SIZE, 4.0, [], Lattice(17.5, 22.5, 100.0, 100.0))
    assert (on.u, on.v) == (17.0, 22.0)
    # A lattice that the object does not meet is not kept to.
    assert find_spot(seen, SIZE, 4.0, [], Lattice(80.0, 80.0, 100.0, 100.0)) == spot


def test_discs_are_as_large_as_a_token_or_a_twentieth_of_the_width():
    assert disc_radius(200, 1, 0.1) == 8.0  # a patch at least
    assert disc_radius(400, 1, 0.1) == 10.0  # 5 % of the width
    assert disc_radius(400, 2, 0.125) == 16.0  # a token of two patches
    assert disc_radius(400, 4, 0.125) == 25.0  # no wider than an eighth


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(7.5, 7.5), (5.0, 7.5), (4.9, 4.9), (10.0, 7.5), (10.1, 10.1), (-0.5, -0.5), (21.0, 23.5)],
)
def test_a_place_near_the_middle_of_a_patch_means_it(value, wanted):
    assert snapped(value) == wanted


@pytest.mark.parametrize(
    ("text", "number", "place"),
    [
        ("Is mark 3 red?", 3, 3),
        ("Is Object #3 red?", 3, 3),
        ("Are marks 3 and #4 red?", 4, 16),
        ("Are marks 3 and #4 red?", 3, 4),
        ("disc 12", 12, 0),
        ("number 12", 1, UNNAMED),
        ("mark 123", 12, UNNAMED),
        ("remark 3", 3, UNNAMED),
        ("3 chairs", 3, UNNAMED),
    ],
)
def test_where_a_question_names_a_number(text, number, place):
    assert number_place(text, number) == place


@pytest.mark.parametrize(
    ("label", "place"),
    [
        ("mug", 8),
        ("coffee mug", UNNAMED // 2 + 8),
        ("Dish", 18),
        (" dish_", 18),
        ("mu", UNNAMED),
        ("dis h", UNNAMED),
        ("the_mug", 4),
    ],
)
def test_where_a_question_names_a_label(label, place):
    assert place_in("Are the mugs near dishes?", label) == place
