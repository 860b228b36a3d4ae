"""What this machine can do at best, measured: dense matrix products, reading and copying memory.

These are the denominators of the other measurements. They are taken in the same run, since a busy
machine, a power limit or a hot board has another limit than the data sheet.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from oryx_scene.lab.bench.timing import measure

# Larger than the last-level cache of server CPUs and of any GPU, except for a dry run.
BUFFER_BYTES = {"tiny": 32 * 2**20, "cpu": 256 * 2**20, "cuda": 2**30}
MATMUL_SIDE = {"tiny": 256, "cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class MachineLimits:
    """Measured limits of one device.

    Attributes:
        matmul_flops: multiply and add counted as two, per second, in the dtype of the run.
        read_bytes: bytes read per second by a sum over a buffer.
        copy_bytes: bytes read plus bytes written per second by a copy of a buffer.
    """

    matmul_flops: float
    read_bytes: float
    copy_bytes: float


def measure_limits(
    device: torch.device, dtype: torch.dtype, *, tiny: bool = False, rounds: int = 7
) -> MachineLimits:
    """Measure the device; the fastest round counts, since a limit is what was reached once."""
    kind = "tiny" if tiny else device.type
    side = MATMUL_SIDE[kind]
    a = torch.randn(side, side, device=device).to(dtype)
    b = torch.randn(side, side, device=device).to(dtype)
    count = BUFFER_BYTES[kind] // 4
    source = torch.ones(count, device=device)
    target = torch.empty_like(source)
    found = measure(
        {
            "matmul": lambda: a @ b,
            "read": source.sum,
            "copy": lambda: target.copy_(source),
        },
        rounds,
        device,
    )
    best = {name: min(times.seconds) for name, times in found.items()}
    return MachineLimits(
        2.0 * side**3 / best["matmul"], 4.0 * count / best["read"], 8.0 * count / best["copy"]
    )
