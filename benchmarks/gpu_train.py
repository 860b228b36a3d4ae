"""How fast a GPU trains the small checkpoint, and how long its recipe would take.

python benchmarks/gpu_train.py                       # a GPU, under ten minutes
python benchmarks/gpu_train.py --device cpu --workers 1 --scenes 6 --seconds 1 --wider 1 \\
    --teacher-steps 1                                                   # a dry run

Renders some scenes, then runs every stage of the preset `gpu` for some seconds on random weights
(they cost what learnt ones cost). Beside each rate stands that of the lessons alone: where both are
about the same, the workers are what limits. See docs/developing/training.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from oryx_scene.lab.training.curriculum import Stage
from oryx_scene.lab.training.dataset import fill_pool
from oryx_scene.lab.training.distillation import Teacher, load_teacher, train_teacher
from oryx_scene.lab.training.loader import feed
from oryx_scene.lab.training.ranks import Ranks, choose_crew
from oryx_scene.lab.training.recipe import PRESETS, Recipe
from oryx_scene.lab.training.run import Start, prepare
from oryx_scene.lab.training.trainer import Trainer

# Not counted: kernels are loaded and the workers begin.
FIRST_STEPS = 2


def main() -> int:
    """Print a line per stage and what all stages would take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--scenes", type=int, default=400, help="rendered and trained on")
    parser.add_argument("--seconds", type=float, default=20.0, help="per stage")
    parser.add_argument("--teacher-steps", type=int, default=60)
    parser.add_argument("--wider", type=int, help="other than the preset's")
    parser.add_argument("--out", type=Path, default=Path("gpu_train.jsonl"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    crew = choose_crew(args.device, args.workers)
    recipe = PRESETS["gpu"]
    told = [{"crew": crew.describe()}]
    print(crew.describe())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        began = time.perf_counter()
        made = list(fill_pool(out / "pool", range(args.scenes), workers=crew.workers))
        rate = len(made) / (time.perf_counter() - began)
        minutes = recipe.scenes / rate / 60
        told.append({"part": "render", "scenes_per_s": round(rate, 1), "minutes": minutes})
        print(f"render    {rate:7.1f} scenes/s (start of workers included)  {minutes:5.1f} min")
        small = dataclasses.replace(recipe, scenes=args.scenes, wider=args.wider or recipe.wider)
        began = time.perf_counter()
        start = prepare(small, out, print, crew=crew)
        seconds = time.perf_counter() - began
        minutes += seconds / 60
        told.append({"part": "vocabulary and first weights", "seconds": round(seconds, 1)})
        teacher, line = _teach(start, out / "teacher", recipe, args.teacher_steps, crew)
        told.append(line)
        minutes += line["minutes"]
        for stage in small.planned():
            line = _measure(start, stage, teacher, out, crew, args.seconds)
            minutes += line["minutes"]
            told.append(line)
    told.append({"part": "all", "minutes": round(minutes, 1)})
    print(f"all parts of the recipe: {minutes:.1f} min")
    args.out.write_text("".join(json.dumps(line) + "\n" for line in told), encoding="utf-8")
    return 0


def _teach(
    start: Start, out: Path, recipe: Recipe, steps: int, crew: Ranks
) -> tuple[Teacher, dict[str, float]]:
    began = time.perf_counter()
    train_teacher(start.pool, out, steps, 1, print, device=crew.device, workers=crew.workers)
    rate = steps / (time.perf_counter() - began)
    minutes = recipe.teacher / rate / 60
    print(f"teacher   {rate:7.1f} steps/s (start of workers included)  {minutes:5.1f} min")
    line = {"part": "teacher", "steps_per_s": round(rate, 2), "minutes": minutes}
    return load_teacher(out).to(crew.device), line


def _measure(
    start: Start, stage: Stage, teacher: Teacher, out: Path, crew: Ranks, seconds: float
) -> dict[str, float]:
    long = dataclasses.replace(stage, steps=1_000_000)
    trainer = Trainer(
        *(start.model, start.tokenizer, long, start.pool, out / stage.name, 1),
        device=crew.device,
        workers=crew.workers,
    )
    if stage.hints:
        trainer.computing.listen_to(teacher)
    # The last number of a step comes from the device, so that a step has ended when it returns.
    rate = _per_second(lambda: iter(trainer.one_step, None), seconds)
    trainer._fed.close()
    lessons = feed(trainer.course, range(stage.scenes), 0, crew.workers)
    alone = _per_second(lambda: lessons, seconds / 4)
    lessons.close()
    minutes = stage.steps / rate / 60
    print(
        f"{stage.name:9s} {rate:7.2f} steps/s of {stage.scenes} scenes, lessons alone "
        f"{alone:7.2f}/s, {stage.steps} steps  {minutes:5.1f} min",
        flush=True,
    )
    found = {"steps_per_s": round(rate, 3), "lessons_per_s": round(alone, 3), "minutes": minutes}
    if crew.device.type == "cuda":
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return {"part": stage.name, **found}


def _per_second(begin: Callable[[], Iterator[object]], seconds: float) -> float:
    """Steps of an iterator per second, the first ones left out."""
    steps = begin()
    for _ in range(FIRST_STEPS):
        next(steps)
    began, count = time.perf_counter(), 0
    while count < 1 or time.perf_counter() - began < seconds:
        next(steps)
        count += 1
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    raise SystemExit(main())
