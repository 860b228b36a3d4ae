"""Stage-by-stage comparison with golden vectors of the original code.

The order weights -> ids -> resized bytes -> pixels -> vision tower -> compressor -> projector ->
embeddings -> logits -> text -> whole engine makes a failure name its stage. Integers and bytes must
be equal; floats lie within limits that follow from the precision (`conformance_compare`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oryx_scene.errors import EngineError
from oryx_scene.lab.evaluation.conformance_case import Case, Item, case_ids, items_of_rows, prepare
from oryx_scene.lab.evaluation.conformance_compare import Comparer, StageResult, precision_of
from oryx_scene.lab.evaluation.conformance_engine import compare_engine, engine_of
from oryx_scene.lab.evaluation.conformance_text import (
    COPIED,
    GREEDY,
    PENALISED,
    PENALTY,
    SCORES,
    SHARED,
    STOPPED,
    Ways,
    compare_ids,
    last_logits,
    prefill_logits,
    said_ids,
    say,
)
from oryx_scene.lab.evaluation.conformance_weights import (
    compare_weights,
    plain_copy,
    quantisation_of,
)
from oryx_scene.model.api import Stride
from oryx_scene.model.checkpoint.checkpoint import load_model
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.pixels import normalise
from oryx_scene.model.oryx.splice import pad_rows, splice
from oryx_scene.model.sizes import image_tokens, video_tokens
from oryx_scene.records import RgbImage

# What the toy tokenizer of the golden vectors ends and pads with, by family.
END = {"qwen2": 191, "llama": 7}
PAD = {"qwen2": 192, "llama": 0}
LACKING = "the case has no such tensor"
# What every item of every case should have; what comes before them some cases leave out.
ALWAYS = (".vit.low", ".vit.high", ".compressor.low", ".compressor.high", ".projector")


class _Run:
    """One case on one model; yields results in the order of the stages.

    Args:
        case, model: to run.
        comparer: with the limits of the model's precision.
        whole: False leaves out what chooses tokens: only logits are wanted.
    """

    def __init__(self, case: Case, model: Oryx, comparer: Comparer, *, whole: bool) -> None:
        self.case = case
        self.model = model
        self.comparer = comparer
        self.whole = whole
        self.family = str(model.language.config.model_type)
        # Making the engine puts its own kernels into the model: all stages run on those.
        self.engine = engine_of(case, model, END[self.family])
        self.decoder = self.engine.decoder
        self.compared: set[str] = set()

    def golden(self, name: str) -> NDArray[Any] | None:
        self.compared.add(name)
        return self.case.tensors.get(name)

    def feature(self, stage: str, ours: Tensor) -> Iterator[StageResult]:
        theirs = self.golden(stage)
        if theirs is not None:
            yield self.comparer.features(stage, ours, theirs)
        elif stage.endswith(ALWAYS):
            yield self.comparer.left_out(stage, LACKING)

    def results(self) -> Iterator[StageResult]:
        if self.whole:
            yield from compare_weights(self.comparer, self.model, self.case.model_folder)
        rows = case_ids(self.case, self.family)
        yield from self._ids(rows)
        yield from self._lacking()
        slots: list[Tensor] = []
        lows: list[Tensor] = []
        for index in range(len(self.case.items)):
            yield from self._item(index, slots, lows)
        yield from self._varlen_low(lows)
        embedded = self._embed(rows, slots)
        yield from self._embeddings_and_logits(embedded)
        yield from self._text(embedded, rows)
        yield from self._untouched()

    def _lacking(self) -> Iterator[StageResult]:
        """Tensors of the whole prompt that every case should have and this one has not."""
        for name in ("input_ids", "inputs_embeds", "logits_all", "logits_last"):
            if name not in self.case.tensors:
                yield self.comparer.left_out(name, LACKING)

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
        theirs = self.golden("logits_all")
        if theirs is not None:
            found = [prefill_logits(self.decoder, row) for row in embedded]
            ours, theirs = _on_real(pad_rows(found, self.case.padding_side)[0], theirs, mask)
            yield self.comparer.logits("logits_all", ours, theirs)
        last = self.golden("logits_last")
        if last is not None and len(last) == len(real):
            whole = [row for row, ended in zip(embedded, real[:, -1], strict=True) if ended]
            ours = torch.stack([last_logits(self.decoder, row) for row in whole])
            yield self.comparer.logits("logits_last", ours, last[real[:, -1]])

    def _text(self, embedded: list[Tensor], rows: list[list[int]]) -> Iterator[StageResult]:
        self.compared |= {GREEDY, PENALISED, STOPPED, SCORES}
        names = (GREEDY, SCORES, PENALISED)
        # The original generates after the padding of a right-padded row: wrong text by design.
        level = len({row.shape[0] for row in embedded}) == 1
        if not (level or self.case.padding_side == "left"):
            for name in names:
                yield self.comparer.left_out(name, "the original generates after the padding")
            return
        for name in names:
            if name not in self.case.tensors:
                yield self.comparer.left_out(name, LACKING)
        ids, scores = self.case.tensors.get(GREEDY), self.case.tensors.get(SCORES)
        if ids is None or scores is None:
            return
        golden = [said_ids(row, END[self.family]) for row in ids]
        yield from self._ways(embedded, golden, scores)
        if self.whole:
            yield from self._said(embedded, scores)
            uses = items_of_rows(rows, len(self.case.items))
            yield from compare_engine(self.comparer, self.case, self.engine, rows, uses)

    def _ways(
        self, embedded: list[Tensor], golden: list[list[int]], scores: NDArray[Any]
    ) -> Iterator[StageResult]:
        """Logits at the end of the prompts, and before each golden id, by every way."""
        ways = Ways(self.decoder, max(row.shape[0] for row in embedded))
        grown = [ways.grow(row, ids) for row, ids in zip(embedded, golden, strict=True)]
        theirs = np.concatenate([scores[i, : len(ids)] for i, ids in enumerate(golden)])
        for way in grown[0]:
            if "logits_all" in self.case.tensors:
                read = [own[way][0] for own in grown]
                wanted = self._tails(embedded, [own.shape[0] for own in read])
                yield self.comparer.logits(f"logits_all: {way}", torch.cat(read), wanted)
            steps = torch.cat([own[way][1] for own in grown])
            stage = SCORES if way == SHARED else f"{SCORES}: {way}"
            yield self.comparer.logits(stage, steps, theirs)

    def _tails(self, embedded: list[Tensor], counts: list[int]) -> NDArray[Any]:
        """Golden logits after the last tokens of each row."""
        mask = pad_rows(embedded, self.case.padding_side)[1].cpu().numpy()
        rows = zip(self.case.tensors["logits_all"], mask, counts, strict=True)
        return np.concatenate([own[real][-count:] for own, real, count in rows])

    def _sayings(self) -> list[tuple[str, int, float]]:
        """(tensor, end token, penalty) of what the case lets the model say."""
        end, stop = END[self.family], self.case.stop_eos_id
        found = [(GREEDY, end, 1.0), (PENALISED, end, PENALTY)]
        found.append((STOPPED, end if stop is None else stop, 1.0))
        return [one for one in found if one[0] in self.case.tensors]

    def _said(self, embedded: list[Tensor], scores: NDArray[Any]) -> Iterator[StageResult]:
        """What the engine's decode says: greedy, with the penalty, stopped at another id."""
        for name, end, penalty in self._sayings():
            ids = self.case.tensors[name]
            golden = [said_ids(row, end) for row in ids]
            try:
                found = [say(self.decoder, row, end, penalty, ids.shape[1]) for row in embedded]
            except EngineError as err:
                yield self.comparer.said(name, False, err.message)
                continue
            # The penalty stretches logits, and with them their errors.
            error = penalty * self.comparer.logit_error(SCORES, scores)
            yield from compare_ids(self.comparer, name, found, golden, error)

    def restated(self) -> Case:
        """The case as this model, not the original, would have made its logits and its text."""
        slots: list[Tensor] = []
        for index in range(len(self.case.items)):
            list(self._item(index, slots, []))
        embedded = self._embed(case_ids(self.case, self.family), slots)
        new = dict(self.case.tensors)
        if "logits_all" in new:
            found = [prefill_logits(self.decoder, row) for row in embedded]
            new["logits_all"] = pad_rows(found, self.case.padding_side)[0].numpy()
        if "logits_last" in new:
            found = [last_logits(self.decoder, row).float() for row in embedded]
            new["logits_last"] = torch.stack(found).numpy()
        for name, end, penalty in self._sayings():
            new[name] = np.full_like(new[name], end)
            for own, row in zip(new[name], embedded, strict=True):
                ids = say(self.decoder, row, end, penalty, len(own))[0]
                own[: len(ids)] = ids
        if GREEDY in new and SCORES in new:
            new[SCORES] = np.zeros((*new[GREEDY].shape, new[SCORES].shape[-1]), np.float32)
            ways = Ways(self.decoder, max(row.shape[0] for row in embedded))
            for own, row, ids in zip(new[SCORES], embedded, new[GREEDY], strict=True):
                grown = ways.grow(row, said_ids(ids, END[self.family]))[COPIED][1]
                own[: len(grown)] = grown.numpy()
        return dataclasses.replace(self.case, tensors=new)

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


def run_case(case: Case, model: Oryx) -> list[StageResult]:
    """Compare every stage of ``case`` with ``model``, in the precision that it has.

    For every precision but float32 the folder is first run in float32 on the CPU, under its
    narrow limits (stages "float32 ..."): what follows then differs by the precision alone. What a
    quantised model says is compared with float32 arithmetic over the very weights that it stores;
    how near those are to the folder's is a stage of its own.

    Raises:
        BudgetError: the resize settings leave nothing of a picture.
    """
    kind = quantisation_of(model)
    if model.dtype is torch.float32 and kind == "none":
        return _compare(case, model, Comparer(case.name))
    exact = run_case(case, load_model(case.model_folder))
    first = [dataclasses.replace(one, stage=f"float32 {one.stage}") for one in exact]
    plain = plain_copy(case.model_folder, model.dtype, "none")
    changes = _compare(case, plain, Comparer(case.name, precision_of(model.dtype)), whole=False)
    rounded = {result.stage: result.difference for result in changes}
    precision = dataclasses.replace(precision_of(model.dtype), rounded=rounded)
    if kind != "none":
        case = _restated(case, plain_copy(case.model_folder, model.dtype, kind))
    return [*first, *_compare(case, model, Comparer(case.name, precision))]


@torch.inference_mode()
def _restated(case: Case, plain: Oryx) -> Case:
    """The case with the text that float32 arithmetic over ``plain``'s weights would have said."""
    return _Run(case, plain, Comparer(case.name), whole=False).restated()


@torch.inference_mode()
def _compare(
    case: Case, model: Oryx, comparer: Comparer, *, whole: bool = True
) -> list[StageResult]:
    exact: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if model.device.type == "cuda":
        # torch lets convolutions drop to 10-bit mantissas by default.
        exact = torch.backends.cudnn.flags(allow_tf32=False)
    with exact:
        return list(_Run(case, model, comparer, whole=whole).results())
