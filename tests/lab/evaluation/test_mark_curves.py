"""Curves over noise, views and distance: points are what they say, counts add up."""

import json

import pytest

from oryx_scene.cli.main import main
from oryx_scene.lab.evaluation import mark_curves
from oryx_scene.lab.evaluation.mark_counts import MarkCounts
from oryx_scene.lab.evaluation.mark_curves import (
    NOISE,
    MarkCurves,
    draw_curves,
    noise_point,
    views_point,
)
from oryx_scene.lab.evaluation.mark_worlds import ROUGH


def test_points_change_one_thing():
    assert noise_point("things apart", 1.0).noise == ROUGH
    double = noise_point("touching clutter", 2.0).noise
    assert (double.depth_share, double.turn_deg, double.shift_m, double.holes) == (
        0.02,
        2,
        0.04,
        0.1,
    )
    assert noise_point("things apart", 0.0).noise.depth_share == 0.0
    assert views_point("noisy frames", 8).views == (8, 8)
    assert views_point("noisy frames", 8).noise == ROUGH


def counts(right, wrong):
    made = MarkCounts(scenes=1, right=right, wrong=wrong, reached=right, missed=2)
    made.by_baseline.update({(0.75, "right"): right, (0.75, "wrong"): wrong, (4.0, "right"): 5})
    return made


def test_the_distances_sum_over_all_numbers_of_views(tmp_path):
    curves = MarkCurves(
        {("things apart", factor): counts(9, 1) for factor in NOISE},
        {("true frames", 4): counts(9, 1), ("true frames", 8): counts(19, 1)},
    )
    found = curves.as_dict()
    assert [row["factor"] for row in found["noise"]] == list(NOISE)
    assert found["noise"][0]["pair_precision"] == pytest.approx(0.9)
    near = next(row for row in found["baseline"] if row["up_to_m"] == 0.75)
    assert (near["frames"], near["pairs"]) == ("true frames", 30)
    assert near["pair_precision"] == pytest.approx(28 / 30)
    pytest.importorskip("matplotlib")
    picture = tmp_path / "curves.png"
    draw_curves(found, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_command_measures_all_points(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(mark_curves, "NOISE", (0.0, 1.0))
    monkeypatch.setattr(mark_curves, "VIEWS", (4,))
    out = tmp_path / "curves.json"
    arguments = ["eval", "curves", "--scenes", "1", "--size", "160x120", "--out", str(out)]
    assert main(arguments) == 0
    found = json.loads(out.read_text())
    assert len(found["noise"]) == 4
    assert len(found["views"]) == 2
    assert {row["scenes"] for row in found["noise"]} == {1}
    assert sum(row["pairs"] for row in found["noise"]) > 0
    assert "touching clutter" in capsys.readouterr().out
    assert main(["eval", "curves", "--scenes", "0"]) == 2
