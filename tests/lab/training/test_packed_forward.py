"""The packed training pass computes what the stock model and the engine compute."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.config import PipelineConfig  # noqa: E402
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config, render_spec  # noqa: E402
from oryx_scene.lab.training.examples import make_lesson, prompt_text, scene_ids  # noqa: E402
from oryx_scene.lab.training.free_running import write_answers  # noqa: E402
from oryx_scene.lab.training.learner import Learner, Weights  # noqa: E402
from oryx_scene.lab.training.packed_forward import PackedLanguage  # noqa: E402
from oryx_scene.lab.training.samples import (  # noqa: E402
    load_sample,
    make_sample,
    sample_of,
    save_sample,
)
from oryx_scene.lab.training.small_model import new_model, small_config, write_checkpoint  # noqa: E402
from oryx_scene.lab.training.vocabulary import (  # noqa: E402
    lexicon,
    number_features,
    write_tokenizer,
)
from oryx_scene.model.api import Limits, Prompt  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer, split_prompt_ids  # noqa: E402
from oryx_scene.qa.pipeline import ScenePipeline  # noqa: E402
from oryx_scene.records import Question  # noqa: E402
from oryx_scene.scene.prepare import move_to_placement  # noqa: E402

KINDS = {"colour": 1.0, "left_right": 1.0, "count": 1.0, "distance": 1.0, "which": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained small checkpoint."""
    path = tmp_path_factory.mktemp("small")
    rows = write_tokenizer(path, lexicon(["What colour is mark 3?\n Mark is red yes no ball."]))
    config = small_config(rows)
    tokenizer = HubTokenizer(path, "qwen2", None)
    numbers = number_features(tokenizer.hub_tokenizer, config["hidden_size"])
    model = new_model(config, numbers, seed=3)
    return write_checkpoint(path, model, config, path, {"trained": False})


@pytest.fixture(scope="module")
def tokenizer(folder):
    return HubTokenizer(folder, "qwen2", None)


@pytest.mark.parametrize("compression", ["1", "4", "16"])
def test_training_sees_what_the_pipeline_shows_and_answers_as_the_engine_does(
    folder, tokenizer, compression
):
    views = 1 if compression == "1" else 3
    spec = SceneSpec(7, rig="ring", views=views, compression=compression, own_marks=True)
    world, frames = render_spec(spec)
    engine = load_answerer(str(folder), device="cpu")
    pipeline = ScenePipeline(engine, pipeline_config(spec))
    scene = pipeline.freeze(frames, frames[0].stamp_ns, synthetic=True)
    sample = sample_of(scene, world, spec)
    assert np.array_equal(
        sample.pictures[0], move_to_placement(scene.views.frames[0].rgb, scene.plan.placements[0])
    )
    lesson = make_lesson(sample, tokenizer, KINDS, 4, np.random.default_rng(0))
    # As the pipeline numbers them: without the exchange of numbers.
    import dataclasses

    plain = dataclasses.replace(
        lesson,
        sample=sample,
        pictures=scene.prepared,
        scene_ids=scene_ids(sample, tokenizer),
        turns=[
            dataclasses.replace(
                turn, prompt=split_prompt_ids(tokenizer, pipeline.prompt_for(scene, q))[1]
            )
            for turn in lesson.turns
            if (q := turn.asked.question)
        ],
    )
    assert plain.scene_ids == split_prompt_ids(tokenizer, Prompt(*_prompt(pipeline, scene)))[0]
    learner = Learner(engine.model)
    packed = write_answers(learner, plain, tokenizer, most=12)
    for turn, text in zip(plain.turns, packed, strict=True):
        assert prompt_text(sample, turn.asked.question) in _question(pipeline, scene, turn)
        generation = engine.generate(
            pipeline.prompt_for(scene, turn.asked.question), Limits(max_new_tokens=12)
        )
        assert text.rstrip("\ufffd") == generation.text


def _prompt(pipeline, scene):
    prompt = pipeline.prompt_for(scene, Question("What colour is mark 1?"))
    return prompt.system, prompt.scene, prompt.question


def _question(pipeline, scene, turn):
    return pipeline.prompt_for(scene, turn.asked.question).question


def test_packed_logits_are_the_stock_models(tokenizer, folder):
    model = load_answerer(str(folder), device="cpu").model
    packed = PackedLanguage(model.language)
    ids = [torch.randint(0, 300, (n,)) for n in (17, 9, 5)]
    _, kept = packed.scene(packed.embed(ids[0]))
    padded = torch.zeros(2, 9, dtype=torch.long)
    padded[0], padded[1, :5] = ids[1], ids[2]
    hidden, _ = packed.questions(packed.embed(padded), kept, 17)
    for row in (0, 1):
        whole = torch.cat([ids[0], ids[1 + row]])
        stock = model.language(input_ids=whole[None]).logits[0, 17:]
        assert torch.allclose(packed.logits(hidden[row, : len(stock)]), stock, atol=1e-4)


def test_one_lesson_has_a_gradient_everywhere(tokenizer):
    sample = make_sample(SceneSpec(5, views=2))
    assert sample is not None
    config = small_config(len(tokenizer.hub_tokenizer))
    learner = Learner(new_model(config, {}, seed=1).requires_grad_(True))
    lesson = make_lesson(sample, tokenizer, KINDS, 6, np.random.default_rng(1))
    seen = learner(lesson, Weights())
    seen.loss.backward()
    idle = [name for name, p in learner.named_parameters() if p.grad is None]
    # Outlines are read from patches only, and there is no teacher to hint.
    assert [n for n in idle if not n.startswith(("token_heads.outline", "hint_heads"))] == []
    assert seen.logged["answers"] > 1.0


def test_a_kept_scene_comes_back(tmp_path):
    sample = make_sample(SceneSpec(9, views=2, own_marks=True))
    assert sample is not None
    save_sample(sample, tmp_path / "a.npz")
    again = load_sample(tmp_path / "a.npz")
    assert np.array_equal(again.pictures, sample.pictures)
    assert again.discs == sample.discs
    assert again.objects == sample.objects
    assert [m.position for m in again.marks.marks] == [m.position for m in sample.marks.marks]
    assert PipelineConfig() is not None
