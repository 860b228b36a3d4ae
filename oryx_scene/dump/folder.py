"""The folder of one dumped question: written whole or not at all, read back strictly.

`dump.json` describes, the pictures lie beside it, `answer.json` is the answer as it was given. The
format is documented in docs/dump.md. Nothing here runs a model.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oryx_scene import __version__
from oryx_scene.atomic_io import write_json
from oryx_scene.config import PipelineConfig, config_as_dict, config_from_dict
from oryx_scene.dump.frame_files import FrameRecord, read_frame, read_record, write_frame
from oryx_scene.dump.plain import PlainError, from_plain
from oryx_scene.errors import ConfigError, OutputError, SourceError
from oryx_scene.model.api import Limits, ModelCard, Prompt
from oryx_scene.qa.answer_json import SCHEMA as ANSWER_SCHEMA
from oryx_scene.qa.answer_json import answer_to_dict, to_plain
from oryx_scene.qa.pipeline import ScenePipeline, prompt_hash
from oryx_scene.records import Frame, MarkSet, Question, SceneAnswer
from oryx_scene.scene.freeze import Scene
from oryx_scene.warning import Warning

SCHEMA = "oryx_scene/dump/1"
DESCRIPTION = "dump.json"
ANSWER = "answer.json"


@dataclass(frozen=True)
class PromptRecord:
    """The prompt's texts, its pictures by content key, and the hashes the answer is signed with.

    Attributes:
        scene: texts, and "picture KEY KEY ..." in place of the pictures of one slot.
        sha256, tokens_sha256: as in the answer's provenance.
    """

    system: str
    scene: tuple[str, ...]
    question: str
    answer_prefix: str
    sha256: str
    tokens_sha256: str


@dataclass(frozen=True)
class LimitsRecord:
    """:class:`oryx_scene.model.api.Limits` without the cancel flag."""

    max_new_tokens: int
    deadline_s: float | None
    temperature: float
    top_p: float
    top_k: int
    seed: int
    repetition_penalty: float | None

    def limits(self) -> Limits:
        """The limits to generate with."""
        return Limits(**dataclasses.asdict(self))


@dataclass(frozen=True, eq=False)
class Dump:
    """One question with all that its answer rests on.

    Attributes:
        folder: where it was read from.
        question: as asked.
        frames: in the order in which the model saw them.
        frozen_ns: the source's "now" when the scene was frozen.
        scene_id: hash of evidence, marks and settings.
        marks: as they were found then; a finder that remembers earlier scenes need not run again.
        scene_warnings, synthetic, choice: as in :class:`oryx_scene.scene.freeze.Scene`.
        config: the pipeline's settings.
        limits: how the answer was generated.
        model: the model that answered.
        model_name: what the user called it ("random", a folder, ...), "" if not known.
        prompt: its texts and hashes.
        answer: the answer's JSON, as given.
        software_version: of the library that wrote the dump.
    """

    folder: Path
    question: Question
    frames: tuple[Frame, ...]
    frozen_ns: int
    scene_id: str
    marks: MarkSet
    scene_warnings: tuple[Warning, ...]
    synthetic: bool
    choice: dict[str, int | float | str]
    config: PipelineConfig
    limits: LimitsRecord
    model: ModelCard
    model_name: str
    prompt: PromptRecord
    answer: dict[str, Any]
    software_version: str


@dataclass(frozen=True)
class _Description:
    """dump.json, but for the settings, which ``config_from_dict`` reads."""

    software_version: str
    question: Question
    frames: tuple[FrameRecord, ...]
    frozen_ns: int
    scene_id: str
    marks: MarkSet
    scene_warnings: tuple[Warning, ...]
    synthetic: bool
    limits: LimitsRecord
    model: ModelCard
    prompt: PromptRecord
    model_name: str = ""
    choice: dict[str, int | float | str] = field(default_factory=dict)


# -- writing ------------------------------------------------------------------------------------


def write_dump(
    folder: str | Path,
    pipeline: ScenePipeline,
    scene: Scene,
    answer: SceneAnswer,
    limits: Limits,
    *,
    model_name: str = "",
) -> Path:
    """Keep one answered question; the folder appears whole or not at all.

    Args:
        folder: to be made; must not exist.
        pipeline: that answered.
        scene: that was asked about.
        answer: as given.
        limits: as asked with.
        model_name: what the user called the model, so that a repeat finds it again.

    Returns:
        ``folder``.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise OutputError(folder, "it exists already.", hint="choose another name")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        records = [write_frame(part, i, frame) for i, frame in enumerate(scene.views.frames)]
        write_json(part / ANSWER, answer_to_dict(answer))
        described = _describe(pipeline, scene, answer, limits, records, model_name)
        write_json(part / DESCRIPTION, described)
        part.rename(folder)
    except OSError as err:
        raise OutputError(folder, err.strerror or str(err)) from err
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _describe(
    pipeline: ScenePipeline,
    scene: Scene,
    answer: SceneAnswer,
    limits: Limits,
    records: list[FrameRecord],
    model_name: str,
) -> dict[str, Any]:
    prompt = pipeline.prompt_for(scene, answer.question)
    tokens = answer.provenance.get("tokens_sha256", "")
    wanted = {item.name: getattr(limits, item.name) for item in dataclasses.fields(LimitsRecord)}
    return {
        "schema": SCHEMA,
        "software_version": __version__,
        "question": to_plain(answer.question),
        "frames": to_plain(records),
        "frozen_ns": scene.frozen_ns,
        "scene_id": scene.scene_id,
        "marks": to_plain(scene.marks),
        "scene_warnings": to_plain(scene.warnings),
        "synthetic": scene.synthetic,
        "choice": to_plain(scene.choice),
        "settings": config_as_dict(pipeline.config),
        "limits": to_plain(LimitsRecord(**wanted)),
        "model": to_plain(pipeline.answerer.card),
        "model_name": model_name,
        "prompt": to_plain(prompt_record(prompt, tokens)),
    }


def prompt_record(prompt: Prompt, tokens_sha256: str) -> PromptRecord:
    """What a dump keeps of a prompt."""
    scene = tuple(
        part if isinstance(part, str) else " ".join(("picture", *part.keys))
        for part in prompt.scene
    )
    return PromptRecord(
        system=prompt.system,
        scene=scene,
        question=prompt.question,
        answer_prefix=prompt.answer_prefix,
        sha256=prompt_hash(prompt),
        tokens_sha256=tokens_sha256,
    )


# -- reading ------------------------------------------------------------------------------------


def is_dump(path: str | Path) -> bool:
    """Whether ``path`` is a folder that :func:`write_dump` wrote."""
    return (Path(path) / DESCRIPTION).is_file()


def read_dump(folder: str | Path) -> Dump:
    """Read one dumped question, every picture checked.

    Raises:
        SourceError: missing, damaged, of another format, or holding what cannot be.
    """
    folder = Path(folder)
    described = _read_object(folder, DESCRIPTION, SCHEMA)
    answer = _read_object(folder, ANSWER, ANSWER_SCHEMA)
    settings = described.pop("settings", None)
    records = described.pop("frames", None)
    try:
        if not isinstance(records, list) or not records:
            raise PlainError("frames", "a list of at least one", records)
        if not isinstance(settings, dict):
            raise PlainError("settings", "an object", settings)
        read = tuple(read_record(item, f"frames[{i}]") for i, item in enumerate(records))
        own = from_plain(_Description, {**described, "frames": []}, DESCRIPTION)
        config = config_from_dict(settings)
        _check_views(own.marks, len(read))
    except (PlainError, ConfigError) as err:
        raise SourceError(
            folder, f"{DESCRIPTION}: {err}.", hint="the format is described in docs/dump.md"
        ) from err
    kept = {item.name for item in dataclasses.fields(Dump)}
    values = {item.name: getattr(own, item.name) for item in dataclasses.fields(own)}
    values |= {"frames": tuple(read_frame(folder, record) for record in read)}
    return Dump(
        folder=folder,
        config=config,
        answer=answer,
        **{name: value for name, value in values.items() if name in kept},
    )


def _check_views(marks: MarkSet, count: int) -> None:
    for mark in marks.marks:
        for observation in mark.observations:
            if not 0 <= observation.view < count:
                path = f"marks of {mark.number}"
                raise PlainError(path, f"a view below {count}", observation.view)


def _read_object(folder: Path, name: str, schema: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_bytes())
    except OSError as err:
        raise SourceError(
            folder, f"{name} cannot be read: {err.strerror}.", hint="is it a dumped question?"
        ) from err
    except (ValueError, RecursionError) as err:
        raise SourceError(folder, f"{name} is no JSON ({' '.join(str(err).split())}).") from err
    came = found.get("schema") if isinstance(found, dict) else None
    if came != schema:
        raise SourceError(
            folder,
            f"{name} is of format '{came}', '{schema}' was expected.",
            hint="a newer or older version of oryx_scene wrote it",
        )
    if name == DESCRIPTION:
        del found["schema"]
    return dict(found)
