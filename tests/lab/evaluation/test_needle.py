"""Needles stand where they are said to, and only answers that read them are right."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.cli.eval_needle import draw_heat_map, table
from oryx_scene.cli.main import main
from oryx_scene.lab.evaluation.needle import (
    BOTH,
    CAPTION,
    ONE,
    OTHER,
    Cell,
    haystack,
    hide_needles,
    judge,
    report_of,
    shortened,
)
from oryx_scene.lab.synth.drive import Drive, DriveConfig
from oryx_scene.lab.synth.drive_source import DriveSource
from oryx_scene.records import Frame


def empty(count, size=(48, 64)):
    rgb, labels = np.zeros((*size, 3), np.uint8), np.zeros(size, np.int32)
    return [Frame("cam", i, "optical", rgb, str(i), labels=labels) for i in range(count)]


@settings(max_examples=12, deadline=None)
@given(st.integers(8, 60), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.integers(0, 5))
def test_needles_stand_where_the_questions_say(count, depth, seed):
    scene = hide_needles(empty(count), depth, seed)
    ids = [set(np.unique(frame.labels)) - {0} for frame in scene.frames]
    assert scene.caption == round(depth * (count - 1))
    assert ids[scene.caption] == {CAPTION}
    assert ids[scene.pair[0]] == {BOTH} and ids[scene.pair[1]] == {BOTH, ONE}
    assert abs(scene.pair[0] - scene.caption) == 1
    others = [found for i, found in enumerate(ids) if i not in (scene.caption, *scene.pair)]
    assert sorted(map(sorted, others))[-1] == [OTHER] and sum(map(bool, others)) == 1
    assert [frame.stamp_ns for frame in scene.frames] == list(range(count))
    assert len({(t.colour, t.shape) for t in scene.things.values()}) == 4
    first, second = sorted(scene.pair)
    asked = scene.questions()
    assert asked["caption"].text == f"What was in frame {scene.caption + 1}?"
    assert asked["difference"].text == f"What differs between frames {first + 1} and {second + 1}?"


@pytest.mark.parametrize("seed", range(4))
def test_a_needle_fills_enough_of_its_picture_to_be_read(seed):
    scene = hide_needles(empty(8, (192, 256)), 0.0, seed)
    assert (scene.frames[scene.caption].labels == CAPTION).mean() > 0.05
    assert (scene.frames[scene.pair[1]].labels == ONE).mean() > 0.004


def test_only_the_thing_of_the_asked_frame_is_right():
    scene = hide_needles(empty(20), 0.5, 1)
    numbers = {1: CAPTION, 2: OTHER, 3: BOTH, 4: ONE}
    names = {i: (t.colour, t.shape) for i, t in scene.things.items()}
    colour, shape = names[CAPTION]
    assert judge("caption", f"Mark 1 {colour}; 1 {shape}.", scene, numbers)
    assert judge("caption", f"A {colour} {shape} on the floor.", scene, {})
    assert not judge("caption", f"A {colour} thing.", scene, numbers)
    assert not judge("caption", "Mark 2 {}; 2 {}.".format(*names[OTHER]), scene, numbers)
    # To list everything is no answer.
    every = " and ".join(f"{c} {s}" for c, s in names.values())
    assert not judge("caption", every, scene, numbers)
    where = scene.pair[1] + 1
    assert judge("difference", f"Mark 4 only in view {where}.", scene, numbers)
    assert judge("difference", "There is a {} {}.".format(*names[ONE]), scene, {})
    assert not judge("difference", f"Mark 4 only in view {scene.pair[0] + 1}.", scene, numbers)
    assert not judge("difference", f"Mark 3 only in view {where}.", scene, numbers)
    assert not judge("difference", "None.", scene, numbers)


def test_a_haystack_is_even_and_without_foreign_places():
    source = DriveSource(Drive(DriveConfig(seconds=40.0, rate_hz=1.0, height=48, width=64)))
    frames = haystack(source, 10)
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps[0] == source.stubs()[0].stamp_ns and stamps[-1] == source.stubs()[-1].stamp_ns
    assert len(frames) == 10 and np.ptp(np.diff(stamps)) <= 1_000_000_000
    assert all(f.depth is None and f.T_fixed_camera is None and not f.labels.any() for f in frames)
    assert len(haystack(source, 100)) == 40
    assert [f.stamp_ns for f in shortened(frames, 4)] == [stamps[i] for i in (0, 3, 6, 9)]


def test_the_table_and_the_heat_map_show_shares_and_what_was_not_asked(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'train' is not installed")
    cells = [
        Cell(16, depth, task, int(depth), 1)
        for task in ("caption", "difference")
        for depth in (0, 1)
    ]
    cells += [
        Cell(1600, depth, t, note="too many") for t in ("caption", "difference") for depth in (0, 1)
    ]
    about = {"model": "m", "context_length": 9, "source": "s", "too_short_for": []}
    report = {**about, **report_of(cells)}
    assert report["means"]["caption"] == {"16": 0.5, "1600": None}
    lines = table(report)
    assert any(line.startswith("depth 1.00") and "1.00     nan" in line for line in lines)
    assert "not asked: too many" in lines
    draw_heat_map(report, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_asks_a_checkpoint_about_a_drive(tmp_path, capsys):
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    out = tmp_path / "needle.json"
    words = ["--model", "random", "--frames", "8", "--depths", "0.5", "--out", str(out), "--json"]
    assert main(["eval", "needle", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(out.read_text())
    assert [(c["task"], c["asked"]) for c in report["cells"]] == [("caption", 1), ("difference", 1)]
    assert report["cells"][0]["visual_tokens"] > 0
    assert main(["eval", "needle", "--frames", "4"]) == 2
    assert main(["eval", "needle", "--depths", "1.5"]) == 2
