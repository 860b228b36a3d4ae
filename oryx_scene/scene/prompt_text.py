"""The words of a prompt that are the same for every question: views and marks by name."""

from __future__ import annotations

from collections.abc import Sequence

from oryx_scene.records import Mark


def view_names(cameras: Sequence[str]) -> tuple[str, ...]:
    """Names by which the prompt calls the views: the camera, numbered where one camera recurs."""
    names: list[str] = []
    for index, camera in enumerate(cameras):
        if cameras.count(camera) > 1:
            names.append(f"{camera} {list(cameras[:index]).count(camera) + 1}")
        else:
            names.append(camera)
    return tuple(names)


def views_text(cameras: Sequence[str]) -> str:
    """One line that says what the pictures are."""
    names = view_names(cameras)
    if len(names) == 1:
        return f"One view: {names[0]}."
    return f"{len(names)} views of one scene: {', '.join(names)}."


def marks_text(marks: Sequence[Mark]) -> str:
    """One line that says what the drawn numbers mean, "" without marks."""
    if not marks:
        return ""
    listed = ", ".join(_named(mark) for mark in marks)
    return f"The same number on a red disc is the same object in every view. Marks: {listed}."


def _named(mark: Mark) -> str:
    return f"{mark.number} ({mark.label})" if mark.label else str(mark.number)
