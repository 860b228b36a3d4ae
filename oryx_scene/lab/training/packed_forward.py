"""Many questions behind one scene in one pass: the engine's forward, with attention for training.

The scene goes through the layers once; every question sees it and itself, never another question.
The layers are those of `model.engine.decoder`, under autograd; attention and what it keeps of a
scene are here, which saves the scene's cost for all questions but the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from oryx_scene.model.engine.decoder import Decoder

NEVER = -1e9


@dataclass(eq=False)
class LayerPrefix:
    """Keys and values of one layer, (rows, heads, tokens, head_dim).

    Attributes:
        used: tokens that count, None for all; what follows fills the shape up.
    """

    keys: Tensor
    values: Tensor
    used: int | None = None


class PackedLanguage:
    """A causal language model of transformers with as many key as query heads.

    Args:
        language: its weights are used in place.
    """

    def __init__(self, language: Any) -> None:
        config = language.config
        assert config.num_key_value_heads == config.num_attention_heads
        self.language = language
        self.decoder = Decoder(language)
        self.heads = int(config.num_attention_heads)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids, from any device, to embeddings."""
        table = self.language.get_input_embeddings()
        embedded: Tensor = table(ids.to(table.weight.device))
        return embedded

    def logits(self, hidden: Tensor) -> Tensor:
        """(n, hidden_size) of :meth:`scene` or :meth:`questions` to (n, vocabulary)."""
        return self.decoder.logits(hidden)

    def scene(self, embeds: Tensor, multiple: int = 1) -> tuple[Tensor, list[LayerPrefix]]:
        """The shared part: (tokens, hidden_size) -> last hidden states, and what is kept of it.

        Args:
            embeds: (tokens, hidden_size).
            multiple: of which the tokens are filled up: few shapes, few kernels to prepare.
        """
        used = embeds.shape[0]
        embeds = F.pad(embeds, (0, 0, 0, -used % multiple))
        length = embeds.shape[0]
        mask = embeds.new_full((length, length), NEVER).triu(1)
        kept: list[LayerPrefix] = []

        def mix(_: int, *qkv: Tensor) -> Tensor:
            # (tokens, heads, head_dim) -> (1, heads, tokens, head_dim)
            q, k, v = (x.transpose(0, 1)[None] for x in qkv)
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            kept.append(LayerPrefix(k, v, used))
            mixed: Tensor = (scores + mask).softmax(-1) @ v
            return mixed[0].transpose(0, 1)

        positions = torch.arange(length, device=embeds.device)
        return self.decoder.forward(embeds, positions, mix)[:used], kept

    def nothing(self) -> list[LayerPrefix]:
        """What is kept of no scene at all."""
        weight = self.language.model.layers[0].self_attn.k_proj.weight
        empty = weight.new_zeros(1, self.heads, 1, weight.shape[0] // self.heads)
        return [LayerPrefix(empty, empty, 0) for _ in self.language.model.layers]

    def questions(
        self, embeds: Tensor, scene: list[LayerPrefix], start: int
    ) -> tuple[Tensor, list[LayerPrefix]]:
        """All questions of one scene: (questions, longest, hidden_size), and what is kept of them.

        Args:
            embeds: (questions, longest, hidden_size), shorter ones filled up on the right.
            scene: kept of :meth:`scene`.
            start: tokens of the scene.
        """
        rows, length, _ = embeds.shape
        mask = embeds.new_full((length, length), NEVER).triu(1)
        kept: list[LayerPrefix] = []

        def mix(layer: int, *qkv: Tensor) -> Tensor:
            q, k, v = (_rows_of(x, rows) for x in qkv)
            kept.append(LayerPrefix(k, v))
            return _packed(_attend(q, k, v, scene[layer], mask))

        positions = torch.arange(start, start + length, device=embeds.device).repeat(rows)
        hidden = self.decoder.forward(embeds.flatten(0, 1), positions, mix)
        return hidden.unflatten(0, (rows, length)), kept

    # -- writing answers ------------------------------------------------------------------------

    def answers(
        self,
        ids: list[list[int]],
        scene: list[LayerPrefix],
        start: int,
        stops: frozenset[int],
        most: int,
    ) -> list[list[int]]:
        """Greedy answers to ``ids``, token ids without the stop, at most ``most`` each."""
        lengths = torch.tensor([len(row) for row in ids])
        padded = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
        for index, row in enumerate(ids):
            padded[index, : len(row)] = torch.tensor(row)
        hidden, kept = self.questions(self.embed(padded), scene, start)
        lengths = lengths.to(hidden.device)
        last = hidden[torch.arange(len(ids), device=hidden.device), lengths - 1]
        grown = _Growing(kept, lengths, most)
        found: list[list[int]] = [[] for _ in ids]
        open_rows = set(range(len(ids)))
        for step in range(most):
            tokens = self.logits(last).argmax(-1)
            told = tokens.tolist()
            for one in list(open_rows):
                if told[one] in stops:
                    open_rows.discard(one)
                else:
                    found[one].append(told[one])
            if not open_rows or step == most - 1:
                break
            last = self._step(tokens, scene, grown, start)
        return found

    def _step(
        self, tokens: Tensor, scene: list[LayerPrefix], grown: _Growing, start: int
    ) -> Tensor:
        positions = start + grown.lengths
        grown.extend()

        def mix(layer: int, *qkv: Tensor) -> Tensor:
            q, k, v = (_rows_of(x, len(tokens)) for x in qkv)
            own = grown.put(layer, k, v)
            return _packed(_attend(q, own.keys, own.values, scene[layer], grown.mask))

        return self.decoder.forward(self.embed(tokens), positions, mix)


class _Growing:
    """Keys and values of questions of unequal length that grow by one token per step."""

    def __init__(self, kept: list[LayerPrefix], lengths: Tensor, most: int) -> None:
        self.lengths = lengths.clone()
        rows, _, longest, _ = kept[0].keys.shape
        self._layers = [
            LayerPrefix(F.pad(one.keys, (0, 0, 0, most)), F.pad(one.values, (0, 0, 0, most)))
            for one in kept
        ]
        place = lengths.device
        self._seen = torch.arange(longest + most, device=place)[None] < lengths[:, None]
        self._rows = torch.arange(rows, device=place)
        self._at = lengths

    def extend(self) -> None:
        """Make room for one more token per row."""
        self._at = self.lengths.clone()
        self._seen[self._rows, self._at] = True
        self.lengths += 1

    def put(self, layer: int, keys: Tensor, values: Tensor) -> LayerPrefix:
        """Keep the new token of one layer; returns all of it."""
        kept = self._layers[layer]
        kept.keys[self._rows, :, self._at] = keys[:, :, 0]
        kept.values[self._rows, :, self._at] = values[:, :, 0]
        return kept

    @property
    def mask(self) -> Tensor:
        """(rows, 1, 1, tokens), large and negative where nothing was written yet."""
        return torch.where(self._seen, 0.0, NEVER)[:, None, None].to(self._layers[0].keys.dtype)


def _rows_of(x: Tensor, rows: int) -> Tensor:
    """(rows * tokens, heads, head_dim) to (rows, heads, tokens, head_dim)."""
    split: Tensor = x.unflatten(0, (rows, -1))
    return split.transpose(1, 2)


def _packed(mixed: Tensor) -> Tensor:
    """The way back of :func:`_rows_of`."""
    return mixed.transpose(1, 2).flatten(0, 1)


def _attend(q: Tensor, k: Tensor, v: Tensor, shared: LayerPrefix, mask: Tensor) -> Tensor:
    """Rows attend to the shared tokens and, under ``mask``, to their own."""
    rows, heads, length, width = q.shape
    q = q * width**-0.5
    # All rows ask the shared keys in one product per head.
    flat = q.transpose(0, 1).reshape(heads, rows * length, width)
    to_scene = (flat @ shared.keys[0].transpose(-1, -2)).view(heads, rows, length, -1)
    if shared.used is not None and shared.used < shared.keys.shape[2]:
        to_scene[..., shared.used :] = NEVER
    own = q @ k.transpose(-1, -2) + mask
    weights = torch.cat([to_scene.transpose(0, 1), own], dim=-1).softmax(-1)
    seen = shared.keys.shape[2]
    of_scene = weights[..., :seen].transpose(0, 1).reshape(heads, rows * length, seen)
    mixed = (of_scene @ shared.values[0]).view(heads, rows, length, width).transpose(0, 1)
    return mixed + weights[..., seen:] @ v
