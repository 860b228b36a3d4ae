"""`oryx-scene eval TASK`: measures a part of the library against what is known to be true.

A task is a module `eval_<task>` in this package with ``HELP``, ``add_arguments(parser)`` and
``run(args) -> int``, like a command; it imports what is heavy inside ``run``.
"""

from __future__ import annotations

import argparse
import importlib

HELP = "Measure a part of the library against known truth: a table and one JSON object."
TASKS = (
    "marks",
    "places",
    "curves",
    "recording",
    "changed",
    "scenes",
    "quantisation",
    "memory",
    "needle",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tasks and their arguments."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name in TASKS:
        module = importlib.import_module(f"oryx_scene.cli.eval_{name}")
        module.add_arguments(tasks.add_parser(name, help=module.HELP, description=module.HELP))


def run(args: argparse.Namespace) -> int:
    """Run the asked task."""
    module = importlib.import_module(f"oryx_scene.cli.eval_{args.task}")
    return int(module.run(args))
