"""The rendered office: the same for a seed, seen whole, with the noise that it states."""

import json

import numpy as np

from oryx_scene.cli.main import main
from oryx_scene.lab.synth.furniture import LAYOUT, PIECES, SENSOR, furnished_world
from oryx_scene.lab.synth.scenes import SceneSpec, render_spec
from oryx_scene.sources.registry import open_source


def test_a_seed_is_an_office_and_every_piece_stands_on_something():
    first, again, other = furnished_world(4), furnished_world(4), furnished_world(5)
    assert first.objects == again.objects != other.objects
    assert [thing.shape for thing in first.objects] == [spot.piece for spot in LAYOUT]
    assert {spot.piece for spot in LAYOUT} == set(PIECES)
    tops = [0.0]
    for thing in first.objects:
        tops += [s.centre[2] + s.half[2] for s in first.solids if s.object_id == thing.object_id]
    for thing in first.objects:
        foot = thing.position[2] - thing.extent[2] / 2
        assert min(abs(foot - top) for top in tops) < 0.003, thing.shape


def test_the_camera_sees_nearly_every_piece_in_two_views(office_frames):
    _, true = office_frames
    seen = [set(np.unique(frame.labels[frame.labels > 0]).tolist()) for frame in true[2:]]
    twice = {name for name in range(1, 13) if sum(name in view for view in seen) >= 2}
    assert len(twice) >= 10


def test_its_noise_is_the_stated_one(office_frames):
    spoilt, true = office_frames
    depth, z = spoilt[0].depth, true[0].depth
    assert abs(np.isnan(depth).mean() - SENSOR.holes) < 0.01
    near = np.isfinite(depth) & (z > 1.9) & (z < 2.1)
    assert abs(np.std((depth - z)[near]) / (SENSOR.depth_quadratic * 4) - 1) < 0.15
    off = [
        float(np.linalg.norm(a.T_fixed_camera[:3, 3] - b.T_fixed_camera[:3, 3]))
        for a, b in zip(spoilt, true, strict=True)
    ]
    assert 0 < max(off) < 0.04


def test_the_room_command_records_the_office(tmp_path, capsys):
    out = tmp_path / "office"
    words = ["--furnished", "--seed", "4", "--views", "2", "--size", "160x120"]
    assert main(["room", str(out), *words]) == 0
    told = capsys.readouterr().out
    assert "2 views of a room with 12 things" in told
    assert "sofa at x" in told
    source = open_source(out)
    assert source.synthetic
    _, frames = render_spec(SceneSpec(4, views=2, height=120, width=160, furnished=True))
    for own, frame in zip(source.frames(), frames, strict=True):
        assert np.array_equal(own.rgb, frame.rgb)
        assert np.array_equal(np.isnan(own.depth), np.isnan(frame.depth))
    assert main(["marks", str(out), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["views"]) == 2
    assert main(["room", str(tmp_path / "other"), "--furnished", "--rig", "ring"]) == 2
    assert "brings its own camera" in capsys.readouterr().err
