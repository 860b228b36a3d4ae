"""OryxViT on CPU: packed against one by one, padded, and transformers' SigLIP at equal sizes.

Each round times every side once, in turn, after a warm-up; the median over rounds counts. Prints a
table and one last JSON line. Ratios are per patch; above 1 means that packed is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from oryx_scene.model.vision import OryxViT, VisionConfig

MIXED = ((128, 192), (64, 256), (192, 128), (96, 96), (160, 224), (64, 64), (224, 160), (128, 128))
EQUAL = ((64, 64),) * 32


def one_by_one(tower: OryxViT, pictures: list[Tensor]) -> None:
    """Each picture in a pass of its own."""
    for picture in pictures:
        tower([picture])


def padded(tower: OryxViT, pictures: list[Tensor]) -> None:
    """All pictures padded to the largest: what a batch without packing costs."""
    height = max(p.shape[1] for p in pictures)
    width = max(p.shape[2] for p in pictures)
    pads = [(0, width - p.shape[2], 0, height - p.shape[1]) for p in pictures]
    tower([torch.nn.functional.pad(p, pad) for p, pad in zip(pictures, pads, strict=True)])


def siglip(config: VisionConfig, side: int) -> Callable[[list[Tensor]], None]:
    """transformers' SiglipVisionModel with the same width, depth, heads and patch."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    model = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=config.width,
            intermediate_size=config.mlp_hidden,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            patch_size=16,
            image_size=side,
            vision_use_head=False,
        )
    ).eval()
    return lambda pictures: model(pixel_values=torch.stack(pictures))


def medians(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each side, the sides alternating."""
    for run in sides.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = VisionConfig(args.width, args.depth, 6, int(args.width * 3.7362), 16, 32)
    tower = OryxViT(config).eval()
    results = {}
    with torch.inference_mode():
        for name, sizes in (("mixed", MIXED), ("equal", EQUAL)):
            pictures = [torch.randn(3, h, w) for h, w in sizes]
            sides: dict[str, Callable[[], object]] = {
                "packed": lambda p=pictures: tower(p),
                "one by one": lambda p=pictures: one_by_one(tower, p),
                "padded": lambda p=pictures: padded(tower, p),
            }
            if name == "equal":
                other = siglip(config, 64)
                sides["SiglipVisionModel"] = lambda p=pictures, o=other: o(p)
            found = medians(sides, args.rounds)
            patches = sum(h * w // 256 for h, w in sizes)
            for side, seconds in found.items():
                ratio = seconds / found["packed"]
                print(
                    f"{name:<6} {side:<18} {1e6 * seconds / patches:8.1f} us/patch  {ratio:5.2f}x"
                )
            results[name] = {side: seconds / found["packed"] for side, seconds in found.items()}
    print(json.dumps({"width": args.width, "depth": args.depth, "ratio_to_packed": results}))


if __name__ == "__main__":
    main()
