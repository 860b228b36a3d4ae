"""The training loop: stages of lessons, resumable to the step, with a log that draws its curve.

Everything random follows from the recipe's seed and the step, so that a resumed run sees the
lessons that an uninterrupted one would have seen.
"""

from __future__ import annotations

import functools
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oryx_scene.lab.training.attention_init import keep_reserved, reserve_head
from oryx_scene.lab.training.curriculum import Course, Stage
from oryx_scene.lab.training.dataset import pool_files
from oryx_scene.lab.training.distributed import ALONE, Group, share_of_drill
from oryx_scene.lab.training.learner import Learner, LessonCounts, Weights
from oryx_scene.lab.training.loader import Fed, feed
from oryx_scene.lab.training.optimisers import Optimisers
from oryx_scene.lab.training.precision import ComputeCopy
from oryx_scene.model.checkpoint.tokenizer import TextTokenizer
from oryx_scene.model.oryx.oryx import Oryx


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
        device: to compute on.
        workers: processes that make lessons ahead; 0 makes them here.
        group: processes that share every step; its first one logs, saves and inspects.
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
        group: Group = ALONE,
        device: torch.device | str = "cpu",
        workers: int = 0,
    ) -> None:
        torch.manual_seed(seed)  # of the heads that only training needs
        self.learner = Learner(model.to(device).requires_grad_(True))
        self.tokenizer = tokenizer
        self.stage, self.out, self.group = stage, out, group
        # On a GPU starting a small product costs as much as computing a large one.
        wide = torch.device(device).type == "cuda"
        self.course = Course(stage, tuple(pool_files(pool)), tokenizer, seed, wide)
        self.workers = workers
        self.step = 0
        out.mkdir(parents=True, exist_ok=True)
        for name, parameter in self.learner.named_parameters():
            if any(name.startswith(prefix) for prefix in stage.frozen):
                parameter.requires_grad_(False)
        self.optimisers = Optimisers(self.learner, stage.rate)
        if stage.reserve:
            reserve_head(self.learner)
        self.compute = ComputeCopy(self.learner, dtype)

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
        if self.stage.reserve:
            reserve_head(self.learner)
        self.compute.follow(frozen=True)

    def save(self) -> None:
        """Keep everything that going on needs; a half-written file never has the final name."""
        half = self.state_file.with_suffix(".part")
        state = {
            "learner": self.learnt(),
            **self.optimisers.state(),
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
        self.optimisers.take(state)
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

    @functools.cached_property
    def _fed(self) -> Generator[Fed, None, None]:
        """From the step on at which it is first asked for."""
        indices = self.group.share(self.stage.scenes)
        return feed(self.course, indices, self.step, self.workers)

    def one_step(self) -> dict[str, float]:
        """One optimiser step; the mean of what its lessons logged."""
        logged: dict[str, list[float]] = defaultdict(list)
        weights = Weights(self.stage.dense, self.stage.answers, self.stage.shapes)
        lessons, drill = next(self._fed)
        for lesson in lessons:
            share = lesson.lessons / self.stage.scenes
            self._learn(self.computing(lesson, weights), share, logged)
        if drill is not None:
            drill, part = share_of_drill(drill, self.group)
            if part:
                self._learn(self.computing.drill(drill), part, logged)
        self.group.add_up(list(self.learner.parameters()))
        if self.stage.reserve:
            keep_reserved(self.learner)
        norm = torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        self.optimisers.step(self.rate_at(self.step))
        self.compute.follow()
        self.step += 1
        found = {n: _mean(values) for n, values in self.group.gather(logged).items()}
        return {**found, "gradient": float(norm)}

    def _learn(self, seen: LessonCounts, weight: float, logged: dict[str, list[float]]) -> None:
        if seen.loss.requires_grad:  # else nothing could be asked about this scene
            (seen.loss * weight).backward()
            self.compute.collect()
        for name, value in seen.logged.items():
            logged[name].append(value)

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
        self.group.take_over([p.data for p in self.learner.parameters()])
        self.compute.follow(frozen=True)
        while self.step < self.stage.steps and self.group.agree(time.perf_counter() < until):
            for name, value in self.one_step().items():
                recent[name].append(value)
            if not self.group.first:
                recent.clear()
                continue
            if self.step % every == 0:
                line = {name: round(_mean(v), 4) for name, v in recent.items()}
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
        self._fed.close()
        if self.group.first:
            self.save()
        self.group.wait()

    def _log(self, line: dict[str, Any]) -> None:
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _mean(values: list[float]) -> float:
    """Of what there was to judge; NaN where there was nothing."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
