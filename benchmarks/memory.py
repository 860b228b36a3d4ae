"""Memory of asking about a large recording: peak of the process against asking about a tiny one.

Writes two bags of 640x480 pictures with depth, calibration and poses, one of the asked size and one
of a second, runs `oryx-scene ask` with the random model (or, with `--command check`, `oryx-scene
check`) on each in a process of its own, and compares the peaks (VmHWM, Linux) and the seconds.
Prints a table and one last JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.writer import BagWriter

# Picture and depth of one frame in the bag, bytes.
FRAME_BYTES = 640 * 480 * 5
ARGUMENTS = {
    "ask": ["-q", "What is nearest?", "--model", "random", "--json", "--max-new-tokens", "8"],
    "check": [],
}
RUN = """
import sys
from pathlib import Path
from oryx_scene.cli.main import main
code = main(sys.argv[1:])
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


def write_bag(path: Path, count: int, storage: str) -> None:
    """A camera that moves along a structured wall at 10 Hz."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (480, 1280, 3), np.uint8)
    depth = np.full((480, 640), 2.0, np.float32)
    depth[200:280, 280:360] = 1.5
    K = np.array([[500.0, 0, 319.5], [0, 500.0, 239.5], [0, 0, 1]])
    with BagWriter(path, storage=storage) as bag:
        for index in range(count):
            stamp_ns = 10**9 + index * 10**8
            T = np.eye(4)
            T[0, 3] = 0.01 * index
            shown = np.ascontiguousarray(wide[:, index % 640 : index % 640 + 640])
            bag.add_transform("map", "optical", stamp_ns, T)
            for part in ("", "/depth"):
                topic = f"/front{part}/camera_info"
                bag.add_camera_info(topic, stamp_ns, "optical", Intrinsics(K, 480, 640))
            bag.add_image("/front/image_raw", stamp_ns, "optical", shown)
            bag.add_depth("/front/depth/image_raw", stamp_ns, "optical", depth)


def peak_bytes(command: str, path: Path) -> int:
    """Peak resident memory of one command of `oryx-scene`."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, command, str(path), *ARGUMENTS[command]],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stderr.split()[-1]) * 1024


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--command", choices=sorted(ARGUMENTS), default="ask")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap")
    args = parser.parse_args()
    count = int(args.gigabytes * 1e9 / FRAME_BYTES)
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, frames in (("1 s", 10), (f"{args.gigabytes:g} GB", count)):
            path = Path(folder) / name.replace(" ", "_")
            write_bag(path, frames, args.storage)
            started = time.perf_counter()
            peaks[name] = peak_bytes(args.command, path)
            seconds = time.perf_counter() - started
            print(
                f"{args.command} {name:<8} {frames:5d} frames   {seconds:6.1f} s   "
                f"peak {peaks[name] / 1e6:7.0f} MB"
            )
    small, large = peaks.values()
    print(f"more for the large recording: {(large - small) / 1e6:.0f} MB")
    print(json.dumps({"peak_bytes": peaks, "difference_bytes": large - small}))


if __name__ == "__main__":
    main()
