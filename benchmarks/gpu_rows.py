"""All rows that need a GPU in one sitting: tables on the screen, JSON lines in a file.

python benchmarks/gpu_rows.py --out gpu_rows.jsonl          # a GPU, 7B-sized
python benchmarks/gpu_rows.py --device cpu --size tiny      # a dry run anywhere

Every measurement is a process of its own, so that a failure or a lack of memory in one leaves the
others. Nothing else may run on the card. See docs/developing/bench.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

# What runs, the most telling first: a sitting that is cut short has them.
PARTS = (
    ("decode",),
    ("decode", "--tokens", "10000"),
    ("scene",),
    ("prefill",),
    ("vit",),
    ("decode", "--quantization", "int8"),
    ("decode", "--quantization", "int4"),
    ("resize",),
    ("frames",),
)
SECONDS_EACH = 180


def main() -> int:
    """Run everything; returns the number of measurements that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", default="7b", choices=("tiny", "0.5b", "7b"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("gpu_rows.jsonl"))
    args = parser.parse_args()
    began = time.monotonic()
    failed = 0
    with args.out.open("w", encoding="utf-8") as out:
        out.write(json.dumps({"machine": _machine(args.device)}) + "\n")
        for part in PARTS:
            line = _run(part, args)
            failed += "failed" in line
            out.write(json.dumps(line) + "\n")
            out.flush()
    print(f"{len(PARTS)} measurements, {failed} failed, {time.monotonic() - began:.0f} s")
    return failed


def _run(part: tuple[str, ...], args: argparse.Namespace) -> dict[str, object]:
    given = list(part)
    if args.size == "tiny" and "--tokens" in given:
        given[given.index("--tokens") + 1] = "1500"
    command = [sys.executable, "-m", "oryx_scene.cli.main", "bench", *given]
    command += ["--size", args.size, "--device", args.device, "--rounds", str(args.rounds)]
    print("$", " ".join(["oryx-scene", *command[3:]]), flush=True)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_EACH, check=False
        )
    except subprocess.TimeoutExpired:
        return {"part": part, "failed": f"longer than {SECONDS_EACH} s"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        print(done.stderr[-2000:], flush=True)
        return {"part": part, "failed": done.stderr[-2000:]}
    print("\n".join(lines[:-1]), flush=True)
    found: dict[str, object] = json.loads(lines[-1])
    return found


def _machine(device: str) -> str:
    """Clocks and power of the card, as the driver tells them."""
    if not device.startswith("cuda"):
        return device
    wanted = "name,driver_version,power.limit,clocks.max.sm,clocks.max.mem,temperature.gpu"
    command = ["nvidia-smi", f"--query-gpu={wanted}", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as err:
        return f"unknown: {err}"


if __name__ == "__main__":
    sys.exit(main())
