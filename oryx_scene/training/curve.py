"""The learning curve of a run as a picture, from its log."""

from __future__ import annotations

import json
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
    figure, (losses, answers) = pyplot.subplots(2, 1, figsize=(8, 6), sharex=True)
    start = 0
    for log in logs:
        lines = read_log(log)
        for name, axis in (("dense", losses), ("answers", losses)):
            points = [(start + int(str(li["step"])), li[name]) for li in lines if name in li]
            if points:
                axis.plot(*zip(*points, strict=True), label=f"{log.parent.name}: {name}")
        kinds: dict[str, list[tuple[int, float]]] = {}
        for line in lines:
            found = line.get("probe")
            if isinstance(found, dict):
                for kind, counted in found.items():
                    right, asked = map(int, str(counted).split("/"))
                    kinds.setdefault(kind, []).append(
                        (start + int(str(line["step"])), right / max(1, asked))
                    )
        for kind, marks in sorted(kinds.items()):
            answers.plot(*zip(*marks, strict=True), marker=".", label=kind)
        start += max((int(str(line["step"])) for line in lines), default=0)
    losses.set_ylabel("loss")
    losses.set_yscale("log")
    answers.set_ylabel("free-running accuracy")
    answers.set_xlabel("steps")
    for axis in (losses, answers):
        axis.legend(fontsize=6, ncols=3)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
    return picture
