"""The questions file: every mistake is named by its place before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oryx_scene.errors import ConfigError
from oryx_scene.records import Question
from oryx_scene.replay.questions import AskedQuestion, load_questions, make_schedule


def load(tmp_path, text):
    path = tmp_path / "questions.yaml"
    path.write_text(text, encoding="utf-8")
    return load_questions(path)


def test_text_alone_and_all_fields(tmp_path):
    found = load(
        tmp_path,
        """
questions:
- What is nearest?
- id: door
  text: Is the door open?
  format: yes_no
  at: [1.5, 3]
- text: Which colour?
  choices: [red, green]
  every: 2
""",
    )
    assert [entry.name for entry in found] == ["q1", "door", "q3"]
    assert found[0].question == Question("What is nearest?")
    assert found[1].at_s == (1.5, 3.0)
    assert found[1].question.format == "yes_no"
    assert found[2].question.choices == ("red", "green")
    assert found[2].question.format == "choice"
    assert found[2].every_s == 2.0


def test_the_documented_file_can_be_read(tmp_path):
    page = Path(__file__).parent.parent.parent / "docs" / "replay.md"
    example = re.search(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)[1]
    assert [entry.name for entry in load(tmp_path, example)] == ["q1", "door", "q3", "q4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must hold a list of questions"),
        ("questions: []", "must hold a list of questions"),
        ("{a: 1, questions: [x]}", "unknown key 'a'"),
        ("[1]", r"questions\[0\] must be text or a group"),
        ("- {text: x, color: red}", r"questions\[0\]: unknown key 'color'"),
        ("- {id: 3, text: x}", r"questions\[0\].id must be text"),
        ("- {text: 3}", r"questions\[0\].text must be text"),
        ("- ''", r"questions\[0\]: "),
        ("- {text: x, format: poem}", "format is 'poem'"),
        ("- {text: x, format: choice}", "go together"),
        ("- {text: x, choices: a}", "choices must be a list"),
        ("- {text: x, at: -1}", "at must be seconds"),
        ("- {text: x, at: soon}", "at must be seconds"),
        ("- {text: x, every: 0}", "every must be a number of seconds above 0"),
        ("- {text: x, every: true}", "every must be a number of seconds above 0"),
        ("- {id: a, text: x}\n- {id: a, text: y}", "two questions have the id 'a'"),
        ("- [", "is not YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_questions(tmp_path / "none.yaml")


def ask(name="a", **times):
    return AskedQuestion(name, Question("?"), **times)


def test_own_times_come_before_the_command_s():
    own, other = ask("own", at_s=(1.0,)), ask("other")
    schedule = make_schedule([own, other], 0, 4 * 10**9, every_s=2.0)
    assert [(m.at_ns / 1e9, m.questions) for m in schedule] == [
        *((0.0, (1,)), (1.0, (0,)), (2.0, (1,)), (4.0, (1,)))
    ]
    assert [m.at_ns for m in make_schedule([other], 5, 9, at_ns=[9, 7, 7])] == [7, 9]
    assert [m.at_ns for m in make_schedule([other], 5, 9)] == [9]


@pytest.mark.parametrize("at_ns", [4, 10])
def test_a_moment_outside_the_recording_is_refused(at_ns):
    with pytest.raises(ConfigError, match="after the first frame; the recording is"):
        make_schedule([ask()], 5, 9, at_ns=[at_ns])


@given(
    periods=st.lists(st.floats(0.1, 20.0), min_size=1, max_size=4),
    length_s=st.floats(0.0, 60.0),
    first_ns=st.integers(0, 2**60),
)
def test_every_question_is_asked_at_each_of_its_moments_once(periods, length_s, first_ns):
    last_ns = first_ns + round(length_s * 1e9)
    entries = [ask(str(i), every_s=period) for i, period in enumerate(periods)]
    schedule = make_schedule(entries, first_ns, last_ns)
    moments = [moment.at_ns for moment in schedule]
    assert moments == sorted(set(moments))
    assert all(first_ns <= at <= last_ns for at in moments)
    for index, period in enumerate(periods):
        own = [moment.at_ns for moment in schedule if index in moment.questions]
        assert all(list(m.questions).count(index) <= 1 for m in schedule)
        assert len(own) == (last_ns - first_ns) // round(period * 1e9) + 1
