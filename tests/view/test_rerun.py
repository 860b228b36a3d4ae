"""The rerun log: what is said without rerun, and with it, that the file holds every step."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from oryx_scene.errors import MissingExtraError, OutputError
from oryx_scene.records import Mark
from oryx_scene.view.captions import Caption
from oryx_scene.view.rerun_log import write_rerun
from oryx_scene.view.snapshot import take_snapshot
from oryx_scene.view.step import Step


@pytest.fixture
def story(make_frame, box_mark):
    snapshot = take_snapshot([make_frame(), make_frame((0, 0.5, 1), "side", 1_010_000_000)])
    flat = take_snapshot([make_frame(posed=False, depth=False)])
    marks = (box_mark, Mark(2, ()))
    return [
        Step("first", snapshot, marks, caption=Caption("What is near?", "Mark 1.")),
        Step("second", flat, caption=Caption(warnings=("no pose",))),
    ]


def test_without_rerun_the_extra_is_named(story, tmp_path, monkeypatch):
    real = importlib.import_module

    def importing(name, *rest):
        if name == "rerun":
            raise ModuleNotFoundError("No module named 'rerun'")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", importing)
    with pytest.raises(MissingExtraError, match=r"--rrd needs.*pip install 'oryx-scene\[rerun\]'"):
        write_rerun(story, tmp_path / "out.rrd")
    assert list(tmp_path.iterdir()) == []


def test_the_log_holds_every_step_and_layer(story, tmp_path):
    pytest.importorskip("rerun", reason="the extra 'rerun' is not installed")
    path = tmp_path / "logs" / "out.rrd"
    write_rerun(story, path)
    assert [item.name for item in path.parent.iterdir()] == ["out.rrd"]
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-vv", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    for entity in ("/scene/cloud", "/scene/boxes", "/scene/marks", "/words"):
        assert entity in said, entity
    for camera in ("front", "side"):
        assert f"/scene/cameras/{camera}/picture" in said
    assert "step" in said and "capture" in said


def test_a_place_that_cannot_be_written_is_named(story, tmp_path):
    pytest.importorskip("rerun", reason="the extra 'rerun' is not installed")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_rerun(story, tmp_path / "file" / "out.rrd")
