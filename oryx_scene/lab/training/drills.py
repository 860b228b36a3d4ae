"""Drills: many comparisons and searches in few words, in those of the scratchpad.

Asked through whole scenes, a verdict is one token in eighty; here it is one in ten, and costs no
picture. What is learnt is to look values up, to see whether a thing is what was sought, and to end
a scratchpad: "right 3 -0.4; 5 0.3; left; right no".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from oryx_scene.lab.synth.question_types import MEASURES, OPPOSITES, verdict
from oryx_scene.lab.synth.words import COLOURS, SHAPES
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer

# Lowest and highest value of each measure, metres, as rooms have them.
SPANS = {"right": (-4.0, 4.0), "ahead": (0.2, 7.0), "at": (0.0, 2.2), "away": (0.1, 7.0)}
# Every second pair is close, where comparing is hard.
CLOSE_M = 0.8
NUMBERS = 8
# Words between what is told and what is asked, at most.
FILLERS = 12
FILLER_WORDS = (
    "from",
    "the",
    "front",
    "left",
    "camera",
    "view",
    "seen",
    "you",
    "is",
    "there",
    "to",
)
# Words of a line that says what was asked; a line without that has three fewer.
LONG = 11


@dataclass(frozen=True, eq=False)
class Drill:
    """Rows of comparisons.

    Attributes:
        ids: (rows, length) token ids.
        where: flat positions whose next token is a verdict.
        wanted: those verdicts.
    """

    ids: Tensor
    where: Tensor
    wanted: Tensor


def one_comparison(rng: np.random.Generator) -> tuple[str, str]:
    """Measured values of some marks in the words of the facts, and a comparison of two of them."""
    measure = str(rng.choice(MEASURES))
    low, high = SPANS[measure]
    marks = rng.permutation(np.arange(1, NUMBERS + 1))[: int(rng.integers(2, 5))].tolist()
    values = [round(float(rng.uniform(low, high)), 1)]
    while len(values) < len(marks):
        spread = CLOSE_M if rng.random() < 0.5 else high - low
        value = round(float(np.clip(values[0] + rng.uniform(-spread, spread), low, high)), 1)
        if value not in values:
            values.append(value)
    facts = "; ".join(f"{n} {v + 0.0:.1f}" for n, v in sorted(zip(marks, values, strict=True)))
    i, j = rng.permutation(len(marks))[:2].tolist()
    asked = str(rng.choice(OPPOSITES[measure])) if measure in OPPOSITES else ""
    return f" {facts}.", verdict(measure, (marks[i], marks[j]), (values[i], values[j]), asked)


def one_search(rng: np.random.Generator) -> tuple[str, list[tuple[str, str]]]:
    """A search or a count among given things: the question, and (attribute, what is said of it)."""
    colour, shape = str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))
    by_colour, by_shape = [(True, True), (True, True), (True, False), (False, True)][
        int(rng.integers(4))
    ]
    count = bool(rng.random() < 0.4)
    said, total = [], 0
    for number in range(1, int(rng.integers(2, NUMBERS + 1)) + 1):
        # Half of the things share something with what is sought.
        one = colour if rng.random() < 0.4 else str(rng.choice(list(COLOURS)))
        two = shape if rng.random() < 0.4 else str(rng.choice(SHAPES))
        fits = (one == colour or not by_colour) and (two == shape or not by_shape)
        total += fits
        tally = f" {total}" if count else ""
        if by_colour:
            last = not by_shape or one != colour
            said.append((f" {number} {one}", f" {_yes(one == colour)}{tally if last else ''}"))
        if by_shape and (one == colour or not by_colour):
            said.append((f" {number} {two}", f" {_yes(two == shape)}{tally}"))
        if fits and not count:
            break
    sought = f"{colour if by_colour else ''} {shape if by_shape else 'object'}".strip()
    plural = sought + ("es" if sought.endswith("x") else "s")
    return f"How many {plural} are there?" if count else f"Is there a {sought}?", said


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def filler(rng: np.random.Generator) -> str:
    """Some words without sense: what is looked up must be found wherever it stands."""
    count = int(rng.integers(FILLERS + 1)) if rng.random() < 0.7 else 0
    return "".join(f" {rng.choice(FILLER_WORDS)}" for _ in range(count))


def make_drill(tokenizer: TextTokenizer, rng: np.random.Generator, rows: int = 128) -> Drill:
    """Two comparisons to every search; what is learnt are values that are looked up, and verdicts.

    One in a row: several would tell the same mark several values.
    """
    made = [
        _search_row(tokenizer, rng) if index % 3 == 2 else _comparison_row(tokenizer, rng)
        for index in range(rows)
    ]
    longest = -(-max(len(row) for row, _ in made) // 8) * 8
    table = torch.zeros(rows, longest, dtype=torch.long)
    where, wanted = [], []
    for index, (row, learnt) in enumerate(made):
        table[index, : len(row)] = torch.tensor(row)
        where += [index * longest + at - 1 for at in learnt]
        wanted += [row[at] for at in learnt]
    return Drill(table, torch.tensor(where), torch.tensor(wanted))


def _comparison_row(
    tokenizer: TextTokenizer, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    facts, compared = one_comparison(rng)
    line = tokenizer.encode_plain(f" {compared}")
    # Between facts and scratchpad a question names the marks: not what follows there is meant.
    a, b = compared.split()[1], compared.split()[3]
    row = tokenizer.encode_plain(
        f"{filler(rng)}{facts}{filler(rng)} mark {a} of mark {b}?{filler(rng)}"
    )
    # measure mark VALUE ; mark VALUE ; VERDICT (; asked YES)
    learnt = [len(row) + at for at in (2, 5, 7, 10)[: 3 if len(line) < LONG else 4]]
    return row + line, learnt


def _search_row(tokenizer: TextTokenizer, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    question, said = one_search(rng)
    row = tokenizer.encode_plain(f"{question}{filler(rng)} ;")
    learnt: list[int] = []
    for index, (shown, judged) in enumerate(said):
        thing = tokenizer.encode_plain(f"{';' if index else ''}{shown}")
        if index:  # whether the same mark goes on, or the next one
            learnt.append(len(row) + 1)
        row += thing
        told = tokenizer.encode_plain(judged)
        learnt += range(len(row), len(row) + len(told))
        row += told
    return row, learnt
