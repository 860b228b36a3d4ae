"""Labels for a renderer that has no text: small pictures that hang just before the viewer.

Each one covers exactly the pixels where its place in space projects to, so digits are as crisp as
in headless pictures; they must be hung again when the viewpoint has moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from oryx_scene.records import RgbImage
from oryx_scene.view.captions import caption_panel, list_picture, text_picture
from oryx_scene.view.controls import Look, help_lines
from oryx_scene.view.open3d_backend import textured_mesh
from oryx_scene.view.overlay import (
    NAMED_GROWTH,
    disc_picture,
    disc_radius_px,
    lighter,
    project,
)
from oryx_scene.view.shapes import SceneGeometry
from oryx_scene.view.step import Step
from oryx_scene.view.viewpoint import Viewpoint

NEAR_PLANE_M = 0.02
# Labels hang between these distances from the viewer, the later ones before the earlier.
_FAR_M, _NEAR_M = 0.060, 0.050
_TEXT_PX = 14.0
_RIM = 32


@dataclass(frozen=True, eq=False)
class Label:
    """A picture and where it covers the window.

    Attributes:
        image: (h, w, 3) uint8.
        u, v: its top-left corner in pixels; (-0.5, -0.5) is the corner of the window.
        is_disc: whether only the inscribed disc is shown.
    """

    image: RgbImage
    u: float
    v: float
    is_disc: bool = False


def labels_of(step: Step, scene: SceneGeometry, look: Look, view: Viewpoint) -> list[Label]:
    """All labels of a step from one viewpoint, those that cover others last.

    Args:
        step: whose words are shown.
        scene: the drawn layers of it.
        look: what is switched on.
        view: as the window looks.
    """
    return [*_texts(scene, view), *_discs(scene, view), *_panels(step, look, view)]


def _inside(view: Viewpoint, u: float, v: float, z: float) -> bool:
    return bool(z > NEAR_PLANE_M and 0 <= u < view.width and 0 <= v < view.height)


def _texts(scene: SceneGeometry, view: Viewpoint) -> list[Label]:
    if not scene.texts:
        return []
    uvz = project(view, np.array([text.position for text in scene.texts]))
    found = []
    for text, (u, v, z) in zip(scene.texts, uvz, strict=True):
        if _inside(view, u, v, z):
            image = text_picture(text.text, lighter(text.color), _TEXT_PX)
            found.append(Label(image, u - image.shape[1] / 2, v - image.shape[0] - 6))
    return found


def _discs(scene: SceneGeometry, view: Viewpoint) -> list[Label]:
    if not scene.marks:
        return []
    uvz = project(view, np.array([mark.position for mark in scene.marks]))
    found = []
    for mark, (u, v, z) in zip(scene.marks, uvz, strict=True):
        if _inside(view, u, v, z):
            side = 2 * round(disc_radius_px(view) * (NAMED_GROWTH if mark.named else 1.0)) + 1
            disc = disc_picture(mark.number, side)
            found.append((z, Label(disc, u - side / 2, v - side / 2, is_disc=True)))
    found.sort(key=lambda item: -item[0])
    return [label for _, label in found]


def _panels(step: Step, look: Look, view: Viewpoint) -> list[Label]:
    panels = []
    if look.words:
        # Short: what the panel covers cannot be seen.
        warned = "  ".join(step.caption.warnings)
        short = replace(step.caption, details=(step.title,), warnings=(warned,) if warned else ())
        words = caption_panel(short, view.width)
        if words is not None:
            panels.append(Label(words, -0.5, view.height - words.shape[0] - 0.5))
    lines = help_lines() if look.help else ("H: help",)
    panels.append(Label(list_picture(lines, _TEXT_PX), 9.5, 9.5))
    return panels


def hang(o3d: Any, view: Viewpoint, labels: list[Label]) -> list[Any]:
    """Open3D meshes of ``labels``, the first one farthest from the viewer."""
    depths = np.linspace(_FAR_M, _NEAR_M, max(len(labels), 2))
    return [_mesh(o3d, view, label, depths[i]) for i, label in enumerate(labels)]


def _mesh(o3d: Any, view: Viewpoint, label: Label, depth_m: float) -> Any:
    height, width = label.image.shape[:2]
    if label.is_disc:
        turns = np.linspace(0.0, 2.0 * np.pi, _RIM, endpoint=False)
        rim = 0.5 + 0.5 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        uv = np.vstack([[0.5, 0.5], rim])
        faces = [[0, 1 + i, 1 + (i + 1) % _RIM] for i in range(_RIM)]
    else:
        uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        faces = [[0, 1, 2], [0, 2, 3]]
    pixels = np.ones((len(uv), 3))
    pixels[:, :2] = np.array([label.u, label.v]) + uv * (width, height)
    local = pixels @ np.linalg.inv(view.K).T * depth_m
    places = local @ view.T_fixed_view[:3, :3].T + view.T_fixed_view[:3, 3]
    return textured_mesh(o3d, places, faces, uv, label.image)
