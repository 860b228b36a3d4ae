"""Replay: what it costs beside the questions themselves, and the size of the report.

The recording is the office of `oryx-scene room --furnished`, repeated to a minute of 640x480 RGB-D
at 2 Hz as an mcap. Two questions a moment are asked of the tiny random model. The baseline is the
same pipeline without replay: the time of `freeze` and `ask`. "overhead" is everything else: reading
and decoding, snapshots, journal. Prints a table and one last JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from oryx_scene.cli.main import main as oryx_scene
from oryx_scene.lab.synth.recording import record_room
from oryx_scene.lab.synth.scenes import SceneSpec
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.bags.writer import write_source
from oryx_scene.sources.base import FrameSource, FrameStub
from oryx_scene.sources.registry import open_source

PERIOD_NS = 500_000_000


class Repeated:
    """A short source played over and over at 2 Hz."""

    def __init__(self, source: FrameSource, count: int) -> None:
        self._source, self._count = source, count
        self.cameras, self.warnings = source.cameras, ()
        self.synthetic = self.stills = self.counted = False

    def stubs(self) -> Sequence[FrameStub]:
        """Not needed for writing."""
        return self._source.stubs()

    def load(self, stub: FrameStub) -> Frame:
        """Not needed for writing."""
        return self._source.load(stub)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """Not needed for writing."""
        return self._source.pose(stub)

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """The frames with new stamps."""
        real = list(self._source.frames())
        for index in range(self._count):
            stamp_ns = 10**9 + index * PERIOD_NS
            yield dataclasses.replace(real[index % len(real)], stamp_ns=stamp_ns)


def replay(bag: Path, folder: Path, every_s: float, model: str, tokens: int) -> dict[str, Any]:
    """The summary of one replay, and the sizes of what it wrote."""
    questions = folder / "questions.yaml"
    questions.write_text("- What is nearest to mark 1?\n- How far is mark 2 from mark 3?\n")
    report, mcap, out = folder / "report.html", folder / "answers.mcap", folder / "out"
    words = ["replay", str(bag), "--questions", str(questions), "--every", str(every_s)]
    words += ["--model", model, "--max-new-tokens", str(tokens), "--out", str(out)]
    with contextlib.redirect_stdout(io.StringIO()):
        code = oryx_scene([*words, "--report", str(report), "--write-bag", str(mcap)])
    assert code == 0, code
    summary: dict[str, Any] = json.loads((out / "replay.json").read_text())["summary"]
    summary["report_bytes"], summary["bag_bytes"] = report.stat().st_size, mcap.stat().st_size
    return summary


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120, help="of the recording, at 2 Hz")
    parser.add_argument("--every", type=float, default=6.0, help="seconds between moments")
    parser.add_argument("--model", default="random")
    parser.add_argument("--tokens", type=int, default=32, help="generated per answer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oryx-scene-bench-") as scratch:
        bag = Path(scratch) / "office"
        short = Path(scratch) / "short"
        record_room(SceneSpec(0, views=5, height=480, width=640, furnished=True), short)
        write_source(Repeated(open_source(short), args.frames), bag)
        found = replay(bag, Path(scratch), args.every, args.model, args.tokens)
    stages = found["stages_s"]
    baseline_s = stages["freeze"] + stages["ask"]
    overhead_s = found["wall_s"] - baseline_s
    result = {
        "answers": found["asked"],
        "frames_read": found["frames_read"],
        "recorded_s": found["recorded_s"],
        "wall_s": found["wall_s"],
        "real_time_factor": found["real_time_factor"],
        **{f"{name}_s": seconds for name, seconds in stages.items()},
        "overhead_share": overhead_s / found["wall_s"],
        "overhead_over_pipeline": overhead_s / baseline_s,
        "overhead_ms_per_frame_read": 1000 * overhead_s / found["frames_read"],
        "report_mb": found["report_bytes"] / 1e6,
        "bag_mb": found["bag_bytes"] / 1e6,
    }
    for name, value in result.items():
        print(f"{name:28} {value:.3f}" if isinstance(value, float) else f"{name:28} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
