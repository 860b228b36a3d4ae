import argparse
import inspect
from pathlib import Path

import pytest
import yaml

from oryx_scene.cli import (
    ask,
    changed,
    eval_changed,
    eval_curves,
    eval_marks,
    eval_recording,
    eval_scenes,
    replay,
    view,
)
from oryx_scene.cli import marks as marks_command
from oryx_scene.cli.common import config_from_args
from oryx_scene.config import (
    COMPARED_MARKS,
    MarksConfig,
    PipelineConfig,
    config_as_dict,
    config_from_dict,
    load_config,
    settings_yaml,
)
from oryx_scene.errors import ConfigError
from oryx_scene.lab.evaluation.marks import run_condition
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config


def test_defaults_and_file(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("views: {count: 4}\nbudget: {compression: '16'}\n")
    config = load_config(path)
    assert (config.views.count, config.budget.compression) == (4, "16")
    assert config_from_dict({}) == PipelineConfig()
    assert config_from_dict(config_as_dict(config)) == config


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"veiws": {}}, "veiws"),
        ({"views": {"cuont": 1}}, "views.cuont"),
        ({"views": {"count": "many"}}, "views.count"),
        ({"views": {"count": True}}, "views.count"),
        ({"views": {"count": 0}}, "views.count"),
        ({"views": 3}, "views"),
        ({"budget": {"compression": "2"}}, "budget.compression"),
        ({"marks": {"facts": "some"}}, "marks.facts"),
        ({"marks": {"discs": {}}}, "marks.discs"),
        ({"marks": {"min_size_m": 3.0}}, "marks.max_size_m"),
        ({"marks": {"max_range_m": float("nan")}}, "marks.max_range_m"),
    ],
)
def test_refused_by_dotted_path(values, said):
    with pytest.raises(ConfigError, match=said):
        config_from_dict(values)


def test_a_file_that_is_no_settings(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError, match="list"):
        load_config(path)
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(path)
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.yaml")


# -- one number of marks ---------------------------------------------------------------------------

K = MarksConfig().max_marks
ROOT = Path(__file__).parent.parent


def parser_of(command):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser


@pytest.mark.parametrize(
    ("command", "most"),
    [
        *((one, K) for one in (ask, marks_command, replay, view, eval_recording)),
        *((one, K) for one in (eval_marks, eval_curves, eval_scenes)),
        *((one, COMPARED_MARKS) for one in (changed, eval_changed)),
    ],
)
def test_every_command_that_finds_marks_takes_a_number(command, most):
    parser = parser_of(command)
    assert f"(default {most})" in " ".join(parser.format_help().split())
    (action,) = [item for item in parser._actions if "--max-marks" in item.option_strings]
    assert action.default in (None, most)


def test_the_number_of_marks_has_one_default(tmp_path):
    assert MarksConfig().max_marks == PipelineConfig().marks.max_marks == K
    assert inspect.signature(run_condition).parameters["max_marks"].default == K
    assert pipeline_config(SceneSpec(0)).marks.max_marks == K
    assert pipeline_config(SceneSpec(0, max_marks=3)).marks.max_marks == 3
    page = (ROOT / "docs" / "configuration.md").read_text()
    shown = page.split("```yaml\n")[1].split("```")[0]
    assert shown == settings_yaml(), "python -m oryx_scene.config prints it"
    assert config_from_dict(yaml.safe_load(shown)) == PipelineConfig()
    launched = yaml.safe_load((ROOT / "launch" / "scene.yaml").read_text())
    assert next(iter(launched.values()))["ros__parameters"]["marks"]["max_marks"] == K
    # The command line wins over the file.
    settings = tmp_path / "settings.yaml"
    settings.write_text("marks: {max_marks: 5}\n")
    parser = parser_of(marks_command)
    given = parser.parse_args(["bag", "--config", str(settings)])
    assert config_from_args(given).marks.max_marks == 5
    given = parser.parse_args(["bag", "--config", str(settings), "--max-marks", "3"])
    assert config_from_args(given).marks.max_marks == 3
    with pytest.raises(ConfigError, match=r"marks\.max_marks"):
        config_from_args(parser.parse_args(["bag", "--max-marks", "0"]))
