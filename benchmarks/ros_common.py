"""What the ROS benchmarks share: a node with its callers, cameras in another process, tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parent
PROFILE = ROOT / "ros" / "oryx_scene_ros" / "dds" / "shm.xml"


def prepare_environment(profile: bool = True) -> None:
    """Discovery on this machine only, in a domain of this process; before rclpy is imported.

    Args:
        profile: use the shared-memory profile here, too.
    """
    if profile:
        os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
    os.environ.setdefault("ROS_DOMAIN_ID", str(10 + os.getpid() % 80))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_LOG_DIR", "/tmp/oryx_scene_ros_log")
    # The node with its callers as the tests run it.
    tests = ROOT / "tests"
    for folder in (ROOT, ROOT / "ros" / "oryx_scene_ros", tests, tests / "ros"):
        sys.path.insert(0, str(folder))


@contextmanager
def cameras(*words: str, profile: bool = True) -> Iterator[subprocess.Popen[str]]:
    """`ros_cameras.py WORDS` as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "ros_cameras.py"), *words],
        env=dds_environment(profile),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def dds_environment(profile: bool) -> dict[str, str]:
    """The environment with or without the shared-memory profile."""
    found = {k: v for k, v in os.environ.items() if k != "FASTDDS_DEFAULT_PROFILES_FILE"}
    if profile:
        found["FASTDDS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
    return found


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Other programs on the same cores: processes that do nothing but compute."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def resident_mib() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def summary(values: Sequence[float], scale: float = 1e3) -> dict[str, float]:
    """Median, p95 and largest, by default in milliseconds."""
    array = np.asarray(values) * scale
    return {
        "n": len(values),
        "p50": round(float(np.median(array)), 2),
        "p95": round(float(np.percentile(array, 95)), 2),
        "max": round(float(array.max()), 2),
    }


def print_row(name: str, value: dict[str, float], unit: str = "ms") -> None:
    """One row of the table."""
    figures = "  ".join(f"{key} {value[key]:>8.1f}" for key in ("p50", "p95", "max"))
    print(f"{name:<52} {figures} {unit}   n {value['n']:.0f}", flush=True)


def finish(result: dict[str, Any]) -> None:
    """The last line: everything as JSON, with the load of the machine beside."""
    result["load_average"] = round(os.getloadavg()[0], 2)
    print(json.dumps(result, sort_keys=True))


def wait_for(condition: Any, what: str, timeout_s: float = 60.0) -> None:
    """Poll until ``condition()``; ends the benchmark with a sentence where it never comes."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.01)
