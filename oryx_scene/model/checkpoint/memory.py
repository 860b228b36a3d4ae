"""How much memory a model and a scene need: predicted from a configuration, checked after loading.

Weights and keys and values are exact arithmetic from the configuration; the working memory of the
passes is an upper estimate. What a device has free is asked of the driver, or of the kernel and the
control group that the process runs in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from oryx_scene.errors import DeviceMemoryError
from oryx_scene.model.checkpoint.quantise import GROUP, TILE
from oryx_scene.model.engine.decode_batch import LARGE_CHUNK, PREFILL_CHUNK
from oryx_scene.model.oryx.compressor import DynamicCompressor
from oryx_scene.model.oryx.language import language_config
from oryx_scene.model.oryx.projector import Projector
from oryx_scene.model.oryx.vision import OryxViT, VisionConfig

GIB = 2**30
# What a CUDA context and its libraries take beside tensors (an allowance, not a measured number).
CONTEXT_BYTES = {"cuda": 600 * 2**20, "cpu": 0}


@dataclass(frozen=True)
class Need:
    """Bytes that one model with one scene takes.

    Attributes:
        weights: all tensors of the model, scales included.
        kv: keys and values of one scene and its question.
        working: most that a pass needs beside them (upper estimate).
        graphs: the block of captured decode steps on CUDA; the engine does without where there is
            no room for it.
    """

    weights: int
    kv: int
    working: int
    graphs: int = 0

    @property
    def total(self) -> int:
        """Their sum."""
        return self.weights + self.kv + self.working + self.graphs


def predict(
    config: dict[str, Any],
    vision: VisionConfig,
    dtype: torch.dtype,
    quantization: str = "none",
    *,
    tokens: int = 0,
    patches: int = 0,
    graph_tokens: int = 0,
    device_type: str = "cpu",
) -> Need:
    """What a checkpoint will need.

    Args:
        config: its config.json.
        vision: sizes of its tower.
        dtype: of weights and activations.
        quantization: "none", "int8" or "int4", of the language model.
        tokens: of scene and question together.
        patches: most that go through the tower in one pass.
        graph_tokens: that captured decode steps hold, scene and rows together.
        device_type: "cpu" or "cuda".

    Raises:
        CheckpointError: a configuration that describes no language model.
    """
    language = language_config(config, "config.json")
    tied = bool(getattr(language, "tie_word_embeddings", False))
    layers = linear_layers(language)
    hidden, words = int(language.hidden_size), int(language.vocab_size)
    weights = other_numbers(language, vision) * dtype.itemsize
    weights += language.num_hidden_layers * sum(
        linear_bytes(*shape, dtype, quantization, device_type) for shape in layers
    )
    if not (tied and quantization == "none"):
        # Tied, the head is the input table itself; a quantised one is a copy, in int8 always.
        head = "none" if quantization == "none" else "int8"
        weights += linear_bytes(words, hidden, dtype, head, device_type)
    width = head_width(language)
    token = 2 * language.num_hidden_layers * language.num_key_value_heads * width * dtype.itemsize
    chunk = LARGE_CHUNK if device_type == "cuda" else PREFILL_CHUNK
    working = _working(language, vision, dtype, patches, tokens, chunk)
    working += CONTEXT_BYTES[device_type]
    return Need(weights, token * tokens, working, token * graph_tokens)


def head_width(language: Any) -> int:
    """Width of one attention head of a transformers configuration."""
    stated = getattr(language, "head_dim", None)
    return int(stated or language.hidden_size // language.num_attention_heads)


def linear_layers(language: Any) -> list[tuple[int, int]]:
    """(outputs, inputs) of the linear layers of one block of Qwen2 or Llama."""
    hidden, inner = int(language.hidden_size), int(language.intermediate_size)
    queries = language.num_attention_heads * head_width(language)
    values = language.num_key_value_heads * head_width(language)
    return [
        (queries, hidden),
        (values, hidden),
        (values, hidden),
        (hidden, queries),
        (inner, hidden),
        (inner, hidden),
        (hidden, inner),
    ]


def other_numbers(language: Any, vision: VisionConfig) -> int:
    """Numbers in everything but the language model's linear weights: they are never quantised."""
    hidden = int(language.hidden_size)
    layers = linear_layers(language)
    # Qwen2 has biases on queries, keys and values; Llama has them where its configuration says so.
    biased = language.model_type == "qwen2" or getattr(language, "attention_bias", False)
    biases = sum(outputs for outputs, _ in layers[:3]) if biased else 0
    if language.model_type == "llama" and biased:
        biases += layers[3][0]
    blocks = language.num_hidden_layers * (2 * hidden + biases)
    with torch.device("meta"):
        rest = [OryxViT(vision), DynamicCompressor(vision.width), Projector(vision.width, hidden)]
    ours = sum(parameter.numel() for module in rest for parameter in module.parameters())
    return int(blocks + hidden + language.vocab_size * hidden + ours)


def linear_bytes(
    outputs: int, inputs: int, dtype: torch.dtype, kind: str, device_type: str = "cpu"
) -> int:
    """Bytes of one linear layer's weights and scales in "none", "int8" or "int4"."""
    if kind == "none" or inputs % GROUP:
        return outputs * inputs * dtype.itemsize
    numbers = (outputs + -outputs % TILE) * inputs
    if kind == "int4":
        return numbers // 2 + numbers // GROUP * 4
    # On CUDA 8 bits are two layers of 4, each with scale and offset.
    return numbers + numbers // GROUP * (8 if device_type == "cuda" else 2)


def _working(
    language: Any, vision: VisionConfig, dtype: torch.dtype, patches: int, tokens: int, chunk: int
) -> int:
    """The larger of a pass through the tower and a chunk of prefill.

    A tower block holds its input, the three projections, attention's output and the hidden layer;
    a chunk holds the same of the language model with gate and up. Logits are in float32, and the
    scene's embeddings wait whole.
    """
    tower = patches * (6 * vision.width + 2 * vision.mlp_hidden) * dtype.itemsize
    tower += patches * 3 * vision.patch**2 * 4
    chunk = min(chunk, max(tokens, 1))
    layer = chunk * (8 * language.hidden_size + 3 * language.intermediate_size) * dtype.itemsize
    embeddings = tokens * language.hidden_size * dtype.itemsize
    return int(max(tower, layer + 8 * language.vocab_size * 4) + embeddings)


def loaded_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers, shared ones once; the rotary tables do not count."""
    seen: dict[int, int] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if "rotary_emb" not in name:
            seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
    return sum(seen.values())


def free_bytes(device: torch.device) -> int | None:
    """What can still be allocated on ``device``, None where nothing says so."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # Blocks that torch keeps for itself are free for us.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    found = [value for value in (_meminfo(), _control_group()) if value is not None]
    return min(found) if found else None


def out_of_memory(err: BaseException) -> bool:
    """Whether ``err`` says that memory ran out; on a CPU torch has no class of its own for it."""
    if isinstance(err, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(err)
    return "can't allocate memory" in text or "not enough memory" in text


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable")), None)


def _control_group() -> int | None:
    """Room under the memory limit of a container (control groups, version 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        return None if limit == "max" else int(limit) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def check_fits(need: Need, free: int | None, what: str, alternatives: dict[str, Need]) -> None:
    """Refuse a model that cannot fit, before anything of it is read.

    Args:
        need: predicted.
        free: bytes free, None unknown (then nothing is refused).
        what: name of model, precision and device for the message.
        alternatives: other settings by the words that ask for them.

    Raises:
        DeviceMemoryError: with the numbers.
    """
    if free is None or need.total <= free:
        return
    fitting = [name for name, other in alternatives.items() if other.total <= free]
    hint = f"it would fit with {fitting[0]}" if fitting else "use a smaller model or another device"
    raise DeviceMemoryError(
        f"{what} needs {need.total / GIB:.1f} GiB ({need.weights / GIB:.1f} weights, "
        f"{need.kv / GIB:.1f} keys and values, {need.working / GIB:.1f} working memory); "
        f"{free / GIB:.1f} GiB are free.",
        hint=hint,
    )
