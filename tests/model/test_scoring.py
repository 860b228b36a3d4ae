"""Scores of given answers are those of plain teacher forcing, one row at a time."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.errors import EngineError  # noqa: E402
from oryx_scene.model.api import (  # noqa: E402
    Candidate,
    FormCalibration,
    Limits,
    Prompt,
    Scorer,
    Stride,
    VisualItem,
)
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.checkpoint.random_model import write_random_checkpoint  # noqa: E402
from oryx_scene.model.checkpoint.sidecar_files import CALIBRATION_FILE, calibration_dict  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import IM_END, split_prompt_ids  # noqa: E402
from oryx_scene.model.engine.scoring import plan_scores  # noqa: E402
from oryx_scene.model.engine.thread import EngineThread  # noqa: E402

CANDIDATES = (
    Candidate("Yes"),
    Candidate("Yes", ends=True),
    Candidate("No"),
    Candidate("", ends=True),
    Candidate("Yesterday", ends=True),
)


def prompt(question, prefix=""):
    picture = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    item = VisualItem((picture,), Stride.VIDEO, None, ("p",))
    return Prompt("You are a helpful assistant.", (item, "\nLook. "), question, prefix)


@pytest.fixture(scope="module")
def engine():
    return load_answerer("random", device="cpu")


def teacher_forced(engine, asked, candidate):
    """One full pass of transformers' own forward over scene, question and candidate."""
    scene, question = split_prompt_ids(engine.tokenizer, asked)
    own = engine.tokenizer.encode_plain(candidate.text)
    language = engine.model.language
    with torch.inference_mode():
        from oryx_scene.model.oryx.pixels import normalise
        from oryx_scene.model.oryx.splice import splice

        item = next(part for part in asked.scene if isinstance(part, VisualItem))
        maps = engine.model.encode([normalise(item.images[0])], [item.stride])
        slot = engine.model.project_video(maps, item.stride)
        ids = [*scene, *question, *own]
        embeds = splice(ids, [slot], engine.decoder.embed)
        logits = language(inputs_embeds=embeds[None]).logits[0].float().log_softmax(-1)
    first = logits.shape[0] - len(own) - 1
    values = [float(logits[first + i, token]) for i, token in enumerate(own)]
    if candidate.ends:
        stops = sorted(engine._stops.ids)
        values.append(float(logits[-1, stops].logsumexp(0)))
    return values


def test_scores_are_those_of_plain_teacher_forcing(engine):
    asked = [prompt("Is it red?"), prompt("And now?", "<think>1 red</think>\n")]
    found = engine.score(asked, [CANDIDATES, CANDIDATES[:3]], Limits())
    for one, scored in zip(asked, found, strict=True):
        for continuation in scored.continuations:
            wanted = teacher_forced(engine, one, continuation.candidate)
            assert len(continuation.token_ids) == len(wanted)
            assert continuation.logprobs == pytest.approx(wanted, abs=1e-4)
    assert [len(scored.continuations) for scored in found] == [5, 3]
    assert found[0].generation.token_ids == ()
    assert found[0].generation.stop_reason == "eos"


def test_nothing_is_decoded_and_the_scene_is_read_once():
    engine = load_answerer("random", device="cpu")
    asked = [prompt(f"Question {n}?") for n in range(3)]
    engine.score(asked, [CANDIDATES] * 3, Limits())
    assert (engine.work.encodes, engine.work.prefills, engine.work.decode_steps) == (1, 1, 0)
    generated = engine.generate(asked[0], Limits(max_new_tokens=4)).token_ids
    assert engine.work.prefills == 1
    assert (
        load_answerer("random", device="cpu").generate(asked[0], Limits(max_new_tokens=4)).token_ids
        == generated
    )


def test_a_row_serves_every_candidate_that_begins_it(engine):
    """Bytes are tokens here: only "Yesterday" and what follows N must be read."""
    plan = plan_scores(engine.tokenizer, prompt("?"), CANDIDATES)
    letters = engine.tokenizer.decode
    assert {letters(list(row[plan.start :])) for row in plan.rows} == {"N", "Yesterday"}
    single = plan_scores(engine.tokenizer, prompt("?"), (Candidate("Y"), Candidate("N")))
    assert [row[single.start :] for row in single.rows] == [()]


@pytest.mark.parametrize("wanted", [(), (Candidate(""),)])
def test_nothing_to_score_is_an_error(engine, wanted):
    with pytest.raises(EngineError, match="nothing to score"):
        engine.score([prompt("?")], [wanted], Limits())


def test_a_cancelled_pass_scores_nothing(engine):
    limits = Limits(cancelled=lambda: True)
    found = engine.score([prompt("?")], [CANDIDATES], limits)[0]
    assert (found.continuations, found.generation.stop_reason) == ((), "cancelled")
    late = engine.score([prompt("?")], [CANDIDATES], Limits(deadline_s=0.0))[0]
    assert (late.continuations, late.generation.stop_reason) == ((), "deadline")
    assert engine.score([prompt("?")], [CANDIDATES], Limits())[0].continuations


def test_the_engine_thread_scores_too():
    with EngineThread(lambda: load_answerer("random", device="cpu")) as engine:
        assert isinstance(engine, Scorer)
        assert len(engine.score([prompt("?")], [CANDIDATES], Limits())[0].continuations) == 5


def test_the_checkpoint_says_how_it_answers(tmp_path):
    folder = write_random_checkpoint(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["oryx_scene"]["scratchpad"] = True
    (folder / "config.json").write_text(json.dumps(config))
    forms = {"yes_no": FormCalibration(0.5, 0.1, 100, "test")}
    (folder / CALIBRATION_FILE).write_text(json.dumps(calibration_dict(forms)))
    engine = load_answerer(str(folder), device="cpu")
    assert engine.card.scratchpad
    assert engine.card.calibration == forms
    assert engine.tokenizer.special_id(IM_END) in engine._stops.ids
