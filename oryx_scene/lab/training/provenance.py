"""What made a checkpoint: command, commit, seed, time and machine, kept in its config.json.

The model card reads them from there. Describing a checkpoint changes its revision, so it comes
before the evaluation that the card is made of.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from oryx_scene.atomic_io import write_bytes
from oryx_scene.model.checkpoint.weights import read_json
from oryx_scene.model.engine.rates import cpu_name


def facts_of_run(out: Path, command: str, seed: int) -> dict[str, Any]:
    """What is known of the training run in ``out``, today and on this machine.

    Args:
        out: folder of the run, with a log of each stage.
        command: as typed.
        seed: of the recipe.
    """
    seconds = stage_seconds(out)
    told = ", ".join(f"{name} {value / 60:.0f}" for name, value in seconds.items())
    return {
        "command": command,
        "commit": commit(),
        "seed": seed,
        "time": f"{sum(seconds.values()) / 60:.0f} minutes of stages ({told})",
        "machine": f"{cpu_name()}, {os.cpu_count()} cores",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def stage_seconds(out: Path) -> dict[str, float]:
    """Seconds that each stage of a run took by its log, in the order in which stages ended.

    A log counts from each start of its stage; a smaller number than before is a new start.
    """
    found = {}
    for path in sorted(out.glob("*/log.jsonl"), key=lambda item: item.stat().st_mtime):
        lines = path.read_text(encoding="utf-8").splitlines()
        told = [json.loads(line) for line in lines if line.strip()]
        timed = [float(line["seconds"]) for line in told if "seconds" in line]
        if timed:
            after = [*timed[1:], -1.0]
            ends = [a for a, b in zip(timed, after, strict=True) if b < a]
            found[path.parent.name] = sum(ends)
    return found


def commit() -> str:
    """The commit of the source tree that this package lies in, "" where there is none."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def describe_checkpoint(folder: Path, facts: dict[str, Any]) -> None:
    """Put ``facts`` into ``folder``/config.json under "oryx_scene"; nothing else changes.

    Raises:
        CheckpointError: no config.json there.
        OutputError: it cannot be written.
    """
    config = read_json(folder, "config.json")
    config["oryx_scene"] = {**config.get("oryx_scene", {}), **facts}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    write_bytes(folder / "config.json", text.encode("utf-8"))
