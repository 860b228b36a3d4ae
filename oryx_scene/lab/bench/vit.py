"""The vision tower: packed against one by one, padded, transformers' SigLIP and the matmul peak.

Ratios to a baseline are times per patch of the baseline over ours: above 1, packed is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from oryx_scene.lab.bench.limits import measure_limits
from oryx_scene.lab.bench.models import SIZES
from oryx_scene.lab.bench.options import BenchOptions
from oryx_scene.lab.bench.report import Row
from oryx_scene.lab.bench.timing import measure
from oryx_scene.model.oryx.vision import OryxViT, VisionConfig

MIXED = ((128, 192), (64, 256), (192, 128), (96, 96), (160, 224), (64, 64), (224, 160), (128, 128))
# (height, width) and how many of them; "7b" is the goal's row: 8 frames of 480x640.
EQUAL = {"tiny": ((64, 64), 4), "0.5b": ((64, 64), 32), "7b": ((480, 640), 8)}


def tower_flops(config: VisionConfig, grids: Sequence[int]) -> float:
    """Operations of one pass, multiply and add as two; ``grids`` are patches per picture.

    Linear layers 2 (4 w^2 + 2 w m) per patch and block, attention 4 n^2 w per picture and block,
    the patch projection 2 * 3 * 16^2 * w per patch.
    """
    patches = sum(grids)
    linear = 2.0 * (4 * config.width**2 + 2 * config.width * config.mlp_hidden) * patches
    attention = sum(4.0 * n * n * config.width for n in grids)
    embed = 2.0 * 3 * config.patch**2 * config.width * patches
    return config.depth * (linear + attention) + embed


def siglip(config: VisionConfig, height: int, width: int, like: Tensor) -> Callable[[Tensor], None]:
    """transformers' SiglipVisionModel with the same width, depth, heads and patch."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    settings = SiglipVisionConfig(
        hidden_size=config.width,
        intermediate_size=config.mlp_hidden,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        patch_size=config.patch,
        image_size=config.patch * config.position_grid,
        vision_use_head=False,
    )
    model = SiglipVisionModel(settings).eval().to(like.device, like.dtype)
    square = height == width == settings.image_size
    return lambda batch: model(pixel_values=batch, interpolate_pos_encoding=not square)


def _padded(tower: OryxViT, pictures: list[Tensor]) -> None:
    height, width = (max(p.shape[side] for p in pictures) for side in (1, 2))
    pads = [(0, width - p.shape[2], 0, height - p.shape[1]) for p in pictures]
    tower([torch.nn.functional.pad(p, pad) for p, pad in zip(pictures, pads, strict=True)])


def _sides(
    tower: OryxViT, pictures: list[Tensor], with_siglip: bool
) -> dict[str, Callable[[], object]]:
    sides: dict[str, Callable[[], object]] = {
        "packed": lambda: tower(pictures),
        "one by one": lambda: [tower([picture]) for picture in pictures],
    }
    if with_siglip:
        batch = torch.stack(pictures)
        other = siglip(tower.config, batch.shape[2], batch.shape[3], batch)
        sides["SiglipVisionModel"] = lambda: other(batch)
    else:
        sides["padded to the largest"] = lambda: _padded(tower, pictures)
    return sides


GOALS = {"SiglipVisionModel": ">= 1.0", "padded to the largest": ">= 1.5"}


def run(options: BenchOptions) -> list[Row]:
    """Rows for pictures of mixed and of equal sizes."""
    config = SIZES[options.size].vision
    tower = OryxViT(config).eval().to(options.device, options.dtype)
    limits = measure_limits(options.device, options.dtype, tiny=options.tiny)
    size, count = EQUAL[options.size]
    rows: list[Row] = []
    with torch.inference_mode():
        for name, sizes in (("mixed sizes", MIXED), (f"{count} of {size[1]}x{size[0]}", None)):
            wanted = sizes or (size,) * count
            pictures = [
                torch.randn(3, h, w, device=options.device).to(options.dtype) for h, w in wanted
            ]
            grids = [h * w // config.patch**2 for h, w in wanted]
            times = measure(_sides(tower, pictures, sizes is None), options.rounds, options.device)
            packed = times["packed"].median
            peak = tower_flops(config, grids) / packed / limits.matmul_flops
            goal = ">= 0.5" if sizes is None and options.device.type == "cuda" else ""
            per_patch = 1e6 * packed / sum(grids)
            text = f"{name}, packed"
            rows.append(
                Row(text, per_patch, "us/patch", peak, "matmul peak", goal, times["packed"])
            )
            rows += [
                Row(
                    f"{name}, {side}",
                    1e6 * found.median / sum(grids),
                    "us/patch",
                    found.median / packed,
                    "packed",
                    "" if options.tiny else GOALS.get(side, ""),
                    found,
                )
                for side, found in times.items()
                if side != "packed"
            ]
    return rows
