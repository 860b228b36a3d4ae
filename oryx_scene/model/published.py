"""Sizes of the published checkpoints, as their own configurations state them.

Sources: config.json of THUdyh/Oryx-7B, Oryx-34B, Oryx-1.5-7B and Oryx-1.5-32B on huggingface.co,
which repeat those of Qwen2-7B, Yi-34B, Qwen2.5-7B and Qwen2.5-32B. All share the so400m tower.
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
