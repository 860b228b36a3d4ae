"""Sizes and contexts of the published checkpoints.

From their config.json as public pages show it: Oryx-7B, Oryx-34B-Image and Oryx-1.5-Image. The
others are taken for those of the language models that they are built on (Qwen2-7B, Qwen2.5-7B,
Qwen2.5-32B, Yi-1.5-34B), with the so400m tower. No weights were downloaded; docs/model.md says of
each what is known and how.
"""

from __future__ import annotations

from typing import Any

_COMMON = {
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "mm_resampler_type": "dynamic_compressor",
}
_QWEN = {
    **_COMMON,
    "model_type": "oryx_qwen",
    "rope_theta": 1e6,
    "use_sliding_window": False,
    "vocab_size": 152064,
}
_QWEN_7B = {
    **_QWEN,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
_QWEN_32B = {
    **_QWEN,
    "hidden_size": 5120,
    "intermediate_size": 27648,
    "num_hidden_layers": 64,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
}
_YI_34B = {
    **_COMMON,
    "model_type": "oryx_llama",
    "rope_theta": 5e6,
    "rope_scaling": None,
    "hidden_size": 7168,
    "intermediate_size": 20480,
    "num_hidden_layers": 60,
    "num_attention_heads": 56,
    "num_key_value_heads": 8,
    "vocab_size": 64000,
}
# Tuned on single images before the videos; they bring no compressor.
_IMAGE: dict[str, Any] = {"mm_resampler_type": None}
PUBLISHED: dict[str, dict[str, Any]] = {
    "Oryx-7B": _QWEN_7B,
    "Oryx-7B-Image": {**_QWEN_7B, **_IMAGE},
    "Oryx-1.5-7B": _QWEN_7B,
    "Oryx-1.5-Image": {**_QWEN_7B, **_IMAGE},
    "Oryx-1.5-32B": _QWEN_32B,
    "Oryx-1.5-32B-Image": {**_QWEN_32B, **_IMAGE},
    "Oryx-34B": _YI_34B,
    "Oryx-34B-Image": {**_YI_34B, **_IMAGE, "max_position_embeddings": 16384},
}
