"""Imports point one way, and what is heavy is loaded only where it is used (docs/design.md)."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "oryx_scene"
HEAVY = ("torch", "transformers", "rclpy", "open3d")

# What each part may import of the others, besides the record of a warning. A part that is not
# named here may import everything.
ALLOWED = {
    "warning": set(),
    "errors": set(),
    "frames": set(),
    "file_kind": {"errors"},
    "answerer": {"frames"},
    "bags": {"file_kind", "errors", "frames", "geometry", "marks", "sources"},
    "caution": {"answerer"},
    "config": {"errors"},
    "geometry": {"errors", "frames"},
    "capture": {"errors", "frames", "geometry"},
    "marks": {"config", "errors", "frames", "geometry"},
    "prompt": {"errors", "frames", "geometry", "answerer", "config"},
    "model": {"errors", "frames", "file_kind", "answerer", "prompt"},
    "view_plan": {"errors", "frames", "answerer", "config", "capture", "prompt"},
    "sources": {"errors", "file_kind", "frames", "geometry", "bags", "dump"},
    "scene": {"frames", "answerer", "config", "capture", "marks", "prompt", "view_plan"},
    "asking": {"answerer", "prompt"},
    "asked": {"frames", "answerer", "asking", "config", "prompt"},
    "forms": {"frames", "answerer", "asked", "asking", "prompt"},
    "assembling": {
        "frames",
        "answerer",
        "asking",
        "caution",
        "marks",
        "prompt",
        "scene",
    },
    "pipeline": {
        *(
            "errors",
            "frames",
            "geometry",
            "answerer",
            "config",
            "capture",
            "marks",
            "prompt",
        ),
        *("scene", "asked", "asking", "forms", "assembling", "caution"),
    },
}


def imported_names(path: Path) -> set[str]:
    """All that a file imports, `from a import b` as a.b, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("oryx_scene.")}


def imported_parts(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported_names(path)} - {"__version__"}


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_what_lies_below_it(part):
    path = PACKAGE / part
    files = sorted(path.rglob("*.py")) if path.is_dir() else [PACKAGE / f"{part}.py"]
    assert files
    for file in files:
        extra = imported_parts(file) - ALLOWED[part] - {part, "warning"}
        assert not extra, f"{file.relative_to(PACKAGE)} imports {sorted(extra)}"


def modules_of(part: str) -> list[str]:
    path = PACKAGE / part
    names = [
        ".".join(("oryx_scene", *file.relative_to(PACKAGE).with_suffix("").parts))
        for file in sorted(path.rglob("*.py"))
    ]
    return [name.removesuffix(".__init__") for name in names]


def test_sources_form_no_import_circle():
    """Kinds of sources know sources.base only; the registry alone knows the kinds."""
    names = {*modules_of("sources"), *modules_of("bags"), *modules_of("dump")}
    graph = {}
    for name in names:
        file = PACKAGE.parent / (name.replace(".", "/") + ".py")
        text = file if file.exists() else file.with_suffix("") / "__init__.py"
        found = imported_names(text)
        graph[name] = (found | {item.rpartition(".")[0] for item in found}) & names - {name}
    TopologicalSorter(graph).prepare()  # its CycleError names the circle
    registry = "oryx_scene.sources.registry"
    assert not [name for name, found in graph.items() if registry in found]
    for name in modules_of("bags"):
        assert graph[name] & set(modules_of("sources")) <= {
            "oryx_scene.sources",
            "oryx_scene.sources.base",
        }, name


def loaded_after(modules: list[str]) -> set[str]:
    code = "import sys\n" + "".join(f"import {name}\n" for name in modules)
    code += f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_light_parts_load_nothing_heavy():
    modules = ["oryx_scene", "oryx_scene.pipeline", "oryx_scene.cli.main"]
    for part in ("geometry", "capture", "marks", "prompt", "bags", "sources"):
        modules += modules_of(part)
    assert loaded_after(modules) == set()


def test_the_model_never_loads_ros_or_open3d():
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    assert loaded_after(modules_of("model")) & {"rclpy", "open3d"} == set()


def test_only_a_window_or_a_picture_loads_open3d():
    # The node uses view.markers; RViz and Foxglove need no Open3D.
    modules = [*modules_of("view"), *modules_of("replay"), "oryx_scene.cli.view"]
    assert loaded_after(modules) == set()


def test_importing_the_package_loads_no_third_party_module():
    code = (
        "import sys, oryx_scene; print(*[m for m in ('numpy', 'cv2', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
