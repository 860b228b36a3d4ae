"""A node process with the fake answerer: python fake_node.py [hold=STAGE] [ROS arguments]."""

import sys
import time

from fake_answerer import FakeAnswerer
from oryx_scene_ros.main import run


def load(model, *, device=None, dtype=None, quantization=None):
    if "hold=load" in sys.argv:
        time.sleep(60)
    held = {word.removeprefix("hold=") for word in sys.argv if word.startswith("hold=")}
    return FakeAnswerer(holding=held)


if __name__ == "__main__":
    sys.exit(run([word for word in sys.argv[1:] if not word.startswith("hold=")], load))
