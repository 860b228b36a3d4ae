"""Answer formats are named once, in `qa.formats`; interfaces and pages say the same."""

import re
from pathlib import Path

import pytest

from oryx_scene.model.checkpoint.sidecar_files import FORMS
from oryx_scene.qa.answer_format import ScoredFormat
from oryx_scene.qa.answer_json import answer_to_dict
from oryx_scene.qa.formats import FORMATS
from oryx_scene.records import Question, SceneAnswer

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "answers.md"
INTERFACES = ROOT / "ros" / "oryx_scene_msgs"
FLAGS = {"choices": " (`--choices A B ...`)", "json_schema": " (`--json-schema FILE`)"}


def table():
    rows = [
        f"| `{name}`{FLAGS.get(form.needs, '')} | {form.gives} | {form.found} |"
        for name, form in FORMATS.items()
    ]
    head = ["| `--format` | what comes back | how it is found |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def test_the_page_of_answers_lists_the_formats():
    text = PAGE.read_text()
    start = text.index("| `--format` |")
    end = text.index("\n\n", start) + 1
    if text[start:end] != table():
        PAGE.write_text(text[:start] + table() + text[end:])
        raise AssertionError("docs/answers.md was old and is written anew: commit it")


@pytest.mark.parametrize("file", ["action/AskScene.action", "srv/Ask.srv"])
def test_the_interfaces_have_a_constant_for_each_format(file):
    request = (INTERFACES / file).read_text().split("---")[0]
    constants = {name: int(code) for name, code in re.findall(r"^uint8 (\w+)=(\d+)", request, re.M)}
    assert constants == {name.upper(): form.code for name, form in FORMATS.items()}


def test_the_answer_message_has_the_fields_of_all_formats():
    text = (INTERFACES / "msg" / "Answer.msg").read_text()
    names = set(re.findall(r"^\w+(?:\[\])? (\w+)(?:\s|$)", text, re.M))
    for form in FORMATS.values():
        assert set(form.empty) <= names, form.name
        assert set(form.message(SceneAnswer(Question(""), ""))) == set(form.empty)


def test_calibrations_are_for_the_scored_formats():
    scored = {name for name, form in FORMATS.items() if isinstance(form, ScoredFormat)}
    assert scored == set(FORMS)


def test_fields_of_a_format_stand_beside_the_others_in_json():
    answer = SceneAnswer(Question("How far?"), "2 m", fields={"value": 2.0, "unit": "m"})
    plain = answer_to_dict(answer)
    assert (plain["value"], plain["unit"]) == (2.0, "m")
    assert "fields" not in plain and plain["verdict"] == ""
