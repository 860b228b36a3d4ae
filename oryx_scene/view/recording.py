"""Moments of a recording as steps to look at: views, marks and relations, no model, no question.

A step is computed when it is asked for, and the last one is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from oryx_scene.config import PipelineConfig
from oryx_scene.scene.frame_selection import CameraPath, Progress, frames_at
from oryx_scene.scene.freeze import NO_MODEL, Scene, freeze_scene
from oryx_scene.sources.base import FrameSource
from oryx_scene.view.captions import Caption, warning_lines
from oryx_scene.view.snapshot import take_snapshot
from oryx_scene.view.step import Step, left_out_line


class RecordingStory:
    """A ``view.step.Story`` of a recording.

    Args:
        source: the recording.
        moments_ns: capture times to look at, in the source's own clock.
        config: how views are chosen and marked.
        voxel_m: of the fused cloud.
        progress: wraps the frames that are read.
    """

    def __init__(
        self,
        source: FrameSource,
        moments_ns: Sequence[int],
        config: PipelineConfig,
        *,
        voxel_m: float = 0.02,
        progress: Progress | None = None,
    ) -> None:
        self._source = source
        self._moments_ns = tuple(moments_ns)
        self._config = config
        self._voxel_m = voxel_m
        self._progress = progress
        self._path = CameraPath(source)
        self._first_ns = min((stub.stamp_ns for stub in source.stubs()), default=0)
        self._last: tuple[int, Step] | None = None

    def __len__(self) -> int:
        return len(self._moments_ns)

    def __getitem__(self, index: int) -> Step:
        """The step at ``index``.

        Raises:
            NoFramesError, StaleFramesError, BudgetError: nothing can be shown of that moment.
        """
        if self._last is None or self._last[0] != index:
            self._last = (index, self._step(index))
        return self._last[1]

    def _step(self, index: int) -> Step:
        at_ns = self._moments_ns[index]
        found = frames_at(self._source, at_ns, self._config.views, self._progress)
        scene = freeze_scene(
            found.frames,
            at_ns,
            self._config,
            NO_MODEL,
            warnings=(*self._source.warnings, *found.warnings),
            synthetic=self._source.synthetic,
            choice=found.choice,
        )
        frames = scene.views.frames
        newest = max(frames, key=lambda frame: frame.stamp_ns)
        path = self._path.until(newest.camera, at_ns)
        return Step(
            title=self._title(index),
            snapshot=take_snapshot(frames, path=path, voxel_m=self._voxel_m),
            marks=scene.marks.marks,
            relations=scene.marks.relations,
            caption=scene_caption(scene),
        )

    def _title(self, index: int) -> str:
        at_s = (self._moments_ns[index] - self._first_ns) / 1e9
        place = f"moment {index + 1} of {len(self)}, " if len(self) > 1 else ""
        return f"{place}at {at_s:.2f} s"


def scene_caption(scene: Scene) -> Caption:
    """Marks, ages and warnings of a scene that nobody has asked about, in words."""
    ages = ", ".join(f"{item.camera} {item.age_s:.2f} s" for item in scene.evidence)
    marks = scene.marks
    left_out = ", ".join(f"{count} {why}" for why, count in marks.left_out.items())
    found = f"{len(marks.marks)} marks by route '{marks.route}'"
    names = [item.camera for item in scene.evidence]
    by_view = left_out_line(names, marks.left_out_by_view)
    return Caption(
        details=(
            f"evidence ages: {ages}",
            found + (f"; left out: {left_out}" if left_out else ""),
            *([by_view] if by_view else []),
        ),
        warnings=warning_lines(scene.warnings),
    )
