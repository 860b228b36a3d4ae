"""Where the cameras of a folder or video were, and what a rig file says of them.

Poses come from files or from the rig's mounting; they are looked up as those of a bag are
(``geometry.tf_buffer``): interpolated between two stamps, never extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping

from oryx_scene.errors import TransformError
from oryx_scene.geometry.rig import RigCamera, rig_mountings
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.records import FloatArray, Intrinsics
from oryx_scene.sources.bags.assemble import (
    add_rig_transforms,
    choose_fixed_frame,
    unknown_rig_cameras,
)
from oryx_scene.sources.base import OpenOptions
from oryx_scene.sources.pose_file import Trajectory
from oryx_scene.warning import Warning


class CameraPoses:
    """Poses and the rig's word on the cameras of one source.

    Args:
        options: rig and fixed frame.
        trajectories: our name of every camera -> its poses over time, None without.
        base_trajectory: poses of the rig's base frame, where they are not one camera's.
        pose_files: whether frames have pose files of their own, read by the caller.
        advice: what gives a source of this kind its places.

    Attributes:
        fixed_frame: coordinate frame of all poses, "" where there are none.
        warnings: what is missing, and what of the rig is not used.
        mountings: optical frame -> (base frame, T_base_camera) of cameras that the rig places.
    """

    def __init__(
        self,
        options: OpenOptions,
        trajectories: Mapping[str, Trajectory | None],
        base_trajectory: Trajectory | None = None,
        *,
        pose_files: bool = False,
        advice: str = "add a pose file (docs/sources.md), or give a rig file (--rig)",
    ) -> None:
        self._options, self._advice = options, advice
        self._names = tuple(trajectories)
        self._transforms = TransformBuffer()
        self.warnings: list[Warning] = []
        self.mountings: dict[str, tuple[str, FloatArray]] = {}
        self.fixed_frame = self._fill(trajectories, base_trajectory, pose_files)
        self._say_unknown_rig_cameras()

    def rig_camera(self, name: str) -> RigCamera:
        """What the rig says of a camera; nothing where it does not know it."""
        rig = self._options.rig
        return (rig.cameras.get(name) if rig else None) or RigCamera()

    def frame_id(self, name: str) -> str:
        """Optical frame of a camera."""
        return self.rig_camera(name).frame_id or f"{name}_optical_frame"

    def at(self, name: str, stamp_ns: int, warnings: list[Warning]) -> FloatArray | None:
        """T_fixed_camera (4, 4) at a stamp; None with the reason where it is not known."""
        if not self.fixed_frame:
            return None
        try:
            return self._transforms.lookup(self.fixed_frame, self.frame_id(name), stamp_ns)
        except TransformError as err:
            warnings.append(Warning("no_pose", f"{err.message} No 3D places"))
            return None

    def rig_intrinsics(
        self, name: str, size: tuple[int, int], warnings: list[Warning]
    ) -> Intrinsics | None:
        """The rig's calibration of a camera where it fits the picture (height, width)."""
        found = self.rig_camera(name).intrinsics
        if found is None or (found.height, found.width) == size:
            return found
        text = (
            f"the rig's calibration is for {found.width}x{found.height}, the picture is "
            f"{size[1]}x{size[0]}: calibration left out"
        )
        warnings.append(Warning("calibration_of_other_size", text))
        return None

    def _fill(
        self,
        trajectories: Mapping[str, Trajectory | None],
        base_trajectory: Trajectory | None,
        pose_files: bool,
    ) -> str:
        fixed, rig = self._options.fixed_frame, self._options.rig
        frame_ids = {name: self.frame_id(name) for name in self._names}
        if base_trajectory is not None and rig is not None:
            self._add(base_trajectory, fixed, rig.base_frame)
            add_rig_transforms(rig, frame_ids, self._transforms)
            self.mountings = rig_mountings(rig, frame_ids)
            return fixed
        if base_trajectory is not None:
            text = "poses beside several cameras are those of the rig's base, and there is no rig"
            self.warnings.append(Warning("pose_file_unused", text, topic=base_trajectory.file.name))
        for name, trajectory in trajectories.items():
            if trajectory is not None:
                self._add(trajectory, fixed, frame_ids[name])
        if pose_files or any(trajectories.values()):
            self._say_unused_mounting()
            return fixed
        add_rig_transforms(rig, frame_ids, self._transforms)
        self.mountings = rig_mountings(rig, frame_ids)
        return self._choose(fixed, frame_ids)

    def _choose(self, fixed: str, frame_ids: Mapping[str, str]) -> str:
        if not self._transforms.known_frames():
            text = "nothing says where the pictures were taken: no 3D places"
            self.warnings.append(Warning("no_tf", text, advice=self._advice))
            return ""
        chosen, said = choose_fixed_frame(fixed, frame_ids, self._transforms, "the folder")
        if said is not None:
            self.warnings.append(said)
        return chosen

    def _add(self, trajectory: Trajectory, fixed: str, child: str) -> None:
        for stamp_ns, pose in zip(trajectory.stamps_ns, trajectory.poses, strict=True):
            if pose is not None:
                self._transforms.add(fixed, child, stamp_ns, pose)
        if trajectory.unusable:
            text = (
                f"{trajectory.unusable} of {len(trajectory.poses)} poses are no poses (not finite, "
                "or no rotation) and were left out"
            )
            self.warnings.append(Warning("pose_unusable", text, topic=trajectory.file.name))

    def _say_unused_mounting(self) -> None:
        mounted = [name for name in self._names if self.rig_camera(name).T_base_camera is not None]
        if mounted:
            text = "the poses are the camera's own: T_base_camera of the rig is not used"
            self.warnings.append(Warning("rig_mounting_unused", text, camera=mounted[0]))

    def _say_unknown_rig_cameras(self) -> None:
        self.warnings += unknown_rig_cameras(self._options.rig, self._names)
