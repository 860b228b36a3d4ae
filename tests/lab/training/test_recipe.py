import dataclasses
import json

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'train' is not installed")

from oryx_scene.cli.main import main
from oryx_scene.errors import ConfigError
from oryx_scene.lab.training.curriculum import Course
from oryx_scene.lab.training.dataset import pool_files
from oryx_scene.lab.training.recipe import PRESETS
from oryx_scene.lab.training.run import train
from oryx_scene.model.checkpoint.load import load_answerer
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer


def taught(stage, out):
    """What two steps of a stage hold: questions, pictures."""
    course = Course(
        stage, tuple(pool_files(out / "pool")), HubTokenizer(out / "tokenizer", "qwen2", None), 1
    )
    lessons = [
        lesson
        for step in range(2)
        for index in range(stage.scenes)
        for lesson in course.lessons(step, index)
    ]
    questions = sum(len(lesson.turns) for lesson in lessons)
    return questions, sum(len(lesson.pictures) for lesson in lessons)


@pytest.mark.usefixtures("muon")
@pytest.mark.slow
def test_the_tiny_recipe_runs_to_a_checkpoint_that_loads_and_goes_on(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", str(out), "--preset", "tiny"]) == 0
    assert (out / "curve.png").stat().st_size > 1000
    engine = load_answerer(str(out / "checkpoint"), device="cpu")
    assert engine.card.synthetic_only
    described = json.loads((out / "checkpoint" / "config.json").read_text())
    assert described["oryx_scene"]["recipe"]["seed"] == 1
    before = (out / "checkpoint" / "model.safetensors").read_bytes()
    # Finished stages are not done again.
    assert main(["train", str(out), "--preset", "tiny"]) == 0
    assert (out / "checkpoint" / "model.safetensors").read_bytes() == before
    # A field in the wrong place once made a stage of questions one of pictures only.
    for stage in PRESETS["tiny"].stages():
        questions, pictures = taught(stage, out)
        assert bool(questions) == bool(stage.kinds), stage.name
        assert bool(pictures) == (stage.scenes > 0 and stage.readings < 1.0), stage.name
        assert stage.scenes or stage.drills
    for seed in (0, 2):
        other = dataclasses.replace(PRESETS["tiny"], seed=seed)
        with pytest.raises(ConfigError, match="another recipe"):
            train(other, out, print)
    # Another run may begin with what this one made.
    again = tmp_path / "again"
    begin = ["--begin", str(out / "checkpoint"), "--stage", "together"]
    assert main(["train", str(again), "--preset", "tiny", *begin]) == 0
    # The stage takes hints, so its teacher comes first.
    assert sorted(path.parent.name for path in again.glob("*/state.pt")) == ["teacher", "together"]
    assert (again / "checkpoint" / "model.safetensors").read_bytes() != before
    capsys.readouterr()
