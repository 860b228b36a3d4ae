"""What changed between two scenes: true events are found, and what nobody saw is not judged."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from oryx_scene.cli.main import main
from oryx_scene.config import MarksConfig
from oryx_scene.errors import SceneMismatchError
from oryx_scene.lab.evaluation.changes import judge_pair, make_pair
from oryx_scene.lab.evaluation.mark_worlds import ROUGH
from oryx_scene.marks.change.changed import what_changed
from oryx_scene.marks.finder import find_marks
from oryx_scene.records import MarkSet, ViewSet
from oryx_scene.sources.bags.writer import write_source

CONFIG = MarksConfig(max_marks=16)


@pytest.fixture(scope="module")
def pair():
    """The first made pair in which one thing goes and one comes."""
    return next(pair for pair in map(make_pair, range(40)) if pair.disappeared and pair.appeared)


def compare(before, after):
    marks = find_marks(before, CONFIG), find_marks(after, CONFIG)
    return (*marks, what_changed(before, marks[0], after, marks[1]))


def test_what_came_and_went_is_found(pair):
    before, after, changes = compare(pair.before, pair.after)
    counts = judge_pair(pair, changes, before, after)
    assert changes.changed
    assert counts.right["appeared"] == len(pair.appeared)
    assert counts.right["disappeared"] == len(pair.disappeared)
    assert not counts.false["appeared"] + counts.false["disappeared"]


def test_the_other_way_round_the_two_swap(pair):
    _, _, there = compare(pair.before, pair.after)
    _, _, back = compare(pair.after, pair.before)
    assert {m.position for m in there.appeared} == {m.position for m in back.disappeared}
    assert {m.position for m in there.disappeared} == {m.position for m in back.appeared}


def test_the_same_scene_has_not_changed(pair):
    marks, _, changes = compare(pair.before, pair.before)
    assert not changes.changed
    assert {a for a, _ in changes.stayed} == {mark.number for mark in marks.marks}


@pytest.mark.parametrize("index", [105, 128, 131, 1031])
def test_what_wrong_poses_shift_has_not_moved(index):
    noisy = make_pair(index, ROUGH)
    before, after, changes = compare(noisy.before, noisy.after)
    assert judge_pair(noisy, changes, before, after).false["moved"] == 0


@pytest.mark.parametrize("index", [8, 1024, 1082])
def test_what_still_overlaps_its_old_place_has_moved(index):
    """Though its middle is uncertain (8), or little of its new place was empty before (1082)."""
    shifted = make_pair(index)
    before, after, changes = compare(shifted.before, shifted.after)
    counts = judge_pair(shifted, changes, before, after)
    assert counts.right["moved"] == len(shifted.moved) > 0
    assert counts.false["moved"] == 0
    stayed = {number for number, _ in changes.stayed}
    assert not stayed & {item.before.number for item in changes.moved}


def test_what_nobody_looked_at_again_is_unknown(pair):
    frames = pair.after.frames
    turned = []
    for frame in frames:
        T = frame.T_fixed_camera.copy()
        T[:3, :3] = T[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
        turned.append(dataclasses.replace(frame, T_fixed_camera=T))
    before = find_marks(pair.before, CONFIG)
    changes = what_changed(pair.before, before, ViewSet(tuple(turned)), MarkSet())
    assert not changes.disappeared
    assert sum(changes.unknown.values()) >= len(before.marks) - 1


def test_what_something_stands_in_front_of_is_unknown(pair):
    blocked = ViewSet(
        tuple(
            dataclasses.replace(frame, depth=np.full_like(frame.depth, 0.3))
            for frame in pair.after.frames
        )
    )
    before = find_marks(pair.before, CONFIG)
    changes = what_changed(pair.before, before, blocked, MarkSet())
    assert not changes.disappeared
    assert changes.unknown == {"its place was not seen in the other scene": len(before.marks)}


def test_without_depth_nothing_is_said(pair):
    bare = ViewSet(tuple(dataclasses.replace(f, depth=None) for f in pair.after.frames))
    before = find_marks(pair.before, CONFIG)
    changes = what_changed(pair.before, before, bare, MarkSet())
    assert not changes.changed
    assert "cannot be compared" in changes.warnings[0].text


def test_other_coordinate_frames_are_refused(pair):
    other = ViewSet(tuple(dataclasses.replace(f, fixed_frame="odom") for f in pair.after.frames))
    with pytest.raises(SceneMismatchError, match=r"map and odom"):
        what_changed(pair.before, MarkSet(), other, MarkSet())


@pytest.fixture(scope="module")
def recording(pair, tmp_path_factory):
    """Both scenes in one bag, five seconds apart, by cameras that moved in between."""
    names = [frame.camera for frame in pair.before.frames]
    later = [
        dataclasses.replace(
            frame, camera=name, frame_id=f"{name}_optical", stamp_ns=frame.stamp_ns + 5 * 10**9
        )
        for name, frame in zip(names, pair.after.frames, strict=True)
    ]
    earlier = [
        dataclasses.replace(frame, frame_id=f"{frame.camera}_optical")
        for frame in pair.before.frames
    ]
    path = tmp_path_factory.mktemp("bag") / "pair"
    frames = (*earlier, *later)
    write_source(SimpleNamespace(synthetic=True, frames=lambda: iter(frames)), path)
    return path


def test_the_command_says_what_changed(recording, pair, capsys):
    assert main(["changed", str(recording), "--from", "0", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["schema"] == "oryx_scene/changed/2"
    assert described["changed"]
    assert len(described["appeared"]) == len(pair.appeared)
    assert len(described["disappeared"]) == len(pair.disappeared)
    assert main(["changed", str(recording), "--from", "0"]) == 0
    assert "appeared:    mark" in capsys.readouterr().out


def test_the_command_refuses_moments_in_the_wrong_order(recording, capsys):
    assert main(["changed", str(recording), "--from", "5", "--to", "0"]) == 2
    assert "later than --from" in capsys.readouterr().err


def test_the_evaluation_counts_every_event(tmp_path, capsys):
    report = tmp_path / "report.json"
    assert main(["eval", "changed", "--pairs", "2", "--out", str(report)]) == 0
    assert "disappeared" in capsys.readouterr().out
    for found in json.loads(report.read_text())["conditions"].values():
        events = [found[name] for name in ("appeared", "disappeared", "moved")]
        assert found["pairs"] == 2
        assert sum(one["right"] + one["missed"] for one in events) > 0
    assert main(["eval", "changed", "--pairs", "0"]) == 2
