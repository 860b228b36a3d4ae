"""All that the pipeline sees of the model: a prompt goes in, a generation comes out.

The scene part of a prompt (system text and views) is the same for every question about one frozen
scene, so that an answerer may keep what it computed for it. No torch here: a fake answerer for a
test is a class with one method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeAlias, runtime_checkable

from oryx_scene.records import RgbImage
from oryx_scene.warning import Warning

# Receives each piece of an answer's text as soon as it exists.
TextSink: TypeAlias = Callable[[str], None]


class Stride(IntEnum):
    """Pooling stride per side of the dynamic compressor: 1x, 4x and 16x fewer visual tokens."""

    IMAGE = 1
    VIDEO = 2
    VIDEO_LONG = 4

    @property
    def compression(self) -> int:
        """How many patch features become one visual token."""
        return int(self) ** 2

    @property
    def modality(self) -> str:
        """The word the reference code uses for it."""
        return {1: "image", 2: "video", 4: "video_long"}[int(self)]


@dataclass(frozen=True, eq=False)
class VisualItem:
    """What fills one image slot: one two-view image, or the frames of one video.

    Attributes:
        images: uint8 (H, W, 3) pictures, already resized to multiples of 16 * stride, marks drawn.
            Stride.IMAGE takes exactly one; the videos take one or more of equal size.
        stride: how strongly the compressor pools.
        low_size: (height, width) of the second, coarse view of Stride.IMAGE; None for videos.
        keys: one content key per picture (same key = same pixels), "" = never cached.
    """

    images: tuple[RgbImage, ...]
    stride: Stride
    low_size: tuple[int, int] | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Prompt:
    """One question on one scene.

    Attributes:
        system: system text of the chat template.
        scene: text and visual items of the user turn that all questions of the scene share.
        question: the rest of the user turn; never contains an image slot.
        answer_prefix: text the answer is made to begin with, "" for none.
        json_schema: JSON text of a schema that the answer is kept to token by token, "" for none.
    """

    system: str
    scene: tuple[str | VisualItem, ...]
    question: str
    answer_prefix: str = ""
    json_schema: str = ""


@dataclass(frozen=True)
class Limits:
    """How an answer is generated and when it stops.

    Attributes:
        max_new_tokens: most tokens to generate; the pipeline adds a model's ``scratchpad_tokens``.
        deadline_s: seconds on the steady clock from the call, None for no deadline.
        temperature: 0 = greedy.
        top_p, top_k: nucleus and rank cut of sampling; 1.0 and 0 mean off.
        seed: of sampling.
        repetition_penalty: over new tokens only; None takes the checkpoint's own value.
        cancelled: polled between prefill chunks and tokens; True stops the generation.
    """

    max_new_tokens: int = 256
    deadline_s: float | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    repetition_penalty: float | None = None
    cancelled: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Generation:
    """What the model produced.

    Attributes:
        text: decoded new tokens without the stop token.
        token_ids: new token ids, stop token included if one was produced.
        stop_reason: "eos", "max_new_tokens", "deadline" or "cancelled".
        prompt_tokens, visual_tokens: as counted in the model's own input.
        tokens_sha256: of the prompt ids (int64 little endian, -200 per image slot).
        timings_s: "encode", "prefill", "first_token", "decode", "total".
        counters: encodes, cache hits, evictions, bytes, ... as the answerer keeps them.
        warnings: degraded paths taken by the answerer.
    """

    text: str
    token_ids: tuple[int, ...]
    stop_reason: str
    prompt_tokens: int
    visual_tokens: int
    tokens_sha256: str
    timings_s: dict[str, float] = field(default_factory=dict)
    counters: dict[str, int | float] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One way in which an answer may go on after its prefix.

    ``ends`` True asks for the end of the answer right after ``text``, too.
    """

    text: str
    ends: bool = False


@dataclass(frozen=True)
class Continuation:
    """A candidate and what the model thinks of it.

    Attributes:
        candidate: as asked.
        token_ids: from the first token in which the candidates of one prompt may differ.
        logprobs: natural logarithm of each token's probability after all before it; where the
            candidate ends, the last one is that of ending.
    """

    candidate: Candidate
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Scored:
    """The candidates of one prompt, and the record of the pass (its text is empty).

    ``continuations`` is empty where the pass was stopped; the record's stop reason says why.
    """

    continuations: tuple[Continuation, ...]
    generation: Generation


FACT_ORDERS = ("number", "distance")


@dataclass(frozen=True)
class Learnt:
    """What a checkpoint says its training was limited to.

    Attributes:
        words: of its training's questions, in small letters; empty where it does not say.
        fact_order: how distances to one mark are listed: by the other mark's "number", or by
            "distance", nearest first, which tells which one is nearest.
        largest_disc_share: diameter of the largest discs, share of a picture's width. Where it does
            not say, a disc is a visual token wide on every picture of at least eight.
        most_hidden: a number stands beside a thing of which its disc would hide more than this
            share; 1 for a checkpoint that read none beside things: only where no disc fits on it.
    """

    words: tuple[str, ...] = ()
    fact_order: str = "number"
    largest_disc_share: float = 0.125
    most_hidden: float = 0.5


@dataclass(frozen=True)
class FormCalibration:
    """How scores of one answer form become probabilities (Platt 1999; Guo et al. 2017).

    Attributes:
        scale: factor on log-probabilities (one over the temperature).
        bias: added to the log-odds of "yes"; 0 for the other forms.
        samples: answers it was fitted on.
        source: which answers those were.
        synthetic: they were about synthetic scenes; on any other source the confidence is not
            called calibrated.
    """

    scale: float = 1.0
    bias: float = 0.0
    samples: int = 0
    source: str = ""
    synthetic: bool = False


@dataclass(frozen=True)
class Rates:
    """What one model does on one machine, as measured there.

    Attributes:
        patches_per_s: through the vision tower.
        prefill_per_s: prompt tokens.
        decode_per_s: new tokens of one answer.
    """

    patches_per_s: float
    prefill_per_s: float
    decode_per_s: float


@dataclass(frozen=True)
class ModelCard:
    """What the pipeline must know of a loaded model to plan and to sign an answer.

    ``trained`` is False for a random model, whose answers must be labelled; ``synthetic_only`` is
    True for a model that has only ever seen synthetic scenes. ``scratchpad`` is True for a model
    that writes its working between think marks before it answers, ``scratchpad_tokens`` the room
    that it gets for that beyond the limit of an answer. ``calibration`` holds, by answer form, what
    was stored beside the checkpoint, ``learnt`` what its training was limited to. ``attention``,
    ``linear`` and ``sums`` (of attention in half precision) name the kernels, ``tokenizer`` the
    file that ids are those of, ``assumed`` the settings that the checkpoint does not state.
    ``warnings`` go with every answer. ``rates`` are there where they were measured.
    """

    name: str
    revision: str
    dtype: str
    device: str
    context_length: int
    trained: bool = True
    synthetic_only: bool = False
    quantization: str = "none"
    attention: str = ""
    linear: str = "torch"
    sums: str = "float32"
    tokenizer: str = ""
    assumed: str = ""
    warnings: tuple[Warning, ...] = ()
    scratchpad: bool = False
    scratchpad_tokens: int = 0
    calibration: dict[str, FormCalibration] = field(default_factory=dict)
    rates: Rates | None = None
    learnt: Learnt = Learnt()


class Answerer(Protocol):
    """A loaded model that answers one prompt at a time."""

    @property
    def card(self) -> ModelCard:
        """Name, precision and limits of the model."""
        ...

    def count_text_tokens(self, text: str) -> int:
        """Tokens that ``text`` takes in a prompt."""
        ...

    def generate(
        self, prompt: Prompt, limits: Limits, on_text: TextSink | None = None
    ) -> Generation:
        """Answer ``prompt``; ``on_text`` receives each piece of text as soon as it exists.

        Raises:
            EngineError: the model failed; the answerer can be used again.
        """
        ...


@runtime_checkable
class Scorer(Protocol):
    """An answerer that can also say how likely given answers are, without writing one."""

    def score(
        self,
        prompts: Sequence[Prompt],
        candidates: Sequence[Sequence[Candidate]],
        limits: Limits | Sequence[Limits],
    ) -> list[Scored]:
        """Score candidates of questions on one scene, all of them in packed passes.

        Args:
            prompts: with equal system text and scene.
            candidates: at least one per prompt; they follow its ``answer_prefix``.
            limits: deadline and cancel, of all or one per prompt.

        Raises:
            EngineError: the model failed; the answerer can be used again.
        """
        ...


@runtime_checkable
class SceneKeeper(Protocol):
    """An answerer that keeps what it computed of a scene for questions about it and others."""

    def forget_scenes(self) -> None:
        """Drop it, so that the next scene is computed as in a new process; pictures may stay."""
        ...


@runtime_checkable
class ManyAnswerer(Protocol):
    """An answerer that reads and answers several questions on one scene together."""

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        limits: Limits | Sequence[Limits],
        on_text: Sequence[TextSink | None] | None = None,
    ) -> list[Generation]:
        """Answer ``prompts`` with equal system text and scene; each has its own ``on_text``.

        Raises:
            EngineError: the model failed, or the prompts are about different scenes.
        """
        ...
