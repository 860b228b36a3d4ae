"""Comparing what an answer says about marks with what was measured; disagreements name both."""

from __future__ import annotations

import re
from collections.abc import Sequence

from oryx_scene.frames import Predicate, Relation

_MARK = r"(?:the\s+)?(?:mark|object|number|#)\s*#?\s*(\d{1,2})"
_WORDS = {
    Predicate.LEFT_OF: r"(?:to\s+the\s+)?left\s+of",
    Predicate.RIGHT_OF: r"(?:to\s+the\s+)?right\s+of",
    Predicate.IN_FRONT_OF: r"in\s+front\s+of",
    Predicate.BEHIND: r"behind",
    Predicate.ABOVE: r"above",
    Predicate.BELOW: r"(?:below|under)",
}
_OPPOSITE = {
    Predicate.LEFT_OF: Predicate.RIGHT_OF,
    Predicate.RIGHT_OF: Predicate.LEFT_OF,
    Predicate.IN_FRONT_OF: Predicate.BEHIND,
    Predicate.BEHIND: Predicate.IN_FRONT_OF,
    Predicate.ABOVE: Predicate.BELOW,
    Predicate.BELOW: Predicate.ABOVE,
}
_DISTANCE = re.compile(
    rf"{_MARK}\s+(?:is|stands|lies)\s+(?:about\s+)?(\d+(?:\.\d+)?)\s*(?:m|metres?|meters?)\s+"
    rf"(?:away\s+)?from\s+{_MARK}",
    re.IGNORECASE,
)
_NEAREST = re.compile(
    rf"(?:nearest|closest)\s+(?:\w+\s+)?to\s+{_MARK}\s+is\s+{_MARK}", re.IGNORECASE
)


def stated_relations(text: str) -> tuple[Relation, ...]:
    """Relations between marks that a text states in plain words (source "model")."""
    found = []
    for predicate, words in _WORDS.items():
        pattern = rf"{_MARK}\s+(?:is|stands|lies)\s+(?!not\b){words}\s+{_MARK}"
        for subject, other in re.findall(pattern, text, re.IGNORECASE):
            found.append(Relation(int(subject), predicate, int(other), "", source="model"))
    for subject, value, other in _DISTANCE.findall(text):
        found.append(
            Relation(
                int(subject), Predicate.DISTANCE, int(other), "", float(value), "m", source="model"
            )
        )
    for subject, other in _NEAREST.findall(text):
        found.append(Relation(int(subject), Predicate.NEAREST, int(other), "", source="model"))
    return tuple(found)


def cross_check(
    text: str, measured: Sequence[Relation]
) -> tuple[tuple[Relation, ...], tuple[str, ...]]:
    """Relations that ``text`` states, and a sentence for each that contradicts a measured one."""
    stated = stated_relations(text)
    sentences = []
    for relation in stated:
        sentence = _contradiction(relation, measured)
        if sentence:
            sentences.append(sentence)
    return stated, tuple(sentences)


def _contradiction(stated: Relation, measured: Sequence[Relation]) -> str:
    for known in measured:
        same_pair = (known.subject, known.object) == (stated.subject, stated.object)
        mirrored = (known.object, known.subject) == (stated.subject, stated.object)
        if stated.predicate is Predicate.DISTANCE:
            if known.predicate is Predicate.DISTANCE and (same_pair or mirrored):
                limit = max(0.3, 0.25 * known.value, 3 * known.std)
                if abs(known.value - stated.value) > limit:
                    return _sentence(stated, f"{stated.value:.1f} m from", f"{known.value:.1f} m")
        elif stated.predicate is Predicate.NEAREST:
            if (
                known.predicate is Predicate.NEAREST
                and known.subject == stated.subject
                and known.object != stated.object
            ):
                return (
                    f"disagreement: the answer says mark {stated.object} is nearest to mark "
                    f"{stated.subject}, measured is mark {known.object}"
                )
        elif same_pair and known.predicate is _OPPOSITE[stated.predicate]:
            words = stated.predicate.value.replace("_", " ")
            return _sentence(
                stated,
                words,
                f"{known.predicate.value.replace('_', ' ')} it ({known.reference})",
            )
    return ""


def _sentence(stated: Relation, said: str, measured: str) -> str:
    return (
        f"disagreement: the answer says mark {stated.subject} is {said} mark {stated.object}, "
        f"measured is {measured}"
    )
