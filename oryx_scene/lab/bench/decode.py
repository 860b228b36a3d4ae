"""Decode: one row and eight, beside transformers.generate and the bytes that a step must read.

Steps are those of the engine: plain ones on a CPU, captured graphs on CUDA. A dry run on a CPU
takes the steps of constant shape, too, without a capture. A step chooses its tokens, as generate
does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from oryx_scene.lab.bench.language import kv_bytes, weight_bytes
from oryx_scene.lab.bench.limits import measure_limits
from oryx_scene.lab.bench.models import random_engine
from oryx_scene.lab.bench.options import BenchOptions
from oryx_scene.lab.bench.report import Row
from oryx_scene.lab.bench.timing import Times, measure
from oryx_scene.model.checkpoint.cpu_linear import CpuLinear
from oryx_scene.model.engine.cuda_graphs import StaticRows
from oryx_scene.model.engine.decode import Stepper
from oryx_scene.model.engine.decode_batch import DecodeBatch, prefill
from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.kv import Slab
from oryx_scene.model.engine.sampling import largest

STEPS = {"tiny": 8, "0.5b": 8, "7b": 64}
PROMPT = {"tiny": 32, "0.5b": 64, "7b": 1024}
ROWS = 8
# Share of the byte limit on an H200-class GPU, by quantization.
BYTE_GOALS = {"none": ">= 0.75", "int8": ">= 0.6", "int4": ">= 0.5"}


def run(options: BenchOptions) -> list[Row]:
    """Rows for greedy decode after a prompt of ``options.tokens`` that all rows share."""
    engine = random_engine(options.size, options.device, options.dtype, None, options.quantization)
    language = engine.model.language
    steps, prompt = STEPS[options.size], options.tokens or PROMPT[options.size]
    limits = measure_limits(options.device, options.dtype, tiny=options.tiny)
    ids = torch.arange(prompt, device=options.device) % 256
    scene = Slab(engine.decoder.shape, prompt)
    cuda = options.device.type == "cuda"
    with torch.inference_mode():
        prefill(engine.decoder, scene, engine.decoder.embed(ids))
        static = _static(engine.decoder, prompt, cuda) if cuda or options.tiny else None
        sides: dict[str, Callable[[], object]] = {
            "1 row": lambda: _steps(engine.decoder, scene, 1, steps, None),
            "8 rows": lambda: _steps(engine.decoder, scene, ROWS, steps, None),
            "8 copies": lambda: _steps(engine.decoder, scene, ROWS, steps, None, shared=False),
            # generate() prefills too: what one token costs alone is taken off.
            "generate": lambda: _generate(language, ids, steps + 1),
            "generate 1": lambda: _generate(language, ids, 1),
        }
        if static is not None:
            sides["1 static"] = lambda: _steps(engine.decoder, scene, 1, steps, static)
            sides["8 static"] = lambda: _steps(engine.decoder, scene, ROWS, steps, static)
        times = measure(sides, options.rounds, options.device)
    linear = engine.card.linear if options.quantization == "none" else engine.card.quantization
    one, eight = ("1 static", "8 static") if cuda else ("1 row", "8 rows")
    step = times[one].median / steps
    theirs = (times["generate"].median - times["generate 1"].median) / steps
    needed = weight_bytes(language) + kv_bytes(language, prompt, options.dtype.itemsize)
    bandwidth = limits.copy_bytes if cuda else limits.read_bytes
    rows = [
        Row(
            f"decode, 1 row after {prompt} tokens, linear: {linear}",
            1 / step,
            "tok/s",
            needed / bandwidth / step,
            f"byte limit ({'copy' if cuda else 'read'})",
            BYTE_GOALS[options.quantization] if cuda else "",
            times[one],
        ),
        _eight("8 rows, scene read once", times[eight], times[one], steps, _goal(options)),
        _eight("8 rows, scene copied", times["8 copies"], times[one], steps, ""),
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
    if static is not None:
        plain = ("1 row", "8 rows") if cuda else ("1 static", "8 static")
        word = "not captured" if cuda else "constant shapes, not captured"
        rows += [
            _over(f"1 row, {word}", times[plain[0]], times[one], 1, steps),
            _over(f"8 rows, {word}", times[plain[1]], times[one], ROWS, steps),
        ]
    return rows


def _static(decoder: Decoder, prompt: int, cuda: bool) -> StaticRows:
    static = StaticRows(decoder, prompt, ROWS)
    if cuda:
        static.capture()
        static.check()
    return static


def _over(what: str, times: Times, one: Times, count: int, steps: int) -> Row:
    rate = count * steps / times.median
    return Row(what, rate, "tok/s", times.median / one.median, "step of 1 row", "", times)


def _goal(options: BenchOptions) -> str:
    if options.tiny or options.dtype is torch.float32:
        return ""
    return "<= 1.15" if options.device.type == "cuda" else "<= 1.3"


def _eight(what: str, times: Times, one: Times, steps: int, goal: str) -> Row:
    """A step of eight rows over one of one row."""
    rate = ROWS * steps / times.median
    return Row(what, rate, "tok/s", times.median / one.median, "step of 1 row", goal, times)


def _steps(
    decoder: Decoder,
    scene: Slab,
    count: int,
    steps: int,
    static: StaticRows | None,
    *,
    shared: bool = True,
) -> None:
    rows = DecodeBatch(decoder, scene, count, shared=shared)
    if static is not None:
        static.take(rows)
    stepper: Stepper = static or rows
    tokens = [7] * count
    for _ in range(steps):
        tokens = [token for _, token in largest(stepper.step(tokens))]


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
