"""What an engine is told, and what it counts; no tensors here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineConfig:
    """Memory that the engine may keep between questions, and how it shares work.

    Attributes:
        feature_cache_bytes: encoded pictures.
        scene_cache_bytes: keys and values of prefilled scenes.
        packed_pictures: most pictures in one pass through the vision tower.
        rows: most questions that are decoded together.
        share_prefix: read a scene's keys once for all questions; False copies them into each row.
        share_from: scenes shorter than this many tokens are copied all the same.
        graph_tokens: longest scene that captured decode steps on CUDA can hold; 0 captures none.
        rows_kernel: on a CPU, let the kernel built there compute linear layers of few rows.
    """

    feature_cache_bytes: int = 512 * 2**20
    scene_cache_bytes: int = 2 * 2**30
    packed_pictures: int = 16
    rows: int = 8
    share_prefix: bool = True
    share_from: int = 256
    graph_tokens: int = 12288
    rows_kernel: bool = True


@dataclass(frozen=True)
class Stops:
    """How the checkpoint itself ends and shapes its answers (generation_config.json)."""

    ids: frozenset[int]
    repetition_penalty: float = 1.0


@dataclass
class WorkCounters:
    """What the engine has computed since it was made."""

    encodes: int = 0
    prefills: int = 0
    prefill_tokens: int = 0
    reused_tokens: int = 0
    suffix_tokens: int = 0
    decode_steps: int = 0
    graph_steps: int = 0
    decoded_tokens: int = 0
