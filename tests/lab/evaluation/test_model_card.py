import json
import math

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main
from oryx_scene.errors import ConfigError
from oryx_scene.lab.evaluation.model_card import write_calibration, write_card
from oryx_scene.lab.evaluation.scene_report import as_report
from oryx_scene.lab.evaluation.scene_runs import Done
from oryx_scene.lab.evaluation.scene_scores import KindScore, reliability
from oryx_scene.lab.synth.question_types import SceneQuestion
from oryx_scene.model.checkpoint.load import revision_of
from oryx_scene.model.checkpoint.random_model import write_random_checkpoint
from oryx_scene.model.checkpoint.sidecar_files import load_calibration
from oryx_scene.records import Question

TOLD = {
    "name": "small",
    "synthetic_only": True,
    "scratchpad": True,
    "command": "oryx-scene train out --seed 3",
    "machine": "two cores | idle",
    "recipe": {"seed": 3, "steps": 7},
}


@pytest.fixture
def folder(tmp_path):
    path = write_random_checkpoint(tmp_path / "checkpoint")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "oryx_scene": TOLD}))
    return path


def report_about(revision):
    colour, exists, sure = KindScore(), KindScore(), KindScore()
    asked = SceneQuestion("colour", Question("What colour is mark 1?"), "", "", "red", 8)
    there = SceneQuestion("exists", Question("Is there a box?"), "", "", "yes", 2)
    for text in ("It is red.", "It is red.", "It is blue.", "It is red."):
        colour.count(asked, text)
        exists.count(there, "Yes.")
        sure.count_scored(there, {"yes": 0.75, "no": 0.25})
    scores = {
        "plain": {"colour": colour, "exists": exists},
        "scored": {"exists": sure},
        "views_8": {"colour": colour},
    }
    about = {"command": "oryx-scene eval scenes --scenes 4", "date": "2030-01-02"}
    about |= {"machine": "a machine", "first_seed": 20000}
    done = Done(scores, {"plain": 4, "scored": 4, "views_8": 3})
    return {**as_report(done, about), "revision": revision}


def test_the_card_says_what_config_and_evaluation_say(folder):
    text = write_card(folder, report_about(revision_of(folder))).read_text()
    assert text.startswith("# small\n")
    for said in (
        "| command | oryx-scene train out --seed 3 |",
        "| machine | two cores / idle |",
        "| commit | not stated |",
        '`{"seed": 3, "steps": 7}`',
        "| colour | 3/4 | 0.750 | 0.301-0.954 | 0.97 **missed** | 0.12 | 1.00 | - |",
        "| exists | 4/4 | 1.000 |",
        "on 4 scenes that training never saw (seeds from 20000 on)",
        "`oryx-scene eval scenes --scenes 4`, a machine, 2030-01-02",
        "| views_8 | 8 views | 3 | 0.750 |",
        "| 0.7-0.8 | 4 | 0.750 | 1.000 |",
        "Expected calibration error 0.250",
        "rendered rooms only",
        "scratchpad",
    ):
        assert said in text, said
    assert "exists: is there a red box" in text


def test_a_card_about_other_weights_is_refused(folder):
    with pytest.raises(ConfigError, match="about revision abc"):
        write_card(folder, report_about("abc"))
    assert not (folder / "README.md").exists()


def test_a_calibration_is_written_where_it_helps(folder, tmp_path, capsys):
    report = report_about(revision_of(folder))
    with pytest.raises(ConfigError, match="too few"):
        write_calibration(folder, report)
    sure = [(0.95, index % 4 != 0) for index in range(400)]
    report["calibration"] = reliability(sure)
    with pytest.raises(ConfigError, match="calibrated"):
        write_calibration(folder, {**report, "calibrated": True})
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert main(["eval", "scenes", "--read", str(path), "--calibrate", str(folder)]) == 0
    capsys.readouterr()
    found = load_calibration(folder)["yes_no"]
    assert found.samples == 200 and "400 yes/no answers" in found.source
    # 95 % of probability is said as about the 75 % that are right.
    log_odds = found.scale * math.log(0.95 / 0.05) + found.bias
    assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(0.75, abs=0.06)
    report["calibration"]["fitted"]["error_after"] = 0.9
    with pytest.raises(ConfigError, match="does not help"):
        write_calibration(folder, report)


def test_the_command_writes_it_from_an_earlier_evaluation(folder, tmp_path, capsys):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report_about(revision_of(folder))))
    assert main(["eval", "scenes", "--read", str(path), "--card", str(folder)]) == 0
    assert "README.md: written" in capsys.readouterr().err
    assert "# small" in (folder / "README.md").read_text()
    path.write_text("{}")
    assert main(["eval", "scenes", "--read", str(path), "--card", str(folder)]) == 2
