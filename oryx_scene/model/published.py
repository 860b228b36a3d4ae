"""Sizes of the published checkpoints, those of the language models that they are built on.

Taken for those of Qwen2-7B, Qwen2.5-7B, Qwen2.5-32B and Yi-34B, whose numbers are publicly known,
with the so400m tower; the checkpoints' own config.json were not opened. Two totals were compared
with the sizes of the published files, 16.13 GB of Oryx-7B and 66.5 GB of Oryx-1.5-32B, and agree.
"""

from __future__ import annotations

from typing import Any

_COMMON = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "hidden_act": "silu"}
_QWEN_7B = {
    **_COMMON,
    "model_type": "oryx_qwen",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "Oryx-7B": _QWEN_7B,
    "Oryx-1.5-7B": _QWEN_7B,
    "Oryx-1.5-32B": {
        **_COMMON,
        "model_type": "oryx_qwen",
        "hidden_size": 5120,
        "intermediate_size": 27648,
        "num_hidden_layers": 64,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "vocab_size": 152064,
    },
    "Oryx-34B": {
        **_COMMON,
        "model_type": "oryx_llama",
        "hidden_size": 7168,
        "intermediate_size": 20480,
        "num_hidden_layers": 60,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
        "vocab_size": 64000,
    },
}
