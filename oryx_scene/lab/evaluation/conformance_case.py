"""Golden cases of the original code: what a case folder holds, and the inputs it describes.

Format: docs/conformance.md. Reading only; the comparison is in ``conformance``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oryx_scene.errors import SourceError
from oryx_scene.model.api import Stride
from oryx_scene.model.checkpoint.tokenizer import CharTokenizer, chat_ids
from oryx_scene.model.checkpoint.weights import read_json
from oryx_scene.model.oryx.resample import TwoViews, prepare_image, prepare_video_frame
from oryx_scene.model.oryx.splice import PLACEHOLDER
from oryx_scene.model.sizes import ResizeSettings
from oryx_scene.records import RgbImage

SYSTEM = "You are a helpful assistant."
STRIDES = {stride.modality: stride for stride in Stride}
SLOT = "<image>"


@dataclass(frozen=True, eq=False)
class Item:
    """One entry of a case: an image (one raw picture) or a video (several)."""

    stride: Stride
    raws: tuple[RgbImage, ...]
    described: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """One folder with case.json, raw pictures and tensors."""

    name: str
    folder: Path
    model_folder: Path
    settings: ResizeSettings
    items: tuple[Item, ...]
    prompts: tuple[str, ...]
    prompt_style: str
    padding_side: str
    longest_row: int | None
    stop_eos_id: int | None
    described: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


def find_cases(folder: Path) -> list[Path]:
    """Case folders in ``folder`` (or itself), sorted by name.

    Raises:
        SourceError: no case there.
    """
    if not folder.is_dir():
        raise SourceError(folder, "no such folder.", hint="give a folder of golden cases")
    found = [folder] if (folder / "case.json").exists() else []
    found += sorted(path.parent for path in folder.rglob("case.json") if path.parent != folder)
    if not found:
        raise SourceError(
            folder, "there is no case.json in it.", hint="the format is in docs/conformance.md"
        )
    return found


def _model_folder(folder: Path, name: str) -> Path:
    for parent in (folder, *folder.parents[:4]):
        candidate = parent / "models" / name
        if candidate.is_dir():
            return candidate
    raise SourceError(folder, f"there is no models/{name} beside or above it.")


def load_case(folder: Path) -> Case:
    """Read one case.

    Raises:
        SourceError: something is missing or not of the format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        described = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "tensors.safetensors")
        items = tuple(_item(folder, one) for one in described["items"])
        model = _model_folder(folder, str(described["model"]))
        return Case(
            name=str(described["case"]),
            folder=folder,
            model_folder=model,
            settings=ResizeSettings.from_env(described["env"]),
            items=items,
            prompts=tuple(described["prompts"]),
            prompt_style=str(described["prompt_style"]),
            padding_side=str(described.get("tokenizer_padding_side", "right")),
            longest_row=read_json(model, "config.json").get("tokenizer_model_max_length"),
            stop_eos_id=described.get("stop_eos_id"),
            described=described,
            tensors=tensors,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as err:
        raise SourceError(
            folder,
            f"it is no golden case ({type(err).__name__}: {err}).",
            hint="the format is in docs/conformance.md",
        ) from err


def _item(folder: Path, described: dict[str, Any]) -> Item:
    stride = STRIDES.get(described["modality"], Stride.IMAGE)
    raws = tuple(np.load(folder / raw["file"], allow_pickle=False) for raw in described["raw"])
    return Item(stride, raws, described)


def prepare(item: Item, settings: ResizeSettings) -> dict[str, RgbImage]:
    """The item's resized pictures by the tags that the format uses."""
    if item.stride is Stride.IMAGE:
        views: TwoViews = prepare_image(item.raws[0], settings)
        return {"high": views.high, "low": views.low}
    return {
        f"high_{index}": prepare_video_frame(raw, item.stride, settings)
        for index, raw in enumerate(item.raws)
    }


def tokenizer_of(case: Case, family: str) -> CharTokenizer:
    """The toy tokenizer, with the newline after a slot that the case's own prompts have."""
    tokenizer = CharTokenizer(family)
    tokenizer.slot_newline = case.prompt_style == "preprocess_qwen"
    return tokenizer


def case_ids(case: Case, family: str) -> list[list[int]]:
    """Prompt ids of every row, before padding."""
    tokenizer = tokenizer_of(case, family)
    if not tokenizer.slot_newline:
        texts = case.described.get("prompt_text")
        if texts:
            rows = [texts] if isinstance(texts, str) else texts
            return [_template_ids(tokenizer, text) for text in rows]
    return [chat_ids(tokenizer, SYSTEM, pieces_of(prompt)) for prompt in case.prompts]


def pieces_of(prompt: str) -> list[str | None]:
    """Texts of a user turn, None where a slot stands."""
    pieces: list[str | None] = []
    for index, text in enumerate(prompt.split(SLOT)):
        if index:
            pieces.append(None)
        if text:
            pieces.append(text)
    return pieces


def _template_ids(tokenizer: CharTokenizer, text: str) -> list[int]:
    """Ids of a whole conversation text in which control tokens are written out."""
    ids: list[int] = []
    while text:
        for token in (SLOT, "<|im_start|>", "<|im_end|>", "<|endoftext|>"):
            if text.startswith(token):
                ids.append(PLACEHOLDER if token == SLOT else tokenizer.special_id(token))
                text = text[len(token) :]
                break
        else:
            ids += tokenizer.encode_plain(text[0])
            text = text[1:]
    return ids


def items_of_rows(rows: list[list[int]], count: int) -> list[list[int]]:
    """Which items each row uses; a row without a slot uses up one and shows none."""
    used: list[list[int]] = []
    start = 0
    for ids in rows:
        slots = sum(1 for token in ids if token == PLACEHOLDER)
        used.append(list(range(start, min(start + slots, count))))
        start += max(slots, 1)
    return used
