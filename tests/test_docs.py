"""Every Python example of the documentation runs; one that cannot says why in the line before.

A block is left out only after a line `<!-- not run: reason -->`.
"""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\s*\n)?```python\n(?P<code>.*?)```", re.DOTALL
)


def examples():
    for page in PAGES:
        for index, match in enumerate(BLOCK.finditer(page.read_text())):
            if match["why"] is None:
                yield pytest.param(match["code"], id=f"{page.stem}-{index}")


@pytest.mark.parametrize("code", list(examples()))
def test_example_runs(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_links_between_pages_lead_somewhere():
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
            if not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
    assert not missing


CODE = (
    "",
    "oryx_scene",
    "ros/oryx_scene_ros/oryx_scene_ros",
    "ros/oryx_scene_ros",
    "oryx_scene/lab/training",
)


def test_files_that_pages_name_are_there():
    missing = []
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "AGENTS.md"]:
        for name in re.findall(r"`([\w/]+\.(?:py|sh|yaml|toml))`", page.read_text()):
            if not any((ROOT / base / name).exists() for base in CODE) and "/" in name:
                missing.append(f"{page.name}: {name}")
    assert not missing


def test_the_path_of_a_question_names_what_the_code_has():
    page = (ROOT / "docs" / "developing" / "design.md").read_text()
    path = page.partition("## The path of one question")[2].partition("\n## ")[0]
    named = re.findall(r"`([A-Za-z_][\w.]*)`", path)
    assert len(named) > 10
    sources = [*(ROOT / "oryx_scene").rglob("*.py"), *(ROOT / "ros").rglob("*.py")]
    known = set(re.findall(r"(?:def|class) (\w+)", "\n".join(f.read_text() for f in sources)))
    assert {name.rpartition(".")[2] for name in named} <= known


def test_dotted_names_of_the_path_lead_to_what_they_name():
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    page = (ROOT / "docs" / "developing" / "design.md").read_text()
    section = page.split("## The path of one question")[1].split("\n## ")[0]
    names = re.findall(r"`([a-z_]+(?:\.\w+)+)`", section)
    assert len(names) > 20
    for name in names:
        pkgutil.resolve_name(f"oryx_scene.{name}")
