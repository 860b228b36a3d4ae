"""Random models of named sizes: how fast and large a model is does not depend on its weights.

Sizes are those of published configurations; the vision tower of "0.5b" is cut down so that a CPU
gets through it (the 0.5B language model has no published Oryx).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from oryx_scene.model.api import ModelCard
from oryx_scene.model.checkpoint.quant_linear import describe, quantise_language
from oryx_scene.model.checkpoint.random_model import VISION, tiny_config, write_byte_tokenizer
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer
from oryx_scene.model.engine.engine import Engine, EngineConfig, Stops
from oryx_scene.model.oryx.attention import choose_backend
from oryx_scene.model.oryx.language import (
    build_language_model,
    language_config,
    materialise_buffers,
)
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.vision import VisionConfig


@dataclass(frozen=True)
class ModelSize:
    """Sizes of a language model and of a vision tower."""

    language: dict[str, Any]
    vision: VisionConfig


# Qwen2-0.5B and Qwen2-7B as their config.json state them (huggingface.co/Qwen).
SIZES = {
    "tiny": ModelSize({}, VISION),
    "0.5b": ModelSize(
        {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
        },
        VisionConfig(width=384, depth=6, heads=6, mlp_hidden=1434, position_grid=32),
    ),
    "7b": ModelSize(
        {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
        },
        VisionConfig(),
    ),
}


def random_model(size: str, device: torch.device, dtype: torch.dtype, seed: int = 0) -> Oryx:
    """An Oryx of a named size whose weights are drawn on the device itself."""
    chosen = SIZES[size]
    config = {**tiny_config(), **chosen.language}
    language = build_language_model(config, f"random {size}")
    with torch.device("meta"):
        model = Oryx(chosen.vision, language, int(config["hidden_size"]))
    model.to(dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if "norm" in name and name.endswith("weight"):
            parameter.data.fill_(1.0)
        elif name.endswith("bias"):
            parameter.data.zero_()
        else:
            parameter.data.uniform_(-0.05, 0.05, generator=generator)
    if config["tie_word_embeddings"]:
        language.lm_head.weight = language.get_input_embeddings().weight
    materialise_buffers(language, device)
    return model.eval().requires_grad_(False)


def random_engine(
    size: str,
    device: torch.device,
    dtype: torch.dtype,
    config: EngineConfig | None = None,
    quantization: str = "none",
) -> Engine:
    """An engine around :func:`random_model` with the byte tokenizer; no answer of it ends early."""
    described = {**tiny_config(), **SIZES[size].language}
    model = random_model(size, device, dtype)
    if quantization != "none":
        quantise_language(model.language, quantization)
    with tempfile.TemporaryDirectory(prefix="oryx-scene-bench-") as folder:
        write_byte_tokenizer(Path(folder))
        tokenizer = HubTokenizer(Path(folder), "qwen2", language_config(described, folder))
    width = SIZES[size].vision.width // SIZES[size].vision.heads
    card = ModelCard(
        name=f"random-{size}",
        revision="",
        dtype=str(dtype).removeprefix("torch."),
        device=str(device),
        context_length=int(described["max_position_embeddings"]),
        trained=False,
        quantization=describe(model.language, quantization),
        attention=choose_backend(device.type, dtype, width),
    )
    return Engine(model, tokenizer, card, Stops(frozenset()), config)
