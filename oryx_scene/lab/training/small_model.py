"""The small Oryx: sizes, first weights and the checkpoint folder it is written as.

The architecture is that of the published models; only the sizes differ, and they are stated in
config.json as the loader expects.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oryx_scene.model.checkpoint.checkpoint import published_name
from oryx_scene.model.checkpoint.sidecar_files import LEARNT_FILE
from oryx_scene.model.oryx.language import build_language_model, materialise_buffers
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.pixels import normalise
from oryx_scene.model.oryx.vision import Block, VisionConfig
from oryx_scene.records import RgbImage

VISION = VisionConfig(width=192, depth=6, heads=4, mlp_hidden=576, patch=16, position_grid=16)


def small_config(vocabulary: int, vision: VisionConfig = VISION) -> dict[str, Any]:
    """config.json of the small model, in the published layout."""
    return {
        "architectures": ["OryxQwenForCausalLM"],
        "model_type": "oryx_qwen",
        "bos_token_id": None,
        "hidden_act": "silu",
        "hidden_size": 256,
        "intermediate_size": 704,
        "max_position_embeddings": 32768,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_hidden_layers": 4,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "vocab_size": vocabulary,
        "mm_hidden_size": vision.width,
        "mm_projector_type": "simple_mlp_twoview",
        "mm_resampler_type": "dynamic_compressor",
        "mm_vision_tower": "oryx_vit:oryx_vit.pth",
        "tokenizer_model_max_length": 32768,
        "tokenizer_padding_side": "right",
        "torch_dtype": "bfloat16",
        "oryx_vit": dataclasses.asdict(vision),
        "oryx_scene": {
            "trained": True,
            "name": "oryx-scene-default",
            "synthetic_only": True,
            "scratchpad": True,
        },
    }


def new_model(config: dict[str, Any], numbers: dict[int, Tensor], seed: int) -> Oryx:
    """First weights, float32 on the CPU.

    Args:
        config: of `small_config`.
        numbers: first embeddings of number tokens.
        seed: of all other weights.
    """
    language = build_language_model(config, "small", "eager")
    with torch.device("meta"):
        model = Oryx(VisionConfig(**config["oryx_vit"]), language, int(config["hidden_size"]))
    model.to_empty(device="cpu")
    materialise_buffers(model.language, torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    depth = 2 * int(config["num_hidden_layers"])
    for name, parameter in sorted(model.named_parameters()):
        if "norm" in name and name.endswith("weight"):
            parameter.data.fill_(1.0)
        elif name.endswith("bias"):
            parameter.data.zero_()
        elif parameter.dim() < 2 or ("embed" in name and "patch" not in name):
            parameter.data.normal_(0.0, 0.02, generator=generator)
        else:
            spread = parameter[0].numel() ** -0.5
            last = name.endswith(("o_proj.weight", "down_proj.weight", "proj.weight", "fc2.weight"))
            if last and "patch" not in name:
                spread /= depth**0.5
            parameter.data.normal_(0.0, spread, generator=generator)
    _look_around(model, generator)
    # Region attention starts even: the mean of its cell.
    model.compressor.vlm_query_projector.weight.data.mul_(0.5)
    table = model.language.get_input_embeddings().weight
    table.data.mul_(2.5)
    for index, code in numbers.items():
        table.data[index] = code * 0.6 + table.data[index] * 0.4
    if config["tie_word_embeddings"]:
        model.language.lm_head.weight = table
    return model


RATES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
# Where the heads of the first layers look at first: one patch up, down, left and right.
OFFSETS = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))


def _look_around(model: Oryx, generator: torch.Generator) -> None:
    """Let every patch attend to its neighbours from the first step on.

    What a number stands on shows beside its disc, and a shape is where its edges are. Positions
    start as waves over the grid; queries are the keys of the place one patch aside (a shift turns
    each wave), in the last layers the keys of the place itself (arXiv 2305.09828).
    """
    vision = model.vision
    grid, width = vision.config.position_grid, vision.config.width
    rates = torch.tensor(RATES)
    axis = torch.arange(grid) / grid * 2 * torch.pi
    waves = torch.cat([torch.sin(axis[:, None] * rates), torch.cos(axis[:, None] * rates)], 1)
    rows, columns = waves[:, None].expand(-1, grid, -1), waves[None].expand(grid, -1, -1)
    both = torch.cat([rows, columns], -1).reshape(grid * grid, -1)
    basis = 0.45 * torch.randn(both.shape[-1], width, generator=generator)
    vision.pos_embed.data = (both @ basis)[None].contiguous()
    read = torch.linalg.pinv(basis)  # (width, waves): positions back to waves
    half, size = len(vision.blocks) // 2, width // vision.config.heads
    for layer, block in enumerate(vision.blocks):
        assert isinstance(block, Block)
        weight = block.attn.qkv.weight.data
        for head in range(vision.config.heads):
            offset = OFFSETS[head % len(OFFSETS)] if layer < half else (0.0, 0.0)
            sharp = 3.6 if layer < half else 1.8
            # A camera picture of the common size has 12 x 16 patches.
            turned = read @ _shift(rates, offset[0] * grid / 12, offset[1] * grid / 16, grid)
            start = head * size
            for place, value in ((start, turned), (width + start, read)):
                weight[place : place + size] *= 0.3
                weight[place : place + value.shape[1]] += sharp * value.T


def _shift(rates: Tensor, rows: float, columns: float, grid: int) -> Tensor:
    """(waves, waves) matrix that moves row vectors of waves by a number of grid steps."""
    blocks = []
    for step in (rows, columns):
        angle = rates * step / grid * 2 * torch.pi
        sin, cos = torch.diag(angle.sin()), torch.diag(angle.cos())
        blocks.append(torch.cat([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)], 0))
    whole: Tensor = torch.block_diag(*blocks)
    return whole


def see_patches(model: Oryx, pictures: Sequence[RgbImage]) -> None:
    """Start the patch embedding as the whitened principal components of real patches.

    Pixels of a patch are nearly equal; from a random start its brightness drowns edges and digits,
    and shapes are learnt an order of magnitude later than colours.
    """
    patch, width = model.vision.config.patch, model.vision.config.width
    cut = [
        normalise(picture).unfold(1, patch, patch).unfold(2, patch, patch).permute(1, 2, 0, 3, 4)
        for picture in pictures
    ]
    patches = torch.cat([one.flatten(0, 1).flatten(1) for one in cut])
    mean = patches.mean(0)
    covariance = torch.cov(patches.T)
    values, vectors = torch.linalg.eigh(covariance.double())
    values, vectors = values.flip(0)[:width], vectors.flip(1)[:, :width]
    scale = (values + 0.01 * values[min(40, width - 1)]).rsqrt()
    whitening = (vectors * scale).T.float()
    model.vision.patch_embed.proj.weight.data = whitening.view(width, 3, patch, patch).contiguous()
    bias = model.vision.patch_embed.proj.bias
    assert bias is not None
    bias.data = -(whitening @ mean)


def write_checkpoint(
    folder: Path, model: Oryx, config: dict[str, Any], tokenizer_folder: Path, told: dict[str, Any]
) -> Path:
    """Write an ordinary checkpoint folder in bfloat16.

    Args:
        folder: made where it does not exist.
        model: trained.
        config: its config.json.
        tokenizer_folder: whose tokenizer files go along.
        told: about the training; goes into config.json under "oryx_scene".
    """
    from safetensors.torch import save_file
    from tokenizers import Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    described = {**config, "oryx_scene": {**config["oryx_scene"], **told}}
    for name in ("tokenizer.json", "tokenizer_config.json", LEARNT_FILE):
        if (tokenizer_folder / name).resolve() != (folder / name).resolve():
            shutil.copyfile(tokenizer_folder / name, folder / name)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    end, text_end = vocabulary["<|im_end|>"], vocabulary["<|endoftext|>"]
    described["eos_token_id"] = end
    _write_json(folder / "config.json", described)
    _write_json(
        folder / "generation_config.json",
        {"eos_token_id": [end, text_end], "pad_token_id": text_end},
    )
    tensors = {
        published_name(name): value.detach().to("cpu", torch.bfloat16).contiguous()
        for name, value in model.state_dict().items()
        if not (config["tie_word_embeddings"] and name == "language.lm_head.weight")
    }
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
