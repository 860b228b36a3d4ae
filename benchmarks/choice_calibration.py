"""Are confidences of choices shares of right answers? Asked about unseen synthetic rooms.

    python benchmarks/choice_calibration.py --model default --scenes 60

Prints, for the comparison where choices branch, for whole probabilities and for the mean per token:
share of right answers, mean confidence, expected calibration error, and the scale that fits best.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from oryx_scene.lab.evaluation.calibrate import expected_error, fit
from oryx_scene.lab.evaluation.scenes import questions_of
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config, render_spec
from oryx_scene.lab.synth.words import COLOURS, SHAPES
from oryx_scene.model.api import FormCalibration, Limits
from oryx_scene.model.checkpoint.load import load_answerer
from oryx_scene.qa import formats
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.qa.scoring import branch_sums, exclusive_sums, log_sum
from oryx_scene.records import Question

CHOICES = {
    "colour": tuple(COLOURS),
    "shape": tuple(SHAPES),
    "left_right": ("left", "right"),
    "count": tuple(map(str, range(9))),
}


def mean_sums(continuations):
    """The mean of a token's log-probability, as choices were compared before."""
    sums = exclusive_sums(continuations)
    return [total / len(one.logprobs) for total, one in zip(sums, continuations, strict=True)]


WAYS = {"branching": branch_sums, "whole": exclusive_sums, "mean per token": mean_sums}


def main() -> None:
    """Ask, compare in three ways, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="default")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--first", type=int, default=50000)
    args = parser.parse_args()
    engine = load_answerer(args.model, device="cpu")
    kept = []
    decide = formats.decide

    def watch(options, continuations, *rest, **named):
        kept.append((options, continuations))
        return decide(options, continuations, *rest, **named)

    formats.decide = watch
    asked = []
    for seed in range(args.first, args.first + args.scenes):
        spec = SceneSpec(seed, "test")
        world, frames = render_spec(spec)
        pipeline = ScenePipeline(engine, pipeline_config(spec))
        scene = pipeline.freeze(frames, max(f.stamp_ns for f in frames), synthetic=True)
        for item in questions_of(scene, world, tuple(CHOICES), seed):
            choices = CHOICES[item.kind]
            if item.key in choices:
                question = Question(item.question.text, "choice", choices)
                pipeline.ask(scene, question, Limits(max_new_tokens=64))
                asked.append(choices.index(item.key))
    assert len(asked) == len(kept)
    rows = {}
    for way, sums in WAYS.items():
        scores = []
        for options, continuations in kept:
            values = iter(sums(continuations))
            scores.append([log_sum([next(values) for _ in one.variants]) for one in options])
        half = len(asked) // 2
        plain = FormCalibration()
        found = fit(scores[:half], asked[:half], bias=False, source=f"{half} choices")
        chosen = [int(np.argmax(own)) for own in scores]
        sure = [float(np.exp(max(own) - log_sum(own))) for own in scores]
        rows[way] = {
            "answers": len(asked),
            "right": float(np.mean([a == b for a, b in zip(chosen, asked, strict=True)])),
            "mean_confidence": float(np.mean(sure)),
            "expected_error": expected_error(scores[half:], asked[half:], plain),
            "scale": found.scale,
            "expected_error_scaled": expected_error(scores[half:], asked[half:], found),
        }
        print(way, {key: round(value, 4) for key, value in rows[way].items()})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
