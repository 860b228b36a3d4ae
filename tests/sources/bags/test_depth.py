"""What depth is, in which unit, and how it comes over the picture: never assumed."""

import struct

import cv2
import numpy as np
import pytest

from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.camera import register_depth, scaled_to
from oryx_scene.geometry.rig import load_rig
from oryx_scene.records import Intrinsics
from oryx_scene.sources.bags.decode import depth_from_samples
from oryx_scene.sources.bags.depth import same_rays
from oryx_scene.sources.bags.index import ImageTopic
from oryx_scene.sources.bags.pairing import role_of
from oryx_scene.sources.bags.topics import depth_topic, named_kind
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

SECOND = 1_000_000_000
K = np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]])
CAMERA = Intrinsics(K, 60, 80)
GREY = np.full((60, 80, 3), 90, np.uint8)


def wall(far=1.2, near=0.6):
    """A wall with a post at columns 40 to 49, metres."""
    z = np.full((60, 80), far, np.float32)
    z[20:40, 40:50] = near
    return z


def steps(z, unit_m=0.001):
    return np.rint(z / unit_m).astype("<u2")


def raw_image(writer, topic, stamp, frame_id, pixels, encoding):
    message = writer.type("sensor_msgs/msg/Image")(
        header=writer.header(stamp, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=np.ascontiguousarray(pixels).view(np.uint8).reshape(-1),
    )
    writer.write(topic, "sensor_msgs/msg/Image", stamp, message)


def color(writer, topic="/camera/color/image_raw", stamp=SECOND, frame_id="cam"):
    base = topic.rsplit("/", 1)[0]
    writer.add_camera_info(f"{base}/camera_info", stamp, frame_id, CAMERA)
    writer.add_image(topic, stamp, frame_id, GREY)


def only_frame(path, **options):
    source = open_source(path, **options)
    assert len(source.cameras) == 1, source.cameras
    return source, source.load(source.stubs()[0])


def codes(warnings):
    return {item.code for item in warnings}


@pytest.mark.parametrize(
    ("topic", "msgtype", "encoding", "png16", "kind"),
    [
        ("/cam/depth/image", "Image", "16UC1", False, "depth"),
        ("/cam/depth/image", "Image", "32FC1", False, "depth"),
        ("/cam/depth/image", "Image", "mono16", False, "depth"),
        ("/cam/gray/image", "Image", "mono16", False, "picture"),
        ("/cam/image", "Image", "16UC1", False, "depth"),
        ("/cam/ir/image_raw", "Image", "16UC1", False, ""),
        ("/cam/infra1/image_rect_raw", "Image", "16UC1", False, ""),
        ("/kinect2/hd/image_ir", "Image", "16UC1", False, ""),
        ("/zed/confidence/confidence_map", "Image", "32FC1", False, ""),
        ("/depth_camera/confidence/image", "Image", "32FC1", False, ""),
        ("/cam/depth/labels", "Image", "16UC1", False, ""),
        ("/thermal/image_raw", "Image", "16UC1", False, ""),
        ("/cam/aligned_depth_to_infra1/image_raw", "Image", "16UC1", False, "depth"),
        ("/ir_camera/depth/image", "Image", "16UC1", False, "depth"),
        ("/cam/depth/image/compressed", "CompressedImage", "16UC1; png compressed ", True, "depth"),
        ("/cam/depth/image/compressed", "CompressedImage", "png", True, "depth"),
        (
            "/cam/depth/image/compressed",
            "CompressedImage",
            "mono16; png compressed ",
            True,
            "depth",
        ),
        ("/cam/gray/image/compressed", "CompressedImage", "png", True, "picture"),
        ("/cam/depth/image/compressed", "CompressedImage", "16UC1; jpeg compressed ", False, ""),
        (
            "/cam/depth/image/compressedDepth",
            "CompressedImage",
            "32FC1; compressedDepth png",
            False,
            "depth",
        ),
        (
            "/cam/image/compressed",
            "CompressedImage",
            "rgb8; jpeg compressed bgr8",
            False,
            "picture",
        ),
    ],
)
def test_what_a_topic_is_taken_for(topic, msgtype, encoding, png16, kind):
    found = ImageTopic(topic, f"sensor_msgs/msg/{msgtype}", encoding=encoding, png16=png16)
    assert role_of(found, None).kind == kind


def test_the_component_nearest_the_end_says_what_a_topic_shows():
    assert named_kind("/depth_camera/rgb/image_raw") == "color"
    assert named_kind("/rgb_camera/depth/image_raw") == "depth"
    assert named_kind("/depth/ir/image") == "other"
    assert named_kind("/device_0/sensor_0/Infrared_1/image/data") == "other"
    assert named_kind("/front/image_raw") == ""


def test_depth_and_colour_of_one_camera_find_each_other_by_name():
    hd = "/kinect2/hd/image_depth_rect"
    others = [hd, "/kinect2/sd/image_depth_rect"]
    assert (
        depth_topic("/kinect2/hd/image_color_rect", others, ["/kinect2/hd/image_color_rect"]) == hd
    )
    aligned = "/camera/aligned_depth_to_color/image_raw"
    several = [aligned, "/camera/depth/image_rect_raw", "/camera/aligned_depth_to_infra1/image_raw"]
    assert depth_topic("/camera/color/image_raw", several, ["/camera/color/image_raw"]) == aligned


@pytest.mark.parametrize("text", ["16UC1; png compressed ", "png", "16UC1; compressedDepth png"])
def test_depth_as_png_is_the_depth_of_its_camera(tmp_path, text):
    suffix = "compressedDepth" if "Depth" in text else "compressed"
    png = cv2.imencode(".png", steps(wall()))[1].tobytes()
    with BagWriter(tmp_path / "bag") as writer:
        color(writer)
        writer.add_camera_info("/camera/depth/camera_info", SECOND, "cam", CAMERA)
        header = struct.pack("<iff", 0, 0, 0) if suffix == "compressedDepth" else b""
        topic = f"/camera/depth/image_rect_raw/{suffix}"
        writer.add_compressed(topic, SECOND, "cam", header + png, text)
    _, frame = only_frame(tmp_path / "bag")
    assert np.allclose(frame.depth, wall())


def test_depth_as_jpeg_is_neither_depth_nor_a_camera(tmp_path):
    jpeg = cv2.imencode(".jpg", GREY)[1].tobytes()
    with BagWriter(tmp_path / "bag") as writer:
        color(writer)
        topic = "/camera/depth/image_raw/compressed"
        writer.add_compressed(topic, SECOND, "cam", jpeg, "16UC1; jpeg compressed ")
    source, frame = only_frame(tmp_path / "bag")
    assert frame.depth is None
    assert "depth_lossy" in codes(source.warnings)


def test_infrared_is_not_depth_and_depth_of_no_camera_is_named(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        color(writer, "/front/color/image_raw", frame_id="front")
        color(writer, "/rear/color/image_raw", frame_id="rear")
        writer.add_depth("/top/depth/image_raw", SECOND, "top", wall())
        raw_image(writer, "/front/ir/image_raw", SECOND, "front", steps(wall()), "16UC1")
    source = open_source(tmp_path / "bag")
    assert source.cameras == ("front", "rear")
    assert all(frame.depth is None for frame in source.frames())
    said = {item.topic: item.code for item in source.warnings}
    assert said["/top/depth/image_raw"] == "depth_unused"
    assert said["/front/ir/image_raw"] == "image_topic_unused"


def test_a_rig_says_what_a_topic_is(tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text("roles:\n  /camera/ir/image_raw: depth\n  /camera/depth/image_raw: ignored\n")
    with BagWriter(tmp_path / "bag") as writer:
        color(writer)
        for name in ("ir", "depth"):
            writer.add_camera_info(f"/camera/{name}/camera_info", SECOND, "cam", CAMERA)
        raw_image(writer, "/camera/ir/image_raw", SECOND, "cam", steps(wall(1.5)), "16UC1")
        writer.add_depth("/camera/depth/image_raw", SECOND, "cam", wall(0.9))
    _, frame = only_frame(tmp_path / "bag", rig=rig)
    assert frame.depth[0, 0] == pytest.approx(1.5)
    rig.write_text("roles: {/camera/ir: distances}\n")
    with pytest.raises(CalibrationError, match=r"roles\./camera/ir"):
        load_rig(rig)


# -- unit and unknown ------------------------------------------------------------------------------


def sdk_bag(path, unit=None, own=((0, 0, 0), (0, 0, 0)), unit_of="/device_0/sensor_0"):
    """Topics as a RealSense SDK recording has them; translations of colour and depth streams."""
    with BagWriter(path) as writer:
        if unit is not None:
            value = writer.type("std_msgs/msg/Float32")(unit)
            writer.write(f"{unit_of}/option/Depth Units/value", "std_msgs/msg/Float32", 1, value)
        for stream, t in zip(("sensor_1/Color_0", "sensor_0/Depth_0"), own, strict=True):
            geometry = {
                name: writer.type(f"geometry_msgs/msg/{name}")
                for name in ("Transform", "Vector3", "Quaternion")
            }
            place = geometry["Transform"](
                geometry["Vector3"](*map(float, t)), geometry["Quaternion"](0.0, 0.0, 0.0, 1.0)
            )
            writer.write(f"/device_0/{stream}/tf/0", "geometry_msgs/msg/Transform", 1, place)
            writer.add_camera_info(f"/device_0/{stream}/info/camera_info", SECOND, "0", CAMERA)
        writer.add_image("/device_0/sensor_1/Color_0/image/data", SECOND, "0", GREY)
        raw_image(
            writer, "/device_0/sensor_0/Depth_0/image/data", SECOND, "0", steps(wall()), "mono16"
        )
    return path


@pytest.mark.parametrize(
    ("unit", "of", "expected"),
    [
        (0.001, "/device_0/sensor_0", 1.2),
        (0.0001, "/device_0/sensor_0", 0.12),
        (0.00025, "/device_0/sensor_0", 0.3),
        # The option of another sensor is not this one's.
        (0.0001, "/device_0/sensor_2", 1.2),
        (None, "", 1.2),
    ],
)
def test_the_depth_unit_of_the_sensor_counts(tmp_path, unit, of, expected):
    _, frame = only_frame(sdk_bag(tmp_path / "bag", unit, unit_of=of))
    assert frame.depth[0, 0] == pytest.approx(expected, rel=1e-6)


def test_an_impossible_depth_unit_is_refused_and_a_rig_helps(tmp_path):
    bag = sdk_bag(tmp_path / "bag", 0.0)
    source, frame = only_frame(bag)
    assert frame.depth is None
    assert "depth_unit_m" in next(w for w in frame.warnings if w.code == "depth_left_out").advice
    rig = tmp_path / "rig.yaml"
    rig.write_text(f"cameras:\n  {source.cameras[0]}: {{depth_unit_m: 0.0005, depth_scale: 1.5}}\n")
    _, frame = only_frame(bag, rig=rig)
    assert frame.depth[0, 0] == pytest.approx(1.2 * 0.5 * 1.5)
    rig.write_text("cameras:\n  a: {depth_unit_m: 0}\n")
    with pytest.raises(CalibrationError, match=r"cameras\.a\.depth_unit_m"):
        load_rig(rig)


def test_vendor_extrinsics_lead_from_depth_to_colour(tmp_path):
    # Reference -> stream for each: the depth camera stands 0.08 m right of the colour camera.
    bag = sdk_bag(tmp_path / "bag", own=((0.1, 0, 0), (0.02, 0, 0)))
    _, frame = only_frame(bag)
    # 60 px * 0.08 m / 0.6 m: the post lies 8 px further right in the colour picture.
    assert frame.depth[30, 57] == pytest.approx(0.6)
    assert frame.depth[30, 47] != pytest.approx(0.6)


def test_the_largest_16_bit_number_is_no_distance():
    samples = np.array([[0, 1, 65534, 65535]], np.uint16)
    found = depth_from_samples(samples, 0.0001)
    assert np.isnan(found[0, [0, 3]]).all()
    assert found[0, [1, 2]] == pytest.approx([0.0001, 6.5534])
    # In metres it is one like any other.
    assert depth_from_samples(np.array([[65535.0]], np.float32))[0, 0] == 65535.0


# -- over the picture ------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_ms", "used"), [(20, True), (21, False), (-20, True), (-50, False)])
def test_depth_of_another_moment_is_left_out(tmp_path, late_ms, used):
    with BagWriter(tmp_path / "bag") as writer:
        color(writer)
        writer.add_camera_info("/camera/depth/camera_info", SECOND, "cam", CAMERA)
        stamp = SECOND + late_ms * 1_000_000
        writer.add_depth("/camera/depth/image_raw", stamp, "cam", wall())
    _, frame = only_frame(tmp_path / "bag")
    assert (frame.depth is not None) is used
    assert ("depth_late" in codes(frame.warnings)) is not used


def depth_bag(path, z, *, info=None, topic="/camera/depth/image_raw", frame_id="cam"):
    with BagWriter(path) as writer:
        color(writer)
        if info is not None:
            writer.add_camera_info("/camera/depth/camera_info", SECOND, frame_id, info)
        writer.add_depth(topic, SECOND, frame_id, z)
    return path


def test_depth_of_another_size_is_registered_by_its_own_K(tmp_path):
    half = scaled_to(CAMERA, 30, 40)
    _, frame = only_frame(depth_bag(tmp_path / "bag", wall()[::2, ::2], info=half))
    assert frame.depth.shape == (60, 80)
    assert frame.depth[30, 45] == pytest.approx(0.6)
    assert frame.depth[5, 5] == pytest.approx(1.2)
    assert "depth_scaled" not in codes(frame.warnings)


def test_depth_of_another_size_is_scaled_where_the_fields_of_view_are_equal(tmp_path):
    small = wall()[::2, ::2]
    # Of the colour camera's own optical frame, or with a calibration of the full size.
    _, frame = only_frame(depth_bag(tmp_path / "frame", small))
    assert frame.depth[30, 45] == pytest.approx(0.6)
    assert "depth_scaled" in codes(frame.warnings)
    _, frame = only_frame(depth_bag(tmp_path / "info", small, info=CAMERA))
    assert frame.depth[30, 45] == pytest.approx(0.6)
    assert "depth_scaled" in codes(frame.warnings)


def test_a_rigs_lens_is_that_of_depth_which_lies_over_the_picture(tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text(
        "cameras:\n  camera:\n    image_width: 80\n    image_height: 60\n"
        "    camera_matrix: {data: [50, 0, 39.5, 0, 50, 29.5, 0, 0, 1]}\n"
    )
    bag = depth_bag(tmp_path / "bag", wall(), info=CAMERA)
    _, frame = only_frame(bag, rig=rig)
    assert frame.intrinsics.K[0, 0] == 50.0
    assert np.array_equal(frame.depth, wall())


@pytest.mark.parametrize("info", [None, CAMERA])
def test_depth_of_another_aspect_ratio_is_refused(tmp_path, info):
    _, frame = only_frame(depth_bag(tmp_path / "bag", wall()[::2], info=info))
    assert frame.depth is None
    assert "depth_left_out" in codes(frame.warnings)


def test_depth_of_another_frame_without_calibration_or_transform_is_refused(tmp_path):
    _, frame = only_frame(depth_bag(tmp_path / "a", wall(), frame_id="depth_cam"))
    assert frame.depth is None
    _, frame = only_frame(depth_bag(tmp_path / "b", wall(), info=CAMERA, frame_id="depth_cam"))
    assert frame.depth is None
    assert any("no transform" in item.text for item in frame.warnings)


def test_depth_through_another_lens_is_registered_though_K_is_the_same(tmp_path):
    barrel = Intrinsics(K, 60, 80, "plumb_bob", np.array([-0.3, 0.0, 0.0, 0.0, 0.0]))
    z = np.full((60, 80), 1.2, np.float32)
    z[:, 65:70] = 0.6
    _, frame = only_frame(depth_bag(tmp_path / "bag", z, info=barrel))
    # r - 0.3 r^3 is 25.5 / 60 at r = 27.1 / 60 and 29.5 / 60 at r = 32.1 / 60.
    near = np.flatnonzero(np.isclose(frame.depth[30], 0.6))
    assert (near[0], near[-1]) == (67, 72)


def test_when_two_cameras_give_each_pixel_one_ray():
    def lens(k1, model="plumb_bob", focal=60.0, size=(60, 80)):
        bent = K * [[focal / 60], [1], [1]]
        return Intrinsics(bent, *size, model, np.array([k1, 0.0, 0.0, 0.0]))

    assert same_rays(lens(-0.1), lens(-0.1))
    assert not same_rays(lens(-0.1), lens(-0.11))
    assert not same_rays(lens(-0.1), lens(-0.1, "equidistant"))
    assert not same_rays(lens(-0.1), lens(-0.1, focal=61.0))
    assert not same_rays(lens(-0.1), lens(-0.1, size=(60, 81)))


@pytest.mark.parametrize("order", [(1.0, 2.0), (2.0, 1.0)])
def test_of_two_depths_in_one_pixel_the_nearer_is_seen(order):
    fine = Intrinsics(np.array([[4.0, 0, 1.5], [0, 4.0, 0.5], [0, 0, 1]]), 2, 4)
    depth = np.full((2, 4), 3.0, np.float32)
    depth[:, 0], depth[:, 1] = order
    seen = register_depth(depth, fine, np.eye(4), scaled_to(fine, 1, 2))
    assert seen.tolist() == [[1.0, 3.0]]
