"""A camera that is mounted turned: picture, depth, lens, boxes and pose turn as one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.config import MarksConfig
from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.camera import check_intrinsics, project
from oryx_scene.geometry.rig import Rig, load_rig, with_turns
from oryx_scene.geometry.transforms import from_translation_rpy, invert
from oryx_scene.geometry.turning import (
    T_camera_turned,
    published_frame_id,
    turned,
    turned_intrinsics,
    turned_pixels,
)
from oryx_scene.marks.detections.records import Detection
from oryx_scene.marks.detections.route import detection_finder
from oryx_scene.marks.detections.run_length import RunLengths
from oryx_scene.marks.detections.topic import DetectionTopic, SeenBox, SeenBoxes
from oryx_scene.records import Frame, Intrinsics, ViewSet
from oryx_scene.sources.bags.source import BagSource
from oryx_scene.sources.bags.writer import BagWriter

HEIGHT, WIDTH = 48, 64
TURNS = (90, 180, 270)
LENSES = {
    "none": (),
    "plumb_bob": (-0.21, 0.06, 0.012, -0.007, 0.01),
    "rational_polynomial": (
        *(0.3, -0.05, 0.004, -0.006, 0.01, 0.55, -0.02, 0.003),
        *(0.011, -0.004, -0.008, 0.002),
    ),
    "equidistant": (0.02, -0.01, 0.003, -0.001),
}


def camera(model="none", D=None, skew=0.0):
    K = np.array([[50.0, skew, 29.0], [0, 55.0, 25.5], [0, 0, 1]])
    D = LENSES[model] if D is None else D
    return check_intrinsics(Intrinsics(K, HEIGHT, WIDTH, model, np.array(D, float)), "front")


def a_frame(intrinsics, **rest):
    rng = np.random.default_rng(0)
    return Frame(
        **{
            "camera": "front",
            "stamp_ns": 5,
            "frame_id": "front_optical",
            "rgb": rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8),
            "sha256": "",
            "depth": rng.random((HEIGHT, WIDTH), dtype=np.float32) + 1,
            "labels": rng.integers(0, 9, (HEIGHT, WIDTH), dtype=np.int32),
            "intrinsics": intrinsics,
            "T_fixed_camera": from_translation_rpy([1, 2, 3], [0.3, -0.2, 2.0]),
            "fixed_frame": "map",
            **rest,
        }
    )


@given(
    degrees=st.sampled_from(TURNS),
    model=st.sampled_from(list(LENSES)),
    at=st.tuples(*[st.floats(-0.45, 0.45)] * 2, st.floats(0.5, 4.0)),
)
@settings(deadline=None)
def test_a_point_keeps_its_pixel_through_every_lens(degrees, model, at):
    point = np.array([[at[0] * at[2], at[1] * at[2], at[2], 1.0]])
    before = camera(model)
    after = turned_intrinsics(before, degrees, "front")
    own = (point @ invert(T_camera_turned(degrees)).T)[:, :3]
    wanted = turned_pixels(project(before, point[:, :3]), HEIGHT, WIDTH, degrees)
    assert np.allclose(project(after, own), wanted, atol=1e-9)


@pytest.mark.parametrize("degrees", TURNS)
def test_a_place_in_the_world_shows_the_same_pixel(degrees):
    frame = a_frame(camera("plumb_bob"))
    after = turned(frame, degrees)
    assert (after.intrinsics.height, after.intrinsics.width) == after.rgb.shape[:2]
    points = np.array([[x, y, 2.0, 1.0] for x in (-0.6, 0.1, 0.5) for y in (-0.5, 0.0, 0.4)])
    world = points @ frame.T_fixed_camera.T
    for one in world:
        seen = []
        for view in (frame, after):
            own = (invert(view.T_fixed_camera) @ one)[:3]
            u, v = np.rint(project(view.intrinsics, own[None])[0]).astype(int)
            seen.append((*view.rgb[v, u], view.depth[v, u], view.labels[v, u]))
        assert seen[0] == seen[1]
    assert after.turned_deg == degrees and published_frame_id(after) == "front_optical"
    assert after.frame_id == f"front_optical_turned_{degrees}"


def test_clockwise_is_clockwise():
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[0, 0] = 255
    assert turned(a_frame(None, rgb=rgb), 90).rgb[0, -1, 0] == 255
    assert turned(a_frame(None, rgb=rgb), 270).rgb[-1, 0, 0] == 255


@given(st.sampled_from(TURNS), st.sampled_from(list(LENSES)))
def test_turning_back_is_exact(degrees, model):
    frame = a_frame(camera(model))
    back = turned(turned(frame, degrees), 360 - degrees)
    assert np.array_equal(back.rgb, frame.rgb) and np.array_equal(back.depth, frame.depth)
    assert np.array_equal(back.intrinsics.K, frame.intrinsics.K)
    assert np.array_equal(back.intrinsics.D, frame.intrinsics.D)
    assert np.array_equal(back.T_fixed_camera, frame.T_fixed_camera)


TILTED = (*LENSES["rational_polynomial"], 0.02, -0.03)


def test_a_lens_that_cannot_be_turned_is_left_out_with_the_reason():
    for before in (camera(skew=0.4), camera("rational_polynomial", TILTED)):
        with pytest.raises(CalibrationError, match="cannot be turned by 90"):
            turned_intrinsics(before, 90, "front")
        after = turned(a_frame(before), 270)
        assert after.intrinsics is None
        assert [item.code for item in after.warnings] == ["calibration_unusable"]
        # Upside down both stay what they are.
        over = turned_intrinsics(before, 180, "front")
        points = np.array([[0.2, -0.1, 1.0], [-0.3, 0.25, 2.0]])
        wanted = turned_pixels(project(before, points), HEIGHT, WIDTH, 180)
        assert np.allclose(project(over, points * (-1, -1, 1)), wanted, atol=1e-9)


@pytest.mark.parametrize("degrees", TURNS)
def test_detections_turn_with_the_picture(degrees):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:25, 10:34] = True
    box = (10.0, 5.0, 33.0, 24.0)
    outline = np.array([[10, 5], [33, 5], [33, 24], [10, 24]], dtype=float)
    after = turned(a_frame(None), degrees)
    wanted = np.rot90(mask, -degrees // 90)
    for one in (
        Detection("front", 5, box),
        Detection("front", 5, box, polygons=(outline,)),
        Detection("front", 5, box, runs=RunLengths.of(mask)),
    ):
        assert np.array_equal(one.turned(after).mask(*after.rgb.shape[:2]), wanted)
        assert np.array_equal(one.mask(HEIGHT, WIDTH), mask)
    published = SeenBoxes("front_optical", 5, (SeenBox(box, "mug", 0.9),))
    (live,) = DetectionTopic([published]).of_frame(after)
    assert live.label == "mug" and np.array_equal(live.mask(*after.rgb.shape[:2]), wanted)
    after = turned(a_frame(camera(), depth=np.full((HEIGHT, WIDTH), 2, np.float32)), degrees)
    found = detection_finder([Detection("front", 5, box)])(ViewSet((after,)), MarksConfig(), "")
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    (seen,) = found.marks[0].observations
    # Marks are sought on a grid of their own.
    assert seen.bbox == pytest.approx((columns[0], rows[0], columns[-1], rows[-1]), abs=1.0)


def test_a_rig_file_says_it_and_a_parameter_wins(tmp_path):
    path = tmp_path / "rig.yaml"
    path.write_text("cameras:\n  front: {rotate_deg: 90, depth_scale: 2.0}\n")
    rig = load_rig(path)
    assert rig.cameras["front"].rotate_deg == 90
    assert with_turns(rig, {"front": 0}) is rig and with_turns(None, {"front": 0}) is None
    assert with_turns(None, {"front": 180}).cameras["front"].rotate_deg == 180
    both = with_turns(rig, {"front": 270, "left": 180}).cameras
    assert (both["front"].rotate_deg, both["front"].depth_scale) == (270, 2.0)
    assert both["left"].rotate_deg == 180
    for wrong in ("45", "-90", "90.0", "true", "'90'"):
        path.write_text(f"cameras:\n  front: {{rotate_deg: {wrong}}}\n")
        with pytest.raises(CalibrationError, match="one of 0, 90, 180, 270"):
            load_rig(path)


def test_a_recording_is_turned_by_its_rig(tmp_path):
    frame = a_frame(camera("plumb_bob"))
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_transform("map", "front_optical", 5, frame.T_fixed_camera)
        writer.add_camera_info("/front/camera_info", 5, "front_optical", frame.intrinsics)
        writer.add_image("/front/image_raw", 5, "front_optical", frame.rgb)
    rig = with_turns(Rig("base_link", {}), {"front": 90})
    source = BagSource(tmp_path / "bag", rig, "map")
    (found,) = source.frames()
    (plain,) = BagSource(tmp_path / "bag", None, "map").frames()
    wanted = turned(plain, 90)
    assert np.array_equal(found.rgb, wanted.rgb)
    assert np.array_equal(found.intrinsics.K, wanted.intrinsics.K)
    assert np.array_equal(found.intrinsics.D, wanted.intrinsics.D)
    assert np.array_equal(found.T_fixed_camera, wanted.T_fixed_camera)
    assert np.array_equal(source.pose(source.stubs()[0]), found.T_fixed_camera)
    assert found.sha256 == plain.sha256
    assert (found.turned_deg, found.frame_id) == (90, "front_optical_turned_90")
