"""oryx_scene: multi-view scene answers from an Oryx model, grounded in a robot's map.

Importing this package loads nothing heavy: torch, rclpy, Open3D and OpenCV are imported by the
modules that need them, when they are needed.
"""

__version__ = "0.1.0"
