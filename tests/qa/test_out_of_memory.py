"""Out of memory is answered once more at the next compression, with a warning, or is an error."""

import numpy as np
import pytest
from fake_answerer import FakeAnswerer

from oryx_scene.config import BudgetConfig, MarksConfig, PipelineConfig
from oryx_scene.errors import DeviceMemoryError
from oryx_scene.model.api import Limits, Stride, VisualItem
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Frame, Question


def strides(answerer):
    """Pooling of the scenes that it was asked about."""
    scenes = [prompt.scene for prompt in answerer.prompts]
    return [next(p.stride for p in scene if isinstance(p, VisualItem)) for scene in scenes]


def room_for(least):
    """Words of an answerer with room for scenes pooled at least as strongly as ``least``."""

    def words(prompt):
        if next(p.stride for p in prompt.scene if isinstance(p, VisualItem)) < least:
            raise DeviceMemoryError("cuda ran out of memory; cached scenes were dropped.")
        return ("A room.",)

    return words


def frames():
    rgb = np.zeros((480, 640, 3), np.uint8)
    return [Frame(f"c{i}", i, f"c{i}", rgb, str(i)) for i in range(3)]


def pipeline(least, compression="auto"):
    config = PipelineConfig(
        budget=BudgetConfig(compression=compression), marks=MarksConfig(enabled=False)
    )
    return ScenePipeline(FakeAnswerer(room_for(least)), config)


def test_the_next_compression_is_tried_once():
    asker = pipeline(Stride.VIDEO)
    scene = asker.freeze(frames(), 3)
    answer = asker.ask(scene, Question("What?"))
    assert strides(asker.answerer) == [Stride.IMAGE, Stride.VIDEO]
    assert (answer.compression, answer.text) == (4, "A room.")
    assert answer.budget["compression"] == 4
    assert any("again at 4x instead of 1x" in text.text for text in answer.warnings)
    assert [item.sha256 for item in answer.evidence] == [f.sha256 for f in scene.views.frames]
    many = asker.ask_many(scene, [Question("What?"), Question("Where?")], Limits())
    assert [item.compression for item in many] == [4, 4]


def test_a_second_failure_is_an_error_and_the_pipeline_lives_on():
    asker = pipeline(Stride.VIDEO_LONG)
    scene = asker.freeze(frames(), 3)
    with pytest.raises(DeviceMemoryError):
        asker.ask(scene, Question("What?"))
    assert strides(asker.answerer) == [Stride.IMAGE, Stride.VIDEO]
    asker.answerer.words = room_for(Stride.IMAGE)
    assert asker.ask(scene, Question("What?")).compression == 1


def test_nothing_is_stronger_than_16x():
    asker = pipeline(Stride.VIDEO_LONG + 1, "16")
    with pytest.raises(DeviceMemoryError):
        asker.ask(asker.freeze(frames(), 3), Question("What?"))
    assert strides(asker.answerer) == [Stride.VIDEO_LONG]


def test_views_keep_their_order_where_the_question_is_asked_again():
    asker = pipeline(Stride.VIDEO)
    first = asker.freeze(frames()[1:], 3)
    scene = asker.freeze(frames(), 3, after=first)
    assert [frame.camera for frame in scene.views.frames] == ["c1", "c2", "c0"]
    answer = asker.ask(scene, Question("What?"))
    assert [item.camera for item in answer.evidence] == ["c1", "c2", "c0"]
