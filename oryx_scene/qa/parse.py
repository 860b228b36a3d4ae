"""Reading the model's text back: scratchpad, marks that it names, verdict, choice.

A bare number is taken for a mark only where it cannot be a measure or a count: after "mark" or
"#", or where the whole answer is a list of numbers. What is not said is not guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from oryx_scene.model.api import Generation
from oryx_scene.warning import Warning

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"

# No measure, no decimal: "objects 3 m away" names no mark.
_NUMBER = r"#?\d{1,3}(?!\d|\.\d|\s*(?:[cm]?m|met\w*)\b)"
_LIST_ONLY = re.compile(r"^\W*\d{1,3}(?:\s*(?:,|;|and|&|\s)\s*\d{1,3})*\W*$", re.IGNORECASE)
_NAMED = re.compile(
    rf"(?:\b(?:marks?|objects?|numbers?|discs?)\s*|(?=#))"
    rf"({_NUMBER}(?:\s*(?:,\s*and|,|and|&|or)\s*{_NUMBER})*)",
    re.IGNORECASE,
)
_YES = re.compile(r"^\W*(yes|yeah|correct|true)\b", re.IGNORECASE)
_NO = re.compile(r"^\W*(no|not|none|false|incorrect)\b", re.IGNORECASE)
_UNSURE = re.compile(
    r"\b(unsure|uncertain|cannot (?:tell|say|see|determine)|can't (?:tell|say)|not sure|unclear)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ParsedAnswer:
    """What was read from the model's text.

    Attributes:
        text: without the scratchpad.
        scratchpad: the working before the answer, without its marks, "" if there was none.
        marks: numbers that the text names and the scene has, in order of first naming.
        unknown_marks: numbers named as marks that the scene does not have.
        verdict: "yes", "no", "unsure" or "" (only for yes/no questions).
        choice: index into the choices, -1 if none fits.
        json: compact JSON text of format "json", "" if the text holds none.
        fields: what other formats read from the text, by name.
        statement: what the answer states, where its text alone is no sentence; it is compared with
            what was measured in the text's place.
        confidence: 0..1 of a scored answer, NaN where nothing was scored.
        scores: option -> probability of a scored answer.
        warnings: what did not fit the asked format.
        generation: the record of the model's call.
    """

    text: str
    scratchpad: str = ""
    marks: tuple[int, ...] = ()
    unknown_marks: tuple[int, ...] = ()
    verdict: str = ""
    choice: int = -1
    json: str = ""
    fields: dict[str, float | int | str] = field(default_factory=dict)
    statement: str = ""
    confidence: float = float("nan")
    scores: dict[str, float] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()
    generation: Generation | None = None


def split_scratchpad(raw: str) -> tuple[str, str]:
    """(text, scratchpad) of ``raw``: all before the last closing mark is working, opened or not.

    Some models leave the opening mark out. An opened working that was not closed is working too.
    """
    before, closed, after = raw.rpartition(THINK_CLOSE)
    text, opened, begun = after.partition(THINK_OPEN)
    parts = re.split(f"{THINK_OPEN}|{THINK_CLOSE}", f"{before}{closed}{opened}{begun}")
    return text.strip(), "\n".join(part.strip() for part in parts if part.strip())


def working_of(raw: str) -> tuple[str, bool]:
    """What ``raw`` says before its answer begins, and whether the scratchpad was closed.

    The blank between scratchpad and answer belongs to the working, so that an answer scored after
    it goes on as the model itself would. A scratchpad that was cut off is closed; without one the
    working is empty.
    """
    before, closed, after = raw.rpartition(THINK_CLOSE)
    if THINK_OPEN in after:
        return raw + THINK_CLOSE, False
    blank = after[: len(after) - len(after.lstrip())] if closed else ""
    return before + closed + blank, True


def lead_in(raw: str, choices: Iterable[str]) -> str | None:
    """What ``raw`` says after its working up to the first of ``choices``; None without one.

    "Mark 3 is red." leads in to "red" with "Mark 3 is ".
    """
    working, _ = working_of(raw)
    answer = raw[len(working) :]
    found = [
        match.start()
        for choice in choices
        if (match := re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", answer, re.IGNORECASE))
    ]
    return answer[: min(found)] if found else None


def named_numbers(text: str) -> tuple[int, ...]:
    """Numbers that ``text`` uses as marks, in order of first naming."""
    if _LIST_ONLY.match(text):
        found = re.findall(r"\d{1,3}", text)
    else:
        found = [n for group in _NAMED.findall(text) for n in re.findall(r"\d{1,3}", group)]
    return tuple(dict.fromkeys(int(number) for number in found))


def read_verdict(text: str) -> str:
    """ "yes", "no" or "unsure" from how ``text`` begins, "" where it says none of them."""
    if _UNSURE.search(text):
        return "unsure"
    if _YES.match(text):
        return "yes"
    return "no" if _NO.match(text) else ""


def read_choice(text: str, choices: Iterable[str]) -> int:
    """Index of the one choice that ``text`` names, -1 where none or several fit."""
    lowered = text.lower()
    fits = [
        (index, choice)
        for index, choice in enumerate(choices)
        if re.search(rf"(?<!\w){re.escape(choice.lower())}(?!\w)", lowered)
    ]
    # "dark red" also holds "red": the longer choice is meant where it contains the others.
    fits = [
        (index, choice)
        for index, choice in fits
        if not any(choice.lower() in other.lower() and choice != other for _, other in fits)
    ]
    return fits[0][0] if len(fits) == 1 else -1


def read_json(text: str) -> str:
    """The first JSON value in ``text`` as compact JSON, "" if there is none.

    Where the text begins as JSON and breaks off, no inner piece of it is taken for the answer.
    """
    decoder = json.JSONDecoder()
    begun = text.lstrip()[:1] in ("{", "[")
    for match in re.finditer(r"[\[{]", text):
        try:
            value, _ = decoder.raw_decode(text, match.start())
        except ValueError:
            if begun:
                return ""
            continue
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return ""


def parse_text(raw: str, known_marks: Iterable[int]) -> ParsedAnswer:
    """What the model's raw text says in every format: answer, working and marks.

    Args:
        raw: as generated.
        known_marks: numbers of the marks that the scene has.
    """
    text, scratchpad = split_scratchpad(raw)
    known = set(known_marks)
    named = named_numbers(text)
    unknown = tuple(number for number in named if number not in known)
    warnings: list[Warning] = []
    if scratchpad and not text and not raw.rstrip().endswith(THINK_CLOSE):
        said = "the answer ended inside its scratchpad; there is no verdict"
        warnings.append(Warning("working_cut_off", said))
    elif not text:
        said = "the answer is empty after its working" if scratchpad else "the answer is empty"
        warnings.append(Warning("answer_empty", said))
    if unknown:
        listed = ", ".join(map(str, unknown))
        said = f"the answer names marks that the scene does not have: {listed}"
        warnings.append(Warning("unknown_mark", said))
    marks = tuple(number for number in named if number in known)
    return ParsedAnswer(text, scratchpad, marks, unknown, warnings=tuple(warnings))
