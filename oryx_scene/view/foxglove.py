"""The Foxglove layout of a replay's bag: the scene, the marked pictures, question and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TOPIC = "/oryx_scene"


def _split(direction: str, share: int, first: Any, second: Any) -> dict[str, Any]:
    return {"direction": direction, "splitPercentage": share, "first": first, "second": second}


def _stacked(panels: Sequence[str], direction: str) -> Any:
    """Panels of equal size beside or below each other."""
    if len(panels) == 1:
        return panels[0]
    rest = _stacked(panels[1:], direction)
    return _split(direction, round(100 / len(panels)), panels[0], rest)


def _scene_panel(frame_id: str) -> dict[str, Any]:
    topics: dict[str, dict[str, Any]] = {
        name: {"visible": True} for name in (f"{TOPIC}/markers", "/tf")
    }
    topics[f"{TOPIC}/cloud"] = {
        "visible": True,
        "colorMode": "rgb",
        "colorField": "rgb",
        "pointSize": 4,
        "decayTime": 0,
    }
    return {
        "cameraState": {
            "perspective": True,
            "distance": 8,
            "phi": 55,
            "thetaOffset": 45,
            "targetOffset": [0, 0, 0],
            "target": [0, 0, 0],
            "targetOrientation": [0, 0, 0, 1],
            "fovy": 45,
            "near": 0.05,
            "far": 500,
        },
        "followMode": "follow-none",
        "followTf": frame_id,
        "scene": {"backgroundColor": "#181a1f"},
        "transforms": {},
        "topics": topics,
        "layers": {},
    }


def _picture_panel(camera: str) -> dict[str, Any]:
    base = f"{TOPIC}/marked/{camera}"
    return {
        "imageMode": {
            "imageTopic": f"{base}/compressed",
            "calibrationTopic": f"{base}/camera_info",
        },
        # The numbers are drawn on the picture already.
        "topics": {f"{TOPIC}/markers": {"visible": False}},
    }


def foxglove_layout(cameras: Sequence[str], frame_id: str) -> dict[str, Any]:
    """What Foxglove's "import layout from file" takes, for bags of ``replay.record``.

    Args:
        cameras: names of the cameras with a marked picture, at least one.
        frame_id: coordinate frame of the scene.
    """
    pictures = [f"Image!{camera}" for camera in cameras]
    words = [f"RawMessages!{name}" for name in ("question", "answer_text")]
    panels: dict[str, Any] = {"3D!scene": _scene_panel(frame_id)}
    panels |= {panel: _picture_panel(panel.removeprefix("Image!")) for panel in pictures}
    for panel in words:
        topic = f"{TOPIC}/{panel.removeprefix('RawMessages!')}"
        panels[panel] = {"topicPath": f"{topic}.data", "diffEnabled": False}
    right = _split("column", 70, _stacked(pictures, "column"), _stacked(words, "column"))
    return {
        "configById": panels,
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": _split("row", 60, "3D!scene", right),
    }
