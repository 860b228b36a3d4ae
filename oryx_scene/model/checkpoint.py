"""Loading a published checkpoint folder as it is, strictly and with little memory.

Tensor names are those of the published shards. Every tensor is accounted for: a missing, extra or
misshapen one is an error that lists the names. Reading the bytes is `weights`' business. Nothing
here touches the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oryx_scene.errors import CheckpointError
from oryx_scene.model.language import build_language_model, materialise_buffers
from oryx_scene.model.oryx import Oryx
from oryx_scene.model.vision import VisionConfig
from oryx_scene.model.weights import VIT_FILE, VIT_PREFIX, WeightReader, read_json

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


def vision_config(folder: Path, shapes: dict[str, tuple[int, ...]]) -> VisionConfig:
    """Sizes of the vision tower, read from the tensors' own shapes.

    The number of heads leaves no trace in a shape: it is read from ``tiny_vit.json`` or
    ``oryx_vit`` in config.json where they are, else it is so400m's 16.

    Raises:
        CheckpointError: the folder holds no vision tower.
    """
    prefix = VIT_PREFIX
    vit = {
        name.removeprefix(prefix): shape
        for name, shape in shapes.items()
        if name.startswith(prefix)
    }
    try:
        _, positions, width = vit["pos_embed"]
        patch = vit["patch_embed.proj.weight"][-1]
        hidden = vit["blocks.0.mlp.fc1.weight"][0]
    except (KeyError, ValueError, IndexError) as err:
        raise CheckpointError(
            folder,
            "there is no vision tower.",
            missing=[prefix + "pos_embed"],
            hint=f"put {VIT_FILE} of THUdyh/Oryx-ViT into the folder",
        ) from err
    blocks = {int(name.split(".")[1]) for name in vit if name.startswith("blocks.")}
    grid = round(positions**0.5)
    heads = _heads(folder)
    if grid * grid != positions or width % heads:
        raise CheckpointError(
            folder, f"a vision tower of width {width}, {positions} positions, {heads} heads."
        )
    return VisionConfig(width, max(blocks) + 1, heads, hidden, patch, grid)


def _heads(folder: Path) -> int:
    if (folder / "tiny_vit.json").exists():
        return int(read_json(folder, "tiny_vit.json").get("heads", VisionConfig.heads))
    own = read_json(folder, "config.json").get("oryx_vit", {})
    return int(own.get("heads", VisionConfig.heads)) if isinstance(own, dict) else 16


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
) -> Oryx:
    """Load a checkpoint folder.

    Args:
        folder: with config.json and *.safetensors as published.
        device: where the weights go.
        dtype: of all weights.
        attention: the language model's attention in transformers' words.

    Raises:
        CheckpointError: incomplete, damaged or of another architecture.
    """
    folder = Path(folder)
    config = read_json(folder, "config.json")
    language = build_language_model(config, str(folder), attention)
    reader = WeightReader(folder)
    vision = vision_config(folder, reader.shapes)
    with torch.device("meta"):
        model = Oryx(vision, language, int(config["hidden_size"]))
    model.compressor_trained = _has_compressor(folder, config, reader.shapes)
    _compare(folder, model, reader.shapes)
    target = torch.device(device)
    for name, tensor in reader.tensors():
        if not _derived(name):
            _assign(model, our_name(name), tensor, target, dtype)
    if getattr(language.config, "tie_word_embeddings", False):
        language.tie_weights()
    materialise_buffers(language, target)
    if not model.compressor_trained:
        model.compressor.to_empty(device=target)
    return model.eval().requires_grad_(False)


def _assign(
    model: nn.Module, name: str, tensor: Tensor, device: torch.device, dtype: torch.dtype
) -> None:
    owner_path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(owner_path)
    # clone: a tensor that still points into the mapped file would fault pages in while answering.
    value = tensor.to(device=device, dtype=dtype, copy=True)
    setattr(owner, leaf, nn.Parameter(value, requires_grad=False))
