"""The memory command shows what can be asked, and marks what cannot."""

import json

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main


def rows_of(capsys, *given):
    assert main(["memory", "--device", "cpu", "--views", "8", "1600", *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    return lines, json.loads(lines[-1])["rows"]


def test_many_views_are_compressed_until_they_fit_the_context(capsys):
    lines, rows = rows_of(capsys)
    many = [row for row in rows if row["views"] == 1600]
    assert {row["compression"] for row in many} == {16}
    assert all(row["tokens"] <= row["context"] == 32768 for row in many)
    assert not any("*" in line for line in lines)


def test_what_no_context_holds_is_marked(capsys):
    lines, rows = rows_of(capsys, "--context", "16384")
    assert [row["beyond_context"] for row in rows] == [row["views"] == 1600 for row in rows]
    assert all("*" in line for line in lines if " 1600 " in line)
    assert "refused" in " ".join(lines[-3:-1])
