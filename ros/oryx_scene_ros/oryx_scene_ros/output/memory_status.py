"""What /diagnostics says of the robot's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus

from oryx_scene_ros.output.diagnostics import OK, WARN, status

if TYPE_CHECKING:
    from oryx_scene_ros.base import NodeBase
    from oryx_scene_ros.parameters.settings import NodeSettings


class MemoryReport:
    """Remembers how many frames were dropped until the last report: what is new is said.

    Args:
        node: whose memory it is; the report is among its entries.
    """

    def __init__(self, node: NodeBase) -> None:
        self._node, self._dropped = node, 0
        node.entries.append(self.status)

    def status(self, settings: NodeSettings) -> DiagnosticStatus | None:
        """For /diagnostics; None without a memory."""
        memory, intake = self._node.memory, self._node.memory_intake
        if memory is None:
            return None
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
