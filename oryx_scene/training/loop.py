"""The training loop: stages of lessons, resumable to the step, with a log that draws its curve.

Everything random follows from the recipe's seed and the step, so that a resumed run sees the
lessons that an uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oryx_scene.model.oryx import Oryx
from oryx_scene.model.tokenizer import TextTokenizer
from oryx_scene.training.collage import make_collages
from oryx_scene.training.drills import make_drill
from oryx_scene.training.learner import Learner, Weights
from oryx_scene.training.lessons import Lesson, make_lesson, make_sight
from oryx_scene.training.lookup import keep_reserved, reserve_head
from oryx_scene.training.pool import pool_files
from oryx_scene.training.precision import ComputeCopy
from oryx_scene.training.samples import Sample, load_sample


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    Attributes:
        name: of the stage.
        steps: optimiser steps.
        scenes: per step.
        rate: highest learning rate; cosine down to a tenth of it, after a short warm-up.
        dense, answers: weights of the losses.
        questions: per scene.
        kinds: weight of each type of question.
        strides: compressions that take part.
        frozen: prefixes of parameter names that stay as they are.
        readings: share of lessons without pictures; what only those show is given then.
        drills: rows of comparisons that go with every step.
        collages: share of scenes in whose place the tower sees collages of their things.
        reserve: keep the head silent that `link_numbers` will set.
        warmup, final: steps of rising rate, and the share of the rate that is left at the end.
    """

    name: str
    steps: int
    scenes: int = 8
    rate: float = 1e-3
    dense: float = 1.0
    answers: float = 1.0
    questions: int = 12
    kinds: dict[str, float] = field(default_factory=dict)
    strides: tuple[int, ...] = (1, 2, 4)
    frozen: tuple[str, ...] = ()
    readings: float = 0.0
    drills: int = 0
    collages: float = 0.0
    reserve: bool = False
    warmup: int = 20
    final: float = 0.1


class Trainer:
    """Model, optimiser and where they are in one stage.

    Args:
        model: to train.
        tokenizer: of its checkpoint.
        stage: what to do.
        pool: folder of training scenes.
        out: folder for state and log.
        seed: of the order of lessons and of questions.
        dtype: to compute in; weights are float32.
    """

    def __init__(
        self,
        model: Oryx,
        tokenizer: TextTokenizer,
        stage: Stage,
        pool: Path,
        out: Path,
        seed: int,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.learner = Learner(model.requires_grad_(True))
        self.tokenizer = tokenizer
        self.stage, self.pool, self.out, self.seed = stage, pool, out, seed
        self.step = 0
        out.mkdir(parents=True, exist_ok=True)
        for name, parameter in self.learner.named_parameters():
            if any(name.startswith(prefix) for prefix in stage.frozen):
                parameter.requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self._groups(), lr=stage.rate, betas=(0.9, 0.98), foreach=True
        )
        if stage.reserve:
            reserve_head(self.learner)
        self.compute = ComputeCopy(self.learner, dtype)

    def _groups(self) -> list[dict[str, Any]]:
        learnt = [p for p in self.learner.parameters() if p.requires_grad]
        return [
            {"params": [p for p in learnt if p.dim() >= 2], "weight_decay": 0.02},
            {"params": [p for p in learnt if p.dim() < 2], "weight_decay": 0.0},
        ]

    # -- state ----------------------------------------------------------------------------------

    @property
    def state_file(self) -> Path:
        """Where the state of this stage is kept."""
        return self.out / "state.pt"

    @property
    def computing(self) -> Learner:
        """The learner in the precision that is computed in."""
        module = self.compute.module
        assert isinstance(module, Learner)
        return module

    def learnt(self) -> dict[str, Tensor]:
        """The weights that this stage changes."""
        return {name: p.data for name, p in self.learner.named_parameters() if p.requires_grad}

    def take(self, weights: dict[str, Tensor]) -> None:
        """Start from weights that other stages learnt."""
        _, strangers = self.learner.load_state_dict(weights, strict=False)
        assert not strangers, strangers
        self.compute.follow(frozen=True)

    def save(self) -> None:
        """Keep everything that going on needs; a half-written file never has the final name."""
        half = self.state_file.with_suffix(".part")
        state = {
            "learner": self.learnt(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "stage": self.stage.name,
        }
        torch.save(state, half)
        half.rename(self.state_file)

    def resume(self) -> bool:
        """Go on where this stage was left, if it was."""
        if not self.state_file.exists():
            return False
        state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        self.take(state["learner"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        return True

    # -- training -------------------------------------------------------------------------------

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        stage = self.stage
        if step < stage.warmup:
            return stage.rate * (step + 1) / stage.warmup
        done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
        low = stage.final
        return stage.rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))

    def lessons(self, step: int) -> Iterator[Lesson]:
        """The lessons of one step."""
        rng = np.random.default_rng([self.seed, step])
        files = pool_files(self.pool)
        count = 0
        while count < self.stage.scenes:
            sample = load_sample(files[int(rng.integers(len(files)))])
            if int(sample.stride) not in self.stage.strides:
                continue
            count += 1
            if rng.random() < self.stage.collages:
                yield from self._collages(sample, files, rng)
                continue
            kinds, questions = self.stage.kinds, self.stage.questions
            unseen = rng.random() < self.stage.readings
            yield make_lesson(sample, self.tokenizer, kinds, questions, rng, not unseen)

    def _collages(
        self, sample: Sample, files: list[Path], rng: np.random.Generator
    ) -> Iterator[Lesson]:
        """In place of one scene: collages of it and others, about as many patches."""
        others = [load_sample(files[int(rng.integers(len(files)))]) for _ in range(2)]
        for made in make_collages((sample, *others), rng, most=3):
            yield make_sight(made)

    def one_step(self) -> dict[str, float]:
        """One optimiser step; the mean of what its lessons logged."""
        logged: dict[str, list[float]] = defaultdict(list)
        weights = Weights(self.stage.dense, self.stage.answers)
        for lesson in self.lessons(self.step):
            seen = self.computing(lesson, weights)
            if seen.loss.requires_grad:  # else nothing could be asked about this scene
                (seen.loss / self.stage.scenes).backward()
                self.compute.collect()
            for name, value in seen.logged.items():
                logged[name].append(value)
        if self.stage.drills:
            drill = make_drill(
                self.tokenizer, np.random.default_rng([29, self.seed, self.step]), self.stage.drills
            )
            seen = self.computing.drill(drill)
            seen.loss.backward()
            self.compute.collect()
            for name, value in seen.logged.items():
                logged[name].append(value)
        if self.stage.reserve:
            keep_reserved(self.learner)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate_at(self.step)
        norm = torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.compute.follow()
        self.step += 1
        found = {name: float(np.nanmean(values)) for name, values in logged.items()}
        return {**found, "gradient": float(norm)}

    def run(
        self,
        said: Callable[[str], None],
        every: int = 20,
        save_every: int = 100,
        inspect: Callable[[Trainer], dict[str, Any]] | None = None,
        inspect_every: int = 200,
        until: float = math.inf,
    ) -> None:
        """Train to the end of the stage, or until the steady clock shows ``until``."""
        started, recent = time.perf_counter(), defaultdict(list)
        while self.step < self.stage.steps and time.perf_counter() < until:
            for name, value in self.one_step().items():
                recent[name].append(value)
            if self.step % every == 0:
                line = {name: round(float(np.nanmean(v)), 4) for name, v in recent.items()}
                line["seconds"] = round(time.perf_counter() - started, 1)
                self._log({"stage": self.stage.name, "step": self.step, **line})
                said(f"{self.stage.name} {self.step}/{self.stage.steps} {line}")
                recent.clear()
            if self.step % save_every == 0:
                self.save()
            if inspect is not None and self.step % inspect_every == 0:
                found = inspect(self)
                self._log({"stage": self.stage.name, "step": self.step, "probe": found})
                said(f"  free-running: {found}")
        self.save()

    def _log(self, line: dict[str, Any]) -> None:
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def describe(self) -> dict[str, Any]:
        """The stage, for the model card."""
        return asdict(self.stage)
