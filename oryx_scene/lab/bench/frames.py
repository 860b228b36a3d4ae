"""Very many frames in one prompt at 16x: whether they fit, how long they take, what they need.

Peak memory is the allocator's on CUDA, over what was predicted before (`oryx-scene memory`), and
the whole process's on a CPU, where nothing is compared.
"""

from __future__ import annotations

import resource

import numpy as np
import torch

from oryx_scene.lab.bench.models import SIZES, random_engine
from oryx_scene.lab.bench.options import BenchOptions
from oryx_scene.lab.bench.report import Row
from oryx_scene.lab.bench.timing import synchronise
from oryx_scene.model.api import Generation, Limits, Prompt, Stride, VisualItem
from oryx_scene.model.checkpoint.memory import GIB, predict
from oryx_scene.model.checkpoint.random_model import tiny_config
from oryx_scene.model.engine.engine import EngineConfig

FRAMES = {"tiny": 32, "0.5b": 64, "7b": 1600}
# (height, width): the smallest that a budget shows of a picture of 640x480.
PICTURE = (192, 256)


def run(options: BenchOptions) -> list[Row]:
    """Rows of one question about ``FRAMES`` of the size."""
    count = FRAMES[options.size]
    # No captured steps: what counts is one first token.
    config = EngineConfig(graph_tokens=0)
    engine = random_engine(
        options.size, options.device, options.dtype, config, options.quantization
    )
    engine.warm_up()
    prompt = _prompt(count)
    if options.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(options.device)
    made = engine.generate(prompt, Limits(max_new_tokens=1))
    synchronise(options.device)
    spent = made.timings_s
    return [
        Row(f"{count} frames at 16x", made.prompt_tokens, "tokens"),
        _rate("encode", spent["encode"], count, "frames/s"),
        _rate("prefill", spent["prefill"], made.prompt_tokens, "tok/s"),
        Row("first token", 1e3 * spent["first_token"], "ms"),
        _peak(options, made),
    ]


def _prompt(count: int) -> Prompt:
    rng = np.random.default_rng(0)
    images = tuple(rng.integers(0, 256, (*PICTURE, 3), dtype=np.uint8) for _ in range(count))
    return Prompt("", (VisualItem(images, Stride.VIDEO_LONG), "\n"), "What changed?")


def _rate(what: str, seconds: float, count: int, unit: str) -> Row:
    return Row(f"{what}, {seconds:.3g} s", count / seconds, unit)


def _peak(options: BenchOptions, made: Generation) -> Row:
    if options.device.type != "cuda":
        whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Row("peak memory of the process", whole / GIB, "GiB")
    peak = torch.cuda.max_memory_allocated(options.device)
    share = peak / _predicted(options, made)
    return Row("peak memory", peak / GIB, "GiB", share, "predicted", "<= 1.0")


def _predicted(options: BenchOptions, made: Generation) -> int:
    patches = EngineConfig().packed_pictures * PICTURE[0] * PICTURE[1] // 256
    return predict(
        {**tiny_config(), **SIZES[options.size].language},
        SIZES[options.size].vision,
        options.dtype,
        options.quantization,
        tokens=made.prompt_tokens,
        patches=patches,
        device_type=options.device.type,
    ).total
