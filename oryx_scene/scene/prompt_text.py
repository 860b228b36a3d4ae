"""The words of a prompt that are the same for every question: views and marks by name.

More than `SEQUENCE_VIEWS` views are a sequence: told by number and time, chunk by chunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from oryx_scene.records import Frame, Mark

# More views are no list of names any more but a sequence, read in chunks of so many frames.
SEQUENCE_VIEWS = 64


def view_names(cameras: Sequence[str]) -> tuple[str, ...]:
    """Names by which the prompt calls the views: the camera, numbered where one camera recurs."""
    total, so_far = Counter(cameras), Counter[str]()
    names: list[str] = []
    for camera in cameras:
        so_far[camera] += 1
        names.append(f"{camera} {so_far[camera]}" if total[camera] > 1 else camera)
    return tuple(names)


def views_text(cameras: Sequence[str]) -> str:
    """One line that says what the pictures are."""
    if len(cameras) > SEQUENCE_VIEWS:
        return f"{len(cameras)} frames of one scene, numbered from 1."
    names = view_names(cameras)
    if len(names) == 1:
        return f"One view: {names[0]}."
    return f"{len(names)} views of one scene: {', '.join(names)}."


def chunk_text(frames: Sequence[Frame], chunk: Sequence[int]) -> str:
    """Numbers and times of the frames that follow, "" where all views are told by name.

    Args:
        frames: of the whole scene, in the order the model sees them.
        chunk: indices of consecutive frames.
    """
    if len(frames) <= SEQUENCE_VIEWS:
        return ""
    start_ns = min(frame.stamp_ns for frame in frames)
    first, last = (
        f"{index + 1} at {(frames[index].stamp_ns - start_ns) / 1e9:.1f} s"
        for index in (chunk[0], chunk[-1])
    )
    cameras = dict.fromkeys(frame.camera for frame in frames)
    own = dict.fromkeys(frames[index].camera for index in chunk)
    of = f" of {', '.join(own)}" if len(cameras) > 1 else ""
    return f"Frames{of} {first} to {last}:\n"


def marks_text(marks: Sequence[Mark]) -> str:
    """One line that says what the drawn numbers mean, "" without marks."""
    if not marks:
        return ""
    listed = ", ".join(_named(mark) for mark in marks)
    return f"The same number on a red disc is the same object in every view. Marks: {listed}."


def _named(mark: Mark) -> str:
    return f"{mark.number} ({mark.label})" if mark.label else str(mark.number)
