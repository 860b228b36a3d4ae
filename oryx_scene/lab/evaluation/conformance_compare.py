"""One comparison with a golden value: equal, or within a limit that follows from the precision.

float32 has two fixed limits. For every other precision the limit of a stage is worked out from the
model itself: a margin times what rounding the weights to the precision changes there in float32
arithmetic. No limit comes from the cases. Knows arrays and numbers only; which stages there are is
`conformance`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# float32: the original's own two attention kernels differ by 2.6e-5 in logits; a weight matrix that
# is off by 0.1 % moves them by 1.6e-3 or more.
FEATURES = 2e-5
LOGITS = 3e-4
# Weights and, along the way, activations are rounded alike, so that twice the effect on the weights
# is what to expect; the rest is room for a case whose rounding falls badly.
MARGIN = 5.0
# A stage of which rounding alone changes more proves nothing; zeros differ by 1.
MOST = 0.5


@dataclass(frozen=True)
class Precision:
    """What a precision alone changes in one case, from which its limits follow.

    Shares are root mean squares of differences over those of the golden values: single values are
    noise in 8-bit mantissas.

    Attributes:
        eps: distance from 1 to the next number of the activations' dtype; not below what the order
            of float32 sums changes.
        rounded: by stage, what rounding the weights to that dtype changes.
    """

    eps: float
    rounded: Mapping[str, float] = field(default_factory=dict)

    def limit(self, stage: str) -> float:
        """Largest share of difference that the precision explains."""
        return min(MOST, MARGIN * max(self.eps, self.rounded.get(stage, 0.0)))


@dataclass(frozen=True)
class StageResult:
    """One comparison.

    Attributes:
        case, stage: what was compared.
        ok: within the limit.
        difference: in the measure of the precision; 0 for equal integers and bytes, else how many
            differ; inf for another shape.
        limit: largest difference allowed.
        detail: what differs, or why nothing was compared; "" if there is nothing to say.
        compared: False for what the case lacks or cannot be asked; it is said and no miss.
    """

    case: str
    stage: str
    ok: bool
    difference: float
    limit: float
    detail: str = ""
    compared: bool = True


class Comparer:
    """Compares stages of one case.

    Args:
        case: name for the results.
        precision: of the run; None is float32 with its fixed limits.
    """

    def __init__(self, case: str, precision: Precision | None = None) -> None:
        self._case = case
        self._precision = precision

    def said(self, stage: str, ok: bool, detail: str) -> StageResult:
        """A comparison that somebody else made."""
        return StageResult(self._case, stage, ok, 0.0 if ok else float("inf"), 0.0, detail)

    def left_out(self, stage: str, why: str) -> StageResult:
        """Something that could not be compared, and why."""
        return StageResult(self._case, stage, True, 0.0, 0.0, why, compared=False)

    def exact(self, stage: str, ours: Any, theirs: Any) -> StageResult:
        """Equal integers or bytes."""
        mine, other = np.asarray(ours), np.asarray(theirs)
        if mine.shape != other.shape:
            return self.said(stage, False, _shapes(mine.shape, other.shape))
        wrong = int((mine != other).sum())
        detail = f"{wrong} of {mine.size} values differ" if wrong else ""
        return StageResult(self._case, stage, wrong == 0, float(wrong), 0.0, detail)

    def within(self, stage: str, difference: float, limit: float, detail: str = "") -> StageResult:
        """A difference in a measure of its own; NaN is a miss."""
        return StageResult(self._case, stage, bool(difference <= limit), difference, limit, detail)

    def features(self, stage: str, ours: Tensor, theirs: NDArray[Any]) -> StageResult:
        """Features or embeddings."""
        scale = float(np.abs(theirs).max()) if theirs.size else 0.0
        return self._close(stage, ours, theirs, FEATURES * max(1e-12, scale))

    def logits(self, stage: str, ours: Tensor, theirs: NDArray[Any]) -> StageResult:
        """Logits or scores."""
        return self._close(stage, ours, theirs, LOGITS)

    def logit_error(self, stage: str, theirs: NDArray[Any]) -> float:
        """Most by which one logit of ``stage`` may be off, in units of the logits."""
        if self._precision is None:
            return LOGITS
        return self._precision.limit(stage) * float(np.sqrt((theirs.astype(float) ** 2).mean()))

    def _close(self, stage: str, ours: Tensor, theirs: NDArray[Any], limit: float) -> StageResult:
        mine = ours.detach().float().cpu().numpy()
        if mine.shape != theirs.shape:
            return self.said(stage, False, _shapes(mine.shape, theirs.shape))
        if self._precision is not None:
            limit = self._precision.limit(stage)
        if not mine.size:
            return StageResult(self._case, stage, True, 0.0, limit)
        off = mine.astype(np.float64) - theirs
        if self._precision is None:
            difference = float(np.abs(off).max())
        else:
            difference = float(np.sqrt((off**2).mean() / max(1e-24, float((theirs**2).mean()))))
        return self.within(stage, difference, limit)


def precision_of(dtype: torch.dtype) -> Precision:
    """A precision of which only the dtype of the activations is known yet."""
    return Precision(max(FEATURES, float(torch.finfo(dtype).eps)))


def _shapes(ours: tuple[int, ...], theirs: tuple[int, ...]) -> str:
    return f"shape {list(ours)}, golden {list(theirs)}"
