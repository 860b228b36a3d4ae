"""Linear layers on a CPU for the few rows of a decode step.

torch's own kernels reach the memory's speed for one float32 row at most; for several rows, and for
bfloat16, they are two to ten times slower. `cpu_rows.c` reads every weight once. It is built on the
machine with its C compiler, for its own CPU, tried on real numbers, and left out where there is
none. Up to how many rows it is the faster way is timed once on a machine and kept, so that every
process on it computes the same bits. Many rows go to torch's
matrix product, in float32 piece by piece where the CPU has no bfloat16 of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SOURCE = Path(__file__).with_name("cpu_rows.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
COMPILERS = ("cc", "gcc", "clang")
BLOCK = 32
# Numbers of rows at which kernel and matrix product are timed against each other.
TIMED_ROWS = (1, 8, 16, 32)
# Times that differ by less than this factor say nothing.
CLEARLY = 1.2
# (outputs, inputs) of the layer they are timed on: more bytes than a core's share of caches holds.
TIMED_LAYER = (16384, 1024)
# Outputs that are turned to float32 at a time; a piece stays in the second or third cache.
PIECE = 512


class CpuLinear(nn.Linear):
    """A linear layer that takes the fastest way on this CPU for its number of rows.

    Where bfloat16 is what the CPU multiplies, few rows and many give the same numbers but for the
    order of sums: the kernel rounds to bfloat16 what torch's matrix product rounds. A head, whose
    rows are always few, keeps float32 (``exact``): bfloat16 logits of likely tokens often tie.
    """

    exact = False

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features); ``x`` may be float32 with any weight."""
        # Looked up once: a module's attributes cost as much as the arithmetic of a small layer.
        weight, bias, width = self.weight, self.bias, self.in_features
        if torch.is_grad_enabled():
            # Training goes torch's way: the kernel has no gradient.
            return F.linear(x.to(weight.dtype), weight, bias).to(x.dtype)
        rows = x.numel() // width
        kernel = rows_kernel()
        if (
            kernel is None
            or width % BLOCK
            or not 0 < rows <= most_rows(weight.dtype, torch.get_num_threads())
        ):
            return _by_torch(x, weight, bias)
        rounded = kernel.rounds_inputs and not self.exact
        if x.dim() == 2:
            return kernel(x, weight, bias, rounded=rounded).to(x.dtype)
        flat = kernel(x.reshape(rows, width), weight, bias, rounded=rounded)
        return flat.to(x.dtype).view(*x.shape[:-1], -1)


def _by_torch(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer as torch's matrix product, in x's dtype."""
    if weight.dtype is torch.bfloat16 and not has_bfloat16():
        wide = x.float()
        found = torch.cat([F.linear(wide, piece.float()) for piece in weight.split(PIECE)], -1)
        return (found if bias is None else found + bias).to(x.dtype)
    return F.linear(x.to(weight.dtype), weight, bias).to(x.dtype)


def speed_up(model: nn.Module) -> str:
    """Let every plain float32 or bfloat16 linear layer of ``model`` on the CPU be a CpuLinear.

    Returns:
        what a decode step of one row is computed with, for the model's card.
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
    for name, module in model.named_modules():
        if isinstance(module, CpuLinear):
            module.exact = name.rpartition(".")[2] == "lm_head"
    return _described(found[0].weight.dtype) if found else "torch"


def _described(dtype: torch.dtype) -> str:
    kernel = rows_kernel()
    if kernel is None:
        return "torch"
    if not most_rows(dtype, torch.get_num_threads()):
        return "torch, timed faster than the rows kernel"
    products = ", bfloat16 products" if dtype is torch.bfloat16 and kernel.rounds_inputs else ""
    return f"rows kernel{products}, timed faster than torch for few rows"


def timing_rounds(dtype: torch.dtype) -> bool:
    """Whether which way is timed faster decides what is rounded, not only the order of sums.

    So it is where torch multiplies bfloat16 and the kernel that was built widens it.
    """
    kernel = rows_kernel()
    differ = kernel is not None and has_bfloat16() and not kernel.rounds_inputs
    return dtype is torch.bfloat16 and differ


@functools.cache
def has_bfloat16() -> bool:
    """Whether torch has fast bfloat16 matrix products on this CPU."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@functools.cache
def most_rows(dtype: torch.dtype, threads: int) -> int:
    """Up to how many rows of ``TIMED_ROWS`` the kernel is faster here than torch; 0 for none.

    Timed on this machine by the first process that asks, and kept in the user's cache; other
    processes take what it found, with any number of threads, so that they sum in the same order.
    ``threads`` is what torch is set to.
    """
    if dtype in _FIXED:
        return _FIXED[dtype]
    assert threads == torch.get_num_threads()
    file = _cache() / f"{_rows_name(dtype)}.json"
    kept = _read_rows(file)
    return _keep_rows(file, _timed_rows(dtype)) if kept is None else kept


def _read_rows(file: Path) -> int | None:
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["most_rows"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        with contextlib.suppress(OSError):
            file.unlink()  # damaged: timed anew
        return None


def _keep_rows(file: Path, most: int) -> int:
    """Keep what was timed; the first to do so decides, whoever else has timed meanwhile."""
    with contextlib.suppress(OSError):  # nothing can be kept: this process's own timing stands
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            fresh = Path(folder) / file.name
            fresh.write_text(json.dumps({"most_rows": most}), encoding="utf-8")
            with contextlib.suppress(FileExistsError):
                os.link(fresh, file)
    kept = _read_rows(file)
    return most if kept is None else kept


def fix_most_rows(rows: Mapping[str, int]) -> None:
    """Take these numbers instead of any timing; for processes that must compute the same bits.

    Args:
        rows: name of a dtype ("float32", "bfloat16") -> what :func:`most_rows` shall give.
    """
    _FIXED.update({getattr(torch, name): count for name, count in rows.items()})
    most_rows.cache_clear()


_FIXED: dict[torch.dtype, int] = {}


def _rows_name(dtype: torch.dtype) -> str:
    """Names what a timing depends on: kernel, CPU, torch and dtype."""
    source = SOURCE.read_bytes() if SOURCE.exists() else b""
    known = f"{_cpu()} {torch.__version__} {dtype} {TIMED_ROWS} {TIMED_LAYER}"
    return f"cpu_rows-{hashlib.sha256(source + known.encode()).hexdigest()[:16]}"


def _timed_rows(dtype: torch.dtype) -> int:
    """Best of three calls in turn, in seconds that the calling thread computed.

    Other work beside must not decide, as far as that can be had.
    """
    kernel = rows_kernel()
    assert kernel is not None
    weight = torch.empty(TIMED_LAYER, dtype=dtype).fill_(1.0)
    most = 0
    for rows in TIMED_ROWS:
        x = torch.ones(rows, TIMED_LAYER[1])
        ours = theirs = float("inf")
        for _ in range(3):
            ours = min(ours, _seconds(kernel, x, weight))
            theirs = min(theirs, _seconds(_by_torch, x, weight))
        if ours > CLEARLY * theirs:
            break
        most = rows
    return most


def _seconds(way: Callable[[Tensor, Tensor, None], Tensor], x: Tensor, weight: Tensor) -> float:
    started = time.thread_time()
    way(x, weight, None)
    return time.thread_time() - started


class RowsKernel:
    """The built kernel as a function of Python.

    Attributes:
        rounds_inputs: inputs of bfloat16 weights are rounded to bfloat16, for products that the
            CPU has instructions for; sums are float32 all the same.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._calls = {torch.bfloat16: library.rows_bf16, torch.float32: library.rows_f32}
        self.rounds_inputs = bool(library.rounds_inputs())

    def __call__(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, *, rounded: bool = False
    ) -> Tensor:
        """(n, in), (out, in) and (out,) or None -> (n, out) float32.

        ``rounded`` rounds what comes from bfloat16 weights to bfloat16.
        """
        n, (out, width) = x.shape[0], weight.shape
        y = torch.empty(n, out)
        # Named here, so that none of them is freed while its address is in use.
        x, weight, scratch = x.float().contiguous(), weight.contiguous(), torch.empty(n, width)
        bias = None if bias is None else bias.float()
        self._calls[weight.dtype](
            x.data_ptr(),
            weight.data_ptr(),
            None if bias is None else bias.data_ptr(),
            y.data_ptr(),
            scratch.data_ptr(),
            n,
            width,
            out,
            rounded and weight.dtype is torch.bfloat16,
            torch.get_num_threads(),
        )
        return y


@functools.cache
def rows_kernel() -> RowsKernel | None:
    """The built kernel, None where it cannot be built or gives wrong numbers."""
    library = _build()
    if library is None:
        return None
    kernel = RowsKernel(library)
    return kernel if _right(kernel) else None


def _right(kernel: RowsKernel) -> bool:
    """Whether the kernel agrees with torch on integers, whose sums float32 keeps exact."""
    generator = torch.Generator().manual_seed(0)
    for n, out, width in ((1, 37, 96), (1, 5, 1120), (3, 33, 32), (9, 34, 2080), (8, 64, 32)):
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
        call.argtypes = [pointer] * 5 + [size] * 3 + [ctypes.c_int] * 2
        call.restype = None
    library.rounds_inputs.restype = ctypes.c_int
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
