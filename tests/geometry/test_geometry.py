"""Laws of transforms, cameras and the transform buffer."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.errors import CalibrationError, TransformError
from oryx_scene.geometry.camera import (
    canonical_distortion_model,
    check_intrinsics,
    cropped,
    doubts,
    normalised_rays,
    project,
    register_depth,
    scaled_to,
    unproject,
)
from oryx_scene.geometry.rig import load_rig
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.transforms import (
    from_translation_quaternion,
    interpolate,
    invert,
    rotation_to_quaternion,
    transform_points,
)
from oryx_scene.records import Intrinsics

K = np.array([[500.0, 0, 320.0], [0, 510.0, 240.0], [0, 0, 1]])
MODELS = {
    "none": (),
    "plumb_bob": (-0.28, 0.07, 0.001, -0.0005, 0.0),
    "rational_polynomial": (0.1, -0.05, 0.0005, 0.001, 0.01, 0.12, -0.04, 0.005),
    "equidistant": (0.02, -0.01, 0.003, -0.001),
}
NUMBERS = st.floats(-1, 1)
QUATERNIONS = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).filter(
    lambda q: sum(v * v for v in q) > 0.01
)
POSES = st.tuples(st.tuples(NUMBERS, NUMBERS, NUMBERS), QUATERNIONS).map(
    lambda tq: from_translation_quaternion(*tq)
)


def camera(model="none"):
    return check_intrinsics(Intrinsics(K, 480, 640, model, np.array(MODELS[model])), "test")


@settings(deadline=None)
@given(POSES, POSES)
def test_inverse_and_composition(a, b):
    assert np.allclose(invert(a) @ a, np.eye(4), atol=1e-9)
    points = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])
    both = transform_points(a @ b, points)
    assert np.allclose(both, transform_points(a, transform_points(b, points)), atol=1e-9)


@settings(deadline=None)
@given(POSES)
def test_quaternions_there_and_back(T):
    q = rotation_to_quaternion(T[:3, :3])
    assert np.allclose(from_translation_quaternion(T[:3, 3], q), T, atol=1e-9)


@settings(deadline=None)
@given(POSES, POSES)
def test_interpolation_ends_and_stays_rigid(a, b):
    assert np.allclose(interpolate(a, b, 0.0), a, atol=1e-7)
    assert np.allclose(interpolate(a, b, 1.0), b, atol=1e-7)
    R = interpolate(a, b, 0.3)[:3, :3]
    assert np.allclose(R @ R.T, np.eye(3), atol=1e-9)


def about_z(degrees):
    half = np.radians(degrees) / 2
    return from_translation_quaternion((0, 0, 0), (0, 0, np.sin(half), np.cos(half)))


def test_interpolation_turns_the_short_way():
    # From 170 to -170 degrees it is 20 degrees over the back, not 340 over the front.
    assert np.allclose(interpolate(about_z(170), about_z(-170), 0.5), about_z(180), atol=1e-12)
    assert np.allclose(interpolate(about_z(170), about_z(-170), 0.25), about_z(175), atol=1e-12)


@settings(deadline=None)
@given(st.sampled_from(list(MODELS)), st.floats(60, 580), st.floats(60, 420), st.floats(0.2, 9.0))
def test_unprojecting_undoes_projecting(model, u, v, depth):
    uv = np.array([[u, v]])
    points = unproject(camera(model), uv, np.array([depth]))
    assert points[0, 2] == depth
    assert np.allclose(project(camera(model), points), uv, atol=1e-3)


def test_nothing_behind_the_camera_and_nothing_folded_back():
    assert np.isnan(project(camera(), np.array([[0.0, 0.0, -1.0]]))).all()
    # 1 - 0.28 r^2 falls again beyond r = 1.09: a ray at r = 1.8 would come back into the picture.
    folding = Intrinsics(K, 480, 640, "plumb_bob", np.array([-0.28, 0.0, 0.0, 0.0, 0.0]))
    assert np.isnan(project(folding, np.array([[1.8, 0.0, 1.0]]))).all()
    assert np.isfinite(project(folding, np.array([[1.0, 0.0, 1.0]]))).all()


WIDE = {
    "barrel": ("plumb_bob", (-0.35, 0.0, 0.0, 0.0, 0.0)),
    "moustache": ("plumb_bob", (-0.4, 0.2, 0.001, -0.002, -0.05)),
    "rational": ("rational_polynomial", (-0.3, 0.05, 0.001, 0.0, 0.0, 0.1, 0.02, 0.0)),
    "fisheye": ("equidistant", (0.1, -0.05, 0.01, -0.004)),
}


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(list(WIDE)), st.floats(0, 639), st.floats(0, 479))
def test_every_ray_of_a_wide_lens_comes_back_onto_its_pixel_or_is_not_known(lens, u, v):
    model, D = WIDE[lens]
    wide = check_intrinsics(Intrinsics(K * [[0.6], [0.6], [1]], 480, 640, model, np.array(D)), "w")
    ray = normalised_rays(wide, np.array([[u, v]]))
    if np.isfinite(ray).all():
        assert np.allclose(project(wide, np.array([[*ray[0], 1.0]])), [[u, v]], atol=1e-6)
    else:
        assert np.hypot(u - 192, v - 144) > 150


def test_rays_end_where_the_lens_model_does():
    # r - 0.35 r^3 is largest at 1 / sqrt(1.05) = 0.9759, where it is 0.6506: 65.06 px.
    square = np.array([[100.0, 0, 100.0], [0, 100.0, 100.0], [0, 0, 1]])
    barrel = Intrinsics(square, 200, 200, "plumb_bob", np.array([-0.35, 0, 0, 0, 0.0]))
    uv = np.array([[165.0, 100.0], [100.0, 34.9], [165.2, 100.0], [0.0, 0.0]])
    known = np.isfinite(normalised_rays(barrel, uv)).all(axis=1)
    assert known.tolist() == [True, False, False, False]
    # Equidistant without coefficients: 100 px per radian, 90 degrees at 157.08 px.
    fisheye = Intrinsics(square, 400, 400, "equidistant", np.zeros(4))
    uv = np.array([[200.0, 100.0], [257.0, 100.0], [257.2, 100.0]])
    rays = normalised_rays(fisheye, uv)
    assert rays[0] == pytest.approx((np.tan(1.0), 0.0))
    assert rays[1, 0] == pytest.approx(np.tan(1.57), rel=1e-6)
    assert np.isnan(rays[2]).all()
    # A fisheye polynomial that folds back ends there, too.
    folding = Intrinsics(square, 400, 400, "equidistant", np.array([-0.3, 0, 0, 0]))
    assert np.isnan(project(folding, np.array([[np.tan(1.2), 0.0, 1.0]]))).all()
    assert np.isfinite(project(folding, np.array([[np.tan(1.0), 0.0, 1.0]]))).all()


def test_a_skewed_K_moves_the_pixel_whatever_the_distortion():
    for model, D in MODELS.items():
        skewed = K.copy()
        skewed[0, 1] = 5.0
        point = np.array([[0.3, -0.2, 1.0]])
        plain = Intrinsics(K, 480, 640, model, np.array(D))
        bent = Intrinsics(skewed, 480, 640, model, np.array(D))
        v = project(plain, point)[0, 1]
        moved = project(bent, point)[0] - project(plain, point)[0]
        assert moved == pytest.approx((5.0 * (v - 240.0) / 510.0, 0.0), abs=1e-9)
        assert normalised_rays(bent, project(bent, point))[0] == pytest.approx((0.3, -0.2))


def test_scaling_and_cropping_move_pixels_and_K_alike():
    point = np.array([[0.3, -0.2, 2.0]])
    u, v = project(camera(), point)[0]
    half = project(scaled_to(camera(), 240, 320), point)[0]
    assert half == pytest.approx(((u + 0.5) / 2 - 0.5, (v + 0.5) / 2 - 0.5))
    assert project(cropped(camera(), 30, 40, 200, 300), point)[0] == pytest.approx((u - 40, v - 30))


@pytest.mark.parametrize("bad", [-500.0, 0.0, np.nan])
def test_impossible_intrinsics_are_refused(bad):
    K_bad = K.copy()
    K_bad[1, 1] = bad
    with pytest.raises(CalibrationError, match="front"):
        check_intrinsics(Intrinsics(K_bad, 480, 640), "front")


def test_what_looks_odd_about_a_calibration():
    def said(fx=500.0, fy=500.0, cx=320.0, model="none"):
        odd = np.array([[fx, 0, cx], [0, fy, 240.0], [0, 0, 1]])
        return doubts(Intrinsics(odd, 480, 640, model))

    assert said() == said(fy=460.0) == ()
    assert len(said(fy=450.0)) == len(said(fy=560.0)) == 1
    assert "differ by more than 10 %" in said(fy=450.0)[0]
    assert len(said(cx=100.0)) == 1
    # 2 atan(320 / 80) is 152 degrees: no pinhole, but a fisheye may.
    assert "152 degrees" in said(fx=80.0, fy=80.0)[0]
    assert said(fx=80.0, fy=80.0, model="equidistant") == ()


@pytest.mark.parametrize(
    ("model", "D", "used"),
    [
        ("plumb_bob", (-0.1, 0.01, 0, 0, -0.02, 0, 0, 0), (-0.1, 0.01, 0, 0, -0.02)),
        ("plumb_bob", (-0.1, 0.01), (-0.1, 0.01, 0, 0)),
        ("plumb_bob", (-0.1, 0.01, 0, 0), (-0.1, 0.01, 0, 0)),
        ("equidistant", (0.1, 0, 0, 0.2, 0), (0.1, 0, 0, 0.2)),
        ("equidistant", (), (0, 0, 0, 0)),
        ("rational_polynomial", (0.1, 0.01, 0, 0, 0.2), (0.1, 0.01, 0, 0, 0.2, 0, 0, 0)),
        ("rational_polynomial", (0.1,) + (0,) * 15, (0.1,) + (0,) * 7),
        ("", (-0.1, 0, 0, 0, 0), (-0.1, 0, 0, 0, 0)),
        ("plumb_bob", (0,) * 14, ()),
    ],
)
def test_padded_distortion_says_nothing_else(model, D, used):
    found = check_intrinsics(Intrinsics(K, 480, 640, model, np.array(D, float)), "c")
    assert found.D.tolist() == list(map(float, used))


@pytest.mark.parametrize(
    ("model", "D", "said"),
    [
        ("plumb_bob", (-0.1, 0.01, 0, 0, 0, 0.2, 0, 0), "got 8, of which number 6"),
        ("equidistant", (0.1, 0, 0, 0.2, 0.3), "got 5, of which number 5"),
        ("rational_polynomial", (0.1,) * 15, "got 15"),
        ("none", (0.1,), "'none', but there are coefficients"),
    ],
)
def test_more_coefficients_than_a_model_has_are_refused(model, D, said):
    with pytest.raises(CalibrationError, match=said):
        check_intrinsics(Intrinsics(K, 480, 640, model, np.array(D, float)), "c")


def test_spellings_of_distortion_models():
    assert canonical_distortion_model("Brown Conrady", "c", [0.1]) == "plumb_bob"
    assert canonical_distortion_model("Whatever", "c", [0.0, 0.0]) == "none"
    assert canonical_distortion_model("fisheye", "c", [0.0]) == "equidistant"
    with pytest.raises(CalibrationError, match="Whatever"):
        canonical_distortion_model("Whatever", "c", [0.1])


def test_depth_is_registered_with_the_nearest_surface_in_front():
    depth_camera = Intrinsics(np.array([[100.0, 0, 50], [0, 100.0, 40], [0, 0, 1]]), 80, 100)
    depth = np.full((80, 100), 2.0, dtype=np.float32)
    depth[30:50, 40:60] = 1.0
    T = np.eye(4)
    T[0, 3] = -0.1
    seen = register_depth(depth, depth_camera, T, depth_camera)
    # 0.1 m is 10 px at 1 m and 5 px at 2 m: the box moves further than the wall behind it.
    assert seen[40, 32] == pytest.approx(1.0)
    assert seen[40, 48] == pytest.approx(1.0)
    assert seen[40, 27] == pytest.approx(2.0)
    assert np.isnan(seen[40, 52])
    assert np.isnan(seen[:, 96:]).all()


def buffer():
    found = TransformBuffer()
    moved = np.eye(4)
    moved[0, 3] = 1.0
    found.add("map", "base", 10**9, np.eye(4))
    found.add("map", "base", 2 * 10**9, moved)
    up = np.eye(4)
    up[2, 3] = 0.5
    found.add_static("base", "cam", up)
    return found


def test_lookup_chains_and_interpolates():
    found = buffer()
    T = found.lookup("map", "cam", 1_250_000_000)
    assert T[:3, 3] == pytest.approx((0.25, 0, 0.5))
    assert np.allclose(found.lookup("cam", "map", 1_250_000_000), invert(T))


@pytest.mark.parametrize(
    ("target", "source", "stamp", "said"),
    [
        ("map", "cam", 9 * 10**8, "from 0.100 s later"),
        ("map", "cam", 21 * 10**8, "until 0.100 s earlier"),
        ("map", "nose", 10**9, "'nose' is not known"),
    ],
)
def test_never_extrapolates(target, source, stamp, said):
    with pytest.raises(TransformError, match=said):
        buffer().lookup(target, source, stamp)


def test_loops_and_separate_trees():
    found = buffer()
    with pytest.raises(TransformError, match="loop"):
        found.add("cam", "map", 1, np.eye(4))
    found.add_static("island", "palm", np.eye(4))
    with pytest.raises(TransformError, match="different trees"):
        found.lookup("map", "palm", 10**9)


def at_x(x):
    T = np.eye(4)
    T[0, 3] = x
    return T


def test_a_frame_keeps_its_parent_of_each_moment():
    found = TransformBuffer()
    for second in (1, 2):
        found.add("map", "cam", second * 10**9, at_x(second))
    found.add("other", "cam", 4 * 10**9, at_x(9.0))
    assert found.lookup("map", "cam", 1_500_000_000)[0, 3] == pytest.approx(1.5)
    assert found.lookup("map", "cam", 2 * 10**9)[0, 3] == 2.0
    assert found.lookup("other", "cam", 4 * 10**9)[0, 3] == 9.0
    # Between two samples of different parents nothing is known, not even the older one's word.
    with pytest.raises(TransformError, match=r"parent of 'cam' changes from 'map' to 'other'"):
        found.lookup("map", "cam", 3 * 10**9)
    assert found.disputed() == {}
    assert found.parent_of("cam") == "other"


def test_alternating_parents_are_named():
    found = TransformBuffer()
    for index in range(4):
        found.add(("odom", "map")[index % 2], "base", index * 10**9, at_x(index))
    assert found.disputed() == {"base": ("odom", "map")}
    assert found.lookup("map", "base", 10**9)[0, 3] == 1.0
    with pytest.raises(TransformError, match="changes from 'map' to 'odom'"):
        found.lookup("map", "base", 1_500_000_000)
    # A static publisher beside a moving one is a dispute from the start.
    both = TransformBuffer()
    both.add_static("base", "cam", at_x(1))
    both.add("arm", "cam", 10**9, at_x(2))
    assert both.disputed() == {"cam": ("base", "arm")}
    assert both.lookup("arm", "cam", 10**9)[0, 3] == 2.0
    assert both.lookup("base", "cam", 2 * 10**9)[0, 3] == 1.0
    fixed = TransformBuffer()
    fixed.add_static("base", "cam", at_x(1))
    fixed.add_static("arm", "cam", at_x(1))
    assert fixed.disputed() == {"cam": ("base", "arm")}


def test_a_static_transform_that_is_stated_anew_holds_from_then_on():
    found = TransformBuffer()
    found.add_static("base", "cam", at_x(1), since_ns=10**9)
    found.add_static("base", "cam", at_x(1), since_ns=2 * 10**9)
    found.add_static("base", "cam", at_x(2), since_ns=3 * 10**9)
    places = [found.lookup("base", "cam", second * 10**9)[0, 3] for second in (0, 1, 2, 3, 9)]
    assert places == [1.0, 1.0, 1.0, 2.0, 2.0]


def test_what_is_pinned_wins_over_what_comes():
    found = TransformBuffer()
    found.add("map", "cam", 10**9, at_x(1))
    found.pin("base", "cam", at_x(5))
    found.add("map", "cam", 2 * 10**9, at_x(2))
    assert found.lookup("base", "cam", 10**9)[0, 3] == 5.0
    assert found.disputed() == {}
    found.clear()
    assert found.lookup("base", "cam", 10**9)[0, 3] == 5.0
    assert not found.connected("map", "cam")


def test_connected_at_any_time_and_the_newest_common_moment():
    found = buffer()
    found.add_static("island", "palm", np.eye(4))
    assert found.connected("map", "cam")
    assert not found.connected("map", "palm")
    assert found.newest("map", "cam", 0) == 2 * 10**9
    assert found.newest("base", "cam", 0) is None
    assert found.span() == (10**9, 2 * 10**9)
    with pytest.raises(TransformError, match="different trees"):
        found.newest("map", "palm", 0)


def test_history_is_bounded():
    found = TransformBuffer(history_s=1.0)
    for index in range(5000):
        found.add("map", "base", index * 10**7, np.eye(4))
    first, last = found.coverage("map", "base")
    assert last == 4999 * 10**7
    assert last - first < 4 * 10**9


def test_chains_equal_pytransform3d_at_the_samples():
    manager = pytest.importorskip("pytransform3d.transform_manager").TransformManager()
    rng = np.random.default_rng(0)
    found = TransformBuffer()
    frames = ["map", "odom", "base", "mast", "cam"]
    for parent, child in itertools.pairwise(frames):
        T = from_translation_quaternion(rng.normal(size=3), rng.normal(size=4))
        found.add(parent, child, 10**9, T)
        manager.add_transform(child, parent, T)
    ours = found.lookup("odom", "cam", 10**9)
    assert np.allclose(ours, manager.get_transform("cam", "odom"), atol=1e-12)


def test_the_example_rig_looks_where_it_says(tmp_path):
    path = Path(__file__).parent.parent.parent / "calib" / "example_rig.yaml"
    rig = load_rig(path)
    looks = {name: cam.T_base_camera[:3, 2].round(6).tolist() for name, cam in rig.cameras.items()}
    assert looks == {"front": [1, 0, 0], "left": [0, 1, 0], "back": [-1, 0, 0], "right": [0, -1, 0]}
    for cam in rig.cameras.values():
        assert cam.T_base_camera[:3, 1] == pytest.approx((0, 0, -1))
    bent = tmp_path / "rig.yaml"
    bent.write_text(path.read_text().replace("T_base_camera: {", "T_camera_base: {", 1))
    with pytest.raises(CalibrationError, match=r"cameras\.front.*T_camera_base"):
        load_rig(bent)
