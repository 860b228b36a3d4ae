"""What cleanup gives back: resident memory of a node with a real (tiny) model over its lifecycle.

The node loads and owns the model as on a robot; each cycle is configure, activate, one question,
deactivate, cleanup. Prints MiB of the process at every step and one last JSON line.
"""

from __future__ import annotations

import argparse
import gc
from typing import Any

from ros_common import cameras, finish, prepare_environment, resident_mib, wait_for

NAMES = ("front", "left", "back", "right")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Cycle and look."""
    from harness import Bench
    from oryx_scene_ros.queries.model_loading import load_default

    # Libraries stay in a process once they are there: they are no part of what cleanup frees.
    import oryx_scene.model.checkpoint.load  # noqa: F401

    bench = Bench(
        cameras=NAMES,
        load=load_default,
        activate=False,
        model__name=args.model,
        model__device="cpu",
        gen__max_new_tokens=8,
        marks__enabled=False,
        query_timeout_s=300.0,
    )
    samples = []
    try:
        for cycle in range(args.cycles):
            steps = {"unconfigured": resident_mib()}
            step(bench, "configure")
            steps["configured"] = resident_mib()
            step(bench, "activate")
            wait_for(lambda: all(bench.received(name) > 2 for name in NAMES), "all cameras")
            _, answer = bench.goal(feedback=False).result(300.0)
            if answer.error.code:
                raise SystemExit(f"the node said: {answer.error.message}")
            steps["answered"] = resident_mib()
            step(bench, "deactivate")
            step(bench, "cleanup")
            gc.collect()
            steps["cleaned_up"] = resident_mib()
            samples.append({name: round(mib, 1) for name, mib in steps.items()})
            shown = "  ".join(f"{name} {mib:8.1f}" for name, mib in samples[-1].items())
            print(f"cycle {cycle}: {shown} MiB", flush=True)
    finally:
        bench.close()
    last = samples[-1]
    return {
        "samples": samples,
        "given_back_mib": round(last["answered"] - last["cleaned_up"], 1),
        "kept_after_first_cycle_mib": round(last["cleaned_up"] - samples[0]["cleaned_up"], 1),
    }


def step(bench: Any, name: str) -> None:
    """One transition, which may take long on a slow machine."""
    trigger = getattr(bench.node, f"trigger_{name}")
    done = bench.spinners[0].executor.create_task(trigger)
    wait_for(done.done, f"the transition {name}", 300.0)
    if done.result().name != "SUCCESS":
        raise SystemExit(f"{name} failed: {bench.node.fault}")


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--model", default="random", help="model.name")
    args = parser.parse_args()
    prepare_environment()
    import rclpy

    rclpy.init()
    with cameras("--hz", "10", "--seconds", "3600"):
        result = run(args)
    rclpy.try_shutdown()
    finish({"benchmark": "ros_memory_of_cycles", "model": args.model, **result})


if __name__ == "__main__":
    main()
