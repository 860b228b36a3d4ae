"""Answers in progress, several at once: what they want of the model is asked for together.

An answer is a generator that yields wishes (say something, weigh candidates) and is sent what the
model made of them. Wishes of the same kind that are open at the same time go to the model in one
call where it can do that. Knows nothing of forms, pictures or marks.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from oryx_scene.model.api import (
    Answerer,
    Candidate,
    Generation,
    Limits,
    ManyAnswerer,
    Prompt,
    Scored,
    Scorer,
    TextSink,
)
from oryx_scene.qa.parse import ParsedAnswer


@dataclass(frozen=True)
class Say:
    """Wish for a :class:`Generation`: answer ``prompt``, ``on_text`` receives its pieces."""

    prompt: Prompt
    limits: Limits
    on_text: TextSink | None


@dataclass(frozen=True)
class Weigh:
    """Wish for a :class:`Scored`: how likely ``candidates`` are after ``prompt``."""

    prompt: Prompt
    candidates: tuple[Candidate, ...]
    limits: Limits


Found: TypeAlias = tuple[Generation, ParsedAnswer]
T = TypeVar("T")
# A part of an answer: may wish for something and comes to a T.
Wishing: TypeAlias = Generator[Say | Weigh, Generation | Scored, T]
Asking: TypeAlias = Wishing[Found]


def run_together(answerer: Answerer, answers: Sequence[Asking]) -> list[Found]:
    """Bring ``answers`` to their ends; what they wish for is asked for together.

    Candidates are weighed before anything is said: that is one pass, and short answers come soon.

    Args:
        answerer: a ``Scorer`` if any answer weighs; else than a ``ManyAnswerer`` it is asked one
            prompt after the other.
        answers: on one scene, none of them begun.

    Raises:
        EngineError: the model failed.
    """
    found: dict[int, Found] = {}
    open_wishes: dict[int, Say | Weigh] = {}

    def go_on(index: int, made: Generation | Scored | None) -> None:
        try:
            # None begins a generator.
            open_wishes[index] = answers[index].send(made)  # type: ignore[arg-type]
        except StopIteration as end:
            found[index] = end.value

    for index in range(len(answers)):
        go_on(index, None)
    while open_wishes:
        weigh = {i: wish for i, wish in open_wishes.items() if isinstance(wish, Weigh)}
        say = {i: wish for i, wish in open_wishes.items() if isinstance(wish, Say)}
        made = _weighed(answerer, weigh) if weigh else _said(answerer, say)
        for index, own in made.items():
            del open_wishes[index]
            go_on(index, own)
    return [found[index] for index in range(len(answers))]


def _weighed(answerer: Answerer, wishes: Mapping[int, Weigh]) -> dict[int, Scored]:
    assert isinstance(answerer, Scorer)
    each = list(wishes.values())
    scored = answerer.score(
        [wish.prompt for wish in each],
        [wish.candidates for wish in each],
        each[0].limits if len(each) == 1 else [wish.limits for wish in each],
    )
    return dict(zip(wishes, scored, strict=True))


def _said(answerer: Answerer, wishes: Mapping[int, Say]) -> dict[int, Generation]:
    each = list(wishes.values())
    if len(each) == 1 or not isinstance(answerer, ManyAnswerer):
        return {
            index: answerer.generate(wish.prompt, wish.limits, wish.on_text)
            for index, wish in wishes.items()
        }

    def pass_on(place: int, text: str) -> None:
        sink = each[place].on_text
        if sink is not None:
            sink(text)

    wanted = any(wish.on_text is not None for wish in each)
    made = answerer.generate_many(
        [wish.prompt for wish in each],
        [wish.limits for wish in each],
        pass_on if wanted else None,
    )
    return dict(zip(wishes, made, strict=True))
