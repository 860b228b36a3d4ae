"""Drills, lessons without pictures, and computing in bfloat16 behind float32 weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.lab.synth.scenes import SceneSpec  # noqa: E402
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES  # noqa: E402
from oryx_scene.lab.training.drills import make_drill, one_comparison, one_search  # noqa: E402
from oryx_scene.lab.training.examples import make_lesson  # noqa: E402
from oryx_scene.lab.training.instance_heads import REACH, WINDOW, things_in  # noqa: E402
from oryx_scene.lab.training.learner import Learner, Weights  # noqa: E402
from oryx_scene.lab.training.precision import ComputeCopy  # noqa: E402
from oryx_scene.lab.training.samples import make_sample  # noqa: E402
from oryx_scene.lab.training.small_model import new_model, small_config  # noqa: E402
from oryx_scene.lab.training.vocabulary import lexicon, write_tokenizer  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("words")
    words = " left right front behind above below ahead at away red ball yes no; 1 Is there a?"
    write_tokenizer(
        path, lexicon([words, " ".join(f" {w}" for w in (*COLOURS, *SHAPES, FURNITURE))])
    )
    return HubTokenizer(path, "qwen2", None)


@pytest.fixture(scope="module")
def sample():
    made = make_sample(SceneSpec(5, views=2))
    assert made is not None
    return made


def test_every_verdict_of_a_drill_follows_from_its_two_numbers(tokenizer):
    rng = np.random.default_rng(0)
    for _ in range(200):
        facts, compared = one_comparison(rng)
        first, second, said, *asked = compared.split("; ")
        (measure, a, x), (b, y) = first.split(), second.split()
        told = dict(one.split() for one in facts.strip(" .").split("; "))
        assert (told[a], told[b]) == (x, y)
        less = float(x) < float(y)
        words = {
            "right": ("left", "right"),
            "ahead": ("front", "behind"),
            "at": ("below", "above"),
            "away": (a, b),
        }[measure]
        assert said == words[0 if less else 1]
        assert (measure == "away") == (not asked)
        for word, answer in [one.split() for one in asked]:
            assert answer == ("yes" if word == said else "no")


def test_every_verdict_of_a_search_follows_from_the_question():
    rng = np.random.default_rng(3)
    for _ in range(200):
        question, said = one_search(rng)
        asked = question.strip("?").split()
        words = [w.removesuffix("es") if w == "boxes" else w.removesuffix("s") for w in asked]
        sought = {word for word in words if word in (*COLOURS, *SHAPES)}
        things = {}
        for shown, judged in said:
            number, attribute = shown.split()
            assert judged.split()[0] == ("yes" if attribute in sought else "no")
            things.setdefault(number, []).append((attribute, judged.split()))
        total = 0
        for judged in things.values():
            attributes = {attribute for attribute, _ in judged}
            total += sought <= attributes
            assert len(attributes) == len(sought) or not attributes & sought
            if question.startswith("How many"):
                assert judged[-1][1][1] == str(total)
                assert all(len(verdict) == 1 for _, verdict in judged[:-1])


def test_a_drill_points_at_its_verdicts(tokenizer):
    drill = make_drill(tokenizer, np.random.default_rng(1), rows=12)
    following = drill.ids.flatten()[drill.where + 1]
    assert torch.equal(following, drill.wanted)
    assert len(drill.wanted) >= 8 * 3 + 4


def test_without_pictures_colours_and_shapes_are_given(tokenizer, sample):
    lesson = make_lesson(
        sample, tokenizer, {"count": 1.0, "what": 1.0}, 9, np.random.default_rng(2), pictures=False
    )
    assert lesson.pictures == ()
    for turn in lesson.turns:
        hidden = {tokenizer.decode([turn.target[i]]).strip() for i in turn.given}
        assert hidden and hidden <= {*COLOURS, *SHAPES, FURNITURE}
        asked = [t for i, t in enumerate(turn.target) if i not in turn.given]
        if turn.asked.kind == "what":  # what the answer copies from the scratchpad is learnt
            assert turn.asked.key in tokenizer.decode(asked)
        else:
            assert " yes" in tokenizer.decode(asked) or " no" in tokenizer.decode(asked)


def test_outlines_are_those_of_the_labels(sample):
    things = things_in(sample)
    rows, columns = (side // 16 for side in sample.labels.shape[1:])
    for patch, around in list(zip(things.patch.tolist(), things.around, strict=True))[::7]:
        view, place = divmod(patch, rows * columns)
        row, column = divmod(place, columns)
        mine = sample.labels[view, row * 16 + 8, column * 16 + 8]
        for index in range(0, WINDOW * WINDOW, 13):
            v = (2 * row - REACH + 1 + index // WINDOW) * 8 + 4
            u = (2 * column - REACH + 1 + index % WINDOW) * 8 + 4
            inside = 0 <= v < rows * 16 and 0 <= u < columns * 16
            same = bool(inside and sample.labels[view, v, u] == mine)
            assert bool(around[index]) == same


def test_a_step_too_small_for_bfloat16_is_not_lost():
    layer = torch.nn.Linear(4, 4, bias=False)
    torch.nn.init.ones_(layer.weight)
    copy = ComputeCopy(layer, torch.bfloat16)
    for _ in range(40):
        copy.module(torch.ones(1, 4, dtype=torch.bfloat16)).sum().backward()
        copy.collect()
        with torch.no_grad():
            layer.weight -= 1e-4 * layer.weight.grad
        layer.weight.grad = None
        copy.follow()
    assert torch.allclose(layer.weight, torch.full((4, 4), 1 - 40 * 1e-4), atol=1e-5)
    assert copy.module.weight[0, 0] < 1.0


def test_weights_at_rest_reach_the_copy_too():
    layer = torch.nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    copy = ComputeCopy(layer, torch.bfloat16)
    layer.weight.data.fill_(2.0)
    copy.follow(frozen=True)
    assert torch.equal(copy.module.weight.float(), layer.weight)


def test_a_learner_in_bfloat16_has_nearly_the_same_loss(tokenizer, sample):
    learner = Learner(new_model(small_config(len(tokenizer.hub_tokenizer)), {}, seed=1))
    lesson = make_lesson(sample, tokenizer, {"colour": 1.0}, 6, np.random.default_rng(3))
    exact = learner(lesson, Weights()).logged
    near = ComputeCopy(learner, torch.bfloat16).module(lesson, Weights()).logged
    assert near["answers"] == pytest.approx(exact["answers"], rel=0.02)
    assert near["dense"] == pytest.approx(exact["dense"], rel=0.02)
