"""Share of one-line mutants of one package that the tests of its own folder kill, by mutmut.

`pip install mutmut==3.8.1`, then `python benchmarks/mutations.py geometry` runs all of them and
`python benchmarks/mutations.py marks --sample 150 --seed 1` a random part, in a copy of the commit
under --work; a second call there goes on. Survivors are printed as diffs; one JSON line ends it.
Wording of messages is not mutated, and mutmut leaves constants of a module as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = r"""[mutmut]
source_paths=oryx_scene
only_mutate=oryx_scene/{package}/*
do_not_mutate_patterns=^\s*(raise \w+\(|f?"|(hint|problem|text|name|what) ?= ?f?")
  (Warning|_Gap)\(
pytest_add_cli_args_test_selection={tests}
pytest_add_cli_args=-p
  no:cacheprovider
also_copy=ros
  benchmarks
  calib
  docs
  launch
  scripts
  README.md
track_dependencies=false
use_git_change_detection=false
"""
# Exit codes of a test run, as mutmut keeps them.
MEANING = {None: "not run", 0: "survived", 1: "killed", 3: "killed", 5: "untested", 33: "untested"}


def prepare(work: Path, package: str, tests: list[str]) -> None:
    """Copy what is committed; results of an earlier call in ``work`` stay."""
    work.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "xf", "-", "-C", str(work)], input=archive.stdout, check=True)
    settings = SETTINGS.format(package=package, tests="\n  ".join(tests))
    (work / "setup.cfg").write_text(settings)


def mutmut(work: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One command of mutmut, one process at a time, on the copy alone."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "mutmut", *words]
    return subprocess.run(
        command,
        cwd=work,
        env={**environment, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )


def results(work: Path) -> dict[str, int | None]:
    """Exit code of every mutant by its name."""
    found: dict[str, int | None] = {}
    for file in sorted((work / "mutants").rglob("*.meta")):
        found |= json.loads(file.read_text())["exit_code_by_key"]
    return dict(sorted(found.items()))


def main() -> None:
    """Run the mutants of one package and print the share that died."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", help="a folder of oryx_scene/ and of tests/")
    parser.add_argument("--sample", type=int, default=0, help="so many at random, 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", nargs="+", help="files to run instead of tests/PACKAGE")
    parser.add_argument("--work", type=Path, default=Path("out/mutations"))
    given = parser.parse_args()
    work = given.work.resolve() / given.package
    prepare(work, given.package, given.tests or [f"tests/{given.package}"])
    # A name that fits none: the mutants are made, and the tests are timed, but none is run.
    mutmut(work, "run", "--max-children", "1", "none")
    names = list(results(work))
    if given.sample:
        names = sorted(random.Random(given.seed).sample(names, given.sample))
    left = [name for name in names if MEANING.get(results(work)[name]) != "killed"]
    done = mutmut(work, "run", "--max-children", "1", *left)
    codes = {name: results(work)[name] for name in names}
    if None in codes.values():
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    for name, code in codes.items():
        if MEANING.get(code) in ("survived", "untested"):
            print(mutmut(work, "show", name).stdout)
    # What ends in no verdict of the tests (too slow, a crash) was noticed, too.
    counts = Counter(MEANING.get(code, "stopped") for code in codes.values())
    killed = counts["killed"] + counts["stopped"]
    print(json.dumps({"package": given.package, **counts, "share": round(killed / len(codes), 3)}))


if __name__ == "__main__":
    main()
