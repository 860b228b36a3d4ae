"""Linear layers with 8- or 4-bit weights, in place of torch's own in a language model.

One way per device: on a CPU the kernel of `cpu_linear`, on CUDA torch's int4 product, which 8 bits
go through in two halves, and for many rows a dense product over weights that are unpacked piece by
piece. Where no kernel works they are unpacked for every use, and the model's card says so. For
inference only.
"""

from __future__ import annotations

import abc
import functools

import torch
from torch import Tensor, nn

from oryx_scene.model.checkpoint.cpu_linear import dense, rows_kernel
from oryx_scene.model.checkpoint.quantise import (
    GROUP,
    PIECE,
    TILE,
    dequantise,
    pack,
    pack_scales,
    quantise,
    unpack,
    unpack_scales,
)

KINDS = ("none", "int8", "int4")
# On CUDA more rows than this are faster as one dense product over unpacked weights.
MOST_ROWS = 32
# Outputs and inputs of one tile of torch's layout on CUDA.
CUDA_TILE = (8, 128)


class QuantLinear(nn.Module, abc.ABC):
    """What both devices share.

    Args:
        weight: (outputs, inputs) floats, inputs a multiple of 32; not kept.
        bias: (outputs,) or None.
        bits: 8 or 4.
    """

    bias: nn.Parameter | None
    codes: Tensor
    scales: Tensor

    def __init__(self, weight: Tensor, bias: nn.Parameter | None, bits: int) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bits, self.dtype = bits, weight.dtype
        self.register_parameter("bias", bias)
        codes, scales = self.packed(*quantise(weight, bits))
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    def unpacked(self, x: Tensor) -> Tensor:
        """x (rows, inputs) by weights that are unpacked piece by piece, bias included."""
        starts = range(0, self.out_features, PIECE)
        pieces = [dense(x, self.weights(at, at + PIECE).to(self.dtype)) for at in starts]
        return torch.cat(pieces, -1) if self.bias is None else torch.cat(pieces, -1) + self.bias

    @property
    @abc.abstractmethod
    def kernel(self) -> str:
        """What computes few rows from packed weights, "" for nothing."""

    @abc.abstractmethod
    def packed(self, codes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and scales of :func:`quantise` as they are kept."""

    @abc.abstractmethod
    def weights(self, start: int, end: int) -> Tensor:
        """Float32 weights of outputs ``start`` (a multiple of 16) to ``end`` or the last."""


class TiledLinear(QuantLinear):
    """In the layout of :func:`pack`, which the CPU's kernel reads; any device can unpack it."""

    # On a CPU activations between layers are float32; see Decoder.
    float_activations = True

    @property
    def kernel(self) -> str:
        """The CPU's kernel where it was built."""
        return "rows kernel" if self.codes.device.type == "cpu" and rows_kernel() else ""

    def packed(self, codes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """As :func:`pack` and :func:`pack_scales`."""
        return pack(codes, self.bits), pack_scales(scales)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features) in x's dtype, any number of rows."""
        codes, kernel = self.codes, rows_kernel()
        flat = x.reshape(-1, self.in_features)
        if kernel is None or codes.device.type != "cpu":
            found = self.unpacked(flat)
        else:
            coded = (self.out_features, self.bits, self.scales)
            found = kernel(flat, codes, self.bias, coded=coded)
        return found.to(x.dtype).view(*x.shape[:-1], self.out_features)

    def weights(self, start: int, end: int) -> Tensor:
        """Weights of outputs ``start`` to ``end``."""
        end = min(end, self.out_features)
        tiles = slice(start // TILE, -(-end // TILE))
        codes, scales = unpack(self.codes[tiles], self.bits), unpack_scales(self.scales[tiles])
        return dequantise(codes, scales)[: end - start]


class CudaLinear(QuantLinear):
    """In torch's int4 layout for CUDA; c = 16 high + low lays 8 bits out as two layers of 4."""

    float_activations = False
    kernel = "torch's int4 kernel"

    def packed(self, codes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """(layers, ...) packed codes, (layers, groups, outputs, 2) scales and offsets."""
        layers = [(codes, scales)]
        if self.bits == 8:
            low = torch.cat((scales, 8 * scales), 2)
            high = torch.cat((16 * scales, torch.zeros_like(scales)), 2)
            layers = [(codes >> 4, high), ((codes & 15) - 8, low)]
        kept = [cuda_pack((own + 8).to(torch.uint8)) for own, _ in layers]
        return torch.stack(kept), torch.stack([own.transpose(0, 1) for _, own in layers])

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features) in x's dtype."""
        flat = x.reshape(-1, self.in_features)
        if 0 < flat.shape[0] <= MOST_ROWS:
            half = flat.bfloat16().contiguous()
            parts = [cuda_product(half, *own) for own in zip(self.codes, self.scales, strict=True)]
            found = parts[0] if len(parts) == 1 else parts[0] + parts[1]
            found = found if self.bias is None else found + self.bias
        else:
            found = self.unpacked(flat)
        return found.to(x.dtype).view(*x.shape[:-1], self.out_features)

    def weights(self, start: int, end: int) -> Tensor:
        """Weights of outputs ``start`` to ``end``."""
        end, place = min(end, self.out_features), cuda_order(self.codes.device)
        layers = [
            dequantise(cuda_unpack(codes, place, start, end) - 8, scales[start:end])
            for codes, scales in zip(self.codes, self.scales.transpose(1, 2), strict=True)
        ]
        return layers[0] if len(layers) == 1 else layers[0] + layers[1]


def cuda_pack(codes: Tensor) -> Tensor:
    """Codes 0..15 (outputs, inputs) in the layout of torch's kernel."""
    return torch._convert_weight_to_int4pack((codes[:, ::2] << 4) | codes[:, 1::2], 8)


def cuda_product(x: Tensor, packed: Tensor, scales: Tensor) -> Tensor:
    """x (rows, inputs) bfloat16 times the transpose of (c - 8) scale + offset."""
    return torch._weight_int4pack_mm(x, packed, GROUP, scales)


def _nibbles(packed: Tensor) -> Tensor:
    flat = packed.contiguous().view(torch.uint8).flatten()
    return torch.stack((flat & 15, flat >> 4), 1).flatten()


@functools.cache
def cuda_order(device: torch.device) -> Tensor:
    """Where code i of a tile lies among the packed tile's codes; torch offers no way back.

    Found by packing a tile's own indices, digit by digit: nothing but the tile's size is assumed.
    """
    index = torch.arange(CUDA_TILE[0] * CUDA_TILE[1], device=device)
    digits = [
        _nibbles(cuda_pack(((index >> at) & 15).to(torch.uint8).view(CUDA_TILE))).long() << at
        for at in (0, 4, 8)
    ]
    return torch.argsort(digits[0] | digits[1] | digits[2])


def cuda_unpack(packed: Tensor, place: Tensor, start: int, end: int) -> Tensor:
    """Codes 0..15 (end - start, inputs), int8, of outputs from a multiple of 8 on."""
    tiles = packed[start // CUDA_TILE[0] : -(-end // CUDA_TILE[0])]
    codes = _nibbles(tiles).view(tiles.shape[0], tiles.shape[1], -1)[..., place]
    whole: Tensor = codes.unflatten(2, CUDA_TILE).transpose(1, 2).flatten(2).flatten(0, 1)
    return whole[: end - start].to(torch.int8)


@functools.cache
def cuda_works(device: torch.device) -> bool:
    """Whether a real launch gives what unpacked weights do; a wheel may lack the kernel."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 256, generator=generator).bfloat16()
    x = torch.randn(3, 256, generator=generator).bfloat16().to(device)
    wanted = dequantise(*quantise(weight, 8)).to(device)
    try:
        layer = CudaLinear(weight.to(device), None, 8)
        found, whole = layer(x).float(), layer.weights(0, 64)
    except (RuntimeError, AttributeError, TypeError):
        return False
    product = x.float() @ wanted.T
    off = (found - product).norm() / product.norm()
    return bool(off < 0.02) and torch.allclose(whole, wanted, rtol=1e-3, atol=1e-4)


def fits(inputs: int) -> bool:
    """Whether weights of so many inputs can be quantised; all published ones can."""
    return inputs % GROUP == 0


def quantised(linear: nn.Linear, weight: Tensor, kind: str, *, head: bool) -> QuantLinear:
    """The layer that takes ``linear``'s place, ``weight`` in ``kind``; a head takes int8."""
    bits = 4 if kind == "int4" and not head else 8
    whole_tiles = all(size % own == 0 for size, own in zip(weight.shape, CUDA_TILE, strict=True))
    on_cuda = weight.device.type == "cuda" and whole_tiles and cuda_works(weight.device)
    return (CudaLinear if on_cuda else TiledLinear)(weight, linear.bias, bits)


def quantise_language(language: nn.Module, kind: str) -> None:
    """Quantise every linear layer of a language model that is in memory already."""
    for name, module in list(language.named_modules()):
        if isinstance(module, nn.Linear) and fits(module.in_features):
            owner, _, leaf = name.rpartition(".")
            layer = quantised(module, module.weight.detach(), kind, head=name == "lm_head")
            setattr(language.get_submodule(owner), leaf, layer)


def describe(language: nn.Module, kind: str) -> str:
    """What the card says: the kind, and what computes it."""
    if kind == "none":
        return kind
    counts: dict[str, int] = {}
    for module in language.modules():
        if isinstance(module, (QuantLinear, nn.Linear)):
            own = getattr(module, "kernel", "not quantised") or "unpacked for every use"
            counts[own] = counts.get(own, 0) + 1
    total = sum(counts.values())
    shares = [f"{words} in {count} of {total} layers" for words, count in counts.items()]
    return f"{kind}, " + (next(iter(counts)) if len(counts) == 1 else ", ".join(shares))
