"""SIGINT to the end of a node process, at every stage: seconds, exit code, and each goal's end.

The stages and the fake engine are those of tests/ros/test_shutdown.py. Prints a table and one last
JSON line; times in seconds.
"""

from __future__ import annotations

import argparse
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from ros_common import finish, prepare_environment, summary, wait_for

PREFILL, WAITING_FRAMES = 3, 1


def while_answering(one: Any) -> list[Any]:
    """One goal runs, two wait."""
    one.ready()
    running = one.goal()

    def at_work() -> bool:
        one.show()
        time.sleep(0.05)
        return PREFILL in running.stages

    wait_for(at_work, "the model at work")
    return [running, one.goal(), one.goal()]


def while_waiting_for_frames(one: Any) -> list[Any]:
    """No camera sends anything."""
    one.ready()
    goal = one.goal()
    wait_for(lambda: WAITING_FRAMES in goal.stages, "the wait for frames")
    return [goal]


def while_idle(one: Any) -> list[Any]:
    """Nobody asks."""
    one.ready()
    return []


def while_loading(one: Any) -> list[Any]:
    """The model takes a minute to load."""
    from lifecycle_msgs.srv import GetState

    client = one.caller.create_client(GetState, f"/{one.name}/get_state")
    if not client.wait_for_service(90):
        raise SystemExit("the node did not come up")
    time.sleep(1.0)
    return []


STAGES: dict[str, tuple[tuple[str, ...], Callable[[Any], list[Any]]]] = {
    "in prefill, two waiting": (("hold=prefill",), while_answering),
    "in decode, two waiting": (("hold=decode",), while_answering),
    "waiting for frames": ((), while_waiting_for_frames),
    "loading the model": (("hold=load",), while_loading),
    "idle": ((), while_idle),
}


def at_random(count: int) -> dict[str, Any]:
    """SIGINT at random times from the first import on, with RGB-D cameras that feed the map."""
    from test_shutdown import RGBD, Process, send_rgbd

    rng = random.Random(5)
    found: dict[str, Any] = {"orderly": 0, "before_signals_were_caught": 0, "other": []}
    seconds: list[float] = []
    for index in range(count):
        one = Process(f"ending_random_{index}", *RGBD)
        # Every other one from its active state on: a busy machine takes long to get there.
        if index % 2:
            one.ready()
        send_rgbd(one, rng.uniform(0.0, 8.0) if index % 2 == 0 else rng.uniform(0.0, 2.0))
        code, took = one.interrupt()
        one.close()
        orderly = "ending: open questions" in one.said
        if code == 0 and orderly:
            found["orderly"] += 1
            seconds.append(round(took, 2))
        elif code == -signal.SIGINT or (code == 1 and "KeyboardInterrupt" in one.said):
            found["before_signals_were_caught"] += 1
        else:
            found["other"].append([code, one.said[-2000:]])
    if seconds:
        found["seconds"] = summary(seconds, 1.0)
    print(f"{count} ends at random times: {found}", flush=True)
    return found


def main() -> None:
    """Every stage a few times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--random", type=int, default=0, help="only so many ends at random times")
    args = parser.parse_args()
    prepare_environment(profile=False)
    import rclpy
    from oryx_scene_ros.error_codes import Code
    from test_shutdown import Process

    rclpy.init()
    if args.random:
        found = at_random(args.random)
        rclpy.try_shutdown()
        finish({"benchmark": "ros_ending", "random": args.random, **found})
        return
    rows: dict[str, Any] = {}
    for stage, (words, reach) in STAGES.items():
        seconds: list[float] = []
        for index in range(args.count):
            one = Process(f"ending_{len(rows)}_{index}", *words)
            try:
                goals = reach(one)
                code, took = one.interrupt()
                ends = [goal.result(5)[1].error.code for goal in goals]
            finally:
                one.close()
            if code != 0 or any(end != Code.SHUTTING_DOWN for end in ends):
                raise SystemExit(f"{stage}: exit code {code}, goals ended with {ends}")
            seconds.append(round(took, 2))
        rows[stage] = seconds
        print(f"{stage:<28} {max(seconds):6.2f} s at most of {seconds}, exit code 0", flush=True)
    rclpy.try_shutdown()
    finish({"benchmark": "ros_ending", "count": args.count, "rows": rows})


if __name__ == "__main__":
    main()
