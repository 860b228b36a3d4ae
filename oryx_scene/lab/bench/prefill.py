"""Prefill: ours in chunks against one pass of transformers, and the share of the matmul peak."""

from __future__ import annotations

import torch

from oryx_scene.lab.bench.language import prefill_flops
from oryx_scene.lab.bench.limits import measure_limits
from oryx_scene.lab.bench.models import random_engine
from oryx_scene.lab.bench.options import BenchOptions
from oryx_scene.lab.bench.report import Row
from oryx_scene.lab.bench.timing import measure
from oryx_scene.model.engine.decode_batch import prefill
from oryx_scene.model.engine.kv import Slab

TOKENS = {"tiny": 600, "0.5b": 1024, "7b": 8192}


def run(options: BenchOptions) -> list[Row]:
    """Rows for one prompt of ``options.tokens``."""
    engine = random_engine(options.size, options.device, options.dtype, None, options.quantization)
    language = engine.model.language
    tokens = options.tokens or TOKENS[options.size]
    limits = measure_limits(options.device, options.dtype, tiny=options.tiny)
    embeds = torch.randn(tokens, language.config.hidden_size, device=options.device)
    embeds = embeds.to(options.dtype)

    def ours() -> None:
        prefill(engine.decoder, Slab(engine.decoder.shape, tokens), embeds)

    def theirs() -> None:
        language(inputs_embeds=embeds[None], use_cache=True, logits_to_keep=1)

    with torch.inference_mode():
        times = measure(
            {"ours": ours, "transformers forward": theirs}, options.rounds, options.device
        )
    median = times["ours"].median
    flops = prefill_flops(language, tokens)
    goal = ">= 0.55" if options.device.type == "cuda" else ""
    return [
        Row(
            f"prefill of {tokens} tokens",
            tokens / median,
            "tok/s",
            flops / median / limits.matmul_flops,
            "matmul peak",
            goal,
            times["ours"],
        ),
        Row(
            "transformers, one forward",
            tokens / times["transformers forward"].median,
            "tok/s",
            times["transformers forward"].median / median,
            "ours",
            "",
            times["transformers forward"],
        ),
    ]
