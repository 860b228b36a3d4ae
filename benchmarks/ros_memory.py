"""Memory and answers of a node that runs long: cameras, transforms, questions, simulated time.

/clock goes faster than real time, so that the node lives through more than it takes; pictures come
at the given rate of REAL time (four cameras at 30 Hz of simulated time would be 1,200 pictures a
second at ten times the pace). Scenes expire, records and rings turn over. Prints the process's
resident memory over the run (the cyclic collector is left to itself) and one last JSON line. An
hour of real time with four RGB-D cameras at 10 Hz:
`python benchmarks/ros_memory.py --fake --depth --hz 10 --pace 1 --minutes 60 --every 2`.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any

import numpy as np
from ros_common import busy_loops, cameras, finish, prepare_environment, resident_mib, wait_for

NAMES = ("front", "left", "back", "right")


def depth_parameters(depth: bool) -> dict[str, str]:
    """Topics of RGB-D cameras, so that the map of things is fed."""
    if not depth:
        return {}
    found = {f"camera__{name}__depth_topic": f"/{name}/depth/image_raw" for name in NAMES}
    return found | {f"camera__{name}__depth_info_topic": f"/{name}/camera_info" for name in NAMES}


def run(args: argparse.Namespace, answerer: Any) -> dict[str, Any]:
    """Ask every few seconds of simulated time until it is over."""
    from harness import Bench
    from oryx_scene_msgs.srv import FreezeScene

    bench = Bench(
        cameras=NAMES,
        answerer=answerer,
        use_sim_time=True,
        views__max_age_s=60.0,
        gen__max_new_tokens=8,
        marks__enabled=not args.no_marks,
        **depth_parameters(args.depth),
        query_timeout_s=240.0,
        scene_ttl_s=120.0,
    )
    samples: list[dict[str, float]] = []
    errors: dict[int, int] = {}
    lost = 0
    try:
        wait_for(lambda: all(bench.received(name) for name in NAMES), "all cameras")
        begun, first = time.monotonic(), bench.now() / 1e9
        cpu = time.process_time()
        answers = 0
        next_sample = first
        while (now := bench.now() / 1e9) < first + args.minutes * 60:
            question = f"What is here? ({answers + lost})"
            try:
                _, answer = bench.goal(question, feedback=False).result(300.0)
            except AssertionError:
                lost += 1
                continue
            answers += 1
            if args.fake:
                # The fake remembers every prompt with its pictures, for tests to look at.
                answerer.prompts.clear()
                answerer.limits.clear()
            if answer.error.code:
                errors[answer.error.code] = errors.get(answer.error.code, 0) + 1
            if answers % 10 == 0:
                bench.call(FreezeScene, "freeze_scene", prefill=True)
            if now >= next_sample:
                samples.append({"simulated_s": round(now - first), "mib": round(resident_mib(), 1)})
                print(f"{now - first:8.0f} s  {samples[-1]['mib']:8.1f} MiB", flush=True)
                next_sample += args.minutes * 60 / 12
            wait_for(lambda since=now: bench.now() / 1e9 >= since + args.every, "the clock", 300.0)
        wall = time.monotonic() - begun
        cpu = time.process_time() - cpu
        received = sum(bench.received(name) for name in NAMES)
        simulated = bench.now() / 1e9 - first
    finally:
        bench.close()
    later = samples[len(samples) // 4 :]
    settled = [item["mib"] for item in later]
    slope = float(np.polyfit([item["simulated_s"] / 60 for item in later], settled, 1)[0])
    return {
        "samples": samples,
        "growth_mib_after_first_quarter": round(settled[-1] - settled[0], 1),
        "slope_mib_per_minute": round(slope, 2),
        "answers": answers,
        "lost_goals": lost,
        "cpu_share_of_one_core": round(cpu / wall, 3),
        "errors": errors,
        "pictures": received,
        "simulated_s": round(simulated),
        "wall_s": round(wall),
        "pace": round(simulated / wall, 1),
    }


def main() -> None:
    """The tiny random model, or the fake engine with --fake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of simulated time")
    parser.add_argument("--pace", type=float, default=10.0, help="simulated over real time")
    parser.add_argument("--hz", type=float, default=30.0, help="pictures a REAL second and camera")
    parser.add_argument("--every", type=float, default=10.0, help="simulated s between questions")
    parser.add_argument("--fake", action="store_true", help="no model")
    parser.add_argument("--depth", action="store_true", help="RGB-D cameras in a rendered room")
    parser.add_argument("--busy", type=int, default=0, help="busy loops on the same cores")
    parser.add_argument("--no-marks", action="store_true", help="do not search for marks")
    args = parser.parse_args()
    prepare_environment()
    import rclpy

    rclpy.init()
    if args.fake:
        from fake_answerer import FakeAnswerer

        answerer: Any = FakeAnswerer()
    else:
        from oryx_scene.model.checkpoint.load import load_answerer

        answerer = load_answerer("random", device="cpu")
    seconds = args.minutes * 60 / args.pace + 120
    words = ["--hz", str(args.hz), "--seconds", str(seconds), "--clock-rate", str(args.pace)]
    with contextlib.ExitStack() as beside:
        beside.enter_context(cameras(*words, *["--depth", "--room"] * args.depth))
        beside.enter_context(busy_loops(args.busy))
        result = run(args, answerer)
    rclpy.try_shutdown()
    finish(
        {"benchmark": "ros_memory", "hz": args.hz, "fake": args.fake, "depth": args.depth, **result}
    )


if __name__ == "__main__":
    main()
