"""Are the weights that an engine holds those of the folder, in the precision that was asked for?

The files are read here by safetensors itself, not by our loader. A plain weight must be the file's
number rounded to the dtype, bit for bit; a quantised one must be what quantising makes of it, and
within one step of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from oryx_scene.lab.evaluation.conformance_compare import Comparer, StageResult
from oryx_scene.model.checkpoint.checkpoint import load_model, published_name
from oryx_scene.model.checkpoint.quant_linear import QuantLinear
from oryx_scene.model.checkpoint.quantise import GROUP
from oryx_scene.model.checkpoint.weights import VIT_FILE, VIT_PREFIX, read_vit_file, weight_files
from oryx_scene.model.oryx.oryx import Oryx

PARTS = ("vision", "compressor", "projector", "language")


def quantisation_of(model: Oryx) -> str:
    """ "none", "int8" or "int4": what the layers of the language model are."""
    bits = [module.bits for module in model.language.modules() if isinstance(module, QuantLinear)]
    return f"int{min(bits)}" if bits else "none"


def plain_copy(folder: Path, dtype: torch.dtype, quantization: str) -> Oryx:
    """A float32 model on the CPU with the weights that ``dtype`` and ``quantization`` store."""
    model = load_model(folder, dtype=dtype, quantization=quantization)
    for name, module in list(model.named_modules()):
        if isinstance(module, QuantLinear):
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, _plain(module))
    return model.float()


def _plain(layer: QuantLinear) -> nn.Linear:
    with torch.device("meta"):
        linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    linear.weight = nn.Parameter(unpacked(layer), requires_grad=False)
    if layer.bias is not None:
        linear.bias = layer.bias
    return linear


def unpacked(layer: QuantLinear) -> Tensor:
    """(outputs, inputs) float32 weights of a quantised layer, on the CPU."""
    return layer.weights(0, layer.out_features).detach().cpu()


def compare_weights(comparer: Comparer, model: Oryx, folder: Path) -> Iterator[StageResult]:
    """One result per part of the model, and two for all quantised layers."""
    files = _read(folder)
    wrong: dict[str, list[str]] = {part: [] for part in PARTS}
    for name, ours in model.state_dict().items():
        theirs = files.get(published_name(name))
        # Tied heads and untrained compressors have no tensor of their own in the files.
        if theirs is not None and not torch.equal(ours.cpu(), theirs.to(ours.dtype)):
            wrong[name.partition(".")[0]].append(published_name(name))
    for part, names in wrong.items():
        detail = f"not the folder's: {', '.join(names[:3])}" if names else ""
        yield comparer.within(f"weights.{part}", float(len(names)), 0.0, detail)
    steps = {
        published_name(f"{name}.weight"): layer
        for name, layer in model.named_modules()
        if isinstance(layer, QuantLinear)
    }
    if steps:
        yield from _compare_quantised(comparer, model, folder, files, steps)


def _compare_quantised(
    comparer: Comparer,
    model: Oryx,
    folder: Path,
    files: dict[str, Tensor],
    layers: dict[str, QuantLinear],
) -> Iterator[StageResult]:
    kind = quantisation_of(model)
    fresh = load_model(folder, device=model.device, dtype=model.dtype, quantization=kind)
    modules = {
        published_name(f"{name}.weight"): own
        for name, own in fresh.named_modules()
        if isinstance(own, QuantLinear)
    }
    again = {name: unpacked(modules[name]) for name in layers}
    wrong = [name for name, own in layers.items() if not torch.equal(unpacked(own), again[name])]
    detail = f"not the folder's: {', '.join(wrong[:3])}" if wrong else ""
    yield comparer.within("weights.quantised", float(len(wrong)), 0.0, detail)
    head = files.get("lm_head.weight", files["model.embed_tokens.weight"])
    found = {name: _steps_off(own, files.get(name, head)) for name, own in layers.items()}
    worst = max(found, key=lambda name: found[name])
    detail = "" if found[worst] <= 1.0 else f"most in {worst}"
    yield comparer.within("weights.quantised: steps off", found[worst], 1.0, detail)


def _steps_off(layer: QuantLinear, theirs: Tensor) -> float:
    """Largest difference from the file's weights, in steps of the layer's own quantisation."""
    wide = theirs.float()
    blocks = wide.unflatten(1, (-1, GROUP))
    if layer.bits == 4:
        step = (blocks.amax(2, keepdim=True) - blocks.amin(2, keepdim=True)) / 15
    else:
        step = blocks.abs().amax(2, keepdim=True) / 127
    off = (unpacked(layer).view_as(blocks) - blocks).abs() / step.clamp_min(1e-12)
    return float(off.max())


def _read(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    found: dict[str, Tensor] = {}
    for path in weight_files(folder):
        found.update(load_file(path))
    if not any(name.startswith(VIT_PREFIX) for name in found):
        vit = read_vit_file(folder / VIT_FILE)
        found.update({VIT_PREFIX + name: value for name, value in vit.items()})
    return found
