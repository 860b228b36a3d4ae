"""The node around the model: overhead, cancel, BUSY, frozen against fresh scenes.

Four cameras of 640x480 at 30 Hz from another process into the real node (real rclpy, real DDS); the
caller is a node beside it. The fake engine answers at once, so that what is left is the node's own;
finding marks is shown apart. The tiny random model shows the whole way. Prints a table and one last
JSON line. Times in ms.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ros_common import (
    busy_loops,
    cameras,
    finish,
    prepare_environment,
    print_row,
    summary,
    wait_for,
)

PATIENCE_S = 300.0
PREFILL = 3
NAMES = ("front", "left", "back", "right")
# Names no mark: where there is none the node would answer without the engine.
QUESTION = "What is here?"


def node_with(answerer: Any, *, depth: bool, **parameters: Any) -> Any:
    """An active node and its caller (the tests' bench)."""
    from harness import Bench

    given: dict[str, Any] = dict(parameters)
    if depth:
        given |= {f"camera__{name}__depth_topic": f"/{name}/depth/image_raw" for name in NAMES}
        # Depth is registered to the pictures and shares their calibration.
        given |= {f"camera__{name}__depth_info_topic": f"/{name}/camera_info" for name in NAMES}
    bench = Bench(cameras=NAMES, answerer=answerer, **given)
    wait_for(lambda: all(bench.received(name) > 5 for name in NAMES), "all cameras")
    return bench


def overhead(bench: Any, count: int) -> dict[str, Any]:
    """Questions about what the cameras see now; where the time outside the model goes."""
    parts: dict[str, list[float]] = {"outside_model": [], "frames": [], "marks": [], "prepare": []}
    parts |= {"queue": [], "client": [], "rest": []}
    for _ in range(count):
        started = time.monotonic()
        answer = bench.ask(QUESTION, feedback=False)
        client = time.monotonic() - started
        if answer.error.code:
            raise SystemExit(f"the node said: {answer.error.message}")
        timing = answer.timing
        known = {
            "queue": timing.queue_s,
            "frames": timing.frames_s,
            "marks": timing.marks_s,
            "prepare": timing.prepare_s,
        }
        outside = timing.total_s - timing.encode_s - timing.prefill_s - timing.decode_s
        for name, value in known.items():
            parts[name].append(value)
        parts["outside_model"].append(outside)
        parts["rest"].append(outside - sum(known.values()))
        parts["client"].append(client)
    return {name: summary(values) for name, values in parts.items()}


def frozen_scene(bench: Any) -> str:
    """The id of a scene that the model has computed."""
    from oryx_scene_msgs.srv import FreezeScene

    reply = bench.call(FreezeScene, "freeze_scene", PATIENCE_S, prefill=True, ttl_s=3000.0)
    if reply.error.code:
        raise SystemExit(f"the node said: {reply.error.message}")
    return str(reply.scene.scene_id)


def cancel(bench: Any, count: int, *, scene_id: str = "") -> dict[str, float]:
    """From the cancel request to the CANCELED result.

    Args:
        bench: with a model.
        count: how many.
        scene_id: a computed scene: canceled after the first text. Without one half a second after
            the model began on a fresh scene, which is within its prefill.
    """
    waits: list[float] = []
    for _ in range(3 * count):
        if len(waits) == count:
            break
        goal = bench.goal("Tell a long story.", scene_id=scene_id, max_new_tokens=2000)
        if not scene_id:
            wait_for(lambda g=goal: g.got_at or PREFILL in g.stages, "the model", PATIENCE_S)
            time.sleep(0.5)
        else:
            wait_for(
                lambda g=goal: g.got_at or any(item.delta for item in g.feedback),
                "text",
                PATIENCE_S,
            )
        started = time.monotonic()
        # A model may end its answer of its own accord: that one does not count.
        if goal.got_at:
            continue
        goal.cancel()
        _, answer = goal.result(PATIENCE_S)
        if answer.finish == answer.FINISH_CANCELED:
            waits.append(goal.got_at - started)
    if len(waits) < count:
        raise SystemExit(f"only {len(waits)} of {count} answers lasted until they were canceled")
    return summary(waits)


def delivery(count: int) -> dict[str, float]:
    """From the model's last word to the result at the caller, with nothing else ticking."""
    from fake_answerer import FakeAnswerer

    bench = node_with(FakeAnswerer(), depth=False, marks__enabled=False, report_period_s=60.0)
    waits = []
    try:
        for _ in range(count):
            bench.answerer.holding = {"decode"}
            goal = bench.goal(QUESTION, feedback=False)
            wait_for(lambda: bench.answerer.at == "decode", "the running question")
            bench.answerer.holding = set()
            goal.result()
            waits.append(goal.got_at - bench.answerer.finished_at)
    finally:
        bench.close()
    found = summary(waits)
    print_row("model's last word to result", found)
    return found


def busy(bench: Any, count: int) -> dict[str, float]:
    """A full queue refuses: from sending the goal to its result."""
    bench.answerer.holding = {"decode"}
    running = bench.goal("The one that runs.")
    wait_for(lambda: bench.answerer.at == "decode", "the running question")
    waits = []
    for _ in range(count):
        started = time.monotonic()
        goal = bench.goal("One too many.", feedback=False)
        _, answer = goal.result()
        waits.append(goal.got_at - started)
        if answer.error.code != 702:
            raise SystemExit(f"BUSY was expected, the node said {answer.error.code}")
    bench.answerer.holding = set()
    running.result()
    return summary(waits)


def burst(clients: int = 8, each: int = 8) -> dict[str, Any]:
    """Goals of several clients all at once: how many get an answer, BUSY, or nothing."""
    import rclpy
    from fake_answerer import FakeAnswerer
    from harness import Spinner, action_client
    from oryx_scene_msgs.action import AskScene

    bench = node_with(FakeAnswerer(), depth=False, marks__enabled=False, queue__capacity=40)
    nodes = [rclpy.create_node(f"burst_{index}") for index in range(clients)]
    actions = [action_client(node, f"/{bench.name}/ask_scene") for node in nodes]
    spinners = [Spinner(node) for node in nodes]
    waits: list[float] = []
    codes: list[int] = []

    def answered(future: Any) -> None:
        codes.append(future.result().result.answer.error.code)
        waits.append(time.monotonic() - started)

    def accepted(future: Any) -> None:
        future.result().get_result_async().add_done_callback(answered)

    try:
        for action in actions:
            action.wait_for_server()
        started = time.monotonic()
        for action in actions * each:
            sent = action.send_goal_async(AskScene.Goal(question=QUESTION))
            sent.add_done_callback(accepted)
        until = time.monotonic() + 60.0
        while len(codes) < clients * each and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        for spinner, node in zip(spinners, nodes, strict=True):
            spinner.stop()
            node.destroy_node()
        bench.close()
    found = summary(waits)
    print_row("burst: goal sent to result", found)
    counts = {"answers": codes.count(0), "busy": codes.count(702)}
    counts["lost"] = clients * each - len(codes)
    print(f"burst of {clients * each} goals from {clients} clients: {counts}", flush=True)
    return {**found, **counts}


def frozen_and_fresh(bench: Any, count: int) -> dict[str, Any]:
    """The same questions about a prefilled scene, and about what the cameras see at each."""
    known = frozen_scene(bench)
    found: dict[str, list[float]] = {"frozen": [], "fresh": []}
    for index in range(count):
        for kind, scene_id in (("frozen", known), ("fresh", "")):
            started = time.monotonic()
            goal = bench.goal(f"{QUESTION} ({index})", scene_id=scene_id, max_new_tokens=8)
            _, answer = goal.result(PATIENCE_S)
            if answer.error.code:
                raise SystemExit(f"the node said: {answer.error.message}")
            found[kind].append(time.monotonic() - started)
    result: dict[str, Any] = {kind: summary(values) for kind, values in found.items()}
    result["fresh_over_frozen"] = round(result["fresh"]["p50"] / result["frozen"]["p50"], 1)
    return result


def with_fake(
    label: str, count: int, *, depth: bool = False, marks: bool = True, **parameters: Any
) -> dict[str, Any]:
    """Where the time goes around an engine that answers at once."""
    from fake_answerer import FakeAnswerer

    bench = node_with(FakeAnswerer(), depth=depth, marks__enabled=marks, **parameters)
    try:
        parts = overhead(bench, count)
    finally:
        bench.close()
    for name, value in parts.items():
        print_row(f"{label}: {name.replace('_', ' ')}", value)
    return parts


def beside_memory(count: int, rounds: int = 4) -> dict[str, Any]:
    """The same questions with and without a memory that is being written, in turns.

    Two nodes beside each other would slow one another down: each turn is a node of its own. Only
    what is asked while frames are recorded counts.
    """
    from fake_answerer import FakeAnswerer

    taken: dict[str, list[float]] = {"without": [], "with": []}
    counts = {"frames": 0, "dropped": 0}
    for index in range(2 * rounds):
        kind = ("without", "with")[(index + index // 2) % 2]
        with tempfile.TemporaryDirectory() as folder:
            given = {"memory__folder": f"{folder}/memory"} if kind == "with" else {}
            bench = node_with(FakeAnswerer(), depth=True, **given)
            try:
                if kind == "with":
                    recorded = bench.node.memory.counts
                    wait_for(lambda n=recorded: n["frames"] >= len(NAMES), "a recorded frame")
                for _ in range(max(1, count // rounds)):
                    answer = bench.ask(QUESTION, feedback=False)
                    if answer.error.code:
                        raise SystemExit(f"the node said: {answer.error.message}")
                    timing = answer.timing
                    model = timing.encode_s + timing.prefill_s + timing.decode_s
                    taken[kind].append(timing.total_s - model)
                if kind == "with":
                    counts = {name: counts[name] + recorded[name] for name in counts}
            finally:
                bench.close()
    found: dict[str, Any] = {kind: summary(values) for kind, values in taken.items()}
    for kind, value in found.items():
        print_row(f"4 RGB-D cameras, map, {kind} memory: outside model", value)
    for name in ("p50", "p95"):
        found[f"ratio_{name}"] = round(found["with"][name] / found["without"][name], 3)
    print(f"with over without memory: p50 {found['ratio_p50']}, p95 {found['ratio_p95']}; {counts}")
    return {**found, **counts}


def refused(count: int) -> dict[str, float]:
    """BUSY, with the queue that holds nobody."""
    from fake_answerer import FakeAnswerer

    bench = node_with(FakeAnswerer(), depth=False, marks__enabled=False, queue__capacity=0)
    try:
        found = busy(bench, count)
    finally:
        bench.close()
    print_row("BUSY: goal sent to result", found)
    return found


def with_model(args: argparse.Namespace) -> dict[str, Any]:
    """The tiny random model: cancel, and what freezing saves."""
    from oryx_scene.model.checkpoint.load import load_answerer

    # A prefill of four pictures takes longer than the node's own deadline on a slow machine.
    bench = node_with(
        load_answerer("random", device="cpu"),
        depth=False,
        marks__enabled=False,
        query_timeout_s=PATIENCE_S,
    )
    try:
        few = max(3, args.count // 8)
        found: dict[str, Any] = {"cancel_prefill": cancel(bench, args.count // 2)}
        print_row("tiny model in prefill: cancel to result", found["cancel_prefill"])
        known = frozen_scene(bench)
        found["cancel_decode"] = cancel(bench, args.count, scene_id=known)
        print_row("tiny model in decode: cancel to result", found["cancel_decode"])
        found |= frozen_and_fresh(bench, few)
        print_row("tiny model: question on a frozen scene, 8 tokens", found["frozen"])
        print_row("tiny model: question on a fresh scene, 8 tokens", found["fresh"])
        print(f"fresh over frozen: {found['fresh_over_frozen']}x")
        return found
    finally:
        bench.close()


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=40, help="questions of each kind")
    parser.add_argument("--busy", type=int, default=0, help="busy loops on the same cores")
    parser.add_argument("--parts", nargs="+", help="only these rows' groups; default all")
    args = parser.parse_args()
    prepare_environment()
    import rclpy

    rclpy.init()
    result: dict[str, Any] = {"benchmark": "ros_answers", "count": args.count, "loops": args.busy}
    words = ["--hz", "30", "--seconds", "3600", "--depth", "--room"]
    with cameras(*words), busy_loops(args.busy):
        few = max(3, args.count // 4)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "no_marks": lambda: with_fake("4 cameras, no marks", args.count, marks=False),
            "busy": lambda: refused(args.count),
            "burst": burst,
            "delivery": lambda: delivery(args.count),
            "tiny": lambda: with_model(args),
            "tracks": lambda: with_fake("4 cameras, marks from RGB", few),
            "depth": lambda: with_fake(
                "4 RGB-D cameras, no map", few, depth=True, marks__keep_numbers=False
            ),
            "map": lambda: with_fake("4 RGB-D cameras, map", few, depth=True),
            "memory": lambda: beside_memory(args.count),
        }
        for name in args.parts or parts:
            result[name] = parts[name]()
    rclpy.try_shutdown()
    finish(result)


if __name__ == "__main__":
    main()
