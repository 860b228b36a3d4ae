"""Drills: many comparisons of two numbers in one row, in the words of the scratchpad.

Asked through whole scenes, a comparison is one token in eighty; here it is one in twelve, and costs
no picture. What is learnt are the last steps of a scratchpad: "3 right -0.4; 5 right 0.3; left;
right no".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from oryx_scene.model.tokenizer import TextTokenizer
from oryx_scene.synth.questions import MEASURES, OPPOSITES, verdict

# Lowest and highest value of each measure, metres, as rooms have them.
SPANS = {"right": (-4.0, 4.0), "ahead": (0.2, 7.0), "at": (0.0, 2.2), "away": (0.1, 7.0)}
# Every second pair is close, where comparing is hard.
CLOSE_M = 0.8
NUMBERS = 8
# Words of a line that says what was asked; a line without that has three fewer.
LONG = 12


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


def one_comparison(rng: np.random.Generator) -> str:
    """One line with its verdict."""
    measure = str(rng.choice(MEASURES))
    low, high = SPANS[measure]
    first = round(float(rng.uniform(low, high)), 1)
    second = first
    while second == first:
        spread = CLOSE_M if rng.random() < 0.5 else high - low
        second = round(float(np.clip(first + rng.uniform(-spread, spread), low, high)), 1)
    a, b = (int(n) for n in rng.permutation(np.arange(1, NUMBERS + 1))[:2])
    asked = str(rng.choice(OPPOSITES[measure])) if measure in OPPOSITES else ""
    return verdict(measure, (a, b), (first, second), asked)


def make_drill(
    tokenizer: TextTokenizer, rng: np.random.Generator, rows: int = 16, each: int = 20
) -> Drill:
    """Rows of ``each`` comparisons."""
    ids: list[list[int]] = []
    where, wanted = [], []
    newline = tokenizer.encode_plain("\n")
    for _ in range(rows):
        row: list[int] = []
        for _ in range(each):
            line = tokenizer.encode_plain(one_comparison(rng))
            # The verdict, and whether it is what was asked: the fourth last and the last word.
            for at in (len(line) - 1,) if len(line) < LONG else (len(line) - 4, len(line) - 1):
                where.append((len(ids), len(row) + at - 1))
                wanted.append(line[at])
            row += line + newline
        ids.append(row)
    longest = -(-max(map(len, ids)) // 16) * 16
    table = torch.zeros(rows, longest, dtype=torch.long)
    for index, row in enumerate(ids):
        table[index, : len(row)] = torch.tensor(row)
    flat = torch.tensor([row * longest + at for row, at in where])
    return Drill(table, flat, torch.tensor(wanted))
