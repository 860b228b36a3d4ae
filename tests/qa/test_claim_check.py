"""The answer against measurement: contradictions in many wordings are found, true words never."""

import itertools

import pytest

from oryx_scene.qa.claim_check import cross_check, stated_relations
from oryx_scene.qa.claim_parsing import claims_in
from oryx_scene.records import Predicate, Relation

P = Predicate
FRONT = "view:front"


def both(a, kind, b, other, reference, value=0.5):
    return [
        Relation(a, kind, b, reference, value, "m", 0.05),
        Relation(b, other, a, reference, value, "m", 0.05),
    ]


# Truth: 1 left of 2, 1 in front of 3, 4 stands on 2, 5 far away; 2 is nearest to 1.
MEASURED = (
    *both(1, P.LEFT_OF, 2, P.RIGHT_OF, FRONT),
    *both(1, P.IN_FRONT_OF, 3, P.BEHIND, FRONT),
    *both(4, P.ABOVE, 2, P.BELOW, "map"),
    Relation(4, P.ON, 2, "map"),
    Relation(1, P.DISTANCE, 2, "map", 1.2, "m", 0.05),
    Relation(1, P.DISTANCE, 5, "map", 3.0, "m", 0.05),
    Relation(1, P.NEAREST, 2, "map", 1.2, "m", 0.05),
    Relation(1, P.RANGE, None, FRONT, 2.0, "m", 0.05),
    Relation(2, P.RANGE, None, FRONT, 2.6, "m", 0.05),
    *(Relation(n, P.SIZE, None, "map", 0.4, "m", 0.03) for n in range(1, 6)),
)
TRUE = (
    "Mark 1 is left of mark 2.",
    "Mark 1 is to the left of mark 2 and in front of mark 3.",
    "Mark 1 stands on the left-hand side of mark 2",
    "mark 2 is located to the right of mark 1",
    "Mark 2 is not left of mark 1.",
    "Mark 2 isn't to the left of mark 1.",
    "It is not true that mark 2 is left of mark 1.",
    "To the left of mark 2 is mark 1.",
    "Mark 3 is 0.5 m behind mark 1.",
    "Mark 4 is on top of mark 2.",
    "Mark 4 is on mark 2, and above it.",
    "Mark 4 is above mark 2.",
    "Mark 2 is under mark 4; mark 2 is not on mark 4.",
    "Mark 1 is about 1.3 m from mark 2.",
    "The distance between mark 1 and mark 2 is 120 cm.",
    "Marks 1 and 2 are 1.1 metres apart.",
    "Mark 2 is nearest to mark 1.",
    "The nearest mark to mark 1 is mark 2.",
    "Mark 3 is not the nearest to mark 1.",
    "Mark 1 is 2.1 m away.",
    "Mark 1 is closest to the camera.",
)
# True too, or not decidable from what was measured: no sentence may come of it.
UNDECIDED = (
    "If mark 2 is left of mark 1, turn around.",
    "I cannot tell whether mark 1 is right of mark 2.",
    "Is mark 1 right of mark 2? I am not sure.",
    "Mark 1 may be right of mark 2.",
    "Seen from back, mark 1 is right of mark 2.",
    "Mark 2 is left of mark 1 when seen from the back camera.",
    "Mark 3 is left of mark 5.",
    "Mark 1 is red and mark 2 is left.",
    "There are two marks on the table.",
    "Mark 1 is left of the door, right of the window.",
    "Neither mark 2 is left of mark 1 nor mark 3 in front of it.",
    "The left mark 2 is before 1.5 m of wall.",
    "Mark 5 is 9 m from mark 3.",
    "Mark 12 is right of mark 2.",
    "Mark 1 has the number 2 right of mark 1.5",
    "",
)
FALSE = (
    ("Mark 1 is right of mark 2.", "left of"),
    ("Mark 1 is to the right of mark 2.", "left of"),
    ("mark #1 lies on the right side of mark #2", "left of"),
    ("Object 2 is clearly to the left of object 1.", "right of"),
    ("Mark 1 is not left of mark 2.", "not left of"),
    ("Mark 1 isn't left of mark 2.", "not left of"),
    ("It is not true that mark 1 is left of mark 2.", "not left of"),
    ("To the right of mark 2 is mark 1.", "left of"),
    ("Mark 1 is 0.4 m behind mark 3.", "in front of"),
    ("Mark 3 is in front of mark 1 and it is red.", "behind"),
    ("Marks 2 and 3 are in front of mark 1.", "behind"),
    ("Mark 1 is red, mark 4 is below mark 2.", "above"),
    ("Mark 2 is on mark 4.", "mark 4 on mark 2"),
    ("Mark 2 stands on top of mark 4.", "mark 4 on mark 2"),
    ("Mark 4 is not on mark 2.", "not on"),
    ("Mark 1 is on mark 5.", "3.0 m between"),
    ("Mark 2 is higher than mark 4.", "below"),
    ("Mark 1 is 3.5 m from mark 2.", "1.2 m"),
    ("The distance from mark 2 to mark 1 is about 40 cm.", "1.2 m"),
    ("Marks 1 and 2 are 5 metres apart.", "1.2 m"),
    ("Mark 3 is nearest to mark 1.", "mark 2"),
    ("The closest mark to mark 1 is mark 5.", "mark 2"),
    ("Mark 2 is not the nearest to mark 1.", "not nearest"),
    ("Mark 1 is 5 m away from the camera.", "2.0 m"),
    ("Mark 2 is nearest to the robot.", "mark 1"),
    ("From front, mark 1 is right of mark 2.", "left of"),
    ("Mark 1 is in front of mark 3 and right of mark 2.", "left of"),
)


@pytest.mark.parametrize("text", [*TRUE, *UNDECIDED])
def test_no_false_alarm(text):
    assert cross_check(text, MEASURED)[1] == ()


@pytest.mark.parametrize("text", TRUE)
def test_true_words_are_understood(text):
    assert claims_in(text)


@pytest.mark.parametrize(("text", "measured"), FALSE)
def test_a_contradiction_names_both_sides(text, measured):
    (sentence,) = cross_check(text, MEASURED)[1][:1]
    assert sentence.startswith("disagreement: the answer says mark ")
    assert measured in sentence


def test_every_mutual_contradiction_of_a_pair_is_found():
    words = {
        P.LEFT_OF: "left of", P.RIGHT_OF: "right of", P.IN_FRONT_OF: "in front of",
        P.BEHIND: "behind", P.ABOVE: "above", P.BELOW: "below",
    }  # fmt: skip
    opposites = [(P.LEFT_OF, P.RIGHT_OF), (P.IN_FRONT_OF, P.BEHIND), (P.ABOVE, P.BELOW)]
    for said, known in itertools.product(words, words):
        reference = "map" if known in (P.ABOVE, P.BELOW) else FRONT
        measured = [Relation(7, known, 8, reference, 1.0, "m", 0.1)]
        sentences = cross_check(f"Mark 7 is {words[said]} mark 8.", measured)[1]
        contradicts = (said, known) in opposites or (known, said) in opposites
        assert bool(sentences) == contradicts, (said, known)


@pytest.mark.parametrize(
    ("question", "answer", "said"),
    [
        ("Is mark 1 left of mark 2?", "No.", "not left of"),
        ("Is mark 1 to the right of mark 2 from front?", "Yes", "left of"),
        ("Seen from front, is mark 3 in front of mark 1?", "Yes.", "behind"),
        ("Is mark 2 on mark 4?", "Yes, mark 2 is on mark 4.", "mark 4 on mark 2"),
        ("Does mark 2 stand on mark 4?", "yes", "mark 4 on mark 2"),
        ("Which mark is nearest to mark 1?", "5", "mark 2"),
        ("Which mark is closest to mark 1?", "Mark 3.", "mark 2"),
        ("How far is mark 1 from mark 2?", "About 4 m.", "1.2 m"),
        ("What is the distance between mark 1 and mark 2?", "40 cm", "1.2 m"),
        ("How many marks are there?", "There are 7.", "the scene has 5"),
        ("How many marks are there?", "Seven", "the scene has 5"),
    ],
)
def test_short_answers_get_their_meaning_from_the_question(question, answer, said):
    sentences = cross_check(answer, MEASURED, question=question, marks=5)[1]
    assert len(sentences) == 1
    assert said in sentences[0]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Is mark 1 left of mark 2?", "Yes."),
        ("Is mark 1 right of mark 2?", "No, mark 1 is left of mark 2."),
        ("Seen from back, is mark 1 right of mark 2?", "Yes."),
        ("Is mark 1 not left of mark 3?", "Yes"),
        ("Which mark is nearest to mark 1?", "2"),
        ("How far is mark 1 from mark 2?", "1.0 m"),
        ("How many marks are there?", "There are 5."),
        ("How many marks are red?", "2"),
        ("How many objects are there?", "There are 9."),
        ("Is mark 1 red?", "No."),
        ("What is left of mark 2?", "Mark 1."),
    ],
)
def test_short_true_answers_raise_no_alarm(question, answer):
    assert cross_check(answer, MEASURED, question=question, marks=5)[1] == ()


def test_stated_relations_are_data():
    stated = cross_check("Mark 2 is right of marks 1 and 3, 0.5 m away.", MEASURED)[0]
    assert [(r.subject, r.predicate, r.object) for r in stated[:2]] == [
        (2, P.RIGHT_OF, 1),
        (2, P.RIGHT_OF, 3),
    ]
    assert {r.source for r in stated} == {"model"}
    assert stated[0].reference == FRONT
    assert stated_relations("Mark 1 is not left of mark 2.") == ()


# -- exact cases ----------------------------------------------------------------------------------


def told(text):
    """(subject, predicate, object, holds) of all claims, with the value of distances."""
    return [
        (c.relation.subject, c.relation.predicate, c.relation.object, c.holds)
        + ((c.relation.value,) if c.relation.unit else ())
        for c in claims_in(text)
    ]


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("Mark 1 is left of marks 2 and 3.", [(1, P.LEFT_OF, 2, True), (1, P.LEFT_OF, 3, True)]),
        ("Marks 1 and 2 are behind mark 2.", [(1, P.BEHIND, 2, True)]),  # not behind itself
        ("Mark 2 is nearest to mark 1.", [(1, P.NEAREST, 2, True)]),
        (
            "Mark 1 is not left of mark 2 but not behind mark 3.",
            [(1, P.LEFT_OF, 2, False), (1, P.BEHIND, 3, False)],
        ),
        ("Behind mark 3 is mark 1.", [(1, P.BEHIND, 3, True)]),
        ("Mark 1 is 120 cm from mark 2.", [(1, P.DISTANCE, 2, True, 1.2)]),
        ("Marks 1 and 2 are not 3 m apart.", [(1, P.DISTANCE, 2, False, 3.0)]),
        (
            "Mark 1 is 2 m away, mark 3 is 50 cm away.",
            [(1, P.RANGE, None, True, 2.0), (3, P.RANGE, None, True, 0.5)],
        ),
        ("Mark 1 is not 2 m away.", [(1, P.RANGE, None, False, 2.0)]),
        ("Mark 3 is nearest to me.", [(3, P.NEAREST, None, True)]),
        ("Closest to the camera is mark 4.", [(4, P.NEAREST, None, True)]),
        ("Marks 1 and 3 are nearest to me.", []),
        ("Mark 1 is 1 m from mark 1.", []),
        ("It is false that mark 1 is left of mark 2.", [(1, P.LEFT_OF, 2, False)]),
        ("Is mark 1 behind mark 2? Mark 1 is above mark 2.", [(1, P.ABOVE, 2, True)]),
        ("Mark 1 is left of mark 2. Mark 1 is left of mark 2.", [(1, P.LEFT_OF, 2, True)]),
    ],
)
def test_what_a_text_claims(text, claims):
    assert told(text) == claims


def test_a_claim_keeps_the_words_around_it():
    (claim,) = claims_in("Well. Mark 1 is left of mark 2 ; so what.")
    assert claim.clause == "Mark 1 is left of mark 2"
    assert (claim.relation.source, claim.relation.reference) == ("model", "")
    (first, second) = claims_in("Mark 1 is left of mark 2\nMark 3 is behind mark 4!")
    assert (first.clause, second.clause) == ("Mark 1 is left of mark 2", "Mark 3 is behind mark 4")


def distance_is_wrong(stated, measured, std, kind="from mark 2"):
    known = (
        Relation(1, P.DISTANCE, 2, "map", measured, "m", std),
        Relation(1, P.RANGE, None, FRONT, measured, "m", std),
    )
    return cross_check(f"Mark 1 is {stated} m {kind}.", known)[1]


@pytest.mark.parametrize(
    ("stated", "measured", "std", "wrong"),
    [
        ("1.29", 1.0, 0.0, False),
        ("1.31", 1.0, 0.0, True),  # 30 cm
        ("0.69", 1.0, 0.0, True),
        ("4.9", 4.0, 0.0, False),
        ("5.1", 4.0, 0.0, True),  # a quarter
        ("1.59", 1.0, 0.2, False),
        ("1.61", 1.0, 0.2, True),  # three deviations
    ],
)
def test_how_far_off_a_distance_may_be(stated, measured, std, wrong):
    for kind in ("from mark 2", "away"):
        sentences = distance_is_wrong(stated, measured, std, kind)
        assert bool(sentences) == wrong
        if wrong:
            whom = "mark 2" if kind == "from mark 2" else "the viewpoint"
            said = f"the answer says mark 1 is {float(stated):.1f} m from {whom}, measured is "
            assert sentences == (f"disagreement: {said}{measured:.1f} m (std {std:.2f} m)",)


@pytest.mark.parametrize(
    ("ranges", "std", "wrong"),
    [((2.0, 2.09), 0.0, False), ((2.0, 2.11), 0.0, True), ((2.0, 2.5), 0.2, False)],
)
def test_when_another_mark_is_nearer_to_the_camera(ranges, std, wrong):
    """By more than 10 cm and two deviations of the difference."""
    known = [
        Relation(n, P.RANGE, None, FRONT, value, "m", std) for n, value in enumerate(ranges, 1)
    ]
    sentences = cross_check("Mark 2 is nearest to me.", known)[1]
    assert bool(sentences) == wrong
    if wrong:
        assert sentences[0].endswith("(2.1 m), measured is mark 1 (2.0 m)")
    assert cross_check("Mark 1 is nearest to me.", known)[1] == ()
    assert cross_check("Mark 2 is not nearest to me.", known)[1] == ()
    assert cross_check("Mark 7 is nearest to me.", known)[1] == ()


@pytest.mark.parametrize(
    ("apart", "std", "wrong"), [(0.9, 0.0, True), (0.9, 0.032, True), (0.9, 0.034, False)]
)
def test_a_thing_cannot_stand_on_what_is_further_away_than_both_are_large(apart, std, wrong):
    sizes = [Relation(n, P.SIZE, None, "map", 0.4, "m", 0.0) for n in (1, 2)]
    far = Relation(1, P.DISTANCE, 2, "map", apart, "m", std)
    assert bool(cross_check("Mark 1 is on mark 2.", [*sizes, far])[1]) == wrong
    assert cross_check("Mark 1 is on mark 2.", [sizes[0], far])[1] == ()
    assert cross_check("Mark 1 is not on mark 2.", [*sizes, far])[1] == ()


@pytest.mark.parametrize(
    ("question", "text", "count"),
    [
        ("How many marks are there?", "There are 4.", None),
        ("How many marks are there?", "five", None),
        ("How many marks are there?", "There are exactly ten marks in total.", 10),
        ("How many numbered objects do you see?", "0", 0),
        ("How many marks are in this scene?", "There is one.", 1),
        ("How many marks are there on the table?", "There are 4.", None),
        ("How many marks are there?", "There are some.", None),
        ("How many marks are there?", "4", 4),
    ],
)
def test_counts_of_all_marks_are_checked(question, text, count):
    marks = 5 if count is not None or text == "five" else 4
    sentences = cross_check(text, (), question=question, marks=marks)[1]
    said = f"disagreement: the answer counts {count} marks, the scene has {marks}"
    assert sentences == (() if count is None else (said,))
    assert cross_check(text, (), question=question)[1] == ()


def test_stated_directions_are_those_of_the_measured_viewpoint():
    stated, _ = cross_check("Mark 1 is left of mark 2 and above mark 3.", MEASURED)
    assert [r.reference for r in stated] == [FRONT, ""]
    assert cross_check("Mark 1 is left of mark 2.", ())[0][0].reference == ""


def test_sentences_say_what_was_measured():
    def said(text):
        return cross_check(text, MEASURED)[1]

    head = "disagreement: the answer says mark"
    assert said("Mark 1 is right of mark 2.") == (
        f"{head} 1 is right of mark 2, measured is left of it ({FRONT}, 0.50 m)",
    )
    assert said("Mark 4 is not on mark 2.")[0].startswith(f"{head} 4 is not on mark 2, measured")
    assert said("Mark 3 is nearest to mark 1.") == (
        f"{head} 3 is nearest to mark 1, measured is mark 2 (1.2 m)",
    )
