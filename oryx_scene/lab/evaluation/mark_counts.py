"""Counts of judged marks: sums over scenes, and the shares that follow from them.

Knows nothing of how they are counted (`mark_scores`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

# Upper ends of the classes of distance between two cameras, metres.
BASELINES_M = (0.25, 0.75, 1.5, 2.5, 4.0, 100.0)


@dataclass
class MarkCounts:
    """Sums over scenes.

    Attributes:
        scenes, views, marks, observations: how many.
        right, wrong: pairs; the precision of pairs.
        reached, missed: pairs of views that show an object well, with and without one number on it
            in both; the recall of pairs.
        by_baseline: the same four, by upper end of the distance between the two cameras, metres.
        on_object: observations centred on their mark's object.
        pure: marks all of whose observations lie on one object; ``purity`` sums their shares.
        objects: true objects that two views show well; ``found`` of them have a mark,
            ``fragments`` counts the marks on them.
        single_objects, single_found: objects that only one view shows well, and with a mark.
        cut, overlapping: discs cut by the border; pairs of discs that overlap.
        hidden_picture, hidden_object: sums over observations of the share of picture and of the own
            object under the disc.
        over_fifth: discs that hide more than a fifth of their own object.
        offsets_px, offsets_share: distance of each disc from the projected true middle of its
            object, pixels and share of the picture's diagonal.
        place_errors_m: distance of a mark's place from the true middle, where truth is known.
        left_out: reasons of the finder.
    """

    scenes: int = 0
    views: int = 0
    marks: int = 0
    observations: int = 0
    right: int = 0
    wrong: int = 0
    reached: int = 0
    missed: int = 0
    by_baseline: Counter[tuple[float, str]] = field(default_factory=Counter)
    on_object: int = 0
    pure: int = 0
    purity: float = 0.0
    objects: int = 0
    found: int = 0
    fragments: int = 0
    single_objects: int = 0
    single_found: int = 0
    cut: int = 0
    overlapping: int = 0
    hidden_picture: float = 0.0
    hidden_object: float = 0.0
    over_fifth: int = 0
    offsets_px: list[float] = field(default_factory=list)
    offsets_share: list[float] = field(default_factory=list)
    place_errors_m: list[float] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, other: MarkCounts) -> None:
        """Add the counts of other scenes."""
        for name, value in vars(other).items():
            own = getattr(self, name)
            if isinstance(own, Counter):
                own.update(value)
            elif isinstance(own, list):
                own.extend(value)
            else:
                setattr(self, name, own + value)

    def summary(self) -> dict[str, float | int]:
        """Shares and means; NaN where nothing was counted."""
        pairs = self.right + self.wrong
        precision = _ratio(self.right, pairs)
        recall = _ratio(self.reached, self.reached + self.missed)
        return {
            "scenes": self.scenes,
            "views": self.views,
            "marks": self.marks,
            "pairs": pairs,
            "pair_precision": precision,
            "pair_recall": recall,
            "pair_f1": _ratio(2 * precision * recall, precision + recall),
            "mark_on_object": _ratio(self.on_object, self.observations),
            "id_purity": _ratio(self.purity, self.marks),
            "fragments_per_object": _ratio(self.fragments, self.found),
            "objects_found": _ratio(self.found, self.objects),
            "single_view_objects_found": _ratio(self.single_found, self.single_objects),
            "reprojection_px_median": _median(self.offsets_px),
            "reprojection_diagonal_median": _median(self.offsets_share),
            "place_error_m_median": _median(self.place_errors_m),
            "hidden_picture_per_view": _ratio(self.hidden_picture, self.views),
            "hidden_object_mean": _ratio(self.hidden_object, self.observations),
            "discs_over_a_fifth": _ratio(self.over_fifth, self.observations),
            "discs_cut": self.cut,
            "discs_overlapping": self.overlapping,
        }

    def curve(self) -> list[dict[str, float | int]]:
        """Precision and recall of pairs by the distance between the two cameras."""
        rows: list[dict[str, float | int]] = []
        for end in BASELINES_M:
            right, wrong, reached, missed = (
                self.by_baseline[end, kind] for kind in ("right", "wrong", "reached", "missed")
            )
            rows.append(
                {
                    "up_to_m": end,
                    "pairs": right + wrong,
                    "pair_precision": _ratio(right, right + wrong),
                    "pair_recall": _ratio(reached, reached + missed),
                }
            )
        return rows


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")
