"""Decode: one row and eight, beside transformers.generate and the bytes that a step must read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from oryx_scene.bench.language import kv_bytes, weight_bytes
from oryx_scene.bench.limits import measure_limits
from oryx_scene.bench.models import random_engine
from oryx_scene.bench.options import BenchOptions
from oryx_scene.bench.report import Row
from oryx_scene.bench.timing import Times, measure
from oryx_scene.model.cpu_linear import CpuLinear
from oryx_scene.model.decoder import Decoder
from oryx_scene.model.kv import Slab
from oryx_scene.model.rows import Rows, prefill

STEPS = {"tiny": 8, "0.5b": 8, "7b": 64}
PROMPT = {"tiny": 32, "0.5b": 64, "7b": 1024}
ROWS = 8


def run(options: BenchOptions) -> list[Row]:
    """Rows for greedy decode after a prompt of ``options.tokens`` that all rows share."""
    engine = random_engine(options.size, options.device, options.dtype, None, options.quantization)
    language = engine.model.language
    steps, prompt = STEPS[options.size], options.tokens or PROMPT[options.size]
    limits = measure_limits(options.device, options.dtype, tiny=options.tiny)
    ids = torch.arange(prompt, device=options.device) % 256
    scene = Slab(engine.decoder.shape, prompt)
    with torch.inference_mode():
        prefill(engine.decoder, scene, engine.decoder.embed(ids))
        times = measure(
            {
                "1 row": lambda: _steps(engine.decoder, scene, 1, steps, shared=True),
                "8 rows": lambda: _steps(engine.decoder, scene, ROWS, steps, shared=True),
                "8 copies": lambda: _steps(engine.decoder, scene, ROWS, steps, shared=False),
                # generate() prefills too: what one token costs alone is taken off.
                "generate": lambda: _generate(language, ids, steps + 1),
                "generate 1": lambda: _generate(language, ids, 1),
            },
            options.rounds,
            options.device,
        )
    step = times["1 row"].median / steps
    theirs = (times["generate"].median - times["generate 1"].median) / steps
    needed = weight_bytes(language) + kv_bytes(language, prompt, options.dtype.itemsize)
    cuda = options.device.type == "cuda"
    bandwidth = limits.copy_bytes if cuda else limits.read_bytes
    return [
        Row(
            f"decode, 1 row after {prompt} tokens, linear: {engine.card.linear}",
            1 / step,
            "tok/s",
            needed / bandwidth / step,
            f"byte limit ({'copy' if cuda else 'read'})",
            ">= 0.75" if cuda else "",
            times["1 row"],
        ),
        _eight("8 rows, scene read once", times["8 rows"], times["1 row"], steps, _goal(options)),
        _eight("8 rows, scene copied", times["8 copies"], times["1 row"], steps, ""),
        Row(
            "transformers.generate, greedy",
            1 / theirs,
            "tok/s",
            theirs / step,
            "ours, 1 row",
            "" if options.tiny else ">= 1.5",
            times["generate"],
        ),
    ]


def _goal(options: BenchOptions) -> str:
    if options.tiny or options.dtype is torch.float32:
        return ""
    return "<= 1.15" if options.device.type == "cuda" else "<= 1.3"


def _eight(what: str, times: Times, one: Times, steps: int, goal: str) -> Row:
    """A step of eight rows over one of one row."""
    rate = ROWS * steps / times.median
    return Row(what, rate, "tok/s", times.median / one.median, "step of 1 row", goal, times)


def _steps(decoder: Decoder, scene: Slab, count: int, steps: int, *, shared: bool) -> None:
    rows = Rows(decoder, scene, count, shared=shared)
    for _ in range(steps):
        rows.step([7] * count)


@contextlib.contextmanager
def torch_linears(model: nn.Module) -> Iterator[None]:
    """Linear layers as transformers has them, so that it is not measured with our kernel."""
    ours: list[nn.Module] = [own for own in model.modules() if type(own) is CpuLinear]
    for module in ours:
        module.__class__ = nn.Linear
    try:
        yield
    finally:
        for module in ours:
            module.__class__ = CpuLinear


def _generate(language: Any, ids: Tensor, steps: int) -> None:
    with torch_linears(language):
        language.generate(
            ids[None],
            attention_mask=torch.ones_like(ids[None]),
            max_new_tokens=steps,
            min_new_tokens=steps,
            do_sample=False,
            pad_token_id=0,
        )
