"""Installs the node into a colcon workspace (ament_python)."""

from setuptools import setup

NAME = "oryx_scene_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The oryx_scene authors",
    maintainer_email="oryx_scene@example.org",
    description="The scene-understanding node: cameras and questions in, grounded answers out.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["scene_node = oryx_scene_ros.main:main"]},
)
