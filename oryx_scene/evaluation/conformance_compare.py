"""One comparison with a golden value: equal, or within a tolerance that depends on the dtype.

Knows arrays and numbers only; which stages there are is `conformance`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    """How far values may be off.

    Attributes:
        features: largest difference, as a share of the largest golden value.
        logits: largest difference, absolute.
        rms: if set, features and logits are compared by the root mean square of the difference
            over that of the golden values instead: in 8-bit mantissas single values are noise.
        greedy: whether generated ids must be equal.
    """

    features: float
    logits: float
    rms: float | None
    greedy: bool


# float32: the original's own two attention kernels differ by 2.6e-5 in logits; a weight matrix that
# is off by 0.1 % moves them by 1.6e-3 or more. The half precisions allow about three times what
# was seen on 40 random cases (0.025 and 0.0035); a missing newline or position moves far more.
TOLERANCES = {
    torch.float32: Tolerance(2e-5, 3e-4, None, True),
    torch.bfloat16: Tolerance(0.0, 0.0, 0.075, False),
    torch.float16: Tolerance(0.0, 0.0, 0.01, False),
}


@dataclass(frozen=True)
class StageResult:
    """One comparison.

    Attributes:
        case, stage: what was compared.
        ok: within the limit.
        difference: in the tolerance's measure; 0 for equal integers and bytes, else how many
            differ; inf for another shape.
        limit: largest difference allowed.
        detail: what differs, "" if nothing.
    """

    case: str
    stage: str
    ok: bool
    difference: float
    limit: float
    detail: str = ""


class Comparer:
    """Compares stages of one case.

    Args:
        case: name for the results.
        tolerance: of the model's dtype.
    """

    def __init__(self, case: str, tolerance: Tolerance) -> None:
        self._case = case
        self.tolerance = tolerance

    def said(self, stage: str, ok: bool, detail: str) -> StageResult:
        """A comparison that somebody else made."""
        return StageResult(self._case, stage, ok, 0.0 if ok else float("inf"), 0.0, detail)

    def exact(self, stage: str, ours: Any, theirs: Any) -> StageResult:
        """Equal integers or bytes."""
        mine, other = np.asarray(ours), np.asarray(theirs)
        if mine.shape != other.shape:
            return self.said(stage, False, _shapes(mine.shape, other.shape))
        wrong = int((mine != other).sum())
        detail = f"{wrong} of {mine.size} values differ" if wrong else ""
        return StageResult(self._case, stage, wrong == 0, float(wrong), 0.0, detail)

    def features(self, stage: str, ours: Tensor, theirs: NDArray[Any]) -> StageResult:
        """Features or embeddings."""
        scale = float(np.abs(theirs).max()) if theirs.size else 0.0
        return self._close(stage, ours, theirs, self.tolerance.features * max(1e-12, scale))

    def logits(self, stage: str, ours: Tensor, theirs: NDArray[Any]) -> StageResult:
        """Logits or scores."""
        return self._close(stage, ours, theirs, self.tolerance.logits)

    def _close(self, stage: str, ours: Tensor, theirs: NDArray[Any], limit: float) -> StageResult:
        mine = ours.detach().float().cpu().numpy()
        if mine.shape != theirs.shape:
            return self.said(stage, False, _shapes(mine.shape, theirs.shape))
        if self.tolerance.rms is not None:
            limit = self.tolerance.rms
        if not mine.size:
            return StageResult(self._case, stage, True, 0.0, limit)
        off = mine.astype(np.float64) - theirs
        if self.tolerance.rms is None:
            difference = float(np.abs(off).max())
        else:
            difference = float(np.sqrt((off**2).mean() / max(1e-24, float((theirs**2).mean()))))
        ok = bool(difference <= limit)  # False for NaN
        return StageResult(self._case, stage, ok, difference, limit)


def _shapes(ours: tuple[int, ...], theirs: tuple[int, ...]) -> str:
    return f"shape {list(ours)}, golden {list(theirs)}"
