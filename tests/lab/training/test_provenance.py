import json

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.errors import CheckpointError
from oryx_scene.lab.training.provenance import describe_checkpoint, facts_of_run, stage_seconds
from oryx_scene.model.checkpoint.load import load_answerer, revision_of
from oryx_scene.model.checkpoint.random_model import write_random_checkpoint


def write_log(folder, seconds):
    folder.mkdir(parents=True)
    lines = [json.dumps({"step": i, "loss": float("nan"), "seconds": s}) for i, s in seconds]
    (folder / "log.jsonl").write_text("\n".join([*lines, '{"probe": {}}']) + "\n")


def test_a_stage_that_was_begun_again_took_both_times(tmp_path):
    write_log(tmp_path / "tower", [(20, 60.0), (40, 120.0), (60, 30.0), (80, 90.0)])
    write_log(tmp_path / "answers", [(20, 600.0)])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "log.jsonl").write_text("")
    assert stage_seconds(tmp_path) == {"tower": 210.0, "answers": 600.0}
    facts = facts_of_run(tmp_path, "oryx-scene train OUT", 4)
    assert facts["time"].startswith("14 minutes of stages (")
    assert facts["seed"] == 4 and "cores" in facts["machine"]


def test_a_described_checkpoint_is_the_same_model_of_another_revision(tmp_path):
    folder = write_random_checkpoint(tmp_path / "checkpoint")
    before = revision_of(folder)
    describe_checkpoint(folder, {"command": "oryx-scene train OUT", "seed": 4})
    told = json.loads((folder / "config.json").read_text())["oryx_scene"]
    assert told == {"trained": False, "name": "random", "command": "oryx-scene train OUT"} | {
        "seed": 4
    }
    assert revision_of(folder) != before
    assert load_answerer(str(folder), device="cpu").card.name == "random"
    with pytest.raises(CheckpointError):
        describe_checkpoint(tmp_path, {})
