"""Start of a node process to its first answer, in seconds: cameras are there, the packaged model.

Prints when the node is first heard of, when it is active, and when a question that was sent then
has its answer. One last JSON line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Any

from ros_common import cameras, dds_environment, finish, prepare_environment, print_row, summary

NAMES = ("front", "left", "back", "right")
STAGES = ("heard of", "active", "first answer")
END_S = 300.0


def once(name: str, model: str) -> list[float]:
    """Seconds from the start of a process to each of ``STAGES``."""
    import rclpy
    from harness import Spinner, result_of
    from lifecycle_msgs.msg import State
    from lifecycle_msgs.srv import GetState
    from oryx_scene_msgs.srv import Ask

    caller = rclpy.create_node(f"{name}_caller")
    spinner = Spinner(caller)
    states = caller.create_client(GetState, f"/{name}/get_state")
    ask = caller.create_client(Ask, f"/{name}/ask")
    parameters = [f"cameras:=[{', '.join(NAMES)}]", "autostart:=true", f"model.name:={model}"]
    for camera in NAMES:
        parameters.append(f"camera.{camera}.depth_topic:=/{camera}/depth/image_raw")
        parameters.append(f"camera.{camera}.depth_info_topic:=/{camera}/camera_info")
    words = [word for item in parameters for word in ("-p", item)]
    begun = time.monotonic()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "oryx_scene_ros.main",
            "--ros-args",
            "-r",
            f"__node:={name}",
            *words,
        ],
        env={**dds_environment(True), "PYTHONPATH": ":".join(sys.path)},
    )
    seconds: list[float] = []

    def state() -> int:
        try:
            reply = result_of(states.call_async(GetState.Request()), "the state", 5.0)
        except AssertionError:
            return 0  # until DDS has matched both ways a reply may be lost
        return int(reply.current_state.id)

    def until(reached: Any) -> None:
        while not reached():
            if time.monotonic() > begun + END_S or process.poll() is not None:
                raise SystemExit(f"the node has not come to: {STAGES[len(seconds)]}")
            time.sleep(0.02)
        seconds.append(round(time.monotonic() - begun, 2))

    def answered() -> bool:
        request = Ask.Request(question="Is there a chair?", format=1, timeout_s=END_S)
        return not result_of(ask.call_async(request), "the answer", END_S).answer.error.code

    try:
        until(lambda: states.service_is_ready() and state() > 0)
        until(lambda: state() == State.PRIMARY_STATE_ACTIVE and ask.service_is_ready())
        until(answered)
    finally:
        process.terminate()
        process.wait(60)
        spinner.stop()
        caller.destroy_node()
    return seconds


def main() -> None:
    """Several starts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    prepare_environment()
    import rclpy

    rclpy.init()
    with cameras("--depth", "--room", "--hz", "10", "--seconds", str(END_S * args.count)):
        found = [once(f"starting_{index}", args.model) for index in range(args.count)]
    rclpy.try_shutdown()
    rows = {name: summary([run[i] for run in found], 1.0) for i, name in enumerate(STAGES)}
    for name, row in rows.items():
        print_row(f"start of the process to: {name}", row, "s")
    finish({"benchmark": "ros_start", "model": args.model, "rows": rows})


if __name__ == "__main__":
    main()
