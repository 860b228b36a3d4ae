"""One scene of eight views and many questions: what the caches save.

Times of a question on a cached scene over times of the same question with nothing kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from oryx_scene.answerer import Limits, Prompt, Stride, VisualItem
from oryx_scene.bench.models import random_engine
from oryx_scene.bench.options import BenchOptions
from oryx_scene.bench.report import Row
from oryx_scene.bench.timing import Times, measure
from oryx_scene.model.engine import Engine

VIEWS = 8
# (height, width) of a prepared view: multiples of 32 at 4x.
PICTURE = {"tiny": (96, 128), "0.5b": (224, 288), "7b": (416, 544)}
NEW_TOKENS = {"tiny": 8, "0.5b": 8, "7b": 32}


def scene_of(size: str, seeds: tuple[int, ...]) -> Prompt:
    """A prompt about random pictures, one per seed; equal seeds are equal pictures."""
    height, width = PICTURE[size]
    images = tuple(
        np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
        for seed in seeds
    )
    keys = tuple(f"picture {seed}" for seed in seeds)
    video = VisualItem(images, Stride.VIDEO, None, keys)
    return Prompt("You are a helpful assistant.", (video, "\n8 views.\n"), "Is it free? yes or no.")


class Asker:
    """Asks an engine, cold or warm, one question after the other."""

    def __init__(self, engine: Engine, prompt: Prompt, limits: Limits) -> None:
        self.engine = engine
        self.prompt = prompt
        self.limits = limits

    def warm(self) -> None:
        """Ask with whatever is kept."""
        self.engine.generate(self.prompt, self.limits)

    def cold(self) -> None:
        """Ask with nothing kept."""
        self.engine.forget()
        self.warm()

    def several(self, count: int) -> None:
        """Ask ``count`` times, the first with nothing kept."""
        self.cold()
        for _ in range(count - 1):
            self.warm()


def run(options: BenchOptions) -> list[Row]:
    """Rows of the scene cache."""
    engine = random_engine(options.size, options.device, options.dtype)
    prompt = scene_of(options.size, tuple(range(VIEWS)))
    one = Asker(engine, prompt, Limits(max_new_tokens=1))
    whole = Asker(engine, prompt, Limits(max_new_tokens=NEW_TOKENS[options.size]))
    sides: dict[str, Callable[[], object]] = {
        "first token, nothing kept": one.cold,
        "first token, scene kept": one.warm,
        "1 question": whole.cold,
        "10 questions": lambda: whole.several(10),
    }
    times = measure(sides, options.rounds, options.device)
    rows = [
        _row(times, "first token, scene kept", "first token, nothing kept", "<= 0.05"),
        _row(times, "10 questions", "1 question", ""),
        _new_view(engine, options),
        _seen_again(engine, prompt),
    ]
    return [Row("first token, nothing kept", *_ms(times["first token, nothing kept"])), *rows]


def _ms(found: Times) -> tuple[float, str]:
    return 1e3 * found.median, "ms"


def _row(times: dict[str, Times], what: str, against: str, goal: str) -> Row:
    ratio = times[what].median / times[against].median
    return Row(what, *_ms(times[what]), ratio, against, goal, times[what])


def _new_view(engine: Engine, options: BenchOptions) -> Row:
    """One view of eight is new: seven encoded pictures are kept, and the prefix they share."""
    fresh = itertools.count(1000)
    known = tuple(range(VIEWS))
    base = Asker(engine, scene_of(options.size, known), Limits(max_new_tokens=1))

    def one_new() -> None:
        prompt = scene_of(options.size, (*known[:-1], next(fresh)))
        Asker(engine, prompt, Limits(max_new_tokens=1)).warm()

    times = measure({"all again": base.cold, "one new": one_new}, options.rounds, options.device)
    ratio = times["one new"].median / times["all again"].median
    return Row(
        "first token, one new view of 8",
        *_ms(times["one new"]),
        ratio,
        "first token, nothing kept",
        "<= 0.25",
        times["one new"],
    )


def _seen_again(engine: Engine, prompt: Prompt) -> Row:
    """Encodes of a question about frames that were seen before."""
    asker = Asker(engine, prompt, Limits(max_new_tokens=1))
    asker.warm()
    before = engine.work.encodes
    asker.warm()
    return Row("a frame already seen", engine.work.encodes - before, "encodes", goal="<= 0")
