"""Cameras as robots have them: QoS, several at once, lost, broken, compressed, depth and TF."""

import random
import time
from array import array

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from harness import (
    BEST_EFFORT,
    RELIABLE,
    camera_info,
    depth_image,
    image,
    time_of,
    transform,
    wait_until,
)
from oryx_scene_msgs.msg import Status
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.queries.query_handler import QueryStage
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from tf2_msgs.msg import TFMessage

MS = 10**6
OK, WARN = b"\x00", b"\x01"


def camera_status(robot, name="front"):
    """The camera's newest DiagnosticStatus."""
    found = robot.listen(DiagnosticArray, "/diagnostics", RELIABLE)
    wanted = f"/{robot.name}: camera {name}"

    def of_last():
        return [s for array in found[1:] for s in array.status if s.name == wanted]

    wait_until(of_last, "two diagnostics")
    return of_last()[-1]


@pytest.mark.parametrize("published", ["best_effort", "reliable"])
@pytest.mark.parametrize("subscribed", ["best_effort", "reliable", "best_available"])
def test_qos_fits_or_the_publisher_is_named(bench, published, subscribed):
    robot = bench(
        activate=False, image_reliability=subscribed, frame_wait_s=0.2, report_period_s=0.2
    )
    fits = subscribed != "reliable" or published == "reliable"
    qos = RELIABLE if published == "reliable" else BEST_EFFORT
    if subscribed == "best_available":
        # It looks at the publishers that are there when the node is activated.
        robot.caller.create_publisher(Image, "/front/image_raw", qos)
        wait_until(lambda: robot.node.count_publishers("/front/image_raw") == 1, "discovery")
    robot.transition("configure")
    robot.transition("activate")
    if fits:
        robot.publish("/front/image_raw", image(robot.now()), qos)
        wait_until(lambda: robot.received() > 0, "the picture")
        return
    robot.caller.create_publisher(Image, "/front/image_raw", qos)
    status = camera_status(robot)
    assert status.level == b"\x02"
    assert robot.caller.get_name() in status.message
    assert "reliab" in status.message.lower()
    assert robot.ask().error.code == Code.NO_FRAMES


def test_a_publisher_of_another_type_is_named(bench):
    robot = bench(report_period_s=0.2)
    # One DDS participant may not use a topic with two types: another one is needed.
    with rclpy.Context() as context:
        other = rclpy.create_node("other", context=context)
        other.create_publisher(CompressedImage, "/front/image_raw", RELIABLE)
        wait_until(lambda: robot.node.count_publishers("/front/image_raw") == 1, "discovery")
        status = camera_status(robot)
        other.destroy_node()
    assert status.level == b"\x02"
    assert "/other on /front/image_raw publishes sensor_msgs/msg/CompressedImage" in status.message


def test_nobody_publishing_is_said(bench):
    robot = bench(report_period_s=0.2, frame_wait_s=0.1)
    assert "nobody publishes /front/image_raw" in camera_status(robot).message
    answer = robot.ask()
    assert answer.error.code == Code.NO_FRAMES
    assert "/front/image_raw" in answer.error.message


def places(robot, camera="front"):
    """Level and message of the camera's diagnostics now, without waiting for a report."""
    node = robot.node
    found = node.reports._cameras.status(
        camera, node.feeds.cameras[camera], node.intake, node.parameters.settings(), node.now_ns()
    )
    return found.level, found.message


def test_diagnostics_say_what_no_place_can_be_known_without(bench):
    topic = "/front/aligned_depth_to_color/image_raw"
    robot = bench(camera__front__depth_topic=topic, report_period_s=0.2)
    stamp_ns = robot.show(height=120, width=160)
    assert places(robot) == (WARN, "no CameraInfo on /front/camera_info: answers have no 3D places")
    robot.publish("/front/camera_info", camera_info(stamp_ns, height=120, width=160))
    infos = robot.node.feeds.cameras["front"].infos
    wait_until(lambda: infos, "calibration")
    assert places(robot) == (WARN, f"no depth on {topic} since activation")
    stamp_ns = show_rgbd(robot)
    assert places(robot)[0] == WARN and "holds no TF" in places(robot)[1]
    robot.tf(transform("map", "base", stamp_ns))
    assert "no frame 'front_optical'" in places(robot)[1] or "not known" in places(robot)[1]
    robot.tf(transform("base", "front_optical", 0), static=True)
    assert places(robot) == (OK, "")
    # Rates are of pictures and of depth, each of its own.
    values = {v.key: v.value for v in camera_status(robot).values}
    assert float(values["hz"]) >= 0.0 and float(values["depth_hz"]) >= 0.0
    robot.show(stamp_ns=stamp_ns + 100_000 * MS, height=120, width=160)
    robot.node.feeds.cameras["front"].images.kept[-1:] = []
    assert robot.set_parameter("views.max_age_s", 5.0) == ""
    robot.show(stamp_ns=robot.now() + 900 * MS, height=120, width=160)
    robot.node.feeds.cameras["front"].depths.kept[-1:] = []
    assert places(robot) == (WARN, f"no depth on {topic} since activation")
    show_rgbd(robot)
    assert robot.set_parameter("views.max_age_s", 0.05) == ""
    robot.show(stamp_ns=robot.now() + 950 * MS, height=120, width=160)
    said = places(robot)
    assert said[0] == WARN and "the newest depth is" in said[1], said
    size = {"height": 120, "width": 160}
    newest = robot.node.feeds.cameras["front"].newest_ns
    before = robot.received()
    robot.publish(topic, depth_image(newest, **size))
    wait_until(lambda: robot.received() > before, "depth")
    said = places(robot)
    assert said[0] == WARN and "the newest pose of 'front_optical' is" in said[1], said
    robot.tf(transform("map", "base", newest))
    assert places(robot) == (OK, "")


def test_a_rig_file_is_a_calibration_to_the_diagnostics(bench, tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text(
        "base_frame: base\ncameras:\n  front:\n    frame_id: front_optical\n    image_width: 64\n"
        "    image_height: 48\n    camera_matrix: {data: [60, 0, 31.5, 0, 60, 23.5, 0, 0, 1]}\n"
    )
    robot = bench(rig_file=str(rig))
    robot.show()
    assert "CameraInfo" not in places(robot)[1]


def test_a_broken_message_is_news_for_a_while_and_counted_for_ever(bench):
    robot = bench()
    robot.tf(transform("map", "front_optical", 0), static=True)
    robot.publish("/front/camera_info", camera_info(1))
    wait_until(lambda: robot.node.feeds.cameras["front"].infos, "calibration")
    robot.publish("/front/image_raw", image(robot.now(), step=7))
    wait_until(lambda: robot.node.feeds.bad_counts()["front"] == 1, "the count")
    robot.show()
    assert places(robot)[0] == WARN and "1 broken messages" in places(robot)[1]
    robot.node.feeds.cameras["front"].last_bad -= 31.0
    assert places(robot) == (OK, "")
    assert robot.node.feeds.bad_counts()["front"] == 1


def test_a_calibration_of_no_numbers_or_of_another_time_spoils_none_that_follows(bench):
    robot = bench()
    feeds, topic = robot.node.feeds, "/front/camera_info"
    now = robot.now()
    broken = camera_info(now)
    broken.k[0] = float("nan")
    for index in range(40):
        feeds.add_info("front", topic, broken)
        if index == 20:
            feeds.add_info("front", topic, camera_info(now))
    kept = feeds.cameras["front"].infos[topic]
    assert [stamp for stamp, _ in kept] == [now]
    assert feeds.bad_counts()["front"] == 40
    assert "not finite" in feeds.cameras["front"].last_problem
    other = camera_info(now + 3600_000 * MS, width=128)
    feeds.add_info("front", topic, other)
    # The same numbers as before the one from far ahead: known already, and that one is gone.
    feeds.add_info("front", topic, camera_info(now + 50 * MS))
    assert [stamp for stamp, _ in feeds.cameras["front"].infos[topic]] == [now]
    # One of a little earlier goes where it belongs.
    feeds.add_info("front", topic, camera_info(now - 100 * MS, width=128))
    assert [stamp for stamp, _ in kept] == [now - 100 * MS, now]


def test_cameras_of_one_moment_belong_together(bench):
    robot = bench(cameras=("left", "right"), views__max_age_s=5.0)
    start = robot.now() - 1000 * MS
    for step in range(10):
        robot.show("left", start + step * 100 * MS)
    right = [robot.show("right", start + ms * MS) for ms in (10, 410, 710)]
    answer = robot.ask()
    stamps = {f.camera: f.header.stamp for f in answer.provenance.frames}
    assert stamps["right"] == time_of(right[-1])
    # The left camera's later frames wait for the slower one.
    assert stamps["left"] == time_of(start + 700 * MS)
    assert not any("apart" in text.text for text in answer.warnings)


def test_cameras_too_far_apart_are_said_or_refused(bench):
    robot = bench(cameras=("left", "right"), views__max_age_s=5.0)
    start = robot.now()
    robot.show("left", start - 500 * MS)
    robot.show("right", start)
    answer = robot.ask()
    assert answer.error.code == Code.NONE
    assert any("0.500 s apart" in text.text for text in answer.warnings)
    assert robot.set_parameter("sync.policy", "refuse") == ""
    assert robot.ask().error.code == Code.SYNC_FAILED


def test_a_lost_camera_counts_by_whether_it_is_required(bench):
    robot = bench(cameras=("front", "rear"), camera__rear__required=False, frame_wait_s=0.2)
    robot.show("front")
    answer = robot.ask()
    assert answer.error.code == Code.NONE
    assert any("without camera 'rear'" in text.text for text in answer.warnings)
    robot.show("rear", robot.now() - 100_000 * MS)
    robot.show("front")
    answer = robot.ask()
    assert [f.camera for f in answer.provenance.frames] == ["front"]
    # Only the rear camera was asked for: then it is what the answer would rest on.
    robot.show("front")
    assert robot.ask(cameras=["rear"]).error.code == Code.STALE_FRAMES
    robot.show("rear")
    robot.show("front")
    assert len(robot.ask().provenance.frames) == 2
    robot.show("rear")
    robot.node.feeds.cameras["front"].images.kept.clear()
    assert robot.ask().error.code == Code.NO_FRAMES


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": 100}, "step is 100"),
        ({"height": 49}, "truncated"),
        ({"encoding": "rgb9"}, "rgb9"),
        ({"width": 0}, "0x48"),
        ({"data": array("B")}, "truncated"),
    ],
)
def test_a_broken_picture_is_refused_counted_and_survived(shared, changes, words):
    before = shared.node.feeds.bad_counts()["front"]
    shared.node.feeds.cameras["front"].images.kept.clear()
    message = image(shared.now())
    for name, value in changes.items():
        setattr(message, name, value)
    shared.publish("/front/image_raw", message)
    wait_until(lambda: shared.node.feeds.bad_counts()["front"] == before + 1, "the count")
    answer = shared.ask()
    assert answer.error.code == Code.BAD_IMAGE
    assert words in answer.error.message
    shared.show()
    assert shared.ask().error.code == Code.NONE


def test_zero_stamps_and_future_stamps_are_refused(shared):
    shared.node.feeds.cameras["front"].images.kept.clear()
    shared.show(stamp_ns=0)
    answer = shared.ask()
    assert answer.error.code == Code.BAD_IMAGE and "no stamp" in answer.error.message
    shared.show(stamp_ns=shared.now() + 30_000 * MS)
    answer = shared.ask()
    assert answer.error.code == Code.NO_FRAMES and "future" in answer.error.message
    shared.node.feeds.cameras["front"].images.kept.clear()


def test_the_size_may_change_mid_run(shared):
    shared.show()
    assert shared.ask().provenance.frames[0].width == 64
    shared.show(height=96, width=128)
    frame = shared.ask().provenance.frames[0]
    assert (frame.width, frame.height) == (128, 96)


def test_padded_rows_and_other_colour_orders_give_the_same_pixels(shared):
    plain = image(1)
    rows = np.frombuffer(plain.data, np.uint8).reshape(48, 192)
    padded = np.pad(rows, ((0, 0), (0, 13)))
    bgr = rows.reshape(48, 64, 3)[:, :, ::-1]
    said = []
    for changes in (
        {},
        {"step": 205, "data": array("B", padded.tobytes())},
        {"encoding": "bgr8", "data": array("B", bgr.tobytes())},
    ):
        shared.show(**changes)
        said.append(bytes(shared.ask().provenance.prompt_sha256))
    assert len(set(said)) == 1


def test_a_thousand_mutated_messages(bench):
    """Whatever comes in: the node lives, counts, and answers the next good frame."""
    robot = bench(views__max_age_s=3600.0, frame_wait_s=0.0)
    rng = random.Random(7)
    feeds = robot.node.feeds
    robot.show()
    sent = robot.received()
    refused = 0
    for number in range(1000):
        message = mutated(rng, image(robot.now()))
        before = robot.received()
        robot.publish("/front/image_raw", message)
        wait_until(lambda known=before: robot.received() > known, f"message {number}")
        sent += 1
        if number % 100 == 99:
            code = robot.ask().error.code
            assert code in {Code.NONE, Code.BAD_IMAGE, Code.NO_FRAMES, Code.CONTEXT_OVERFLOW}, code
    refused = feeds.bad_counts()["front"]
    assert robot.received() == sent == 1001
    assert 300 < refused < 1000
    feeds.clear()
    robot.show()
    assert robot.ask().error.code == Code.NONE
    found = robot.listen(Status, f"/{robot.name}/status")
    wait_until(lambda: found and list(found[-1].bad_images) == [refused], "the count in the status")


def mutated(rng, message):
    """``message`` with one to three fields changed at random."""
    for _ in range(rng.randint(1, 3)):
        field = rng.choice(("height", "width", "step", "encoding", "data", "big", "stamp", "bytes"))
        if field in ("height", "width", "step"):
            values = (0, 1, 7, 63, 1000, 2**31, rng.randrange(300))
            setattr(message, field, rng.choice(values))
        elif field == "encoding":
            names = ("", "rgb8", "bgr8", "mono8", "mono16", "yuv422", "nv12", "bayer_rggb8")
            message.encoding = rng.choice(
                (*names, "16UC1", "32FC1", "rgba16", "\u00e9\u00e9", "8UC3")
            )
        elif field == "data":
            message.data = message.data[: rng.randrange(len(message.data) + 1)]
        elif field == "big":
            message.is_bigendian = rng.randrange(2)
        elif field == "stamp":
            message.header.stamp = time_of(rng.choice((0, 1, 10**9 * (2**31 - 1))))
        elif len(message.data):
            for _ in range(8):
                message.data[rng.randrange(len(message.data))] = rng.randrange(256)
    return message


def test_compressed_pictures_and_depth(bench):
    robot = bench(
        camera__front__transport="compressed",
        camera__front__depth_topic="/front/aligned_depth_to_color/image_raw",
        camera__front__depth_transport="compressedDepth",
    )
    plain = np.frombuffer(image(1).data, np.uint8).reshape(48, 64, 3)
    png = cv2.imencode(".png", cv2.cvtColor(plain, cv2.COLOR_RGB2BGR))[1].tobytes()
    stamp_ns = robot.now()
    depth = np.full((48, 64), 1500, np.uint16)
    packed = bytes(12) + cv2.imencode(".png", depth)[1].tobytes()
    robot.publish(
        "/front/aligned_depth_to_color/image_raw/compressedDepth",
        compressed(stamp_ns, "16UC1; compressedDepth png", packed),
    )
    robot.publish(
        "/front/image_raw/compressed", compressed(stamp_ns, "rgb8; png compressed bgr8", png)
    )
    wait_until(lambda: robot.node.feeds.cameras["front"].received == 2, "both")
    answer = robot.ask()
    assert answer.error.code == Code.NONE, answer.error
    (frame,) = answer.provenance.frames
    assert frame.encoding == "rgb8; png compressed bgr8"
    assert frame.topic == "/front/image_raw/compressed"
    assert any(frame.depth_sha256)
    robot.publish("/front/image_raw/compressed", compressed(robot.now(), "jpeg", png[:-20]))
    wait_until(lambda: robot.node.feeds.bad_counts()["front"] == 1, "the cut-off picture")


def compressed(stamp_ns, text, data):
    message = CompressedImage(format=text)
    message.header.stamp, message.header.frame_id = time_of(stamp_ns), "front_optical"
    message.data = array("B", data)
    return message


def show_rgbd(robot, encoding="16UC1", thing_m=1.5):
    """A wall 3 m away and before it a red thing, or none."""
    stamp_ns, size = robot.now(), {"height": 120, "width": 160}
    robot.publish("/front/camera_info", camera_info(stamp_ns, **size))
    topic = "/front/aligned_depth_to_color/image_raw"
    robot.publish("/front/aligned_depth_to_color/camera_info", camera_info(stamp_ns, **size))
    before = robot.received()
    robot.publish(topic, depth_image(stamp_ns, encoding=encoding, thing_m=thing_m, **size))
    wait_until(lambda: robot.received() > before, "depth")
    wait_until(lambda: len(robot.node.feeds.cameras["front"].infos) == 2, "calibration")
    return robot.show(stamp_ns=stamp_ns, thing=thing_m is not None, **size)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_and_tf_give_places_in_the_asked_frame(bench, encoding):
    robot = bench(camera__front__depth_topic="/front/aligned_depth_to_color/image_raw")
    robot.tf(
        transform("map", "base", 0, x=10.0), transform("base", "front_optical", 0), static=True
    )
    show_rgbd(robot, encoding)
    answer = robot.ask()
    assert answer.error.code == Code.NONE, answer.error
    assert answer.header.frame_id == "map"
    (frame,) = answer.provenance.frames
    assert frame.pose_valid and frame.pose.position.x == pytest.approx(10.0)
    (thing,) = answer.objects
    assert thing.mark == 1 and thing.has_box
    assert thing.pose.position.z == pytest.approx(1.5, abs=0.1)
    covariance = np.reshape(thing.position_covariance, (3, 3))
    assert np.linalg.eigvalsh(covariance)[-1] == pytest.approx(thing.position_stddev**2, rel=1e-3)
    show_rgbd(robot, encoding)
    moved = robot.ask(target_frame="base")
    assert moved.header.frame_id == "base"
    shift = thing.pose.position.x - moved.objects[0].pose.position.x
    assert shift == pytest.approx(10.0, abs=0.05)
    show_rgbd(robot, encoding)
    lost = robot.ask(target_frame="moon")
    assert lost.error.code == Code.NONE and lost.text
    assert not lost.objects[0].has_box
    assert any("moon" in text.text for text in lost.warnings)


def test_a_camera_that_is_mounted_turned_shows_upright_and_measures_the_same(bench):
    found = {}
    for degrees in (0, 90, 270):
        robot = bench(
            camera__front__depth_topic="/front/aligned_depth_to_color/image_raw",
            camera__front__rotate_deg=degrees,
        )
        robot.tf(transform("map", "front_optical", 0, x=10.0), static=True)
        show_rgbd(robot)
        answer = robot.ask()
        assert answer.error.code == Code.NONE, answer.error
        (frame,), (thing,) = answer.provenance.frames, answer.objects
        at, (seen,) = thing.pose.position, thing.observations
        found[degrees] = (frame, (at.x, at.y, at.z), (seen.u, seen.v))
    plain, place, _ = found[0]
    # The thing as published covers columns 40 to 79 and rows 30 to 59 of 160 x 120.
    for degrees, columns, rows in ((90, (60, 89), (40, 79)), (270, (30, 59), (80, 119))):
        frame, other, (u, v) = found[degrees]
        assert columns[0] <= u <= columns[1] and rows[0] <= v <= rows[1]
        assert other == pytest.approx(place, abs=0.02)
        assert (frame.width, frame.height) == (plain.height, plain.width)
        assert frame.header.frame_id == f"front_optical_turned_{degrees}"
        assert frame.pose.orientation != plain.pose.orientation


def test_the_optical_frame_of_upright_pictures_is_on_tf_static(bench):
    """RViz can place `~/marked/front` only where TF knows the turned frame."""
    robot = bench(
        cameras=("front", "left", "back"),
        camera__front__rotate_deg=90,
        camera__left__rotate_deg=180,
        camera__front__depth_topic="/front/aligned_depth_to_color/image_raw",
    )
    found = robot.listen(TFMessage, "/tf_static")
    robot.tf(transform("map", "front_optical", 0, x=10.0), static=True)
    show_rgbd(robot)
    robot.show("left")
    robot.show("left")
    robot.show("back")

    def newest():
        sent = [m.transforms for m in found if m.transforms[0].child_frame_id.count("turned")]
        return {t.child_frame_id: t for t in sent[-1]} if sent else {}

    wait_until(lambda: len(newest()) == 2, "both turned frames")
    turned = newest()["front_optical_turned_90"]
    assert turned.header.frame_id == "front_optical"
    assert newest()["left_optical_turned_180"].header.frame_id == "left_optical"
    assert sum("turned" in m.transforms[0].child_frame_id for m in found) == 2
    # With it a listener has the pose that the answer gives: map <- front_optical is no rotation.
    (frame,) = [f for f in robot.ask().provenance.frames if f.camera == "front"]
    q, posed = turned.transform.rotation, frame.pose.orientation
    assert (posed.x, posed.y, posed.z, posed.w) == pytest.approx((q.x, q.y, q.z, q.w))
    assert frame.header.frame_id == turned.child_frame_id
    at = turned.transform.translation
    assert (at.x, at.y, at.z) == (0.0, 0.0, 0.0)
    # What comes back to the node on /tf_static is no second parent of anything.
    assert "front_optical_turned_90" not in robot.node.feeds.transforms.known_frames()


def test_qos_overrides_act_where_they_are_given_and_only_there(bench):
    front = "qos_overrides./front/image_raw.subscription"
    robot = bench(
        activate=False,
        name="overridden",
        cameras=("front", "left"),
        **{
            f"{front}.reliability": "reliable",
            f"{front}.depth": 7,
            "qos_overrides./overridden/answer.publisher.durability": "volatile",
            "qos_overrides./frnt/image_raw.subscription.depth": 7,
        },
    )
    assert robot.transition("configure") and robot.transition("activate")

    def subscribed(topic):
        # Nodes of earlier tests may still be known for a while.
        infos = robot.node.get_subscriptions_info_by_topic(topic)
        return [one for one in infos if one.node_name == "overridden"]

    def qos(topic):
        (found,) = subscribed(topic)
        return found.qos_profile

    wait_until(lambda: subscribed("/left/image_raw"), "discovery")
    assert qos("/front/image_raw").reliability == ReliabilityPolicy.RELIABLE
    assert qos("/left/image_raw").reliability == ReliabilityPolicy.BEST_EFFORT
    (own,) = [w for w in robot.node.intake.watched if w.topic == "/front/image_raw"]
    assert own.subscription.qos_profile.depth == 7
    assert robot.node.outputs.answer.qos_profile.durability == DurabilityPolicy.VOLATILE
    assert robot.node.qos_overrides.unused() == [
        "qos_overrides./frnt/image_raw.subscription.depth belongs to no topic and policy of this "
        "node."
    ]
    # A parameter that ROS declares for good must not win over image_reliability later.
    assert robot.transition("deactivate") and robot.transition("cleanup")
    assert robot.set_parameter("image_reliability", "reliable") == ""
    wait_until(lambda: not subscribed("/left/image_raw"), "the end of the first")
    assert robot.transition("configure") and robot.transition("activate")
    wait_until(lambda: subscribed("/left/image_raw"), "discovery")
    assert qos("/left/image_raw").reliability == ReliabilityPolicy.RELIABLE
    assert own.subscription.qos_profile.depth == 7


@pytest.mark.parametrize(
    ("policy", "value", "words"),
    [("reliability", "fast", "best_effort"), ("depth", 0, "above 0"), ("depth", "5", "above 0")],
)
def test_an_override_that_is_no_qos_is_named(bench, policy, value, words):
    name = f"qos_overrides./front/image_raw.subscription.{policy}"
    robot = bench(activate=False, **{name: value})
    robot.transition("configure")
    assert not robot.transition("activate")
    assert name in robot.node.fault and words in robot.node.fault


def test_a_turn_of_no_quarter_is_refused(bench):
    robot = bench(activate=False, camera__front__rotate_deg=45)
    assert not robot.transition("configure")
    assert "one of 0, 90, 180, 270" in robot.node.fault


def test_depth_that_comes_after_its_picture_is_waited_for(bench):
    topic = "/front/aligned_depth_to_color/image_raw"
    robot = bench(tf_timeout_s=5.0, camera__front__depth_topic=topic)
    robot.tf(transform("map", "front_optical", 0), static=True)
    show_rgbd(robot)
    stamp_ns, size = robot.now() + 33 * MS, {"height": 120, "width": 160}
    robot.show(stamp_ns=stamp_ns, **size)
    goal = robot.goal()
    wait_until(lambda: QueryStage.WAITING_FRAMES in goal.stages, "the wait")
    time.sleep(0.3)
    assert QueryStage.MARKING not in goal.stages
    robot.publish(topic, depth_image(stamp_ns, **size))
    answer = goal.result()[1]
    assert answer.error.code == Code.NONE, answer.error
    (frame,) = answer.provenance.frames
    assert frame.header.stamp == time_of(stamp_ns) and any(frame.depth_sha256)
    assert not any("depth" in text.text for text in answer.warnings)


def test_depth_that_has_stopped_is_not_waited_for(bench):
    robot = bench(
        tf_timeout_s=5.0, camera__front__depth_topic="/front/aligned_depth_to_color/image_raw"
    )
    robot.tf(transform("map", "front_optical", 0), static=True)
    show_rgbd(robot)
    robot.show(stamp_ns=robot.now() + 900 * MS, height=120, width=160)
    answer = robot.ask()
    assert answer.error.code == Code.NONE, answer.error
    assert any("nearest depth" in text.text for text in answer.warnings)
    # Waiting would have taken all of the five seconds.
    assert answer.timing.frames_s < 4.0


def test_without_tf_there_is_text_and_a_warning(bench):
    robot = bench(cameras=("front", "left"))
    robot.show("front")
    robot.show("left")
    answer = robot.ask()
    assert answer.error.code == Code.NONE and answer.text
    assert not any(item.has_box for item in answer.objects)
    assert any("no TF" in text.text for text in answer.warnings)


def test_late_tf_is_waited_for(bench):
    robot = bench(
        tf_timeout_s=5.0, camera__front__depth_topic="/front/aligned_depth_to_color/image_raw"
    )
    early = robot.now() - 1000 * MS
    robot.tf(transform("map", "front_optical", early))
    stamp_ns = show_rgbd(robot)
    goal = robot.goal()
    wait_until(lambda: 1 in goal.stages, "the wait")
    robot.tf(transform("map", "front_optical", stamp_ns + 1))
    answer = goal.result()[1]
    assert answer.provenance.frames[0].pose_valid, answer.warnings
    assert robot.set_parameter("tf_timeout_s", 0.05) == ""
    show_rgbd(robot)
    answer = robot.ask()
    assert answer.error.code == Code.NONE
    assert any("known only until" in text.text for text in answer.warnings)
    # One view with depth still has places, in its own frame; that is said.
    assert answer.header.frame_id == "front_optical"
    assert any("camera's own frame" in text.text for text in answer.warnings)


@pytest.fixture(scope="module")
def shared():
    from harness import Bench

    robot = Bench(frame_wait_s=0.1)
    yield robot
    robot.close()
