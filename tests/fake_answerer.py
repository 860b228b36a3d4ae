"""The one fake answerer of all tests: its words follow a rule, and every stage can be held."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from oryx_scene.errors import EngineError
from oryx_scene.model.api import (
    Continuation,
    Generation,
    Limits,
    ModelCard,
    Prompt,
    Scored,
    VisualItem,
)
from oryx_scene.qa.pipeline import prompt_hash

CARD = ModelCard("fake", "r1", "float32", "cpu", context_length=32768)


@dataclass
class FakeAnswerer:
    """Says ``words`` one by one, one token each; stages named in ``holding`` wait until released.

    ``words`` may be a function of the prompt, which may raise. ``token_id`` makes a word's id.
    ``hold_after`` words it stays in the stage "held". ``stop`` replaces the stop reason.
    """

    words: tuple[str, ...] | Callable[[Prompt], tuple[str, ...]] = ("It ", "is ", "mark ", "1.")
    holding: set[str] = field(default_factory=set)
    fail_next: bool = False
    hold_after: int | None = None
    prompts: list[Prompt] = field(default_factory=list)
    limits: list[Limits] = field(default_factory=list)
    at: str = "idle"
    finished_at: float = 0.0
    threads: set[str] = field(default_factory=set)
    fresh_prefills: int = 0
    card: ModelCard = CARD
    stop: str = ""
    token_id: Callable[[str], int] = len

    def __post_init__(self) -> None:
        self._known: set[str] = set()

    def count_text_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(self, prompt, limits, on_text=None):
        self.threads.add(threading.current_thread().name)
        self.prompts.append(prompt)
        self.limits.append(limits)
        if self.fail_next:
            self.fail_next = False
            raise EngineError("the fake model failed on purpose.", hint="ask again")
        words = self.words(prompt) if callable(self.words) else self.words
        text, reason = "", self._pass("prefill", limits)
        scene = repr([p if isinstance(p, str) else p.keys for p in prompt.scene])
        if not reason and scene not in self._known:
            self._known.add(scene)
            self.fresh_prefills += 1
        ids = []
        for word in words[: limits.max_new_tokens]:
            reason = reason or self._pass("decode", limits)
            if len(ids) == self.hold_after:
                self.holding.add("held")
                reason = reason or self._pass("held", limits)
            if reason:
                break
            text += word
            ids.append(self.token_id(word))
            if on_text is not None:
                on_text(word)
        self.at, self.finished_at = "idle", time.monotonic()
        done = "eos" if len(words) <= limits.max_new_tokens else "max_new_tokens"
        return self._record(prompt, text, ids, self.stop or reason or done)

    def _record(self, prompt, text, ids, reason):
        visual = sum(len(part.images) for part in prompt.scene if isinstance(part, VisualItem))
        return Generation(
            text,
            tuple(ids),
            reason,
            prompt_tokens=10 + visual,
            visual_tokens=visual,
            tokens_sha256=hashlib.sha256(prompt_hash(prompt).encode()).hexdigest(),
            timings_s={"encode": 0.0, "prefill": 0.0, "first_token": 0.0, "decode": 0.0},
        )

    def _pass(self, stage: str, limits: Limits) -> str:
        """Wait while ``stage`` is held; why to stop, "" to go on."""
        self.at = stage
        until = None if limits.deadline_s is None else time.monotonic() + limits.deadline_s
        while True:
            if limits.cancelled is not None and limits.cancelled():
                return "cancelled"
            if until is not None and time.monotonic() >= until:
                return "deadline"
            if stage not in self.holding:
                return ""
            time.sleep(0.002)


@dataclass
class FakeScorer(FakeAnswerer):
    """Scores too: one token per character, probabilities by the text that a candidate would make.

    ``likely`` maps (prefix + candidate, whether it ends there) to a probability.
    """

    likely: dict[tuple[str, bool], float] = field(default_factory=dict)
    scored: list[Prompt] = field(default_factory=list)

    def score(self, prompts, candidates, limits):
        self.limits.append(limits)
        return [self._score(p, c) for p, c in zip(prompts, candidates, strict=True)]

    def _score(self, prompt, candidates):
        self.scored.append(prompt)
        record = self._record(prompt, "", (), self.stop or "eos")
        if record.stop_reason != "eos":
            return Scored((), record)
        found = []
        for one in candidates:
            likely = self.likely.get((prompt.answer_prefix + one.text, one.ends), 1e-6)
            ids = (*map(ord, one.text), *((0,) if one.ends else ()))
            found.append(Continuation(one, ids, (math.log(likely) / len(ids),) * len(ids)))
        return Scored(tuple(found), record)
