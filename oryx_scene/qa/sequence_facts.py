"""Facts about several views: which marks they show, and what came and went between them.

Each word stands right after the number of its mark, as in all facts.
"""

from __future__ import annotations

from collections.abc import Sequence

from oryx_scene.records import Changes, Mark


def change_facts(changes: Changes) -> str:
    """Which marks came or went between the views."""
    told = dict.fromkeys(changes.gone, "gone") | dict.fromkeys(changes.new, "new")
    listed = "; ".join(f"{number} {told[number]}" for number in sorted(told)) or "none"
    return f"Measured changes: {listed}."


def sighting_facts(marks: Sequence[Mark], named: Sequence[tuple[int, str]]) -> str:
    """Which marks the named views show; of several views, first what only one of them shows.

    Args:
        marks: of the scene.
        named: (index, name) of the views.
    """
    if not named:
        return ""
    heading = " and ".join(name for _, name in named)
    seen = {
        mark.number: [
            name for index, name in named if any(o.view == index for o in mark.observations)
        ]
        for mark in marks
    }
    shown = {number: names for number, names in seen.items() if names}
    if len(named) == 1:
        listed = "; ".join(map(str, shown))
    else:
        order = sorted(shown, key=lambda number: (len(shown[number]) > 1, number))
        listed = "; ".join(f"{n} {_where(shown[n], len(named))}" for n in order)
    return f"Seen in {heading}: {listed or 'none'}."


def _where(names: Sequence[str], of: int) -> str:
    if len(names) == of:
        return "in both" if of == 2 else "in all"
    return f"{'only ' if len(names) == 1 else ''}in {' and '.join(names)}"
