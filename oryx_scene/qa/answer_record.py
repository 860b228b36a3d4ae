"""One answer record: what the model made of a question, and what the scene knows without it.

With it goes what must be said about a model's answers: untrained, out of its depth, words that it
never learnt. That follows from what the checkpoint says about itself and from whether the source is
rendered, never from the model's name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from oryx_scene import __version__
from oryx_scene.model.api import FormCalibration, Generation, Learnt, ModelCard, Prompt
from oryx_scene.qa.claim_check import cross_check
from oryx_scene.qa.formats import FORMATS
from oryx_scene.qa.parse import ParsedAnswer
from oryx_scene.qa.query import Query
from oryx_scene.qa.question_words import viewpoint_of
from oryx_scene.records import Question, SceneAnswer
from oryx_scene.scene.freeze import Scene
from oryx_scene.warning import Warning


@dataclass(frozen=True)
class Disclaimer:
    """A short label beside an answer and what stands among its warnings."""

    label: str
    warning: Warning


RANDOM = Disclaimer(
    "random model",
    Warning(
        "model_random",
        "the model has random weights: this text shows that the way works and means nothing",
    ),
)
OUT_OF_DEPTH = Disclaimer(
    "trained on synthetic rooms only",
    Warning(
        "model_out_of_domain",
        "the model was trained on synthetic rooms only and is out of its depth on this source, "
        "which is not synthetic",
    ),
)


def disclaimer_for(card: ModelCard, *, synthetic: bool) -> Disclaimer | None:
    """What to say about answers of ``card``'s model; None for nothing.

    Args:
        card: of the loaded model.
        synthetic: the frames come from a synthetic world and their source says so.
    """
    if not card.trained:
        return RANDOM
    if card.synthetic_only and not synthetic:
        return OUT_OF_DEPTH
    return None


_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def words_of(text: str) -> list[str]:
    """Words of ``text`` in small letters, each once, in order; numbers are none."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))


def never_learnt(question: Question, learnt: Learnt, names: Iterable[str]) -> tuple[str, ...]:
    """Words of a question and its choices that the model's training never used.

    Args:
        question: as asked.
        learnt: what the checkpoint says; () for one that says nothing.
        names: of the views, which a question may say.
    """
    if not learnt.words:
        return ()
    known = {*learnt.words, *words_of(" ".join(names))}
    asked = words_of(" ".join((question.text, *question.choices)))
    return tuple(word for word in asked if word not in known)


def answer_record(scene: Scene, query: Query, parsed: ParsedAnswer) -> SceneAnswer:
    """The answer record.

    Args:
        scene: that was asked about.
        query: what was asked of the model.
        parsed: what the model made of it.
    """
    question, card, generation = query.question, query.answerer.card, parsed.generation
    assert generation is not None
    disclaimer = disclaimer_for(card, synthetic=scene.synthetic)
    marks, measured = scene.marks.marks, scene.measured
    view = measured.by_view[viewpoint_of(question.text, measured.names, measured.newest)]
    stated, disagreements = cross_check(
        parsed.statement or parsed.text, view.relations, question=question.text, marks=len(marks)
    )
    return SceneAnswer(
        question=question,
        text=parsed.text,
        scratchpad=parsed.scratchpad,
        marks=tuple(mark for mark in marks if mark.number in parsed.marks),
        scene=marks,
        relations=(*view.relations, *stated),
        verdict=parsed.verdict,
        choice=parsed.choice,
        confidence=parsed.confidence,
        scores=dict(parsed.scores),
        json=parsed.json,
        fields=_own_fields(query, parsed),
        evidence=scene.evidence,
        frame_id=scene.frame_id,
        compression=scene.compression,
        visual_tokens=generation.visual_tokens,
        prompt_tokens=generation.prompt_tokens,
        generated_tokens=len(generation.token_ids),
        stop_reason=generation.stop_reason,
        token_ids=generation.token_ids,
        timings_s={**generation.timings_s, **scene.timings_s},
        counters=dict(generation.counters),
        provenance=_provenance(scene, query, generation, disclaimer),
        budget=dict(scene.budget),
        choice_of_views=dict(scene.choice),
        left_out=dict(scene.marks.left_out),
        left_out_by_view=scene.marks.left_out_by_view,
        warnings=(
            *([disclaimer.warning] if disclaimer else ()),
            *_not_learnt(question, card.learnt, measured.names),
            *scene.warnings,
            *generation.warnings,
            *parsed.warnings,
            *(Warning("answer_contradicts_measurement", text) for text in disagreements),
        ),
    )


def _own_fields(query: Query, parsed: ParsedAnswer) -> dict[str, float | int | str]:
    """What the question's format reads beside the fields that every record has."""
    empty = FORMATS[query.question.format].empty
    return {
        name: parsed.fields.get(name, value)
        for name, value in empty.items()
        if not hasattr(parsed, name)
    }


def _not_learnt(question: Question, learnt: Learnt, names: Iterable[str]) -> tuple[Warning, ...]:
    """Which words of the question say nothing to the model."""
    words = never_learnt(question, learnt, names)
    if not words:
        return ()
    listed = ", ".join(f'"{word}"' for word in words)
    what = "word" if len(words) == 1 else "words"
    return (Warning("words_not_learnt", f"the model never learnt the {what} {listed}"),)


def _provenance(
    scene: Scene, query: Query, generation: Generation, disclaimer: Disclaimer | None
) -> dict[str, str]:
    card, limits = query.answerer.card, query.limits
    calibration = card.calibration.get(query.question.format)
    return {
        "scene_id": scene.scene_id,
        "model": card.name,
        "revision": card.revision,
        "trained": "yes" if card.trained else "no, random weights",
        "caution": disclaimer.label if disclaimer else "",
        "dtype": card.dtype,
        "device": card.device,
        "quantization": card.quantization,
        "attention": card.attention,
        "linear": card.linear,
        "sums": card.sums,
        "tokenizer": card.tokenizer,
        "assumed": card.assumed,
        "prompt_sha256": prompt_hash(query.prompt),
        "tokens_sha256": generation.tokens_sha256,
        "confidence": _confidence(calibration, synthetic=scene.synthetic),
        "decoding": "greedy" if limits.temperature == 0 else f"sampled, seed {limits.seed}",
        "software_version": __version__,
    }


def _confidence(calibration: FormCalibration | None, *, synthetic: bool) -> str:
    """How far a confidence can be believed on this source."""
    if calibration is None:
        return "uncalibrated"
    fitted = f"{calibration.samples} answers: {calibration.source}"
    if calibration.synthetic and not synthetic:
        return f"not calibrated for this source, which is not synthetic; scaled as fits {fitted}"
    return f"calibrated on {fitted}"


def prompt_hash(prompt: Prompt) -> str:
    """sha256 over all texts of a prompt and the content keys of its pictures."""
    digest = hashlib.sha256()
    for part in (prompt.system, *prompt.scene, prompt.question, prompt.answer_prefix):
        piece = part if isinstance(part, str) else "|".join(part.keys)
        encoded = piece.encode("utf-8")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()
