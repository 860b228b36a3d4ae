import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.evaluation.scenes import Condition, evaluate, table, wilson
from oryx_scene.model.load import load_answerer
from oryx_scene.pipeline import ScenePipeline
from oryx_scene.synth.scenes import SceneSpec


def test_wilson_keeps_within_0_and_1():
    assert wilson(0, 10)[0] == pytest.approx(0.0, abs=1e-9)
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_random_model_is_asked_everything_and_knows_nothing():
    pipeline = ScenePipeline(load_answerer("random", device="cpu"))
    spec = SceneSpec(2, "test", views=2, compression="16", own_marks=True)
    conditions = [Condition(), Condition("no_pictures", pictures=False)]
    kinds = ("colour", "count", "distance", "left_right")
    scores = evaluate(pipeline, [spec], conditions, kinds)
    assert list(scores) == ["plain", "no_pictures"]
    assert all(one.asked == 1 and one.right == 0 for one in scores["plain"].values())
    assert {kind: one.keys for kind, one in scores["plain"].items()} == {
        kind: one.keys for kind, one in scores["no_pictures"].items()
    }
    lines = table(scores["plain"], {"no_pictures": scores["no_pictures"]})
    assert lines[0].endswith("| majority | no_pictures |")
    assert len(lines) == 2 + len(scores["plain"])
