"""Drills: many comparisons of two numbers, in the words of the scratchpad.

Asked through whole scenes, a comparison is one token in eighty; here it is one in ten, and costs
no picture. What is learnt is to look values up and to end a scratchpad: "right 3 -0.4; 5 0.3; left;
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


def make_drill(tokenizer: TextTokenizer, rng: np.random.Generator, rows: int = 128) -> Drill:
    """One comparison a row; to be learnt are the two values, the verdict and yes or no.

    Several in one row would tell the same mark several values.
    """
    ids: list[list[int]] = []
    where, wanted = [], []
    for _ in range(rows):
        facts, compared = one_comparison(rng)
        line = tokenizer.encode_plain(f" {compared}")
        # Between facts and scratchpad a question names the marks: not what follows there is meant.
        a, b = compared.split()[1], compared.split()[3]
        row = tokenizer.encode_plain(f"{facts} mark {a} of mark {b}?")
        # measure mark VALUE ; mark VALUE ; VERDICT (; asked YES)
        for at in (2, 5, 7, 10)[: 3 if len(line) < LONG else 4]:
            where.append((len(ids), len(row) + at - 1))
            wanted.append(line[at])
        ids.append(row + line)
    longest = -(-max(map(len, ids)) // 8) * 8
    table = torch.zeros(rows, longest, dtype=torch.long)
    for index, row in enumerate(ids):
        table[index, : len(row)] = torch.tensor(row)
    flat = torch.tensor([row * longest + at for row, at in where])
    return Drill(table, flat, torch.tensor(wanted))
