"""An evaluation in pieces: spread over processes, stopped by the clock, counted together.

Pieces of all settings come in turn, so that a run that is stopped early has seen the same share of
each. A process loads the model once and computes on one thread.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

import torch

from oryx_scene.errors import OryxSceneError
from oryx_scene.lab.evaluation.scene_scores import Scores, add_scores
from oryx_scene.lab.evaluation.scene_settings import SceneCondition
from oryx_scene.lab.evaluation.scenes import judge_scene
from oryx_scene.lab.process_guard import end_with_parent
from oryx_scene.lab.synth.questions import KINDS
from oryx_scene.lab.synth.scenes import SceneSpec
from oryx_scene.model.api import Answerer, ModelCard
from oryx_scene.model.checkpoint.load import load_answerer
from oryx_scene.model.engine.engine import Engine, EngineConfig

PIECE = 5
# A scene's questions are one group; nothing of a scene is wanted again after it.
ENGINE = EngineConfig(feature_cache_bytes=64 * 2**20, scene_cache_bytes=64 * 2**20, rows=24)


@dataclass(frozen=True)
class WorkUnit:
    """Some scenes under some conditions.

    Attributes:
        name: of the setting; its plain condition is counted under it.
        specs: scenes.
        conditions: first the plain one.
        kinds: types of questions.
    """

    name: str
    specs: tuple[SceneSpec, ...]
    conditions: tuple[SceneCondition, ...]
    kinds: tuple[str, ...] = KINDS


@dataclass
class Done:
    """What a run has counted.

    Attributes:
        scores: by condition or setting.
        scenes: how many scenes each of them saw.
        seconds: wall time.
        card: of the model that answered, None before the first piece.
    """

    scores: Scores = field(default_factory=dict)
    scenes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    card: ModelCard | None = None

    def add(self, piece: WorkUnit, card: ModelCard, scores: Scores) -> None:
        """Count a finished piece."""
        self.card = card
        add_scores(self.scores, scores)
        for name in scores:
            self.scenes[name] = self.scenes.get(name, 0) + len(piece.specs)


def cut(
    name: str,
    specs: Sequence[SceneSpec],
    conditions: Sequence[SceneCondition],
    kinds: Sequence[str] = KINDS,
) -> list[WorkUnit]:
    """The scenes of one setting in pieces."""
    return [
        WorkUnit(name, tuple(specs[start : start + PIECE]), tuple(conditions), tuple(kinds))
        for start in range(0, len(specs), PIECE)
    ]


def in_turn(groups: Sequence[Sequence[WorkUnit]]) -> list[WorkUnit]:
    """Pieces of all groups, each group spread evenly over the whole."""
    placed = [
        ((index + 0.5) / len(group), order, piece)
        for order, group in enumerate(groups)
        for index, piece in enumerate(group)
    ]
    return [piece for _, _, piece in sorted(placed, key=lambda item: item[:2])]


def judge_piece(answerer: Answerer, piece: WorkUnit) -> Scores:
    """Ask everything about the scenes of one piece."""
    found: Scores = {}
    for spec in piece.specs:
        scores = judge_scene(answerer, spec, piece.conditions, piece.kinds)
        plain = piece.conditions[0].name
        add_scores(found, {piece.name if n == plain else n: own for n, own in scores.items()})
    return found


def run_pieces(
    model: str,
    pieces: Sequence[WorkUnit],
    *,
    workers: int = 1,
    device: str | None = None,
    seconds: float = float("inf"),
    said_to: Callable[[Done], None] = lambda done: None,
) -> Done:
    """Judge ``pieces``, with more than one worker in processes of their own.

    Args:
        model: as for `load_answerer`; every process loads it.
        pieces: in the order in which they are begun.
        workers: processes, at least 1.
        device: of the model.
        seconds: no piece is begun after this wall time.
        said_to: hears of every finished piece.

    Raises:
        OryxSceneError: what a process met; the others are stopped.
    """
    started = time.perf_counter()
    until = started + seconds
    done = Done()
    results = _here(model, device, pieces, until)
    if workers > 1:
        results = _beside(model, device, pieces, until, workers)
    for piece, (card, scores) in results:
        done.add(piece, card, scores)
        done.seconds = time.perf_counter() - started
        said_to(done)
    return done


Judged = tuple[ModelCard, Scores]


def _here(
    model: str, device: str | None, pieces: Sequence[WorkUnit], until: float
) -> Iterator[tuple[WorkUnit, Judged]]:
    engine = load_answerer(model, device=device, config=ENGINE)
    for piece in pieces:
        if time.perf_counter() >= until:
            return
        yield piece, (engine.card, judge_piece(engine, piece))


def _beside(
    model: str, device: str | None, pieces: Sequence[WorkUnit], until: float, workers: int
) -> Iterator[tuple[WorkUnit, Judged]]:
    """Finished pieces as they come; few are begun ahead, so that the clock can stop them."""
    waiting = iter(pieces)
    running: dict[Future[Judged], WorkUnit] = {}
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawning, end_with_parent) as pool:
        try:
            while True:
                while len(running) < 2 * workers and time.perf_counter() < until:
                    piece = next(waiting, None)
                    if piece is None:
                        break
                    running[pool.submit(_judge, model, device, piece)] = piece
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_LOADED: dict[tuple[str, str | None], Engine] = {}


def _judge(model: str, device: str | None, piece: WorkUnit) -> Judged:
    """In a process of its own: load the model once, compute on one thread."""
    try:
        if (model, device) not in _LOADED:
            torch.set_num_threads(1)
            _LOADED[model, device] = load_answerer(model, device=device, config=ENGINE)
        engine = _LOADED[model, device]
        return engine.card, judge_piece(engine, piece)
    except OryxSceneError as err:
        # The children of this class do not survive the way between processes.
        raise OryxSceneError(err.message, hint=err.hint) from None
