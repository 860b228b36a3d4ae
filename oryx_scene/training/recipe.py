"""The recipe from nothing to a checkpoint folder: scenes, words, the tower, the link, the answers.

Every part can be interrupted and goes on where it was. The tower is aligned with what pictures
show while the language model, beside it, learns to read measured facts; the link starts its look at
numbers; then answers are taught, first with the tower at rest, then all together.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oryx_scene.errors import ConfigError
from oryx_scene.model.load import load_answerer
from oryx_scene.model.oryx import Oryx
from oryx_scene.model.tokenizer import HubTokenizer
from oryx_scene.model.weights import read_json
from oryx_scene.synth.questions import FACT_KINDS, KINDS, ask
from oryx_scene.synth.rigs import camera_names
from oryx_scene.synth.things import measured_scene
from oryx_scene.synth.words import COLOURS, FURNITURE, SHAPES
from oryx_scene.training.course import Stage
from oryx_scene.training.crew import ONE_CORE, Crew
from oryx_scene.training.learner import Learner
from oryx_scene.training.lessons import Lesson, make_lesson, prompt_text
from oryx_scene.training.lookup import link_numbers
from oryx_scene.training.loop import Trainer
from oryx_scene.training.pool import fill_pool, pool_files
from oryx_scene.training.probe import probe
from oryx_scene.training.samples import load_sample
from oryx_scene.training.small import new_model, see_patches, small_config, write_checkpoint
from oryx_scene.training.teacher import load_teacher, train_teacher
from oryx_scene.training.vocabulary import lexicon, number_features, write_tokenizer

TOWER = ("model.vision", "patch_heads", "token_heads", "thing_heads", "hint_heads")
LANGUAGE = ("model.language", "model.projector")
NO_PICTURES = (*TOWER, "model.compressor", "model.projector")
LOOKING = {"colour": 3.0, "what": 2.0, "describe": 3.0, "shape": 2.0}
ASKING = {
    "colour": 1.5,
    "shape": 2.0,
    "what": 1.0,
    "which": 1.5,
    "exists": 1.5,
    "count": 2.0,
    "left_right": 1.2,
    "front_behind": 1.2,
    "above_below": 0.8,
    "on": 0.4,
    "nearest": 1.2,
    "nearer": 1.2,
    "nearer_camera": 1.2,
    "distance": 0.5,
    "range": 0.4,
    "position": 0.5,
    "size": 0.2,
    "total": 0.3,
    "describe": 1.0,
    "needle": 1.0,
    "differs": 1.0,
    "changed": 1.0,
}

# What is learnt last: words at a distance, in searches and comparisons.
WEAK = {
    "which": 2.0,
    "exists": 2.0,
    "count": 2.0,
    "left_right": 2.0,
    "front_behind": 2.0,
    "above_below": 1.5,
    "nearer": 0.3,
    "nearer_camera": 0.3,
    "on": 0.2,
    "nearest": 0.2,
    "distance": 0.1,
    "range": 0.1,
    "position": 0.1,
    "size": 0.1,
    "total": 0.1,
    "colour": 1.0,
    "shape": 1.0,
    "what": 1.0,
    "describe": 0.7,
    "needle": 1.0,
    "differs": 1.0,
    "changed": 1.0,
}


@dataclass(frozen=True)
class Recipe:
    """How much of everything.

    Attributes:
        scenes: in the pool.
        teacher: steps of the network that gives the tower hints.
        tower, reading, look, answers, together, polish: steps of the stages.
        seed: of everything random.
        wider: times as many scenes and drill rows in every step as `stages` says.
    """

    scenes: int
    teacher: int
    tower: int
    reading: int
    look: int
    answers: int
    together: int
    polish: int
    seed: int = 1
    wider: int = 1

    def planned(self) -> tuple[Stage, ...]:
        """The stages as they are run."""
        return tuple(
            dataclasses.replace(s, scenes=s.scenes * self.wider, drills=s.drills * self.wider)
            for s in self.stages()
        )

    def stages(self) -> tuple[Stage, ...]:
        """The stages in their order; the first two know nothing of each other."""
        return (
            Stage(
                *("tower", self.tower, 8, 1.5e-3, 1.0, 0.0, 0, {}, (2, 4), LANGUAGE),
                collages=0.75,
                hints=True,
                final=0.02,
            ),
            Stage(
                *("reading", self.reading, 8, 1.5e-3, 0.0, 1.0, 24, ASKING, (1, 2, 4)),
                *(NO_PICTURES, 1.0, 192, True),
                final=0.5,
            ),
            Stage(
                *("look", self.look, 8, 1e-3, 0.0, 1.0, 12, LOOKING, (2, 4), TOWER),
                drills=64,
                final=0.5,
            ),
            Stage(
                *("answers", self.answers, 8, 1.2e-3, 0.0, 1.0, 24, ASKING, (2, 4), TOWER),
                readings=0.25,
                drills=192,
                final=0.4,
            ),
            Stage(
                *("together", self.together, 8, 6e-4, 0.3, 1.0, 24, ASKING, (1, 2, 4)),
                readings=0.15,
                drills=144,
                final=0.03,
            ),
            Stage(
                *("polish", self.polish, 8, 8e-4, 0.0, 1.0, 24, WEAK, (1, 2, 4), NO_PICTURES),
                readings=0.65,
                drills=96,
                final=0.03,
            ),
        )


# "cpu" is meant for a few core-hours, "gpu" for twenty minutes of a large GPU and 16 cores; "tiny"
# shows in minutes that every part runs.
PRESETS = {
    "cpu": Recipe(11000, 900, 2800, 1100, 40, 280, 320, 330),
    "gpu": Recipe(14000, 900, 1200, 400, 30, 200, 400, 200, wider=4),
    "tiny": Recipe(6, 1, 2, 1, 1, 2, 1, 1),
}


@dataclass(frozen=True, eq=False)
class Start:
    """What every stage starts from: folders, words and first weights."""

    pool: Path
    words: Path
    tokenizer: HubTokenizer
    config: dict[str, Any]
    model: Oryx


def prepare(
    recipe: Recipe,
    out: Path,
    said: Callable[[str], None],
    begin: Path | None = None,
    crew: Crew = ONE_CORE,
) -> Start:
    """Scenes, vocabulary and first weights; what is there already is taken as it is.

    Args:
        recipe: what to do.
        out: folder of the run.
        said: receives one line now and then.
        begin: checkpoint folder whose vocabulary and weights to begin with, None for new ones.
        crew: who renders.

    Raises:
        ConfigError: the folder holds another recipe.
        CheckpointError: ``begin`` is no checkpoint.
    """
    out.mkdir(parents=True, exist_ok=True)
    group = crew.group
    if group.first:
        _same_recipe(recipe, out)
    pool = out / "pool"
    for path in fill_pool(pool, group.share(recipe.scenes), workers=crew.workers):
        if int(path.stem) % 200 == 0:
            said(f"scene {path.stem} of {recipe.scenes}")
    group.wait()
    if begin is not None:
        return _begin_with(begin, pool)
    if group.first:
        _write_words(out, pool)
    group.wait()
    return _begin_anew(recipe, out, pool)


def _write_words(out: Path, pool: Path) -> None:
    words = out / "tokenizer"
    if not (words / "tokenizer.json").exists():
        words.mkdir(exist_ok=True)
        write_tokenizer(words, lexicon(_texts(pool)))


def _begin_anew(recipe: Recipe, out: Path, pool: Path) -> Start:
    words = out / "tokenizer"
    tokenizer = HubTokenizer(words, "qwen2", None)
    rows = len(tokenizer._tokenizer)
    config = small_config(-(-rows // 8) * 8)
    numbers = number_features(tokenizer._tokenizer, int(config["hidden_size"]))
    model = new_model(config, numbers, recipe.seed)
    see_patches(model, [p for lesson in _lessons(pool, tokenizer, 120) for p in lesson.pictures])
    return Start(pool, words, tokenizer, config, model)


def _begin_with(folder: Path, pool: Path) -> Start:
    config = read_json(folder, "config.json")
    model = load_answerer(str(folder), device="cpu", dtype="float32").model.float()
    return Start(pool, folder, HubTokenizer(folder, "qwen2", None), config, model)


def train(
    recipe: Recipe,
    out: Path,
    said: Callable[[str], None],
    until: float = float("inf"),
    only: str = "",
    begin: Path | None = None,
    crew: Crew = ONE_CORE,
) -> Path:
    """Run a recipe in ``out``; returns the checkpoint folder.

    Args:
        recipe: what to do.
        out: folder of pool, states, log and checkpoint; a second call goes on.
        said: receives one line now and then.
        until: steady clock at which stages stop early.
        only: name of the one stage to run, for stages side by side; "" for all.
        begin: checkpoint folder to begin with, None for new weights.
        crew: who does the work; all processes of its group call this.

    Raises:
        ConfigError: the folder holds another recipe.
    """
    said(f"training on {crew.describe()}")
    start = prepare(recipe, out, said, begin, crew)
    before: list[Path] = []
    for stage in recipe.planned():
        state = out / stage.name / "state.pt"
        if only in ("", stage.name):
            _run_stage(start, stage, before, out / stage.name, recipe, said, until, crew)
        if state.exists():
            before.append(state)
    if not crew.group.first:
        return out / "checkpoint"
    for state in before:
        _take(Learner(start.model), state)
    told = {
        "recipe": vars(recipe),
        "stages": [s.name for s in recipe.stages()],
        "trained_on": crew.describe(),
    }
    return write_checkpoint(out / "checkpoint", start.model, start.config, start.words, told)


def _run_stage(
    start: Start,
    stage: Stage,
    before: list[Path],
    out: Path,
    recipe: Recipe,
    said: Callable[[str], None],
    until: float,
    crew: Crew,
) -> None:
    group, teacher = crew.group, out.parent / "teacher"
    if stage.hints and group.first:
        train_teacher(
            *(start.pool, teacher, recipe.teacher, recipe.seed, said),
            device=crew.device,
            workers=crew.workers,
        )
    group.wait()
    trainer = Trainer(
        *(start.model, start.tokenizer, stage, start.pool, out, recipe.seed),
        group=group,
        device=crew.device,
        workers=crew.workers,
    )
    if stage.hints:
        trainer.computing.listen_to(load_teacher(teacher).to(crew.device))
    for state in before:
        trainer.take(torch.load(state, map_location="cpu", weights_only=True)["learner"])
    if not trainer.resume() and stage.name == "look":
        lessons = _lessons(start.pool, start.tokenizer, 140)
        link_numbers(trainer.learner, lessons, start.tokenizer._tokenizer)
        trainer.compute.follow(frozen=True)
    trainer.run(said, until=until, inspect=_probing(start.pool) if stage.answers else None)


def _take(learner: Learner, state: Path) -> None:
    weights = torch.load(state, map_location="cpu", weights_only=True)["learner"]
    learner.load_state_dict(weights, strict=False)


def _same_recipe(recipe: Recipe, out: Path) -> None:
    path = out / "recipe.json"
    if path.exists():
        plain = {"wider": 1}  # what older runs did not say
        if {**plain, **json.loads(path.read_text(encoding="utf-8"))} != vars(recipe):
            raise ConfigError(
                f"{out} holds another recipe.", hint="give another folder, or the same settings"
            )
    path.write_text(json.dumps(vars(recipe), sort_keys=True), encoding="utf-8")


def _lessons(pool: Path, tokenizer: HubTokenizer, count: int) -> list[Lesson]:
    rng = np.random.default_rng(0)
    return [
        make_lesson(load_sample(path), tokenizer, {"colour": 1.0}, 1, rng)
        for path in pool_files(pool)[:count]
    ]


def _probing(pool: Path) -> Callable[[Trainer], dict[str, str]]:
    """Free-running answers on scenes of the pool with fresh numbers and questions."""

    def inspect(trainer: Trainer) -> dict[str, str]:
        rng = np.random.default_rng(5)
        samples = [load_sample(path) for path in pool_files(pool)[-24:]]
        seen = trainer.stage.readings < 1.0
        kinds = {k: v for k, v in trainer.stage.kinds.items() if seen or k in FACT_KINDS}
        lessons = [
            make_lesson(sample, trainer.tokenizer, kinds, 24, rng, seen)
            for sample in samples
            if int(sample.stride) in trainer.stage.strides
        ]
        found = probe(trainer.computing, lessons, trainer.tokenizer)
        return {kind: f"{right}/{asked}" for kind, (right, asked) in found.items()}

    return inspect


def _texts(pool: Path) -> list[str]:
    """Everything that questions, facts and answers are made of."""
    texts = [
        "system\nYou are a helpful assistant.\nuser\nassistant\nAnswer yes or no. Yes No yes no",
        "Answer with mark numbers only.\nAnswer with one of: red; blue.\nOne view: front.",
        " camera view views picture scene room robot here there object objects thing things",
    ]
    for count in (1, 2, 3, 4, 5, 6, 8):
        texts += [f"{name} {name}" for name in camera_names(count)]
    for word in (*COLOURS, *SHAPES, FURNITURE, "wall", "grey"):
        texts.append(f"{word} {word} {word}s {word}es {word.capitalize()}")
    rng = np.random.default_rng(0)
    for path in pool_files(pool)[:250]:
        sample = load_sample(path)
        scene = measured_scene(sample.marks, sample.objects, sample.truth, sample.views)
        texts += [frame.camera + " " + frame.camera for frame in sample.views.frames]
        for kind in KINDS:
            asked = ask(scene, kind, rng)
            if asked is not None:
                texts += [prompt_text(sample, asked.question), asked.target]
    marks = " views of one scene: , The same number on a red disc is the same object in every view."
    return [*texts, marks, " Marks: ,"]
