"""What a replay of one recording will ask, before any model is loaded: moments and digests.

`oryx-scene replay` and every chunk of `oryx-scene batch` start from the same plan.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oryx_scene.config import PipelineConfig, config_as_dict
from oryx_scene.model.api import Limits, ModelCard
from oryx_scene.replay.questions import AskedQuestion, QuestionTime, make_schedule
from oryx_scene.scene.frame_selection import moment_at, newest_stamp
from oryx_scene.sources.base import FrameSource


@dataclass(frozen=True)
class ReplaySettings:
    """What is asked of any recording, in whatever process.

    Attributes:
        entries: of the questions file.
        config: settings of the pipeline.
        limits: of every generation.
        every_s: period of entries without times.
        at: moments of entries without times, as on the command line.
        rig_sha256: of the calibration file, "" without one.
        cameras: only these; all if empty.
    """

    entries: tuple[AskedQuestion, ...]
    config: PipelineConfig
    limits: Limits
    every_s: float | None = None
    at: tuple[str, ...] = ()
    rig_sha256: str = ""
    cameras: tuple[str, ...] = ()

    def digests(self) -> dict[str, str]:
        """Name -> digest of what decides the answers beside recording, moments and model."""
        texts = [dataclasses.asdict(entry) for entry in self.entries]
        known = {
            "questions": digest([{**text, "at_s": list(text["at_s"])} for text in texts]),
            "settings": digest(config_as_dict(self.config)),
            "limits": digest([self.limits.max_new_tokens, self.limits.deadline_s]),
        }
        cameras = digest(self.cameras) if self.cameras else ""
        chosen = {"rig": self.rig_sha256, "cameras": cameras}
        return known | {name: value for name, value in chosen.items() if value}


@dataclass(frozen=True)
class ReplayPlan:
    """One recording's part.

    Attributes:
        schedule: moments in time order with the questions asked then.
        asked: name -> digest of all that makes a replay the same replay, the model aside.
        recording: what the manifest says of the recording.
    """

    schedule: tuple[QuestionTime, ...]
    asked: dict[str, str]
    recording: dict[str, Any]


def digest(value: Any) -> str:
    """A short hash of plain values."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def model_words(card: ModelCard) -> str:
    """The model as a manifest names it: another one gives other answers."""
    return f"{card.name} {card.revision} {card.dtype} {card.quantization}"


def plan_replay(source: FrameSource, name: str, settings: ReplaySettings) -> ReplayPlan:
    """The moments of a recording and what tells its replay from others.

    Args:
        source: the recording; nothing is decoded.
        name: of the recording, for people.
        settings: what is asked.

    Raises:
        ConfigError: a moment outside the recording.
        NoFramesError: the recording holds no frame.
    """
    last_ns = newest_stamp(source)
    stubs = source.stubs()
    first_ns = min(stub.stamp_ns for stub in stubs)
    schedule = make_schedule(
        settings.entries,
        first_ns,
        last_ns,
        every_s=settings.every_s,
        at_ns=[moment_at(text, source) for text in settings.at],
        to_last=source.counted,
    )
    asked = {
        "recording": digest([(stub.camera, stub.stamp_ns, stub.topic) for stub in stubs]),
        "moments": digest([(moment.at_ns, moment.questions) for moment in schedule]),
        **settings.digests(),
    }
    return ReplayPlan(schedule, asked, _about(source, name, first_ns, last_ns))


def _about(source: FrameSource, name: str, first_ns: int, last_ns: int) -> dict[str, Any]:
    cameras: Sequence[str] = source.cameras
    return {
        "name": name,
        "first_ns": first_ns,
        "last_ns": last_ns,
        "frames": len(source.stubs()),
        "cameras": list(cameras),
        "synthetic": source.synthetic,
    }
