"""How many synthetic scenes a second: worlds drawn and ray-cast into RGB-D views with true ids.

`python benchmarks/synth.py [--scenes 64] [--processes 2]`: one process and several, rooms of things
apart, a ring of cameras. Wall-clock time; start-up of the processes is not counted. One JSON line
at the end.
"""

from __future__ import annotations

import argparse
import json
import time
from multiprocessing import get_context

import cv2

from oryx_scene.lab.evaluation.mark_worlds import ROUGH, SEPARATED
from oryx_scene.lab.synth.noise import spoil
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import make_world

FIRST_SEED = 80_000
# Name -> (views, height, width).
SIZES = {"4 views 320x240": (4, 240, 320), "8 views 640x480": (8, 480, 640)}


def prepare() -> None:
    """One thread per process, everything imported and warm."""
    cv2.setNumThreads(1)
    make_scene((FIRST_SEED - 1, 1, 48, 64))


def make_scene(what: tuple[int, int, int, int]) -> int:
    """One scene (seed, views, height, width) with noise; the number of views made."""
    seed, views, height, width = what
    world = make_world(seed, SEPARATED)
    poses = make_poses(world, RigConfig("ring", views, height, width))
    return len(spoil(render_views(world, poses), ROUGH, seed))


def scenes_per_second(size: tuple[int, int, int], scenes: int, processes: int) -> float:
    """Rate of making ``scenes`` scenes."""
    work = [(FIRST_SEED + index, *size) for index in range(scenes)]
    with get_context("spawn").Pool(processes, initializer=prepare) as pool:
        # Every process has taken work before the clock starts.
        pool.map(make_scene, work[: 2 * processes], chunksize=1)
        started = time.perf_counter()
        made = pool.map(make_scene, work, chunksize=1)
        return len(made) / (time.perf_counter() - started)


def main() -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    found = {
        f"{name}, {count} processes": scenes_per_second(size, args.scenes, count)
        for name, size in SIZES.items()
        for count in sorted({1, args.processes})
    }
    for name, value in found.items():
        print(f"{name:<32} {value:>8.2f} scenes/s")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
