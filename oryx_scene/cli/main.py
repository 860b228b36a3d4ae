"""`oryx-scene`: finds the command's module, parses, runs, and turns errors into one line.

A command is a module in this package with ``HELP`` (one line), ``add_arguments(parser)`` and
``run(args) -> int``; it imports what is heavy inside ``run``. Only the module of the asked command
is imported, all of them for the overview. Exit codes: 0 done, 1 the command ran
and found something wrong, 2 bad input (one line with a hint on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from oryx_scene import __version__
from oryx_scene.errors import OryxSceneError

COMMANDS = (
    "ask",
    "marks",
    "check",
    "convert",
    "conformance",
    "replay",
    "batch",
    "eval",
    "bench",
    "memory",
    "remember",
    "where",
    "view",
    "changed",
    "train",
    "room",
    "node",
)


def _build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="oryx-scene",
        description="Ask questions about what a robot's cameras saw.",
    )
    parser.add_argument("--version", action="version", version=f"oryx-scene {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = next((word for word in argv if word in COMMANDS), None)
    for name in COMMANDS if wanted is None else (wanted,):
        module = importlib.import_module(f"oryx_scene.cli.{name}")
        sub = subparsers.add_parser(name, help=module.HELP, description=module.HELP)
        if name == wanted:
            module.add_arguments(sub)
    return parser


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own) and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = _build_parser(words).parse_args(words)
    module = importlib.import_module(f"oryx_scene.cli.{args.command}")
    try:
        code = int(module.run(args))
        sys.stdout.flush()
    except OryxSceneError as err:
        print(f"oryx-scene {args.command}: error: {_one_line(str(err))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; point stdout elsewhere so that exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as err:
        if err.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            raise
        name = err.filename or "output"
        print(
            f"oryx-scene {args.command}: error: cannot write {name}: {err.strerror}. "
            "Hint: free some space or choose another --out",
            file=sys.stderr,
        )
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
