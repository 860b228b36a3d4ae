"""Every Python example of the documentation runs; one that cannot says why in the line before.

A block is left out only after a line `<!-- not run: reason -->`.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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
