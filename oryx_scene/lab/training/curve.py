"""The learning curve of a run as a picture, from its log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from oryx_scene.errors import MissingExtraError


def read_log(path: Path) -> list[dict[str, object]]:
    """The lines of one stage's log."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def draw_curve(logs: list[Path], picture: Path) -> Path:
    """Draw loss and free-running accuracy of the stages one after the other.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError as err:
        raise MissingExtraError(
            "matplotlib", "train", needed_for="the learning curve", cause=str(err)
        ) from err
    figure, (losses, answers) = pyplot.subplots(2, 1, figsize=(11, 8), sharex=True)
    start = 0
    kinds: dict[str, list[tuple[int, float]]] = {}
    for log in logs:
        lines = read_log(log)
        for name in ("dense", "answers"):
            points = [(start + int(str(li["step"])), li[name]) for li in lines if name in li]
            if points:
                losses.plot(*zip(*points, strict=True), label=f"{log.parent.name}: {name}")
        for step, kind, share in _probed(lines):
            kinds.setdefault(kind, []).append((start + step, share))
        start += max((int(str(line["step"])) for line in lines), default=0)
    # One line per kind over all stages; ten colours would repeat among two dozen.
    colours = mpl.colormaps["turbo"]
    for index, (kind, marks) in enumerate(sorted(kinds.items())):
        colour, dash = colours(index / max(1, len(kinds) - 1)), ("-", "--", ":")[index % 3]
        answers.plot(*zip(*marks, strict=True), dash, marker=".", color=colour, label=kind)
    losses.set_ylabel("loss")
    losses.set_yscale("log")
    answers.set_ylabel("free-running accuracy")
    answers.set_xlabel("steps")
    for axis in (losses, answers):
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
    return picture


def _probed(lines: list[dict[str, object]]) -> Iterator[tuple[int, str, float]]:
    """(step, kind, share of right answers) of every look at free-running answers."""
    for line in lines:
        found = line.get("probe")
        if isinstance(found, dict):
            for kind, counted in found.items():
                right, asked = map(int, str(counted).split("/"))
                yield int(str(line["step"])), kind, right / max(1, asked)
