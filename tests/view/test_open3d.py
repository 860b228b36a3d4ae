"""Open3D: what a user reads where it is missing, and that its pictures equal the splat's."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest

from oryx_scene.errors import EngineError, MissingExtraError
from oryx_scene.view import open3d_process
from oryx_scene.view.headless import render_pictures
from oryx_scene.view.open3d_backend import MissingLibraryError, load_open3d
from oryx_scene.view.open3d_process import render_in_child
from oryx_scene.view.overlay import project
from oryx_scene.view.shapes import BOX_COLOR, build_geometry, camera_color
from oryx_scene.view.snapshot import take_snapshot
from oryx_scene.view.splat import BACKGROUND, render_splat
from oryx_scene.view.viewpoint import make_viewpoint

SIZE = (240, 320)


@pytest.fixture
def scene(make_frame, box_mark):
    frames = [make_frame((0, 0.6, 1)), make_frame((0, -0.6, 1), "side", 1_010_000_000)]
    return build_geometry(take_snapshot(frames), [box_mark])


@pytest.fixture
def open3d():
    try:
        return load_open3d()
    except (MissingExtraError, MissingLibraryError) as err:
        pytest.skip(err.message)


def fail_import(monkeypatch, error):
    real = importlib.import_module

    def importing(name, *rest):
        if name == "open3d":
            raise error
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", importing)


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libusb-1.0.so.0", "libusb-1.0-0"),
        ("libGL.so.1", "libgl1"),
        ("libEGL.so.1", "libegl1"),
        ("libX11.so.6", "libx11-6"),
        ("libgomp.so.1", "libgomp1"),
    ],
)
@pytest.mark.parametrize("kind", [ImportError, OSError])
def test_a_missing_system_library_names_the_package(monkeypatch, library, package, kind):
    text = f"{library}: cannot open shared object file: No such file or directory"
    fail_import(monkeypatch, kind(text))
    with pytest.raises(MissingLibraryError) as caught:
        load_open3d()
    said = str(caught.value)
    assert said.endswith(f"sudo apt-get install {package}")
    assert library in said and "\n" not in said


def test_an_unknown_library_says_how_to_find_its_package(monkeypatch):
    fail_import(monkeypatch, ImportError("libodd.so.7: cannot open shared object file: No such"))
    with pytest.raises(MissingLibraryError, match=r"apt-file search libodd\.so\.7"):
        load_open3d()


def test_open3d_missing_names_the_extra(monkeypatch):
    fail_import(monkeypatch, ModuleNotFoundError("No module named 'open3d'"))
    with pytest.raises(MissingExtraError, match=r"pip install 'oryx-scene\[view\]'"):
        load_open3d()


def test_the_child_s_refusal_is_the_reason_of_the_fallback(scene, monkeypatch):
    refusal = b'{"error": "Open3D needs the system library \'libGL.so.1\'"}\n'

    def run(command, **_):
        return subprocess.CompletedProcess(command, 3, "", refusal.decode())

    monkeypatch.setattr(open3d_process.subprocess, "run", run)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    drawn = render_pictures(scene, [make_viewpoint("free", scene, 90, 120)])
    assert drawn.renderer == "splat"
    assert "libGL.so.1" in drawn.warnings[0].text
    assert drawn.images[0].max() > 200


def test_a_crash_of_the_child_is_survived(scene, monkeypatch):
    real = subprocess.run

    def crash(command, **options):
        return real([sys.executable, "-c", "import os; os.abort()"], **options)

    monkeypatch.setattr(open3d_process.subprocess, "run", crash)
    with pytest.raises(EngineError, match="ended with code -6"):
        render_in_child(scene, [make_viewpoint("free", scene, 90, 120)])


def test_a_hanging_child_is_ended(scene, monkeypatch):
    real = subprocess.run

    def hang(command, **options):
        return real([sys.executable, "-c", "import time; time.sleep(60)"], **options)

    monkeypatch.setattr(open3d_process.subprocess, "run", hang)
    monkeypatch.setattr(open3d_process, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(open3d_process, "TIMEOUT_PER_VIEW_S", 0.1)
    with pytest.raises(EngineError, match="did not finish"):
        render_in_child(scene, [make_viewpoint("free", scene, 90, 120)])


def test_open3d_draws_where_the_geometry_says_without_a_display(open3d, scene, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    names = ("free", "camera:front", "top")
    views = [make_viewpoint(name, scene, *SIZE) for name in names]
    try:
        pictures = render_in_child(scene, views)
    except EngineError as err:
        pytest.skip(f"Open3D gets no graphics context here: {err}")
    for name, view, drawn in zip(names, views, pictures, strict=True):
        splat = render_splat(scene, view)
        both = np.isfinite(splat.depth) & np.isfinite(drawn.depth)
        assert both.mean() > 0.1, name
        # Points are squares of one size here and of their own size there: edges differ.
        assert np.mean(np.abs(splat.depth[both] - drawn.depth[both]) < 0.05) > 0.9, name
        colours = np.abs(splat.rgb.astype(int) - drawn.rgb)[both].max(axis=-1)
        assert np.mean(colours < 24) > 0.8, name
    _probe_lines(scene, views[0], pictures[0].rgb)
    corner = pictures[0].rgb[:3, :3].reshape(-1, 3).astype(int)
    assert np.abs(corner - BACKGROUND).max() <= 2


def _probe_lines(scene, view, picture):
    wanted = {"boxes": [BOX_COLOR], "frusta": [camera_color(0), camera_color(1)]}
    for segments in scene.segments:
        hits = []
        for u, v, _ in project(view, segments.ends.mean(axis=1)):
            near = picture[round(v) - 2 : round(v) + 3, round(u) - 2 : round(u) + 3].astype(int)
            hits.append(
                any(
                    (np.abs(near - color).max(axis=-1) < 60).any()
                    for color in wanted[segments.layer]
                )
            )
        assert np.mean(hits) > 0.7, segments.layer
