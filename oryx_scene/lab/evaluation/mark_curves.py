"""How the marks get worse: precision and recall of pairs over noise, number of views and distance.

One step changes per curve. Noise is that of the condition "noisy" times a factor, so that factor 1
is depth noise of 1 % of z with poses 1 degree and 2 cm off and 5 % holes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oryx_scene.config import MarksConfig
from oryx_scene.errors import MissingExtraError
from oryx_scene.lab.evaluation.mark_counts import BASELINES_M, MarkCounts
from oryx_scene.lab.evaluation.mark_worlds import CONDITIONS, ROUGH, MarkCondition, scaled
from oryx_scene.lab.evaluation.marks import OnScene, run_condition

NOISE = (0.0, 0.5, 1.0, 2.0, 4.0)
VIEWS = (4, 8, 16)
# Name in the report -> condition whose worlds it shows.
WORLDS = {"things apart": "noisy", "touching clutter": "touching_noisy"}
STILL = {"true frames": "clean", "noisy frames": "noisy"}


@dataclass
class MarkCurves:
    """Counts along each curve; counts of the same point add up.

    Attributes:
        noise: (world, factor) -> counts.
        views: (frames, number of views) -> counts.
    """

    noise: dict[tuple[str, float], MarkCounts] = field(default_factory=dict)
    views: dict[tuple[str, int], MarkCounts] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For the JSON report: rows of the three curves."""
        return {
            "noise": [
                {"world": world, "factor": factor, **_shares(counts)}
                for (world, factor), counts in sorted(self.noise.items())
            ],
            "views": [
                {"frames": frames, "views": count, **_shares(counts)}
                for (frames, count), counts in sorted(
                    self.views.items(), key=lambda item: (list(STILL).index(item[0][0]), item[0][1])
                )
            ],
            "baseline": [
                {"frames": frames, **row}
                for frames, name in STILL.items()
                for row in self._by_baseline(frames, name)
            ],
        }

    def _by_baseline(self, frames: str, name: str) -> list[dict[str, float | int]]:
        """Pairs of all numbers of views, by the distance between the two cameras."""
        total = MarkCounts()
        for (key, _), counts in self.views.items():
            if key == frames:
                total.add(counts)
        return total.curve() if total.scenes else []


def _shares(counts: MarkCounts) -> dict[str, float | int]:
    found = counts.summary()
    kept = ("scenes", "pairs", "pair_precision", "pair_recall", "mark_on_object")
    return {name: found[name] for name in kept}


def noise_point(world: str, factor: float) -> MarkCondition:
    """The condition of one point of the noise curves; ``world`` is a key of ``WORLDS``."""
    return dataclasses.replace(CONDITIONS[WORLDS[world]], noise=scaled(ROUGH, factor))


def views_point(frames: str, count: int) -> MarkCondition:
    """The condition of one point of the curves over views; ``frames`` is a key of ``STILL``."""
    return dataclasses.replace(CONDITIONS[STILL[frames]], views=(count, count))


def measure_curves(
    scenes: Sequence[int],
    *,
    max_marks: int = MarksConfig.max_marks,
    size: tuple[int, int] = (240, 320),
    on_scene: OnScene | None = None,
) -> MarkCurves:
    """Measure all curves on the same scenes.

    Args:
        scenes: their indices.
        max_marks: K.
        size: (height, width) of the pictures.
        on_scene: called with each index and scene when it is done, once per point.
    """

    def counted(condition: MarkCondition) -> MarkCounts:
        return run_condition(
            condition,
            scenes,
            max_marks=max_marks,
            size=size,
            check_order=False,
            on_scene=on_scene,
        ).counts

    return MarkCurves(
        {
            (world, factor): counted(noise_point(world, factor))
            for world in WORLDS
            for factor in NOISE
        },
        {
            (frames, count): counted(views_point(frames, count))
            for frames in STILL
            for count in VIEWS
        },
    )


def points() -> int:
    """How many times :func:`measure_curves` goes through its scenes."""
    return len(WORLDS) * len(NOISE) + len(STILL) * len(VIEWS)


def draw_curves(report: dict[str, Any], picture: Path) -> None:
    """Draw the curves of :meth:`MarkCurves.as_dict`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError as err:
        raise MissingExtraError(
            "matplotlib", "train", needed_for="the picture of the curves", cause=str(err)
        ) from err
    panels = (
        ("noise", "world", "factor", "depth noise, % of z (x 1 deg, 2 cm, 5 % holes)"),
        ("views", "frames", "views", "views of a scene"),
        ("baseline", "frames", "up_to_m", "distance between two cameras, up to m"),
    )
    figure, axes = pyplot.subplots(1, len(panels), figsize=(12, 3.6), sharey=True)
    for axis, (curve, group, x, title) in zip(axes, panels, strict=True):
        names = dict.fromkeys(row[group] for row in report[curve])
        for colour, name in zip(("C0", "C1"), names, strict=False):
            rows = [row for row in report[curve] if row[group] == name]
            for key, style in (("pair_precision", "-"), ("pair_recall", "--")):
                ends = [_place(row[x]) for row in rows]
                axis.plot(
                    ends,
                    [row[key] for row in rows],
                    f"{style}o",
                    color=colour,
                    label=f"{name}: {key.removeprefix('pair_')}",
                )
        axis.set_xlabel(title)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="lower left")
    axes[0].set_ylabel("share of pairs")
    axes[0].set_ylim(0.0, 1.02)
    figure.tight_layout()
    figure.savefig(picture, dpi=100)
    pyplot.close(figure)


def _place(value: float) -> float:
    """The last class of distance has no end: drawn beside the one before."""
    return BASELINES_M[-2] + 1.5 if value == BASELINES_M[-1] else value
