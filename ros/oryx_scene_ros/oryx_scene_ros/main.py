"""The process: executor thread, signals, and an orderly end within five seconds.

The main thread only waits for signals, so that SIGINT and SIGTERM are served while the executor
thread loads a model or waits for messages.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from oryx_scene_ros.base import spin
from oryx_scene_ros.node import SceneNode
from oryx_scene_ros.queries.model_loading import LoadAnswerer, load_default

SIGNALS = {signal.SIGINT, signal.SIGTERM}
# All of it stays below the five seconds after which a launch system escalates: this long for the
# running question to stop, and until then for the answers to be handed over.
CLOSE_S = 3.0
DELIVERED_S = 4.2
# Results have been set; the clients' requests for them and the wire need a moment.
GRACE_S = 0.2


class _RosLog(logging.Handler):
    """Python's log records of the rclpy-free modules go to the node's logger."""

    def __init__(self, node: SceneNode) -> None:
        super().__init__()
        self._logger = node.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def _end(executor: SingleThreadedExecutor, node: SceneNode, spinning: threading.Thread) -> bool:
    """End the node's work while the executor still delivers; whether all of it ended."""
    until = time.monotonic() + DELIVERED_S
    ended = node.close(CLOSE_S)
    while node.asking.unanswered and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(GRACE_S)
    executor.shutdown(timeout_sec=0.2)
    spinning.join(timeout=0.2)
    return ended and not spinning.is_alive()


def _catch_signals() -> socket.socket:
    """A socket that becomes readable at the first signal, whichever thread the system gave it to.

    Libraries start threads while they are imported (OpenBLAS does); a mask set now would not reach
    them, and a signal that lands there would raise KeyboardInterrupt wherever the main thread is.
    """
    readable, writable = socket.socketpair()
    writable.setblocking(False)
    signal.set_wakeup_fd(writable.detach(), warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    return readable


def run(args: Sequence[str] | None = None, load: LoadAnswerer = load_default) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: ROS arguments (remappings, parameters); None takes the process's own.
        load: how the model is loaded.

    Returns:
        exit code: 0 after an orderly end, 1 where the node could not start on its own.
    """
    asked_to_end = _catch_signals()
    rclpy.init(
        args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO
    )
    node = SceneNode(load)
    handler = _RosLog(node)
    logging.getLogger("oryx_scene_ros").addHandler(handler)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(
        target=spin, args=(executor, node), name="oryx_scene executor", daemon=True
    )
    spinning.start()
    failed: list[bool] = []
    if node.get_parameter("autostart").value:
        executor.create_task(_autostart, node, failed)
    select.select([asked_to_end], [], [])
    node.get_logger().info("ending: open questions get SHUTTING_DOWN")
    ended = _end(executor, node, spinning)
    logging.getLogger("oryx_scene_ros").removeHandler(handler)
    if ended:
        with contextlib.suppress(Exception):
            node.destroy_node()
        rclpy.try_shutdown()
        ended = not any(item.name.startswith("oryx_scene") for item in threading.enumerate())
    if not ended:
        # A model that is being loaded cannot be interrupted; nothing of it is worth waiting for.
        # An interpreter that ends beside a thread at work may abort, so it does not end at all.
        sys.stderr.write("oryx_scene: work did not stop in time; leaving it behind\n")
        sys.stderr.flush()
        os._exit(1 if failed else 0)
    return 1 if failed else 0


def _autostart(node: SceneNode, failed: list[bool]) -> None:
    """On the executor thread: without a lifecycle manager a node that cannot start should end."""
    # A node that is asked to end while it starts has not failed.
    if not node.autostart() and not node.closing.is_set():
        failed.append(True)
        node.get_logger().error(f"autostart failed: {node.fault or 'see above'}")
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Entry point of `ros2 run oryx_scene_ros scene_node`."""
    return run()


if __name__ == "__main__":
    sys.exit(main())
