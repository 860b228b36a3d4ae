"""Golden prompts through a whole engine: pictures in, text and scores of given answers out.

What the other stages compare piece by piece runs here as a robot's question does, with caches,
packed pictures, several questions on one scene and, on CUDA, the captured steps of the warm-up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import BudgetError, EngineError
from oryx_scene.lab.evaluation.conformance_case import (
    SYSTEM,
    Case,
    pieces_of,
    prepare,
    tokenizer_of,
)
from oryx_scene.lab.evaluation.conformance_compare import Comparer, StageResult
from oryx_scene.lab.evaluation.conformance_text import GREEDY, SCORES, compare_ids, said_ids
from oryx_scene.model.api import (
    Candidate,
    Limits,
    ModelCard,
    Prompt,
    Stride,
    VisualItem,
)
from oryx_scene.model.checkpoint.tokenizer import split_prompt_ids
from oryx_scene.model.engine.engine import Engine, EngineConfig, Stops
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.prompt_layout import count_visual_tokens

# Scenes of the cases are short; all of them are to be shared and captured.
CONFIG = EngineConfig(share_from=1, graph_tokens=4096, rows=2)


def engine_of(case: Case, model: Oryx, end: int) -> Engine:
    """An engine with the toy tokenizer of the golden vectors."""
    family = str(model.language.config.model_type)
    context = case.longest_row or 32768
    card = ModelCard("conformance", "", str(model.dtype), str(model.device), context)
    engine = Engine(model, tokenizer_of(case, family), card, Stops(frozenset([end])), CONFIG)
    if model.device.type == "cuda":
        engine.warm_up()
    return engine


def compare_engine(
    comparer: Comparer, case: Case, engine: Engine, rows: list[list[int]], uses: list[list[int]]
) -> Iterator[StageResult]:
    """Each row of a case as a question.

    Args:
        comparer: of the case.
        case: with greedy ids and scores.
        engine: of :func:`engine_of`.
        rows: golden prompt ids.
        uses: by row the items that its slots show.
    """
    if engine.model.device.type == "cuda":
        ok = engine.static is not None
        yield comparer.said("engine.captured", ok, "" if ok else "no step could be captured")
    (end,) = engine._stops.ids
    for index, ids in enumerate(rows):
        name = f"engine.row{index}" if len(rows) > 1 else "engine"
        prompt, why = _prompt(case, engine, index, ids, uses[index])
        if prompt is None:
            yield comparer.left_out(name, why)
            continue
        golden = said_ids(case.tensors[GREEDY][index], end)
        scores = case.tensors[SCORES][index, : len(golden)]
        for stage, compare in (("generate", _compare_text), ("score", _compare_score)):
            try:
                yield from compare(comparer, f"{name}.{stage}", engine, prompt, golden, scores)
            except EngineError as err:
                yield comparer.said(f"{name}.{stage}", False, err.message)


def _prompt(
    case: Case, engine: Engine, index: int, ids: list[int], used: list[int]
) -> tuple[Prompt | None, str]:
    """One row as the engine takes it, or why it cannot."""
    pieces = pieces_of(case.prompts[index])
    question = pieces.pop() if pieces and pieces[-1] is not None else ""
    items = iter([_visual(case, one) for one in used])
    scene = tuple(next(items) if piece is None else piece for piece in pieces)
    prompt = Prompt(SYSTEM, scene, str(question))
    opening, closing = split_prompt_ids(engine.tokenizer, prompt)
    if opening + closing != ids:
        return None, "its ids are not those of the engine's prompt"
    try:
        visual = count_visual_tokens([part for part in scene if isinstance(part, VisualItem)])
    except BudgetError:
        return None, "the engine takes no pictures with sides that the patches do not divide"
    if len(ids) + visual > engine.card.context_length:
        return None, "the row is longer than the model's context"
    return prompt, ""


def _visual(case: Case, index: int) -> VisualItem:
    item = case.items[index]
    pictures = prepare(item, case.settings)
    if item.stride is Stride.IMAGE:
        low = pictures["low"].shape
        return VisualItem((pictures["high"],), item.stride, (int(low[0]), int(low[1])))
    keys = tuple(f"{case.name}/{index}/{tag}" for tag in pictures)
    return VisualItem(tuple(pictures.values()), item.stride, keys=keys)


def _compare_text(
    comparer: Comparer,
    stage: str,
    engine: Engine,
    prompt: Prompt,
    golden: list[int],
    scores: NDArray[np.float32],
) -> Iterator[StageResult]:
    """Of two questions on one scene, answered together, the case's own says the golden text."""
    other = dataclasses.replace(prompt, question=prompt.question + "?")
    said = engine.generate_many([prompt, other], Limits(max_new_tokens=len(golden)))[0]
    best = np.sort(scores, axis=1)
    found = list(said.token_ids), [float(row[-1] - row[-2]) for row in best]
    error = comparer.logit_error(SCORES, scores)
    yield from compare_ids(comparer, stage, [found], [golden], error)


def _compare_score(
    comparer: Comparer,
    stage: str,
    engine: Engine,
    prompt: Prompt,
    golden: list[int],
    scores: NDArray[np.float32],
) -> Iterator[StageResult]:
    """The golden text as a given answer is as likely as the golden scores say."""
    (end,) = engine._stops.ids
    ends = golden[-1] == end
    text = "".join(chr(token) for token in (golden[:-1] if ends else golden))
    first = golden[0] if golden[0] != end else 0
    options = [Candidate(text, ends=ends), Candidate(chr(first) + "?")]
    own = engine.score([prompt], [options], Limits(max_new_tokens=1))[0].continuations
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    wanted = logprobs[np.arange(len(golden)), golden]
    # From the first id in which the candidates differ on; the engine reads the others off, too.
    off = np.abs(np.array(own[0].logprobs) - wanted[-len(own[0].logprobs) :])
    # A log-probability moves by at most twice what the logits do.
    yield comparer.within(stage, float(off.max()), 2 * comparer.logit_error(SCORES, scores))
