"""Imports point one way, and what is heavy is loaded only where it is used (docs/design.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "oryx_scene"
HEAVY = ("torch", "transformers", "rclpy", "open3d")

# What each part may import of the others. A part that is not named here may import everything.
ALLOWED = {
    "errors": set(),
    "frames": set(),
    "answerer": {"frames"},
    "caution": {"answerer"},
    "config": {"errors"},
    "geometry": {"errors", "frames"},
    "capture": {"errors", "frames", "geometry"},
    "marks": {"errors", "frames", "geometry"},
    "prompt": {"errors", "frames", "geometry", "answerer", "config"},
    "model": {"errors", "frames", "answerer", "prompt"},
    "view_plan": {"errors", "frames", "answerer", "config", "capture", "prompt"},
    "scene": {"frames", "answerer", "config", "capture", "marks", "prompt", "view_plan"},
    "asking": {"answerer", "prompt"},
    "asked": {"frames", "answerer", "asking", "config", "prompt"},
    "forms": {"frames", "answerer", "asked", "asking", "prompt"},
    "assembling": {"frames", "answerer", "asking", "caution", "marks", "prompt", "scene"},
    "pipeline": {
        *("errors", "frames", "geometry", "answerer", "config", "capture", "marks", "prompt"),
        *("scene", "asked", "asking", "forms", "assembling", "caution"),
    },
}


def imported_parts(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "oryx_scene" and len(parts) > 1:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_what_lies_below_it(part):
    path = PACKAGE / part
    files = sorted(path.rglob("*.py")) if path.is_dir() else [PACKAGE / f"{part}.py"]
    assert files
    for file in files:
        extra = imported_parts(file) - ALLOWED[part] - {part}
        assert not extra, f"{file.relative_to(PACKAGE)} imports {sorted(extra)}"


def modules_of(part: str) -> list[str]:
    path = PACKAGE / part
    names = [
        ".".join(("oryx_scene", *file.relative_to(PACKAGE).with_suffix("").parts))
        for file in sorted(path.rglob("*.py"))
    ]
    return [name.removesuffix(".__init__") for name in names]


def loaded_after(modules: list[str]) -> set[str]:
    code = "import sys\n" + "".join(f"import {name}\n" for name in modules)
    code += f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_light_parts_load_nothing_heavy():
    modules = ["oryx_scene", "oryx_scene.pipeline", "oryx_scene.cli.main"]
    for part in ("geometry", "capture", "marks", "prompt", "bags"):
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
