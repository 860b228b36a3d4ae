"""Speed of the depth route on one core at 640x480, beside SIFT matching of every pair of views.

`python benchmarks/marks.py [--frames 10000]`: association per view at camera rate, freezing eight
views, and what the instance map holds after many frames. CPU time of this process; one JSON line
at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import resource
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from oryx_scene.config import MarksConfig
from oryx_scene.lab.evaluation.mark_worlds import ROUGH, SEPARATED
from oryx_scene.lab.synth.noise import spoil
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import make_world
from oryx_scene.marks.instance_map.map import InstanceMap
from oryx_scene.records import Frame, ViewSet

VIEWS = 8


def walk(views: int, height: int, width: int) -> list[Frame]:
    """A camera carried around a room, depth and poses as of a robot."""
    world = make_world(71_000, SEPARATED)
    poses = make_poses(world, RigConfig("handheld", views, height, width, interval_s=0.2))
    return spoil(render_views(world, poses), ROUGH, 1)


def cpu_ms(run: Callable[[], object]) -> float:
    """Milliseconds of CPU time of one run."""
    started = time.process_time()
    run()
    return 1000 * (time.process_time() - started)


def sift_pairs(frames: list[Frame]) -> None:
    """Plain matching: SIFT in every view, ratio test in every pair."""
    sift, matcher = cv2.SIFT_create(), cv2.BFMatcher()
    found = [sift.detectAndCompute(cv2.cvtColor(f.rgb, cv2.COLOR_RGB2GRAY), None) for f in frames]
    for (_, a), (_, b) in itertools.combinations(found, 2):
        if a is not None and b is not None and len(b) >= 2:
            pairs = matcher.knnMatch(a, b, k=2)
            sum(m.distance < 0.8 * n.distance for m, n in pairs)


def measure(repeats: int) -> dict[str, float]:
    """Association, freezing and the baseline on the same frames."""
    frames = walk(24, 480, 640)
    observe, freeze, baseline = [], [], []
    for _ in range(repeats):
        seen = InstanceMap()
        observe += [cpu_ms(partial(seen.observe, frame)) for frame in frames][4:]
        frozen = ViewSet(tuple(frames[2 : 2 + 2 * VIEWS : 2]))
        freeze.append(cpu_ms(partial(seen, frozen, MarksConfig(), "")))
        baseline.append(cpu_ms(partial(sift_pairs, list(frozen.frames))))
    return {
        "associate_ms_per_view": float(np.median(observe)),
        "freeze_8_views_ms": float(np.median(freeze)),
        "sift_8_views_ms": float(np.median(baseline)),
    }


def endure(count: int) -> dict[str, float]:
    """Memory of the map over many small frames; time and place go on, as on a long drive."""
    frames = walk(40, 120, 160)
    seen = InstanceMap()
    early = 0.0
    for index in range(count):
        turn, which = divmod(index, len(frames))
        frame = frames[which]
        T = frame.T_fixed_camera.copy()  # type: ignore[union-attr]
        T[0, 3] += 20.0 * (turn % 50)
        stamp_ns = frame.stamp_ns + turn * 8 * 10**9
        seen.observe(dataclasses.replace(frame, T_fixed_camera=T, stamp_ns=stamp_ns))
        if index == count // 5:
            early = peak_mb()
    return {
        "frames": count,
        "peak_mb_after_a_fifth": early,
        "peak_mb": peak_mb(),
        **{key: float(value) for key, value in seen.size.items()},
    }


def peak_mb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=0, help="also feed so many to one map")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    found = measure(args.repeats)
    found["freeze_over_sift"] = found["freeze_8_views_ms"] / found["sift_8_views_ms"]
    if args.frames:
        found.update(endure(args.frames))
    for name, value in found.items():
        print(f"{name:<26} {value:>10.3f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
