"""Running a recipe from nothing to a checkpoint folder: scenes, words, stage after stage.

Every part can be interrupted and goes on where it was.
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

from oryx_scene.atomic_io import write_json
from oryx_scene.errors import ConfigError
from oryx_scene.lab.synth.questions import FACT_KINDS
from oryx_scene.lab.training.attention_init import link_numbers
from oryx_scene.lab.training.corpus import questions_of, texts_of
from oryx_scene.lab.training.curriculum import Stage
from oryx_scene.lab.training.dataset import fill_pool, pool_files
from oryx_scene.lab.training.distillation import load_teacher, train_teacher
from oryx_scene.lab.training.examples import Lesson, make_lesson
from oryx_scene.lab.training.free_running import probe
from oryx_scene.lab.training.learner import Learner
from oryx_scene.lab.training.ranks import ONE_CORE, Ranks
from oryx_scene.lab.training.recipe import Recipe
from oryx_scene.lab.training.samples import LEARNT, load_sample
from oryx_scene.lab.training.small_model import (
    new_model,
    see_patches,
    small_config,
    write_checkpoint,
)
from oryx_scene.lab.training.trainer import Trainer
from oryx_scene.lab.training.vocabulary import lexicon, number_features, write_tokenizer
from oryx_scene.model.checkpoint.load import load_answerer
from oryx_scene.model.checkpoint.sidecar_files import LEARNT_FILE, learnt_dict
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer
from oryx_scene.model.checkpoint.weights import read_json
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.qa.answer_record import words_of


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
    crew: Ranks = ONE_CORE,
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
    words.mkdir(exist_ok=True)
    if not (words / "tokenizer.json").exists():
        write_tokenizer(words, lexicon(texts_of(pool)))
    if not (words / LEARNT_FILE).exists():
        asked = tuple(sorted(words_of(" ".join(questions_of(pool)))))
        write_json(words / LEARNT_FILE, learnt_dict(dataclasses.replace(LEARNT, words=asked)))


def _begin_anew(recipe: Recipe, out: Path, pool: Path) -> Start:
    words = out / "tokenizer"
    tokenizer = HubTokenizer(words, "qwen2", None)
    rows = len(tokenizer.hub_tokenizer)
    config = small_config(-(-rows // 8) * 8)
    numbers = number_features(tokenizer.hub_tokenizer, int(config["hidden_size"]))
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
    crew: Ranks = ONE_CORE,
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
    crew: Ranks,
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
        link_numbers(trainer.learner, lessons, start.tokenizer.hub_tokenizer)
        trainer.compute.follow(frozen=True)
    asks = stage.answers and stage.scenes
    trainer.run(said, until=until, inspect=_probing(start.pool) if asks else None)


def _take(learner: Learner, state: Path) -> None:
    weights = torch.load(state, map_location="cpu", weights_only=True)["learner"]
    learner.load_state_dict(weights, strict=False)


def _same_recipe(recipe: Recipe, out: Path) -> None:
    path = out / "recipe.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != vars(recipe):
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
