"""Bag to decoded frames: our frame source against the plain rosbags reader with OpenCV decoding.

The baseline reads every message of one image topic, deserialises it and decodes it to RGB: the
least that any program must do. Ours also indexes the bag, hashes every payload and looks up
calibration and pose; the baseline with the hash added is shown too. The sides alternate; the median
over rounds counts, in CPU seconds, which other work on the machine does not change much. Prints a
table and one last JSON line; a ratio is our time over the named baseline's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

TOPIC = "/front/image_raw"
FRAME_ID = "front_optical"


def write_bag(path: Path, count: int, jpeg: bool, storage: str) -> str:
    """A moving 640x480 picture with calibration and transforms, 30 Hz; returns the topic."""
    rng = np.random.default_rng(0)
    base = cv2.GaussianBlur(rng.integers(0, 255, (480, 1280, 3), np.uint8), (0, 0), 3)
    K = np.array([[500.0, 0, 319.5], [0, 500.0, 239.5], [0, 0, 1]])
    topic = f"{TOPIC}/compressed" if jpeg else TOPIC
    with BagWriter(path, storage=storage) as bag:
        for index in range(count):
            stamp_ns = 10**9 + index * 33_333_333
            rgb = np.ascontiguousarray(base[:, index % 640 : index % 640 + 640])
            bag.add_transform("map", FRAME_ID, stamp_ns, np.eye(4))
            bag.add_camera_info("/front/camera_info", stamp_ns, FRAME_ID, Intrinsics(K, 480, 640))
            if jpeg:
                data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
                bag.add_compressed(topic, stamp_ns, FRAME_ID, data, "rgb8; jpeg compressed bgr8")
            else:
                bag.add_image(topic, stamp_ns, FRAME_ID, rgb)
    return topic


def plain(path: Path, topic: str, hashed: bool = False) -> int:
    """The baseline: one pass of the rosbags reader over the image topic, decoded to owned RGB."""
    from rosbags.highlevel import AnyReader

    count = 0
    with AnyReader([path]) as reader:
        chosen = [item for item in reader.connections if item.topic == topic]
        for connection, _, data in reader.messages(connections=chosen):
            message: Any = reader.deserialize(data, connection.msgtype)
            if topic.endswith("compressed"):
                rgb = cv2.cvtColor(cv2.imdecode(message.data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            else:
                rgb = message.data.reshape(message.height, message.width, 3).copy()
            if hashed:
                hashlib.sha256(message.data).hexdigest()
            count += rgb.shape[0] > 0
    return count


def ours(path: Path) -> int:
    """Our source: opened, indexed, every frame decoded with calibration, pose and hash."""
    return sum(frame.T_fixed_camera is not None for frame in open_source(path).frames())


def compare(path: Path, topic: str, count: int, rounds: int) -> dict[str, float]:
    """Median seconds of both sides, alternating, after one warm-up of each."""
    sides: dict[str, Callable[[], int]] = {
        "rosbags": lambda: plain(path, topic),
        "rosbags + sha256": lambda: plain(path, topic, hashed=True),
        "oryx_scene": lambda: ours(path),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, run in sides.items():
            started = time.process_time()
            if run() != count:
                raise SystemExit(f"{name} lost frames")
            if turn:
                times[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        for storage in ("mcap", "sqlite3"):
            for kind in ("raw", "jpeg"):
                path = Path(folder) / f"{storage}_{kind}"
                topic = write_bag(path, args.frames, kind == "jpeg", storage)
                found = compare(path, topic, args.frames, args.rounds)
                for name, seconds in found.items():
                    ratio = found["oryx_scene"] / seconds
                    print(
                        f"{storage:<8} {kind:<5} {name:<18} {1000 * seconds / args.frames:6.2f} "
                        f"ms/frame   oryx_scene / it {ratio:5.2f}"
                    )
                    if name != "oryx_scene":
                        ratios[f"{storage} {kind} to {name}"] = round(ratio, 3)
    print(json.dumps({"frames": args.frames, "ratios": ratios}))


if __name__ == "__main__":
    main()
