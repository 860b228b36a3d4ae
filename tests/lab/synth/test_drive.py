"""Drives: frames that repeat, truth that the frames bear out, events nobody sees happen."""

import dataclasses
import json

import numpy as np
import pytest

from oryx_scene.cli.common import open_recording
from oryx_scene.cli.main import main
from oryx_scene.errors import ConfigError, OutputError, SourceError
from oryx_scene.geometry.transforms import transform_points
from oryx_scene.lab.synth.drive import LIGHT, Drive, DriveConfig
from oryx_scene.lab.synth.drive_source import read_drive, read_truth, record_drive, write_drive
from oryx_scene.lab.synth.drive_truth import VISIBLE_SHARE, drive_truth
from oryx_scene.lab.synth.placement import overlap
from oryx_scene.lab.synth.render import cast_labels
from oryx_scene.lab.synth.timeline import AWAY_S
from oryx_scene.lab.synth.trajectory import LEFT_AFTER_CLOSURE

CONFIG = dataclasses.replace(LIGHT, seed=5, seconds=400.0, changes=9, noise=False)


@pytest.fixture(scope="module")
def drive():
    return Drive(CONFIG)


@pytest.fixture(scope="module")
def truth(drive):
    return drive_truth(drive)


def test_a_frame_does_not_hang_on_those_before_it(drive):
    noisy = dataclasses.replace(CONFIG, noise=True)
    one, other = Drive(noisy), Drive(noisy)
    other.frame(3)
    a, b = one.frame(200), other.frame(200)
    assert (a.sha256, a.depth_sha256) == (b.sha256, b.depth_sha256)
    assert np.array_equal(a.T_fixed_camera, one.published_pose(200))
    assert Drive(dataclasses.replace(noisy, seed=6)).frame(200).sha256 != a.sha256


def test_what_a_frame_shows_is_where_the_truth_says(drive, truth):
    things = {thing["id"]: thing for thing in truth["things"]}
    shown = 0
    for index in range(0, CONFIG.frames, 9):
        frame, pose = drive.frame(index), drive.true_pose(index)
        K = frame.intrinsics.K
        counts = np.bincount(frame.labels.ravel())
        for object_id in np.flatnonzero(counts[1:]) + 1:
            v, u = np.nonzero(frame.labels == object_id)
            z = frame.depth[v, u]
            points = np.column_stack([(u - K[0, 2]) * z / K[0, 0], (v - K[1, 2]) * z / K[1, 1], z])
            points = transform_points(pose.T_map_camera, points)
            thing = things[object_id]
            (place,) = [
                p["position"]
                for p in thing["places"]
                if p["from_ns"] <= frame.stamp_ns < (p["to_ns"] or np.inf)
            ]
            assert (np.abs(points - place) - np.array(thing["size"]) / 2 < 3e-3).all()
            if counts[object_id] >= VISIBLE_SHARE * frame.labels.size:
                assert any(a <= frame.stamp_ns <= b for a, b in thing["visible"])
                shown += 1
    assert shown > 40


def test_intervals_end_where_a_thing_leaves_the_picture(drive, truth):
    """The frames just outside of an interval show less of the thing than counts."""
    checked = 0
    for thing in truth["things"]:
        for start, end in thing["visible"][:2]:
            indices = [
                round((ns - truth["start_ns"]) / 1e9 * CONFIG.rate_hz) for ns in (start, end)
            ]
            for index in (indices[0] - 1, indices[1] + 1):
                if 0 <= index < CONFIG.frames:
                    labels, _ = cast_labels(drive.world_at(index), drive.true_pose(index))
                    assert (labels == thing["id"]).mean() < VISIBLE_SHARE
                    checked += 1
    assert checked > 20


def test_a_removal_is_missed_at_the_first_frame_that_would_have_shown_it(drive, truth):
    missed = 0
    for event, told in zip(drive.timeline.events, truth["events"], strict=True):
        if event.kind not in ("moved", "taken"):
            assert told["first_missed_ns"] is None
            continue
        old = next(
            p.thing
            for p in drive.timeline.placements
            if p.thing.object_id == event.object_id and p.end_s == event.seconds
        )
        for index in range(int(np.ceil(event.seconds * CONFIG.rate_hz)), CONFIG.frames):
            world = drive.world_at(index)
            # The thing itself may be in view elsewhere: its double gets an id of its own.
            double = [dataclasses.replace(solid, object_id=99) for solid in old.solids]
            there = dataclasses.replace(world, solids=(*world.solids, *double))
            labels, _ = cast_labels(there, drive.true_pose(index))
            if (labels == 99).mean() >= VISIBLE_SHARE:
                assert told["first_missed_ns"] == drive.stamp_of(drive.seconds_of(index))
                missed += 1
                break
        else:
            assert told["first_missed_ns"] is None
        if missed == 3:
            break
    assert missed == 3


def test_nothing_happens_where_the_robot_is_and_things_never_overlap(drive):
    house, events = drive.house, drive.timeline.events
    assert len(events) == 9
    assert {event.kind for event in events} >= {"moved", "taken"}
    for event in events:
        rooms = {drive.room_at(event.seconds + s) for s in (-AWAY_S, 0, AWAY_S)}
        touched = [
            p.thing.room
            for p in drive.timeline.placements
            if p.thing.object_id == event.object_id and event.seconds in (p.start_s, p.end_s)
        ]
        assert touched and not rooms & set(touched)
        bodies = [thing.body for thing in drive.timeline.there_at(event.seconds)]
        assert not any(overlap(a, b) for i, a in enumerate(bodies) for b in bodies[:i])
        for thing in drive.timeline.there_at(event.seconds):
            assert house.room_at(thing.body.centre) == thing.room


@pytest.mark.parametrize("rooms", [1, 3, 5])
def test_the_robot_keeps_away_from_walls_and_things(rooms):
    drive = Drive(DriveConfig(seed=rooms, seconds=300.0, rooms=rooms, changes=6))
    times = np.arange(0, 300.0, 0.1)
    places = drive.trajectory.at(times)[:, :2]
    for wall in drive.house.walls:
        if wall.centre[2] - wall.half[2] < 1.5:  # not the piece above a doorway
            away = np.abs(places - wall.centre[:2]) - wall.half[:2]
            assert away.max(axis=1).min() > 0.2
    for placement in drive.timeline.placements:
        during = (times >= placement.start_s) & (times < placement.end_s)
        body = placement.thing.body
        away = np.hypot(*(places[during] - body.centre[:2]).T)
        assert away.min(initial=np.inf) > body.radius + 0.2
    steps = np.hypot(*np.diff(places, axis=0).T)
    assert steps.max() < 0.06  # half a metre a second
    assert {drive.room_at(t) for t in times} == set(range(rooms))


def test_poses_drift_slowly_and_jump_back_at_closures():
    drive = Drive(dataclasses.replace(LIGHT, seed=1, seconds=1800.0))
    errors, closures = drive.pose_error.errors, set(drive.pose_error.closures)
    assert len(closures) >= 6
    jumps = 0
    for index in range(1, len(errors)):
        step = np.hypot(*(errors[index] - errors[index - 1])[:2])
        if index in closures:
            before, after = np.hypot(*errors[index - 1, :2]), np.hypot(*errors[index, :2])
            assert after < LEFT_AFTER_CLOSURE * (before + 0.1)
            jumps += step > 0.1
        else:
            assert step < 0.08
    assert jumps >= 2
    moving = np.hypot(*np.diff(drive.poses[:, :2], axis=0).T) > 0
    for index in np.flatnonzero(~moving) + 1:
        assert index in closures or (errors[index] == errors[index - 1]).all()


def test_a_folder_describes_its_drive_and_opens_as_a_source(tmp_path, capsys):
    config = dataclasses.replace(LIGHT, seed=3, seconds=20.0)
    told = write_drive(config, tmp_path / "d")
    assert read_truth(tmp_path / "d") == json.loads(json.dumps(told))
    assert sum(file.stat().st_size for file in (tmp_path / "d").iterdir()) < 50_000
    source = open_recording(tmp_path / "d")
    assert source.synthetic and len(source.stubs()) == 20
    frames = list(source.frames())
    assert frames[7].sha256 == Drive(config).frame(7).sha256
    for stub, frame in zip(source.stubs(), frames, strict=True):
        assert stub.stamp_ns == frame.stamp_ns
        assert np.array_equal(source.pose(stub), frame.T_fixed_camera)
    assert main(["check", str(tmp_path / "d")]) == 0
    with pytest.raises(OutputError, match="exists already"):
        write_drive(config, tmp_path / "d")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "0"}, "drives otherwise"),
        ({"settings": {"seed": 3, "wheels": 4}}, "wheels"),
        ({"settings": {"seconds": 0}}, "seconds"),
        ({"schema": "oryx_scene/drive/0"}, "is no oryx_scene/drive/1"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path, change, message):
    write_drive(dataclasses.replace(LIGHT, seconds=2.0), tmp_path / "d")
    file = tmp_path / "d" / "drive.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(SourceError, match=message):
        read_drive(tmp_path / "d")


def test_written_frames_are_the_rendered_ones(tmp_path):
    config = dataclasses.replace(LIGHT, seed=3, seconds=3.0)
    told = record_drive(config, tmp_path / "bag")
    assert read_truth(tmp_path / "bag")["events"] == told["events"]
    found = list(open_recording(tmp_path / "bag").frames())
    for index, frame in enumerate(found):
        own = Drive(config).frame(index)
        assert np.array_equal(frame.rgb, own.rgb)
        assert np.allclose(frame.T_fixed_camera, own.T_fixed_camera, atol=1e-6)
    assert len(found) == 3


def test_the_room_command_makes_drives_and_refuses_what_does_not_go_together(tmp_path, capsys):
    out = str(tmp_path / "d")
    assert main(["room", out, "--drive", "30", "--light", "--changes", "2", "--rooms", "2"]) == 0
    assert "2 rooms" in capsys.readouterr().out
    assert read_drive(tmp_path / "d").config.rooms == 2
    for words in (
        ["--rate", "3"],
        ["--drive", "9", "--rig", "ring"],
        ["--drive", "0"],
        ["--write"],
    ):
        assert main(["room", str(tmp_path / "e"), *words]) == 2
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("values", [{"rooms": 10}, {"rate_hz": 0.0}, {"seed": -1}, {"changes": -2}])
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(ConfigError):
        DriveConfig(**values)
