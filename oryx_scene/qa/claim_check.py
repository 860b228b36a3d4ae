"""Comparing what an answer says about marks with what was measured; disagreements name both.

Only a measured relation can contradict: what was too close to call is not held against the answer.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from oryx_scene.qa.claim_parsing import Claim, asked_claim, claims_in, stated_metres
from oryx_scene.records import Predicate, Relation

_OPPOSITE = {
    Predicate.LEFT_OF: Predicate.RIGHT_OF,
    Predicate.RIGHT_OF: Predicate.LEFT_OF,
    Predicate.IN_FRONT_OF: Predicate.BEHIND,
    Predicate.BEHIND: Predicate.IN_FRONT_OF,
    Predicate.ABOVE: Predicate.BELOW,
    Predicate.BELOW: Predicate.ABOVE,
}
DIRECTIONS = (
    Predicate.LEFT_OF,
    Predicate.RIGHT_OF,
    Predicate.IN_FRONT_OF,
    Predicate.BEHIND,
)
# A stated distance may be off by the largest of this many metres, this share, 3 deviations.
LEAST_OFF_M, OFF_SHARE = 0.3, 0.25
_YES = re.compile(r"^\W*(?:yes|yeah|correct|true)\b", re.I)
_NO = re.compile(r"^\W*(?:no|false|incorrect)\b", re.I)
_NUMBER_ONLY = re.compile(
    r"^\W*(?:(?:it\s+is\s+)?(?:the\s+)?(?:mark|object|number)\s*)?#?(\d{1,2})\W*$", re.I
)
_ASKED_NEAREST = re.compile(
    r"\b(?:nearest|closest)(?:\s+\w+)?\s+(?:to|of)\s+(?:the\s+)?(?:mark|object|number)\s*#?(\d{1,2})",
    re.I,
)
_ASKED_DISTANCE = re.compile(
    r"\b(?:how\s+far|distance)\b.*?(?:mark|object|number)\s*#?(\d{1,2})\b.*?"
    r"(?:from|to|and)\s+(?:the\s+)?(?:mark|object|number)\s*#?(\d{1,2})\b",
    re.I,
)
_ASKED_COUNT = re.compile(r"\bhow\s+many\s+(?:numbered\s+(?:objects|things)|marks)\b", re.I)
_WHOLE = re.compile(
    r"\b(?:are\s+there|in\s+total|altogether|do\s+you\s+see|in\s+(?:the|this)\s+scene)\W*$", re.I
)
_COUNTED = re.compile(
    r"\bthere\s+(?:are|is)\s+(?:exactly\s+|only\s+)?(\w+)(?:\s+(?:numbered\s+(?:objects|things)|marks?))?"
    r"(?:\s+(?:in\s+total|altogether|in\s+(?:the|this)\s+scene))?\W*$",
    re.I,
)
_COUNT_WORDS = dict(
    zip(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        range(11),
        strict=True,
    )
)
_FROM_VIEW = re.compile(
    r"\b(?:seen|viewed|looking|as\s+seen)?\s*from\s+(?!mark|object|number|#)([\w /-]+)", re.I
)


def stated_relations(text: str, question: str = "") -> tuple[Relation, ...]:
    """Relations between marks that a text states (source "model"); denied ones are not."""
    return tuple(claim.relation for claim in _claims(text, question) if claim.holds)


def cross_check(
    text: str, measured: Sequence[Relation], *, question: str = "", marks: int | None = None
) -> tuple[tuple[Relation, ...], tuple[str, ...]]:
    """Relations that ``text`` states, and a sentence for each claim that measurement contradicts.

    Args:
        text: the answer.
        measured: relations of source "geometry"; directions from the asked viewpoint only.
        question: gives short answers ("Yes", "5", "1.2 m") their meaning.
        marks: how many marks the scene has, None where a count cannot be checked.
    """
    claims = _claims(text, question)
    sentences = [sentence for claim in claims if (sentence := _contradiction(claim, measured))]
    sentences += _count(text, question, marks)
    stated = tuple(_referenced(claim.relation, measured) for claim in claims if claim.holds)
    return stated, tuple(dict.fromkeys(sentences))


def _referenced(stated: Relation, measured: Sequence[Relation]) -> Relation:
    """Directions are understood from the viewpoint of the measured ones."""
    if stated.predicate not in DIRECTIONS:
        return stated
    reference = next((m.reference for m in measured if m.predicate in DIRECTIONS), "")
    return dataclasses.replace(stated, reference=reference)


def _claims(text: str, question: str) -> list[Claim]:
    found = list(claims_in(text))
    if not question:
        return found
    asked = asked_claim(question)
    if asked is not None and (_YES.match(text) or _NO.match(text)):
        holds = asked.holds if _YES.match(text) else not asked.holds
        short = Claim(asked.relation, holds, question)
        if all((c.relation, c.holds) != (short.relation, short.holds) for c in found):
            found.append(short)
    found += _short_answers(text, question)
    return found


def _short_answers(text: str, question: str) -> list[Claim]:
    """A bare number or distance means what was asked for."""
    number = _NUMBER_ONLY.match(text)
    nearest = _ASKED_NEAREST.search(question)
    if number and nearest and int(nearest[1]) != int(number[1]):
        relation = Relation(int(nearest[1]), Predicate.NEAREST, int(number[1]), "", source="model")
        return [Claim(relation, True, text)]
    apart = _ASKED_DISTANCE.search(question)
    value = stated_metres(text)
    if apart and value is not None and not re.search(r"\b(?:mark|object|number)\b", text, re.I):
        relation = Relation(
            int(apart[1]), Predicate.DISTANCE, int(apart[2]), "", value, "m", source="model"
        )
        return [Claim(relation, True, text)]
    return []


def _contradiction(claim: Claim, measured: Sequence[Relation]) -> str:
    kind = claim.relation.predicate
    if kind in (Predicate.DISTANCE, Predicate.RANGE):
        return _wrong_distance(claim, measured) if claim.holds else ""
    if kind is Predicate.NEAREST:
        return _wrong_nearest(claim, measured)
    if kind in DIRECTIONS and not _same_viewpoint(claim, measured):
        return ""
    return _wrong_on(claim, measured) or _wrong_place(claim, measured)


def _wrong_place(claim: Claim, measured: Sequence[Relation]) -> str:
    stated = claim.relation
    for known in measured:
        if (known.subject, known.object) != (stated.subject, stated.object):
            continue
        denied = not claim.holds and known.predicate is stated.predicate
        if denied or (claim.holds and _excludes(known.predicate, stated.predicate)):
            return _sentence(claim, _words(known))
    return ""


def _wrong_on(claim: Claim, measured: Sequence[Relation]) -> str:
    """Said to stand on a thing that stands on it, or that is further away than both are large."""
    stated = claim.relation
    if stated.predicate is not Predicate.ON or not claim.holds:
        return ""
    ends = {stated.subject, stated.object}
    sizes = [m.value for m in measured if m.predicate is Predicate.SIZE and m.subject in ends]
    for known in measured:
        if {known.subject, known.object} != ends:
            continue
        if known.predicate is Predicate.ON and known.subject == stated.object:
            return _sentence(claim, f"mark {stated.object} on mark {stated.subject}")
        far = known.predicate is Predicate.DISTANCE and len(sizes) == 2
        if far and known.value - 3 * known.std > sum(sizes):
            return _sentence(claim, f"{known.value:.1f} m between them")
    return ""


def _excludes(known: Predicate, stated: Predicate) -> bool:
    """What stands on or above a thing is not below it; what is below it does not stand on it."""
    if known is _OPPOSITE.get(stated):
        return True
    return (known, stated) in (
        (Predicate.ON, Predicate.BELOW),
        (Predicate.BELOW, Predicate.ON),
    )


def _same_viewpoint(claim: Claim, measured: Sequence[Relation]) -> bool:
    """False where the clause names another viewpoint than that of the measured directions."""
    said = _FROM_VIEW.search(claim.clause)
    if said is None:
        return True
    names = {m.reference.removeprefix("view:") for m in measured if m.predicate in DIRECTIONS}
    return any(name and name.lower() in said[1].lower() for name in names)


def _wrong_distance(claim: Claim, measured: Sequence[Relation]) -> str:
    stated = claim.relation
    ends = {stated.subject, stated.object}
    for known in measured:
        if known.predicate is stated.predicate and {known.subject, known.object} == ends:
            limit = max(LEAST_OFF_M, OFF_SHARE * known.value, 3 * known.std)
            if abs(known.value - stated.value) > limit:
                whom = "the viewpoint" if stated.object is None else f"mark {stated.object}"
                return (
                    f"disagreement: the answer says mark {stated.subject} is {stated.value:.1f} m "
                    f"from {whom}, measured is {known.value:.1f} m (std {known.std:.2f} m)"
                )
    return ""


def _wrong_nearest(claim: Claim, measured: Sequence[Relation]) -> str:
    stated = claim.relation
    if stated.object is None:
        return _wrong_nearest_to_viewpoint(claim, measured)
    for known in measured:
        if known.predicate is Predicate.NEAREST and known.subject == stated.subject:
            same = known.object == stated.object
            if same != claim.holds:
                said = "nearest" if claim.holds else "not nearest"
                return (
                    f"disagreement: the answer says mark {stated.object} is {said} to mark "
                    f"{stated.subject}, measured is mark {known.object} ({known.value:.1f} m)"
                )
    return ""


def _wrong_nearest_to_viewpoint(claim: Claim, measured: Sequence[Relation]) -> str:
    ranges = {m.subject: m for m in measured if m.predicate is Predicate.RANGE}
    own = ranges.get(claim.relation.subject)
    if own is None or not claim.holds:
        return ""
    first = min(ranges.values(), key=lambda item: item.value)
    if own.value - first.value > max(0.1, 2 * (own.std**2 + first.std**2) ** 0.5):
        return (
            f"disagreement: the answer says mark {own.subject} is nearest to the viewpoint "
            f"({own.value:.1f} m), measured is mark {first.subject} ({first.value:.1f} m)"
        )
    return ""


def _count(text: str, question: str, marks: int | None) -> list[str]:
    """A count of all marks; counts of some of them are not checked."""
    if marks is None or not _ASKED_COUNT.search(question) or not _WHOLE.search(question):
        return []
    said = _COUNTED.search(text.strip())
    word = said[1].lower() if said else text.strip(" .").lower()
    if not (word.isdigit() or word in _COUNT_WORDS):
        return []
    number = int(word) if word.isdigit() else _COUNT_WORDS[word]
    if number == marks:
        return []
    return [f"disagreement: the answer counts {number} marks, the scene has {marks}"]


def _words(known: Relation) -> str:
    if known.predicate is Predicate.ON:
        return f"on it ({known.reference})"
    unsure = f", {known.value:.2f} m" if known.value == known.value else ""
    return f"{known.predicate.value.replace('_', ' ')} it ({known.reference}{unsure})"


def _sentence(claim: Claim, measured: str) -> str:
    stated = claim.relation
    words = stated.predicate.value.replace("_", " ")
    said = words if claim.holds else f"not {words}"
    return (
        f"disagreement: the answer says mark {stated.subject} is {said} mark {stated.object}, "
        f"measured is {measured}"
    )
