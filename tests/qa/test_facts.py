"""Which measured facts a question gets, word by word, and what is read back from an answer."""

import json
import math

import numpy as np
import pytest

from oryx_scene.qa.answer_json import to_plain
from oryx_scene.qa.facts import (
    change_facts,
    contact_facts,
    direction_facts,
    distance_facts,
    distance_pairs,
    fitting_facts,
    height_facts,
    position_facts,
    sighting_facts,
    size_facts,
)
from oryx_scene.qa.parse import (
    lead_in,
    named_numbers,
    parse_text,
    read_choice,
    read_json,
    read_verdict,
    working_of,
)
from oryx_scene.qa.question_words import (
    asked_axes,
    name_pattern,
    named_views,
    question_kinds,
    viewpoint_of,
    without_counted_views,
    without_views,
)
from oryx_scene.records import (
    Changes,
    Frame,
    Mark,
    MarkObservation,
    MarkSet,
    Predicate,
    Relation,
    ViewSet,
)
from oryx_scene.scene.measurements import Measurements


def mark(number, place=None, size=None, views=()):
    seen = tuple(MarkObservation(i, 0, 0, 0, 1, 1, 9, (0, 0, 0, 0)) for i in views)
    return Mark(number, seen, place, size, frame_id="map")


MARKS = (mark(1, (0.0, 0, 0)), mark(2, (3.0, 0, 0)), mark(3, (0.0, 4, 0)), mark(4))
AWAY = [(1, 0, 1.0), (2, 0, 3.0), (3, 0, 2.0)]
AWAY_SORTED = [(1, 0, 1.0), (3, 0, 2.0), (2, 0, 3.0)]
SEEN = ((1, (0.0, 0, 1.0)), (2, (0.0, 0, 3.0)), (3, (0.0, 0, 2.0)))


@pytest.mark.parametrize(
    ("question", "pairs", "nearest_first"),
    [
        # Two marks: between them, in the order of naming.
        ("How far is mark 3 from mark 2?", [(3, 2, 5.0)], None),
        ("mark 2, mark 1 and mark 3", [(2, 1, 3.0), (2, 3, 5.0), (1, 3, 4.0)], None),
        # One: to all others.
        ("What is near mark 3?", [(3, 1, 4.0), (3, 2, 5.0)], None),
        ("What is near mark 2?", [(2, 1, 3.0), (2, 3, 5.0)], None),
        # None: between all where marks are compared, else from the viewpoint.
        (
            "Which marks are nearest?",
            [(1, 2, 3.0), (1, 3, 4.0), (2, 3, 5.0)],
            None,
        ),
        ("How far?", AWAY, AWAY_SORTED),
        (
            "Which is nearest to the robot?",
            AWAY,
            AWAY_SORTED,
        ),
        # One mark and the viewpoint: nothing of other marks.
        ("How far is mark 2 from the camera?", [(2, 0, 3.0)], None),
        # Two and the viewpoint: all three.
        ("Is mark 2 or mark 3 nearer to me?", [(2, 3, 5.0), (2, 0, 3.0), (3, 0, 2.0)], None),
        # A mark without a place counts as none.
        ("How far is mark 4?", AWAY, AWAY_SORTED),
    ],
)
def test_which_distances_a_question_asks_for(question, pairs, nearest_first):
    assert list(distance_pairs(question, MARKS, SEEN)) == pairs
    assert list(distance_pairs(question, MARKS, SEEN, "distance")) == (nearest_first or pairs)


def test_nearest_first_orders_the_others_of_one_mark():
    marks = (mark(1, (0.0, 0, 0)), mark(2, (3.0, 0, 0)), mark(3, (1.0, 0, 0)))
    assert distance_pairs("What is near mark 1?", marks, ()) == ((1, 2, 3.0), (1, 3, 1.0))
    assert distance_pairs("What is near mark 1?", marks, (), "distance") == (
        (1, 3, 1.0),
        (1, 2, 3.0),
    )


def test_the_words_of_each_kind_of_fact():
    placed = [mark(1, (0.04, -0.04, 1.25), (0.1, 0.25, 0.3)), mark(2)]
    assert position_facts(placed) == "Measured places in map, metres: 1 x 0.0 y 0.0 z 1.2."
    assert position_facts([Mark(1, (), (1, 2, 3))]).startswith("Measured places in the map, ")
    assert height_facts(placed) == "Measured heights, metres: 1 1.2."
    assert size_facts(placed) == "Measured sizes, metres: 1 0.1 by 0.2 by 0.3."
    assert direction_facts(SEEN, "left", ("ahead",)) == (
        "Measured from left, metres ahead: 1 1.0; 2 3.0; 3 2.0."
    )
    assert distance_facts([(1, 2, 3.04), (1, 0, 2.0), (3, 0, 0.5)], "hand") == (
        "Measured distances, metres: 1 to 2 3.0. Measured from hand, metres away: 1 2.0; 3 0.5."
    )
    assert contact_facts([(3, 1), (2, 1)]) == "Measured contacts: 3 on 1; 2 on 1."
    assert contact_facts([]) == "Measured contacts: no mark on another."
    assert change_facts(Changes((3, 1), (2,))) == "Measured changes: 1 gone; 2 new; 3 gone."
    for empty in (position_facts, height_facts, size_facts):
        assert empty([mark(2)]) == ""
    assert direction_facts([], "left") == distance_facts([]) == sighting_facts(placed, {}) == ""


def test_sightings_tell_first_what_one_view_alone_shows():
    marks = [mark(1, views=(0, 1)), mark(2, views=(1,)), mark(3, views=(2,)), mark(4, views=(0,))]
    assert sighting_facts(marks, {0: "a"}) == "Seen in a: 1; 4."
    assert sighting_facts(marks, {0: "a", 1: "b"}) == (
        "Seen in a and b: 2 only in b; 4 only in a; 1 in both."
    )
    assert sighting_facts(marks, {3: "d"}) == "Seen in d: none."


def measured(*marks, relations=(), upright=True):
    pose = np.eye(4)
    if upright:
        pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    rgb = np.zeros((1, 1, 3), np.uint8)
    frames = tuple(
        Frame(name, stamp, name, rgb, "", T_fixed_camera=pose, fixed_frame="map")
        for name, stamp in (("front", 2), ("back", 1))
    )
    return Measurements(ViewSet(frames), MarkSet(marks, relations))


def test_modes_and_kinds_of_facts():
    scene = measured(
        mark(1, (2.0, 0.5, 0.3), (0.1, 0.1, 0.1), views=(0,)),
        mark(2, (3.0, -0.5, 0.6), (0.2, 0.2, 0.2)),
        relations=(Relation(2, Predicate.ON, 1, "map"),),
    )

    def lines(question, mode="fit"):
        return fitting_facts(question, scene, mode)

    assert lines("Is mark 1 above mark 2?") == ("Measured heights, metres: 1 0.3; 2 0.6.",)
    assert lines("Is mark 1 above mark 2?", "none") == ()
    # Of one mark: compared with all; of its own place and size nothing of others.
    assert lines("What is above mark 1?") == ("Measured heights, metres: 1 0.3; 2 0.6.",)
    assert lines("Where is mark 2?") == ("Measured places in map, metres: 2 x 3.0 y -0.5 z 0.6.",)
    assert lines("How big is mark 1?") == ("Measured sizes, metres: 1 0.1 by 0.1 by 0.1.",)
    assert lines("Is mark 1 behind mark 2?") == (
        "Measured from front, metres ahead: 1 2.0; 2 3.0.",
    )
    assert lines("What is right of mark 1?") == (
        "Measured from front, metres right: 1 -0.5; 2 0.5.",
    )
    assert lines("What stands on mark 1?") == ("Measured contacts: 2 on 1.",)
    assert lines("What changed?") == () == lines("What is it?")
    assert lines("What does view back show?") == ("Seen in back: none.",)
    every = lines("Hello.", "all")
    assert [line.split(",")[0].split(":")[0] for line in every] == [
        "Measured from front",
        "Measured heights",
        "Measured contacts",
        "Measured from front",
        "Measured places in map",
        "Measured sizes",
    ]
    assert fitting_facts("Where?", measured(), "fit") == ()
    flat = measured(mark(1, (2.0, 0.5, 0.3)), upright=False)
    assert fitting_facts("What is above mark 1?", flat, "fit") == ()


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("is it left of that?", ("right",)),
        ("is it behind that?", ("ahead",)),
        ("left or behind?", ("right", "ahead")),
        ("next to it?", ("right", "ahead")),
    ],
)
def test_which_directions_are_asked_for(text, axes):
    assert asked_axes(text) == axes


@pytest.mark.parametrize(
    ("question", "index"),
    [
        ("what is here?", 2),
        ("seen from hand 1", 0),
        ("seen from hand 12", 1),  # the longest name
        ("left of it", 2),
        ("from the left camera", 3),
        ("to the left of it", 2),
        ("from HAND 1 and hand 12", 1),
    ],
)
def test_the_viewpoint_is_the_longest_name_that_is_said(question, index):
    assert viewpoint_of(question, ("hand 1", "hand 12", "front", "left"), 2) == index


def test_views_are_named_by_name_or_number_and_where():
    names = ("hand 1", "hand 12", "left")
    question = "Compare hand 12, frame 3 and the left camera."
    found = named_views(question, names)
    assert [(v.index, v.name) for v in found] == [(1, "hand 12"), (2, "view 3"), (2, "left")]
    assert [question[v.start : v.end] for v in found] == ["hand 12", "3", "left camera"]
    assert without_views(question, found) == "Compare view, frame view and the view."
    assert [v.index for v in named_views("views 1, 2 and 9", names)] == [0, 1]
    assert named_views("view 0", names) == () and named_views("from view 2", names) == ()
    text = "Is mark 3 in frame 12 or picture #4, which is view 5?"
    assert without_counted_views(text) == "Is mark 3 in view, which is view?"
    assert name_pattern("a.b") == r"(?<!\w)a\.b(?!\w)"


def test_kinds_are_in_a_fixed_order():
    kinds = question_kinds("Where and how far left above is the size, changed on top?")
    assert [kind.value for kind in kinds] == [
        "distance",
        "direction",
        "height",
        "contact",
        "size",
        "change",
        "position",
    ]
    assert [k.value for k in question_kinds("What differs between frame 1 and 2?")] == ["other"]
    assert [k.value for k in question_kinds("What is between them?")] == ["direction"]


# -- reading back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("marks 1, 2 and 12 or 3", (1, 2, 12, 3)),
        ("1 and 2", (1, 2)),
        ("1;2 & 2", (1, 2)),
        ("mark 1 m away", ()),
        ("mark 1.5", ()),
        ("mark 12 cm", ()),
        ("disc #7 and # 8", (7,)),
        ("mark 1234", ()),
        ("3 of them", ()),
        ("123", (123,)),
    ],
)
def test_which_numbers_are_marks(text, numbers):
    assert named_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes.", "yes"),
        ("  correct!", "yes"),
        ("True", "yes"),
        ("Yeah", "yes"),
        ("Not at all", "no"),
        ("none", "no"),
        ("False", "no"),
        ("incorrect", "no"),
        ("Yes, but I am not sure.", "unsure"),
        ("It is unclear.", "unsure"),
        ("Yesterday", ""),
        ("Nothing", ""),
        ("It is yes", ""),
    ],
)
def test_a_verdict_is_how_the_text_begins(text, verdict):
    assert read_verdict(text) == verdict


def test_a_choice_must_be_the_only_one():
    choices = ("red", "dark red", "a box")
    assert read_choice("It is Dark Red", choices) == 1
    assert read_choice("red", choices) == 0
    assert read_choice("dark red and a box", choices) == -1
    assert read_choice("reddish", choices) == -1
    assert read_choice("", choices) == -1


def test_what_leads_in_to_a_choice():
    assert lead_in("<think>red</think> Mark 3 is blue or red.", ("Red", "Blue")) == "Mark 3 is "
    assert lead_in("It is redder.", ("red",)) is None
    assert lead_in("Red", ("red",)) == ""
    assert working_of("a</think>\n\nYes") == ("a</think>\n\n", True)
    assert working_of(" Yes") == ("", True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('x {"a": "ü"} {"b": 2}', '{"a":"ü"}'),
        ("[broken, {1: 2} [3]", ""),
        ("see [here] then [1, 2]", "[1,2]"),
        ("none", ""),
    ],
)
def test_the_first_json_value_is_read(text, found):
    assert read_json(text) == found


@pytest.mark.parametrize(
    ("raw", "codes", "marks", "unknown"),
    [
        ("Mark 1 and mark 9 and mark 8.", ["unknown_mark"], (1,), (9, 8)),
        ("<think>mark 1", ["working_cut_off"], (), ()),
        ("<think>mark 1</think>", ["answer_empty"], (), ()),
        ("", ["answer_empty"], (), ()),
        ("Mark 2, mark 1, mark 2.", [], (2, 1), ()),
    ],
)
def test_what_every_format_reads(raw, codes, marks, unknown):
    parsed = parse_text(raw, [1, 2])
    assert [w.code for w in parsed.warnings] == codes
    assert (parsed.marks, parsed.unknown_marks) == (marks, unknown)
    if unknown:
        assert parsed.warnings[0].text.endswith("does not have: 9, 8")
    assert parsed.choice == -1 and math.isnan(parsed.confidence)


def test_plain_values_are_strict_json():
    plain = to_plain(
        {1: (Predicate.ON, [math.nan, math.inf, 1.5]), "m": mark(2, (1.0, 2.0, math.nan))}
    )
    assert plain["1"] == ["on", [None, None, 1.5]]
    assert plain["m"]["position"] == [1.0, 2.0, None] and plain["m"]["number"] == 2
    assert json.dumps(plain, allow_nan=False)
    assert to_plain(True) is True and to_plain(None) is None
