"""Linear layers with 8- or 4-bit weights, in place of torch's own in a language model.

Few rows go to torch's kernel, which reads the packed weights once. Many rows are a dense product
over weights that are unpacked piece by piece, where that is faster; where no kernel works they are
unpacked for every use, and the model's card says so. For inference only.
"""

from __future__ import annotations

import abc

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oryx_scene.errors import ConfigError
from oryx_scene.model.checkpoint.int4_tiles import TileOrder
from oryx_scene.model.checkpoint.quantise import (
    MOST_ROWS,
    PIECE,
    dense_dtype,
    dequantise_int4,
    dequantise_int8,
    from_nibbles,
    group_of,
    int4_product,
    int8_product,
    kernel_works,
    pack_int4,
    quantise_int4,
    quantise_int8,
    to_nibbles,
)


class QuantLinear(nn.Module, abc.ABC):
    """What all of them share: which way a number of rows takes.

    Args:
        weight: (outputs, inputs) floats; not kept.
        bias: (outputs,) or None.
        kernel: few rows go to a kernel that reads packed weights.

    Attributes:
        made_for: device and dtype of the weight.
    """

    bias: nn.Parameter | None

    def __init__(self, weight: Tensor, bias: nn.Parameter | None, *, kernel: bool) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_parameter("bias", bias)
        self.made_for = (str(weight.device), weight.dtype)
        self.kernel = kernel
        self.dense = True
        self._dense_dtype = dense_dtype(weight.device.type, weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features) in x's dtype."""
        flat = x.reshape(-1, self.in_features)
        few = flat.shape[0] <= MOST_ROWS or not self.dense
        out = self.product(flat) if self.kernel and few else self._unpacked(flat)
        if self.bias is not None:
            out = out + self.bias
        return out.view(*x.shape[:-1], self.out_features)

    def _unpacked(self, x: Tensor) -> Tensor:
        dtype = self._dense_dtype
        wide = x.to(dtype)
        pieces = [
            F.linear(wide, self.weights(start, min(start + PIECE, self.out_features), dtype))
            for start in range(0, self.out_features, PIECE)
        ]
        return torch.cat(pieces, dim=-1).to(x.dtype)

    @abc.abstractmethod
    def product(self, x: Tensor) -> Tensor:
        """x (rows, inputs) by the kernel."""

    @abc.abstractmethod
    def weights(self, start: int, end: int, dtype: torch.dtype) -> Tensor:
        """Unpacked weights of outputs ``start`` to ``end``."""


class Int8Linear(QuantLinear):
    """One scale per output."""

    codes: Tensor
    scales: Tensor

    def __init__(self, weight: Tensor, bias: nn.Parameter | None = None) -> None:
        super().__init__(
            weight, bias, kernel=kernel_works("int8", weight.device.type, weight.dtype)
        )
        codes, scales = quantise_int8(weight)
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    def product(self, x: Tensor) -> Tensor:
        """x (rows, inputs) by the kernel."""
        return int8_product(x.contiguous(), self.codes, self.scales)

    def weights(self, start: int, end: int, dtype: torch.dtype) -> Tensor:
        """Unpacked weights of outputs ``start`` to ``end``."""
        return dequantise_int8(self.codes[start:end], self.scales[start:end], dtype)


class Int4Linear(QuantLinear):
    """One scale and one offset per output and group of inputs.

    Raises:
        ConfigError: inputs that no group divides; the caller keeps such a layer in 8 bits.
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, weight: Tensor, bias: nn.Parameter | None = None) -> None:
        super().__init__(
            weight, bias, kernel=kernel_works("int4", weight.device.type, weight.dtype)
        )
        self.group = group_of(self.in_features)
        if not self.group:
            raise ConfigError(f"{self.in_features} inputs cannot be grouped for int4.")
        codes, scales = quantise_int4(weight, self.group)
        on_cuda = weight.device.type == "cuda"
        # The kernels' tiles: 16 outputs on a CPU, 8 outputs by 128 inputs on CUDA.
        cuda_fits = self.in_features % 128 == 0 and self.out_features % 8 == 0
        fits = cuda_fits if on_cuda else self.out_features % 16 == 0
        self.kernel = self.kernel and fits
        packed = pack_int4(codes) if self.kernel else to_nibbles(codes)
        self._order = TileOrder.of(pack_int4, weight.device) if self.kernel and on_cuda else None
        if self._order is not None and not self._order.restores(codes, packed):
            self._order = None
        if self.kernel and self._order is None:
            self.dense = False
        self.register_buffer("codes", packed, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    def product(self, x: Tensor) -> Tensor:
        """x (rows, inputs) by the kernel."""
        return int4_product(x.contiguous(), self.codes, self.group, self.scales)

    def weights(self, start: int, end: int, dtype: torch.dtype) -> Tensor:
        """Unpacked weights of outputs ``start`` to ``end``."""
        if self._order is None:
            codes = from_nibbles(self.codes[start:end])
        else:
            codes = self._order.unpack(self.codes, start, end)
        return dequantise_int4(codes, self.scales[:, start:end], dtype)
