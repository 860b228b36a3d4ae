"""Rows of a measurement, as a table for people and as one JSON line for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from oryx_scene.lab.bench.timing import Times


@dataclass(frozen=True)
class Row:
    """One measured number beside what it is compared with.

    Attributes:
        what: the thing that was measured.
        value: the number in ``unit``.
        unit: e.g. "ms", "tok/s", "us/patch".
        ratio: the number over (or under) ``against``; NaN where nothing is compared.
        against: name of the limit or baseline, measured in the same run.
        goal: e.g. ">= 1.5", "" where the row is information.
        times: the calls behind it.
    """

    what: str
    value: float
    unit: str
    ratio: float = math.nan
    against: str = ""
    goal: str = ""
    times: Times | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is kept; None without a goal."""
        if not self.goal:
            return None
        sign, number = self.goal.split()
        compared = self.value if math.isnan(self.ratio) else self.ratio
        return compared >= float(number) if sign == ">=" else compared <= float(number)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is not known is left out."""
        found: dict[str, Any] = {"what": self.what, "value": self.value, "unit": self.unit}
        if not math.isnan(self.ratio):
            found |= {"ratio": self.ratio, "against": self.against}
        if self.goal:
            found |= {"goal": self.goal, "met": self.met}
        if self.times is not None:
            found |= {
                "first_s": self.times.first_s,
                "median_s": self.times.median,
                "p10_s": self.times.quantile(0.1),
                "p90_s": self.times.quantile(0.9),
                "rounds": len(self.times.seconds),
            }
        return found


def table(rows: list[Row]) -> str:
    """The rows under a header, columns aligned."""
    lines = [("what", "value", "p10 - p90 ms", "first ms", "ratio", "to", "goal")]
    lines += [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, str, str, str, str, str, str]:
    spread = first = ""
    if row.times is not None:
        low, high = row.times.quantile(0.1), row.times.quantile(0.9)
        spread, first = f"{1e3 * low:.4g} - {1e3 * high:.4g}", f"{1e3 * row.times.first_s:.4g}"
    ratio = "" if math.isnan(row.ratio) else f"{row.ratio:.3g}x"
    goal = f"{row.goal}: {'met' if row.met else 'MISSED'}" if row.goal else ""
    value = f"{row.value:.4g} {row.unit}".strip()
    return (row.what, value, spread, first, ratio, row.against, goal)
