"""The recipe from nothing to a checkpoint folder: scenes, words, the tower, the link, the answers.

Every part can be interrupted and goes on where it was. Stage 1 aligns the tower with what pictures
show; the link starts the language model's look at numbers; stage 2 teaches answers, first with the
tower at rest, then all together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from oryx_scene.errors import ConfigError
from oryx_scene.model.tokenizer import HubTokenizer
from oryx_scene.synth.questions import KINDS, ask
from oryx_scene.synth.rigs import camera_names
from oryx_scene.synth.things import measured_scene
from oryx_scene.synth.words import COLOURS, FURNITURE, SHAPES
from oryx_scene.training.lessons import Lesson, make_lesson, prompt_text
from oryx_scene.training.lookup import link_numbers
from oryx_scene.training.loop import Stage, Trainer
from oryx_scene.training.pool import fill_pool, pool_files
from oryx_scene.training.probe import probe
from oryx_scene.training.samples import load_sample
from oryx_scene.training.small import new_model, see_patches, small_config, write_checkpoint
from oryx_scene.training.vocabulary import lexicon, number_features, write_tokenizer

TOWER = ("model.vision", "patch_heads", "token_heads")
LOOKING = {"colour": 3.0, "what": 2.0, "describe": 3.0, "shape": 1.0}
ASKING = {
    "colour": 2.0,
    "shape": 1.0,
    "what": 1.0,
    "which": 1.0,
    "exists": 1.0,
    "count": 1.0,
    "left_right": 1.2,
    "front_behind": 1.2,
    "above_below": 0.8,
    "on": 0.3,
    "nearest": 1.3,
    "nearer": 1.2,
    "nearer_camera": 1.2,
    "distance": 0.5,
    "range": 0.3,
    "position": 0.6,
    "size": 0.2,
    "total": 0.2,
    "describe": 1.0,
}


@dataclass(frozen=True)
class Recipe:
    """How much of everything.

    Attributes:
        scenes: in the pool.
        tower, look, answers, together: steps of the four stages.
        seed: of everything random.
    """

    scenes: int
    tower: int
    look: int
    answers: int
    together: int
    seed: int = 1

    def stages(self) -> tuple[Stage, ...]:
        """The stages in their order."""
        return (
            Stage("tower", self.tower, rate=1.5e-3, answers=0.0, questions=0, strides=(2, 4)),
            Stage(
                *("look", self.look, 4, 1e-3, 0.0, 1.0, 8, LOOKING, (2, 4), TOWER),
                final=0.5,
            ),
            Stage(
                *("answers", self.answers, 4, 1.5e-3, 0.0, 1.0, 10, ASKING, (2, 4), TOWER),
                readings=0.5,
            ),
            Stage(
                *("together", self.together, 4, 6e-4, 0.3, 1.0, 12, ASKING, (1, 2, 4)),
                readings=0.3,
            ),
        )


# "cpu" is meant for a few core-hours; "tiny" shows in minutes that every part runs.
PRESETS = {
    "cpu": Recipe(8000, 1500, 200, 4000, 2000),
    "tiny": Recipe(6, 2, 1, 2, 1),
}


def train(
    recipe: Recipe, out: Path, said: Callable[[str], None], until: float = float("inf")
) -> Path:
    """Run a recipe in ``out``; returns the checkpoint folder.

    Args:
        recipe: what to do.
        out: folder of pool, states, log and checkpoint; a second call goes on.
        said: receives one line now and then.
        until: steady clock at which stages stop early.

    Raises:
        ConfigError: the folder holds another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    _same_recipe(recipe, out)
    pool = out / "pool"
    for path in fill_pool(pool, range(recipe.scenes)):
        if int(path.stem) % 200 == 0:
            said(f"scene {path.stem} of {recipe.scenes}")
    words = out / "tokenizer"
    if not (words / "tokenizer.json").exists():
        words.mkdir(exist_ok=True)
        write_tokenizer(words, lexicon(_texts(pool)))
    tokenizer = HubTokenizer(words, "qwen2", None)
    rows = len(tokenizer._tokenizer)
    config = small_config(-(-rows // 8) * 8)
    numbers = number_features(tokenizer._tokenizer, int(config["hidden_size"]))
    model = new_model(config, numbers, recipe.seed)
    see_patches(model, [p for lesson in _lessons(pool, tokenizer, 120) for p in lesson.pictures])
    before: Path | None = None
    for stage in recipe.stages():
        trainer = Trainer(model, tokenizer, stage, pool, out / stage.name, recipe.seed)
        if not trainer.resume() and before is not None:
            kept = torch.load(before, map_location="cpu", weights_only=True)
            trainer.learner.load_state_dict(kept["learner"])
            if stage.name == "look":
                link_numbers(trainer.learner, _lessons(pool, tokenizer, 140), tokenizer._tokenizer)
        trainer.run(said, until=until, inspect=_probing(pool) if stage.answers else None)
        before = trainer.state_file
    told = {"recipe": vars(recipe), "stages": [s.name for s in recipe.stages()]}
    return write_checkpoint(out / "checkpoint", model, config, words, told)


def _same_recipe(recipe: Recipe, out: Path) -> None:
    path = out / "recipe.json"
    text = json.dumps(vars(recipe), sort_keys=True)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{out} holds another recipe.", hint="give another folder, or the same settings"
        )
    path.write_text(text, encoding="utf-8")


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
        lessons = [
            make_lesson(sample, trainer.tokenizer, trainer.stage.kinds, 16, rng)
            for sample in samples
            if int(sample.stride) in trainer.stage.strides
        ]
        found = probe(trainer.learner, lessons, trainer.tokenizer)
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
