"""What is done before the first question, so that no caller pays for the first-time costs."""

from __future__ import annotations

import numpy as np

from oryx_scene.config import PipelineConfig
from oryx_scene.model.api import Answerer, Limits
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Frame, Question
from oryx_scene_ros.parameters.settings import NodeSettings

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


def know_rates(answerer: Answerer, settings: NodeSettings) -> None:
    """Let the model's card say how fast it is here, where budget.deadline_s plans with it.

    Measured once in a few seconds and kept in the user's cache, as `oryx-scene ask` does. On the
    engine thread only.

    Raises:
        EngineError: the model failed.
    """
    set_rates = getattr(answerer, "set_rates", None)
    wanted = settings.pipeline.budget.deadline_s > 0.0 and answerer.card.rates is None
    if set_rates is None or not wanted:
        return
    from oryx_scene.model.engine.engine import Engine
    from oryx_scene.model.engine.rates import rates_file, rates_of

    assert isinstance(answerer, Engine)
    set_rates(rates_of(answerer, rates_file()))
