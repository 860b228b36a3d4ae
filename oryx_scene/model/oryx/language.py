"""The language models: Qwen2 / Qwen2.5 and Llama (Yi) of transformers, driven by embeddings.

Which one is decided by the checkpoint's `model_type`, never by its name.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from oryx_scene.errors import CheckpointError, MissingExtraError

FAMILIES = {"oryx_qwen": "qwen2", "oryx_llama": "llama"}
# Without these a model of another arithmetic would be built, and most leave no trace in shapes.
REQUIRED = (
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "rms_norm_eps",
    "rope_theta",
    "vocab_size",
)
# What is taken where config.json is silent, by family; the original takes the same.
DEFAULTS: dict[str, dict[str, object]] = {
    "qwen2": {
        "max_position_embeddings": 32768,
        "num_key_value_heads": "num_attention_heads",
        "tie_word_embeddings": False,
        "use_sliding_window": False,
    },
    "llama": {
        "max_position_embeddings": 32768,
        "num_key_value_heads": "num_attention_heads",
        "rope_scaling": None,
        "tie_word_embeddings": False,
    },
}


def _classes(family: str) -> tuple[Any, Any]:
    try:
        if family == "qwen2":
            from transformers import Qwen2Config, Qwen2ForCausalLM

            return Qwen2Config, Qwen2ForCausalLM
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as err:
        raise MissingExtraError(
            "transformers", "model", needed_for="the language model", cause=str(err)
        ) from err
    return LlamaConfig, LlamaForCausalLM


def family_of(config: dict[str, Any], folder: str) -> str:
    """ "qwen2" or "llama" for a checkpoint's config.json.

    Raises:
        CheckpointError: another architecture.
    """
    model_type = str(config.get("model_type", ""))
    if model_type not in FAMILIES:
        raise CheckpointError(
            folder,
            f"model_type '{model_type}' is not an Oryx model.",
            hint=f"known are {', '.join(FAMILIES)}",
        )
    return FAMILIES[model_type]


def settled(config: dict[str, Any], folder: str) -> dict[str, Any]:
    """config.json with every default written out that the arithmetic depends on.

    Raises:
        CheckpointError: another architecture, or a key without which the arithmetic is unknown.
    """
    # transformers 5 writes the rotary keys as a group.
    group = config.get("rope_parameters")
    if isinstance(group, dict):
        scaled = {key: value for key, value in group.items() if key != "rope_theta"}
        plain = scaled.get("rope_type", "default") == "default"
        found = {"rope_theta": group.get("rope_theta"), "rope_scaling": None if plain else scaled}
        config = {**found, **config}
    missing = [key for key in REQUIRED if config.get(key) is None]
    if missing:
        raise CheckpointError(
            folder,
            f"config.json does not state {', '.join(missing)}.",
            hint="get config.json again from where it was published; a guess would give another "
            "arithmetic, and answers that mean nothing",
        )
    taken = {key: config.get(str(v), v) for key, v in _silent(config, folder).items()}
    return {**config, **taken}


def _silent(config: dict[str, Any], folder: str) -> dict[str, object]:
    """Defaults of keys that config.json does not state; a stated window needs no switch."""
    found = {k: v for k, v in DEFAULTS[family_of(config, folder)].items() if k not in config}
    if "sliding_window" in config and config["sliding_window"] is None:
        found.pop("use_sliding_window", None)
    return found


def silent_defaults(config: dict[str, Any], folder: str) -> str:
    """What was assumed where config.json is silent, "" for nothing."""
    written = settled(config, folder)
    return ", ".join(f"{key} {written[key]}" for key in _silent(config, folder))


def dropped_scaling(config: dict[str, Any], folder: str) -> bool:
    """Whether positions are to be scaled and are not: the original's Qwen branch drops the key."""
    stated = settled(config, folder).get("rope_scaling")
    return family_of(config, folder) == "qwen2" and bool(stated)


def language_config(config: dict[str, Any], folder: str) -> Any:
    """The transformers configuration of the language part of a checkpoint's config.json.

    Raises:
        CheckpointError: as :func:`settled`.
    """
    config_class, _ = _classes(family_of(config, folder))
    config = settled(config, folder)
    known = set(inspect.signature(config_class.__init__).parameters)
    # transformers 5 moved some keys into groups but still takes the old names.
    known |= {"rope_theta", "rope_scaling", "max_window_layers", "use_sliding_window"}
    skipped = {"self", "kwargs", "torch_dtype", "dtype", "architectures", "model_type"}
    skipped.add("rope_parameters")
    if config_class.model_type == "qwen2":
        # The original's Qwen branch drops it; only its Llama branch scales positions.
        skipped.add("rope_scaling")
    fields = {key: value for key, value in config.items() if key in known - skipped}
    return config_class(**fields)


def _refusals() -> tuple[type[Exception], ...]:
    """What the configuration classes of transformers 4 and 5 raise for values they cannot take."""
    known = (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, RuntimeError)
    try:
        from huggingface_hub.errors import StrictDataclassError
    except ImportError:
        return known
    return (*known, StrictDataclassError)


def build_language_model(config: dict[str, Any], folder: str, attention: str = "sdpa") -> Any:
    """An empty language model on the meta device; weights are assigned afterwards.

    Raises:
        CheckpointError: another architecture.
        MissingExtraError: transformers is not installed.
    """
    _, model_class = _classes(family_of(config, folder))
    try:
        settings = language_config(config, folder)
        settings._attn_implementation = attention
        with torch.device("meta"):
            model: nn.Module = model_class(settings)
    except _refusals() as err:
        raise CheckpointError(
            folder,
            f"config.json describes no language model ({' '.join(str(err).split())[:200]}).",
            hint="get config.json again from where it was published",
        ) from err
    return model.eval()


def materialise_buffers(model: Any, device: torch.device) -> None:
    """Give the rotary tables, which no checkpoint stores, their values on ``device``."""
    inner = model.model
    inner.rotary_emb = type(inner.rotary_emb)(config=model.config).to(device)
