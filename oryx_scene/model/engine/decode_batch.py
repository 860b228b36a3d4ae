"""Questions on one scene: what each adds to the shared prefix, in one block of keys and values.

A packed pass reads the text of all questions, then every step appends one token to each row. With a
shared prefix its keys are read once for all rows; without, each row begins with its own copy, which
is the plain way and as fast where the prefix is short. Knows tensors only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from oryx_scene.model.engine.decoder import Decoder
from oryx_scene.model.engine.kv import Slab
from oryx_scene.model.engine.shared_attention import attend, attend_causal, attend_rows, merge

# Above the ridge point of current GPUs and still a short time on an onboard one.
PREFILL_CHUNK = 512
# Large GPUs compute this many in less time than a cancel may take.
LARGE_CHUNK = 1024
LARGE_GPU = 64  # multiprocessors
# Tokens by which the block of a row grows at least.
GROWTH = 256


@functools.cache
def chunk_of(device: torch.device) -> int:
    """Tokens that ``device`` reads in one pass."""
    if device.type != "cuda":
        return PREFILL_CHUNK
    large = torch.cuda.get_device_properties(device).multi_processor_count >= LARGE_GPU
    return LARGE_CHUNK if large else PREFILL_CHUNK


def prefill(
    decoder: Decoder,
    slab: Slab,
    embeds: Tensor,
    check: Callable[[], None] = lambda: None,
    hidden: list[Tensor] | None = None,
) -> None:
    """Append (n, hidden_size) embeddings to ``slab``, in chunks.

    ``check`` is called before each layer of each chunk; a slab that it left half filled is waste.
    ``hidden`` receives each chunk's hidden states after the last layer, for those who compare them.
    """
    for chunk in embeds.split(chunk_of(embeds.device)):
        start = slab.length
        slab.length += chunk.shape[0]
        positions = torch.arange(start, slab.length, device=chunk.device)

        def mix(layer: int, q: Tensor, k: Tensor, v: Tensor, start: int = start) -> Tensor:
            slab.write(layer, start, k, v)
            return attend_causal(q, *slab.layer(layer))

        found = decoder.forward(chunk, positions, mix, check)
        if hidden is not None:
            hidden.append(found)


class _Places:
    """Where the tokens of a packed pass stand in the block of their rows.

    Args:
        spans: (row, new tokens).
        lengths: tokens of each row, the new ones included.
        before: tokens before the first of a row's block.
        device: of the block.

    Attributes:
        new: (rows, slots) of the new tokens, an index into the block.
        all: the same of all tokens that the rows have.
        seen: (new, all) bool: earlier ones of the same row.
    """

    def __init__(
        self,
        spans: Sequence[tuple[int, int]],
        lengths: Sequence[int],
        before: int,
        device: torch.device,
    ) -> None:
        ends = [lengths[row] - before for row, _ in spans]
        counts = [count for _, count in spans]
        starts = [end - count for end, count in zip(ends, counts, strict=True)]
        named = [row for row, _ in spans]
        rows, slots = _ranges(named, starts, ends)
        every, kept = _ranges(named, [0] * len(ends), ends)
        seen = (rows[:, None] == every) & (kept <= slots[:, None])
        self.new = rows.to(device), slots.to(device)
        self.all = every.to(device), kept.to(device)
        self.seen = seen.to(device)


def _ranges(
    rows: Sequence[int], starts: Sequence[int], ends: Sequence[int]
) -> tuple[Tensor, Tensor]:
    spans = list(zip(rows, starts, ends, strict=True))
    owners = torch.cat([torch.full((end - start,), row) for row, start, end in spans])
    return owners, torch.cat([torch.arange(start, end) for _, start, end in spans])


class DecodeBatch:
    """Sequences that go on from one prefix.

    Args:
        decoder: the language model.
        prefix: what comes before every row; never written to.
        count: rows.
        shared: read the prefix once for all rows; False copies it into each.
    """

    def __init__(self, decoder: Decoder, prefix: Slab, count: int, *, shared: bool) -> None:
        self.decoder = decoder
        self.prefix = prefix
        self.shared = shared and prefix.length > 0
        self.count = count
        # Tokens before the first that a row's own block holds.
        self._before = prefix.length if self.shared else 0
        self.data = decoder.shape.empty(count, prefix.length - self._before + GROWTH)
        self.lengths = [prefix.length] * count
        if not self.shared:
            self.data[:, :, :, : prefix.length] = prefix.data[:, :, None, : prefix.length]

    def read(
        self, texts: Sequence[Tensor], check: Callable[[], None] = lambda: None
    ) -> list[Tensor]:
        """Append to each row its (n, hidden_size) embeddings, all rows packed.

        ``check`` is called before each layer; rows that it left half read are waste.

        Returns:
            hidden states (n, hidden_size) per row; :meth:`Decoder.logits` takes any of them.
        """
        packed = torch.cat(list(texts))
        owners = [row for row, text in enumerate(texts) for _ in range(text.shape[0])]
        found, size = [], chunk_of(packed.device)
        for start in range(0, len(owners), size):
            piece = owners[start : start + size]
            found.append(self._read(packed[start : start + len(piece)], piece, check))
        return list(torch.cat(found).split([text.shape[0] for text in texts]))

    def _read(self, x: Tensor, owners: list[int], check: Callable[[], None]) -> Tensor:
        spans = [(row, owners.count(row)) for row in dict.fromkeys(owners)]
        positions = torch.cat(
            [torch.arange(self.lengths[row], self.lengths[row] + n) for row, n in spans]
        ).to(x.device)
        for row, n in spans:
            self.lengths[row] += n
        self._reserve()
        if self.shared and len(spans) > 1:
            places = _Places(spans, self.lengths, self._before, x.device)
            return self.decoder.forward(
                x,
                positions,
                lambda layer, q, k, v: self._mix_together(layer, q, k, v, places),
                check,
            )
        return self.decoder.forward(
            x, positions, lambda layer, q, k, v: self._mix_in_turn(layer, q, k, v, spans), check
        )

    def _mix_together(self, layer: int, q: Tensor, k: Tensor, v: Tensor, places: _Places) -> Tensor:
        """All rows as one product; a mask keeps each to its own tokens."""
        keys, values = self.data[layer, 0], self.data[layer, 1]
        keys[places.new] = k.to(keys.dtype)
        values[places.new] = v.to(values.dtype)
        own = attend(q, keys[places.all], values[places.all], seen=places.seen)
        return self._with_prefix(layer, q, own)

    def _mix_in_turn(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, spans: list[tuple[int, int]]
    ) -> Tensor:
        outs, lses, start = [], [], 0
        for row, n in spans:
            end = self.lengths[row] - self._before
            self.data[layer, 0, row, end - n : end] = k[start : start + n]
            self.data[layer, 1, row, end - n : end] = v[start : start + n]
            own = self.data[layer, :, row, :end]
            out, lse = attend(q[start : start + n], own[0], own[1], last=end)
            outs.append(out)
            lses.append(lse)
            start += n
        own_part = torch.cat(outs), torch.cat(lses)
        return self._with_prefix(layer, q, own_part)

    def own(self, row: int) -> Tensor:
        """Keys and values (layers, 2, n, heads, width) of what a row has added to the prefix."""
        start = 0 if self.shared else self.prefix.length
        return self.data[:, :, row, start : self.lengths[row] - self._before]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Append one token to each row; logits (rows, vocabulary) after them."""
        device = self.data.device
        at = torch.tensor(self.lengths, device=device)
        self.lengths = [length + 1 for length in self.lengths]
        self._reserve()
        longest = max(self.lengths) - self._before
        slots = at - self._before
        rows = torch.arange(self.count, device=device)

        def mix(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.data[layer, 0], self.data[layer, 1]
            keys[rows, slots] = k.to(keys.dtype)
            values[rows, slots] = v.to(keys.dtype)
            own = attend_rows(q, keys[:, :longest], values[:, :longest], slots + 1)
            return self._with_prefix(layer, q, own)

        embeds = self.decoder.embed(torch.tensor(list(tokens)))
        return self.decoder.logits(self.decoder.forward(embeds, at, mix))

    def _with_prefix(self, layer: int, q: Tensor, own: tuple[Tensor, Tensor]) -> Tensor:
        if not self.shared:
            return own[0]
        return merge(attend(q, *self.prefix.layer(layer)), own)

    def _reserve(self) -> None:
        """Make room for ``lengths`` tokens."""
        wanted, now = max(self.lengths) - self._before, self.data.shape[3]
        if wanted > now:
            grown = self.decoder.shape.empty(self.count, max(wanted, now + GROWTH, now * 3 // 2))
            grown[:, :, :, :now] = self.data
            self.data = grown

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows only, in this order."""
        if list(rows) == list(range(self.count)):
            return
        self.data = self.data[:, :, list(rows)]
        self.lengths = [self.lengths[row] for row in rows]
        self.count = len(rows)
