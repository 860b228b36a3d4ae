"""What rounding and quantising change in a model's predictions of a text."""

import json
import math

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main  # noqa: E402
from oryx_scene.lab.evaluation.quantisation import (  # noqa: E402
    compare,
    log_probabilities,
    windows_of,
)
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.checkpoint.random_model import write_random_checkpoint  # noqa: E402

TEXT = "A red box stands on the table, 1.25 m left of the lamp.\n" * 6


def test_perplexity_agreement_and_divergence_by_hand():
    true = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]).log()
    own = torch.tensor([[0.2, 0.4, 0.4], [0.2, 0.6, 0.2]]).log()
    found = compare([own], [true], [[2, 0, 1]])
    assert found.perplexity == pytest.approx(math.exp(-(math.log(0.2) + math.log(0.6)) / 2))
    assert found.agreement == 0.5
    first = 0.5 * math.log(0.5 / 0.2) + 2 * 0.25 * math.log(0.25 / 0.4)
    second = 0.8 * math.log(0.8 / 0.6) + 2 * 0.1 * math.log(0.1 / 0.2)
    assert found.divergence == pytest.approx((first + second) / 2, rel=1e-5)
    assert compare([true], [true], [[2, 0, 1]]).divergence == 0.0


def test_windows_hold_all_tokens_but_a_lone_last_one():
    assert windows_of(range(7), 3) == [[0, 1, 2], [3, 4, 5]]
    assert windows_of(range(8), 3) == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_predictions_are_those_of_transformers(tmp_path):
    engine = load_answerer(str(write_random_checkpoint(tmp_path)), device="cpu")
    (window,) = windows_of(engine.tokenizer.encode_plain(TEXT[:60]), 100)
    (own,) = log_probabilities(engine, [window])
    with torch.inference_mode():
        theirs = engine.model.language(torch.tensor([window])).logits[0, :-1].log_softmax(-1)
    torch.testing.assert_close(own, theirs, atol=1e-4, rtol=0)


def test_the_task_prints_a_row_per_precision(tmp_path, capsys):
    folder = write_random_checkpoint(tmp_path / "model")
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    given = ["eval", "quantisation", str(folder), str(text), "--device", "cpu"]
    assert main([*given, "--tokens", "100", "--window", "40"]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    report = json.loads(last)
    rows = {row["weights_in"]: row for row in report["rows"]}
    assert list(rows) == ["float32", "bfloat16", "int8", "int4"]
    assert len(table) == 5
    assert report["tokens"] == 97
    assert rows["float32"]["agreement"] == 1.0
    assert rows["float32"]["divergence"] == 0.0
    # Random weights predict bytes as a die of 259 sides does, in every precision.
    assert all(rows[name]["perplexity"] == pytest.approx(259, rel=0.2) for name in rows)
    assert 0.0 < rows["bfloat16"]["divergence"] < rows["int4"]["divergence"]
    assert rows["int4"]["weight_bytes"] < rows["bfloat16"]["weight_bytes"]


def test_a_text_that_is_none_is_refused(tmp_path, capsys):
    folder = write_random_checkpoint(tmp_path / "model")
    for content, problem in ((b"\xff\xfe", "cannot be read as text"), (b"a", "fewer than two")):
        (tmp_path / "text.txt").write_bytes(content)
        assert main(["eval", "quantisation", str(folder), str(tmp_path / "text.txt")]) == 2
        assert problem in capsys.readouterr().err
