"""`oryx-scene ask`: one recording, one or more questions, streamed answers.

With a dumped question as the source and no `-q`, that question is repeated and compared.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oryx_scene.model.api import Limits
    from oryx_scene.qa.pipeline import ScenePipeline
    from oryx_scene.records import Question, SceneAnswer
    from oryx_scene.scene.freeze import Scene

HELP = "Ask questions about a recorded scene and stream the answers."
# Frames of a longer sequence are not listed on the screen; all of them are in the JSON.
_MOST_LISTED = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from oryx_scene.cli.common import add_detections_argument, add_source_arguments
    from oryx_scene.model.api import Limits

    add_source_arguments(parser)
    add_detections_argument(parser)
    parser.add_argument(
        "-q",
        "--question",
        action="append",
        help="may be given several times; may be left out to repeat a dumped question",
    )
    parser.add_argument(
        "--model",
        metavar="DIR_OR_ID",
        help="checkpoint folder, hub id (downloads), 'random' (tiny, untrained), or 'default': the "
        "small one in this package, taken when --model is left out",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument(
        "--quantization",
        choices=("none", "int8", "int4"),
        help="of the language model's weights (default none)",
    )
    from oryx_scene.qa.formats import FORMATS

    plain = [name for name, form in FORMATS.items() if not form.needs]
    parser.add_argument("--format", choices=plain, default=plain[0], help="docs/answers.md")
    parser.add_argument("--choices", nargs="+", metavar="TEXT", help="answer with one of these")
    parser.add_argument(
        "--json-schema", type=Path, metavar="FILE", help="answer with JSON of this schema"
    )
    parser.add_argument(
        "--deadline",
        type=float,
        metavar="S",
        help="choose views and compression so that an answer takes at most S seconds here",
    )
    parser.add_argument("--max-new-tokens", type=int, default=Limits.max_new_tokens)
    parser.add_argument("--timeout", type=float, metavar="S", help="deadline of each answer")
    parser.add_argument(
        "--temperature", type=float, default=Limits.temperature, help="0 = greedy (default)"
    )
    parser.add_argument("--top-p", type=float, default=Limits.top_p)
    parser.add_argument("--seed", type=int, default=Limits.seed, help="of sampling")
    parser.add_argument("--out", type=Path, help="folder for answers.json and the marked views")
    parser.add_argument(
        "--dump",
        type=Path,
        metavar="DIR",
        help="keep each question with its frames in DIR/query_NN, to be repeated (docs/dump.md)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per question")


def run(args: argparse.Namespace) -> int:
    """Freeze one scene and ask every question about it."""
    from oryx_scene.cli.common import (
        config_from_args,
        finder_from_args,
        frames_from_args,
    )
    from oryx_scene.cli.output import scene_to_dict, write_json, write_scene_pictures
    from oryx_scene.dump.folder import is_dump, write_dump
    from oryx_scene.errors import ConfigError
    from oryx_scene.model.api import Limits
    from oryx_scene.model.checkpoint.load import load_answerer
    from oryx_scene.model.engine.rates import rates_file, rates_of
    from oryx_scene.qa.answer_json import answer_to_dict
    from oryx_scene.qa.formats import check_question
    from oryx_scene.qa.pipeline import ScenePipeline
    from oryx_scene.records import Question

    if not args.question:
        if is_dump(args.source):
            from oryx_scene.cli.repeat import run_repeat

            return run_repeat(args)
        raise ConfigError(
            "there is no question.", hint='ask something: -q "What is left of mark 1?"'
        )
    if args.max_new_tokens < 1:
        raise ConfigError(f"--max-new-tokens is {args.max_new_tokens}; it must be at least 1.")
    if not 0.0 <= args.temperature <= 2.0 or not 0.0 < args.top_p <= 1.0:
        raise ConfigError("--temperature must lie in 0..2 and --top-p in (0, 1].")
    choices = tuple(args.choices or ())
    kind = "choice" if choices else args.format
    schema = ""
    if args.json_schema is not None:
        kind, schema = "json", read_schema(args.json_schema)
    # All bad input is refused before a model of many gigabytes is loaded.
    questions = [check_question(Question(text, kind, choices, schema)) for text in args.question]
    config, find_marks = config_from_args(args), finder_from_args(args)
    found = frames_from_args(args, config)
    model = args.model or "default"
    engine = load_answerer(
        model, device=args.device, dtype=args.dtype, quantization=args.quantization
    )
    if config.budget.deadline_s > 0.0:
        engine.set_rates(rates_of(engine, rates_file()))
    pipeline = ScenePipeline(engine, config, find_marks)
    scene = pipeline.freeze(
        found.frames,
        found.now_ns,
        question=" ".join(args.question),
        warnings=found.warnings,
        synthetic=found.synthetic,
        choice=found.choice,
    )
    limits = Limits(
        max_new_tokens=args.max_new_tokens,
        deadline_s=args.timeout,
        temperature=args.temperature,
        top_p=args.top_p,
        seed=args.seed,
    )
    described = []
    for index, question in enumerate(questions):
        answer = _ask_one(pipeline, scene, question, limits, args.json)
        if args.dump is not None:
            folder = args.dump / f"query_{index:02d}"
            write_dump(folder, pipeline, scene, answer, limits, model_name=model)
        described.append(answer_to_dict(answer))
        if args.json:
            print(json.dumps(described[-1], sort_keys=True, allow_nan=False), flush=True)
    if args.out is not None:
        write_scene_pictures(scene, args.out, scene_to_dict(scene))
        write_json(args.out / "answers.json", described)
    return 0


def read_schema(path: Path) -> str:
    """The JSON schema in a file, as compact JSON.

    Raises:
        ConfigError: not readable, or no JSON.
    """
    from oryx_scene.errors import ConfigError

    try:
        return json.dumps(json.loads(path.read_text(encoding="utf-8")), separators=(",", ":"))
    except OSError as err:
        raise ConfigError(f"cannot read {path}: {err.strerror}.") from err
    except ValueError as err:
        raise ConfigError(f"{path} is not JSON: {' '.join(str(err).split())}.") from err


def _ask_one(
    pipeline: ScenePipeline, scene: Scene, question: Question, limits: Limits, quiet: bool
) -> SceneAnswer:
    if quiet:
        return pipeline.ask(scene, question, limits)
    from oryx_scene.cli.output import printable
    from oryx_scene.qa.answer_record import disclaimer_for
    from oryx_scene.qa.stream import VisibleText

    print(f"Q: {printable(question.text)}")
    disclaimer = disclaimer_for(pipeline.answerer.card, synthetic=scene.synthetic)
    print(f"A ({disclaimer.label}): " if disclaimer else "A: ", end="", flush=True)
    works = pipeline.answerer.card.scratchpad
    visible = VisibleText(lambda piece: print(printable(piece), end="", flush=True), works=works)
    answer = pipeline.ask(scene, question, limits, visible.feed)
    visible.finish()
    print()
    _print_summary(answer)
    return answer


def _print_summary(answer: SceneAnswer) -> None:
    from oryx_scene.cli.common import print_warnings

    for mark in answer.marks:
        if mark.position is not None:
            x, y, z = mark.position
            print(f"   mark {mark.number}: x {x:.2f} y {y:.2f} z {z:.2f} m in {answer.frame_id}")
    shown = [f"{e.camera} ({e.age_s:.2f} s old)" for e in answer.evidence]
    if len(shown) > _MOST_LISTED:
        shown = [shown[0], "...", f"{shown[-1]}, {len(shown)} frames in all"]
    print(f"   seen in: {', '.join(shown)}")
    print(
        f"   {answer.compression}x, {answer.visual_tokens} visual of {answer.prompt_tokens} prompt "
        f"tokens, {answer.generated_tokens} generated, {answer.stop_reason}, "
        f"{answer.timings_s['ask']:.2f} s, model {answer.provenance['model']}"
    )
    print_warnings(answer.warnings, "   ")
