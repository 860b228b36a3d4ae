"""A tiny Oryx with random weights, written as an ordinary checkpoint folder.

It makes the whole way runnable with no weights at hand. Its answers mean nothing and are labelled.
The tokenizer knows bytes only, so that any text survives the way there and back.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from oryx_scene.model.oryx.language import build_language_model
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.vision import VisionConfig

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 256 + len(SPECIALS)
VISION = VisionConfig(width=64, depth=2, heads=4, mlp_hidden=239, patch=16, position_grid=16)


def tiny_config(model_type: str = "oryx_qwen") -> dict[str, Any]:
    """config.json of the tiny model, in the published layout."""
    return {
        "architectures": ["OryxQwenForCausalLM"],
        "model_type": model_type,
        "bos_token_id": 256,
        "eos_token_id": 258,
        "hidden_act": "silu",
        "hidden_size": 64,
        "intermediate_size": 128,
        "max_position_embeddings": 32768,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "vocab_size": VOCABULARY,
        "mm_hidden_size": VISION.width,
        "mm_projector_type": "simple_mlp_twoview",
        "mm_resampler_type": "dynamic_compressor",
        "mm_vision_tower": "oryx_vit:oryx_vit.pth",
        "tokenizer_model_max_length": 32768,
        "tokenizer_padding_side": "right",
        "torch_dtype": "float32",
        "oryx_vit": dataclasses.asdict(VISION),
        "oryx_scene": {"trained": False, "name": "random"},
    }


def write_byte_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer with the chat control tokens, in the files transformers reads."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 32768,
            "eos_token": SPECIALS[2],
            "pad_token": SPECIALS[0],
        },
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def random_oryx(config: dict[str, Any], vision: VisionConfig, seed: int) -> Oryx:
    """An Oryx on the CPU whose weights are drawn from ``seed``, float32."""
    language = build_language_model(config, "random")
    with torch.device("meta"):
        model = Oryx(vision, language, int(config["hidden_size"]))
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if "norm" in name and name.endswith("weight"):
            parameter.data.fill_(1.0)
        elif name.endswith("bias"):
            parameter.data.zero_()
        else:
            parameter.data.normal_(0.0, 0.05, generator=generator)
    return model.eval().requires_grad_(False)


def write_random_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """Write the tiny random checkpoint into ``folder`` and return it."""
    from safetensors.torch import save_file

    from oryx_scene.model.checkpoint.checkpoint import published_name

    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config()
    _write_json(folder / "config.json", config)
    _write_json(
        folder / "generation_config.json",
        {"bos_token_id": 256, "eos_token_id": [258, 256], "pad_token_id": 256},
    )
    write_byte_tokenizer(folder)
    model = random_oryx(config, VISION, seed)
    tensors = {published_name(name): value for name, value in model.state_dict().items()}
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder
