"""`oryx-scene where`: where a thing of a memory was last seen, and whether it is still there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from oryx_scene.errors import ConfigError

if TYPE_CHECKING:
    from oryx_scene.memory.store import MemoryStore
    from oryx_scene.memory.where import Candidate, WhereAnswer

HELP = "Say where a memory last saw a thing, when, and whether it was missed since."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("memory", type=Path, help="folder of `oryx-scene remember`")
    parser.add_argument("question", help='"the red box", "where did you last see the mug?"')
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="the clock: seconds after the memory's first frame, or @SECONDS since the epoch; rows "
        "after it do not count (default: the newest stamp of the memory)",
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(args: argparse.Namespace) -> int:
    """Look it up."""
    import json

    from oryx_scene.cli.common import print_warnings
    from oryx_scene.memory.store import open_memory
    from oryx_scene.memory.where import where, where_to_dict

    with open_memory(args.memory) as store:
        answer = where(store, args.question, memory_time_ns(args.at, store))
    if args.json:
        print(json.dumps(where_to_dict(answer), indent=2, sort_keys=True, allow_nan=False))
    else:
        print(sentence(answer))
        for item in answer.candidates if answer.status in ("several", "unsure") else ():
            print(f"  {_one(item, answer.asked_ns)}")
        print_warnings(answer.warnings)
    return 0


def memory_time_ns(text: str | None, store: MemoryStore) -> int | None:
    """The asked moment in the memory's clock, None for its newest stamp.

    Raises:
        ConfigError: ``text`` is no time.
    """
    if text is None:
        return None
    try:
        nanoseconds = round(float(text.removeprefix("@")) * 1e9)
    except (ValueError, OverflowError) as err:
        raise ConfigError(
            f"--at '{text}' is not a time.", hint="e.g. --at 12.5 or --at @1700000000.25"
        ) from err
    if text.startswith("@"):
        return nanoseconds
    (first,) = store.rows("SELECT coalesce(min(first_ns), 0) FROM sessions")[0]
    return int(first) + nanoseconds


def sentence(answer: WhereAnswer) -> str:
    """The answer for people; every number in it is one of its rows'."""
    if answer.status == "never":
        return "never seen"
    if answer.status == "unsure":
        return "unsure: nothing fits the words surely"
    if answer.status == "several":
        return "several things fit:"
    return _one(answer.candidates[0], answer.asked_ns)


def _one(item: Candidate, asked_ns: int) -> str:
    x, y, z = item.position
    ago = span((asked_ns - item.last_seen_ns) / 1e9)
    text = (
        f"{item.described} (instance {item.instance}): last seen {ago} ago at "
        f"x {x:.2f} y {y:.2f} z {z:.2f} m in {item.frame_id}"
    )
    if item.moved_from is not None:
        text += ", moved from x {:.2f} y {:.2f} z {:.2f} m".format(*item.moved_from)
    if item.first_missed_ns is not None:
        missed = span((asked_ns - item.first_missed_ns) / 1e9)
        text += f"; gone: its place was looked through {missed} ago and it was not there"
    return f"{text} (confidence {item.confidence:.2f})"


def span(seconds: float) -> str:
    """A span of time for people."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 129600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
