"""JSON answers fit the user's schema whatever the model would have said."""

import json
import sys

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.errors import MissingExtraError, QuestionError  # noqa: E402
from oryx_scene.model.api import Limits, Prompt  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402

SCHEMA = {
    "type": "object",
    "properties": {
        "free": {"type": "boolean"},
        "marks": {"type": "array", "items": {"type": "integer", "maximum": 9}, "maxItems": 3},
        "colour": {"enum": ["red", "green"]},
    },
    "required": ["free", "marks", "colour"],
    "additionalProperties": False,
}


def prompt(schema=""):
    return Prompt("system", ("A room.\n",), "What?", json_schema=schema)


@pytest.fixture(scope="module")
def engine():
    return load_answerer("random", device="cpu")


def test_random_weights_write_json_of_the_schema(engine):
    pytest.importorskip("llguidance", reason="the extra 'json' is not installed")
    for seed in range(3):
        limits = Limits(max_new_tokens=400, temperature=1.0, seed=seed)
        found = engine.generate(prompt(json.dumps(SCHEMA)), limits)
        assert found.stop_reason == "eos"
        value = json.loads(found.text)
        assert set(value) == {"free", "marks", "colour"}
        assert found.text.count(" ") == json.dumps(value).count(" ")
        assert isinstance(value["free"], bool)
        assert len(value["marks"]) <= 3
        assert value["colour"] in ("red", "green")
    # Without the schema the same model writes no such thing.
    free = engine.generate(prompt(), Limits(max_new_tokens=40)).text
    with pytest.raises(json.JSONDecodeError):
        json.loads(free)


@pytest.mark.parametrize("schema", ["{", '{"type": "nonsense"}', "[]"])
def test_a_schema_that_is_none_is_refused(engine, schema):
    pytest.importorskip("llguidance", reason="the extra 'json' is not installed")
    with pytest.raises(QuestionError, match="schema cannot be used"):
        engine.generate(prompt(schema), Limits(max_new_tokens=4))
    assert engine.generate(prompt(), Limits(max_new_tokens=2)).token_ids


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    engine = load_answerer("random", device="cpu")
    with pytest.raises(MissingExtraError, match="llguidance") as caught:
        engine.generate(prompt("{}"), Limits(max_new_tokens=4))
    assert "oryx-scene[json]" in caught.value.hint
