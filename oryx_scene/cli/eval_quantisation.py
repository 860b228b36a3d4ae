"""`oryx-scene eval quantisation FOLDER TEXT`: what bfloat16, int8 and int4 change, in numbers."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oryx_scene.model.engine.engine import Engine

HELP = "Perplexity, top-1 agreement and KL of bfloat16, int8 and int4 against float32 on a text."
SCHEMA = "oryx_scene/eval_quantisation/1"
PRECISIONS = (("float32", "none"), ("bfloat16", "none"), ("bfloat16", "int8"), ("bfloat16", "int4"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the task's arguments."""
    parser.add_argument(
        "model", metavar="FOLDER", help="a checkpoint, as --model of other commands"
    )
    parser.add_argument("text", metavar="TEXT", type=Path, help="a file of plain UTF-8 text")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    parser.add_argument(
        "--tokens", type=int, default=2048, help="of the text that are predicted (2048)"
    )
    parser.add_argument("--window", type=int, default=512, help="tokens read in one go (512)")
    parser.add_argument("--json", action="store_true", help="print only the JSON object")


def run(args: argparse.Namespace) -> int:
    """Print one line per precision and one JSON object; one model is in memory at a time."""
    from oryx_scene.errors import ConfigError
    from oryx_scene.lab.evaluation.quantisation import compare, log_probabilities, windows_of
    from oryx_scene.model.checkpoint.load import load_answerer

    if args.tokens < 2 or args.window < 2:
        raise ConfigError("--tokens and --window must be at least 2.")
    text = _read(args.text)
    rows: list[dict[str, Any]] = []
    float32 = None
    for dtype, kind in PRECISIONS:
        engine = load_answerer(args.model, device=args.device, dtype=dtype, quantization=kind)
        windows = windows_of(_ids(engine, text, args.tokens), args.window)
        if not windows:
            raise ConfigError(f"{args.text} holds fewer than two tokens.")
        own = log_probabilities(engine, windows)
        float32 = float32 or own
        found = compare(own, float32, windows)
        rows.append(
            {
                "weights_in": dtype if kind == "none" else kind,
                **dataclasses.asdict(found),
                "over_float32": found.perplexity / rows[0]["perplexity"] - 1.0 if rows else 0.0,
                "quantization": engine.card.quantization,
                "weight_bytes": _bytes(engine),
            }
        )
        if not args.json:
            _print_row(rows[-1], first=len(rows) == 1)
        model, revision = engine.card.name, engine.card.revision
        # Freed before the next one is read.
        del engine, own
    tokens = sum(len(window) - 1 for window in windows)
    report = {"model": model, "revision": revision, "tokens": tokens, "window": args.window}
    print(json.dumps({"schema": SCHEMA, **report, "rows": rows}, allow_nan=False))
    return 0


def _read(path: Path) -> str:
    from oryx_scene.errors import SourceError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise SourceError(
            path, f"it cannot be read as text ({type(err).__name__}).", hint="give a UTF-8 file"
        ) from err


def _ids(engine: Engine, text: str, most: int) -> list[int]:
    # A token is a byte at least: what is behind cannot be among the first ones.
    return engine.tokenizer.encode_plain(text[: 16 * most])[:most]


def _bytes(engine: Engine) -> int:
    from oryx_scene.model.checkpoint.memory import loaded_bytes

    return loaded_bytes(engine.model)


def _print_row(row: dict[str, Any], *, first: bool) -> None:
    if first:
        print(
            f"{'weights in':<12}{'perplexity':>12}{'over':>9}{'top-1':>8}{'KL':>10}   computed by"
        )
    print(
        f"{row['weights_in']:<12}{row['perplexity']:>12.4f}{100 * row['over_float32']:>+8.2f}%"
        f"{100 * row['agreement']:>7.1f}%{row['divergence']:>10.5f}   {row['quantization']}"
    )
