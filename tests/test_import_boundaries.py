"""Imports point one way, what is heavy is loaded only where it is used (developing/design.md)."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "oryx_scene"
NODE = ROOT / "ros" / "oryx_scene_ros" / "oryx_scene_ros"
HEAVY = ("torch", "transformers", "rclpy", "open3d")

# What every part may import: plain records and small helpers without knowledge of their own.
BASE = {"__version__", "atomic_io", "config", "errors", "file_kind", "records", "warning"}
# What each part may import of the others. `model.api` and `model.sizes` are all that the others
# see of the model; `sources.registry` is where the kinds of sources meet.
ALLOWED: dict[str, set[str]] = {
    "warning": set(),
    "errors": set(),
    "records": {"warning"},
    "config": {"errors", "records"},
    "file_kind": {"errors"},
    "atomic_io": {"errors"},
    "geometry": BASE,
    "model.api": {"records", "warning"},
    "model.sizes": {"errors", "model.api"},
    "model": {*BASE, "model.api", "model.sizes"},
    "sources": {*BASE, "geometry"},
    "marks": {*BASE, "geometry", "sources"},
    "scene": {*BASE, "geometry", "marks", "model.api", "model.sizes", "sources"},
    "qa": {*BASE, "geometry", "marks", "model.api", "scene"},
    "dump": {*BASE, "geometry", "model.api", "qa", "scene", "sources"},
    "sources.registry": {*BASE, "dump", "geometry", "sources"},
    "view": {*BASE, "dump", "geometry", "marks", "qa", "scene", "sources", "sources.registry"},
    "memory": {*BASE, "geometry", "marks", "qa", "sources"},
    "replay": {*BASE, "model.api", "qa", "scene", "sources", "sources.registry", "view"},
    "batch": {
        *(*BASE, "geometry", "model.api", "qa", "replay", "scene"),
        *("sources", "sources.registry", "view"),
    },
}
# The laboratory is imported by the command line only; nothing imports the command line.
TOP = {"lab", "cli"}


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of a package."""
    files = {
        ".".join(file.relative_to(package.parent).with_suffix("").parts): file
        for file in sorted(package.rglob("*.py"))
    }
    return {name.removesuffix(".__init__"): file for name, file in files.items()}


MODULES = modules_of(PACKAGE)


def imported_modules(file: Path, modules: dict[str, Path]) -> set[str]:
    """All modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(modules)


def part_of(module: str) -> str:
    names = module.split(".")[1:3]
    if not names:
        return "__version__"
    return ".".join(names) if ".".join(names) in ALLOWED else names[0]


def test_every_part_has_its_place():
    parts = {part_of(name) for name in MODULES} - {"__version__"}
    assert parts == {*ALLOWED, *TOP}


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_what_lies_below_it(part):
    own = [name for name in MODULES if part_of(name) == part]
    assert own
    for name in own:
        found = {part_of(item) for item in imported_modules(MODULES[name], MODULES)}
        extra = found - ALLOWED[part] - {part}
        assert not extra, f"{name} imports {sorted(extra)}"


def test_nothing_imports_the_command_line_and_only_it_the_laboratory():
    for name, file in MODULES.items():
        found = {part_of(item) for item in imported_modules(file, MODULES)}
        above = TOP if part_of(name) not in TOP else {"cli"} if part_of(name) == "lab" else set()
        assert not found & above, f"{name} imports {sorted(found & above)}"
    for file in NODE.rglob("*.py"):
        assert not TOP & {part_of(item) for item in imported_modules(file, MODULES)}, file


def test_parts_form_no_circle():
    TopologicalSorter(ALLOWED).prepare()  # its CycleError names the circle


@pytest.mark.parametrize("package", [PACKAGE, NODE], ids=lambda path: path.name)
def test_modules_form_no_circle(package):
    modules = modules_of(package)
    graph = {name: imported_modules(file, modules) - {name} for name, file in modules.items()}
    TopologicalSorter(graph).prepare()


def test_only_the_registry_knows_the_kinds_of_sources():
    registry = "oryx_scene.sources.registry"
    for name, file in MODULES.items():
        if part_of(name) in {"sources", "dump"}:
            assert registry not in imported_modules(file, MODULES), name


def loaded_after(modules: list[str]) -> set[str]:
    code = "import sys\n" + "".join(f"import {name}\n" for name in modules)
    code += f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def modules_under(*parts: str) -> list[str]:
    return [name for name in MODULES if part_of(name) in parts]


def test_light_parts_load_nothing_heavy():
    light = [part for part in ALLOWED if part not in {"model", "view", "replay"}]
    assert loaded_after(["oryx_scene.cli.main", *modules_under(*light)]) == set()


def test_the_model_never_loads_ros_or_open3d():
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    assert loaded_after(modules_under("model")) & {"rclpy", "open3d"} == set()


def test_only_a_window_or_a_picture_loads_open3d():
    # The node uses view.markers; RViz and Foxglove need no Open3D.
    assert loaded_after([*modules_under("view", "replay"), "oryx_scene.cli.view"]) == set()


def test_importing_the_package_loads_no_third_party_module():
    code = (
        "import sys, oryx_scene; print(*[m for m in ('numpy', 'cv2', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
