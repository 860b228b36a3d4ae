"""Settings of the pipeline: the one place of their defaults, ranges and meanings.

Frozen dataclasses that check themselves. Flags of the command line, parameters of the node, the
files in launch/ and the page docs/configuration.md are made from the fields below.
``load_config`` reads a YAML file; an unknown key or a value out of range is refused by its dotted
path. Nothing below the command line reads the environment.

`python -m oryx_scene.config` prints all settings as YAML.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

import yaml

from oryx_scene.errors import ConfigError
from oryx_scene.records import DiscLayout

# Scenes that are only compared with each other: nothing is drawn for anyone to read, so more
# objects carry a number than in a prompt.
COMPARED_MARKS = 24


@dataclass(frozen=True)
class Setting:
    """What a setting means and what it may be.

    Attributes:
        text: meaning, unit included.
        low, high: allowed range of a number, ends included.
        choices: allowed texts.
    """

    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, path: str, value: Any) -> None:
        """Refuse a value that is not allowed.

        Raises:
            ConfigError: out of range, or none of the choices.
        """
        hint = "see docs/configuration.md"
        if self.choices and value not in self.choices:
            raise ConfigError(f"{path} is '{value}'.", hint=f"one of {', '.join(self.choices)}")
        # Written this way round NaN is refused, too.
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            limits = f"it must lie between {self.low:.10g} and {self.high:.10g}"
            raise ConfigError(f"{path} is {value}; {limits}.", hint=hint)


def _setting(
    default: Any,
    text: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    return field(default=default, metadata={"setting": Setting(text, low, high, choices)})


def settings_of(group: type) -> dict[str, Setting]:
    """The settings of one group, or of :class:`PipelineConfig` itself, by name."""
    found = {item.name: item.metadata.get("setting") for item in dataclasses.fields(group)}
    return {name: one for name, one in found.items() if one is not None}


class SettingsGroup:
    """Settings that belong together; ``group`` is their name in files and parameters."""

    group: ClassVar[str]

    def __init_subclass__(cls, *, group: str) -> None:
        cls.group = group

    def __post_init__(self) -> None:
        prefix = f"{self.group}." if self.group else ""
        for name, one in settings_of(type(self)).items():
            one.check(f"{prefix}{name}", getattr(self, name))


@dataclass(frozen=True)
class ViewsConfig(SettingsGroup, group="views"):
    """Which frames a question rests on."""

    count: int = _setting(8, "Most views of one question.", 1, 1600)
    slop_s: float = _setting(0.05, "Allowed spread of the stamps of one moment, s.", 0.0, 2.0)
    max_age_s: float = _setting(
        1.0, "The newest frame of a camera may be this old, s (ROS time).", 0.05, 3600.0
    )
    history_s: float = _setting(
        60.0,
        "How far back earlier viewpoints of a moving camera may lie, s; 0 = newest moment only.",
        0.0,
        3600.0,
    )
    min_gap_s: float = _setting(
        0.2,
        "Of each span of this length, s, only a camera's newest frame is an earlier viewpoint.",
        0.0,
        60.0,
    )


@dataclass(frozen=True)
class BudgetConfig(SettingsGroup, group="budget"):
    """How many visual tokens a scene may cost."""

    compression: str = _setting("auto", "Visual compression.", choices=("auto", "1", "4", "16"))
    # Oryx was trained on prompts of 16,384 tokens.
    max_visual_tokens: int = _setting(16384, "Most visual tokens of a scene.", 16, 131072)
    image_views_max: int = _setting(4, "Up to this many views `auto` shows at 1x.", 0, 64)
    image_max_side: int = _setting(
        1024, "Side of the square that bounds a 1x picture's area, px.", 64, 4096
    )
    video_max_side: int = _setting(480, "The same for 4x and 16x, px.", 64, 4096)
    deadline_s: float = _setting(
        0.0,
        "Views and compression are chosen so that an answer takes this long, s; 0 = off.",
        0.0,
        3600.0,
    )
    answer_tokens: int = _setting(32, "Answer length that a deadline is planned for.", 1, 4096)
    resize: str = _setting(
        "fit",
        "`fit` keeps the aspect ratio, `reference` floors sides as the original code does.",
        choices=("fit", "reference"),
    )


@dataclass(frozen=True)
class MarksConfig(SettingsGroup, group="marks"):
    """How objects are found, how many get a number, and which facts reach the prompt.

    ``discs`` is no setting: it is how numbers will be drawn in the views at hand.
    """

    enabled: bool = _setting(True, "Draw numbers on objects.")
    # Coarse Correspondences (arXiv 2408.00754): too many marks hide the picture.
    max_marks: int = _setting(8, "Most numbers of a scene; too many hide the picture.", 1, 99)
    facts: str = _setting(
        "fit",
        "Which measured facts reach the prompt: those that fit the question, all, or none.",
        choices=("fit", "all", "none"),
    )
    pose_shift_m: float = _setting(
        0.02,
        "How wrong a camera's place may be where its source does not say so (root mean square), m.",
        0.0,
        10.0,
    )
    pose_turn_deg: float = _setting(1.0, "The same for its direction, degrees.", 0.0, 45.0)
    max_range_m: float = _setting(
        6.0, "Depth beyond this is too noisy to tell objects apart, m.", 0.1, 1000.0
    )
    min_size_m: float = _setting(0.03, "Smallest extent of an object, m.", 0.0, 100.0)
    max_size_m: float = _setting(2.0, "Largest extent of an object, m.", 0.001, 1000.0)
    min_area_share: float = _setting(
        0.0015, "Smallest share of a picture that shows an object.", 0.0, 1.0
    )
    discs: DiscLayout = field(default_factory=DiscLayout)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_size_m > self.max_size_m:
            raise ConfigError(
                f"marks.min_size_m is {self.min_size_m}, above marks.max_size_m {self.max_size_m}.",
                hint="no object can be that large and that small",
            )


@dataclass(frozen=True)
class AnswersConfig(SettingsGroup, group="answers"):
    """How scored answers are judged."""

    unsure_below: float = _setting(
        0.55, "A yes/no answer less sure than this says unsure; 0.5 never does.", 0.5, 1.0
    )


GROUPS: tuple[type[SettingsGroup], ...] = (ViewsConfig, BudgetConfig, MarksConfig, AnswersConfig)


@dataclass(frozen=True)
class PipelineConfig(SettingsGroup, group=""):
    """All settings of one pipeline."""

    views: ViewsConfig = field(default_factory=ViewsConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    marks: MarksConfig = field(default_factory=MarksConfig)
    answers: AnswersConfig = field(default_factory=AnswersConfig)
    fixed_frame: str = _setting("map", "Coordinate frame in which places are found.")
    pictures: bool = _setting(
        True, "False shows the model mid grey instead of every picture, to compare with."
    )


def config_as_dict(config: SettingsGroup) -> dict[str, Any]:
    """All settings as nested dictionaries, as :func:`config_from_dict` reads them."""
    values = {name: getattr(config, name) for name in settings_of(type(config))}
    groups = {item.group: item for item in vars(config).values() if isinstance(item, SettingsGroup)}
    return {**{name: config_as_dict(item) for name, item in groups.items()}, **values}


def settings_yaml() -> str:
    """Every setting with its default, as YAML with a comment each."""
    lines = [line for group in GROUPS for line in (f"{group.group}:", *_described(group, "  "))]
    return "\n".join([*_described(PipelineConfig, ""), *lines]) + "\n"


def _described(group: type[SettingsGroup], indent: str) -> Iterator[str]:
    defaults = group()
    for name, one in settings_of(group).items():
        limits = "" if one.low is None else f" ({one.low:.10g} .. {one.high:.10g})"
        limits = f" ({', '.join(one.choices)})" if one.choices else limits
        yield f"{indent}# {one.text}{limits}"
        # A quoted text stays a text, also where it looks like a number.
        yield f"{indent}{name}: {json.dumps(getattr(defaults, name))}"


def _check_value(path: str, value: object, hint: Any) -> object:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{path} must be a group of settings, got {value!r}.")
        return _from_dict(hint, value, path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    allowed = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    # bool is an int in Python; "count: true" is a mistake all the same.
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join(getattr(kind, "__name__", str(kind)) for kind in allowed)
        raise ConfigError(f"{path} must be {wanted}, got {value!r}.")
    return value


def _from_dict(cls: Any, values: dict[Any, Any], prefix: str = "") -> Any:
    hints = get_type_hints(cls)
    groups = {group.group for group in GROUPS} if cls is PipelineConfig else set()
    known = {*settings_of(cls), *groups}
    arguments: dict[str, object] = {}
    for key, value in values.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if key not in known:
            raise ConfigError(
                f"unknown setting '{path}'.", hint=f"known here: {', '.join(sorted(known))}"
            )
        arguments[str(key)] = _check_value(path, value, hints[key])
    return cls(**arguments)


def config_from_dict(values: dict[str, Any]) -> PipelineConfig:
    """Build the settings from nested dictionaries.

    Raises:
        ConfigError: unknown key, wrong type or value out of range, by dotted path.
    """
    config = _from_dict(PipelineConfig, values)
    assert isinstance(config, PipelineConfig)
    return config


def load_config(path: str | Path) -> PipelineConfig:
    """Read a YAML file of settings.

    Raises:
        ConfigError: not readable, not YAML, or as for :func:`config_from_dict`.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(f"cannot read {path}: {err.strerror}.") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(err).split())}.") from err
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold settings by name, got {type(values).__name__}.")
    return config_from_dict(values)


if __name__ == "__main__":
    sys.stdout.write(settings_yaml())
