"""Drills: many comparisons of two numbers in one row, in the words of the scratchpad.

Asked through whole scenes, a comparison is one token in eighty; here it is one in twelve, and costs
no picture. What is learnt is the last step of a scratchpad: "3 right -0.4; 5 right 0.3; left".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from oryx_scene.model.tokenizer import TextTokenizer
from oryx_scene.synth.questions import MEASURES, verdict

# Lowest and highest value of each measure, metres, as rooms have them.
SPANS = {"right": (-4.0, 4.0), "ahead": (0.2, 7.0), "up": (0.0, 2.2), "away": (0.1, 7.0)}
# Every second pair is close, where comparing is hard.
CLOSE_M = 0.8
NUMBERS = 8


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
    """One line, verdict last."""
    measure = str(rng.choice(MEASURES))
    low, high = SPANS[measure]
    first = round(float(rng.uniform(low, high)), 1)
    second = first
    while second == first:
        spread = CLOSE_M if rng.random() < 0.5 else high - low
        second = round(float(np.clip(first + rng.uniform(-spread, spread), low, high)), 1)
    a, b = (int(n) for n in rng.permutation(np.arange(1, NUMBERS + 1))[:2])
    return verdict(measure, (a, b), (first, second))


def make_drill(
    tokenizer: TextTokenizer, rng: np.random.Generator, rows: int = 16, each: int = 20
) -> Drill:
    """Rows of ``each`` comparisons."""
    ids: list[list[int]] = []
    where, wanted = [], []
    for _ in range(rows):
        row: list[int] = []
        for _ in range(each):
            line = tokenizer.encode_plain(one_comparison(rng))
            row += line
            where.append((len(ids), len(row) - 2))
            wanted.append(line[-1])
            row += tokenizer.encode_plain("\n")
        ids.append(row)
    longest = -(-max(map(len, ids)) // 16) * 16
    table = torch.zeros(rows, longest, dtype=torch.long)
    for index, row in enumerate(ids):
        table[index, : len(row)] = torch.tensor(row)
    flat = torch.tensor([row * longest + at for row, at in where])
    return Drill(table, flat, torch.tensor(wanted))
