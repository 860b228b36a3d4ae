"""docs/warnings.md is made from the table of warnings here; where it is old it is written anew."""

import re
from pathlib import Path

from oryx_scene.warning import KINDS

PAGE = Path(__file__).parent.parent / "docs" / "warnings.md"
HEAD = """# Warnings

Whatever is missing, doubtful or degraded comes as a record: `code`, `severity`, `text` (what
happened this time), where (`camera`, `topic`, `stamp_ns`) and `advice`. The same records stand in
the JSON of an answer, in the node's messages, in reports and in `oryx-scene check`. A **note**
changes no answer, a **warning** may change one, a **problem** prevents answers or 3D places. This
page is made from the table in `oryx_scene/warning.py` by `tests/test_warnings_page.py`.

| code | severity | what it means | what to do |
|---|---|---|---|
"""


def page():
    rows = [
        f"| `{code}` | {kind.severity} | {kind.meaning} | {kind.advice} |"
        for code, kind in sorted(KINDS.items())
    ]
    return HEAD + "\n".join(rows) + "\n"


def test_the_page_is_that_of_the_table():
    if not PAGE.exists() or PAGE.read_text() != page():
        PAGE.write_text(page())
        raise AssertionError("docs/warnings.md was old and is written anew: commit it")


def test_the_table_is_in_order_and_can_be_printed():
    assert list(KINDS) == sorted(KINDS)
    for code, kind in KINDS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code), code
        assert kind.severity in ("note", "warning", "problem")
        assert kind.meaning.endswith(".") and not kind.advice.endswith("."), code
        assert "|" not in kind.meaning + kind.advice and "\n" not in kind.meaning + kind.advice
