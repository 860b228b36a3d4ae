"""`oryx-scene view`: from a recording or a kept folder to pictures, probed pixel by pixel."""

from __future__ import annotations

import ctypes.util
import json

import cv2
import numpy as np
import pytest

from oryx_scene.cli.main import main
from oryx_scene.config import PipelineConfig
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source
from oryx_scene.view.dump_folders import DumpStory, dump_folders
from oryx_scene.view.overlay import project
from oryx_scene.view.recording import RecordingStory
from oryx_scene.view.result_folders import KeptStory
from oryx_scene.view.shapes import BOX_COLOR, LAYERS, camera_color
from oryx_scene.view.splat import BACKGROUND
from oryx_scene.view.viewpoint import make_viewpoint

SIZE = (360, 480)
START_NS = 10**12


@pytest.fixture
def wall_bag(tmp_path, make_frame):
    """Two cameras look at the wall and the square at four moments; both move along y."""
    path = tmp_path / "wall"
    with BagWriter(path) as writer:
        for index in range(4):
            stamp = START_NS + index * 10**9
            for name, y in (("front", 0.5), ("side", -0.5)):
                frame = make_frame((0.0, y + 0.1 * index, 1.0), name, stamp)
                frame_id = frame.frame_id
                writer.add_transform("map", frame_id, stamp, frame.T_fixed_camera)
                for part in (name, f"{name}/depth"):
                    writer.add_camera_info(
                        f"/{part}/camera_info", stamp, frame_id, frame.intrinsics
                    )
                writer.add_image(f"/{name}/image_raw", stamp, frame_id, frame.rgb)
                writer.add_depth(f"/{name}/depth/image_raw", stamp, frame_id, frame.depth)
    return path


def view(*words, code=0):
    assert main(["view", *map(str, words)]) == code


def read(path):
    return cv2.imread(str(path))[:, :, ::-1]


def near(pixels, color, tolerance=14):
    return np.abs(pixels.astype(int) - color).max(axis=-1) <= tolerance


def around(image, u, v, reach=2):
    u, v = round(u), round(v)
    return image[v - reach : v + reach + 1, u - reach : u + reach + 1].reshape(-1, 3)


def step_of(bag, at_ns=START_NS + 3 * 10**9):
    return RecordingStory(open_source(bag), [at_ns], PipelineConfig())[0]


def test_cloud_marks_and_frusta_are_where_the_geometry_says(wall_bag, tmp_path, capsys):
    out = tmp_path / "wall.png"
    words = ("--size", "480x360", "--no-words", "--renderer", "splat")
    view(wall_bag, "--png", out, "--from", "camera:front@0", *words)
    assert "drawn by splat" in capsys.readouterr().out
    picture, scene = read(out), step_of(wall_bag).geometry()
    assert picture.shape == (*SIZE, 3)
    look = make_viewpoint("camera:front@0", scene, *SIZE)

    def probe(place, reach=2):
        u, v, _ = project(look, np.array([place], float))[0]
        return around(picture, u, v, reach)

    assert near(probe((3.0, 0.6, 1.5)), (40, 200, 60)).all()  # the wall
    assert near(probe((2.0, 0.12, 1.12)), (230, 60, 200)).all()  # the square before it
    assert scene.marks
    for mark in scene.marks:  # the disc on the square, with its white ring and digit
        disc = probe(mark.position, 8)
        assert near(disc, BOX_COLOR).sum() > 0.35 * len(disc)
        assert near(disc, (255, 255, 255)).sum() > 0.02 * len(disc)
    assert np.linalg.norm(np.array(scene.marks[0].position) - (2.0, 0.0, 1.0)) < 0.1


def test_frusta_are_drawn_in_the_colour_of_their_camera(wall_bag, tmp_path):
    out = tmp_path / "frusta.png"
    words = ("--layers", "frusta", "--size", "480x360", "--no-words", "--renderer", "splat")
    view(wall_bag, "--png", out, "--from", "free", *words)
    picture, scene = read(out), step_of(wall_bag).geometry()
    look = make_viewpoint("free", scene, *SIZE)
    names = sorted({camera.camera for camera in scene.cameras})
    hits = []
    for segments in (item for item in scene.segments if item.layer == "frusta"):
        wanted = camera_color(names.index(scene.cameras[segments.view].camera))
        middles = segments.ends.mean(axis=1)
        hits += [
            near(around(picture, u, v, 1), wanted, 60).any() for u, v, _ in project(look, middles)
        ]
    # Lines of other views, and the cameras' names, lie over some.
    assert np.mean(hits) > 0.8
    assert len(hits) == 8 * len(scene.cameras)
    assert near(picture, BACKGROUND, 0).mean() > 0.7


def test_every_moment_and_viewpoint_gets_its_file(wall_bag, tmp_path, capsys):
    words = ("--step", "all", "--from", "front", "top", "--size", "160x120", "--renderer", "splat")
    view(wall_bag, "--every", "1.5", "--png", tmp_path / "w.png", *words)
    assert sorted(item.name for item in tmp_path.glob("w-*.png")) == [
        f"w-{step:03d}-{name}.png" for step in (1, 2, 3) for name in ("front", "top")
    ]
    assert "moment 2 of 3, at 1.50 s" in capsys.readouterr().out


def test_the_path_is_of_poses_up_to_the_moment_without_decoding(wall_bag):
    source = open_source(wall_bag)
    story = RecordingStory(source, [START_NS, START_NS + 2 * 10**9], PipelineConfig())
    np.testing.assert_allclose(story[0].snapshot.path, [(0, 0.5, 1)], atol=1e-6)
    path = story[1].snapshot.path
    np.testing.assert_allclose(path[:, 1], (0.5, 0.6, 0.7), atol=1e-6)


def test_orbit_is_an_animation(wall_bag, tmp_path):
    words = ("--frames", "4", "--size", "128x96", "--renderer", "splat", "--no-words")
    view(wall_bag, "--orbit", tmp_path / "o.mp4", *words)
    assert cv2.VideoCapture(str(tmp_path / "o.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 4
    view(wall_bag, "--orbit", tmp_path / "o.gif", *words)
    assert (tmp_path / "o.gif").read_bytes()[:6] == b"GIF89a"


def test_a_folder_of_marks_is_looked_at_without_the_recording(wall_bag, tmp_path):
    kept = tmp_path / "kept"
    assert main(["marks", str(wall_bag), "--out", str(kept)]) == 0
    step, fresh = KeptStory(kept)[0], step_of(wall_bag)
    assert [mark.number for mark in step.marks] == [mark.number for mark in fresh.marks]
    for mark, other in zip(step.marks, fresh.marks, strict=True):
        assert mark.position == pytest.approx(other.position)
        assert mark.size == pytest.approx(other.size)
        assert [seen.view for seen in mark.observations] == [s.view for s in other.observations]
        assert mark.observations[0].u == pytest.approx(other.observations[0].u)
    assert len(step.relations) == len(fresh.relations)
    words = ("--size", "480x360", "--no-words", "--renderer", "splat")
    view(kept, "--png", tmp_path / "kept.png", *words)
    view(wall_bag, "--png", tmp_path / "fresh.png", "--layers", *set(LAYERS) - {"path"}, *words)
    drawn, wanted = read(tmp_path / "kept.png"), read(tmp_path / "fresh.png")
    # Pictures are kept as JPEG and points in float32: a few edges may differ.
    assert np.mean(np.abs(drawn.astype(int) - wanted).max(axis=-1) > 24) < 0.02


def test_a_folder_of_answers_has_one_step_per_answer(wall_bag, tmp_path, capsys):
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    kept = tmp_path / "kept"
    asked = ["ask", str(wall_bag), "--model", "random", "--max-new-tokens", "3", "--out", str(kept)]
    assert main([*asked, "-q", "What is near?", "-q", "How far is mark 1?"]) == 0
    story = KeptStory(kept)
    assert len(story) == 2
    assert story[1].caption.question == "How far is mark 1?"
    assert any("random weights" in text for text in story[1].caption.warnings)
    capsys.readouterr()
    view(kept, "--step", "2", "--png", tmp_path / "a.png", "--renderer", "splat", "--show-views")
    assert "answer 2 of 2" in capsys.readouterr().out
    assert read(tmp_path / "a.png").shape[0] > 720 + 200  # views and words below


def test_dumped_questions_are_looked_at(wall_bag, tmp_path, capsys):
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    kept = tmp_path / "dumps"
    asked = ["ask", str(wall_bag), "--model", "random", "--max-new-tokens", "3"]
    asked += ["--dump", str(kept), "-q", "What is near?", "-q", "How far is mark 1?"]
    assert main(asked) == 0
    story, fresh = DumpStory(dump_folders(kept)), step_of(wall_bag)
    assert [story[i].caption.question for i in (0, 1)] == ["What is near?", "How far is mark 1?"]
    assert story[1].marks[0].position == pytest.approx(fresh.marks[0].position)
    assert len(story[1].snapshot.cloud.points) == len(fresh.snapshot.cloud.points)
    capsys.readouterr()
    words = ("--size", "160x120", "--renderer", "splat")
    view(kept / "query_01", "--png", tmp_path / "d.png", *words)
    assert "dump query_01, drawn by splat" in capsys.readouterr().out
    (kept / "query_01" / "answer.json").write_text("{}")
    view(kept / "query_01", "--png", tmp_path / "d.png", *words, code=2)
    assert "answer.json" in capsys.readouterr().err


def test_pictures_without_places_show_the_views_and_say_so(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((48, 64, 3), (200, 30, 10), np.uint8))
    view(tmp_path / "a.png", "--png", tmp_path / "out.png", "--no-words", "--size", "320x240")
    assert "nothing in this scene has a place" in capsys.readouterr().err
    assert near(read(tmp_path / "out.png"), (10, 30, 200)).mean() > 0.9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "12"], "--size '12'"),
        (["--orbit", "x.avi"], "--orbit 'x.avi'"),
        (["--png", "x.webp"], "--png 'x.webp'"),
        (["--frames", "1", "--orbit", "x.gif"], "--frames is 1"),
        (["--step", "9", "--png", "x.png"], "--step '9'; there are 1"),
        (["--from", "moon", "--png", "x.png"], "unknown viewpoint 'moon'"),
        (["--from", "camera:rear", "--png", "x.png"], "no posed view 'rear'"),
        (["--every", "0", "--png", "x.png"], "--every is 0.0"),
        (["--at", "99", "--png", "x.png"], "old, allowed are"),
        (["--png", "/proc/none/x.png", "--renderer", "splat"], "cannot write"),
    ],
)
def test_mistakes_are_one_line(wall_bag, capsys, words, said):
    view(wall_bag, *words, code=2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1]
    assert "Traceback" not in lines[-1]


def test_without_a_display_the_window_names_the_way_out(wall_bag, capsys, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    view(wall_bag, code=2)
    assert "no display. Hint: --png FILE" in capsys.readouterr().err


def test_a_display_that_is_not_there_does_not_hang(wall_bag, capsys, monkeypatch):
    ctypes.util.find_library("X11") or pytest.skip("libX11 is not installed")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":4242")
    view(wall_bag, code=2)
    assert "the display ':4242' cannot be opened. Hint: --png" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["marks.json", "scene.npz", "answers.json"])
def test_a_damaged_folder_is_one_line(wall_bag, tmp_path, capsys, name):
    kept = tmp_path / "kept"
    assert main(["marks", str(wall_bag), "--out", str(kept)]) == 0
    (kept / name).write_bytes(b'{"half": ')
    view(kept, "--png", tmp_path / "x.png", code=2)
    assert name in capsys.readouterr().err.strip().splitlines()[-1]


def test_answers_of_another_form_are_refused(wall_bag, tmp_path, capsys):
    kept = tmp_path / "kept"
    assert main(["marks", str(wall_bag), "--out", str(kept)]) == 0
    (kept / "answers.json").write_text(json.dumps([{"text": 3}]))
    view(kept, "--png", tmp_path / "x.png", code=2)
    assert "no answer in the documented form" in capsys.readouterr().err


def test_help_lists_every_key(capsys):
    with pytest.raises(SystemExit):
        main(["view", "--help"])
    said = capsys.readouterr().out
    assert "N, right: next view set or answer" in said
    assert all(f"{layer} on or off" in said for layer in LAYERS)
