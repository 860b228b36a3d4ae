"""Linear layers with 4-bit weights whose kernels are bitsandbytes' (extra "quant").

Its NF4 has 16 steps that lie where normally distributed weights do, and one scale per block of
inputs. A block is as long as makes the layer as many bytes as our own 4 bits take. Which layers
are made so decides `quant_choice`, after a trial (`nf4_trial`). For inference only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oryx_scene.errors import ConfigError
from oryx_scene.model.checkpoint.quant_linear import QuantLinear
from oryx_scene.model.checkpoint.quantise import group_of

# The library's CPU kernel takes outputs by so many.
CPU_OUTPUTS = 32


def block_of(shape: Sequence[int], device_type: str) -> int:
    """Inputs that share a scale, 0 where the library's kernel takes no (outputs, inputs) like that.

    Scales are float32 on CUDA and bfloat16 on a CPU, where there is room for twice as many.
    """
    outputs, inputs = shape
    group = group_of(inputs)
    if device_type == "cuda":
        return group
    return group // 2 if group >= 64 and outputs % CPU_OUTPUTS == 0 else 0


class Nf4Linear(QuantLinear):
    """One scale per output and block of inputs.

    On CUDA few rows go to the library's fused kernel, many to a dense product over pieces that it
    unpacks; on a CPU its kernel takes any number of rows.

    Args:
        weight: (outputs, inputs) bfloat16; not kept.
        bias: (outputs,) or None.

    Raises:
        ConfigError: a shape that the kernel does not take.
    """

    scales: Tensor

    def __init__(self, weight: Tensor, bias: nn.Parameter | None = None) -> None:
        from bitsandbytes.nn import Linear4bit, Params4bit

        super().__init__(weight, bias, kernel=True)
        self.block = block_of(weight.shape, weight.device.type)
        if not self.block:
            raise ConfigError(f"bitsandbytes has no kernel for {tuple(weight.shape)} weights.")
        self.dense = weight.device.type == "cuda"
        layer = Linear4bit(
            self.in_features,
            self.out_features,
            bias=False,
            compute_dtype=weight.dtype,
            compress_statistics=False,
            quant_type="nf4",
            device="meta",
        )
        layer.weight = Params4bit(
            weight.detach(),
            requires_grad=False,
            blocksize=self.block,
            compress_statistics=False,
            quant_type="nf4",
            module=layer,
        ).to(weight.device)
        self.inner = layer.eval()
        with torch.no_grad():
            # On a CPU the first call lays the codes out for the kernel.
            self.inner(weight.new_zeros(1, self.in_features))
        self.register_buffer("scales", layer.weight.quant_state.absmax, persistent=False)

    def product(self, x: Tensor) -> Tensor:
        """x (rows, inputs) by the kernel."""
        found: Tensor = self.inner(x.contiguous())
        return found

    def weights(self, start: int, end: int, dtype: torch.dtype) -> Tensor:
        """Unpacked weights of outputs ``start`` to ``end``; not in the layout that a CPU needs."""
        from bitsandbytes.functional import QuantState, dequantize_4bit

        assert self.dense
        whole = self.inner.weight
        part = QuantState(
            absmax=self.scales.view(self.out_features, -1)[start:end].flatten(),
            shape=torch.Size((end - start, self.in_features)),
            code=whole.quant_state.code,
            blocksize=self.block,
            quant_type="nf4",
            dtype=dtype,
        )
        codes = whole.data.view(self.out_features, -1)[start:end].reshape(-1, 1)
        found: Tensor = dequantize_4bit(codes, part)
        return found
