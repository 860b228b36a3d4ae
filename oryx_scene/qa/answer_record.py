"""One answer record from what the model made of a question, and what the scene knows without it."""

from __future__ import annotations

import hashlib

from oryx_scene import __version__
from oryx_scene.marks.relations import ReferenceView, measure_relations
from oryx_scene.model.api import FormCalibration, Generation, Limits, ModelCard, Prompt
from oryx_scene.qa.batching import Found
from oryx_scene.qa.claim_check import cross_check
from oryx_scene.qa.disclaimer import caution_for, never_learnt
from oryx_scene.qa.facts import viewpoint_of
from oryx_scene.records import Question, Relation, SceneAnswer
from oryx_scene.scene.freeze import Scene
from oryx_scene.scene.prompt_text import view_names
from oryx_scene.warning import Warning


def assemble_answer(
    card: ModelCard,
    scene: Scene,
    question: Question,
    prompt: Prompt,
    limits: Limits,
    found: Found,
) -> SceneAnswer:
    """The answer record.

    Args:
        card: of the model that answered.
        scene: that was asked about.
        question: as asked.
        prompt: what the model was given.
        limits: of this answer.
        found: what the model made of it, raw and read.
    """
    generation, parsed = found
    caution = caution_for(card, synthetic=scene.synthetic)
    named = tuple(mark for mark in scene.marks.marks if mark.number in parsed.marks)
    measured = relations_for(scene, question.text)
    stated, disagreements = cross_check(
        parsed.text, measured, question=question.text, marks=len(scene.marks.marks)
    )
    return SceneAnswer(
        question=question,
        text=parsed.text,
        scratchpad=parsed.scratchpad,
        marks=named,
        scene=scene.marks.marks,
        relations=(*measured, *stated),
        verdict=parsed.verdict,
        choice=parsed.choice,
        confidence=parsed.confidence,
        scores=dict(parsed.scores),
        json=parsed.json,
        evidence=scene.evidence(),
        frame_id=scene.frame_id,
        compression=scene.plan.stride.compression,
        visual_tokens=generation.visual_tokens,
        prompt_tokens=generation.prompt_tokens,
        generated_tokens=len(generation.token_ids),
        stop_reason=generation.stop_reason,
        token_ids=generation.token_ids,
        timings_s=dict(generation.timings_s),
        counters=dict(generation.counters),
        provenance=_provenance(card, scene, question, prompt, limits, generation),
        budget=scene.plan.as_dict(),
        choice_of_views=dict(scene.choice),
        left_out=dict(scene.marks.left_out),
        left_out_by_view=scene.marks.left_out_by_view,
        warnings=(
            *([caution.warning] if caution else ()),
            *_unlearnt(card, scene, question),
            *scene.warnings,
            *generation.warnings,
            *parsed.warnings,
            *(Warning("answer_contradicts_measurement", text) for text in disagreements),
        ),
    )


def _unlearnt(card: ModelCard, scene: Scene, question: Question) -> tuple[Warning, ...]:
    """Which words of the question say nothing to the model."""
    names = view_names([frame.camera for frame in scene.views.frames])
    words = never_learnt(question, card.learnt, names)
    if not words:
        return ()
    listed = ", ".join(f'"{word}"' for word in words)
    what = "word" if len(words) == 1 else "words"
    return (Warning("words_not_learnt", f"the model never learnt the {what} {listed}"),)


def _provenance(
    card: ModelCard,
    scene: Scene,
    question: Question,
    prompt: Prompt,
    limits: Limits,
    generation: Generation,
) -> dict[str, str]:
    calibration = card.calibration.get(question.format)
    caution = caution_for(card, synthetic=scene.synthetic)
    return {
        "scene_id": scene.scene_id,
        "model": card.name,
        "revision": card.revision,
        "trained": "yes" if card.trained else "no, random weights",
        "caution": caution.label if caution else "",
        "dtype": card.dtype,
        "device": card.device,
        "quantization": card.quantization,
        "attention": card.attention,
        "linear": card.linear,
        "sums": card.sums,
        "tokenizer": card.tokenizer,
        "assumed": card.assumed,
        "prompt_sha256": prompt_hash(prompt),
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


def relations_for(scene: Scene, question: str) -> tuple[Relation, ...]:
    """The scene's measured relations, directions and ranges from the view that ``question`` names.

    Without a named view, or without its pose, they are those of the newest view.
    """
    index = viewpoint_of(question, scene.views)
    frame = scene.views.frames[index]
    if frame.T_fixed_camera is None:
        return scene.marks.relations
    name = view_names([item.camera for item in scene.views.frames])[index]
    viewpoint = ReferenceView(name, frame.T_fixed_camera)
    return measure_relations(scene.marks.marks, scene.views.frames, viewpoint)


def prompt_hash(prompt: Prompt) -> str:
    """sha256 over all texts of a prompt and the content keys of its pictures."""
    digest = hashlib.sha256()
    for part in (prompt.system, *prompt.scene, prompt.question, prompt.answer_prefix):
        piece = part if isinstance(part, str) else "|".join(part.keys)
        encoded = piece.encode("utf-8")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()
