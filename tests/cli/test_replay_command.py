"""`oryx-scene replay` from the command line, with the tiny random model."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main
from oryx_scene.replay.journal import read_answers, read_manifest


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.yaml"
    path.write_text('- What is nearest to mark 1?\n- {id: yn, text: "Is it?", format: yes_no}\n')
    return path


@pytest.fixture
def replay(office_folder):
    def run(questions, *words):
        base = ["replay", str(office_folder), "--questions", str(questions), "--model", "random"]
        return main([*base, "--max-new-tokens", "3", *map(str, words)])

    return run


def test_answers_a_report_a_bag_and_going_on(questions, tmp_path, capsys, replay):
    pytest.importorskip("plotly", reason="the extra 'view' is not installed")
    out, bag, report = tmp_path / "out", tmp_path / "answers.mcap", tmp_path / "report.html"
    words = ("--at", "0", "4", "--json", "--out", out)
    assert replay(questions, *words, "--write-bag", bag, "--report", report) == 0
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["question_id"] for line in lines] == ["q1", "yn", "q1", "yn"]
    assert lines == read_answers(out)
    assert "times real time" in printed.err
    assert "4 answers in" in printed.err
    assert bag.stat().st_size > 10_000
    layout = json.loads((tmp_path / "answers.foxglove.json").read_text())
    assert "Image!camera" in layout["configById"]
    assert 100_000 < report.stat().st_size < 10_000_000
    assert read_manifest(out)["summary"]["asked"] == 4
    # The same command again: nothing is asked, the report is written anew.
    report.unlink()
    assert replay(questions, *words, "--report", report) == 0
    again = capsys.readouterr()
    assert again.out == ""
    assert "4 answers were there already" in again.err
    assert report.exists()
    # Other questions do not go into this folder.
    questions.write_text("- Something else?\n")
    assert replay(questions, *words) == 2
    assert "another replay (different: moments, questions)" in capsys.readouterr().err


def test_an_answer_is_computed_alike_whatever_was_asked_before(questions, tmp_path, replay):
    """A scene that takes over tokens of the one before has other last bits."""
    found = []
    for name, moments in (("both", ("0", "4")), ("alone", ("4",))):
        assert replay(questions, "--at", *moments, "--out", tmp_path / name) == 0
        found.append([record["answer"] for record in read_answers(tmp_path / name)])
    both, alone = found
    computed = [answer["counters"]["prefill_tokens"] for answer in both]
    assert computed[2] - computed[1] == alone[0]["counters"]["prefill_tokens"] > 0
    assert both[3]["scores"] == alone[1]["scores"]
    # Pictures that both moments show are encoded once.
    assert both[3]["counters"]["encodes"] < 2 * alone[1]["counters"]["encodes"]


def test_errors_are_printed_and_set_the_exit_code(questions, capsys, replay):
    assert replay(questions, "--every", "8") == 1
    said = capsys.readouterr()
    assert "A (random model): " in said.out
    assert "error: newest frame of camera 'camera' is 4.133 s old" in said.out
    assert "2 errors" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--every", "0"], "--every is 0.0"),
        (["--max-new-tokens", "0"], "--max-new-tokens is 0"),
        (["--at", "99"], "the recording is 14.067 s long"),
        (["--at", "soon"], "'soon' is not a time"),
    ],
)
def test_mistakes_are_said_before_a_model_is_loaded(
    questions, capsys, monkeypatch, words, said, replay
):
    monkeypatch.setattr("oryx_scene.model.checkpoint.load.load_answerer", lambda *_a, **_k: 1 / 0)
    assert replay(questions, *words) == 2
    assert said in capsys.readouterr().err


def test_an_existing_bag_is_refused_before_anything_is_asked(questions, tmp_path, capsys, replay):
    (tmp_path / "there.mcap").write_text("mine")
    assert replay(questions, "--write-bag", tmp_path / "there.mcap") == 2
    assert "it exists" in capsys.readouterr().err
