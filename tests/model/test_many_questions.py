"""Many questions on one scene, and one scene after another: shared work changes no token."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.errors import DeviceMemoryError, EngineError  # noqa: E402
from oryx_scene.model.api import Limits, Prompt, Stride, VisualItem  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.engine.cuda_graphs import StaticRows  # noqa: E402
from oryx_scene.model.engine.engine import EngineConfig  # noqa: E402
from oryx_scene.model.oryx.prompt_layout import embed_units, units_of  # noqa: E402
from oryx_scene.model.oryx.splice import splice  # noqa: E402

ALONE = EngineConfig(feature_cache_bytes=0, scene_cache_bytes=0, share_prefix=False)
QUESTIONS = ("What is here?", "How many?", "Is mark 1 left of mark 2? Answer yes or no.", "Why?")


def picture(seed, height=96, width=128):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def video(*seeds, keyed=True):
    images = tuple(picture(seed) for seed in seeds)
    return VisualItem(images, Stride.VIDEO, None, tuple(f"p{s}" for s in seeds) if keyed else ())


def image(seed):
    return VisualItem((picture(seed),), Stride.IMAGE, (320, 416), (f"p{seed}",))


def prompts(*items, questions=QUESTIONS, text="\nLook. "):
    return [Prompt("You are a helpful assistant.", (*items, text), own) for own in questions]


def engine_of(config=None):
    return load_answerer("random", device="cpu", config=config)


@pytest.fixture(scope="module")
def alone():
    return engine_of(ALONE)


@pytest.fixture
def engine():
    # These scenes are short; let their prefix be shared all the same.
    return engine_of(EngineConfig(share_from=1))


def test_questions_together_are_questions_alone(engine, alone):
    asked = prompts(video(1, 2, 3, 4))
    limits = [Limits(max_new_tokens=n) for n in (9, 3, 12, 6)]
    pieces = {}
    together = engine.generate_many(
        asked, limits, [pieces.setdefault(index, []).append for index in range(len(asked))]
    )
    for index, (found, own, limit) in enumerate(zip(together, asked, limits, strict=True)):
        single = alone.generate(own, limit)
        assert found.token_ids == single.token_ids
        assert found.tokens_sha256 == single.tokens_sha256
        assert found.stop_reason == single.stop_reason
        assert found.text == single.text == "".join(pieces[index])
    assert (engine.work.encodes, engine.work.prefills) == (4, 1)
    # The first token of each comes from the packed pass.
    assert engine.work.decode_steps == max(len(found.token_ids) for found in together) - 1


@pytest.mark.parametrize(
    "config",
    [EngineConfig(rows=2, share_from=1), EngineConfig(share_prefix=False), EngineConfig()],
)
def test_no_setting_of_sharing_changes_a_token(config, alone):
    asked, limits = prompts(video(1, 2), image(3)), Limits(max_new_tokens=6)
    found = engine_of(config).generate_many(asked, limits)
    assert [one.token_ids for one in found] == [
        alone.generate(own, limits).token_ids for own in asked
    ]


def test_one_cancelled_question_does_not_stop_the_others(engine, alone):
    asked = prompts(video(1, 2))
    polls = []

    def soon():
        polls.append(1)
        # One look before the scene, two each in tower, scene and questions, then one per token.
        return len(polls) > 9

    limits = [Limits(max_new_tokens=8), Limits(max_new_tokens=8, cancelled=soon)]
    limits += [Limits(max_new_tokens=8, deadline_s=0.0), Limits(max_new_tokens=8)]
    found = engine.generate_many(asked, limits)
    assert [one.stop_reason for one in found] == [
        "max_new_tokens",
        "cancelled",
        "deadline",
        "max_new_tokens",
    ]
    whole = [alone.generate(own, Limits(max_new_tokens=8)).token_ids for own in asked]
    assert (found[0].token_ids, found[3].token_ids) == (whole[0], whole[3])
    assert 0 < len(found[1].token_ids) < 8
    assert found[1].token_ids == whole[1][: len(found[1].token_ids)]
    assert found[2].token_ids == ()


def test_all_cancelled_before_the_scene_is_read_and_asked_again(engine, alone):
    asked = prompts(video(1, 2))
    found = engine.generate_many(asked, Limits(cancelled=lambda: True))
    assert {one.stop_reason for one in found} == {"cancelled"}
    assert engine.work.encodes == 0
    again = engine.generate_many(asked, Limits(max_new_tokens=4))
    for one, own in zip(again, asked, strict=True):
        assert one.token_ids == alone.generate(own, Limits(max_new_tokens=4)).token_ids


def test_a_cancel_in_any_layer_leaves_nothing_half_done(engine, alone):
    """Of tower, prefill and questions: one more look each time, until none is left to cancel."""
    asked = prompts(video(1, 2))[0]
    wanted = alone.generate(asked, Limits(max_new_tokens=3)).token_ids
    stopped = 0
    for look in range(1, 40):
        looks = iter(range(look))
        found = engine.generate(
            asked, Limits(max_new_tokens=3, cancelled=lambda looks=looks: next(looks, None) is None)
        )
        engine_again = engine.generate(asked, Limits(max_new_tokens=3)).token_ids
        assert engine_again == wanted
        if found.stop_reason != "cancelled":
            break
        stopped += 1
        engine.forget()
    # Two blocks of the tower, two layers for the scene, two for the question, and tokens.
    assert stopped >= 7
    assert found.token_ids == wanted


def test_questions_on_different_scenes_are_refused_together(engine):
    mixed = [prompts(video(1))[0], prompts(video(2))[0]]
    with pytest.raises(EngineError, match="different scenes"):
        engine.generate_many(mixed, Limits())
    unkeyed = [prompts(video(1, keyed=False))[0] for _ in range(2)]
    with pytest.raises(EngineError, match="different scenes"):
        engine.generate_many(unkeyed, Limits())
    one = video(1, keyed=False)
    assert len(engine.generate_many(prompts(one), Limits(max_new_tokens=1))) == 4
    assert engine.counters()["scene_bytes"] == 0


def test_scenes_that_begin_alike_share_what_they_have_in_common(engine, alone):
    limits = Limits(max_new_tokens=6)
    first = prompts(video(1, 2, 3, 4))[0]
    found = engine.generate(first, limits)
    before = dict(vars(engine.work))
    changed = prompts(video(1, 2, 3, 9), text="\nOther words. ")[0]
    again = engine.generate(changed, limits)
    assert again.token_ids == alone.generate(changed, limits).token_ids
    assert engine.work.encodes - before["encodes"] == 1
    scene = found.prompt_tokens  # close to the scene's own length
    assert engine.work.reused_tokens > scene / 2
    assert engine.work.prefill_tokens - before["prefill_tokens"] < scene / 2
    # The old scene is as it was, and longer and shorter ones are right too.
    for seeds in ((1, 2, 3, 4), (1, 2), (1, 2, 3, 4, 5), (9, 2, 3)):
        own = prompts(video(*seeds))[0]
        assert engine.generate(own, limits).token_ids == alone.generate(own, limits).token_ids


def test_a_scene_known_from_the_front_encodes_only_what_is_new(alone):
    """Even where the encoded pictures themselves were not kept."""
    engine = engine_of(EngineConfig(feature_cache_bytes=0))
    engine.generate(prompts(video(1, 2, 3))[0], Limits(max_new_tokens=1))
    engine.generate(prompts(video(1, 2, 3, 4))[0], Limits(max_new_tokens=1))
    assert engine.work.encodes == 4


def test_units_are_the_slots_of_the_prompt(engine):
    """What is prefilled unit by unit is what the original's slots are."""
    items = [video(1, 2, 3), image(4)]
    ids = [5, 6, -200, 7, -200, 8, 9]
    units = units_of(ids, items)
    with torch.inference_mode():
        maps = engine.encode([view for unit in units for view in unit.views])
        slots = [
            engine.model.project_video(maps[:3], Stride.VIDEO),
            engine.model.project_image(maps[4], maps[3]),
        ]
        ours = embed_units(units, maps, engine.model, engine.decoder.embed)
        wanted = splice(ids, slots, engine.decoder.embed)
    torch.testing.assert_close(ours, wanted)
    assert ours.shape[0] == sum(unit.tokens for unit in units)
    with pytest.raises(EngineError, match="2 image slots, 1 were given"):
        units_of(ids, items[:1])


def test_logits_of_questions_are_those_that_answers_begin_from(engine, alone):
    asked = prompts(video(1, 2))
    greedy = [alone.generate(own, Limits(max_new_tokens=1)).token_ids[0] for own in asked]
    last = engine.question_logits(asked)
    assert [int(own[0].argmax()) for own in last] == greedy
    # The whole text of the second question, and the last token of the others.
    some = engine.question_logits(asked, [(-1,), (-3, -2, -1), (-1,), (-1,)])
    assert [own.shape[0] for own in some] == [1, 3, 1, 1]
    torch.testing.assert_close(some[1][2:], last[1], rtol=0, atol=1e-4)
    assert engine.work.decoded_tokens == 0


class Only:
    """Allows the given tokens in their order, then the end."""

    def __init__(self, tokens, end):
        self.tokens, self.end = tokens, end

    def allowed(self, produced):
        mask = torch.zeros(259, dtype=torch.bool)
        mask[self.tokens[len(produced)] if len(produced) < len(self.tokens) else self.end] = True
        return mask


def test_a_constraint_decides_what_may_be_said(engine):
    asked = prompts(video(1, 2))
    end = engine.tokenizer.special_id("<|im_end|>")
    rules = [Only(engine.tokenizer.encode_plain(text), end) for text in ("[1]", "no", "", "yes!")]
    found = engine.generate_many(asked, Limits(max_new_tokens=8), constraints=rules)
    assert [one.text for one in found] == ["[1]", "no", "", "yes!"]
    assert {one.stop_reason for one in found} == {"eos"}
    rules[0].allowed = lambda produced: torch.zeros(259, dtype=torch.bool)
    with pytest.raises(EngineError, match="allows no token"):
        engine.generate(asked[0], Limits(), constraint=rules[0])


def test_counters_tell_what_was_done(engine):
    found = engine.generate_many(prompts(video(1, 2)), Limits(max_new_tokens=4))
    counters = found[0].counters
    assert counters["encodes"] == 2
    assert counters["prefills"] == 1
    assert counters["decoded_tokens"] == 16
    assert counters["tokens_per_s"] > 0
    assert counters["scene_bytes"] == engine.scenes.bytes > 0
    engine.generate(prompts(video(1, 2))[0], Limits(max_new_tokens=1))
    assert engine.counters()["scene_hits"] == 1


def test_steps_of_constant_shape_change_no_token(engine, alone):
    """What a GPU replays, run step by step here."""
    engine.static = StaticRows(engine.decoder, 2048, rows=4, row_tokens=128)
    asked = prompts(video(1, 2, 3))
    for limits in (Limits(max_new_tokens=10), Limits(max_new_tokens=100)):
        before = engine.work.decode_steps, engine.work.graph_steps
        found = engine.generate_many(asked, limits)
        for one, own in zip(found, asked, strict=True):
            assert one.token_ids == alone.generate(own, limits).token_ids
        taken = engine.work.decode_steps - before[0]
        # A hundred tokens after forty of a question do not fit into the rows: the plain way it is.
        assert engine.work.graph_steps - before[1] == (taken if limits.max_new_tokens == 10 else 0)


def test_graphs_that_cannot_be_captured_are_left_out_and_said(engine, monkeypatch):
    monkeypatch.setattr(StaticRows, "capture", lambda self: torch.ones(2) @ torch.ones(3))
    engine._capture()
    assert engine.static is None
    found = engine.generate(prompts(video(1))[0], Limits(max_new_tokens=2))
    assert "without captured graphs" in found.warnings[0].text
    monkeypatch.setattr(StaticRows, "capture", lambda self: None)
    engine._capture()
    assert isinstance(engine.static, StaticRows)
    assert engine.generate(prompts(video(1))[0], Limits(max_new_tokens=2)).warnings == ()


def test_numbers_that_are_not_finite_do_not_stay_in_the_block(engine, alone):
    engine.static = StaticRows(engine.decoder, 2048, rows=4, row_tokens=128)
    own, limits = prompts(video(1, 2))[0], Limits(max_new_tokens=4)
    whole = engine.generate(own, limits)
    weight = engine.model.language.model.layers[0].self_attn.v_proj.weight
    kept = weight.clone()
    weight.fill_(float("nan"))
    with pytest.raises(EngineError, match="not finite"):
        engine.generate(prompts(video(3))[0], limits)
    weight.copy_(kept)
    engine.scenes.clear()
    assert engine.generate(own, limits).token_ids == whole.token_ids


def test_a_picture_that_comes_twice_is_encoded_once(engine, alone):
    twice = prompts(video(1, 2, 1), image(3), image(3))[0]
    found = engine.generate(twice, Limits(max_new_tokens=4))
    assert engine.work.encodes == 4
    assert found.token_ids == alone.generate(twice, Limits(max_new_tokens=4)).token_ids
    unnamed = prompts(video(1, 1, keyed=False))[0]
    engine.generate(unnamed, Limits(max_new_tokens=1))
    assert engine.work.encodes == 6


def test_forgetting_works_where_steps_were_made_for_inference(engine):
    """Capture makes its block in inference mode; forgetting comes from anywhere."""
    with torch.inference_mode():
        engine.static = StaticRows(engine.decoder, 2048, rows=4, row_tokens=128)
    own, limits = prompts(video(1, 2))[0], Limits(max_new_tokens=4)
    whole = engine.generate(own, limits)
    engine.forget()
    assert engine.generate(own, limits).token_ids == whole.token_ids
    assert engine.work.prefills == 2
    assert engine.work.graph_steps > 0


def test_captured_steps_are_given_up_where_their_memory_is_needed(engine, monkeypatch):
    engine.static = StaticRows(engine.decoder, 2048, rows=4, row_tokens=128)
    own, limits = prompts(video(1, 2))[0], Limits(max_new_tokens=4)
    whole = engine.generate(own, limits)

    def no_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patched:
        patched.setattr(StaticRows, "take", no_memory)
        with pytest.raises(DeviceMemoryError):
            engine.generate(own, limits)
    assert engine.static is None
    again = engine.generate(own, limits)
    assert again.token_ids == whole.token_ids
    assert any("memory was needed" in note.text for note in again.warnings)
