"""One small question before the first real one, so that no caller pays for the first-time costs."""

from __future__ import annotations

import numpy as np

from oryx_scene.answerer import Answerer, Limits
from oryx_scene.config import PipelineConfig
from oryx_scene.frames import Frame, Question
from oryx_scene.pipeline import ScenePipeline

SIDE_PX = 64


def warm_up(answerer: Answerer) -> None:
    """Let the model warm up in its own way, where it has one, and ask about a small grey picture.

    Raises:
        EngineError: the model cannot answer at all.
    """
    own = getattr(answerer, "warm_up", None)
    if own is not None:
        own()
    grey = np.full((SIDE_PX, SIDE_PX, 3), 127, dtype=np.uint8)
    pipeline = ScenePipeline(answerer, PipelineConfig())
    scene = pipeline.freeze([Frame("warmup", 1, "", grey, "")], 1)
    pipeline.ask(scene, Question("Is anything here?"), Limits(max_new_tokens=2))
