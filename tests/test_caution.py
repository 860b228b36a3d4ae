"""What an answer says about its model, and the room that a model gets for its working."""

import dataclasses

import numpy as np
import pytest

from oryx_scene.answer_json import answer_to_dict
from oryx_scene.answerer import Generation, Limits, ModelCard
from oryx_scene.caution import caution_for
from oryx_scene.config import MarkingConfig, PipelineConfig
from oryx_scene.errors import BudgetError
from oryx_scene.frames import Frame, Question
from oryx_scene.pipeline import ScenePipeline
from oryx_scene.prompt.stream import VisibleText

CARD = ModelCard("small", "", "", "", context_length=32768, synthetic_only=True)


class Thinker:
    """Writes its working, then a word; keeps the limits it was given."""

    def __init__(self, card=CARD):
        self.card = card
        self.limits = []

    def count_text_tokens(self, text):
        return len(text.split())

    def generate(self, prompt, limits, on_text=None):
        self.limits.append(limits)
        for piece in ("<th", "ink>1 re", "d</thi", "nk>", "Mark 1 is", " red."):
            if on_text is not None:
                on_text(piece)
        return Generation("<think>1 red</think>Mark 1 is red.", (1, 2), "eos", 9, 4, "")


def frozen(pipeline, **words):
    rgb = np.zeros((64, 64, 3), np.uint8)
    return pipeline.freeze([Frame("front", 1, "", rgb, "")], 1, **words)


def pipeline_of(answerer):
    return ScenePipeline(answerer, PipelineConfig(marks=MarkingConfig(enabled=False)))


@pytest.mark.parametrize(("synthetic", "label"), [(True, ""), (False, "synthetic rooms only")])
def test_out_of_depth_is_said_in_every_answer(synthetic, label):
    pipeline = pipeline_of(Thinker())
    answer = pipeline.ask(frozen(pipeline, synthetic=synthetic), Question("What is it?"))
    said = answer_to_dict(answer)
    assert label in said["provenance"]["caution"]
    assert bool(said["provenance"]["caution"]) == bool(label)
    assert any("out of its depth" in text["text"] for text in said["warnings"]) == bool(label)


def test_a_model_of_the_real_world_is_not_warned_of_and_a_random_one_always():
    assert caution_for(dataclasses.replace(CARD, synthetic_only=False), synthetic=False) is None
    random = caution_for(dataclasses.replace(CARD, trained=False), synthetic=True)
    assert random is not None and "random weights" in random.warning.text


@pytest.mark.parametrize("room", [0, 100])
def test_the_working_does_not_count_against_the_answers_limit(room):
    answerer = Thinker(dataclasses.replace(CARD, scratchpad=room > 0, scratchpad_tokens=room))
    pipeline = pipeline_of(answerer)
    scene = frozen(pipeline)
    asked = [Question("What?"), Question("What else?")]
    pipeline.ask(scene, asked[0], Limits(max_new_tokens=7))
    pipeline.ask_many(scene, asked, [Limits(max_new_tokens=7), Limits(max_new_tokens=9)])
    assert [one.max_new_tokens - room for one in answerer.limits] == [7, 7, 9]
    context = scene.plan.visual_tokens + 20 + room
    answerer.card = dataclasses.replace(answerer.card, context_length=context)
    with pytest.raises(BudgetError, match=f"{30 + room} of answer exceed"):
        pipeline.ask(scene, asked[0], Limits(max_new_tokens=30))


def test_the_working_is_kept_beside_the_text_and_does_not_stream():
    pipeline, shown = pipeline_of(Thinker()), []
    visible = VisibleText(shown.append)
    answer = pipeline.ask(frozen(pipeline), Question("What colour?"), on_text=visible.feed)
    visible.finish()
    assert (answer.text, answer.scratchpad) == ("Mark 1 is red.", "1 red")
    assert "".join(shown) == answer.text
