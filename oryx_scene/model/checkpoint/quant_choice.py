"""Which quantised layer takes the place of a linear layer, and what the model's card says of it.

Language model in int8: our layers over torch's kernels. In int4: bitsandbytes' layers where it is
installed and passed its trial on this device, else our own; the head takes int8 in both.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from oryx_scene.model.checkpoint.nf4_linear import Nf4Linear, block_of
from oryx_scene.model.checkpoint.nf4_trial import try_library
from oryx_scene.model.checkpoint.quant_linear import Int4Linear, Int8Linear, QuantLinear
from oryx_scene.model.checkpoint.quantise import group_of

KINDS = ("none", "int8", "int4")


def quantised(linear: nn.Linear, weight: Tensor, kind: str, *, head: bool) -> QuantLinear:
    """The layer that takes ``linear``'s place, ``weight`` in ``kind``; a head takes int8."""
    if kind == "int8" or head or not group_of(weight.shape[1]):
        return Int8Linear(weight, linear.bias)
    fits = block_of(weight.shape, weight.device.type)
    if fits and try_library(str(weight.device), weight.dtype).works:
        return Nf4Linear(weight, linear.bias)
    return Int4Linear(weight, linear.bias)


def quantise_language(language: nn.Module, kind: str) -> None:
    """Quantise every linear layer of a language model that is in memory already."""
    for name, module in list(language.named_modules()):
        if isinstance(module, nn.Linear):
            owner, _, leaf = name.rpartition(".")
            layer = quantised(module, module.weight.detach(), kind, head=name == "lm_head")
            setattr(language.get_submodule(owner), leaf, layer)


def describe(language: Any, kind: str) -> str:
    """What the card says: the kind, what computes it, and why no library does where none does."""
    if kind == "none":
        return kind
    layers = [module for module in language.modules() if isinstance(module, QuantLinear)]
    by_library = sum(isinstance(layer, Nf4Linear) for layer in layers)
    plain = sum(not layer.kernel for layer in layers)
    counts = {
        "torch's kernel": len(layers) - by_library - plain,
        "unpacked for every use": plain,
    }
    why = ""
    if kind == "int4":
        trial = try_library(*layers[0].made_for)
        if by_library:
            counts = {f"{trial.words} (nf4)": by_library, **counts}
        else:
            why = f"; {trial.words}" + (" takes none of these shapes" if trial.works else "")
    used = {words: count for words, count in counts.items() if count}
    shares = [f"{words} in {count} of {len(layers)} layers" for words, count in used.items()]
    return f"{kind}, " + (next(iter(used)) if len(used) == 1 else ", ".join(shares)) + why
