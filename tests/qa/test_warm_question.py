"""A warm question, the second one about a frozen scene, goes a short way; this traces it."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

import oryx_scene
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config, render_spec
from oryx_scene.model.api import Generation, ModelCard
from oryx_scene.model.checkpoint.load import load_answerer
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Question

PACKAGE = f"{Path(oryx_scene.__file__).parent}/"
MOST_FILES = 25


@pytest.fixture(scope="module")
def warm():
    """(pipeline, scene) of the packaged checkpoint, asked once in both ways."""
    spec = SceneSpec(0)
    pipeline = ScenePipeline(load_answerer("default", device="cpu"), pipeline_config(spec))
    frames = render_spec(spec)[1]
    scene = pipeline.freeze(frames, frames[-1].stamp_ns)
    pipeline.ask(scene, Question("What is left of mark 1?"))
    pipeline.ask(scene, Question("Is mark 1 left of mark 2?", "yes_no"))
    return pipeline, scene


def entered(work):
    """Files of the package in which ``work`` enters a function, and its result."""
    files = set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            files.add(frame.f_code.co_filename.removeprefix(PACKAGE))

    sys.setprofile(note)
    try:
        result = work()
    finally:
        sys.setprofile(None)
    return files, result


@pytest.mark.parametrize(
    "question",
    [Question("What is right of mark 1?"), Question("Is mark 1 right of mark 2?", "yes_no")],
    ids=lambda question: question.format,
)
def test_a_warm_question_enters_few_files(warm, question):
    pipeline, scene = warm
    files, answer = entered(lambda: pipeline.ask(scene, question))
    assert answer.text and answer.relations
    # It went all the way, and what belongs to the scene was not computed again.
    assert {"qa/pipeline.py", "model/engine/decode_batch.py"} <= files
    assert not [name for name in files if name.startswith(("geometry/", "marks/", "scene/"))]
    assert len(files) <= MOST_FILES, sorted(files)


def test_a_text_callback_goes_to_the_model_as_it_is_given(warm):
    class Listener:
        """Notes the callback that it is given."""

        card = ModelCard("listener", "", "", "", context_length=32768)

        def count_text_tokens(self, text):
            return len(text)

        def generate(self, prompt, limits, on_text=None):
            self.on_text = on_text
            return Generation("A box.", (1,), "eos", 1, 0, "")

    listener, pieces = Listener(), []
    receive = pieces.append
    ScenePipeline(listener).ask(warm[1], Question("What is here?"), on_text=receive)
    assert listener.on_text is receive
