"""From log-probabilities of given answers to a decision with a confidence; arithmetic only.

The options of one answer form (yes / no, the choices, the marks) compete with each other: their
probabilities sum to one, whatever else the model might have said. How much it would have said
something else is reported beside it as the form's mass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oryx_scene.model.api import Candidate, Continuation, FormCalibration


@dataclass(frozen=True)
class Option:
    """One thing the answer may say, in the spellings that mean it."""

    name: str
    variants: tuple[Candidate, ...]


@dataclass(frozen=True)
class Decision:
    """What the options' scores say.

    Attributes:
        probabilities: name -> calibrated probability among the options.
        best: name of the most probable option, the first listed of equals.
        mass: probability, uncalibrated, that the model says one of the options at all.
        variant: index of the likeliest spelling of ``best``.
    """

    probabilities: dict[str, float]
    best: str
    mass: float
    variant: int

    @property
    def confidence(self) -> float:
        """Probability of ``best``."""
        return self.probabilities[self.best]


def yes_no_options() -> tuple[Option, ...]:
    """ "yes" and "no" in the spellings that models use."""
    return tuple(
        Option(name, (Candidate(name.capitalize()), Candidate(name))) for name in ("yes", "no")
    )


def choice_options(choices: Sequence[str], *, within: bool = False) -> tuple[Option, ...]:
    """Each choice by its index: as a whole answer, or ``within`` a sentence that may go on."""
    if not within:
        return tuple(
            Option(str(index), (Candidate(text, ends=True),)) for index, text in enumerate(choices)
        )
    return tuple(
        Option(str(index), tuple(Candidate(one) for one in dict.fromkeys((text, text.lower()))))
        for index, text in enumerate(choices)
    )


def first_mark_options(numbers: Iterable[int]) -> tuple[Option, ...]:
    """Which mark a list begins with, or "none"."""
    marks = tuple(
        Option(str(n), (Candidate(str(n)), Candidate(f"Mark {n}"), Candidate(f"mark {n}")))
        for n in numbers
    )
    none = Option("none", (Candidate("none", ends=True), Candidate("None"), Candidate("No mark")))
    return (*marks, none)


def next_mark_options(numbers: Iterable[int]) -> tuple[Option, ...]:
    """Which mark goes on with a list that has begun, or "end"."""
    marks = tuple(
        Option(str(n), (Candidate(f", {n}"), Candidate(f" and {n}"), Candidate(f", mark {n}")))
        for n in numbers
    )
    return (*marks, Option("end", (Candidate("", ends=True), Candidate("."))))


def candidates_of(options: Sequence[Option]) -> tuple[Candidate, ...]:
    """All spellings of all options, in order."""
    return tuple(candidate for option in options for candidate in option.variants)


def log_sum(values: Iterable[float]) -> float:
    """Logarithm of the sum of the exponentials; minus infinity for none."""
    kept = [value for value in values if value > -math.inf]
    if not kept:
        return -math.inf
    top = max(kept)
    return top + math.log(sum(math.exp(value - top) for value in kept))


def exclusive_sums(continuations: Sequence[Continuation]) -> list[float]:
    """Log-probability of each continuation, without the part that goes on as another one.

    "1" is also the begin of "12" where digits are tokens of their own; what "12" gets is then
    taken off "1". Of longer continuations only the nearest extension counts, it holds the others.
    """
    sums = [sum(one.logprobs) for one in continuations]
    ids = [one.token_ids for one in continuations]
    found = []
    for own, total in zip(ids, sums, strict=True):
        longer = {o: s for o, s in zip(ids, sums, strict=True) if _begins(o, own)}
        nearest = [s for o, s in longer.items() if not any(_begins(o, x) for x in longer)]
        rest = 1.0 - sum(math.exp(min(0.0, other - total)) for other in nearest)
        found.append(total + math.log(rest) if rest > 0.0 else -math.inf)
    return found


def branch_sums(continuations: Sequence[Continuation]) -> list[float]:
    """Log-probability of each continuation if nothing but the given ones may be said.

    Token by token: those with which one of the given continuations goes on share the probability
    among them, and what only one of them can go on with costs nothing. So a long choice is not
    punished for its length, and the words in which choices differ decide.
    """
    ends = {one.token_ids for one in continuations}
    following: dict[tuple[int, ...], dict[int, float]] = {}
    for one in continuations:
        for place, (token, value) in enumerate(zip(one.token_ids, one.logprobs, strict=True)):
            following.setdefault(one.token_ids[:place], {})[token] = value
    rests = {begin: _log_rest(following[begin].values()) for begin in following if begin in ends}
    whole = {
        begin: log_sum([*values.values(), *([rests[begin]] if begin in rests else ())])
        for begin, values in following.items()
    }
    found = []
    for one in continuations:
        ids = one.token_ids
        total = sum(
            following[ids[:place]][token] - whole[ids[:place]] for place, token in enumerate(ids)
        )
        found.append(total + (rests[ids] - whole[ids] if ids in rests else 0.0))
    return found


def _log_rest(values: Iterable[float]) -> float:
    """Logarithm of what the probabilities of ``values`` leave."""
    rest = 1.0 - sum(map(math.exp, values))
    return math.log(rest) if rest > 0.0 else -math.inf


def _begins(longer: tuple[int, ...], shorter: tuple[int, ...]) -> bool:
    return len(longer) > len(shorter) and longer[: len(shorter)] == shorter


def decide(
    options: Sequence[Option],
    continuations: Sequence[Continuation],
    calibration: FormCalibration | None = None,
    *,
    branching: bool = False,
) -> Decision:
    """Compare ``options`` by the scores of their spellings.

    Args:
        options: at least one.
        continuations: of :func:`candidates_of` the options, in that order.
        calibration: of this form, None for none.
        branching: compare where the spellings branch (:func:`branch_sums`), so that a long choice
            is not punished for its length.
    """
    sums = exclusive_sums(continuations)
    scores = branch_sums(continuations) if branching else sums
    totals: list[float] = []
    start = 0
    for option in options:
        totals.append(log_sum(scores[start : start + len(option.variants)]))
        start += len(option.variants)
    probabilities = calibrated(totals, calibration or FormCalibration())
    best = max(range(len(options)), key=lambda index: probabilities[index])
    first = sum(len(option.variants) for option in options[:best])
    own = scores[first : first + len(options[best].variants)]
    named = {option.name: value for option, value in zip(options, probabilities, strict=True)}
    return Decision(
        named, options[best].name, math.exp(min(0.0, log_sum(sums))), own.index(max(own))
    )


def calibrated(totals: Sequence[float], calibration: FormCalibration) -> list[float]:
    """Probabilities that sum to one: softmax of scaled scores, the bias on the first."""
    scaled = [calibration.scale * value for value in totals]
    scaled[0] += calibration.bias
    whole = log_sum(scaled)
    if whole == -math.inf:
        return [1.0 / len(scaled)] * len(scaled)
    return [math.exp(value - whole) for value in scaled]
