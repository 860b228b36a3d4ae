"""Keys and values of a prefix: one contiguous slab for all layers, filled from front to back.

A slab is written once by the prefill of its scene and read by every question after it; what follows
the prefix belongs to the question (`decode_batch`). Token-major, so that the first tokens of one
slab are one plain copy away from being the first tokens of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class KVShape:
    """What one token takes in the cache.

    Attributes:
        layers, heads, width: layers, key-value heads, width of a head.
        dtype, device: of keys and values.
    """

    layers: int
    heads: int
    width: int
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, language: Any) -> KVShape:
        """The shape for a causal language model of transformers."""
        config = language.config
        width = getattr(config, "head_dim", None)
        return cls(
            config.num_hidden_layers,
            config.num_key_value_heads,
            width or config.hidden_size // config.num_attention_heads,
            language.model.norm.weight.dtype,
            language.model.norm.weight.device,
        )

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's keys and values in all layers."""
        return 2 * self.layers * self.heads * self.width * self.dtype.itemsize

    def empty(self, *middle: int) -> Tensor:
        """(layers, 2, *middle, heads, width), keys first; not initialised."""
        shape = (self.layers, 2, *middle, self.heads, self.width)
        return torch.empty(shape, dtype=self.dtype, device=self.device)


class Slab:
    """Keys and values of up to ``capacity`` consecutive tokens.

    Args:
        shape: what a token takes.
        capacity: most tokens.
    """

    def __init__(self, shape: KVShape, capacity: int) -> None:
        self.shape = shape
        self.data = shape.empty(capacity)  # (layers, 2, capacity, heads, width)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Most tokens."""
        return self.data.shape[2]

    @property
    def bytes(self) -> int:
        """Bytes of the whole slab."""
        return self.data.numel() * self.data.element_size()

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values (length, heads, width) of one layer."""
        kept = self.data[index, :, : self.length]
        return kept[0], kept[1]

    def write(self, index: int, start: int, k: Tensor, v: Tensor) -> None:
        """Put (n, heads, width) keys and values of one layer at ``start``."""
        self.data[index, 0, start : start + k.shape[0]] = k
        self.data[index, 1, start : start + v.shape[0]] = v

    def take_prefix(self, other: Slab, length: int) -> None:
        """Begin with the first ``length`` tokens of ``other``."""
        self.data[:, :, :length] = other.data[:, :, :length]
        self.length = length
