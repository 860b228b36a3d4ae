"""What a text claims about marks: relations in plain words, with negation; nothing is guessed.

A clause that hedges, asks or supposes claims nothing. Knows no measurements.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oryx_scene.records import Predicate, Relation

_NOUN = r"(?:the\s+)?(?:marks?|objects?|numbers?|discs?|things?)"
# One mark, or several: "marks 1, 2 and 3", "mark 1 and mark 2".
_LIST = (
    rf"(?:{_NOUN}\s*)#?\s*\d{{1,2}}(?![\d.]*\d)"
    rf"(?:\s*(?:,\s*and|,|and|&)\s*(?:{_NOUN}\s*)?#?\s*\d{{1,2}}\b(?!\s*(?:\.\d|c?m\b|met)))*"
)
_ADVERB = (
    r"(?:(?:clearly|directly|slightly|just|also|far|well|located|placed|positioned|standing|sitting"
    r"|lying|situated|resting|further|mostly|partly|immediately|a\s+bit|a\s+little|somewhat|still)"
    r"\s+|(?:about\s+|roughly\s+)?\d+(?:\.\d+)?\s*(?:cm|m|met(?:er|re)s?)\s+)*"
)
_SIDE = (
    r"(?:(?:to|on|at|towards)\s+(?:the|its|my|your)\s+)?{0}(?:[-\s]hand)?(?:\s+side)?\s+(?:of|from)"
)
_WORDS: tuple[tuple[Predicate, str], ...] = (
    (Predicate.LEFT_OF, _SIDE.format("left") + r"|(?:more\s+)?(?:to\s+the\s+)?left\s+than"),
    (Predicate.RIGHT_OF, _SIDE.format("right") + r"|(?:more\s+)?(?:to\s+the\s+)?right\s+than"),
    (Predicate.IN_FRONT_OF, r"in\s+front\s+of|ahead\s+of"),
    (Predicate.BEHIND, r"behind|in\s+back\s+of|at\s+the\s+back\s+of"),
    (Predicate.ABOVE, r"above|over|higher\s+(?:up\s+)?than"),
    (Predicate.BELOW, r"below|under(?:neath)?|beneath|lower\s+(?:down\s+)?than"),
    (Predicate.ON, r"on(?:\s+top\s+of)?|upon"),
    (
        Predicate.NEAREST,
        r"(?:the\s+)?(?:nearest|closest)(?:\s+(?:mark|object|one|thing|neighbour))?\s+(?:to|of)",
    ),
)
_RELATION = "(?:" + "|".join(f"(?P<r{i}>{words})" for i, (_, words) in enumerate(_WORDS)) + ")"
_VERB = r"(?:is|are|stands?|lies?|sits?|appears?|rests?|seems?\s+to\s+be|appears?\s+to\s+be)"
_NOT = r"(?P<no>(?:\s*n['\u2019]t\b|\s+not\b|\s+never\b))?"
_CLAIM = re.compile(
    rf"(?P<s>{_LIST})\s+{_VERB}{_NOT}\s+{_ADVERB}{_RELATION}\s+(?P<o>{_LIST})", re.I
)
_MORE = re.compile(
    rf"\s*(?:,\s*and|,\s*but|,|and|but)\s+(?:(?:it\s+|they\s+)?{_VERB}\s+)?(?P<no>not\s+)?{_ADVERB}"
    rf"{_RELATION}\s+(?P<o>{_LIST})",
    re.I,
)
_TURNED = re.compile(
    rf"\b{_RELATION}\s+(?P<o>{_LIST})\s*(?:,\s*(?:there\s+)?)?(?:is|are|stands?|lies?|:)\s+(?P<s>{_LIST})",
    re.I,
)
_METRES = r"(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>cm|centimet(?:er|re)s?|m|met(?:er|re)s?)\b"
_ABOUT = r"(?:(?:about|around|roughly|approximately|some|ca\.?|nearly|almost|only|~)\s*)?"
_APART = (
    rf"(?P<s>{_LIST})\s+{_VERB}{_NOT}\s+{_ABOUT}{_METRES}\s+(?:away\s+|distant\s+)?from\s+(?P<o>{_LIST})",
    rf"distance\s+(?:between|from|of)\s+(?P<s>{_LIST})\s+(?:to|and|from)\s+(?P<o>{_LIST})\s+"
    rf"{_VERB}{_NOT}\s+{_ABOUT}{_METRES}",
    rf"(?P<s>{_LIST})\s+{_VERB}{_NOT}\s+{_ABOUT}{_METRES}\s+apart",
    rf"distance\s+between\s+(?P<s>{_LIST})\s+{_VERB}{_NOT}\s+{_ABOUT}{_METRES}",
)
_VIEWPOINT = r"(?:me|us|you|here|(?:the\s+)?(?:robot|camera|viewer|viewpoint|sensor))"
_AWAY = re.compile(
    rf"(?P<s>{_LIST})\s+{_VERB}{_NOT}\s+{_ABOUT}{_METRES}\s+(?:away|ahead|distant)?\s*"
    rf"(?:from\s+{_VIEWPOINT})?\s*(?:[,;]|and\b|but\b|$)",
    re.I,
)
_NEAR_ME = re.compile(
    rf"(?:(?P<s>{_LIST})\s+{_VERB}{_NOT}\s+(?:the\s+)?(?:nearest|closest)(?:\s+\w+)?\s+to\s+{_VIEWPOINT}\b"
    rf"|(?:nearest|closest)(?:\s+\w+)?\s+to\s+{_VIEWPOINT}\s+is\s+(?P<t>{_LIST}))",
    re.I,
)
_HEDGE = re.compile(
    r"\b(?:if|whether|unless|suppose|assum\w+|unsure|uncertain|unclear|cannot|can['\u2019]?t|could|"
    r"might|may|maybe|perhaps|possibly|would|should|neither|nor|or|either|unknown|hard\s+to)\b",
    re.I,
)
_DENIED = re.compile(
    r"\b(?:not|isn['\u2019]t)\s+(?:true|correct|the\s+case)\s+that\b|\bfalse\s+that\b", re.I
)
# A full stop inside a number ends no clause.
_CLAUSES = re.compile(r"(?<!\d)[.](?!\d)|(?<=\d)\.(?=\s|$)|[;\n!]")


@dataclass(frozen=True)
class Claim:
    """One claimed relation.

    Attributes:
        relation: source "model"; RANGE and NEAREST with object None are to the viewpoint.
        holds: False where the text denies it.
        clause: the words around it.
    """

    relation: Relation
    holds: bool
    clause: str


def claims_in(text: str) -> tuple[Claim, ...]:
    """All relations between marks that ``text`` claims or denies, in order, each once."""
    found: list[Claim] = []
    for part in _CLAUSES.split(text):
        # What stands before a question mark is asked, what follows is said.
        clause = part[part.rfind("?") + 1 :]
        if clause.strip() and not _HEDGE.search(clause):
            flip = bool(_DENIED.search(clause))
            found += [
                Claim(c.relation, c.holds != flip, clause.strip()) for c in _in_clause(clause)
            ]
    return tuple(dict.fromkeys(found))


def asked_claim(question: str) -> Claim | None:
    """What "yes" to a yes/no question about two marks would claim, None for other questions."""
    turned = re.sub(
        rf"\b(?:is|are|does|do|stands?|lies?)\s+(?P<s>{_LIST})\s+(?:stand|lie|sit|rest)?\s*",
        lambda m: f"{m['s']} is ",
        question,
        count=1,
        flags=re.I,
    )
    if turned == question:
        return None
    clause = turned.replace("?", "")
    if _HEDGE.search(clause):
        return None
    claims = _in_clause(clause)
    return Claim(claims[0].relation, claims[0].holds, question) if len(claims) == 1 else None


def numbers_in(words: str) -> list[int]:
    """Mark numbers of a list such as "marks 1, 2 and 3"."""
    return [int(number) for number in re.findall(r"\d{1,2}", words)]


def metres(match: re.Match[str]) -> float:
    """The distance that a match of a measured phrase states."""
    value = float(match["value"])
    return value / 100.0 if match["unit"].lower().startswith("c") else value


def stated_metres(text: str) -> float | None:
    """The one distance that a short text states, None for none or several."""
    found = list(re.finditer(_METRES, text, re.I))
    return metres(found[0]) if len(found) == 1 else None


def _predicate(match: re.Match[str]) -> Predicate:
    return next(kind for i, (kind, _) in enumerate(_WORDS) if match[f"r{i}"])


def _in_clause(clause: str) -> list[Claim]:
    found: list[Claim] = []
    for match in _CLAIM.finditer(clause):
        found += _pairs(match["s"], match, clause)
        end = match.end()
        while more := _MORE.match(clause, end):
            found += _pairs(match["s"], more, clause)
            end = more.end()
    if not found:
        for match in _TURNED.finditer(clause):
            found += _pairs(match["s"], match, clause, negated=False)
    return found + _distances(clause)


def _pairs(
    subjects: str, match: re.Match[str], clause: str, *, negated: bool | None = None
) -> list[Claim]:
    predicate = _predicate(match)
    no = bool(match["no"]) if negated is None else negated
    claims = []
    for a in numbers_in(subjects):
        for b in numbers_in(match["o"]):
            # Stored as "object is nearest to subject": the subject is whose neighbour is meant.
            ends = (b, a) if predicate is Predicate.NEAREST else (a, b)
            if a != b:
                relation = Relation(ends[0], predicate, ends[1], "", source="model")
                claims.append(Claim(relation, not no, clause))
    return claims


def _distances(clause: str) -> list[Claim]:
    for pattern in _APART:
        match = re.search(pattern, clause, re.I)
        if match:
            ends = numbers_in(match["s"]) + (
                numbers_in(match["o"]) if "o" in match.re.groupindex else []
            )
            if len(ends) != 2 or ends[0] == ends[1]:
                return []
            value = metres(match)
            relation = Relation(
                ends[0], Predicate.DISTANCE, ends[1], "", value, "m", source="model"
            )
            return [Claim(relation, not match["no"], clause)]
    found = []
    for match in _AWAY.finditer(clause):
        numbers = numbers_in(match["s"])
        if len(numbers) == 1:
            relation = Relation(
                numbers[0], Predicate.RANGE, None, "", metres(match), "m", source="model"
            )
            found.append(Claim(relation, not match["no"], clause))
    for match in _NEAR_ME.finditer(clause):
        numbers = numbers_in(match["s"] or match["t"])
        if len(numbers) == 1:
            relation = Relation(numbers[0], Predicate.NEAREST, None, "", source="model")
            found.append(Claim(relation, not match["no"], clause))
    return found
