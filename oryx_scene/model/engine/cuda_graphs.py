"""Decode with constant shapes, so that a CUDA graph of one step serves every scene and question.

One block of keys and values that never moves: first a region per row, then the scene. A step
attends from all rows to all of it, and a mask made on the device from the lengths says who sees
what, so the scene is read once for all rows. Scenes are rounded up to a few sizes. Nothing in a
step depends on a number that the host knows; graphs are captured once, at warm-up.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.model.engine.decode_batch import DecodeBatch, prefill
from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.kv import Slab
from oryx_scene.model.engine.shared_attention import product

# The smallest size of a scene; each next one is twice as large.
SMALLEST = 1024
# Logits of a captured step may differ from the plain way's by this share of their own spread, root
# of the mean square over a row: sums of half precision in another order stay below it, a wrong step
# does not. The largest of many thousand differences would say less.
TOLERANCE = 0.1
# Most tokens that a row adds to the scene: its question and its answer.
ROW_TOKENS = 512


class StaticRows:
    """Steps of up to ``rows`` rows over one scene.

    Args:
        decoder: the language model.
        scene_tokens: most tokens of a scene.
        rows: most rows.
        row_tokens: most tokens that a row adds to the scene.
    """

    def __init__(
        self, decoder: Decoder, scene_tokens: int, rows: int = 8, row_tokens: int = ROW_TOKENS
    ) -> None:
        device = decoder.shape.device
        self.decoder = decoder
        self.rows = rows
        self.row_tokens = row_tokens
        self.scene_tokens = scene_tokens
        # Zeros: what is masked still enters the product with a weight of zero.
        self.data = decoder.shape.empty(rows * row_tokens + scene_tokens).zero_()
        self._ids = torch.zeros(rows, dtype=torch.long, device=device)
        self._own = torch.zeros(rows, dtype=torch.long, device=device)
        self._scene_length = torch.zeros((), dtype=torch.long, device=device)
        # Weak: this must not keep an evicted scene's slab alive.
        self._scene: weakref.ref[Slab] | None = None
        self._bucket = 0
        self._lengths: list[int] = []
        self._places: list[int] = []
        self._graphs: dict[tuple[int, int], tuple[Any, Tensor]] = {}

    # -- what decode sees -------------------------------------------------------------------------

    def fits(self, rows: DecodeBatch, new_tokens: int) -> bool:
        """Whether ``rows`` can go on for ``new_tokens`` here."""
        added = max(rows.lengths) - rows.prefix.length + new_tokens
        return (
            rows.count <= self.rows
            and added <= self.row_tokens
            and rows.prefix.length <= self.scene_tokens
        )

    def take(self, rows: DecodeBatch) -> None:
        """Go on where ``rows`` has come to."""
        scene = rows.prefix
        if self._scene is None or self._scene() is not scene:
            start = self.rows * self.row_tokens
            self.data[:, :, start : start + scene.length] = scene.data[:, :, : scene.length]
            self._scene = weakref.ref(scene)
            self._scene_length.fill_(scene.length)
            self._bucket = next(size for size in self._buckets() if size >= scene.length)
        self._lengths = [length - scene.length for length in rows.lengths]
        self._places = list(range(rows.count))
        for row, length in enumerate(self._lengths):
            start = self._start(row)
            self.data[:, :, start : start + length] = rows.own(row)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows only; the others' places idle."""
        self._places = [self._places[row] for row in rows]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Append one token to each row that goes on; logits (rows, vocabulary) after them.

        The next step may overwrite them.
        """
        count = self._count()
        ids = [0] * count
        for place, token in zip(self._places, tokens, strict=True):
            ids[place] = token
        self._ids[:count] = torch.tensor(ids, device=self._ids.device)
        self._own[:count] = torch.tensor(
            [*self._lengths, *[0] * (count - len(self._lengths))], device=self._own.device
        )
        logits = self._replay(count, self._bucket)
        for place in self._places:
            self._lengths[place] += 1
        if self._places == list(range(len(self._places))):
            return logits[: len(self._places)]
        return logits[self._places]

    def forget(self) -> None:
        """Drop the scene; what a failed kernel left must not enter later products."""
        self._scene = None
        # Made in inference mode, it may be written in inference mode only.
        with torch.inference_mode():
            self.data.zero_()

    # -- one step ---------------------------------------------------------------------------------

    def _count(self) -> int:
        """The captured number of rows for the rows at hand: 1, 2, 4, 8, ..."""
        count = 1
        while count < len(self._lengths):
            count *= 2
        return min(count, self.rows)

    def _buckets(self) -> list[int]:
        sizes = [min(SMALLEST, self.scene_tokens)]
        while sizes[-1] < self.scene_tokens:
            sizes.append(min(2 * sizes[-1], self.scene_tokens))
        return sizes

    def _start(self, row: int) -> int:
        """Rows lie backwards before the scene, so that any number of them joins it."""
        return (self.rows - 1 - row) * self.row_tokens

    def _replay(self, count: int, bucket: int) -> Tensor:
        captured = self._graphs.get((count, bucket))
        if captured is None:
            return self.run(count, bucket)
        captured[0].replay()
        return captured[1]

    def run(self, count: int, bucket: int) -> Tensor:
        """One step of ``count`` rows over ``bucket`` places for the scene: (count, vocabulary)."""
        first, end = self._start(count - 1), self.rows * self.row_tokens
        device = self.data.device
        starts = (self.rows - 1 - torch.arange(count, device=device)) * self.row_tokens
        own = self._own[:count]
        slots = starts + own
        places = torch.arange(first, end + bucket, device=device)
        scene = (places >= end) & (places < end + self._scene_length)
        mine = (places >= starts[:, None]) & (places <= slots[:, None])
        hidden = ~(scene | mine)  # (count, keys)

        def mix(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.data[layer, 0], self.data[layer, 1]
            keys.index_copy_(0, slots, k.to(keys.dtype))
            values.index_copy_(0, slots, v.to(values.dtype))
            return _attend(q, keys[first : end + bucket], values[first : end + bucket], hidden)

        embeds = self.decoder.embed(self._ids[:count])
        hidden_states = self.decoder.forward(embeds, self._scene_length + own, mix)
        return self.decoder.logits(hidden_states)

    # -- graphs -----------------------------------------------------------------------------------

    def capture(self) -> None:
        """Capture a graph per number of rows and size of scene (CUDA)."""
        pool = torch.cuda.graph_pool_handle()
        count = 1
        while True:
            for bucket in self._buckets():
                self._graphs[count, bucket] = self._captured(count, bucket, pool)
            if count == self.rows:
                return
            count = min(2 * count, self.rows)

    def _captured(self, count: int, bucket: int, pool: Any) -> tuple[Any, Tensor]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            # Libraries choose and load their kernels outside of the capture.
            self.run(count, bucket)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            logits = self.run(count, bucket)
        return graph, logits

    def check(self) -> None:
        """Compare a few steps with the plain way, on the device itself.

        Raises:
            EngineError: they differ by more than rounding.
        """
        scene = Slab(self.decoder.shape, min(300, self.scene_tokens))
        prefill(self.decoder, scene, self.decoder.embed(torch.arange(scene.capacity) % 200))
        plain = DecodeBatch(self.decoder, scene, min(3, self.rows), shared=False)
        texts = [self.decoder.embed(torch.arange(row + 2)) for row in range(plain.count)]
        plain.read(texts)
        self.take(plain)
        for token in range(3):
            wanted, found = (way.step([token] * plain.count).float() for way in (plain, self))
            error = (wanted - found).square().mean(-1).sqrt() / wanted.std(-1)
            worst = float(error.max())
            if not worst <= TOLERANCE:
                raise EngineError(
                    f"a captured step differs from the plain way by {100 * worst:.3g} % of the "
                    "logits' spread."
                )
        self.forget()


def _attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
    """Rows (n, heads, width) over those keys (keys, kv_heads, width) that are not ``hidden``."""
    n, kv_heads = q.shape[0], k.shape[1]
    # (n, heads, width) -> (kv_heads, n * group, width)
    scaled: Tensor = q * q.shape[-1] ** -0.5
    grouped = scaled.unflatten(1, (kv_heads, -1)).transpose(0, 1).flatten(1, 2)
    scores = product(grouped.to(k.dtype), k.permute(1, 2, 0)).unflatten(1, (n, -1))
    weights = scores.masked_fill(hidden[None, :, None], float("-inf")).softmax(dim=-1)
    mixed: Tensor = product(weights.flatten(1, 2).to(v.dtype), v.transpose(0, 1))
    out: Tensor = mixed.unflatten(1, (n, -1)).transpose(0, 1).flatten(1, 2)
    return out
