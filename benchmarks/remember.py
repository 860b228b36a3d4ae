"""How fast a robot's memory takes frames in and answers, and how large it becomes.

`python benchmarks/remember.py [--frames 400] [--hours 10]`: RGB-D of 640x480 from a rendered room
at 2 Hz, taken in again and again under later stamps; then `where` on a memory with rows of so many
hours. CPU time of this process; one JSON line at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from oryx_scene.lab.evaluation.mark_worlds import ROUGH, SEPARATED
from oryx_scene.lab.synth.noise import spoil
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import make_world
from oryx_scene.memory.recorder import remember
from oryx_scene.memory.store import MemoryStore, open_memory
from oryx_scene.memory.where import where
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.base import BaseSource, FrameStub

RATE_HZ = 2.0
# Rows of an hour: stays, intervals and absences of each, keyframes; as many as drives make.
STAYS, INTERVALS, KEYFRAMES = 120, 6, 700
QUESTIONS = ("the red box", "where is the blue ball?", "green cylinder", "the toolbox")


class Again(BaseSource):
    """The same frames under ever later stamps."""

    def __init__(self, frames: list[Frame], count: int) -> None:
        self._frames = frames
        step = round(1e9 / RATE_HZ)
        stamps = [1_700_000_000_000_000_000 + index * step for index in range(count)]
        super().__init__([FrameStub("front", s, s, "front", i) for i, s in enumerate(stamps)])

    def load(self, stub: FrameStub) -> Frame:
        """One frame, not decoded."""
        frame = self._frames[stub.serial % len(self._frames)]
        return dataclasses.replace(frame, camera="front", stamp_ns=stub.stamp_ns)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """Of that frame."""
        return self._frames[stub.serial % len(self._frames)].T_fixed_camera


def frames_of_a_room() -> list[Frame]:
    """A camera carried around a room, depth and poses as of a robot."""
    world = make_world(71_000, SEPARATED)
    poses = make_poses(world, RigConfig("handheld", 48, 480, 640, interval_s=0.5))
    return spoil(render_views(world, poses), ROUGH, 1)


def taken_in(folder: Path, frames: list[Frame], count: int) -> dict[str, float]:
    """Rate, size and memory of taking ``count`` frames in."""
    with open_memory(folder, write=True) as store:
        remember(Again(frames, 16), store, "warm")
        begun, before = time.process_time(), store.size_bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        remember(Again(frames, count), store, "long", wish="same")
        spent = time.process_time() - begun
        hours = count / RATE_HZ / 3600.0
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "frames": count,
            "cpu_ms_per_frame": 1e3 * spent / count,
            "times_real_time": count / RATE_HZ / spent,
            "megabytes_per_hour": (store.size_bytes - before) / 1e6 / hours,
            "peak_growth_mb": (after - peak) / 1024.0,
        }


def fill(store: MemoryStore, hours: int) -> None:
    """Rows as many hours make them, looks drawn at random."""
    rng = np.random.default_rng(0)
    step = round(3.6e12 / STAYS)
    with store.transaction():
        frame = store.insert("maps", frame_id="map")
        session = store.insert(
            "sessions",
            map=frame,
            source="",
            fingerprint="",
            alignment="first",
            complete=1,
            first_ns=0,
            done_ns=hours * STAYS * step,
        )
        for index in range(hours * STAYS):
            begun, looks = index * step, rng.uniform((2, -40, -40), (28, 60, 60)).tolist()
            misfits = rng.uniform(0, 6, 4).tolist()
            instance = store.insert(
                "instances",
                map=frame,
                first_ns=begun,
                last_ns=begun,
                views=20,
                windows=5,
                chances=6,
                shaped=9,
                **dict(zip(("bright", "red_green", "yellow_blue"), looks, strict=True)),
                **dict(zip(("ball", "box", "cylinder", "flat"), misfits, strict=True)),
            )
            x, y, z = rng.uniform(-20, 20, 3).tolist()
            stay = store.insert(
                "stays",
                instance=instance,
                x=x,
                y=y,
                z=z,
                **dict.fromkeys(("size_x", "size_y", "size_z"), 0.3),
                covariance=(np.eye(3) * 1e-3).tobytes(),
                first_ns=begun,
                last_ns=begun,
                surface=bytes(3840),
            )
            for number in range(INTERVALS):
                span = {"first_ns": begun + number * step, "last_ns": begun + number * step + 9}
                store.insert("intervals", stay=stay, session=session, views=3, **span)
                store.insert(
                    "absences",
                    stay=stay,
                    session=session,
                    views=1,
                    sure=0,
                    changed_share=0.8,
                    **span,
                )
        for index in range(hours * KEYFRAMES):
            store.insert(
                "keyframes",
                session=session,
                camera="c",
                stamp_ns=index,
                frame_id="o",
                pose=np.eye(4).tobytes(),
                intrinsics="",
                reason="floor",
            )


def asked(folder: Path, repeats: int) -> dict[str, float]:
    """Milliseconds of CPU time of an answer."""
    spent = []
    with open_memory(folder) as store:
        where(store, QUESTIONS[0])
        for index in range(repeats):
            begun = time.process_time()
            where(store, QUESTIONS[index % len(QUESTIONS)])
            spent.append(1e3 * (time.process_time() - begun))
    p50, p95 = np.quantile(spent, (0.5, 0.95)).tolist()
    return {"where_ms_p50": p50, "where_ms_p95": p95}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--hours", type=int, default=10)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = taken_in(Path(folder) / "frames", frames_of_a_room(), args.frames)
        for hours in (1, args.hours):
            rows = Path(folder) / f"rows {hours}"
            with open_memory(rows, write=True) as store:
                fill(store, hours)
            found |= {f"{name}_{hours}_h": ms for name, ms in asked(rows, 100).items()}
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


if __name__ == "__main__":
    main()
