"""The engine: prompts in, streamed text out; encode, prefill and decode as named stages.

Pictures that were encoded before and scenes that were prefilled before are not computed again, and
questions on one scene are read and answered together. Everything on the device happens in the
thread that calls; one thread at a time. The engine deals in prompts and text, the modules beside it
in tensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from oryx_scene.answerer import (
    Candidate,
    Continuation,
    Generation,
    Limits,
    ModelCard,
    Prompt,
    Rates,
    Scored,
    Stride,
    VisualItem,
)
from oryx_scene.errors import DeviceMemoryError, EngineError
from oryx_scene.model.answering import Answering
from oryx_scene.model.cache import FeatureCache
from oryx_scene.model.cpu_linear import speed_up
from oryx_scene.model.decode import Stopped, check_all, decode
from oryx_scene.model.decoder import Decoder
from oryx_scene.model.device_pixels import (
    normalise_on_device,
    pixels_on_device,
    resize_on_device,
)
from oryx_scene.model.json_form import JsonForms
from oryx_scene.model.kv import Slab
from oryx_scene.model.memory import out_of_memory
from oryx_scene.model.oryx import Oryx
from oryx_scene.model.pixels import normalise
from oryx_scene.model.rows import Rows, prefill
from oryx_scene.model.sampling import Constraint
from oryx_scene.model.scene_cache import PrefilledScene, SceneCache
from oryx_scene.model.scoring import ScorePlan, plan_scores, read_scores
from oryx_scene.model.slots import View
from oryx_scene.model.static_rows import StaticRows
from oryx_scene.model.tokenizer import TextTokenizer
from oryx_scene.model.units import Unit, common_units, embed_units, units_of


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
    graph_tokens: int = 8192
    rows_kernel: bool = True


@dataclass(frozen=True)
class Stops:
    """How the checkpoint itself ends and shapes its answers (generation_config.json)."""

    ids: frozenset[int]
    repetition_penalty: float = 1.0


@dataclass
class Work:
    """What the engine has computed since it was made."""

    encodes: int = 0
    prefills: int = 0
    prefill_tokens: int = 0
    reused_tokens: int = 0
    suffix_tokens: int = 0
    decode_steps: int = 0
    graph_steps: int = 0
    decoded_tokens: int = 0


class Engine:
    """An :class:`oryx_scene.answerer.Answerer` on one device.

    Args:
        model: loaded weights.
        tokenizer: of the same checkpoint.
        card: what answers say about the model.
        stops: stop ids and penalty of the checkpoint.
        config: memory limits.
    """

    def __init__(
        self,
        model: Oryx,
        tokenizer: TextTokenizer,
        card: ModelCard,
        stops: Stops,
        config: EngineConfig | None = None,
    ) -> None:
        self.model = model
        self.decoder = Decoder(model.language)
        self.config = config or EngineConfig()
        self.features = FeatureCache(self.config.feature_cache_bytes)
        self.scenes = SceneCache(self.config.scene_cache_bytes)
        self.work = Work()
        self.static: StaticRows | None = None
        self._note = ""
        self._tokenizer = tokenizer
        self._card = card
        if self.config.rows_kernel:
            self._card = dataclasses.replace(card, linear=speed_up(model))
        self._stops = stops
        self._busy = threading.Lock()
        self._json: JsonForms | None = None

    @property
    def card(self) -> ModelCard:
        """Name, precision and limits of the model."""
        return self._card

    def set_rates(self, rates: Rates) -> None:
        """Let the card say how fast this model is here."""
        self._card = dataclasses.replace(self._card, rates=rates)

    @property
    def tokenizer(self) -> TextTokenizer:
        """The checkpoint's tokenizer."""
        return self._tokenizer

    def count_text_tokens(self, text: str) -> int:
        """Tokens that ``text`` takes in a prompt."""
        return len(self._tokenizer.encode_plain(text))

    def warm_up(self) -> float:
        """Run every stage once in this thread, with one row and with all; returns the seconds.

        The first call of a kernel loads, tunes or compiles it. On CUDA the steps of decode are
        captured here, once for all. Nothing else of it is kept or counted.
        """
        started = time.perf_counter()
        stride = Stride.VIDEO if self.model.compressor_trained else Stride.IMAGE
        low = None if stride is Stride.VIDEO else (96, 128)
        picture = VisualItem((np.zeros((96, 128, 3), np.uint8),), stride, low)
        prompt = Prompt("", (picture, "\n"), "?")
        for rows in {1, self.config.rows}:
            self.generate_many([prompt] * rows, Limits(max_new_tokens=3))
        if self.model.device.type == "cuda" and self.config.graph_tokens:
            self._capture()
        self.work = Work()
        return time.perf_counter() - started

    def _capture(self) -> None:
        """Capture decode steps and try them against the plain way; without them, say why."""
        self.static, self._note = None, ""
        try:
            with self._alone():
                static = StaticRows(self.decoder, self.config.graph_tokens, self.config.rows)
                static.capture()
                static.check()
        except EngineError as err:
            self._note = f"decode runs without captured graphs, slower: {err.message}"
        else:
            self.static = static

    # -- questions ------------------------------------------------------------------------------

    def generate(
        self,
        prompt: Prompt,
        limits: Limits,
        on_text: Callable[[str], None] | None = None,
        *,
        constraint: Constraint | None = None,
    ) -> Generation:
        """Answer ``prompt``; ``on_text`` receives each piece of text as soon as it exists.

        Args:
            prompt: scene and question.
            limits: of the answer.
            on_text: called in this thread.
            constraint: what the answer may go on with.

        Raises:
            EngineError: the model failed, or another thread is answering; the engine lives on.
        """
        with self._alone():
            answer = self._begin(prompt, limits, on_text, constraint)
            self._answer([answer])
        return answer.generation(self.counters())

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        limits: Limits | Sequence[Limits],
        on_text: Callable[[int, str], None] | None = None,
        *,
        constraints: Sequence[Constraint | None] | None = None,
    ) -> list[Generation]:
        """Answer questions on the same scene, ``EngineConfig.rows`` of them at a time.

        Args:
            prompts: with equal system text and scene.
            limits: of all, or one per prompt; each is cancelled and timed on its own.
            on_text: called with the index of the prompt and a piece of its text.
            constraints: one per prompt.

        Raises:
            EngineError: as for :meth:`generate`, and prompts of different scenes.
        """
        each = [limits] * len(prompts) if isinstance(limits, Limits) else list(limits)
        rules = list(constraints) if constraints is not None else [None] * len(prompts)
        with self._alone():
            answers = [
                self._begin(prompt, own, _numbered(on_text, index), rule)
                for index, (prompt, own, rule) in enumerate(zip(prompts, each, rules, strict=True))
            ]
            for start in range(0, len(answers), self.config.rows):
                self._answer(answers[start : start + self.config.rows])
        return [answer.generation(self.counters()) for answer in answers]

    def question_logits(
        self, prompts: Sequence[Prompt], positions: Sequence[Sequence[int]] | None = None
    ) -> list[Tensor]:
        """What the model would say next, without saying it: one packed pass over all questions.

        Args:
            prompts: questions on one scene; ``answer_prefix`` may hold the begin of an answer.
            positions: per prompt the indices into its ids from the question on
                (``split_prompt_ids``, negative from the end); None takes the last only.

        Returns:
            (positions, vocabulary) float32 per prompt: logits after each position.

        Raises:
            EngineError: as for :meth:`generate_many`.
        """
        wanted = positions or [(-1,)] * len(prompts)
        found: list[Tensor] = []
        with self._alone():
            answers = [self._begin(prompt, Limits(max_new_tokens=1)) for prompt in prompts]
            for start in range(0, len(answers), self.config.rows):
                group = answers[start : start + self.config.rows]
                _, hidden = self._read(self._open(group), group)
                for own, indices in zip(hidden, wanted[start:], strict=False):
                    found.append(self.decoder.logits(own[list(indices)]).float())
        return found

    def score(
        self,
        prompts: Sequence[Prompt],
        candidates: Sequence[Sequence[Candidate]],
        limits: Limits,
    ) -> list[Scored]:
        """How likely given answers are; see :class:`oryx_scene.answerer.Scorer`.

        Rows of all prompts are read in packed passes, ``EngineConfig.rows`` of them at a time.
        """
        plans = [
            plan_scores(self._tokenizer, prompt, own)
            for prompt, own in zip(prompts, candidates, strict=True)
        ]
        once = dataclasses.replace(limits, max_new_tokens=1)
        with self._alone():
            answers: list[Answering] = []
            starts: list[int] = []
            for prompt, plan in zip(prompts, plans, strict=True):
                for row in plan.rows:
                    answers.append(self._begin(prompt, once))
                    answers[-1].question_ids = list(row)
                    starts.append(plan.start)
            logits = self._score_rows(answers, starts)
        return self._scored(plans, answers, logits)

    def _score_rows(self, answers: Sequence[Answering], starts: Sequence[int]) -> list[Tensor]:
        """Logits of each row from the last shared id on; fewer rows where it was stopped."""
        found: list[Tensor] = []
        size = self.config.rows
        with contextlib.suppress(Stopped):
            for first in range(0, len(answers), size):
                group = answers[first : first + size]
                _, hidden = self._read(self._open(group), group)
                for answer, own, start in zip(group, hidden, starts[first:], strict=False):
                    found.append(self.decoder.logits(own[start - 1 :]))
                    answer.stream.reason = "eos"
        return found

    def _scored(
        self, plans: Sequence[ScorePlan], answers: Sequence[Answering], logits: Sequence[Tensor]
    ) -> list[Scored]:
        scored, first = [], 0
        for plan in plans:
            end = first + len(plan.rows)
            record = answers[first].generation(self.counters())
            own: tuple[Continuation, ...] = ()
            if end <= len(logits):
                own = read_scores(plan, logits[first:end], self._stops.ids)
            scored.append(Scored(own, record))
            first = end
        return scored

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second thread; turn what kernels raise into errors that name a way out."""
        if not self._busy.acquire(blocking=False):
            raise EngineError(
                "the engine is answering another prompt.", hint="ask from one thread at a time"
            )
        try:
            with torch.inference_mode():
                yield
        except (RuntimeError, MemoryError) as err:
            # What a failed kernel left in a cache cannot be trusted.
            self.forget()
            if out_of_memory(err):
                # The failed pass's frames still hold its tensors.
                traceback.clear_frames(err.__traceback__)
                self._return_memory()
                raise DeviceMemoryError(
                    f"{self.model.device} ran out of memory; cached scenes were dropped.",
                    hint="ask with fewer views or a stronger compression",
                ) from err
            raise EngineError(
                f"the model failed ({' '.join(str(err).split())[:200]}); caches were dropped.",
                hint="ask again; if it stays, run oryx-scene conformance on this device",
            ) from err
        finally:
            self._busy.release()

    def _return_memory(self) -> None:
        """Give blocks that torch holds back to the device, so that other sizes fit."""
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def forget(self) -> None:
        """Drop every encoded picture and prefilled scene."""
        self.features.clear()
        self.scenes.clear()
        if self.static is not None:
            self.static.forget()

    # -- stages ---------------------------------------------------------------------------------

    def _begin(
        self,
        prompt: Prompt,
        limits: Limits,
        on_text: Callable[[str], None] | None = None,
        constraint: Constraint | None = None,
    ) -> Answering:
        if constraint is None and prompt.json_schema:
            if self._json is None:
                rows = int(self.model.language.config.vocab_size)
                self._json = JsonForms(self._tokenizer.hub_tokenizer, rows, self._stops.ids)
            constraint = self._json.constraint(prompt.json_schema)
        answer = Answering(
            self._tokenizer,
            prompt,
            limits,
            self._stops.ids,
            self._stops.repetition_penalty,
            self._card.context_length,
            on_text,
            constraint,
        )
        if self._note:
            answer.warnings.append(self._note)
        return answer

    def _answer(self, answers: Sequence[Answering]) -> None:
        """Run answers on one scene to their end."""
        with contextlib.suppress(Stopped):
            rows, hidden = self._read(self._open(answers), answers)
            logits = [self.decoder.logits(own[-1:])[0] for own in hidden]
            self._synchronise()
            started = time.perf_counter()
            for answer in answers:
                answer.timings["prefill"] = answer.watch.elapsed() - answer.timings["encode"]
            try:
                self._decode(rows, logits, answers)
            finally:
                for answer in answers:
                    answer.lap("decode", started)
                self.work.decoded_tokens += sum(len(a.stream.tokens) for a in answers)

    def _decode(self, rows: Rows, logits: list[Tensor], answers: Sequence[Answering]) -> None:
        streams = [answer.stream for answer in answers]
        static = self.static
        if static is None or not static.fits(rows, max(answer.room for answer in answers)):
            self.work.decode_steps += decode(rows, logits, streams)
            return
        static.take(rows)
        try:
            steps = decode(static, logits, streams)
        except EngineError:
            # Numbers that are not finite would stay in the block and enter later products.
            static.forget()
            raise
        self.work.decode_steps += steps
        self.work.graph_steps += steps

    def _read(
        self, scene: PrefilledScene, answers: Sequence[Answering]
    ) -> tuple[Rows, list[Tensor]]:
        """All questions in one packed pass: hidden states (ids, hidden_size) of each."""
        lengths = [len(answer.question_ids) for answer in answers]
        shared = self.config.share_prefix and scene.length >= self.config.share_from
        rows = Rows(self.decoder, scene.slab, len(answers), shared=shared)
        ids = [token for answer in answers for token in answer.question_ids]
        embeds = self.decoder.embed(torch.tensor(ids)).split(lengths)
        self.work.suffix_tokens += len(ids)
        return rows, rows.read(embeds, lambda: check_all([answer.stream for answer in answers]))

    def _open(self, answers: Sequence[Answering]) -> PrefilledScene:
        """The scene of ``answers`` in the language model, from the cache as far as it is there."""
        units = _common_scene(answers)
        streams = [answer.stream for answer in answers]
        for answer in answers:
            answer.timings["encode"] = 0.0
        check_all(streams)
        kept = self.scenes.get(units)
        if kept is not None:
            return kept
        donor, shared = self.scenes.longest_prefix(units)
        started = time.perf_counter()
        rest = units[shared:]
        maps = self.encode(
            [view for unit in rest for view in unit.views], lambda: check_all(streams)
        )
        self._synchronise()
        for answer in answers:
            answer.lap("encode", started)
        slab = Slab(self.decoder.shape, sum(unit.tokens for unit in units))
        if donor is not None:
            slab.take_prefix(donor.slab, sum(unit.tokens for unit in units[:shared]))
        self.work.reused_tokens += slab.length
        self.work.prefill_tokens += slab.capacity - slab.length
        embeds = embed_units(rest, maps, self.model, self.decoder.embed)
        prefill(self.decoder, slab, embeds, lambda: check_all(streams))
        self.work.prefills += 1
        scene = PrefilledScene(tuple(units), slab)
        self.scenes.put(scene)
        return scene

    def encode(
        self, views: Sequence[View], check: Callable[[], None] = lambda: None
    ) -> list[Tensor]:
        """Compressed features of ``views``; those not seen before go through the tower together."""
        found: dict[int, Tensor] = {}
        for index, view in enumerate(views):
            kept = self.features.get(view.key, view.grid) if view.key else None
            if kept is not None:
                found[index] = kept
        todo = [index for index in range(len(views)) if index not in found]
        for start in range(0, len(todo), self.config.packed_pictures):
            check()
            batch = todo[start : start + self.config.packed_pictures]
            pixels = self._pixels([views[index] for index in batch])
            maps = self.model.encode(pixels, [views[index].stride for index in batch])
            self.work.encodes += len(batch)
            for index, one in zip(batch, maps, strict=True):
                found[index] = one
                if views[index].key:
                    self.features.put(views[index].key, one)
        return [found[index] for index in range(len(views))]

    def _pixels(self, views: Sequence[View]) -> list[Tensor]:
        """(3, H, W) normalised per view; on a GPU a picture goes there once, as bytes."""
        device = self.model.device
        if not pixels_on_device(device):
            return [normalise(view.pixels()) for view in views]
        sent: dict[int, Tensor] = {}
        found = []
        for view in views:
            rgb = sent.get(id(view.image))
            if rgb is None:
                rgb = torch.from_numpy(np.ascontiguousarray(view.image)).to(device)
                sent[id(view.image)] = rgb
            if view.low_size is not None:
                rgb = resize_on_device(rgb, view.low_size)
            found.append(normalise_on_device(rgb))
        return found

    def _synchronise(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    def counters(self) -> dict[str, int | float]:
        """What was computed and what was kept since the engine was made."""
        return {
            **vars(self.work),
            "feature_hits": self.features.counters.hits,
            "feature_evictions": self.features.counters.evictions,
            "feature_bytes": self.features.bytes,
            "scene_hits": self.scenes.counters.hits,
            "scene_evictions": self.scenes.counters.evictions,
            "scene_bytes": self.scenes.bytes,
        }


def _common_scene(answers: Sequence[Answering]) -> list[Unit]:
    """The units of the scene that all answers are about."""
    first = answers[0]
    units = units_of(first.scene_ids, first.items)
    for other in answers[1:]:
        own = units_of(other.scene_ids, other.items)
        # Items compare by identity: a picture without a key is equal to itself only.
        same = other.items == first.items and other.scene_ids == first.scene_ids
        if not same and not len(own) == len(units) == common_units(own, units):
            raise EngineError(
                "questions on different scenes were asked together.", hint="ask per scene"
            )
    return units


def _numbered(
    on_text: Callable[[int, str], None] | None, index: int
) -> Callable[[str], None] | None:
    return None if on_text is None else lambda text: on_text(index, text)
