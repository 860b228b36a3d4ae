"""What `oryx-scene ask DUMP_FOLDER` does without a question: repeat the dumped one and compare."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from oryx_scene.errors import ConfigError

if TYPE_CHECKING:
    from oryx_scene.dump.compare import Difference
    from oryx_scene.dump.repeat import Repeat

# Options that would ask something else than what was dumped.
_FIXED_BY_DUMP = (
    *("at", "cameras", "views", "rig", "fixed_frame", "config", "compression", "no_marks"),
    *("max_marks", "choices", "timeout", "out", "dump"),
)


def run_repeat(args: argparse.Namespace) -> int:
    """Repeat the dumped question of ``args.source``; 0 identical, 1 different.

    Raises:
        ConfigError: an option that the dump itself decides.
        SourceError: the folder cannot be read.
    """
    from oryx_scene.dump.folder import read_dump
    from oryx_scene.dump.repeat import repeat_dump
    from oryx_scene.model.checkpoint.load import load_answerer

    for name in _FIXED_BY_DUMP:
        if getattr(args, name, None):
            raise ConfigError(
                f"--{name.replace('_', '-')} cannot be given when a dumped question is repeated.",
                hint="the dump decides; add -q to ask something else about its views",
            )
    dump = read_dump(args.source)
    answerer = load_answerer(
        args.model or dump.model_name or "default",
        device=args.device,
        dtype=args.dtype or dump.model.dtype,
        # The card says "int8, torch's kernel": the kind comes first.
        quantization=args.quantization or dump.model.quantization.partition(",")[0],
    )
    repeat = repeat_dump(dump, answerer)
    if args.json:
        print(json.dumps(repeat.as_dict(), sort_keys=True, allow_nan=False), flush=True)
    else:
        _print(repeat)
    return 0 if repeat.identical else 1


def _print(repeat: Repeat) -> None:
    from oryx_scene.cli.output import printable

    answer = repeat.answer
    print(f"Q: {printable(answer.question.text)}")
    print(f"A: {printable(answer.text)}")
    for note in repeat.notes:
        print(f"   note: {note}", file=sys.stderr)
    if repeat.difference is None:
        print(
            f"identical: {len(answer.evidence)} views, prompt of {answer.prompt_tokens} tokens, "
            f"{len(answer.token_ids)} generated tokens, text"
        )
        return
    print(f"different: {_sentence(repeat.difference)}")


def _sentence(found: Difference) -> str:
    from oryx_scene.cli.output import printable

    return (
        f"{found.what}; the dump has {printable(json.dumps(found.expected))}, "
        f"now came {printable(json.dumps(found.came))}"
    )
