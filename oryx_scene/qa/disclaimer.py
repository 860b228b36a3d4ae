"""What must be said with a model's answers: untrained, out of its depth, words it never learnt.

All follow from what the checkpoint says about itself and from whether the source is rendered,
never from the model's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from oryx_scene.model.api import Learnt, ModelCard
from oryx_scene.records import Question
from oryx_scene.warning import Warning


@dataclass(frozen=True)
class Disclaimer:
    """A short label beside an answer and what stands among its warnings."""

    label: str
    warning: Warning


RANDOM = Disclaimer(
    "random model",
    Warning(
        "model_random",
        "the model has random weights: this text shows that the way works and means nothing",
    ),
)
OUT_OF_DEPTH = Disclaimer(
    "trained on synthetic rooms only",
    Warning(
        "model_out_of_domain",
        "the model was trained on synthetic rooms only and is out of its depth on this source, "
        "which is not synthetic",
    ),
)


def caution_for(card: ModelCard, *, synthetic: bool) -> Disclaimer | None:
    """What to say about answers of ``card``'s model; None for nothing.

    Args:
        card: of the loaded model.
        synthetic: the frames come from a synthetic world and their source says so.
    """
    if not card.trained:
        return RANDOM
    if card.synthetic_only and not synthetic:
        return OUT_OF_DEPTH
    return None


_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def words_of(text: str) -> list[str]:
    """Words of ``text`` in small letters, each once, in order; numbers are none."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))


def never_learnt(question: Question, learnt: Learnt, names: Iterable[str]) -> tuple[str, ...]:
    """Words of a question and its choices that the model's training never used.

    Args:
        question: as asked.
        learnt: what the checkpoint says; () for one that says nothing.
        names: of the views, which a question may say.
    """
    if not learnt.words:
        return ()
    known = {*learnt.words, *words_of(" ".join(names))}
    asked = words_of(" ".join((question.text, *question.choices)))
    return tuple(word for word in asked if word not in known)
