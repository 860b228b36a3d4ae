"""Four 30 Hz cameras into the node: do all pictures arrive, and what does it cost?

Cameras and node are processes of their own. With Fast DDS as it comes, and with
ros/oryx_scene_ros/dds/shm.xml in both; the subscription path is the real node's (active, fake
model, no question asked). Prints a
table and one last JSON line; CPU is a share of one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from typing import Any

from ros_common import cameras, dds_environment, finish, prepare_environment, wait_for

NAMES = ("front", "left", "back", "right")


def child(args: argparse.Namespace) -> None:
    """The node's process: counts what arrives within the window."""
    # The parent has put the profile, or none, into this process's environment.
    prepare_environment(profile=False)
    import rclpy
    from fake_answerer import FakeAnswerer
    from oryx_scene_ros.main import _spin
    from oryx_scene_ros.node import SceneNode
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter

    rclpy.init()
    parameters = [Parameter("cameras", value=list(NAMES))]
    if args.depth:
        parameters += [
            Parameter(f"camera.{name}.depth_topic", value=f"/{name}/depth/image_raw")
            for name in NAMES
        ]
        parameters += [
            Parameter(f"camera.{name}.depth_info_topic", value=f"/{name}/camera_info")
            for name in NAMES
        ]
        parameters.append(Parameter("marks.keep_numbers", value=args.map_hz > 0))
        if args.map_hz > 0:
            parameters.append(Parameter("marks.map_hz", value=args.map_hz))
    node = SceneNode(lambda *_, **__: FakeAnswerer(), parameter_overrides=parameters)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    threading.Thread(target=_spin, args=(executor, node), daemon=True).start()
    executor.create_task(node.autostart)
    wait_for(lambda: node.feeds is not None, "the node to become active")
    wait_for(lambda: all(feed.received > 5 for feed in node.feeds.cameras.values()), "all cameras")
    counts = {name: feed.received for name, feed in node.feeds.cameras.items()}
    fused = node.desk.feeder.frames
    begin, cpu = time.monotonic(), time.process_time()
    time.sleep(args.seconds)
    wall, cpu = time.monotonic() - begin, time.process_time() - cpu
    hz = {name: (node.feeds.cameras[name].received - counts[name]) / wall for name in NAMES}
    fused_hz = (node.desk.feeder.frames - fused) / wall
    print(json.dumps({"hz": hz, "cpu": cpu / wall, "fused_hz": fused_hz}), flush=True)
    executor.shutdown(timeout_sec=2.0)
    node.destroy_node()
    rclpy.try_shutdown()


def run_once(args: argparse.Namespace, profile: bool, reliable: bool) -> dict[str, Any]:
    """One publisher and one node; rates per camera and both CPU shares."""
    words = ["--hz", "30", "--seconds", str(args.seconds + 12)]
    # Squares of random colours would be a thousand things to the map; a room is what it meets.
    words += ["--depth", "--room"] * args.depth + ["--reliable"] * reliable
    node_words = [sys.executable, __file__, "--child", "--seconds", str(args.seconds)]
    node_words += ["--map-hz", str(args.map_hz)]
    with cameras(*words, profile=profile) as publisher:
        found = subprocess.run(
            [*node_words, *["--depth"] * args.depth],
            env=dds_environment(profile),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=args.seconds + 120,
        )
        sent, _ = publisher.communicate(timeout=60)
    result = json.loads(found.stdout.splitlines()[-1])
    published = json.loads(sent.splitlines()[-1])
    first = NAMES[0]
    return {
        "received_hz": {name: round(hz, 2) for name, hz in result["hz"].items()},
        "sent_hz": round(published["sent"][first] / published["seconds"], 2),
        "fused_hz": round(result["fused_hz"], 2),
        "node_cpu": round(result["cpu"], 3),
        "publisher_cpu": round(published["cpu"], 3),
    }


def main() -> None:
    """Every combination once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="window of each run")
    parser.add_argument("--depth", action="store_true", help="depth pictures, too")
    parser.add_argument(
        "--map-hz", type=float, default=2.0, help="with depth: marks.map_hz, 0 = keep no numbers"
    )
    parser.add_argument("--profiles", nargs="+", default=["default", "shm.xml"])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    prepare_environment(profile=False)
    rows: dict[str, Any] = {}
    shares = f"{'node CPU':>9}{'cameras CPU':>13}"
    print(f"{'profile':<9}{'publisher':<13}{'sent Hz':>8}  {'received Hz':<24}{shares}")
    for profile in args.profiles:
        for quality in ("best_effort", "reliable"):
            row = run_once(args, profile == "shm.xml", quality == "reliable")
            rows[f"{profile}/{quality}"] = row
            received = " ".join(f"{hz:5.1f}" for hz in row["received_hz"].values())
            shares = f"{row['node_cpu']:>9.0%}{row['publisher_cpu']:>13.0%}"
            print(
                f"{profile:<9}{quality:<13}{row['sent_hz']:>8}  {received:<24}{shares}", flush=True
            )
    finish(
        {
            "benchmark": "ros_reception",
            "seconds": args.seconds,
            "depth": args.depth,
            "rows": rows,
            "map_hz": args.map_hz,
        }
    )


if __name__ == "__main__":
    main()
