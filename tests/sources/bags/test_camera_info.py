"""Every field of a CameraInfo that moves a ray or a camera is used, in bags and live alike."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.camera import project
from oryx_scene.geometry.transforms import from_translation_rpy, invert
from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.camera_info import (
    CameraModel,
    Named,
    camera_model,
    numbers_of,
    place_cameras,
)
from oryx_scene.sources.bags.messages import same_picture
from oryx_scene.sources.bags.topics import is_rectified
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

SECOND = 1_000_000_000
LENSES = {
    "plumb_bob": [(-0.3, 0.3), (-0.1, 0.1), (-2e-3, 2e-3), (-2e-3, 2e-3), (-0.02, 0.02)],
    "rational_polynomial": [(-0.1, 0.1)] * 2 + [(-2e-3, 2e-3)] * 2 + [(-0.02, 0.02)] * 4,
    "equidistant": [(-0.05, 0.05), (-0.02, 0.02), (-0.005, 0.005), (-0.001, 0.001)],
}


def message(
    K, P, D=(), model="plumb_bob", R=None, roi=(0, 0, 0, 0), binning=(0, 0), size=(480, 640)
):
    """A sensor_msgs/CameraInfo as rosbags and rclpy give it; roi is (x, y, height, width)."""
    return SimpleNamespace(
        header=SimpleNamespace(frame_id="cam"),
        height=size[0],
        width=size[1],
        distortion_model=model,
        k=np.asarray(K, float).ravel(),
        d=np.asarray(D, float),
        r=(np.eye(3) if R is None else np.asarray(R)).ravel(),
        p=np.asarray(P, float).ravel(),
        binning_x=binning[0],
        binning_y=binning[1],
        roi=SimpleNamespace(
            x_offset=roi[0], y_offset=roi[1], height=roi[2], width=roi[3], do_rectify=False
        ),
    )


def bent(model, D, x, y):
    """The formulas of OpenCV's documentation, written out once more."""
    r2 = x * x + y * y
    if model == "equidistant":
        theta = np.arctan(np.sqrt(r2))
        bent = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(D)))
        scale = bent / np.sqrt(r2) if r2 > 1e-16 else 1.0
        return x * scale, y * scale
    k1, k2, p1, p2, k3, k4, k5, k6 = (*D, 0, 0, 0)[:8]
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def by_message(info, topic, point, R_first, stereo):
    """Pixel of a point (3,) of the optical frame that frame_id names, after REP 104.

    ``stereo``: frame_id is the first camera's of a pair, as P has it, turned by ``R_first``.
    """
    K, P, R = info.k.reshape(3, 3), info.p.reshape(3, 4), info.r.reshape(3, 3)
    if "rect" in topic:
        turned = (R_first if stereo else R) @ point
        u, v, w = P[:, :3] @ turned + P[:, 3] * stereo
        u, v = u / w, v / w
    else:
        if stereo:
            turned = R_first @ point
            shift = np.array([P[0, 3] / P[0, 0], P[1, 3] / P[1, 1], 0])
            point = R.T @ (turned + shift)
        x, y = bent(info.distortion_model, info.d, point[0] / point[2], point[1] / point[2])
        u = K[0, 0] * x + K[0, 1] * y + K[0, 2]
        v = K[1, 1] * y + K[1, 2]
    # As image_geometry::PinholeCameraModel: the window first, then binning.
    u, v = u - info.roi.x_offset, v - info.roi.y_offset
    return np.array([u / max(1, info.binning_x), v / max(1, info.binning_y)])


@st.composite
def infos(draw):
    model = draw(st.sampled_from(list(LENSES)))
    D = [draw(st.floats(*limits)) for limits in LENSES[model]]
    focal = st.floats(200, 900)
    K = [[draw(focal), draw(st.floats(-2, 2)), draw(st.floats(250, 390))]]
    K += [[0, draw(focal), draw(st.floats(180, 300))], [0, 0, 1]]
    f = draw(focal)
    baseline = draw(st.sampled_from([0.0, 0.12, -0.3]))
    P = np.array([[f, 0, draw(st.floats(250, 390)), -f * baseline], [0, f, 240, 0], [0, 0, 1, 0]])
    turns = st.floats(-0.05, 0.05)
    R, R_first = (from_translation_rpy((0, 0, 0), [draw(turns)] * 3)[:3, :3] for _ in range(2))
    roi = draw(st.sampled_from([(0, 0, 0, 0), (16, 8, 400, 600), (32, 64, 0, 0)]))
    binning = draw(st.sampled_from([(0, 0), (1, 1), (2, 2), (4, 2)]))
    return message(K, P, D, model, R, roi, binning), R_first


@settings(deadline=None, max_examples=300)
@given(
    infos(),
    st.sampled_from(["/cam/image_raw", "/cam/image_rect_color"]),
    st.booleans(),
    st.tuples(st.floats(-0.4, 0.4), st.floats(-0.3, 0.3), st.floats(0.5, 5.0)),
)
def test_a_point_has_the_pixel_that_the_message_says(found, topic, stereo, direction):
    info, R_first = found
    point = np.array([direction[0] * direction[2], direction[1] * direction[2], direction[2]])
    model = camera_model(info, "cam", topic)
    first = CameraModel(
        model.intrinsics, True, np.block([[R_first, np.zeros((3, 1))], [0, 0, 0, 1]]), (0, 0)
    )
    T = model.shared_place(first) if stereo else model.own_place()
    local = invert(T) @ [*point, 1.0]
    pixel = project(model.intrinsics, local[None, :3])[0]
    assert np.allclose(pixel, by_message(info, topic, point, R_first, stereo), atol=1e-6)


def test_the_size_follows_window_and_binning():
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    P = np.column_stack([K, np.zeros(3)])
    info = message(K, P, roi=(100, 60, 300, 400), binning=(2, 3))
    found = camera_model(info, "cam", "/cam/image_raw").intrinsics
    assert (found.height, found.width) == (100, 200)
    assert found.K.tolist() == [[250, 0, 110], [0, 500 / 3, 60], [0, 0, 1]]
    rest = camera_model(message(K, P, roi=(100, 60, 0, 0)), "cam", "/cam/image_raw").intrinsics
    assert (rest.height, rest.width) == (420, 540)


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("/cam/image_rect", True),
        ("/cam/image_rect_color/compressed", True),
        ("/kinect2/hd/image_color_rect", True),
        ("/camera/depth/image_rect_raw", True),
        ("/left/rectified", True),
        ("/cam/image_raw", False),
        ("/rect/image_raw", False),
        ("/cam/image_unrectified", False),
        ("/cam/direct", False),
    ],
)
def test_which_pictures_are_rectified(topic, said):
    assert is_rectified(topic) is said


def test_a_rectified_picture_without_P_is_refused_unless_the_lens_is_straight():
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    with pytest.raises(CalibrationError, match="no P"):
        camera_model(message(K, np.zeros((3, 4)), [-0.1, 0, 0, 0, 0]), "cam", "/cam/image_rect")
    straight = camera_model(message(K, np.zeros((3, 4))), "cam", "/cam/image_rect")
    assert np.array_equal(straight.intrinsics.K, K)


def test_anything_after_the_header_makes_a_new_calibration():
    K = np.eye(3)
    P = np.zeros((3, 4))
    base = numbers_of(message(K, P))
    assert numbers_of(message(K, P)) == base
    changed = [
        message(K, P, [0.1]),
        message(K, P, model="equidistant"),
        message(K, P + 1),
        message(K, P, R=np.diag([1, -1, -1])),
        message(K, P, roi=(1, 0, 0, 0)),
        message(K, P, binning=(2, 0)),
        message(K, P, size=(481, 640)),
        message(2 * K, P),
    ]
    assert len({numbers_of(item) for item in changed} | {base}) == 9


def stands(**cameras):
    """Placed by name from (topic, frame_id, baseline); no two show the same picture."""
    K = Intrinsics(np.eye(3), 4, 4)
    named = {
        name: Named(topic, frame, CameraModel(K, True, np.eye(4), (baseline, 0.0)))
        for name, (topic, frame, baseline) in cameras.items()
    }
    return place_cameras(named, lambda a, b: False)


def test_the_right_camera_of_one_frame_stands_beside_the_left():
    found = stands(left=("/s/left/image_rect", "s", 0.0), right=("/s/right/image_rect", "s", 0.12))
    assert (found["left"].first, found["right"].first) == ("", "left")
    # Of its own frame it stands there, whatever P says.
    own = stands(left=("/s/left/image_rect", "l", 0.0), right=("/s/right/image_rect", "r", 0.12))
    assert (own["right"].first, own["right"].unknown) == ("", "")


def test_a_right_camera_alone_goes_by_the_names_or_not_at_all():
    of_left = stands(right=("/stereo/right/image_rect", "left_optical_frame", 0.12))["right"]
    assert of_left.first and not of_left.unknown
    own = stands(right=("/stereo/right/image_rect", "right_optical_frame", 0.12))["right"]
    assert (own.first, own.unknown) == ("", "")
    infra = stands(ir=("/camera/infra2/image_rect", "camera_infra2_optical_frame", 0.05))["ir"]
    assert (infra.first, infra.unknown) == ("", "")
    assert "0.120 m" in stands(cam=("/cam/image_rect", "optical", 0.12))["cam"].unknown


def test_two_cameras_with_one_frame_id_have_no_place_but_one_picture_twice_has():
    two = stands(front=("/front/image_raw", "camera", 0.0), rear=("/rear/image_raw", "camera", 0.0))
    assert "'front', 'rear' have one frame_id" in two["front"].unknown
    assert two["rear"].unknown
    zed = stands(raw=("/zed/left_raw/image_raw", "l", 0.0), rect=("/zed/left/image_rect", "l", 0.0))
    assert not zed["raw"].unknown
    same = stands(raw=("/cam/image_raw", "camera", 0.0), rect=("/cam/image_rect", "camera", 0.0))
    assert not same["raw"].unknown
    K = Intrinsics(np.eye(3), 4, 4)
    model = CameraModel(K, False, np.eye(4), (0.0, 0.0))
    named = {name: Named(f"/{name}/image", "camera", model) for name in ("cam", "copy")}
    assert not place_cameras(named, lambda a, b: True)["cam"].unknown
    sides = {name: Named(f"/{name}/image", "camera", model) for name in ("left", "right")}
    assert place_cameras(sides, lambda a, b: True)["left"].unknown


def test_one_picture_is_known_again_after_processing():
    rng = np.random.default_rng(3)
    picture = cv2.resize(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8), (160, 120))
    darker = (cv2.resize(picture, (80, 60)) * 0.7).astype(np.uint8)
    assert same_picture(picture, darker)
    assert not same_picture(picture, picture[::-1])


# -- whole bags ------------------------------------------------------------------------------------

K = np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]])
GREY = np.full((60, 80, 3), 90, np.uint8)


def put_info(
    writer, topic, stamp, frame_id, K, *, P=None, D=(), model="plumb_bob", R=None, size=(60, 80)
):
    P = np.column_stack([K, np.zeros(3)]) if P is None else P
    kind = writer.type("sensor_msgs/msg/CameraInfo")
    roi = writer.type("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
    info = kind(
        header=writer.header(stamp, frame_id),
        height=size[0],
        width=size[1],
        distortion_model=model,
        d=np.asarray(D, float),
        k=np.asarray(K, float).ravel(),
        r=(np.eye(3) if R is None else R).ravel(),
        p=np.asarray(P, float).ravel(),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
    writer.write(topic, "sensor_msgs/msg/CameraInfo", stamp, info)


def codes(warnings):
    return {item.code for item in warnings}


def test_a_lens_that_changes_within_a_bag_is_taken_over(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for index, D in enumerate([(), (), (-0.3, 0.1, 0, 0, 0)]):
            put_info(writer, "/cam/camera_info", (index + 1) * SECOND, "cam", K, D=D)
            writer.add_image("/cam/image_raw", (index + 1) * SECOND, "cam", GREY)
    models = [frame.intrinsics.distortion_model for frame in open_source(tmp_path / "bag").frames()]
    assert models == ["none", "none", "plumb_bob"]


def stereo_bag(path, depth=1.2, baseline=0.1):
    """Two rectified cameras of one frame_id, and the left one's depth: a wall with a post."""
    z = np.full((60, 80), depth, np.float32)
    z[20:40, 40:50] = 0.6
    P = np.column_stack([K, [-60.0 * baseline, 0, 0]])
    left, right = GREY.copy(), GREY[:, ::-1].copy()
    left[:, :20], right[:30] = 200, 30
    with BagWriter(path) as writer:
        writer.add_transform("map", "stereo", SECOND, np.eye(4))
        put_info(writer, "/s/left/camera_info", SECOND, "stereo", K)
        put_info(writer, "/s/right/camera_info", SECOND, "stereo", K, P=P)
        writer.add_image("/s/left/image_rect_color", SECOND, "stereo", left)
        writer.add_image("/s/right/image_rect_color", SECOND, "stereo", right)
        put_info(writer, "/s/left/depth/camera_info", SECOND, "stereo", K)
        writer.add_depth("/s/left/depth/image_raw", SECOND, "stereo", z)
    return path


def test_a_stereo_pair_of_one_frame_has_two_places_and_its_depth_moves_along(tmp_path):
    frames = {frame.camera: frame for frame in open_source(stereo_bag(tmp_path / "bag")).frames()}
    assert frames["left"].T_fixed_camera[:3, 3].tolist() == [0, 0, 0]
    assert frames["right"].T_fixed_camera[:3, 3] == pytest.approx([0.1, 0, 0])
    assert frames["left"].depth[30, 45] == pytest.approx(0.6)
    # 60 px * 0.1 m / 0.6 m: the post stands 10 px further left in the right picture.
    assert frames["right"].depth[30, 35] == pytest.approx(0.6)
    assert frames["right"].depth[30, 49] == pytest.approx(1.2)


def pair_bag(path, names, frame_ids, shift=(-6.0, 0.0), last="image_rect", only=(0, 1)):
    """Two cameras 0.1 m apart; ``shift`` is P's fourth column of the second."""
    with BagWriter(path) as writer:
        for index, frame_id in enumerate(dict.fromkeys(frame_ids)):
            T = np.eye(4)
            T[0, 3] = 0.1 * index
            writer.add_transform("map", frame_id, SECOND, T)
        for index in only:
            P = np.column_stack([K, [shift[0] * index, shift[1] * index, 0]])
            picture = np.ascontiguousarray(np.roll(np.indices((60, 80))[1] * 3, 40 * index, 1))
            rgb = np.repeat(picture.astype(np.uint8)[..., None], 3, axis=2)
            put_info(writer, f"{names[index]}/camera_info", SECOND, frame_ids[index], K, P=P)
            writer.add_image(f"{names[index]}/{last}", SECOND, frame_ids[index], rgb)
    return open_source(path)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, (0.1, 0, 0)),
        ({"last": "image_raw"}, (0.1, 0, 0)),
        ({"frame_ids": ("left_optical", "right_optical")}, (0.1, 0, 0)),
        ({"shift": (0.0, -12.0)}, (0, 0.2, 0)),
        ({"frame_ids": ("left_optical", "left_optical"), "only": (1,)}, (0.1, 0, 0)),
        ({"names": ("/cam/infra1", "/cam/infra2")}, (0.1, 0, 0)),
        # Nothing tells whose frame it is, or how the two stand to each other.
        ({"names": ("/a", "/b"), "only": (1,)}, None),
        ({"shift": (0.0, 0.0)}, None),
    ],
)
def test_where_the_second_camera_of_a_pair_stands(tmp_path, change, place):
    given = {"names": ("/s/left", "/s/right"), "frame_ids": ("opt", "opt"), **change}
    source = pair_bag(tmp_path / "bag", **given)
    second = next(stub for stub in source.stubs() if given["names"][1] in stub.topic)
    T = source.pose(second)
    if place is None:
        assert T is None
        assert codes(source.load(second).warnings) == {"frame_id_shared"}
    else:
        assert T[:3, 3] == pytest.approx(place)


def test_a_P_that_changes_alone_is_taken_over(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for index, focal in enumerate([50.0, 50.0, 55.0]):
            P = np.column_stack([K * [[focal / 60], [focal / 60], [1]], np.zeros(3)])
            put_info(writer, "/cam/camera_info", (index + 1) * SECOND, "cam", K, P=P)
            writer.add_image("/cam/image_rect", (index + 1) * SECOND, "cam", GREY)
    found = [frame.intrinsics.K[0, 0] for frame in open_source(tmp_path / "bag").frames()]
    assert found == [50.0, 50.0, 55.0]


def test_a_rig_parts_two_cameras_that_share_a_frame_id(tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text(
        "cameras:\n"
        "  left: {T_base_camera: {xyz: [0, 0.05, 1], rpy: [0, 0, 0]}}\n"
        "  right: {T_base_camera: {xyz: [0, -0.05, 1], rpy: [0, 0, 0]}}\n"
    )
    bag = stereo_bag(tmp_path / "bag")
    source = open_source(bag, rig=rig, fixed_frame="base_link")
    places = {frame.camera: frame.T_fixed_camera[:3, 3].tolist() for frame in source.frames()}
    assert places == {"left": [0, 0.05, 1], "right": [0, -0.05, 1]}


@pytest.mark.parametrize(("topic", "focal"), [("image_raw", 60.0), ("image_rect", 50.0)])
def test_a_rigs_projection_matrix_is_that_of_rectified_pictures(tmp_path, topic, focal):
    rig = tmp_path / "rig.yaml"
    rig.write_text(
        "cameras:\n"
        "  cam:\n"
        "    image_width: 80\n"
        "    image_height: 60\n"
        "    camera_matrix: {data: [60, 0, 39.5, 0, 60, 29.5, 0, 0, 1]}\n"
        "    distortion_coefficients: {data: [-0.2, 0.0, 0.0, 0.0, 0.0]}\n"
        "    projection_matrix: {data: [50, 0, 39.5, 0, 0, 50, 29.5, 0, 0, 0, 1, 0]}\n"
    )
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_image(f"/cam/{topic}", SECOND, "cam", GREY)
    found = next(open_source(tmp_path / "bag", rig=rig).frames()).intrinsics
    assert found.K[0, 0] == focal
    assert (found.D.size == 0) is (topic == "image_rect")


def test_cameras_of_one_frame_id_are_left_without_places(tmp_path):
    rng = np.random.default_rng(0)
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_transform("map", "head_camera", SECOND, np.eye(4))
        for name in ("front", "rear"):
            picture = cv2.resize(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (80, 60))
            put_info(writer, f"/{name}/camera_info", SECOND, "head_camera", K)
            writer.add_image(f"/{name}/image_raw", SECOND, "head_camera", picture)
    for frame in open_source(tmp_path / "bag").frames():
        assert frame.T_fixed_camera is None
        assert codes(frame.warnings) == {"frame_id_shared"}


def test_a_camera_info_beside_another_picture_is_not_taken(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        put_info(writer, "/left/camera_info", SECOND, "left", K)
        writer.add_image("/left/image", SECOND, "left", GREY)
        writer.add_image("/right/image", SECOND, "right", GREY)
    found = {frame.camera: frame.intrinsics for frame in open_source(tmp_path / "bag").frames()}
    assert found["left"] is not None
    assert found["right"] is None
