"""Decode: tokens per second beside transformers.generate and the bytes that a step must read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from oryx_scene.bench.language import kv_bytes, weight_bytes
from oryx_scene.bench.limits import measure_limits
from oryx_scene.bench.models import random_engine
from oryx_scene.bench.options import BenchOptions
from oryx_scene.bench.report import Row
from oryx_scene.bench.timing import measure
from oryx_scene.model.kv import Slab
from oryx_scene.model.rows import Rows
from oryx_scene.model.rows import prefill as prefill_scene

STEPS = {"tiny": 8, "0.5b": 16, "7b": 64}
PROMPT = {"tiny": 32, "0.5b": 64, "7b": 1024}


def run(options: BenchOptions) -> list[Row]:
    """Rows for one row of greedy decode after a prompt of ``options.tokens``."""
    engine = random_engine(options.size, options.device, options.dtype)
    language = engine.model.language
    steps, prompt = STEPS[options.size], options.tokens or PROMPT[options.size]
    limits = measure_limits(options.device, options.dtype, tiny=options.tiny)
    ids = torch.arange(prompt, device=options.device) % 256
    scene = Slab(engine.decoder.shape, prompt)
    with torch.inference_mode():
        prefill_scene(engine.decoder, scene, engine.decoder.embed(ids))

        def ours() -> None:
            rows = Rows(engine.decoder, scene, 1, shared=True)
            for _ in range(steps):
                rows.step([7])

        times = measure(
            {"ours": ours, "generate": lambda: _generate(language, ids, steps)},
            options.rounds,
            options.device,
        )
        prefill = measure({"prefill": lambda: _generate(language, ids, 1)}, 3, options.device)
    step = times["ours"].median / steps
    # generate() prefills too: what one token costs alone is taken off.
    theirs = (times["generate"].median - prefill["prefill"].median) / (steps - 1)
    size = torch.empty(0, dtype=options.dtype).element_size()
    needed = weight_bytes(language) + kv_bytes(language, prompt, size)
    bandwidth = limits.copy_bytes if options.device.type == "cuda" else limits.read_bytes
    against = "byte limit (copy)" if options.device.type == "cuda" else "byte limit (read)"
    goal = ">= 0.75" if options.device.type == "cuda" else ""
    return [
        Row(
            f"decode, 1 row after {prompt} tokens",
            1 / step,
            "tok/s",
            needed / bandwidth / step,
            against,
            goal,
            times["ours"],
        ),
        Row(
            "transformers.generate, greedy",
            1 / theirs,
            "tok/s",
            theirs / step,
            "ours",
            "" if options.tiny else ">= 1.5",
            times["generate"],
        ),
    ]


def _generate(language: Any, ids: Tensor, steps: int) -> None:
    language.generate(
        ids[None],
        attention_mask=torch.ones_like(ids[None]),
        max_new_tokens=steps,
        min_new_tokens=steps,
        do_sample=False,
        pad_token_id=0,
    )
