"""Pictures: bag to first picture, frame time of each headless renderer, fusing a cloud, the report.

The recording is the office of `oryx-scene room --furnished` as an mcap; the cloud is fused from 20
frames (its 5, each shifted four times). Times are CPU seconds of this process and its children, the
best of several runs, so that other work on the machine hardly counts; the cloud's baseline is
decoding the 20 frames that it is fused from. Prints a table and one last JSON line; a renderer that
cannot run here is named with its reason.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oryx_scene.errors import EngineError
from oryx_scene.lab.synth.recording import record_room
from oryx_scene.lab.synth.scenes import SceneSpec
from oryx_scene.records import Frame
from oryx_scene.sources.registry import open_source
from oryx_scene.view.cloud import fuse_cloud
from oryx_scene.view.open3d_process import render_in_child
from oryx_scene.view.overlay import draw_labels
from oryx_scene.view.recording import RecordingStory
from oryx_scene.view.splat import render_splat
from oryx_scene.view.viewpoint import make_viewpoint, orbit

FRAMES = 20


def best(work: Callable[[], Any], rounds: int) -> float:
    """Least CPU time of ``rounds`` runs, seconds, children included."""
    times = []
    for _ in range(rounds):
        started = cpu_s()
        work()
        times.append(cpu_s() - started)
    return min(times)


def cpu_s() -> float:
    """CPU seconds used so far by this process and its ended children."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def twenty_frames(bag: Path) -> tuple[list[Frame], Callable[[], Any]]:
    """20 posed RGB-D frames, and the work of decoding as many."""
    source = open_source(bag)
    stubs = source.stubs()
    real = [source.load(stub) for stub in stubs]
    frames = []
    for index in range(FRAMES):
        frame = real[index % len(real)]
        assert frame.T_fixed_camera is not None
        T = frame.T_fixed_camera.copy()
        T[:3, 3] += 0.01 * (index // len(real))
        frames.append(dataclasses.replace(frame, T_fixed_camera=T))
    return frames, lambda: [source.load(stubs[i % len(stubs)]) for i in range(FRAMES)]


def first_picture(bag: Path, folder: Path, renderer: str) -> float:
    """A whole `oryx-scene view BAG --png`, start of Python included."""
    command = [sys.executable, "-m", "oryx_scene.cli.main", "view", str(bag), "--png"]
    command += [str(folder / "first.png"), "--renderer", renderer]
    return best(lambda: subprocess.run(command, check=True, capture_output=True), 1)


def renderer_times(bag: Path, rounds: int) -> dict[str, Any]:
    """Seconds per 1280x720 picture with labels."""
    from oryx_scene.config import PipelineConfig

    source = open_source(bag)
    story = RecordingStory(source, [source.stubs()[-1].stamp_ns], PipelineConfig())
    scene = story[0].geometry()
    view = make_viewpoint("free", scene, 720, 1280)
    found: dict[str, Any] = {"points": len(scene.points)}
    splat = best(lambda: draw_labels(scene, view, render_splat(scene, view)), rounds)
    found["splat_s"] = splat
    found["splat_fast_s"] = best(lambda: render_splat(scene, view, supersample=1), rounds)
    try:
        one = best(lambda: render_in_child(scene, [view]), rounds)
        many = best(lambda: render_in_child(scene, orbit(scene, 11, 720, 1280)), 1)
    except EngineError as err:
        found["open3d"] = str(err)
        return found
    # The child starts once for all pictures.
    found |= {"open3d_first_s": one, "open3d_s": max(0.0, many - one) / 10}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="oryx-scene-bench-") as scratch:
        bag = Path(scratch) / "office"
        record_room(SceneSpec(0, views=5, height=480, width=640, furnished=True), bag)
        frames, decode = twenty_frames(bag)
        fuse_s = best(lambda: fuse_cloud(frames, voxel_m=0.02), rounds)
        decode_s = best(decode, rounds)
        result: dict[str, Any] = {
            "cloud_s": fuse_s,
            "cloud_points": len(fuse_cloud(frames, voxel_m=0.02).points),
            "cloud_over_decoding": fuse_s / decode_s,
        }
        result |= renderer_times(bag, rounds)
        for renderer in ("splat", "open3d"):
            try:
                result[f"first_picture_{renderer}_s"] = first_picture(bag, Path(scratch), renderer)
            except subprocess.CalledProcessError as err:
                result[f"first_picture_{renderer}"] = err.stderr.decode().strip()
    for name, value in result.items():
        print(f"{name:28} {value:.3f}" if isinstance(value, float) else f"{name:28} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
