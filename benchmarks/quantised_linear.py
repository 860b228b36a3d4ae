"""Ways to multiply a language model's weights on one CPU thread: torch's own, ours, llama.cpp.

    python benchmarks/quantised_linear.py [--layers 4] [--rows 1 8] [--rounds 9]
    python benchmarks/quantised_linear.py --llama LLAMA_BENCH MODEL.gguf [MODEL.gguf ...]

The first takes the linear layers of some blocks of a Qwen2.5-0.5B with normally distributed weights
and prints for each way CPU milliseconds, the share of the bytes' reading time at the speed of a sum
over a buffer of the same run (its fastest), and the relative error against float32. All ways are
taken in turn and in seconds that the thread computed, since other work may run beside. The second
prints CPU milliseconds per token of llama.cpp: 26 tokens less 6, so that loading is taken off.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from oryx_scene.model.checkpoint.cpu_linear import rows_kernel
from oryx_scene.model.checkpoint.quant_linear import TiledLinear

# (outputs, inputs) of one block.
BLOCK = ((896, 896), (128, 896), (128, 896), (896, 896), (4864, 896), (4864, 896), (896, 4864))
BUFFER = 64 * 2**20
# One layer by one way: x (rows, inputs) -> (rows, outputs); and the bytes that it reads.
Layer = tuple[Callable[[Tensor], Tensor], int]


def size(*tensors: Tensor) -> int:
    """Bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def plain(weight: Tensor) -> Layer:
    """torch's float32 product."""
    return lambda x: F.linear(x, weight), size(weight)


def bfloat16(weight: Tensor) -> Layer:
    """torch's bfloat16 product."""
    half = weight.bfloat16()
    return lambda x: F.linear(x.bfloat16(), half), size(half)


def packed_bfloat16(weight: Tensor) -> Layer:
    """oneDNN's bfloat16 product, weights in its own order."""
    half = weight.bfloat16()
    packed = torch.ops.mkldnn._reorder_linear_weight(half, 1)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda x: product(x.bfloat16(), packed, None, "none", [], ""), size(half)


def our_bfloat16(weight: Tensor) -> Layer:
    """The rows kernel."""
    half, kernel = weight.bfloat16(), rows_kernel()
    assert kernel is not None
    return lambda x: kernel(x, half), size(half)


def per_output(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes and one scale per output, as torch's int8 operators take them."""
    scale = (weight.abs().amax(1) / 127).bfloat16()
    return (weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8), scale


def weight_only_int8(weight: Tensor) -> Layer:
    """torch's int8 weights with bfloat16 activations."""
    codes, scale = per_output(weight)
    return lambda x: torch._weight_int8pack_mm(x.bfloat16(), codes, scale), size(codes, scale)


def dynamic_int8(weight: Tensor) -> Layer:
    """torch's int8 weights; activations become int8 with one scale for all of them."""
    codes, scale = per_output(weight)
    zeros = torch.zeros(len(scale), dtype=torch.long)
    kept = torch._make_per_channel_quantized_tensor(codes, scale.double(), zeros, 0)
    packed = torch.ops.quantized.linear_prepack(kept)
    return lambda x: torch.ops.quantized.linear_dynamic(x, packed, False), size(codes, scale)


def torch_int4(weight: Tensor, group: int) -> Layer:
    """torch's int4 weights with bfloat16 activations."""
    groups = weight.unflatten(1, (-1, group))
    low, high = groups.amin(2), groups.amax(2)
    scale = ((high - low) / 15).bfloat16()
    offset = (low + 8 * scale.float()).bfloat16()
    codes = (groups - offset.float()[..., None]) / scale.float()[..., None]
    codes = (codes.round() + 8).clamp(0, 15).flatten(1).int()
    packed = torch._convert_weight_to_int4pack_for_cpu(codes, 1)
    steps = torch.stack((scale.T, offset.T), 2).contiguous()
    product = torch._weight_int4pack_mm_for_cpu
    return lambda x: product(x.bfloat16(), packed, group, steps), size(packed, steps)


def our_codes(weight: Tensor, bits: int) -> Layer:
    """The rows kernel over codes in groups of 32."""
    layer = TiledLinear(weight.bfloat16(), None, bits)
    return layer, size(layer.codes, layer.scales)


WAYS: dict[str, Callable[[Tensor], Layer]] = {
    "torch float32": plain,
    "torch bfloat16": bfloat16,
    "oneDNN bfloat16, packed": packed_bfloat16,
    "ours, bfloat16": our_bfloat16,
    "torch int8, weights only": weight_only_int8,
    "torch int8, dynamic": dynamic_int8,
    "ours, int8 g32": lambda weight: our_codes(weight, 8),
    "torch int4 g32": lambda weight: torch_int4(weight, 32),
    "torch int4 g128": lambda weight: torch_int4(weight, 128),
    "ours, int4 g32": lambda weight: our_codes(weight, 4),
}


def cpu_s(run: Callable[[], object]) -> float:
    """Seconds that this thread computed."""
    started = time.thread_time()
    run()
    return time.thread_time() - started


def layers(count: int, rows: Sequence[int], rounds: int) -> None:
    """One table per number of rows."""
    torch.manual_seed(0)
    weights = [0.02 * torch.randn(shape) for shape in BLOCK * count]
    built = {name: [make(weight) for weight in weights] for name, make in WAYS.items()}
    buffer = torch.ones(BUFFER)
    for n in rows:
        xs = [torch.randn(n, weight.shape[1]) for weight in weights]
        wanted = [F.linear(x, weight) for x, weight in zip(xs, weights, strict=True)]
        seconds: dict[str, list[float]] = {name: [] for name in ("read", *WAYS)}
        for _ in range(rounds):
            seconds["read"].append(cpu_s(buffer.sum))
            for name, own in built.items():
                seconds[name].append(cpu_s(lambda own=own, xs=xs: through(own, xs)))
        speed = 4 * BUFFER / min(seconds["read"])
        print(f"{n} rows, {len(weights)} layers; read limit {speed / 1e9:.1f} GB/s")
        for name, own in built.items():
            found = through(own, xs)
            pairs = zip(found, wanted, strict=True)
            error = statistics.mean(float((y.float() - w).norm() / w.norm()) for y, w in pairs)
            middle = statistics.median(seconds[name])
            share = sum(bytes_ for _, bytes_ in own) / speed / middle
            print(f"  {name:<26}{1e3 * middle:9.2f} ms  {share:5.2f} of limit  error {error:.4f}")


def through(own: Sequence[Layer], xs: Sequence[Tensor]) -> list[Tensor]:
    """Every layer once."""
    return [layer(x) for (layer, _), x in zip(own, xs, strict=True)]


def llama(program: Path, models: Sequence[Path], rounds: int) -> None:
    """CPU milliseconds per token of decode after 64, one thread."""
    for model in models:
        found = []
        for _ in range(rounds):
            spent = []
            for tokens in (6, 26):
                given = ["-m", model, "-t", "1", "-p", "0", "-n", str(tokens), "-d", "64"]
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                run = [program, *given, "-r", "1", "--no-warmup"]
                subprocess.run(run, check=True, capture_output=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            found.append((spent[1] - spent[0]) / 20)
        print(f"{model.name}: {1e3 * statistics.median(found):.1f} ms per token")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--llama", type=Path, nargs="+", help="llama-bench, then models")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        if args.llama:
            llama(args.llama[0], args.llama[1:], args.rounds)
        else:
            layers(args.layers, args.rows, args.rounds)
