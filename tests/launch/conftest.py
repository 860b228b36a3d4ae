"""What `setup.py` installs, and launch files run against stand-ins."""

from __future__ import annotations

import runpy
import sys
import types
from typing import Any

import pytest
from standins import PACKAGE, Recorder, Said


@pytest.fixture(scope="session")
def setup_arguments():
    """What ros/oryx_scene_ros/setup.py hands to setuptools."""
    given: dict[str, Any] = {}
    fake = types.ModuleType("setuptools")
    fake.setup = lambda **named: given.update(named)
    fake.find_packages = lambda *_, **__: ["oryx_scene_ros"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "setuptools", fake)
        patch.chdir(PACKAGE)
        runpy.run_path(str(PACKAGE / "setup.py"))
    return given


@pytest.fixture(scope="session")
def share(setup_arguments, tmp_path_factory):
    """The share folder as the installed package has it."""
    prefix = tmp_path_factory.mktemp("prefix")
    for folder, files in setup_arguments["data_files"]:
        for file in files:
            source = PACKAGE / file
            assert source.is_file(), file
            target = prefix / folder / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return prefix / "share" / "oryx_scene_ros"


@pytest.fixture
def launched(share, monkeypatch):
    """Runs an installed launch file against stand-ins; everything that it made, in order.

    Arguments as on the command line; functions of the launch file are called with them.
    """

    def run(name: str, **given: str) -> list[Said]:
        made: list[Said] = []
        recorder: Any = Recorder(made)
        for module in (
            *("launch", "launch.actions", "launch.conditions", "launch.substitutions"),
            *("launch.launch_description_sources", "launch_ros", "launch_ros.actions"),
            "launch_ros.parameter_descriptions",
        ):
            monkeypatch.setitem(sys.modules, module, recorder)
        index = types.ModuleType("ament_index_python.packages")
        index.get_package_share_directory = lambda package: str(share.parent / package)
        monkeypatch.setitem(
            sys.modules, "ament_index_python", types.ModuleType("ament_index_python")
        )
        monkeypatch.setitem(sys.modules, "ament_index_python.packages", index)
        runpy.run_path(str(share / "launch" / name))["generate_launch_description"]()
        declared = [item for item in made if item.kind == "DeclareLaunchArgument"]
        context = {item.positional[0]: item.named.get("default_value", "") for item in declared}
        for item in [item for item in made if item.kind == "OpaqueFunction"]:
            item.named["function"]({**context, **given})
        return made

    return run
