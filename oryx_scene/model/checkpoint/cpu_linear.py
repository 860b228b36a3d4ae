"""Linear layers on a CPU for the few rows of a decode step.

torch's own kernels read bfloat16 weights at a half of the memory's speed and packed ones at less
(`benchmarks/quantised_linear.py`). `cpu_rows.c` reads every weight once for eight rows. It is built
on the machine with its C compiler, for its own CPU, tried on real numbers, and left out where there
is none. Many rows go to torch's matrix product, in float32 piece by piece where the CPU has no
bfloat16 of its own.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oryx_scene.model.checkpoint.quantise import (
    GROUP,
    PIECE,
    dequantise,
    pack,
    pack_scales,
    quantise,
)

SOURCE = Path(__file__).with_name("cpu_rows.c")
FLAGS = ("-O3", "-march=native", "-fno-strict-aliasing", "-fopenmp", "-shared", "-fPIC")
COMPILERS = ("cc", "gcc", "clang")
# Rows up to which reading the weights costs more than multiplying them.
MOST_ROWS = 8


class CpuLinear(nn.Linear):
    """A linear layer of bfloat16 weights that gives few rows to the kernel.

    Where bfloat16 is what the CPU multiplies, few rows and many give the same numbers but for the
    order of sums: the kernel rounds to bfloat16 what torch's matrix product rounds. A head, whose
    rows are always few, keeps float32 (``exact``): bfloat16 logits of likely tokens often tie.
    """

    exact = False
    # On a CPU activations between layers are float32; see Decoder.
    float_activations = True

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features) in x's dtype."""
        # Looked up once: a module's attributes cost as much as the arithmetic of a small layer.
        weight, bias, width = self.weight, self.bias, self.in_features
        if torch.is_grad_enabled():
            # Training goes torch's way: the kernel has no gradient.
            return F.linear(x.to(weight.dtype), weight, bias).to(x.dtype)
        rows, kernel = x.numel() // width, rows_kernel()
        if kernel is None or width % GROUP or not 0 < rows <= MOST_ROWS:
            found = dense(x, weight)
            return (found if bias is None else found + bias).to(x.dtype)
        rounded = kernel.rounds_inputs and not self.exact
        flat = kernel(x.reshape(rows, width), weight, bias, rounded=rounded)
        return flat.to(x.dtype).view(*x.shape[:-1], -1)


def dense(x: Tensor, weight: Tensor) -> Tensor:
    """x times the weight's transpose as torch's matrix product, in the dtype that is fast here."""
    if weight.dtype is torch.bfloat16 and weight.device.type == "cpu" and not has_bfloat16():
        wide = x.float()
        return torch.cat([F.linear(wide, piece.float()) for piece in weight.split(PIECE)], -1)
    return F.linear(x.to(weight.dtype), weight)


def speed_up(model: nn.Module) -> str:
    """Let every plain bfloat16 linear layer of ``model`` on the CPU be a CpuLinear.

    Returns:
        what a decode step of few rows is computed with, for the model's card.
    """
    found = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is nn.Linear
        and module.weight.device.type == "cpu"
        and module.weight.dtype is torch.bfloat16
    ]
    for name, module in found:
        module.__class__ = CpuLinear
        module.exact = name.rpartition(".")[2] == "lm_head"
    kernel = rows_kernel() if found else None
    if kernel is None:
        return "torch"
    return "rows kernel" + (", bfloat16 products" if kernel.rounds_inputs else "")


@functools.cache
def has_bfloat16() -> bool:
    """Whether torch has fast bfloat16 matrix products on this CPU."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class RowsKernel:
    """The built kernel as functions of Python.

    Attributes:
        rounds_inputs: inputs of bfloat16 weights are rounded to bfloat16, for products that the
            CPU has instructions for; sums are float32 all the same.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.rounds_inputs = bool(library.rounds_inputs())

    def __call__(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        coded: tuple[int, int, Tensor] | None = None,
        rounded: bool = False,
    ) -> Tensor:
        """(n, in), (out, in) bfloat16 and (out,) or None -> (n, out) float32.

        ``coded`` holds outputs, bits and scales where ``weight`` is what :func:`pack` gave.
        ``rounded`` rounds what comes to bfloat16.
        """
        n, width = x.shape
        out, bits, scales = coded or (weight.shape[0], 16, None)
        # Named here, so that none of them is freed while its address is in use.
        x, weight = x.float().contiguous(), weight.contiguous()
        bias = None if bias is None else bias.float()
        y, scratch = torch.empty(n, out), torch.empty(n * (width + 2 * width // GROUP))
        self._library.rows(
            bits,
            x.data_ptr(),
            weight.data_ptr(),
            None if scales is None else scales.data_ptr(),
            None if bias is None else bias.data_ptr(),
            y.data_ptr(),
            scratch.data_ptr(),
            n,
            width,
            out,
            rounded,
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
    """Whether the kernel agrees with torch, on integers, whose sums float32 keeps exact."""
    generator = torch.Generator().manual_seed(0)
    for n, out, width in ((1, 37, 96), (1, 5, 1120), (3, 33, 32), (9, 34, 2080), (8, 64, 32)):
        x = torch.randint(-99, 100, (n, width), generator=generator).float()
        weight = torch.randint(-99, 100, (out, width), generator=generator).float()
        bias = torch.randint(-99, 100, (out,), generator=generator).float()
        if not torch.equal(kernel(x, weight.bfloat16(), bias), F.linear(x, weight, bias)):
            return False
        for bits in (8, 4):
            codes, scales = quantise(weight, bits)
            found = kernel(x, pack(codes, bits), bias, coded=(out, bits, pack_scales(scales)))
            wanted = F.linear(x, dequantise(codes, scales), bias)
            if (found - wanted).norm() > 1e-3 * wanted.norm():
                return False
    return True


def _build() -> ctypes.CDLL | None:
    """Compile into the user's cache, once per source, compiler and what it builds for."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None or not SOURCE.exists():
        return None
    try:
        # All that the compiler defines: its version, and every instruction that this CPU has.
        target = subprocess.run(
            [compiler, *FLAGS, "-dM", "-E", "-x", "c", os.devnull], check=True, capture_output=True
        ).stdout
        name = hashlib.sha256(SOURCE.read_bytes() + target + " ".join(FLAGS).encode()).hexdigest()
        built = _cache() / f"cpu_rows-{name[:16]}.so"
        if not built.exists():
            _compile(compiler, built)
        library = ctypes.CDLL(str(built))
        number, pointer, size = ctypes.c_int, ctypes.c_void_p, ctypes.c_ssize_t
        library.rows.argtypes = [number, *[pointer] * 6, *[size] * 3, number, number]
        library.rows.restype, library.rounds_inputs.restype = None, number
    except (OSError, subprocess.SubprocessError, AttributeError):
        return None
    return library


def _compile(compiler: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / target.name
        command = [compiler, *FLAGS, str(SOURCE), "-o", str(fresh)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        # Another process may be building the same; either file is whole.
        fresh.replace(target)


def _cache() -> Path:
    return Path.home() / ".cache" / "oryx_scene"
