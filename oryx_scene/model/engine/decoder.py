"""The language model's forward, written out over the weights of transformers' modules.

RMS norm, rotary positions, grouped-query attention and gated MLP of Qwen2 / Qwen2.5 and Llama (Yi),
for a packed run of tokens. Which tokens see which is the caller's business: attention is a function
that it gives. Tested against transformers' own forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.engine.kv import KVShape

# (layer, q (n, heads, width), k (n, kv_heads, width), v) -> (n, heads, width), any float type
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


class Decoder:
    """The layers of a causal language model of transformers.

    Where linear layers say ``float_activations`` (on a CPU), activations are float32 whatever the
    weights are: half precision saves reading there, not arithmetic.

    Args:
        language: the model; its modules are read at every call, so that a linear layer may be
            replaced by a quantised one that takes (n, in) and gives (n, out) in the same dtype.

    Raises:
        EngineError: a model with sliding-window attention, which no published Oryx uses.
    """

    def __init__(self, language: Any) -> None:
        kinds = set(getattr(language.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            raise EngineError(f"attention of kind {', '.join(sorted(kinds))} is not supported.")
        self.language = language
        self.shape = KVShape.of(language)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (n,) to embeddings (n, hidden_size)."""
        embedded: Tensor = self.language.get_input_embeddings()(ids.to(self.shape.device))
        return embedded

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        attend: Attend,
        check: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Hidden states (n, hidden_size) after the last layer, before the last norm.

        Args:
            x: (n, hidden_size) embeddings.
            positions: (n,) of each token in its own sequence.
            attend: mixes one layer's values; it also keeps keys and values.
            check: called before each layer; what it raises ends the pass.
        """
        model = self.language.model
        if getattr(self.language.lm_head, "float_activations", False):
            x = x.float()
        turn = _rotary(model.rotary_emb, x, positions)
        for index, layer in enumerate(model.layers):
            check()
            mixed = self._attention(
                index, layer.self_attn, _norm(layer.input_layernorm, x), turn, attend
            )
            x = x + mixed
            x = x + _mlp(layer.mlp, _norm(layer.post_attention_layernorm, x))
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (n, vocabulary) after hidden states (n, hidden_size) of :meth:`forward`."""
        found: Tensor = self.language.lm_head(_norm(self.language.model.norm, hidden))
        return found

    def _attention(
        self, index: int, own: Any, x: Tensor, turn: tuple[Tensor, Tensor], attend: Attend
    ) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (-1, self.shape.width))
            for part in (own.q_proj, own.k_proj, own.v_proj)
        )
        # Together: half as many small kernels.
        q, k = _turned(torch.cat((q, k), 1), turn).split((q.shape[1], k.shape[1]), 1)
        mixed = attend(index, q, k, v)
        out: Tensor = own.o_proj(mixed.to(x.dtype).flatten(1))
        return out


def _norm(module: Any, x: Tensor) -> Tensor:
    weight: Tensor = module.weight
    eps: float = module.variance_epsilon
    if x.dtype is weight.dtype:
        return F.rms_norm(x, (x.shape[-1],), weight, eps)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def _mlp(module: Any, x: Tensor) -> Tensor:
    out: Tensor = module.down_proj(module.act_fn(module.gate_proj(x)) * module.up_proj(x))
    return out


def _rotary(module: Any, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (n, 1, width) of ``positions``; the sines carry the turn's sign."""
    cos, sin = module(x[None], positions[None])
    first, second = sin[0, :, None].chunk(2, dim=-1)
    return cos[0, :, None], torch.cat((-first, second), dim=-1)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding (Su et al. 2021), halves as transformers lays them out."""
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * turn[0], torch.cat((second, first), dim=-1), turn[1])
