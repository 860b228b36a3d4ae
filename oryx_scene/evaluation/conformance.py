"""Stage-by-stage comparison with golden vectors of the original code.

The order ids -> resized bytes -> pixels -> vision tower -> compressor -> projector -> embeddings ->
logits -> greedy text makes a failure name its stage. Integers and bytes must be equal; floats lie
within a tolerance by dtype (`conformance_compare`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oryx_scene.answerer import Stride
from oryx_scene.evaluation.conformance_case import Case, Item, case_ids, items_of_rows, prepare
from oryx_scene.evaluation.conformance_compare import TOLERANCES, Comparer, StageResult
from oryx_scene.evaluation.conformance_text import (
    GREEDY,
    PENALISED,
    SCORES,
    STOPPED,
    batched_logits,
    compare_greedy,
)
from oryx_scene.frames import RgbImage
from oryx_scene.model.oryx import Oryx
from oryx_scene.model.pixels import normalise
from oryx_scene.model.splice import pad_rows, splice
from oryx_scene.prompt.sizes import image_tokens, video_tokens

# What the toy tokenizer of the golden vectors ends and pads with, by family.
END = {"qwen2": 191, "llama": 7}
PAD = {"qwen2": 192, "llama": 0}


class _Run:
    """One case on one model; yields results in the order of the stages."""

    def __init__(self, case: Case, model: Oryx, comparer: Comparer) -> None:
        self.case = case
        self.model = model
        self.comparer = comparer
        self.family = str(model.language.config.model_type)
        self.compared: set[str] = set()

    def golden(self, name: str) -> NDArray[Any] | None:
        self.compared.add(name)
        return self.case.tensors.get(name)

    def feature(self, stage: str, ours: Tensor) -> Iterator[StageResult]:
        theirs = self.golden(stage)
        if theirs is not None:
            yield self.comparer.features(stage, ours, theirs)

    def results(self) -> Iterator[StageResult]:
        rows = case_ids(self.case, self.family)
        yield from self._ids(rows)
        slots: list[Tensor] = []
        lows: list[Tensor] = []
        for index in range(len(self.case.items)):
            yield from self._item(index, slots, lows)
        yield from self._varlen_low(lows)
        embedded = self._embed(rows, slots)
        yield from self._embeddings_and_logits(embedded)
        yield from self._greedy(embedded)
        yield from self._untouched()

    # -- ids -----------------------------------------------------------------------------------

    def _ids(self, rows: list[list[int]]) -> Iterator[StageResult]:
        theirs = self.golden("input_ids")
        if theirs is None:
            return
        longest = max(len(ids) for ids in rows)
        padded = np.full((len(rows), longest), PAD[self.family], dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=bool)
        for index, ids in enumerate(rows):
            left = self.case.padding_side == "left"
            span = slice(longest - len(ids), longest) if left else slice(0, len(ids))
            padded[index, span] = ids
            mask[index, span] = True
        golden_mask = self.golden("attention_mask")
        if golden_mask is not None:
            yield self.comparer.exact("attention_mask", mask, golden_mask.astype(bool))
            if golden_mask.shape == mask.shape:
                # What stands in the padding is the tokenizer's business, not the prompt's.
                padded, theirs = np.where(mask, padded, 0), np.where(mask, theirs, 0)
        yield self.comparer.exact("input_ids", padded, theirs)

    # -- one item ------------------------------------------------------------------------------

    def _item(self, index: int, slots: list[Tensor], lows: list[Tensor]) -> Iterator[StageResult]:
        item, name = self.case.items[index], f"item{index}"
        prepared = prepare(item, self.case.settings)
        yield from self._resized(name, item, prepared)
        highs = [normalise(prepared[tag]) for tag in prepared if tag.startswith("high")]
        image = item.stride is Stride.IMAGE
        # For videos the original encodes a black coarse view and multiplies it by zero.
        low = normalise(prepared["low"]) if image else torch.zeros(3, 128, 128)
        lows.append(low)
        high = torch.stack(highs)
        yield from self._pixels(name, item, "high", high if image else high[:, None])
        if image:
            yield from self._pixels(name, item, "low", low[None])
        yield from self._features(name, item, low, highs, slots)

    def _resized(
        self, name: str, item: Item, prepared: dict[str, RgbImage]
    ) -> Iterator[StageResult]:
        for step in item.described.get("resized", ()):
            picture = prepared.get(step["tag"])
            if picture is not None:
                ours = [picture.shape[1], picture.shape[0]]
                yield self.comparer.exact(f"{name}.size.{step['tag']}", ours, step["out_wh"])
        for tag, picture in prepared.items():
            theirs = self.golden(f"{name}.resized_u8.{tag}")
            if theirs is not None:
                yield self.comparer.exact(f"{name}.resized_u8.{tag}", picture, theirs)

    def _pixels(self, name: str, item: Item, tag: str, pixels: Tensor) -> Iterator[StageResult]:
        theirs = self.golden(f"{name}.pixels.{tag}")
        if theirs is not None:
            yield self.comparer.exact(f"{name}.pixels.{tag}", pixels.numpy(), theirs)
        expected = item.described.get("pixel_sha256", {}).get(tag)
        if expected is not None:
            digest = hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()
            ok = digest == expected["sha256"]
            detail = "" if ok else f"got {digest[:12]}, golden {expected['sha256'][:12]}"
            yield self.comparer.said(f"{name}.pixel_sha256.{tag}", ok, detail)

    def _features(
        self, name: str, item: Item, low: Tensor, highs: list[Tensor], slots: list[Tensor]
    ) -> Iterator[StageResult]:
        model, stride = self.model, item.stride
        low, highs = _to_patches(low), [_to_patches(one) for one in highs]
        moved = [one.to(model.device, model.dtype) for one in (low, *highs)]
        embedded, grids = model.vision.embed(moved[1:2])
        yield from self.feature(f"{name}.vit.high.embed_plus_pos", embedded[None])
        block = model.vision.blocks[0](embedded, [grids[0][0] * grids[0][1]])
        yield from self.feature(f"{name}.vit.high.block0", block[None])
        features = model.vision(moved)
        yield from self.feature(f"{name}.vit.low", features[0][None])
        yield from self.feature(f"{name}.vit.high", torch.stack(features[1:]))
        maps = model.encode([low, *highs], [stride] * (1 + len(highs)))
        yield from self._grids(name, item, low, highs[0], maps)
        yield from self.feature(f"{name}.compressor.low", maps[0].flatten(0, 1)[None])
        high = torch.stack(maps[1:])
        yield from self.feature(f"{name}.compressor.high", high.flatten(1, 2))
        if stride is Stride.IMAGE:
            slots.append(model.project_image(maps[0], maps[1]))
        else:
            slots.append(model.project_video(maps[1:], stride))
        yield from self._count(name, item, low, highs, slots[-1])
        yield from self.feature(f"{name}.projector", slots[-1][None])

    def _grids(
        self, name: str, item: Item, low: Tensor, high: Tensor, maps: list[Tensor]
    ) -> Iterator[StageResult]:
        ours = {
            "vit_low_hw": [side // 16 for side in low.shape[1:]],
            "vit_high_hw": [side // 16 for side in high.shape[1:]],
            "comp_low_hw": list(maps[0].shape[:2]),
            "comp_high_hw": list(maps[1].shape[:2]),
        }
        for key, grid in ours.items():
            if key in item.described:
                yield self.comparer.exact(f"{name}.{key}", grid, item.described[key])

    def _count(
        self, name: str, item: Item, low: Tensor, highs: list[Tensor], slot: Tensor
    ) -> Iterator[StageResult]:
        height, width = (int(side) for side in highs[0].shape[1:])
        if item.stride is Stride.IMAGE:
            predicted = image_tokens((height, width), (int(low.shape[1]), int(low.shape[2])))
        else:
            predicted = video_tokens(len(highs), height, width, item.stride)
        expected = [slot.shape[0], item.described.get("n_tokens", slot.shape[0])]
        yield self.comparer.exact(f"{name}.tokens predicted", [predicted, predicted], expected)

    def _varlen_low(self, lows: list[Tensor]) -> Iterator[StageResult]:
        if "vit_varlen_low.embed_plus_pos" not in self.case.tensors:
            return
        vision = self.model.vision
        moved = [_to_patches(one).to(self.model.device, self.model.dtype) for one in lows]
        embedded, grids = vision.embed(moved)
        yield from self.feature("vit_varlen_low.embed_plus_pos", embedded[None])
        block = vision.blocks[0](embedded, [rows * columns for rows, columns in grids])
        yield from self.feature("vit_varlen_low.block0", block[None])

    # -- the whole prompt ----------------------------------------------------------------------

    def _embed(self, rows: list[list[int]], slots: list[Tensor]) -> list[Tensor]:
        embedded = [
            splice(ids, [slots[index] for index in used], self._embed_text)
            for ids, used in zip(rows, items_of_rows(rows, len(slots)), strict=True)
        ]
        longest = self.case.longest_row
        # The original cuts the tail of a row that is too long, but only where there are pictures.
        return [row[:longest] for row in embedded] if slots and longest else embedded

    def _embed_text(self, ids: Tensor) -> Tensor:
        return self.model.embed_text(ids.to(self.model.device))

    def _embeddings_and_logits(self, embedded: list[Tensor]) -> Iterator[StageResult]:
        batch, mask = pad_rows(embedded, self.case.padding_side)
        real = mask.cpu().numpy()
        golden_mask = self.golden("out_attention_mask")
        if golden_mask is not None:
            yield self.comparer.exact("out_attention_mask", real, golden_mask.astype(bool))
        theirs = self.golden("inputs_embeds")
        if theirs is not None:
            ours, theirs = _on_real(batch, theirs, mask)
            yield self.comparer.features("inputs_embeds", ours, theirs)
        logits = batched_logits(self.model, batch, mask)
        theirs = self.golden("logits_all")
        if theirs is not None:
            ours, theirs = _on_real(logits, theirs, mask)
            yield self.comparer.logits("logits_all", ours, theirs)
        last = self.golden("logits_last")
        if last is not None and len(last) == len(real):
            whole = mask[:, -1]
            ours = logits[:, -1][whole]
            yield self.comparer.logits("logits_last", ours, last[real[:, -1]])

    def _greedy(self, embedded: list[Tensor]) -> Iterator[StageResult]:
        end = END[self.family]
        ends = {GREEDY: end, PENALISED: end}
        if self.case.stop_eos_id is not None:
            ends[STOPPED] = self.case.stop_eos_id
        self.compared |= {GREEDY, PENALISED, STOPPED, SCORES}
        # The original generates after the padding of a right-padded row: wrong text by design.
        level = len({row.shape[0] for row in embedded}) == 1
        if self.comparer.tolerance.greedy and (level or self.case.padding_side == "left"):
            yield from compare_greedy(
                self.comparer, self.model, embedded, self.case.tensors, ends, PAD[self.family]
            )

    def _untouched(self) -> Iterator[StageResult]:
        """Tensors that the case has and no stage looked at: said, so that nothing passes unseen."""
        for name in sorted(self.case.tensors):
            if name not in self.compared and "lowres_dummy" not in name:
                yield self.comparer.said(name, False, "this tensor is not known to the format")


def _on_real(ours: Tensor, theirs: NDArray[Any], mask: Tensor) -> tuple[Tensor, NDArray[Any]]:
    """Both on real tokens only; unchanged where the shapes differ, which is the finding then."""
    if theirs.shape != tuple(ours.shape):
        return ours, theirs
    return ours[mask], theirs[mask.cpu().numpy()]


def _to_patches(pixels: Tensor) -> Tensor:
    """Pad with zeros right and below up to whole patches, as the original's packed path does."""
    height, width = pixels.shape[1:]
    return torch.nn.functional.pad(pixels, (0, -width % 16, 0, -height % 16))


@torch.inference_mode()
def run_case(case: Case, model: Oryx) -> list[StageResult]:
    """Compare every stage of ``case`` with ``model``'s arithmetic.

    Raises:
        BudgetError: the resize settings leave nothing of a picture.
    """
    comparer = Comparer(case.name, TOLERANCES[model.dtype])
    exact: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if model.device.type == "cuda":
        # torch lets convolutions drop to 10-bit mantissas by default.
        exact = torch.backends.cudnn.flags(allow_tf32=False)
    with exact:
        return list(_Run(case, model, comparer).results())
