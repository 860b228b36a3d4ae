"""Installs the node into a colcon workspace (ament_python), with launch files and settings."""

import os
from pathlib import Path

from setuptools import setup

NAME = "oryx_scene_ros"
# Launch files, calibration and DDS profiles lie beside ros/ in the repository; setuptools wants
# paths relative to this file.
HERE = Path(__file__).resolve().parent


def shared(folder: str, *patterns: str) -> tuple[str, list[str]]:
    """Files of a folder of the repository, to be installed under share/."""
    root = (HERE.parent.parent / folder).resolve()
    files = sorted(path for pattern in patterns for path in root.glob(pattern))
    if not files:
        raise FileNotFoundError(f"{root} is missing: put the whole repository into src/")
    return (f"share/{NAME}/{root.name}", [os.path.relpath(path, HERE) for path in files])


setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        shared("launch", "*.launch.py", "*.yaml", "*.rviz", "*.json"),
        shared("calib", "*.yaml"),
        shared("ros/dds", "*.xml"),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The oryx_scene authors",
    maintainer_email="oryx_scene@example.org",
    description="The scene-understanding node: cameras and questions in, grounded answers out.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "scene_node = oryx_scene_ros.main:main",
            "play = oryx_scene_ros.play:main",
        ]
    },
)
