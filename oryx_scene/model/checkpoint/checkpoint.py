"""Loading a published checkpoint folder as it is, strictly and with little memory.

Tensor names are those of the published shards. Every tensor is accounted for: a missing, extra or
misshapen one is an error that lists the names. Reading the bytes is `weights`' business. Nothing
here touches the network.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oryx_scene.errors import CheckpointError
from oryx_scene.model.checkpoint.quant_linear import fits, quantised
from oryx_scene.model.checkpoint.weights import (
    VIT_FILE,
    VIT_PREFIX,
    WeightReader,
    read_json,
    refuse_pointers,
)
from oryx_scene.model.oryx.language import build_language_model, materialise_buffers
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.vision import VisionConfig

# Published name -> ours; the first fitting prefix wins.
RENAMES = (
    (VIT_PREFIX, "vision."),
    ("model.vision_resampler.", "compressor."),
    ("model.mm_projector.", "projector."),
    ("", "language."),
)
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def our_name(published: str) -> str:
    """Our module path of a published tensor name."""
    for prefix, ours in RENAMES:
        if published.startswith(prefix):
            return ours + published.removeprefix(prefix)
    raise AssertionError(published)


def published_name(ours: str) -> str:
    """The published tensor name of our module path."""
    for prefix, own in RENAMES:
        if ours.startswith(own):
            return prefix + ours.removeprefix(own)
    raise AssertionError(ours)


def vision_config(folder: Path, config: dict[str, Any]) -> VisionConfig:
    """Sizes of the vision tower: those that the folder states, else the published so400m's.

    The original code has them built in, so that its config.json is silent. Nothing is guessed from
    shapes: the number of heads leaves no trace in them, and a lost last block would go unseen.
    Stated are they in ``tiny_vit.json`` or under ``oryx_vit`` in config.json.

    Raises:
        CheckpointError: stated sizes that cannot be.
    """
    stated = config.get("oryx_vit")
    if (folder / "tiny_vit.json").exists():
        stated = read_json(folder, "tiny_vit.json")
    if stated is None:
        return VisionConfig()
    try:
        sizes = {ours: int(stated[key]) for ours, key in _size_keys(stated)}
        found = VisionConfig(**sizes)
        if min(sizes.values()) < 1 or found.width % found.heads:
            raise ValueError(f"width {found.width} for {found.heads} heads")
    except (KeyError, TypeError, ValueError) as err:
        raise CheckpointError(
            folder, f"the stated sizes of the vision tower cannot be ({type(err).__name__}: {err})."
        ) from err
    return found


def _size_keys(stated: dict[str, Any]) -> list[tuple[str, str]]:
    """(our field, the file's key): the golden models use the original code's words."""
    other = {"patch": "patch_size", "position_grid": "pos_grid"}
    return [
        (field.name, field.name if field.name in stated else other.get(field.name, field.name))
        for field in dataclasses.fields(VisionConfig)
    ]


def _compare(folder: Path, model: Oryx, shapes: dict[str, tuple[int, ...]]) -> None:
    """Refuse a folder whose names or shapes differ from the model's in any way."""
    wanted = {published_name(n): tuple(p.shape) for n, p in model.state_dict().items()}
    tied = getattr(model.language.config, "tie_word_embeddings", False)
    missing = [name for name in wanted if name not in shapes]
    if tied:
        missing = [name for name in missing if name != "lm_head.weight"]
    if not model.compressor_trained:
        missing = [name for name in missing if not name.startswith(RENAMES[1][0])]
    extra = [name for name in shapes if name not in wanted and not _derived(name)]
    misshapen = [
        f"{name} (expected {list(wanted[name])}, got {list(shape)})"
        for name, shape in shapes.items()
        if name in wanted and wanted[name] != shape
    ]
    if not any(name.startswith(VIT_PREFIX) for name in shapes):
        raise CheckpointError(
            folder,
            "there is no vision tower.",
            missing=[VIT_PREFIX + "*"],
            hint=f"put {VIT_FILE} of THUdyh/Oryx-ViT into the folder",
        )
    if missing or extra or misshapen:
        raise CheckpointError(
            folder,
            "its tensors are not those of the architecture in config.json.",
            missing=sorted(missing),
            extra=sorted(extra),
            misshapen=sorted(misshapen),
            hint="get the files again; none was loaded",
        )


def _has_compressor(
    folder: Path, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> bool:
    """Whether the folder brings a compressor; `*-Image` checkpoints name none and need none at 1x.

    Raises:
        CheckpointError: a resampler or projector of another kind.
    """
    projector = config.get("mm_projector_type")
    if projector != "simple_mlp_twoview":
        raise CheckpointError(folder, f"mm_projector_type '{projector}' is not simple_mlp_twoview.")
    kind = config.get("mm_resampler_type")
    if kind not in ("dynamic_compressor", None):
        raise CheckpointError(folder, f"mm_resampler_type '{kind}' is not dynamic_compressor.")
    inside = any(name.startswith(RENAMES[1][0]) for name in shapes)
    return kind is not None or inside


def _derived(name: str) -> bool:
    """Rotary tables that old savers wrote although they are computed."""
    return name.endswith("rotary_emb.inv_freq")


def load_model(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    quantization: str = "none",
) -> Oryx:
    """Load a checkpoint folder.

    Args:
        folder: with config.json and *.safetensors as published.
        device: where the weights go.
        dtype: of all weights.
        attention: the language model's attention in transformers' words.
        quantization: "none", "int8" or "int4", of the language model's linear layers; each is
            quantised as it is read, so that no more than one is whole at a time.

    Raises:
        CheckpointError: incomplete, damaged or of another architecture.
    """
    folder = Path(folder)
    if folder.is_dir():
        refuse_pointers(folder)
    config = read_json(folder, "config.json")
    language = build_language_model(config, str(folder), attention)
    reader = WeightReader(folder)
    vision = vision_config(folder, config)
    with torch.device("meta"):
        model = Oryx(vision, language, int(language.config.hidden_size))
    model.compressor_trained = _has_compressor(folder, config, reader.shapes)
    _compare(folder, model, reader.shapes)
    target = torch.device(device)
    tied = bool(getattr(language.config, "tie_word_embeddings", False))
    for name in reader.names():
        if not _derived(name) and not (tied and name == "lm_head.weight"):
            _assign(model, our_name(name), reader.read(name, target, dtype), quantization)
    if tied:
        table = language.get_input_embeddings().weight
        _assign(model, "language.lm_head.weight", table, quantization)
    materialise_buffers(language, target)
    if not model.compressor_trained:
        model.compressor.to_empty(device=target)
    return model.eval().requires_grad_(False)


def _assign(model: nn.Module, name: str, value: Tensor, quantization: str) -> None:
    owner, _, leaf = name.rpartition(".")
    module = model.get_submodule(owner)
    language = owner.startswith("language.") and leaf == "weight"
    linear = language and quantization != "none"
    if linear and isinstance(module, nn.Linear) and fits(module.in_features):
        parent, _, own = owner.rpartition(".")
        layer = quantised(module, value, quantization, head=own == "lm_head")
        setattr(model.get_submodule(parent), own, layer)
        return
    if not isinstance(value, nn.Parameter):
        value = nn.Parameter(value, requires_grad=False)
    setattr(module, leaf, value)
