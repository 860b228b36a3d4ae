"""One scene of eight views and many questions: what the caches and the shared passes save.

Times of a question on a cached scene over times of the same question with nothing kept.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import numpy as np

from oryx_scene.lab.bench.language import read_flops
from oryx_scene.lab.bench.limits import measure_limits
from oryx_scene.lab.bench.models import random_engine
from oryx_scene.lab.bench.options import BenchOptions
from oryx_scene.lab.bench.report import Row
from oryx_scene.lab.bench.timing import Times, measure
from oryx_scene.model.api import Limits, Prompt, Stride, VisualItem
from oryx_scene.model.checkpoint.tokenizer import split_prompt_ids
from oryx_scene.model.engine.engine import Engine
from oryx_scene.model.oryx.prompt_layout import views_of

VIEWS = 8
# (height, width) of a prepared view: multiples of 32 at 4x.
PICTURE = {"tiny": (320, 416), "0.5b": (320, 416), "7b": (416, 544)}
# Tokens of a longer scene, of text alone, on which a first token is timed.
LONG = {"tiny": 600, "0.5b": 2048, "7b": 10000}
# With what the tokenizer of bytes adds this is a question of 25 tokens.
QUESTION = "Is it free?"
NEW_TOKENS = {"tiny": 8, "0.5b": 8, "7b": 32}
CANCELS = 40


def scene_of(size: str, seeds: tuple[int, ...], question: str = QUESTION) -> Prompt:
    """A prompt about random pictures, one per seed; equal seeds are equal pictures."""
    height, width = PICTURE[size]
    images = tuple(
        np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
        for seed in seeds
    )
    keys = tuple(f"picture {seed}" for seed in seeds)
    video = VisualItem(images, Stride.VIDEO, None, keys)
    return Prompt("You are a helpful assistant.", (video, "\n8 views.\n"), question)


class Asker:
    """Asks an engine, cold or warm, one question after the other or together."""

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

    def in_turn(self, count: int) -> None:
        """Ask ``count`` times, the first with nothing kept."""
        self.cold()
        for _ in range(count - 1):
            self.warm()

    def together(self, count: int) -> None:
        """Ask ``count`` questions in one call, with nothing kept."""
        self.engine.forget()
        self.engine.generate_many([self.prompt] * count, self.limits)


def run(options: BenchOptions) -> list[Row]:
    """Rows of the scene cache."""
    engine = random_engine(options.size, options.device, options.dtype, None, options.quantization)
    engine.warm_up()
    prompt = scene_of(options.size, tuple(range(VIEWS)))
    one = Asker(engine, prompt, Limits(max_new_tokens=1))
    whole = Asker(engine, prompt, Limits(max_new_tokens=NEW_TOKENS[options.size]))
    sides: dict[str, Callable[[], object]] = {
        "cold": one.cold,
        "warm": one.warm,
        "whole, warm": whole.warm,
        "in turn": lambda: whole.in_turn(10),
        "together": lambda: whole.together(10),
    }
    times = measure(sides, options.rounds, options.device)
    return [
        Row("first token, nothing kept", *_ms(times["cold"]), times=times["cold"]),
        _over("first token, scene kept", times["warm"], times["cold"], "nothing kept", "<= 0.05"),
        _ten_in_turn(times),
        _over("10 questions together", times["together"], times["in turn"], "in turn", ""),
        _new_view(engine, options),
        *_seen_again(engine, prompt, options),
        *_eight_answers_read(engine, prompt, options),
        _long_scene(engine, options),
        _cancel(engine, prompt),
    ]


def _ms(found: Times) -> tuple[float, str]:
    return 1e3 * found.median, "ms"


def _over(what: str, times: Times, base: Times, against: str, goal: str) -> Row:
    return Row(what, *_ms(times), times.median / base.median, against, goal, times)


def _ten_in_turn(times: dict[str, Times]) -> Row:
    """All ten, without the steps of decode, over the time to a first token with nothing kept."""
    decode = 10 * (times["whole, warm"].median - times["warm"].median)
    rest = times["in turn"].median - decode
    return Row(
        "10 questions in turn, decode taken off",
        1e3 * rest,
        "ms",
        rest / times["cold"].median,
        "first token, nothing kept",
        "<= 1.5",
        times["in turn"],
    )


def _new_view(engine: Engine, options: BenchOptions) -> Row:
    """The last of eight views is new: seven pictures and the tokens before it are kept."""
    fresh = itertools.count(1000)
    known = tuple(range(VIEWS))
    base = Asker(engine, scene_of(options.size, known), Limits(max_new_tokens=1))

    def one_new() -> None:
        prompt = scene_of(options.size, (*known[:-1], next(fresh)))
        Asker(engine, prompt, Limits(max_new_tokens=1)).warm()

    times = measure({"all": base.cold, "one new": one_new}, options.rounds, options.device)
    what = "first token, one new view of 8"
    return _over(what, times["one new"], times["all"], "nothing kept", "<= 0.25")


def _seen_again(engine: Engine, prompt: Prompt, options: BenchOptions) -> list[Row]:
    """A frame that was seen before: what is encoded, and how long finding it takes."""
    item = prompt.scene[0]
    assert isinstance(item, VisualItem)
    views = views_of(item)[:1]
    engine.encode(views)
    before = engine.work.encodes
    found = measure({"seen": lambda: engine.encode(views)}, 5 * options.rounds, options.device)
    return [
        Row("a frame already seen", engine.work.encodes - before, "encodes", goal="<= 0"),
        Row("finding it", *_ms(found["seen"]), goal="<= 1", times=found["seen"]),
    ]


def _long_scene(engine: Engine, options: BenchOptions) -> Row:
    """A first token on a kept scene of many tokens."""
    text = "x" * LONG[options.size]
    asker = Asker(engine, Prompt("", (text,), QUESTION), Limits(max_new_tokens=1))
    found = measure({"warm": asker.warm}, options.rounds, options.device)["warm"]
    goal = "<= 8" if options.size == "7b" else ""
    return Row(f"first token, {len(text)} tokens kept", *_ms(found), goal=goal, times=found)


def _eight_answers_read(engine: Engine, prompt: Prompt, options: BenchOptions) -> list[Row]:
    """The packed pass that gives the scores of eight yes/no questions, over a step of decode."""
    asker = Asker(engine, prompt, Limits(max_new_tokens=1 + NEW_TOKENS[options.size]))
    first = Asker(engine, prompt, Limits(max_new_tokens=1))
    asker.warm()
    times = measure(
        {
            "8 read": lambda: engine.question_logits([prompt] * 8),
            "steps": asker.warm,
            "no step": first.warm,
        },
        options.rounds,
        options.device,
    )
    step = (times["steps"].median - times["no step"].median) / NEW_TOKENS[options.size]
    read = times["8 read"]
    what = "8 yes/no questions on a kept scene"
    tokens = 8 * len(split_prompt_ids(engine.tokenizer, prompt)[1])
    peak = measure_limits(options.device, options.dtype, tiny=options.tiny).matmul_flops
    share = read_flops(engine.model.language, tokens, rows=8) / read.median / peak
    return [
        Row(what, *_ms(read), read.median / step, "a step of decode", "<= 1.5", read),
        Row(f"the same, {tokens} tokens", *_ms(read), share, "matmul peak", "", read),
    ]


def _cancel(engine: Engine, prompt: Prompt) -> Row:
    """From a cancel at any moment of prefill or decode to the engine being free again."""
    waits = []
    for index in range(CANCELS):
        if index % 2:
            engine.forget()
        cancelled = threading.Event()
        moments: list[float] = []

        def fire(event: threading.Event = cancelled, at: list[float] = moments) -> None:
            at.append(time.perf_counter())
            event.set()

        timer = threading.Timer(0.002 + 0.001 * (index % 20), fire)
        timer.start()
        limits = Limits(max_new_tokens=4000, cancelled=cancelled.is_set)
        engine.generate(prompt, limits)
        waits.append(time.perf_counter() - moments[0])
    times = Times(waits[0], tuple(waits))
    return Row(
        "cancel, 95th percentile", 1e3 * times.quantile(0.95), "ms", goal="<= 50", times=times
    )
