"""One self-contained HTML page of a replay: opens from a file, loads nothing from anywhere.

All words go into the page as JSON and are set as text by the page's script, so nothing that a
question or an answer says can become markup. Pictures and clouds share fixed budgets, so the page
stays under 10 MB however many scenes there are.
"""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from oryx_scene import __version__
from oryx_scene.atomic_io import write_bytes
from oryx_scene.errors import MissingExtraError
from oryx_scene.qa.answer_json import to_plain
from oryx_scene.records import RgbImage
from oryx_scene.view.report_page import PAGE
from oryx_scene.view.shapes import SceneGeometry, relation_lines
from oryx_scene.view.snapshot import shrink
from oryx_scene.view.snapshot_file import jpeg_bytes
from oryx_scene.view.step import Step, picture_steps
from oryx_scene.view.viewpoint import make_viewpoint

# Bytes as they lie in the page; plotly itself takes 4.8 MB.
PICTURE_BUDGET = 3_200_000
CLOUD_BUDGET = 1_300_000
_POINT_BYTES = 12  # int16 x, y, z and uint8 r, g, b, in base64
_SIDES = (640, 512, 448, 384, 320, 256, 192, 128, 96)
_CLOUD_MOST = 30_000


class ReportStory(Protocol):
    """A replay's steps with what the report says about the whole (``replay.story.ReplayStory``)."""

    manifest: dict[str, Any]

    @property
    def records(self) -> Sequence[dict[str, Any]]:
        """The records that are answers."""
        ...

    @property
    def errors(self) -> Sequence[dict[str, Any]]:
        """The records that are errors."""
        ...

    def __len__(self) -> int:
        """How many answers."""
        ...

    def __getitem__(self, index: int, /) -> Step:
        """One answer with its scene."""
        ...

    def seconds(self, record: dict[str, Any]) -> float:
        """Moment of a record, seconds after the first frame."""
        ...


def require_plotly() -> Path:
    """The file of plotly's script.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise MissingExtraError("plotly", "view", needed_for="--report")
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _picture(image: RgbImage, budget: int) -> str:
    """JPEG as a data URI of at most ``budget`` bytes, as large as that allows."""
    uri = ""
    for side in _SIDES:
        for quality in (84, 70):
            uri = "data:image/jpeg;base64," + _base64(jpeg_bytes(shrink(image, side), quality))
            if len(uri) <= budget:
                return uri
    return uri


def _cloud(scene: SceneGeometry, budget: int) -> dict[str, Any]:
    """At most ``budget`` bytes of points: every n-th, in 1/30000 of the largest extent."""
    most = max(1, min(_CLOUD_MOST, budget // _POINT_BYTES))
    step = -(-len(scene.points) // most) if len(scene.points) else 1
    points, colors = scene.points[::step], scene.colors[::step]
    if len(points) == 0:
        return {"count": 0}
    middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
    scale = max(float(np.abs(points - middle).max()), 1e-6) / 30000.0
    steps = np.rint((points - middle) / scale).astype("<i2")
    return {
        "count": len(points),
        "middle": middle.tolist(),
        "scale": scale,
        "points": _base64(steps.tobytes()),
        "colors": _base64(np.ascontiguousarray(colors, np.uint8).tobytes()),
    }


def _rounded(values: Any) -> Any:
    return None if values is None else np.round(np.asarray(values, float), 4).tolist()


def _lines(scene: SceneGeometry) -> list[dict[str, Any]]:
    return [
        {
            "layer": segments.layer,
            "color": "rgb({}, {}, {})".format(*segments.color),
            "width": segments.width_px,
            "ends": _rounded(segments.ends),
        }
        for segments in scene.segments
        if segments.layer not in ("boxes", "relations")
    ]


def _looking(scene: SceneGeometry) -> list[float]:
    """The direction (3,) that the page's 3D view starts with."""
    if scene.is_empty:
        return [0.6, 0.6, -0.5]
    direction: list[float] = make_viewpoint("free", scene, 3, 4).T_fixed_view[:3, 2].tolist()
    return direction


def _scene(step: Step, picture_budget: int, cloud_budget: int) -> dict[str, Any]:
    """What all answers about one scene share."""
    geometry = step.geometry()
    pictures = picture_steps(step)
    share = picture_budget // max(1, len(pictures))
    views = [
        {"camera": camera.camera, "stamp_ns": str(camera.stamp_ns), "src": _picture(image, share)}
        for camera, image in zip(step.snapshot.cameras, pictures, strict=True)
    ]
    names = [
        {"text": item.text, "at": _rounded(item.position)}
        for item in geometry.texts
        if item.layer == "frusta"
    ]
    return {
        "up": geometry.up.tolist(),
        "looking": _looking(geometry),
        "frame_id": geometry.frame_id,
        "cloud": _cloud(geometry, cloud_budget),
        "lines": _lines(geometry),
        "names": names,
        "views": views,
        "warnings": to_plain(geometry.warnings),
    }


def _answer(step: Step, scene: str, at_s: float, question_id: str) -> dict[str, Any]:
    answer = step.answer
    placed = {mark.number for mark in step.marks if mark.position is not None}
    marks = [
        {
            "number": mark.number,
            "label": mark.label,
            "position": _rounded(mark.position),
            "size": _rounded(mark.size),
            "std": None if np.isnan(mark.position_std) else round(mark.position_std, 4),
            "views": len(mark.observations),
            "named": mark.number in step.named,
        }
        for mark in step.marks
    ]
    relations = [
        {"first": line.first, "second": line.second, "words": line.words, "stated": line.stated}
        for line in relation_lines(step.relations, placed, set(step.named))
    ]
    evidence = [
        {
            "camera": item["camera"],
            "stamp_ns": str(item["stamp_ns"]),  # larger than a JavaScript number holds
            "age_s": item["age_s"],
            "size": f"{item['width']}x{item['height']}",
            "topic": item["topic"],
            "sha256": item["sha256"],
        }
        for item in answer["evidence"]
    ]
    plain = ("text", "scratchpad", "verdict", "choice", "confidence", "json", "compression")
    counts = ("visual_tokens", "prompt_tokens", "generated_tokens", "stop_reason", "timings_s")
    kept = {name: answer[name] for name in (*plain, *counts, "provenance", "warnings")}
    return {
        "scene": scene,
        "at_s": at_s,
        "id": question_id,
        "question": answer["question"],
        "marks": marks,
        "relations": relations,
        "evidence": evidence,
        **kept,
    }


def _error(record: dict[str, Any], at_s: float) -> dict[str, Any]:
    return {
        "at_s": at_s,
        "id": record["question_id"],
        "question": {"text": record["question"]},
        "error": record["error"],
    }


def report_data(story: ReportStory) -> dict[str, Any]:
    """All that the page shows, as plain values."""
    keys: Sequence[str] = list(dict.fromkeys(record["scene"] for record in story.records))
    share = max(1, len(keys))
    scenes: dict[str, Any] = {}
    answers = []
    for index, record in enumerate(story.records):
        step, key = story[index], record["scene"]
        if key not in scenes:
            scenes[key] = _scene(step, PICTURE_BUDGET // share, CLOUD_BUDGET // share)
        answers.append(_answer(step, key, story.seconds(record), record["question_id"]))
    answers += [_error(record, story.seconds(record)) for record in story.errors]
    answers.sort(key=lambda item: item["at_s"])
    return {
        "recording": story.manifest["recording"] | {"first_ns": "", "last_ns": ""},
        "length_s": (
            int(story.manifest["recording"]["last_ns"])
            - int(story.manifest["recording"]["first_ns"])
        )
        / 1e9,
        "asked": story.manifest["asked"],
        "summary": story.manifest.get("summary"),
        "software_version": __version__,
        "scenes": scenes,
        "answers": answers,
    }


def write_report(story: ReportStory, path: Path) -> int:
    """Write the page; returns its size in bytes.

    Raises:
        MissingExtraError: plotly is not installed.
        OutputError: ``path`` cannot be written.
        SourceError: the replay's folder is damaged.
    """
    script = require_plotly().read_text(encoding="utf-8")
    # "<" never appears inside the data, so no text can close its element.
    data = json.dumps(report_data(story), allow_nan=False, ensure_ascii=False)
    data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    page = PAGE.replace("/*PLOTLY*/", script.replace("</script", "<\\/script"), 1)
    # Data last: nothing in it is searched for place holders.
    head, tail = page.split("/*DATA*/", 1)
    encoded = f"{head}{data}{tail}".encode("utf-8", errors="replace")
    write_bytes(path, encoded)
    return len(encoded)
