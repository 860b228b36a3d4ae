"""Whether bitsandbytes' 4-bit kernels work on a device, found out in a process of its own.

A wheel may lack the kernel of this very device, and the library's CUDA code then ends the process.
So another one makes a small layer and compares its products with the arithmetic written out; only
after that is the library imported here. How fast it is is not asked: it rounds weights otherwise
than we do, and answers must not depend on how busy the machine was.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import math
import os
import subprocess
import sys
from dataclasses import dataclass

import torch

from oryx_scene.model.checkpoint.nf4_linear import Nf4Linear
from oryx_scene.model.checkpoint.quantise import dense_dtype, from_nibbles

LIBRARY = "bitsandbytes"
LIMIT_S = 120
# Share by which the trial's products may differ: bfloat16 rounds inputs and outputs.
PRODUCT_ERROR = 0.02
# Share by which NF4 moves normally distributed weights (0.09), with room.
WEIGHT_ERROR = 0.15


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        works: the library computes 4-bit layers here.
        words: its name and version, or why it is not used.
    """

    works: bool
    words: str


@functools.cache
def try_library(device: str, dtype: torch.dtype) -> Trial:
    """Try the library on ``device`` ("cpu", "cuda:0") for layers of ``dtype``."""
    if not _importable(LIBRARY):
        return Trial(False, f"{LIBRARY} is not installed")
    if dtype is not torch.bfloat16:
        return Trial(False, f"{LIBRARY} is used with bfloat16 only")
    if _importable("kernels") and dense_dtype("cpu", torch.bfloat16) is torch.bfloat16:
        # On such a CPU its import asks the package "kernels" for code from the network.
        return Trial(False, f"{LIBRARY} would download code, since 'kernels' is installed")
    quieten()
    return _judged(device, _run(device))


def quieten() -> None:
    """Do without the library's advice to install what downloads code."""
    logging.getLogger(f"{LIBRARY}.backends.cpu.ops").setLevel(logging.ERROR)


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _run(device: str) -> dict[str, str | float]:
    """The other process's findings; "failed" says why there are none."""
    command = [sys.executable, "-m", "oryx_scene.model.checkpoint.nf4_trial", device]
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        return {"failed": f"{type(err).__name__}: {err}"[:200]}
    last = (done.stdout.strip() or "{}").splitlines()[-1]
    if done.returncode == 0 and last.startswith("{"):
        found: dict[str, str | float] = json.loads(last)
        return found
    said = (done.stderr.strip() or "nothing said").splitlines()[-1][:200]
    return {"failed": f"exit status {done.returncode}, {said}"}


def _judged(device: str, found: dict[str, str | float]) -> Trial:
    if "failed" in found:
        return Trial(False, f"{LIBRARY} failed its trial on {device} ({found['failed']})")
    name = f"{LIBRARY} {found['version']}"
    if not found["kernel"]:
        return Trial(False, f"{name} has no 4-bit kernel for this CPU")
    product, weight = float(found["product"]), float(found["weight"])
    if not (product < PRODUCT_ERROR and weight < WEIGHT_ERROR):
        words = f"products {product:.2g} and weights {weight:.2g} off"
        return Trial(False, f"{name} gave wrong numbers on {device} ({words})")
    return Trial(True, name)


def measure(device: str) -> dict[str, str | float]:
    """Version, and by which share weights and products of a small layer are off.

    Weights are unpacked here with plain arithmetic and compared with what they were; products of
    few and of many rows are compared with those of the unpacked weights.
    """
    import bitsandbytes
    from bitsandbytes.functional import has_avx512bf16, quantize_4bit

    version = str(bitsandbytes.__version__)
    if device == "cpu" and not has_avx512bf16():
        return {"version": version, "kernel": 0.0}
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 256, generator=generator).to(device, torch.bfloat16)
    layer = Nf4Linear(weight)
    packed, state = quantize_4bit(weight, blocksize=layer.block, quant_type="nf4")
    steps = state.code.float()[from_nibbles(packed.view(64, -1)).long()]
    whole = steps * state.absmax.float().view(64, -1).repeat_interleave(layer.block, 1)
    worst = 0.0
    for rows in (1, 8, 40):
        x = torch.randn(rows, 256, generator=generator).to(device, torch.bfloat16)
        worst = max(worst, _share(layer(x), x.float() @ whole.T))
    return {
        "version": version,
        "kernel": 1.0,
        "product": worst,
        "weight": _share(whole, weight.float()),
    }


def _share(found: torch.Tensor, wanted: torch.Tensor) -> float:
    share = float((found.float() - wanted).norm() / wanted.norm())
    # What is no number must not get lost in a maximum.
    return share if math.isfinite(share) else math.inf


if __name__ == "__main__":
    quieten()
    with torch.inference_mode():
        sys.stdout.write(json.dumps(measure(sys.argv[1])) + "\n")
