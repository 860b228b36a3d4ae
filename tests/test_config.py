import pytest

from oryx_scene.config import PipelineConfig, config_from_dict, load_config
from oryx_scene.errors import ConfigError


def test_defaults_and_file(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("views: {count: 4}\nbudget: {compression: '16'}\n")
    config = load_config(path)
    assert (config.views.count, config.budget.compression) == (4, "16")
    assert config_from_dict({}) == PipelineConfig()


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
