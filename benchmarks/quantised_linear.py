"""Quantised linear layers and the device's resize on one CPU thread, in seconds of its CPU time.

CPU time of the thread, not wall time, so that a busy machine matters less. Ratios are to the
bfloat16 layer of the same run (above 1: faster) and to PIL. Also: how far logits of the tiny random
model move, and how many greedy tokens stay. A table and one last JSON line.
"""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from oryx_scene.model.api import Limits, Prompt
from oryx_scene.model.checkpoint.load import load_answerer
from oryx_scene.model.checkpoint.quant_linear import Int4Linear, Int8Linear
from oryx_scene.model.oryx.device_pixels import resize_on_device
from oryx_scene.model.oryx.resample import resize

OUTPUTS, INPUTS = 19456, 896
ROWS = (1, 8, 256)


def cpu_s(run: Callable[[], object], rounds: int = 5) -> float:
    """Median CPU seconds of this thread, after one call for warm-up."""
    run()
    found = []
    for _ in range(rounds):
        started = time.thread_time()
        run()
        found.append(time.thread_time() - started)
    return statistics.median(found)


def layers() -> dict[str, float]:
    """Seconds of each kind over the bfloat16 layer."""
    torch.manual_seed(0)
    weight = torch.randn(OUTPUTS, INPUTS).bfloat16()
    kinds = {
        "float32": torch.nn.Linear(INPUTS, OUTPUTS, bias=False),
        "bfloat16": torch.nn.Linear(INPUTS, OUTPUTS, bias=False).bfloat16(),
        "int8": Int8Linear(weight),
        "int4": Int4Linear(weight),
    }
    ratios = {}
    for rows in ROWS:
        x = torch.randn(rows, INPUTS)
        half = x.bfloat16()
        seconds = {
            name: cpu_s(
                functools.partial(module, x if name == "float32" else half), 5 if rows < 100 else 2
            )
            for name, module in kinds.items()
        }
        for name, own in seconds.items():
            ratio = seconds["bfloat16"] / own
            ratios[f"{name}, {rows} rows"] = ratio
            print(f"{rows:>4} rows {name:<9} {1e3 * own:9.2f} ms {ratio:6.2f}x of torch's bfloat16")
    return ratios


def resizes() -> dict[str, float]:
    """Seconds of the integer taps over PIL's; the bytes are compared in the same run."""
    found = {}
    rng = np.random.default_rng(0)
    for size, wanted in (((480, 640), (384, 512)), ((720, 1280), (416, 736))):
        rgb = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        tensor = torch.from_numpy(rgb)
        same = np.array_equal(resize_on_device(tensor, wanted).numpy(), resize(rgb, wanted))
        pil = cpu_s(lambda r=rgb, w=wanted: resize(r, w))
        taps = cpu_s(lambda t=tensor, w=wanted: resize_on_device(t, w))
        name = f"{size[1]}x{size[0]} to {wanted[1]}x{wanted[0]}"
        found[name] = taps / pil
        print(
            f"{name}: PIL {1e3 * pil:.2f} ms, integer taps on the CPU {1e3 * taps:.2f} ms "
            f"({taps / pil:.1f}x), same bytes: {same}"
        )
    return found


def quality() -> dict[str, dict[str, float]]:
    """Logits and greedy tokens of the tiny random model against its bfloat16 weights."""
    prompts = [
        Prompt("You are a helpful assistant.", ("A room.\n",), f"Question {n}?") for n in range(16)
    ]
    engines = {
        kind: load_answerer("random", device="cpu", dtype="bfloat16", quantization=kind)
        for kind in ("none", "int8", "int4")
    }
    logits = {k: torch.cat(e.question_logits(prompts)) for k, e in engines.items()}
    first = {k: own.argmax(-1) for k, own in logits.items()}
    tokens = {
        k: [e.generate(p, Limits(max_new_tokens=8)).token_ids for p in prompts[:4]]
        for k, e in engines.items()
    }
    found = {}
    for kind in ("int8", "int4"):
        error = float((logits[kind] - logits["none"]).std() / logits["none"].std())
        agree = float((first[kind] == first["none"]).float().mean())
        pairs = [
            a == b
            for one, other in zip(tokens[kind], tokens["none"], strict=True)
            for a, b in zip(one, other, strict=False)
        ]
        free = statistics.mean(pairs)
        found[kind] = {"logit_error": error, "first_token": agree, "free_running": free}
        print(
            f"{kind}: logits move by {100 * error:.1f} % of their spread, first token the same "
            f"{100 * agree:.0f} %, free-running tokens {100 * free:.0f} %"
        )
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        print(json.dumps({"layers": layers(), "resize": resizes(), "quality": quality()}))
