"""Settings of the pipeline as frozen dataclasses that check themselves.

``load_config`` reads a YAML file; an unknown key or a value out of range is refused by its dotted
path. Nothing below the command line reads the environment.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from oryx_scene.errors import ConfigError

# Scenes that are only compared with each other: nothing is drawn for anyone to read, so more
# objects carry a number than in a prompt.
COMPARED_MARKS = 24
COMPRESSIONS = ("auto", "1", "4", "16")


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(
            f"{name} is {value}; it must lie between {low} and {high}.",
            hint="see docs/configuration.md",
        )


@dataclass(frozen=True)
class ViewsConfig:
    """Which frames a question rests on.

    Attributes:
        count: most views (1..1600).
        slop_s: allowed spread of the stamps of one synchronised set (0..2).
        history_s: how far back earlier viewpoints may lie when a camera moves (0..3600).
        min_gap_s: of each span of this length only the newest frame of a camera counts (0..60).
        max_age_s: the newest frame may be at most this old (0.05..3600).
    """

    count: int = 8
    slop_s: float = 0.05
    history_s: float = 60.0
    min_gap_s: float = 0.2
    max_age_s: float = 1.0

    def __post_init__(self) -> None:
        _in_range("views.count", self.count, 1, 1600)
        _in_range("views.slop_s", self.slop_s, 0.0, 2.0)
        _in_range("views.history_s", self.history_s, 0.0, 3600.0)
        _in_range("views.min_gap_s", self.min_gap_s, 0.0, 60.0)
        _in_range("views.max_age_s", self.max_age_s, 0.05, 3600.0)


@dataclass(frozen=True)
class BudgetConfig:
    """How many visual tokens a scene may cost.

    Attributes:
        compression: "auto", "1", "4" or "16".
        max_visual_tokens: Oryx was trained on prompts of 16,384 tokens (16..131072).
        image_views_max: up to this many views "auto" shows at 1x (0..64).
        image_max_side: side of the square that bounds a 1x picture's area, pixels (64..4096).
        video_max_side: the same for 4x and 16x (64..4096).
        deadline_s: seconds that an answer may take, views and compression are chosen for it from
            measured rates; 0 = none (0..3600).
        answer_tokens: length of the answer that a deadline is planned for (1..4096).
        resize: "fit" keeps the aspect ratio, "reference" floors sides as the original code does.
    """

    compression: str = "auto"
    max_visual_tokens: int = 16384
    image_views_max: int = 4
    image_max_side: int = 1024
    video_max_side: int = 480
    resize: str = "fit"
    deadline_s: float = 0.0
    answer_tokens: int = 32

    def __post_init__(self) -> None:
        if self.compression not in COMPRESSIONS:
            raise ConfigError(
                f"budget.compression is '{self.compression}'.",
                hint=f"one of {', '.join(COMPRESSIONS)}",
            )
        if self.resize not in ("fit", "reference"):
            raise ConfigError(f"budget.resize is '{self.resize}'.", hint="fit or reference")
        _in_range("budget.deadline_s", self.deadline_s, 0.0, 3600.0)
        _in_range("budget.answer_tokens", self.answer_tokens, 1, 4096)
        _in_range("budget.max_visual_tokens", self.max_visual_tokens, 16, 131072)
        _in_range("budget.image_views_max", self.image_views_max, 0, 64)
        _in_range("budget.image_max_side", self.image_max_side, 64, 4096)
        _in_range("budget.video_max_side", self.video_max_side, 64, 4096)


@dataclass(frozen=True)
class MarkingConfig:
    """Whether and how many objects get a number, and which facts reach the prompt.

    Attributes:
        enabled: draw marks at all.
        max_marks: K; too many hide the picture (1..99). The default of this field is that of the
            library, the command line and the node.
        facts: "fit" attaches measured facts that fit the question, "all" all of them, "none" none.
        pose_shift_m, pose_turn_deg: how wrong poses may be where their source does not say so: root
            mean square of the shift (0..10) and standard deviation of the turn (0..45).
    """

    enabled: bool = True
    max_marks: int = 8
    facts: str = "fit"
    pose_shift_m: float = 0.02
    pose_turn_deg: float = 1.0

    def __post_init__(self) -> None:
        _in_range("marks.max_marks", self.max_marks, 1, 99)
        _in_range("marks.pose_shift_m", self.pose_shift_m, 0.0, 10.0)
        _in_range("marks.pose_turn_deg", self.pose_turn_deg, 0.0, 45.0)
        if self.facts not in ("fit", "all", "none"):
            raise ConfigError(f"marks.facts is '{self.facts}'.", hint="fit, all or none")


@dataclass(frozen=True)
class AnswersConfig:
    """How answers in a form are judged.

    Attributes:
        unsure_below: a yes/no answer less sure than this says "unsure" (0.5..1; 0.5 never does).
    """

    unsure_below: float = 0.55

    def __post_init__(self) -> None:
        _in_range("answers.unsure_below", self.unsure_below, 0.5, 1.0)


@dataclass(frozen=True)
class PipelineConfig:
    """All settings of one pipeline.

    ``pictures`` False replaces every picture by mid grey: the "no pictures" run of an evaluation.
    """

    views: ViewsConfig = field(default_factory=ViewsConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    marks: MarkingConfig = field(default_factory=MarkingConfig)
    answers: AnswersConfig = field(default_factory=AnswersConfig)
    fixed_frame: str = "map"
    pictures: bool = True


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
    known = {item.name for item in dataclasses.fields(cls)}
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
