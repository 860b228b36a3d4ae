"""`oryx-scene batch` from the command line, with the tiny random model."""

from __future__ import annotations

import builtins
import json

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("pyarrow", reason="the extra 'batch' is not installed")

from oryx_scene.cli.main import main
from oryx_scene.replay.journal import read_answers


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.yaml"
    path.write_text('- What is nearest to mark 1?\n- {id: yn, text: "Is it?", format: yes_no}\n')
    return path


def words(source, questions, out, *more):
    base = [source, "--questions", questions, "--model", "random", "--max-new-tokens", "3"]
    return [*map(str, base), "--at", "0", "4", "--out", str(out), *map(str, more)]


def plain(folder):
    records = read_answers(folder)
    for record in records:
        for name in ("recording", "content_key"):
            record.pop(name, None)
        for name in ("timings_s", "counters"):
            record["answer"].pop(name)
    return records


def test_a_batch_answers_as_replay_does_and_can_be_looked_at(
    office_folder, questions, tmp_path, capsys
):
    pytest.importorskip("plotly", reason="the extra 'view' is not installed")
    out, report = tmp_path / "out", tmp_path / "report.html"
    assert main(["batch", *words(office_folder, questions, out, "--report", report)]) == 0
    said = capsys.readouterr().err
    assert "4 of 4 answers about 1 recordings, 4 of them new" in said
    assert 100_000 < report.stat().st_size < 10_000_000
    (folder,) = (out / "recordings").iterdir()
    assert main(["replay", *words(office_folder, questions, tmp_path / "r")]) == 0
    assert plain(folder) == plain(tmp_path / "r")
    # What a batch left is what a replay would go on with.
    assert main(["replay", *words(office_folder, questions, folder)]) == 0
    assert "4 answers were there already" in capsys.readouterr().err
    # Looked at as a whole.
    assert main(["view", str(out), "--png", str(tmp_path / "x.png"), "--renderer", "splat"]) == 0
    assert "office: answer 1 of 4, at 0.00 s" in capsys.readouterr().out
    # Again: nothing is asked.
    assert main(["batch", *words(office_folder, questions, out, "--json")]) == 0
    again = capsys.readouterr()
    assert again.out == ""
    assert "0 of them new" in again.err


def test_a_broken_recording_sets_the_exit_code(office_folder, questions, tmp_path, capsys):
    broken = tmp_path / "cut.mcap"
    broken.write_bytes(bytes(100))
    more = [str(broken), "--json"]
    assert main(["batch", str(office_folder), *words(*more[:1], questions, tmp_path / "o")]) == 1
    printed = capsys.readouterr()
    assert "broken recording" in printed.err
    assert "cut.mcap" in printed.err
    assert json.loads((tmp_path / "o" / "batch.json").read_text())["summary"]["answers"] == 4


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--workers", "2"], "need --ray"),
        (["--chunk", "0"], "--chunk is 0"),
        (["--ray", "auto", "--cores", "-1"], "must be above 0"),
        (["--every", "0"], "--every is 0.0"),
    ],
)
def test_bad_arguments_are_refused(office_folder, questions, tmp_path, capsys, more, said):
    base = [
        "batch",
        str(office_folder),
        "--questions",
        str(questions),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*base, *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("package", "extra"), [("ray", "ray"), ("pyarrow", "batch")])
def test_a_missing_extra_is_named(
    office_folder, questions, tmp_path, capsys, monkeypatch, package, extra
):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(f"no {name}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["batch", *words(office_folder, questions, tmp_path / "o", "--ray", "auto")]) == 2
    assert f"oryx-scene[{extra}]" in capsys.readouterr().err
