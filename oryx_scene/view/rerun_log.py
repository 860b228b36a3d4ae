"""A story as a rerun log (.rrd): the only module that imports rerun, an optional extra.

Steps lie on the timelines "step" and, where the recording has stamps, "capture". Nothing is sent
anywhere: the log is a file, opened with `rerun FILE`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from oryx_scene.errors import MissingExtraError, OutputError
from oryx_scene.view.captions import Caption
from oryx_scene.view.shapes import BOX_COLOR, SceneGeometry
from oryx_scene.view.snapshot import ViewCamera
from oryx_scene.view.snapshot_file import jpeg_bytes
from oryx_scene.view.step import Step, StepSequence, marked_picture


def load_rerun() -> Any:
    """The ``rerun`` module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("rerun")
    except ImportError as err:
        raise MissingExtraError("rerun-sdk", "rerun", needed_for="--rrd", cause=str(err)) from err


def write_rerun(story: StepSequence, path: Path) -> None:
    """Write all steps of ``story`` to ``path``.

    Raises:
        MissingExtraError: rerun is not installed.
        OutputError: the file cannot be written.
    """
    rr = load_rerun()
    stream = rr.RecordingStream("oryx_scene")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and renamed: an interrupted log never looks like a finished one.
        part = path.with_name(path.name + ".part")
        stream.save(part)
        for index in range(len(story)):
            _log_step(rr, stream, index, story[index])
        stream.flush()
        stream.disconnect()
        part.replace(path)
    except (OSError, RuntimeError) as err:
        raise OutputError(path, str(err)) from err


def _log_step(rr: Any, stream: Any, index: int, step: Step) -> None:
    stream.set_time("step", sequence=index + 1)
    stamps = [camera.stamp_ns for camera in step.snapshot.cameras]
    if stamps:
        stream.set_time("capture", timestamp=np.datetime64(max(stamps), "ns"))
    scene = step.geometry()
    stream.log("scene", rr.Clear(recursive=True))
    stream.log("words", rr.TextDocument(_words(step.title, step.caption), media_type="text/plain"))
    stream.log(
        "scene/cloud", rr.Points3D(scene.points, colors=scene.colors, radii=scene.voxel_m / 2)
    )
    _log_lines(rr, stream, scene)
    _log_marks(rr, stream, step, scene)
    newest = {camera.camera: view for view, camera in enumerate(step.snapshot.cameras)}
    for name, view in newest.items():
        camera = step.snapshot.cameras[view]
        _log_camera(rr, stream, f"scene/cameras/{name}", camera)
        data = jpeg_bytes(marked_picture(step, view))
        picture = rr.EncodedImage(contents=data, media_type="image/jpeg")
        stream.log(f"scene/cameras/{name}/picture", picture)


def _log_camera(rr: Any, stream: Any, entity: str, camera: ViewCamera) -> None:
    if camera.K is None or camera.T_fixed_camera is None:
        return
    T = camera.T_fixed_camera
    stream.log(entity, rr.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3]))
    height, width = camera.picture.shape[:2]
    # Rerun counts pixels from the corner of the picture, we from the middle of the first pixel.
    K = camera.K.copy()
    scale = np.array([width / camera.width, height / camera.height])
    K[:2, 2] = (K[:2, 2] + 0.5) * scale
    K[0, 0], K[1, 1] = K[0, 0] * scale[0], K[1, 1] * scale[1]
    stream.log(
        f"{entity}/picture",
        rr.Pinhole(image_from_camera=K, resolution=[width, height], image_plane_distance=0.3),
    )


def _log_lines(rr: Any, stream: Any, scene: SceneGeometry) -> None:
    for layer in ("relations", "path"):
        chosen = [item for item in scene.segments if item.layer == layer]
        if chosen:
            strips = np.concatenate([item.ends for item in chosen])
            colors = np.repeat([item.color for item in chosen], [len(i.ends) for i in chosen], 0)
            stream.log(f"scene/{layer}", rr.LineStrips3D(strips, colors=colors))
    words = [text for text in scene.texts if text.layer == "relations"]
    if words:
        stream.log(
            "scene/relations/words",
            rr.Points3D([text.position for text in words], labels=[text.text for text in words]),
        )


def _log_marks(rr: Any, stream: Any, step: Step, scene: SceneGeometry) -> None:
    sized = [mark for mark in step.marks if mark.position is not None and mark.size is not None]
    if sized:
        stream.log(
            "scene/boxes",
            rr.Boxes3D(
                centers=[mark.position for mark in sized],
                sizes=[mark.size for mark in sized],
                colors=[BOX_COLOR],
            ),
        )
    if scene.marks:
        stream.log(
            "scene/marks",
            rr.Points3D(
                [mark.position for mark in scene.marks],
                labels=[f"{mark.number} {mark.name}".strip() for mark in scene.marks],
                colors=[BOX_COLOR],
                radii=0.04,
            ),
        )


def _words(title: str, caption: Caption) -> str:
    lines = [title]
    if caption.question:
        lines += [f"Q: {caption.question}", f"A: {caption.answer}"]
    lines += [*caption.details, *caption.warnings]
    return "\n".join(lines)
