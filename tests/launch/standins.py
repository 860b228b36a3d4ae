"""Stand-ins for the launch system, which is not on PyPI: whatever is called says how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "ros" / "oryx_scene_ros"


@dataclass
class Said:
    """Any action or substitution: what it was made with."""

    kind: str
    positional: tuple[Any, ...]
    named: dict[str, Any] = field(default_factory=dict)

    def perform(self, context: dict[str, str]) -> str:
        """The text of a substitution."""
        assert self.kind == "LaunchConfiguration"
        return context[self.positional[0]]


class Recorder:
    """A module whose every name records how it is called."""

    def __init__(self, made: list[Said]) -> None:
        self._made = made

    def __getattr__(self, kind: str) -> Any:
        if kind.startswith("__"):
            raise AttributeError(kind)

        def make(*positional: Any, **named: Any) -> Said:
            self._made.append(Said(kind, positional, named))
            return self._made[-1]

        return make
