import numpy as np

from oryx_scene.cli.main import main
from oryx_scene.lab.synth.recording import record_room
from oryx_scene.lab.synth.scenes import SceneSpec, render_spec
from oryx_scene.sources.registry import open_source


def test_a_recorded_room_is_the_rendered_one_and_says_that_it_is_synthetic(tmp_path):
    spec = SceneSpec(3, "test", views=2)
    world = record_room(spec, tmp_path / "room")
    source = open_source(tmp_path / "room")
    assert source.synthetic
    found = {frame.camera: frame for frame in source.frames()}
    again, frames = render_spec(spec)
    assert again.objects == world.objects
    for frame in frames:
        own = found[frame.camera]
        assert np.array_equal(own.rgb, frame.rgb)
        assert np.nanmax(np.abs(own.depth - frame.depth)) < 0.001
        assert np.allclose(own.T_fixed_camera, frame.T_fixed_camera, atol=1e-6)


def test_the_room_command_names_every_thing(tmp_path, capsys):
    assert main(["room", str(tmp_path / "r"), "--seed", "3", "--views", "2"]) == 0
    told = capsys.readouterr().out
    world, _ = render_spec(SceneSpec(3, "test", views=2))
    for thing in world.objects:
        assert f"{thing.colour} {thing.shape}" in told
    assert main(["room", str(tmp_path / "r2"), "--size", "large"]) == 2
