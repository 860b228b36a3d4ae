"""Installs the node into a colcon workspace (ament_python), with launch files and settings.

Everything lies in this folder, so that the package builds without the rest of the repository.
"""

from pathlib import Path

from setuptools import setup

NAME = "oryx_scene_ros"


def shared(folder: str, *patterns: str) -> tuple[str, list[str]]:
    """Files of a folder of this package, to be installed under share/."""
    files = sorted(str(path) for pattern in patterns for path in Path(folder).glob(pattern))
    return (f"share/{NAME}/{folder}", files)


setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME, *(f"{NAME}.{part}" for part in ("intake", "output", "parameters", "queries"))],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        shared("launch", "*.launch.py", "*.yaml", "*.rviz", "*.json"),
        shared("calib", "*.yaml"),
        shared("dds", "*.xml"),
        # Plain scripts instead of entry points: those of a symlinked install would name the Python
        # that built the workspace.
        (f"lib/{NAME}", ["scripts/play", "scripts/scene_node"]),
    ],
    install_requires=["setuptools"],
    # `colcon test` looks at either, depending on its version.
    tests_require=["pytest"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="The oryx_scene authors",
    maintainer_email="oryx_scene@example.org",
    # No public address yet.
    url="https://example.org/oryx_scene",
    description="The scene-understanding node: cameras and questions in, grounded answers out.",
    license="Apache-2.0",
)
