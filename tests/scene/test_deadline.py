"""Views and compression chosen for a deadline from measured rates, honest where none fits."""

import dataclasses
import json

import numpy as np
import pytest

from oryx_scene.config import BudgetConfig, MarksConfig, PipelineConfig, ViewsConfig
from oryx_scene.errors import ConfigError
from oryx_scene.model.api import Generation, ModelCard, Rates
from oryx_scene.records import Frame
from oryx_scene.scene.deadline import counts_to_try, predicted_s
from oryx_scene.scene.freeze import freeze_scene

RATES = Rates(patches_per_s=10_000.0, prefill_per_s=2_000.0, decode_per_s=40.0)
CARD = ModelCard("m", "", "", "", context_length=32768, rates=RATES)


def freeze(deadline_s, card=CARD, views=8, **budget):
    rgb = np.zeros((480, 640, 3), np.uint8)
    frames = [Frame(f"c{i}", i, f"c{i}", rgb, str(i)) for i in range(8)]
    config = PipelineConfig(
        views=ViewsConfig(count=views),
        budget=BudgetConfig(deadline_s=deadline_s, **budget),
        marks=MarksConfig(enabled=False),
    )
    return freeze_scene(frames, 8, config, card)


def test_a_tighter_deadline_shows_less():
    scenes = [freeze(deadline) for deadline in (60.0, 2.2, 1.5, 1.0)]
    predicted = [scene.plan.predicted_s for scene in scenes]
    assert predicted == sorted(predicted, reverse=True)
    assert predicted[0] > predicted[-1]
    for scene, deadline in zip(scenes, (60.0, 2.2, 1.5, 1.0), strict=True):
        assert scene.plan.predicted_s <= deadline
        assert scene.plan.predicted_s == pytest.approx(predicted_s(scene.plan, RATES, 32))
        assert scene.plan.as_dict()["deadline_s"] == deadline
        assert f"of {deadline:g} s" in scene.plan.reason
    assert scenes[0].plan.as_dict()["views"] == 8
    assert len(scenes[-1].views.frames) < 8
    assert "of 8 views because of the deadline" in scenes[-1].plan.reason


def test_without_a_deadline_nothing_changes():
    plain = freeze(0.0)
    assert "deadline_s" not in plain.plan.as_dict()
    assert plain.plan.placements == freeze(60.0).plan.placements
    assert plain.warnings == ()


def test_an_impossible_deadline_is_said():
    scene = freeze(0.1)
    assert len(scene.views.frames) == 1
    assert scene.plan.stride.compression == 16
    assert any("cannot be kept" in text.text for text in scene.warnings)
    asked = freeze(0.1, compression="4")
    assert asked.plan.stride.compression == 4


def test_unmeasured_rates_are_said():
    scene = freeze(1.0, dataclasses.replace(CARD, rates=None))
    assert any("no rates" in text.text for text in scene.warnings)
    assert len(scene.views.frames) == 8


def test_counts_go_down_to_one():
    assert list(counts_to_try(8)) == [8, 6, 4, 3, 2, 1]
    assert list(counts_to_try(1)) == [1]
    with pytest.raises(ConfigError, match=r"budget\.deadline_s"):
        BudgetConfig(deadline_s=-1.0)


def test_rates_are_medians_of_the_rounds_after_the_first():
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    from oryx_scene.model.checkpoint.load import load_answerer
    from oryx_scene.model.engine import rates

    engine = load_answerer("random", device="cpu")
    seconds = iter([9.0, 1.0, 2.0, 4.0])

    def generate(prompt, limits):
        own = next(seconds)
        timings = {"encode": own, "prefill": own, "decode": own}
        return Generation("", (1,) * 9, "eos", 100, 0, "", timings_s=timings)

    engine.generate = generate
    patches = rates.PICTURES * rates.HEIGHT * rates.WIDTH // 16**2
    assert rates.measure_rates(engine) == Rates(patches / 2, 50.0, 4.0)


def test_rates_are_measured_once_and_kept(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    from oryx_scene.model.checkpoint.load import load_answerer
    from oryx_scene.model.engine import rates

    engine = load_answerer("random", device="cpu")
    file = tmp_path / "new" / "rates.json"
    found = rates.rates_of(engine, file)
    assert min(dataclasses.astuple(found)) > 0.0
    assert engine.counters()["scene_bytes"] == engine.counters()["feature_bytes"] == 0
    monkeypatch.setattr(rates, "measure_rates", lambda engine: pytest.fail("measured again"))
    assert rates.rates_of(engine, file) == found
    # Another precision is another key; damaged files are measured anew.
    other = Rates(1.0, 2.0, 3.0)
    monkeypatch.setattr(rates, "measure_rates", lambda engine: other)
    engine._card = dataclasses.replace(engine.card, dtype="bfloat16")
    assert rates.rates_of(engine, file) == other
    assert len(json.loads(file.read_text())) == 2
    file.write_text("{broken")
    assert rates.rates_of(engine, file) == other
    assert rates.rates_of(engine, tmp_path / "new") == other
