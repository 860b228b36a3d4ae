"""Questions about drives have the keys that a perfect memory knows, and verdicts follow them."""

import dataclasses
import json

import pytest

from oryx_scene.cli.eval_memory import table
from oryx_scene.cli.main import main
from oryx_scene.lab.evaluation.memory import (
    DriveResult,
    Verdict,
    judge,
    missed_goals,
    report_of,
    summary,
)
from oryx_scene.lab.evaluation.memory_questions import last_sight, questions_at
from oryx_scene.memory.where import Candidate, WhereAnswer

S = 1_000_000_000
FLAT = ((0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.01))


def place(start, end, x):
    to = None if end is None else end * S
    return {"from_ns": start * S, "to_ns": to, "room": "lab", "position": [x, 0.0, 0.2]}


def thing(object_id, name, places, visible):
    colour, shape = name.split()
    return {
        "id": object_id,
        "name": name,
        "colour": colour,
        "shape": shape,
        "places": places,
        "visible": [[a * S, b * S] for a, b in visible],
    }


TRUTH = {
    "start_ns": 0,
    "end_ns": 100 * S,
    "frames": 101,
    "things": [
        thing(1, "red box", [place(0, None, 1.0)], [(5, 9), (60, 64)]),
        thing(2, "blue ball", [place(0, 30, 2.0), place(30, None, 6.0)], [(10, 12), (70, 75)]),
        thing(3, "green box", [place(0, 40, 3.0)], [(14, 16)]),
        thing(4, "white ball", [place(0, None, 4.0)], [(20, 22)]),
        thing(5, "white ball", [place(0, None, 5.0)], [(24, 26)]),
        thing(6, "black box", [place(0, None, 9.0)], [(50, 50)]),
        thing(7, "green table", [place(0, None, 11.0)], [(50, 60)]),
    ],
    "events": [
        {"stamp_ns": 30 * S, "kind": "moved", "id": 2, "first_missed_ns": 50 * S},
        {"stamp_ns": 40 * S, "kind": "taken", "id": 3, "first_missed_ns": 80 * S},
    ],
}


def kinds_at(seconds):
    found = {}
    for question in questions_at(TRUTH, seconds * S):
        found[question.text.removeprefix("where did you last see the ").rstrip("?")] = question
    return found


@pytest.mark.parametrize(
    ("seconds", "red", "blue", "green", "white"),
    [
        (6, "still", None, None, None),
        (12, "still", "still", None, None),
        (35, "still", "unnoticed", "still", "several"),
        (60, "still", "gone", "unnoticed", "several"),
        (72, "still", "moved", "unnoticed", "several"),
        (80, "still", "moved", "gone", "several"),
    ],
)
def test_kinds_follow_what_frames_have_shown_by_then(seconds, red, blue, green, white):
    found = kinds_at(seconds)
    names = ("red box", "blue ball", "green box", "white ball")
    for name, kind in zip(names, (red, blue, green, white), strict=True):
        asked = found.get(name)
        assert (asked.kind if asked and asked.kind != "never" else None) == kind
    never = [q for q in found.values() if q.kind == "never"]
    assert len(never) == 3
    shown = {t["name"] for t in TRUTH["things"] if t["visible"][0][0] <= seconds}
    assert not any(name in question.text for question in never for name in shown)


def test_keys_are_the_newest_frame_and_the_place_it_showed():
    sight = last_sight(TRUTH, TRUTH["things"][0], 62 * S)
    assert (sight.last_seen_ns, sight.position, sight.first_missed_ns) == (
        62 * S,
        (1.0, 0.0, 0.2),
        None,
    )
    blue = TRUTH["things"][1]
    assert last_sight(TRUTH, blue, 60 * S).first_missed_ns == 50 * S
    assert last_sight(TRUTH, blue, 60 * S).position[0] == 2.0
    assert last_sight(TRUTH, blue, 75 * S).position[0] == 6.0
    assert last_sight(TRUTH, TRUTH["things"][5], 90 * S) is None  # a single frame


def answer(status, x=None, seen=None, missed=None, candidates=()):
    place = None if x is None else (x, 0.0, 0.2)
    return WhereAnswer(
        "?",
        status,
        0,
        place,
        last_seen_ns=None if seen is None else round(seen * S),
        first_missed_ns=None if missed is None else round(missed * S),
        candidates=candidates,
    )


def candidate(x):
    at = (x, 0.0, 0.2)
    return Candidate(1, 1, "", 1.0, "seen", at, FLAT, (0.3, 0.3, 0.3), "map", 0, None, None)


def test_an_answer_is_held_against_place_time_and_status():
    question = kinds_at(90)["blue ball"]
    good = judge(question, answer("seen", 6.1, 74), TRUTH)
    assert good.right and good.right_instance
    assert (good.place_error_m, good.time_error_s) == (pytest.approx(0.1), 1.0)
    # Its old place, at a time at which it was there: the right thing, and still wrong.
    stale = judge(question, answer("seen", 2.0, 12), TRUTH)
    assert stale.right_instance and not stale.right
    assert (stale.place_error_m, stale.time_error_s) == (pytest.approx(4.0), 63.0)
    other = judge(question, answer("seen", 1.0, 74), TRUTH)
    assert not other.right_instance
    assert judge(question, answer("unsure"), TRUTH).right_instance is False
    gone = judge(kinds_at(90)["green box"], answer("gone", 3.2, 16, 83), TRUTH)
    assert gone.right and gone.missed_error_s == 3.0
    still = judge(kinds_at(90)["green box"], answer("seen", 3.2, 16), TRUTH)
    assert still.right_instance and not still.right


def test_several_needs_a_candidate_at_every_place():
    question = kinds_at(90)["white ball"]
    both = judge(question, answer("several", candidates=(candidate(4.2), candidate(5.1))), TRUTH)
    one = judge(question, answer("several", candidates=(candidate(4.2), candidate(9.0))), TRUTH)
    assert both.right and not one.right
    assert both.right_instance is None


def verdict(kind, said, right, **values):
    return Verdict("?", 0, kind, "", said, right, **values)


def test_the_summary_counts_what_its_names_say():
    verdicts = [
        verdict("still", "seen", True, right_instance=True, place_error_m=0.1, time_error_s=1.0),
        verdict("moved", "seen", False, right_instance=True, place_error_m=4.0, time_error_s=60.0),
        verdict("gone", "seen", False, right_instance=False),
        verdict("gone", "gone", True, right_instance=True, place_error_m=0.3, time_error_s=0.0),
        verdict("never", "never", True),
        verdict("never", "unsure", False),
    ]
    found = summary(verdicts)
    assert found["right_instance"] == 0.75
    assert found["place_error_m_median"] == pytest.approx(0.3)
    assert found["false_seen"] == 0.25  # of two gone and two never one was said to be seen
    assert found["moved_and_gone"] == pytest.approx(1 / 3)
    assert found["time_within_2_s"] == pytest.approx(2 / 3)
    assert found["kinds"]["never"] == {
        "expected": "never",
        "asked": 2,
        "right": 0.5,
        "said": {"never": 1, "unsure": 1},
    }
    report = report_of([DriveResult(7, 1800.0, 1800, 90.0, 5_000_000, tuple(verdicts))])
    assert (report["times_real_time"], report["megabytes_per_hour"]) == (20.0, 10.0)
    assert [row["seed"] for row in report["wrong"]] == [7, 7, 7]
    assert [text.split()[0] for text in missed_goals(report)] == [
        "right_instance",
        "place_error_m_median",
        "false_seen",
        "moved_and_gone",
    ]
    assert any("several" in line and "-" in line for line in table(report))
    assert (
        report_of([dataclasses.replace(DriveResult(1, 1.0, 1, 0.1, 1, ()))])["false_seen"] is None
    )


def test_the_command_makes_a_memory_and_asks_it(tmp_path, capsys):
    out = tmp_path / "report.json"
    words = ["--drives", "1", "--seconds", "40", "--moments", "1", "--first", "3", "--full"]
    code = main(["eval", "memory", *words, "--json", "--out", str(out)])
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(out.read_text())
    assert code == (1 if missed_goals(report) else 0)
    assert report["frames"] == 80 and report["kinds"]["still"]["asked"] > 0
    assert report["right_instance"] > 0.3 and report["place_error_m_median"] < 0.5
    assert main(["eval", "memory", "--drives", "0"]) == 2
