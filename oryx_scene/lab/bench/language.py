"""Operations and bytes of the language model: the physical limits of prefill and decode.

Prefill is bound by operations, decode by the weights and keys and values that a step reads.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def _linears(language: Any) -> list[tuple[str, nn.Module]]:
    """Every linear layer that a token passes, the head included, the input table not."""
    return [
        (name, module)
        for name, module in language.named_modules()
        if hasattr(module, "in_features") and hasattr(module, "out_features")
    ]


def prefill_flops(language: Any, tokens: int) -> float:
    """Operations of one prefill, multiply and add as two, half of the attention (causal).

    The head counts once: logits are needed after the last token only.
    """
    config = language.config
    width = head_width(config) * config.num_attention_heads
    attention = 2 * tokens * tokens * int(width * config.num_hidden_layers)
    return read_flops(language, tokens, rows=1) + attention


def read_flops(language: Any, tokens: int, rows: int) -> float:
    """Operations of the linear layers alone for ``tokens``, the head for ``rows`` of them."""
    body = head = 0
    for name, module in _linears(language):
        weights = int(module.in_features) * int(module.out_features)  # type: ignore[arg-type]
        if name == "lm_head":
            head += weights
        else:
            body += weights
    return 2.0 * body * tokens + 2.0 * head * rows


def head_width(config: Any) -> int:
    """Width of one attention head."""
    return int(
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def weight_bytes(language: Any) -> int:
    """Bytes of weights that one decode step reads: all but the input table, scales included."""
    total = 0
    for _, module in _linears(language):
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return total


def kv_bytes(language: Any, tokens: int, element_size: int) -> int:
    """Bytes of keys and values of ``tokens``."""
    config = language.config
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * head_width(config)
    return int(per_token * tokens * element_size)
