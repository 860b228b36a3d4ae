"""The robot's memory in the node: recorded beside the questions, asked, forgotten, restarted."""

import json
import math
import signal
import time
from array import array

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point
from harness import (
    RELIABLE,
    Bench,
    camera_info,
    depth_image,
    image,
    time_of,
    transform,
    wait_until,
)
from oryx_scene_msgs.msg import Answer
from oryx_scene_msgs.srv import Forget, Where
from oryx_scene_ros.error_codes import Code
from oryx_scene_ros.intake.memory_writer import MemoryWriter
from oryx_scene_ros.parameters.schema import all_specs
from oryx_scene_ros.parameters.settings import settings_from
from oryx_scene_ros.queries.memory_questions import ago, asks_memory, in_words
from oryx_scene_ros.queries.requests import request_from_text
from rendered_drive import Drive, a_world, circle
from test_shutdown import start  # noqa: F401 - a fixture
from tf2_msgs.msg import TFMessage

from oryx_scene.geometry.transforms import rotation_to_quaternion
from oryx_scene.memory.store import DATABASE, open_memory
from oryx_scene.memory.where import WhereAnswer

DEPTH = "/front/aligned_depth_to_color/image_raw"
RED, BLUE = ("red", "box", 0.6, 0.5), ("blue", "ball", -0.7, 0.6)
BOTH, TAKEN = a_world({1: RED, 2: BLUE}), a_world({2: BLUE})
SECOND = 10**9


def robot_with(bench, folder, **parameters):
    given = {
        "memory__folder": str(folder),
        "memory__rate_hz": 60.0,
        "camera__front__depth_topic": DEPTH,
        "camera__front__depth_info_topic": "/front/camera_info",
        **parameters,
    }
    return bench(**given)


def stamped_pose(child, stamp_ns, T):
    pose = transform("map", child, stamp_ns)
    at, turned = pose.transform.translation, pose.transform.rotation
    at.x, at.y, at.z = map(float, T[:3, 3])
    turned.x, turned.y, turned.z, turned.w = map(float, rotation_to_quaternion(T[:3, :3]))
    return pose


def base_below(T):
    """T_map_base: on the floor under the camera, looking where it looks."""
    yaw = math.atan2(T[1, 2], T[0, 2])
    base = np.eye(4)
    base[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    base[:2, 3] = T[:2, 3]
    return base


def show(robot, frame, stamp_ns, localised=True):
    """One rendered RGB-D frame as a robot sends it."""
    height, width = frame.rgb.shape[:2]
    size = {"height": height, "width": width}
    info = camera_info(stamp_ns, **size)
    info.k = frame.intrinsics.K.ravel().tolist()
    robot.publish("/front/camera_info", info)
    if localised:
        T = frame.T_fixed_camera
        robot.tf(
            stamped_pose("front_optical", stamp_ns, T),
            stamped_pose("base_link", stamp_ns, base_below(T)),
        )
    depth = depth_image(stamp_ns, encoding="32FC1", **size)
    depth.data = array("B", np.nan_to_num(frame.depth).astype("<f4").tobytes())
    before = robot.received()
    robot.publish(DEPTH, depth)
    wait_until(lambda: robot.received() > before, "depth")
    robot.show(stamp_ns=stamp_ns, data=array("B", frame.rgb.tobytes()), **size)


def drive(robot, world, start_ns, seconds=8.0):
    """A round of two frames a second, each recorded before the next one comes; bases driven."""
    source = Drive(lambda s: world, circle(seconds=seconds))
    counts, bases = robot.node.memory.counts, []
    for index, stub in enumerate(source.stubs()):
        frame, before = source.load(stub), counts["frames"]
        show(robot, frame, start_ns + index * SECOND // 2)
        wait_until(lambda n=before: counts["frames"] > n, "a recorded frame", 60.0)
        bases.append(base_below(frame.T_fixed_camera))
    return bases


def where(robot, words, **fields):
    return robot.call(Where, "where", words=words, **fields)


def diagnosed(robot, wanted):
    """The memory's entry of /diagnostics, once ``wanted`` holds of it."""
    found = []

    def look(message):
        found.extend(item for item in message.status if item.name.endswith(": memory"))

    subscription = robot.caller.create_subscription(DiagnosticArray, "/diagnostics", look, 10)
    wait_until(lambda: any(map(wanted, found)), "the memory's diagnostics")
    robot.caller.destroy_subscription(subscription)
    return next(filter(wanted, found))


def values(status):
    return {item.key: item.value for item in status.values}


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A memory that a node recorded in two rounds: the red box was taken between them."""
    folder = tmp_path_factory.mktemp("robot") / "memory"
    robot = robot_with(Bench, folder)
    try:
        start_ns = robot.now() - 100 * SECOND
        bases = drive(robot, BOTH, start_ns)
        # While it stands: asked in three ways, the model is not.
        said = {
            "where": where(robot, "the red box"),
            "ask": robot.ask_service("Where did you last see the red box?"),
            "action": robot.ask("Is the red box still there?"),
        }
        prompts = len(robot.answerer.prompts)
        drive(robot, TAKEN, start_ns + 60 * SECOND)
        said["gone"] = where(robot, "the red box")
        said["earlier"] = where(robot, "the red box", at=time_of(start_ns + 20 * SECOND))
    finally:
        robot.close()
    return folder, start_ns, bases, said, prompts


def test_a_thing_is_seen_at_its_place_with_rows_and_a_goal_on_driven_ground(driven):
    _, start_ns, bases, said, _ = driven
    reply = said["where"]
    assert reply.error.code == Code.NONE and reply.status == Where.Response.SEEN, reply
    at = reply.position
    assert math.dist((at.x, at.y, at.z), (0.6, 0.5, 0.2)) < 0.1
    covariance = np.reshape(reply.position_covariance, (3, 3))
    assert reply.frame_id == "map" and np.linalg.eigvalsh(covariance).min() > 0
    last_ns = reply.last_seen.sec * SECOND + reply.last_seen.nanosec
    assert start_ns <= last_ns <= start_ns + 8 * SECOND and reply.ago_s > 60.0
    assert reply.first_missed == Time()
    assert {"stays", "intervals", "path"} <= {row.table for row in reply.evidence}
    assert reply.has_view_goal and reply.view_goal.header.frame_id == "map"
    goal = reply.view_goal.pose
    near = min(bases, key=lambda T: math.dist(T[:2, 3], (goal.position.x, goal.position.y)))
    assert math.dist(near[:3, 3], (goal.position.x, goal.position.y, goal.position.z)) < 1e-6
    yaw = 2.0 * math.atan2(goal.orientation.z, goal.orientation.w)
    assert math.isclose(math.cos(yaw), near[0, 0], abs_tol=1e-6)


def test_a_question_in_words_is_answered_from_rows_and_says_so(driven):
    _, _, _, said, prompts = driven
    # Only the warm-up of "configure" asked the model.
    assert prompts <= 1
    for name in ("ask", "action"):
        answer = said[name]
        assert answer.error.code == Code.NONE and answer.finish == Answer.FINISH_STOP
        place = said["where"].position
        assert "red box was last seen" in answer.text
        assert f"({place.x:.2f}, {place.y:.2f}, {place.z:.2f}) m in 'map'" in answer.text
        assert [item.code for item in answer.warnings] == ["answered_from_memory"]
        assert "stays" in answer.warnings[0].text
        assert answer.provenance.model == "memory" and answer.header.frame_id == "map"
        (thing,) = answer.objects
        assert math.dist((thing.pose.position.x, thing.pose.position.y), (0.6, 0.5)) < 0.1
        told = json.loads(answer.json)
        assert told["schema"] == "oryx_scene/where/1" and told["view_goal"]["row"] > 0
        assert {row["table"] for row in told["evidence"]} >= {"stays", "intervals"}


def test_what_was_taken_is_gone_and_gives_no_goal(driven):
    _, start_ns, _, said, _ = driven
    reply = said["gone"]
    assert reply.status == Where.Response.GONE and not reply.has_view_goal
    missed_ns = reply.first_missed.sec * SECOND + reply.first_missed.nanosec
    assert start_ns + 60 * SECOND <= missed_ns < start_ns + 70 * SECOND
    assert said["earlier"].status == Where.Response.SEEN


def test_answers_are_kept_with_their_rows(driven):
    with open_memory(driven[0]) as store:
        rows = store.rows("SELECT question, text, status, evidence FROM answers")
    assert [row["question"] for row in rows] == [
        "Where did you last see the red box?",
        "Is the red box still there?",
    ]
    assert all(row["status"] == "seen" and json.loads(row["evidence"])["rows"] for row in rows)


def test_after_a_restart_it_is_asked_before_any_frame_has_come(driven, bench):
    robot = robot_with(bench, driven[0])
    assert where(robot, "the red box").status == Where.Response.GONE
    reply = where(robot, "the blue ball")
    assert reply.status == Where.Response.SEEN and reply.has_view_goal
    for words, status in (
        ("the teapot", Where.Response.UNSURE),
        ("the green cylinder", Where.Response.NEVER),
    ):
        reply = where(robot, words)
        assert reply.status == status and not reply.has_view_goal
        assert math.isnan(reply.position.x)
    assert where(robot, "").error.code == Code.INVALID_REQUEST
    answer = robot.ask("Where did you last see the teapot?")
    assert answer.text.startswith("Not sure") and not answer.objects


def test_poses_of_another_map_are_not_recorded_and_that_is_said(driven, bench):
    robot = robot_with(bench, driven[0])
    source = Drive(lambda s: BOTH, circle(seconds=8), T_map_odom=np.diag([-1.0, -1.0, 1.0, 1.0]))
    begun = robot.now() - 20 * SECOND
    for index, stub in enumerate(source.stubs()):
        frame = source.load(stub)
        # Half a metre off: walls are not where they were.
        frame.T_fixed_camera[:3, 3] += (0.5, 0.5, 0.0)
        show(robot, frame, begun + index * SECOND // 2)
    status = diagnosed(robot, lambda item: "do not fit" in item.message)
    assert robot.node.memory.counts["frames"] == 0
    # In the words of a client of the node.
    assert "memory.session apart" in status.message and "--" not in status.message


def test_a_region_is_forgotten_and_recording_goes_on(bench, tmp_path):
    robot = robot_with(bench, tmp_path / "m")
    start_ns = robot.now() - 100 * SECOND
    drive(robot, BOTH, start_ns, 6.0)
    assert robot.ask("Where did you last see the blue ball?").text.startswith("The blue ball")
    region = {
        "use_region": True,
        "low": Point(x=-1.2, y=0.1, z=-0.5),
        "high": Point(x=-0.2, y=1.1, z=1.0),
    }
    wait_until(lambda: not robot.node.memory._answers, "the answer to be kept")
    with open_memory(tmp_path / "m") as store:
        places = "SELECT surface FROM stays WHERE x < -0.2 AND y > 0.1 AND size_x < 1.0"
        surfaces = [row[0][:200] for row in store.rows(places)]
    assert surfaces

    def on_disk():
        return b"".join(path.read_bytes() for path in (tmp_path / "m").glob(f"{DATABASE}*"))

    assert all(item in on_disk() for item in surfaces)
    counted = robot.call(Forget, "forget", dry_run=True, **region)
    assert counted.error.code == Code.NONE and counted.instances >= 1 and counted.answers == 1
    assert where(robot, "the blue ball").status == Where.Response.SEEN
    found = robot.call(Forget, "forget", 60.0, **region)
    assert found.error.code == Code.NONE, found.error
    assert (found.instances, found.keyframes) == (counted.instances, counted.keyframes)
    assert not any(item in on_disk() for item in surfaces)
    assert where(robot, "the blue ball").status == Where.Response.NEVER
    assert where(robot, "the red box").status == Where.Response.SEEN
    drive(robot, BOTH, start_ns + 50 * SECOND, 6.0)
    assert where(robot, "the blue ball").status == Where.Response.SEEN
    assert robot.call(Forget, "forget", 60.0, everything=True).instances >= 2
    assert where(robot, "the red box").status == Where.Response.NEVER


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"dry_run": True},
        {"everything": True, "since": Time(sec=1)},
        {"use_region": True},
        {"use_region": True, "high": Point(x=1.0, y=1.0, z=1.0), "frame_id": "odom"},
        {"since": Time(sec=2), "until": Time(sec=1)},
    ],
)
def test_a_wish_that_cannot_be_meant_forgets_nothing(bench, tmp_path, wish):
    robot = robot_with(bench, tmp_path / "m")
    reply = robot.call(Forget, "forget", **wish)
    assert reply.error.code == Code.INVALID_REQUEST and reply.error.hint


def test_without_a_folder_there_is_no_memory(bench):
    robot = bench()
    for kind, name, fields in (
        (Where, "where", {"words": "a box"}),
        (Forget, "forget", {"everything": True}),
    ):
        reply = robot.call(kind, name, **fields)
        assert reply.error.code == Code.MEMORY_FAULT and "memory.folder" in reply.error.hint
    robot.show()
    # Such a question is then one to the model.
    assert robot.ask("Where did you last see the red box?").text == "It is mark 1."


def test_a_memory_that_another_program_writes_fails_configure_in_words(bench, tmp_path):
    with open_memory(tmp_path / "m", write=True):
        robot = robot_with(bench, tmp_path / "m", activate=False)
        assert not robot.transition("configure")
        assert "another program is writing" in robot.node.fault
    assert robot.transition("configure") and robot.transition("cleanup")
    open_memory(tmp_path / "m", write=True).close()


def test_a_full_queue_drops_its_oldest_and_counts_them(bench, tmp_path):
    robot = robot_with(bench, tmp_path / "m", memory__queue=3, report_period_s=0.1)
    memory = robot.node.memory
    frames = [
        Drive(lambda s: BOTH, circle(seconds=5)).load(stub)
        for stub in Drive(lambda s: BOTH, circle(seconds=5)).stubs()
    ]
    with memory._writing:
        for frame in frames:
            memory.offer(frame)
            assert memory.waiting <= 3
        # The writer may have one in hand.
        assert memory.counts["dropped"] in (len(frames) - 4, len(frames) - 3)
        status = diagnosed(robot, lambda item: "frames dropped" in item.message)
        assert values(status)["dropped_total"] == str(memory.counts["dropped"])
    wait_until(lambda: memory.counts["frames"] >= 3, "the newest to be written", 60.0)
    robot.transition("deactivate")
    with open_memory(tmp_path / "m") as store:
        assert store.rows("SELECT max(done_ns) FROM sessions")[0][0] == frames[-1].stamp_ns


def test_frames_whose_place_is_not_known_are_counted_and_not_recorded(bench, tmp_path):
    robot = robot_with(bench, tmp_path / "m", report_period_s=0.1)
    source = Drive(lambda s: BOTH, circle(seconds=3))
    begun = robot.now() - 20 * SECOND
    for index, stub in enumerate(source.stubs()):
        show(robot, source.load(stub), begun + index * 2 * SECOND, localised=False)
        time.sleep(0.1)
    status = diagnosed(robot, lambda item: int(values(item)["not_localised_total"] or 0) >= 2)
    assert values(status)["frames_total"] == "0"


def test_a_jump_of_time_begins_a_new_session(bench, tmp_path):
    robot = robot_with(bench, tmp_path / "m")
    start_ns = robot.now() - 100 * SECOND
    drive(robot, BOTH, start_ns, 2.0)
    jump = type("Jump", (), {"delta": type("Delta", (), {"nanoseconds": -1})})
    robot.node._time_jumped(jump)
    source = Drive(lambda s: BOTH, circle(seconds=8))
    for index, stub in enumerate(source.stubs()):
        show(robot, source.load(stub), start_ns - 50 * SECOND + index * SECOND // 2)
    counts = robot.node.memory.counts
    wait_until(lambda: counts["frames"] > 4, "the new session to be aligned", 60.0)
    robot.transition("deactivate")
    with open_memory(tmp_path / "m") as store:
        found = store.rows("SELECT alignment, map, first_ns FROM sessions ORDER BY id")
    assert [(row["alignment"], row["map"]) for row in found] == [("first", 1), ("measured", 1)]
    # Earlier than the first one: it is another time.
    assert found[1]["first_ns"] < found[0]["first_ns"]


def test_a_killed_node_loses_no_frame_that_it_said_is_recorded(start, tmp_path):  # noqa: F811
    folder = tmp_path / "m"
    parameters = (f"memory.folder:={folder}", f"camera.front.depth_topic:={DEPTH}")
    parameters += ("camera.front.depth_info_topic:=/front/camera_info", "memory.rate_hz:=60.0")
    parameters += ("report_period_s:=0.1",)
    one = start(*(word for item in parameters for word in ("-p", item)))
    one.ready()
    source = Drive(lambda s: BOTH, circle(seconds=30))
    sizes = {"height": 120, "width": 160}
    said = []

    def look(message):
        said.extend(
            int(values(item)["frames_total"])
            for item in message.status
            if item.name.endswith(": memory")
        )

    one.caller.create_subscription(DiagnosticArray, "/diagnostics", look, RELIABLE)
    sent = []
    for stub in source.stubs():
        frame, stamp_ns = source.load(stub), time.time_ns()
        info = camera_info(stamp_ns, **sizes)
        info.k = frame.intrinsics.K.ravel().tolist()
        one.infos.publish(info)
        pose = stamped_pose("front_optical", stamp_ns, frame.T_fixed_camera)
        one.transforms.publish(TFMessage(transforms=[pose]))
        depth = depth_image(stamp_ns, encoding="32FC1", **sizes)
        depth.data = array("B", np.nan_to_num(frame.depth).astype("<f4").tobytes())
        one.depths.publish(depth)
        one.pictures.publish(image(stamp_ns, data=array("B", frame.rgb.tobytes()), **sizes))
        sent.append(stamp_ns)
        time.sleep(0.1)
        if said and said[-1] >= 5:
            break
    told = said[-1]
    assert told >= 5
    one.process.send_signal(signal.SIGKILL)
    one.process.wait()
    with open_memory(folder, write=True) as store:
        assert store.rows("PRAGMA integrity_check")[0][0] == "ok"
        frames, done_ns = store.rows("SELECT frames, done_ns FROM sessions")[0]
    assert frames >= told and done_ns in sent


# -- without a node --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Where did you last see the red box?", True),
        ("where have you last seen my keys", True),
        ("When did you see the blue ball?", True),
        ("Where was the toolbox last seen?", True),
        ("Is the toolbox still there?", True),
        ("is the red box still on the table?", True),
        ("Have you ever seen a green ball?", True),
        ("Where is the red box?", False),
        ("Is the door open?", False),
        ("What did you see?", False),
        ("How many boxes do you see?", False),
    ],
)
def test_which_questions_the_memory_answers(text, wanted):
    assert asks_memory(request_from_text(text)) == wanted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.6, "1 min"),
        (61.0, "1 min 1 s"),
        (3600.0, "1 h"),
        (3 * 3600 + 59, "3 h"),
        (90000.0, "1 d 1 h"),
    ],
)
def test_spans_of_time_in_words(seconds, text):
    assert ago(seconds) == text


def test_an_unknown_word_is_named():
    answer = WhereAnswer("teapot", "unsure", 5, understood={"unknown": ("teapot",)})
    assert in_words(answer) == "Not sure. The memory does not know the words: teapot."


def test_a_quota_of_a_memory_is_the_parameter(tmp_path):
    given = {"memory.quota_mib": 7, "memory.folder": str(tmp_path / "m")}
    values = {name: spec.default for name, spec in all_specs(["front"]).items()}
    memory = MemoryWriter(lambda: settings_from({**values, **given}), "robot")
    assert memory._store.quota_bytes == 7 * 2**20
    assert memory.close()
    open_memory(tmp_path / "m", write=True).close()
