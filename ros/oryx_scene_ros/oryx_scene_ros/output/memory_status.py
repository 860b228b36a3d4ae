"""What /diagnostics says of the robot's memory."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from oryx_scene_ros.intake.memory_intake import MemoryIntake
from oryx_scene_ros.intake.memory_writer import MemoryWriter
from oryx_scene_ros.output.diagnostics import OK, WARN, status


class MemoryReport:
    """Remembers how many frames were dropped until the last report: what is new is said."""

    def __init__(self) -> None:
        self._dropped = 0

    def status(self, memory: MemoryWriter, intake: MemoryIntake | None) -> DiagnosticStatus:
        """One status of the memory."""
        dropped = memory.counts["dropped"]
        values: dict[str, object] = {
            "folder": memory.folder,
            "frames_total": memory.counts["frames"],
            "dropped_total": dropped,
            "waiting": memory.waiting,
            "not_localised_total": "" if intake is None else intake.not_localised,
            "mib": f"{memory.size_bytes / 2**20:.1f}",
        }
        said = ""
        if intake is not None and memory.problem:
            said = f"nothing is recorded: {memory.problem}"
        elif dropped > self._dropped:
            said = f"{dropped - self._dropped} frames dropped: more come than can be recorded"
        self._dropped = dropped
        return status("memory", WARN if said else OK, said, values)
