"""The resize in integer taps against PIL: the same bytes, and how long either takes."""

from __future__ import annotations

import functools

import numpy as np
import torch

from oryx_scene.lab.bench.options import BenchOptions
from oryx_scene.lab.bench.report import Row
from oryx_scene.lab.bench.timing import measure
from oryx_scene.model.oryx.device_pixels import resize_on_device
from oryx_scene.model.oryx.resample import resize

# (height, width) of a camera's picture and of what the model is shown.
SIZES = (((480, 640), (384, 512)), ((720, 1280), (416, 736)), ((1080, 1920), (416, 736)))


def run(options: BenchOptions) -> list[Row]:
    """Rows per pair of sizes; PIL works on the CPU, the taps on the device of the run."""
    rows: list[Row] = []
    for size, wanted in SIZES:
        picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        there = torch.from_numpy(picture).to(options.device)
        with torch.inference_mode():
            ours = resize_on_device(there, wanted).cpu().numpy()
            times = measure(
                {
                    "taps": functools.partial(resize_on_device, there, wanted),
                    "PIL": functools.partial(resize, picture, wanted),
                },
                options.rounds,
                options.device,
            )
        other = int((ours != resize(picture, wanted)).sum())
        what = f"{size[1]}x{size[0]} to {wanted[1]}x{wanted[0]}"
        taps, pil = times["taps"], times["PIL"]
        share = taps.median / pil.median
        rows += [
            Row(f"{what}, bytes that differ", other, "", goal="<= 0"),
            Row(f"{what}, integer taps", 1e3 * taps.median, "ms", share, "PIL", "", taps),
            Row(f"{what}, PIL", 1e3 * pil.median, "ms", times=pil),
        ]
    return rows
