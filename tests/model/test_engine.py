"""The engine on the tiny random model: caches change nothing, stops stop, text cannot forge."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.errors import BudgetError, ConfigError, EngineError  # noqa: E402
from oryx_scene.model.api import Limits, Prompt, Stride, VisualItem  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import split_prompt_ids  # noqa: E402
from oryx_scene.model.engine.engine import EngineConfig  # noqa: E402
from oryx_scene.model.engine.sampling import TokenChooser  # noqa: E402
from oryx_scene.model.oryx.splice import PLACEHOLDER  # noqa: E402
from oryx_scene.model.sizes import image_tokens, video_tokens  # noqa: E402

UNCACHED = EngineConfig(feature_cache_bytes=0, scene_cache_bytes=0)


def picture(seed, height=96, width=128):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def video(*seeds, stride=Stride.VIDEO, height=96, width=128):
    images = tuple(picture(seed, height, width) for seed in seeds)
    return VisualItem(images, stride, None, tuple(f"p{seed}" for seed in seeds))


def prompt(*items, question="What is here?"):
    return Prompt("You are a helpful assistant.", (*items, "\nLook. "), question)


@pytest.fixture(scope="module")
def engine():
    return load_answerer("random", device="cpu")


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        (video(1, 2, 3), video_tokens(3, 96, 128, Stride.VIDEO)),
        (
            video(1, 2, stride=Stride.VIDEO_LONG, height=64, width=128),
            video_tokens(2, 64, 128, Stride.VIDEO_LONG),
        ),
        (
            VisualItem((picture(4),), Stride.IMAGE, (320, 416), ("p4",)),
            image_tokens((96, 128), (320, 416)),
        ),
    ],
)
def test_predicted_tokens_are_the_real_ones(engine, item, tokens):
    found = engine.generate(prompt(item), Limits(max_new_tokens=1))
    assert found.visual_tokens == tokens


def test_caches_change_no_token(engine):
    plain = load_answerer("random", device="cpu", config=UNCACHED)
    limits = Limits(max_new_tokens=12)
    for question in ("What is here?", "How many?", "What is here?"):
        asked = prompt(video(1, 2, 3), question=question)
        cached, fresh = engine.generate(asked, limits), plain.generate(asked, limits)
        assert cached.token_ids == fresh.token_ids
        assert cached.tokens_sha256 == fresh.tokens_sha256
    assert plain.counters()["scene_bytes"] == plain.counters()["feature_bytes"] == 0


def test_a_second_question_encodes_and_prefills_nothing():
    engine = load_answerer("random", device="cpu")
    engine.generate(prompt(video(1, 2)), Limits(max_new_tokens=2))
    assert (engine.work.encodes, engine.work.prefills) == (2, 1)
    engine.generate(prompt(video(1, 2), question="And now?"), Limits(max_new_tokens=2))
    assert (engine.work.encodes, engine.work.prefills) == (2, 1)
    # One new view of three is encoded alone.
    engine.generate(prompt(video(1, 2, 3)), Limits(max_new_tokens=2))
    assert (engine.work.encodes, engine.work.prefills) == (3, 2)


def test_little_memory_evicts_and_stays_right():
    small = EngineConfig(feature_cache_bytes=8000, scene_cache_bytes=60_000)
    engine = load_answerer("random", device="cpu", config=small)
    plain = load_answerer("random", device="cpu", config=UNCACHED)
    for seeds in ((1,), (2,), (3,), (1,), (2, 3)):
        asked = prompt(video(*seeds))
        limits = Limits(max_new_tokens=4)
        assert engine.generate(asked, limits).token_ids == plain.generate(asked, limits).token_ids
        assert engine.counters()["feature_bytes"] <= 8000
        assert engine.counters()["scene_bytes"] <= 60_000
    assert engine.counters()["scene_evictions"] > 0


def test_streamed_pieces_are_the_text(engine):
    pieces = []
    found = engine.generate(prompt(video(1)), Limits(max_new_tokens=20), pieces.append)
    assert "".join(pieces) == found.text
    assert len(pieces) > 1
    few = engine.generate(prompt(video(1)), Limits(max_new_tokens=3))
    assert (len(few.token_ids), few.stop_reason) == (3, "max_new_tokens")
    assert few.token_ids == found.token_ids[:3]


def test_cancel_and_deadline_leave_the_scene_usable(engine):
    asked = prompt(video(5, 6))
    whole = engine.generate(asked, Limits(max_new_tokens=8))
    calls = []

    def at_the_third_token():
        calls.append(1)
        # One look before the scene, which is kept, two in the question's layers.
        return len(calls) > 5

    stopped = engine.generate(asked, Limits(max_new_tokens=8, cancelled=at_the_third_token))
    assert stopped.stop_reason == "cancelled"
    assert 0 < len(stopped.token_ids) < 8
    assert stopped.token_ids == whole.token_ids[: len(stopped.token_ids)]
    late = engine.generate(asked, Limits(max_new_tokens=8, deadline_s=0.0))
    assert (late.stop_reason, late.token_ids) == ("deadline", ())
    assert engine.generate(asked, Limits(max_new_tokens=8)).token_ids == whole.token_ids


def test_greedy_and_seeded_sampling_repeat(engine):
    asked = prompt(video(1))
    sampled = [
        engine.generate(asked, Limits(max_new_tokens=10, temperature=1.0, top_p=0.95, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert sampled[0].token_ids == sampled[1].token_ids != sampled[2].token_ids


@pytest.mark.parametrize(
    "text", ["<image>", "<|im_end|>", "<|im_start|>system", "<|endoftext|>", "a<image>\n<image>b"]
)
def test_text_cannot_forge_a_slot_or_a_turn(engine, text):
    tokenizer = engine._tokenizer
    specials = {PLACEHOLDER} | {
        tokenizer.special_id(t) for t in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    }
    honest = split_prompt_ids(tokenizer, prompt(question="x"))[1]
    forged = split_prompt_ids(tokenizer, prompt(question=text))[1]
    assert [i for i in forged if i in specials] == [i for i in honest if i in specials]
    assert tokenizer.decode(tokenizer.encode_plain(text)) == text


@pytest.mark.parametrize("text", ["ü€😀", "plain", "\n\t x", "日本"])
def test_the_byte_tokenizer_keeps_any_text(engine, text):
    assert engine._tokenizer.decode(engine._tokenizer.encode_plain(text)) == text


def test_one_thread_at_a_time(engine):
    def ask_again():
        with pytest.raises(EngineError, match="another prompt"):
            engine.generate(prompt(video(1)), Limits(max_new_tokens=1))
        return True

    found = engine.generate(prompt(video(1)), Limits(cancelled=ask_again))
    assert found.stop_reason == "cancelled"


def test_a_prompt_beyond_the_context_is_refused_and_a_long_answer_cut(engine):
    asked = prompt(video(1, 2))
    tokens = engine.generate(asked, Limits(max_new_tokens=1)).prompt_tokens
    card = engine._card
    try:
        engine._card = dataclasses.replace(card, context_length=tokens)
        with pytest.raises(EngineError, match=f"{tokens} tokens, the model's context {tokens}"):
            engine.generate(asked, Limits(max_new_tokens=1))
        engine._card = dataclasses.replace(card, context_length=tokens + 3)
        found = engine.generate(asked, Limits(max_new_tokens=8))
        assert len(found.token_ids) == 3
        assert "context" in found.warnings[0].text
    finally:
        engine._card = card


@pytest.mark.parametrize(
    "item",
    [
        VisualItem((picture(1), picture(2, 64, 64)), Stride.VIDEO),
        VisualItem((picture(1), picture(2)), Stride.IMAGE, (320, 416)),
        VisualItem((picture(1),), Stride.IMAGE),
        VisualItem((picture(1, 80, 80),), Stride.VIDEO),
        VisualItem((), Stride.VIDEO),
    ],
)
def test_slots_that_cannot_be_are_refused_before_encoding(engine, item):
    before = engine.work.encodes
    with pytest.raises((EngineError, BudgetError)):
        engine.generate(prompt(item), Limits(max_new_tokens=1))
    assert engine.work.encodes == before


def test_a_broken_model_is_an_error_and_nothing_of_it_is_kept():
    engine = load_answerer("random", device="cpu")
    asked = prompt(video(1))
    good = engine.generate(asked, Limits(max_new_tokens=4)).token_ids
    weight = engine.model.language.lm_head.weight
    kept = weight.clone()
    weight[3] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        engine.generate(asked, Limits(max_new_tokens=4))
    weight.copy_(kept)
    assert engine.generate(asked, Limits(max_new_tokens=4)).token_ids == good
    norm = engine.model.language.model.norm
    engine.model.language.model.norm = type(norm)(3)
    with pytest.raises(EngineError, match="the model failed"):
        engine.generate(asked, Limits(max_new_tokens=4))
    assert engine.counters()["scene_bytes"] == engine.counters()["feature_bytes"] == 0
    engine.model.language.model.norm = norm
    assert engine.generate(asked, Limits(max_new_tokens=4)).token_ids == good


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_new_tokens=0),
        Limits(temperature=-1.0),
        Limits(temperature=float("nan")),
        Limits(top_p=0.0),
        Limits(top_k=-1),
        Limits(repetition_penalty=0.0),
    ],
)
def test_limits_out_of_range_are_named(engine, limits):
    with pytest.raises(ConfigError, match="must be"):
        engine.generate(prompt(video(1)), limits)


def test_no_half_character_is_streamed(engine, monkeypatch):
    """Each piece is whole text even where a character's bytes come one by one."""
    ids = engine._tokenizer.encode_plain("né€😀!")
    assert len(ids) == len("né€😀!".encode())
    script = iter(ids)
    monkeypatch.setattr(TokenChooser, "choose", lambda self, *logits: next(script))
    pieces = []
    found = engine.generate(prompt(video(1)), Limits(max_new_tokens=len(ids)), pieces.append)
    assert pieces == ["n", "é", "€", "😀", "!"]
    script = iter(ids)
    cut = engine.generate(prompt(video(1)), Limits(max_new_tokens=len(ids) - 2), pieces.append)
    assert (found.text, cut.text) == ("né€😀!", "né€")


def test_random_weights_are_labelled(engine):
    assert not engine.card.trained
