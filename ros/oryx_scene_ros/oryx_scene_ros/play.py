"""Plays a recording into topics, where there is no `ros2 bag play`, or for what that cannot read.

`python -m oryx_scene_ros.play SOURCE`, or `ros2 run oryx_scene_ros play SOURCE`. SOURCE is anything
that `oryx-scene ask` takes; payloads are published byte for byte, so that answers name the same
hashes.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from oryx_scene.errors import ConfigError, OryxSceneError
from oryx_scene_ros.playback import CLOCK_STEP_NS, Player, RecordedTopics


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="play", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("source", type=Path, help="bag, posed RGB-D folder, dump, or pictures")
    parser.add_argument("--rate", type=float, default=1.0, help="times the recording's pace")
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="skip the first S s")
    parser.add_argument("--loop", type=int, default=1, metavar="N", help="0 = until interrupted")
    parser.add_argument(
        "--clock", action="store_true", help="publish /clock, for nodes with use_sim_time"
    )
    parser.add_argument(
        "--restamp", action="store_true", help="shift all stamps so that the first is now"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="S",
        help="first wait up to S s until somebody listens to a picture",
    )
    parser.add_argument(
        "--hold",
        action="store_true",
        help="stay after the end, with the clock standing still, until interrupted",
    )
    return parser


def _check(args: argparse.Namespace) -> None:
    if not 0.001 <= args.rate <= 1000.0:
        raise ConfigError(f"--rate is {args.rate}; it must lie between 0.001 and 1000.")
    if args.start < 0 or args.loop < 0 or args.wait < 0:
        raise ConfigError("--start, --loop and --wait must not be negative.")
    if args.clock and args.restamp:
        raise ConfigError(
            "--clock and --restamp exclude each other.",
            hint="--clock lets nodes live in the recording's time, --restamp brings it to now",
        )


def run(args: argparse.Namespace, stopped: threading.Event) -> None:
    """Play until the end or until ``stopped``.

    Raises:
        ConfigError: an argument is out of range.
        SourceError: the source cannot be played.
    """
    _check(args)
    node = rclpy.create_node("play")
    log = node.get_logger()
    try:
        with RecordedTopics(args.source) as recording:
            for topic, msgtype in recording.left_out.items():
                log.warning(f"not played: {topic} ({msgtype})")
            player = Player(node, recording.types, clock=args.clock)
            if args.wait:
                for topic in player.wait_for_listeners(args.wait):
                    log.warning(f"nobody listens to {topic}")
            last, rounds = 0, 0
            while not stopped.is_set() and (args.loop == 0 or rounds < args.loop):
                rounds += 1
                if args.restamp:
                    first = next(iter(recording.messages(args.start))).log_ns
                    player.shift_ns = node.get_clock().now().nanoseconds - first
                last = player.play(recording.messages(args.start), args.rate, stopped.is_set)
            log.info("sent " + ", ".join(f"{n} on {topic}" for topic, n in player.sent.items()))
            while args.hold and not stopped.wait(CLOCK_STEP_NS / 1e9):
                player.tick(last)
            # What was sent last is still on its way.
            time.sleep(0.3)
    finally:
        node.destroy_node()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; exit codes as of `oryx-scene`: 0 done, 2 bad input."""
    words = list(sys.argv if argv is None else ["play", *argv])
    args = _parser().parse_args(remove_ros_args(words)[1:])
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        run(args, stopped)
    except OryxSceneError as err:
        print(f"play: error: {' '.join(str(err).split())}", file=sys.stderr)  # noqa: T201
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
