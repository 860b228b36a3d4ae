"""The bench command runs every part at tiny size, and its arithmetic is right."""

import json
import math
import time

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main  # noqa: E402
from oryx_scene.lab.bench.language import kv_bytes, prefill_flops, weight_bytes  # noqa: E402
from oryx_scene.lab.bench.models import random_model  # noqa: E402
from oryx_scene.lab.bench.report import Row, table  # noqa: E402
from oryx_scene.lab.bench.timing import Times, cpu_time, measure, timed  # noqa: E402
from oryx_scene.lab.bench.vit import tower_flops  # noqa: E402
from oryx_scene.model.oryx.vision import VisionConfig  # noqa: E402

CPU = torch.device("cpu")


@pytest.mark.parametrize("part", ["vit", "resize", "prefill", "decode", "scene", "frames"])
def test_every_part_prints_a_table_and_one_json_line(capsys, part):
    assert main(["bench", part, "--device", "cpu", "--rounds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert found["bench"] == part
    assert len(lines) == len(found["rows"]) + 4
    compared = [row for row in found["rows"] if "ratio" in row]
    # Frames compare their memory on CUDA only.
    assert compared or part == "frames"
    assert all(row["ratio"] > 0 and row["against"] for row in compared)


def test_time_of_a_thread_does_not_count_waiting():
    with cpu_time():
        found = measure({"sleep": lambda: time.sleep(0.05)}, 1, CPU)
    assert found["sleep"].median < 0.04 < timed(lambda: time.sleep(0.05), CPU)


def test_bad_numbers_are_one_line(capsys):
    assert main(["bench", "vit", "--cpu-time"]) == 2
    assert "--threads 1" in capsys.readouterr().err
    assert main(["bench", "vit", "--rounds", "0"]) == 2
    assert "--rounds" in capsys.readouterr().err
    assert main(["bench", "vit", "--device", "cuda:99"]) == 2


def test_percentiles_and_the_warm_up_call():
    times = Times(9.0, (1.0, 2.0, 3.0, 4.0, 5.0))
    assert (times.median, times.quantile(0.1), times.quantile(0.9)) == (3.0, 1.4, 4.6)
    calls = []
    found = measure({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, CPU)
    assert calls == ["a", "b"] * 3
    assert [len(found[name].seconds) for name in ("a", "b")] == [2, 2]


def test_goals_are_judged_by_the_ratio():
    assert Row("x", 5.0, "ms", 0.2, "y", "<= 0.25").met
    assert not Row("x", 5.0, "ms", 0.2, "y", ">= 0.25").met
    assert Row("x", 0.0, "encodes", goal="<= 0").met
    assert Row("x", 5.0, "ms").met is None
    assert math.isnan(Row("x", 5.0, "ms").ratio)
    assert "MISSED" in table([Row("x", 5.0, "ms", 0.2, "y", ">= 0.25")])


def test_bytes_and_operations_are_those_of_the_sizes():
    language = random_model("tiny", CPU, torch.float32).language
    hidden, inner, vocabulary = 64, 128, 259
    body = 2 * (2 * hidden * hidden + 2 * hidden * 32 + 3 * hidden * inner)
    biases = 2 * (hidden + 2 * 32)
    assert weight_bytes(language) == 4 * (body + biases + hidden * vocabulary)
    attention = 2 * 10 * 10 * 64 * 2
    assert prefill_flops(language, 10) == 2 * body * 10 + 2 * hidden * vocabulary + attention
    assert kv_bytes(language, 10, 2) == 2 * 2 * 2 * 16 * 10 * 2


def test_operations_of_the_published_tower():
    """0.51 TFLOP at 384x384, of which attention takes 8 % (arithmetic from public sizes)."""
    flops = tower_flops(VisionConfig(), [576])
    assert flops == pytest.approx(0.51e12, rel=0.02)
