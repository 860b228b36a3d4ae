"""Twenty fixed questions about a fixed recorded room, all the way from the bag to the answer."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main
from oryx_scene.lab.synth.judge import right
from oryx_scene.lab.synth.marked_scene import MarkedObject, MarkedScene
from oryx_scene.lab.synth.questions import ask
from oryx_scene.lab.synth.recording import record_room
from oryx_scene.lab.synth.scenes import SceneSpec
from oryx_scene.model.checkpoint.load import DEFAULT_FOLDER, WEIGHTS
from oryx_scene.records import ViewSet
from oryx_scene.sources.registry import open_source

ROOM = SceneSpec(9, "test", "ring", 6)
KINDS = {
    "colour": 3,
    "shape": 2,
    "what": 2,
    "which": 2,
    "exists": 2,
    "count": 1,
    "left_right": 2,
    "front_behind": 1,
    "above_below": 1,
    "nearest": 1,
    "nearer": 1,
    "distance": 1,
    "total": 1,
}
LEAST_RIGHT = 18
# A mark's measured place is that of its object's visible side.
NEAR_M = 0.25


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """(bag, world)."""
    bag = tmp_path_factory.mktemp("room") / "bag"
    return bag, record_room(ROOM, bag)


@pytest.fixture
def asked(room, capsys):
    """Questions about the marks of the bag, keys from the world."""
    bag, world = room
    assert main(["marks", str(bag), "--json"]) == 0
    views = json.loads(capsys.readouterr().out)["views"]
    places = {m["number"]: m["position"] for view in views for m in view["marks"]}
    assert len(places) == len(world.objects) == 7
    things = {}
    for number, place in places.items():
        gaps = {t.object_id: np.linalg.norm(np.subtract(t.position, place)) for t in world.objects}
        nearest = min(gaps, key=gaps.get)
        assert gaps[nearest] < NEAR_M
        true = world.truth[nearest]
        things[number] = MarkedObject(number, true.colour, true.shape, true.position, true.extent)
    source = open_source(bag)
    frames = tuple(source.load(stub) for stub in source.stubs())
    scene = MarkedScene(things, ViewSet(frames), frozenset())
    rng = np.random.default_rng(20)
    found = {}
    for kind, count in KINDS.items():
        for _ in range(40):
            one = ask(scene, kind, rng)
            if one is not None and sum(item.kind == kind for item in found.values()) < count:
                found[one.question.text] = one
    assert len(found) == 20
    return list(found.values())


def test_the_truth_answers_all_of_them_and_one_answer_does_not(asked):
    assert all(right(item, item.target) for item in asked)
    assert sum(right(item, "Mark 1 is red.") for item in asked) < 5
    assert {item.kind for item in asked} == set(KINDS)


def needs_weights():
    if not (DEFAULT_FOLDER / WEIGHTS).exists():
        pytest.skip(f"no trained weights: oryx_scene/{DEFAULT_FOLDER.name}/{WEIGHTS} is missing")


@pytest.fixture
def answers(room, asked, capsys):
    """What the default model says to them, from the command line."""
    needs_weights()
    words = [word for item in asked for word in ("-q", item.question.text)]
    assert main(["ask", str(room[0]), "--device", "cpu", "--json", *words]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["question"]["text"] for answer in found] == [w for w in words if w != "-q"]
    return found


def wrong_ones(asked, answers):
    return [
        f"{item.kind}: {item.question.text} -> {answer['text']!r}, true is {item.key!r}"
        for item, answer in zip(asked, answers, strict=True)
        if not right(item, answer["text"])
    ]


def test_the_default_model_answers_twenty_questions(asked, answers):
    wrong = wrong_ones(asked, answers)
    assert len(wrong) <= 20 - LEAST_RIGHT, "\n".join(wrong)


def test_the_default_model_answers_in_its_own_way(asked, answers):
    assert all("<think>" not in answer["text"] and answer["text"] for answer in answers)
    assert sum(bool(answer["scratchpad"]) for answer in answers) >= 10
    assert all(answer["stop_reason"] == "eos" for answer in answers)
    # A rendered room is what this model knows.
    assert all(answer["provenance"]["caution"] == "" for answer in answers)


def test_a_scored_answer_comes_after_the_working(room, asked, capsys):
    needs_weights()
    there = [item for item in asked if item.kind in ("exists", "left_right", "front_behind")]
    words = [word for item in there for word in ("-q", item.question.text)]
    command = ["ask", str(room[0]), "--device", "cpu", "--json", "--format", "yes_no", *words]
    assert main(command) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(answer["scratchpad"] and answer["confidence"] >= 0.5 for answer in answers)
    assert all(answer["verdict"] in ("yes", "no", "unsure") for answer in answers)
    assert all(sum(answer["scores"].values()) == pytest.approx(1.0) for answer in answers)


def test_the_folder_is_an_ordinary_small_checkpoint():
    needs_weights()
    assert (DEFAULT_FOLDER / WEIGHTS).stat().st_size <= 25e6
    config = json.loads((DEFAULT_FOLDER / "config.json").read_text())
    assert config["model_type"] == "oryx_qwen"
    assert config["oryx_scene"]["synthetic_only"] and config["oryx_scene"]["trained"]
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "README.md"):
        assert (DEFAULT_FOLDER / name).exists(), name
    card = (DEFAULT_FOLDER / "README.md").read_text()
    for key in ("command", "commit", "seed", "time", "machine"):
        assert config["oryx_scene"].get(key) not in (None, ""), key
        assert f"| {key} | not stated |" not in card
