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
    many = [row for row in rows if row["views"] == 1600 and not row["model"].endswith("Image")]
    assert {row["compression"] for row in many} == {16}
    assert all(row["tokens"] <= row["context"] == 32768 for row in many)
    assert not any("*" in line for line in lines if "Image" not in line and "Oryx" in line)


def test_image_checkpoints_show_pictures_at_1x_only_and_have_their_own_context(capsys):
    lines, rows = rows_of(capsys)
    images = [row for row in rows if row["model"].endswith("Image")]
    assert {row["compression"] for row in images} == {1}
    assert {row["views"] for row in images} == {8}
    refused = json.loads(lines[-1])["refused"]
    assert {one["model"] for one in refused} == {row["model"] for row in images}
    assert all(one["views"] == 1600 and "at least" in one["reason"] for one in refused)
    contexts = {row["model"]: row["context"] for row in images}
    assert contexts.pop("Oryx-34B-Image") == 16384
    assert set(contexts.values()) == {32768}


def test_what_no_context_holds_is_marked(capsys):
    lines, rows = rows_of(capsys, "--context", "8192")
    rows = [row for row in rows if not row["model"].endswith("Image")]
    assert [row["beyond_context"] for row in rows] == [row["views"] == 1600 for row in rows]
    assert all("*" in line for line in lines if " 1600 " in line and "views:" not in line)
    assert any("refused" in line for line in lines[:-1])
