"""The Open3D window: draws a step of a story, and changes it as keys are pressed.

The legacy ``VisualizerWithKeyCallback``: the newer ``O3DVisualizer`` ends the whole process where
it cannot open a window. ``controls`` decides what the keys do, ``billboards`` makes the labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from oryx_scene.errors import EngineError, OryxSceneError
from oryx_scene.records import FloatArray, RgbImage
from oryx_scene.view.billboards import NEAR_PLANE_M, hang, labels_of
from oryx_scene.view.captions import Caption
from oryx_scene.view.controls import KEYS, Look, press
from oryx_scene.view.open3d_backend import (
    load_open3d,
    pinhole_parameters,
    point_size_for,
    set_render_options,
    to_drawables,
)
from oryx_scene.view.shapes import SceneGeometry
from oryx_scene.view.snapshot import Snapshot
from oryx_scene.view.step import Step, StepSequence
from oryx_scene.view.viewpoint import Viewpoint, camera_names, free_look, make_viewpoint

_FAR_PLANE_M = 500.0
_IDLE_S = 0.01

Save = Callable[[RgbImage, Step], str]
Say = Callable[[str], None]


class SceneWindow:
    """One window on a story.

    Args:
        story: steps to look at; at least one.
        look: what is shown first.
        size: (height, width) of the window in pixels.
        save: keeps a picture (H, W, 3) of a step and returns its name, for the key "save".
        say: prints one line for the user.

    Raises:
        MissingExtraError, MissingLibraryError: Open3D cannot be loaded.
        EngineError: no window can be opened.
    """

    def __init__(
        self, story: StepSequence, *, look: Look, size: tuple[int, int], save: Save, say: Say
    ) -> None:
        self._o3d = load_open3d()
        self._story, self._save, self._say = story, save, say
        self.look = look
        self._open = True
        self._told = ""
        self._own_camera: int | None = None
        self._visualizer = self._o3d.visualization.VisualizerWithKeyCallback()
        height, width = size
        if not self._visualizer.create_window("oryx_scene", width, height):
            raise EngineError(
                "Open3D cannot open a window.",
                hint="is there a display? --png FILE draws without one",
            )
        for key in KEYS:
            self._visualizer.register_key_callback(key.code, partial(self._pressed, key.action))
        self._hung: list[Any] = []
        self._hung_at: FloatArray = np.zeros(0)
        self._step = _step_at(story, look.step)
        self._scene = self._step.geometry()
        self._show(self._named_viewpoint())

    def run(self) -> None:
        """Show the window until it is closed."""
        try:
            while self._open and self._visualizer.poll_events():
                self._hang()
                self._visualizer.update_renderer()
                time.sleep(_IDLE_S)
        finally:
            self._visualizer.destroy_window()

    # -- keys ----------------------------------------------------------------------------------

    def _pressed(self, action: str, _: Any) -> bool:
        if action == "quit":
            self._open = False
        elif action == "save":
            self._say(f"saved {self._save(self._picture(), self._step)}")
        else:
            self._change(action)
        return False

    def _change(self, action: str) -> None:
        before = self.look
        self.look = press(before, action, len(self._story), camera_names(self._scene))
        if self.look.step != before.step:
            self._step = _step_at(self._story, self.look.step)
            self._scene = self._step.geometry()
            self._own_camera = None
        if action.startswith(("viewpoint", "camera")):
            # Also where the name is the same: the mouse may have turned the scene since.
            self._show(self._named_viewpoint())
        elif self.look != before:
            self._show(self._viewpoint())

    def _picture(self) -> RgbImage:
        rgb = np.asarray(self._visualizer.capture_screen_float_buffer(True))
        return np.rint(rgb * 255.0).astype(np.uint8)

    # -- what is shown -------------------------------------------------------------------------

    def _drawn(self) -> SceneGeometry:
        return self._scene.only(self.look.layers).seen_from(self._own_camera)

    def _show(self, view: Viewpoint) -> None:
        """Draw the step's layers as seen from ``view``."""
        self._own_camera = view.own_camera
        scene = self._drawn()
        self._visualizer.clear_geometries()
        self._hung = []
        for item in to_drawables(self._o3d, scene):
            self._visualizer.add_geometry(item)
        point_size = point_size_for(scene, view)
        set_render_options(self._visualizer.get_render_option(), point_size)
        control = self._visualizer.get_view_control()
        control.set_constant_z_near(NEAR_PLANE_M)
        control.set_constant_z_far(_FAR_PLANE_M)
        parameters = pinhole_parameters(self._o3d, view)
        if not control.convert_from_pinhole_camera_parameters(parameters, True):
            raise EngineError(f"Open3D cannot look from viewpoint '{view.name}'.")
        self._hung_at = np.zeros(0)
        self._hang()
        self._tell()

    def _tell(self) -> None:
        """Print title, question and answer whenever they change: windows cannot be copied from."""
        caption = self._step.caption
        words = [self._step.title]
        words += [f"Q: {caption.question}", f"A: {caption.answer}"] if caption.question else []
        told = "  ".join(words)
        if told != self._told:
            self._told = told
            self._say(told)

    def _viewpoint(self) -> Viewpoint:
        """From where the window looks right now."""
        control = self._visualizer.get_view_control()
        found = control.convert_to_pinhole_camera_parameters()
        inside = found.intrinsic
        return Viewpoint(
            "window",
            np.array(inside.intrinsic_matrix),
            inside.height,
            inside.width,
            np.linalg.inv(np.array(found.extrinsic)),
            self._own_camera,
        )

    def _named_viewpoint(self) -> Viewpoint:
        now = self._viewpoint()
        if self._scene.is_empty:
            return free_look(now.height, now.width)
        return make_viewpoint(self.look.viewpoint, self._scene, now.height, now.width)

    def _hang(self) -> None:
        """Hang all labels where they belong, where that is not so already."""
        view = self._viewpoint()
        state = np.array([*view.T_fixed_view.ravel(), *view.K.ravel(), view.height, view.width])
        if np.array_equal(state, self._hung_at):
            return
        for item in self._hung:
            self._visualizer.remove_geometry(item, False)
        labels = labels_of(self._step, self._drawn(), self.look, view)
        self._hung = hang(self._o3d, view, labels)
        for item in self._hung:
            self._visualizer.add_geometry(item, False)
        self._hung_at = state


def _step_at(story: StepSequence, index: int) -> Step:
    """A step; one that only says what went wrong where it cannot be computed."""
    try:
        return story[index]
    except OryxSceneError as err:
        title = f"{index + 1} of {len(story)}"
        return Step(title, Snapshot(()), caption=Caption(warnings=(str(err),)))
