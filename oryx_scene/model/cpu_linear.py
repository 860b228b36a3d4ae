"""Linear layers on a CPU for the few rows of a decode step.

torch's own kernels reach the memory's speed for one float32 row only; for several rows, and for
bfloat16 where the CPU has no instructions for it, they are several times slower. `cpu_rows.c` reads
every weight once. It is built on the machine with its C compiler, tried on real numbers, and left
out where there is none. Many rows go to torch's matrix product, in float32 piece by piece where the
CPU has no bfloat16 of its own.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SOURCE = Path(__file__).with_name("cpu_rows.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
COMPILERS = ("cc", "gcc", "clang")
BLOCK = 16
# More rows than this are faster as one matrix product.
MOST_ROWS = 32
# Outputs that are turned to float32 at a time; a piece stays in the second or third cache.
PIECE = 512

Kernel = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class CpuLinear(nn.Linear):
    """A linear layer that takes the fastest way on this CPU for its number of rows."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features); ``x`` may be float32 with any weight."""
        if torch.is_grad_enabled():
            # Training goes torch's way: the kernel has no gradient.
            return F.linear(x.to(self.weight.dtype), self.weight, self.bias).to(x.dtype)
        rows = x.numel() // self.in_features
        kernel = rows_kernel()
        if kernel is not None and 0 < rows <= MOST_ROWS and self.in_features % BLOCK == 0:
            flat = kernel(x.reshape(rows, -1), self.weight, self.bias)
            return flat.to(x.dtype).view(*x.shape[:-1], -1)
        if self.weight.dtype is torch.bfloat16 and not has_bfloat16():
            return self._in_pieces(x.float()).to(x.dtype)
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias).to(x.dtype)

    def _in_pieces(self, x: Tensor) -> Tensor:
        found = torch.cat([F.linear(x, piece.float()) for piece in self.weight.split(PIECE)], -1)
        return found if self.bias is None else found + self.bias


def speed_up(model: nn.Module) -> str:
    """Let every plain float32 or bfloat16 linear layer of ``model`` on the CPU be a CpuLinear.

    Returns:
        what few rows are computed with: "rows kernel" or "torch".
    """
    found = [
        module
        for module in model.modules()
        if type(module) is nn.Linear
        and module.weight.device.type == "cpu"
        and module.weight.dtype in (torch.float32, torch.bfloat16)
    ]
    for module in found:
        module.__class__ = CpuLinear
    return "rows kernel" if found and rows_kernel() is not None else "torch"


@functools.cache
def has_bfloat16() -> bool:
    """Whether torch has fast bfloat16 matrix products on this CPU."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@functools.cache
def rows_kernel() -> Kernel | None:
    """The built kernel, None where it cannot be built or gives wrong numbers."""
    library = _build()
    if library is None:
        return None

    def run(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        n, (out, width) = x.shape[0], weight.shape
        y = torch.empty(n, out)
        call = library.rows_bf16 if weight.dtype is torch.bfloat16 else library.rows_f32
        # Named here, so that none of them is freed while its address is in use.
        x, weight, scratch = x.float().contiguous(), weight.contiguous(), torch.empty(x.shape)
        bias = None if bias is None else bias.float()
        call(
            x.data_ptr(),
            weight.data_ptr(),
            None if bias is None else bias.data_ptr(),
            y.data_ptr(),
            scratch.data_ptr(),
            n,
            width,
            out,
            torch.get_num_threads(),
        )
        return y

    return run if _right(run) else None


def _right(kernel: Kernel) -> bool:
    """Whether the kernel agrees with torch on integers, whose sums float32 keeps exact."""
    generator = torch.Generator().manual_seed(0)
    for n, out, width in ((1, 37, 80), (1, 5, 1104), (3, 33, 16), (9, 34, 1040), (8, 64, 32)):
        x = torch.randint(-99, 100, (n, width), generator=generator).float()
        weight = torch.randint(-99, 100, (out, width), generator=generator).float()
        bias = torch.randint(-99, 100, (out,), generator=generator).float()
        for dtype in (torch.float32, torch.bfloat16):
            for own in (bias, None):
                if not torch.equal(kernel(x, weight.to(dtype), own), F.linear(x, weight, own)):
                    return False
    return True


def _build() -> ctypes.CDLL | None:
    """Compile into the user's cache, once per source, compiler and CPU."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None or not SOURCE.exists():
        return None
    text = SOURCE.read_bytes() + " ".join((compiler, *FLAGS, _cpu())).encode()
    target = _cache() / f"cpu_rows-{hashlib.sha256(text).hexdigest()[:16]}.so"
    try:
        if not target.exists():
            _compile(compiler, target)
        return _declared(ctypes.CDLL(str(target)))
    except (OSError, subprocess.SubprocessError, AttributeError):
        return None


def _compile(compiler: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / target.name
        command = [compiler, *FLAGS, str(SOURCE), "-o", str(fresh)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        # Another process may be building the same; either file is whole.
        fresh.replace(target)


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size = ctypes.c_void_p, ctypes.c_ssize_t
    for call in (library.rows_bf16, library.rows_f32):
        call.argtypes = [pointer] * 5 + [size] * 3 + [ctypes.c_int]
        call.restype = None
    return library


def _cache() -> Path:
    return Path.home() / ".cache" / "oryx_scene"


def _cpu() -> str:
    """What -march=native depends on."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
