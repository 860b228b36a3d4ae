"""Counting right answers: by type of question, with intervals, and how sure yes and no were."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oryx_scene.lab.evaluation.calibrate import expected_error, fit
from oryx_scene.lab.synth.judge import METRES, error_m, right, said
from oryx_scene.lab.synth.question_types import SceneQuestion

# Types whose answer is a number or a place in metres.
IN_METRES = (*METRES, "position", "size")
LEAST_CALIBRATION = 20


@dataclass(eq=False)
class KindScore:
    """Answers to questions of one type.

    Attributes:
        right, asked: counts.
        chance: sum over the questions of the share that a blind guess gets.
        keys: how often each right answer was the right one.
        errors_m: of answers in metres that say a number.
        sure: of scored answers: (probability of "yes", whether "yes" is right).
    """

    right: int = 0
    asked: int = 0
    chance: float = 0.0
    keys: Counter[str] = field(default_factory=Counter)
    errors_m: list[float] = field(default_factory=list)
    sure: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.asked if self.asked else float("nan")

    @property
    def majority(self) -> float:
        """Share that the most frequent key would get."""
        return max(self.keys.values()) / self.asked if self.keys else float("nan")

    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the accuracy (Wilson 1927)."""
        return wilson(self.right, self.asked)

    def count(self, asked: SceneQuestion, text: str) -> None:
        """Judge the text of one answer."""
        self._note(asked, right(asked, text))
        if asked.kind in IN_METRES and said(asked.kind, text):
            self.errors_m.append(error_m(asked, text))

    def count_scored(self, asked: SceneQuestion, scores: dict[str, float]) -> None:
        """Judge one yes/no answer by its scores: the likelier of the two is the answer."""
        yes = scores.get("yes", 0.5)
        truth = asked.key == "yes"
        self._note(asked, (yes >= 0.5) == truth)
        self.sure.append((yes, truth))

    def _note(self, asked: SceneQuestion, good: bool) -> None:
        self.asked += 1
        self.right += good
        self.keys[asked.key if asked.options else "-"] += 1
        self.chance += 1.0 / asked.options if asked.options else 0.0

    def add(self, other: KindScore) -> None:
        """Count in what was counted elsewhere."""
        self.right += other.right
        self.asked += other.asked
        self.chance += other.chance
        self.keys += other.keys
        self.errors_m += other.errors_m
        self.sure += other.sure

    def as_dict(self) -> dict[str, Any]:
        """For JSON; unknown values are None."""
        plain: dict[str, Any] = {
            "right": self.right,
            "asked": self.asked,
            "accuracy": _rounded(self.accuracy),
            "interval": [_rounded(value) for value in self.interval()],
            "chance": _rounded(self.chance / self.asked) if self.chance else None,
            "majority": _rounded(self.majority) if self.chance else None,
        }
        if self.errors_m:
            # An answer with too few numbers is infinitely wrong; it stays in the quantiles.
            found = sorted(self.errors_m)
            plain["error_m"] = {
                "median": _rounded(found[len(found) // 2]),
                "p90": _rounded(found[len(found) * 9 // 10]),
                "answers": len(found),
            }
        return plain


# Condition -> type of question -> counts.
Scores = dict[str, dict[str, KindScore]]


def add_scores(into: Scores, other: Scores) -> None:
    """Count ``other`` into ``into``."""
    for name, kinds in other.items():
        own = into.setdefault(name, {})
        for kind, score in kinds.items():
            own.setdefault(kind, KindScore()).add(score)


def wilson(good: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval of a share."""
    if not asked:
        return 0.0, 1.0
    share = good / asked
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    spread = share * (1 - share) / asked + z * z / (4 * asked * asked)
    half = z * math.sqrt(spread) / (1 + z * z / asked)
    return middle - half, middle + half


def reliability(sure: Sequence[tuple[float, bool]], bins: int = 10) -> dict[str, Any]:
    """How often answers are right that are so and so sure.

    Args:
        sure: (probability of "yes", whether "yes" is right).
        bins: equal ones of the confidence of the likelier answer, 0..1; empty ones are left out.

    Returns:
        "bins" with "from", "to", "answers", "confidence" and "accuracy", and the expected
        calibration error over them; with enough answers also "fitted": scale and bias fitted on
        a half drawn at random, and the errors of the other half without and with them.
    """
    scores = [_log_odds(yes) for yes, _ in sure]
    truth = [0 if yes else 1 for _, yes in sure]
    told: dict[str, Any] = {"answers": len(sure), "bins": _bins(sure, bins)}
    if not sure:
        return told
    told["expected_calibration_error"] = _rounded(_error(scores, truth, bins))
    if len(sure) >= 2 * LEAST_CALIBRATION:
        order = np.random.default_rng(0).permutation(len(sure)).tolist()
        some, rest = order[::2], order[1::2]
        found = fit(*_picked(scores, truth, some), bias=True, source="half of these answers")
        others = _picked(scores, truth, rest)
        told["fitted"] = {
            "scale": _rounded(found.scale),
            "bias": _rounded(found.bias),
            "error_before": _rounded(_error(*others, bins)),
            "error_after": _rounded(expected_error(*others, found, bins)),
        }
    return told


Pairs = tuple[list[tuple[float, float]], list[int]]


def _picked(
    scores: Sequence[tuple[float, float]], truth: Sequence[int], places: Sequence[int]
) -> Pairs:
    return [scores[place] for place in places], [truth[place] for place in places]


def _bins(sure: Sequence[tuple[float, bool]], bins: int) -> list[dict[str, Any]]:
    confidence = np.array([max(yes, 1.0 - yes) for yes, _ in sure])
    good = np.array([(yes >= 0.5) == truth for yes, truth in sure], dtype=bool)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "from": index / bins,
            "to": (index + 1) / bins,
            "answers": int(inside.sum()),
            "confidence": _rounded(float(confidence[inside].mean())),
            "accuracy": _rounded(float(good[inside].mean())),
        }
        for index in range(bins)
        if (inside := place == index).any()
    ]


def _error(scores: Sequence[Sequence[float]], truth: Sequence[int], bins: int) -> float:
    from oryx_scene.model.api import FormCalibration

    return expected_error(scores, truth, FormCalibration(), bins)


def _log_odds(yes: float) -> tuple[float, float]:
    """Scores of yes and no whose softmax gives ``yes`` back."""
    least = 1e-12
    return math.log(max(yes, least)), math.log(max(1.0 - yes, least))


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
