"""Pictures of a scene without a display: chooses the renderer, says which one, adds the labels.

Open3D where it works, the numpy splat everywhere else. Animations are written with Pillow (GIF) or
OpenCV's own encoder (MP4).
"""

from __future__ import annotations

import importlib.util
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from oryx_scene.errors import ConfigError, EngineError, OutputError
from oryx_scene.records import RgbImage
from oryx_scene.view.open3d_process import render_in_child
from oryx_scene.view.overlay import draw_labels
from oryx_scene.view.shapes import SceneGeometry
from oryx_scene.view.splat import Rendered, render_splat
from oryx_scene.view.viewpoint import Viewpoint
from oryx_scene.warning import Warning

RENDERERS = ("auto", "open3d", "splat")


@dataclass(frozen=True, eq=False)
class Pictures:
    """Finished pictures.

    Attributes:
        images: (H, W, 3) uint8 each, labels drawn.
        renderer: "open3d" or "splat": what drew them.
        warnings: why it was not the wanted one.
    """

    images: tuple[RgbImage, ...]
    renderer: str
    warnings: tuple[Warning, ...] = ()


def render_pictures(
    scene: SceneGeometry,
    views: Sequence[Viewpoint],
    *,
    renderer: str = "auto",
    supersample: int = 2,
) -> Pictures:
    """Draw ``scene`` from all ``views`` (of one size).

    Args:
        scene: take layers out with :meth:`SceneGeometry.only` first.
        views: at least one.
        renderer: "auto" tries Open3D and falls back to the splat with a warning.
        supersample: of the splat.

    Raises:
        ConfigError: unknown renderer, or no view.
        EngineError: "open3d" was asked for and cannot render.
    """
    if renderer not in RENDERERS or not views:
        raise ConfigError(
            f"renderer '{renderer}' for {len(views)} viewpoint(s).",
            hint=f"one of {', '.join(RENDERERS)}, and at least one viewpoint",
        )
    rendered, used, warnings = _render(scene, views, renderer, supersample)
    images = tuple(
        draw_labels(scene, view, picture) for view, picture in zip(views, rendered, strict=True)
    )
    return Pictures(images, used, warnings)


def _render(
    scene: SceneGeometry, views: Sequence[Viewpoint], renderer: str, supersample: int
) -> tuple[list[Rendered], str, tuple[Warning, ...]]:
    warnings: tuple[Warning, ...] = ()
    if renderer == "auto" and importlib.util.find_spec("open3d") is None:
        text = "drawn by the built-in renderer: Open3D (extra 'view') is not installed"
        warnings = (Warning("other_renderer", text),)
    elif renderer != "splat":
        try:
            return render_in_child(scene, views), "open3d", ()
        except EngineError as err:
            if renderer == "open3d":
                raise
            text = f"drawn by the built-in renderer, because: {err}"
            warnings = (Warning("other_renderer", text),)
    drawn = [render_splat(scene, view, supersample=supersample) for view in views]
    return drawn, "splat", warnings


def animation_bytes(images: Sequence[RgbImage], suffix: str, *, fps: float = 12.0) -> bytes:
    """``images`` of one size as an endless GIF or an MP4.

    Args:
        images: (H, W, 3) uint8 each.
        suffix: ".gif" or ".mp4".
        fps: pictures per second.

    Raises:
        ConfigError: another suffix.
        OutputError: this OpenCV has no MP4 encoder.
    """
    if suffix == ".gif":
        return _gif(images, fps)
    if suffix == ".mp4":
        return _mp4(images, fps)
    raise ConfigError(f"'{suffix}' is no animation.", hint="a name that ends in .gif or .mp4")


def _gif(images: Sequence[RgbImage], fps: float) -> bytes:
    # One palette for all pictures, else colours flicker from one to the next.
    mosaic = np.concatenate([image[::4, ::4] for image in images])
    palette = Image.fromarray(mosaic).quantize(255, method=Image.Quantize.MEDIANCUT)
    frames = [
        Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.NONE)
        for image in images
    ]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / fps),
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def _mp4(images: Sequence[RgbImage], fps: float) -> bytes:
    height, width = (side - side % 2 for side in images[0].shape[:2])  # encoders want even sides
    with tempfile.TemporaryDirectory(prefix="oryx_scene_view_") as folder:
        path = Path(folder) / "orbit.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
        if not writer.isOpened():
            raise OutputError("mp4", "this OpenCV has no MP4 encoder.", hint="write a .gif instead")
        for image in images:
            writer.write(np.ascontiguousarray(image[:height, :width, ::-1]))
        writer.release()
        return path.read_bytes()
