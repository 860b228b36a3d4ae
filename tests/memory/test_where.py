"""From rendered recordings to answers: seen, gone, moved, new, unseen; sessions and restarts."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from rendered_drive import START_NS, Drive, a_world, circle

from oryx_scene.errors import AlignmentError, QuestionError
from oryx_scene.lab.synth.noise import NoiseConfig
from oryx_scene.memory.recorder import MemoryConfig, fingerprint_of, remember
from oryx_scene.memory.retrieval import read_words
from oryx_scene.memory.store import open_memory
from oryx_scene.memory.where import keep_answer, where, where_to_dict

BEFORE = {
    1: ("red", "box", 0.6, 0.5),
    2: ("blue", "ball", -0.7, 0.6),
    3: ("green", "cylinder", -0.6, -0.7),
    4: ("yellow", "box", 0.7, -0.8),
}
# The red box is taken, the blue ball carried elsewhere, a purple ball brought.
AFTER = {
    **{number: thing for number, thing in BEFORE.items() if number != 1},
    2: ("blue", "ball", 0.9, 0.9),
    5: ("purple", "ball", -0.1, -0.1),
}
CHANGED_S = 20.0
SLOW_NOISE = NoiseConfig(depth_share=0.005, shift_m=0.01, turn_deg=0.3)


def seconds(stamp_ns):
    return (stamp_ns - START_NS) / 1e9


def day(**options):
    """Two rounds of twelve seconds; between them things change, unseen."""
    before, after = a_world(BEFORE), a_world(AFTER)
    places = [*circle(seconds=12), *circle(seconds=12, begin_s=30.0)]
    return Drive(lambda s: before if s < CHANGED_S else after, places, **options)


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """A memory of that day, with noise on depth and poses."""
    folder = tmp_path_factory.mktemp("day") / "memory"
    with open_memory(folder, write=True) as store:
        found = remember(day(noise=SLOW_NOISE), store, "day")
    return folder, found


def ask(memory, text, at_s=None):
    with open_memory(memory[0]) as store:
        return where(store, text, None if at_s is None else START_NS + round(at_s * 1e9))


def place_error(answer, thing):
    x, y = thing[2:]
    return float(np.linalg.norm(np.subtract(answer.position, (x, y, 0.2))))


@pytest.mark.parametrize("number", [3, 4])
def test_what_stays_is_seen_at_its_place(memory, number):
    colour, shape, *_ = thing = BEFORE[number]
    answer = ask(memory, f"the {colour} {shape}")
    assert answer.status == "seen" and answer.first_missed_ns is None
    assert place_error(answer, thing) < 0.1
    assert seconds(answer.last_seen_ns) >= 40.0 and answer.ago_s < 2.0
    assert answer.candidates[0].moved_from is None


def test_what_was_taken_is_gone_with_both_times(memory):
    answer = ask(memory, "where is the red box?")
    assert answer.status == "gone" and answer.view_goal is None
    assert place_error(answer, BEFORE[1]) < 0.1
    assert 10.0 <= seconds(answer.last_seen_ns) < 12.0
    assert 30.0 <= seconds(answer.first_missed_ns) < 33.0


def test_what_was_carried_elsewhere_is_one_thing_at_its_new_place(memory):
    answer = ask(memory, "the blue ball")
    assert answer.status == "seen"
    assert place_error(answer, AFTER[2]) < 0.1
    assert np.allclose(answer.candidates[0].moved_from, (-0.7, 0.6, 0.2), atol=0.1)


def test_what_was_brought_is_seen_and_has_no_past(memory):
    answer = ask(memory, "the purple ball")
    assert answer.status == "seen" and place_error(answer, AFTER[5]) < 0.1
    assert ask(memory, "the purple ball", at_s=15.0).status == "never"


def test_rows_after_the_clock_do_not_count(memory):
    red, blue = ask(memory, "red box", at_s=15.0), ask(memory, "blue ball", at_s=15.0)
    assert (red.status, blue.status) == ("seen", "seen")
    assert place_error(blue, BEFORE[2]) < 0.1
    assert 3.0 <= red.ago_s < 5.0


def test_what_was_never_there_is_never_and_an_unknown_noun_is_unsure(memory):
    assert ask(memory, "the orange ball").status == "never"
    answer = ask(memory, "the toolbox")
    assert answer.status == "unsure" and answer.position is None and answer.view_goal is None
    assert [item.code for item in answer.warnings] == ["memory_words_unknown"]
    assert answer.understood["unknown"] == ("toolbox",)


def test_two_things_that_fit_are_both_named(memory):
    answer = ask(memory, "the box")
    assert answer.status == "several" and answer.position is None
    assert {item.described for item in answer.candidates[:2]} == {"red box", "yellow box"}


def test_an_empty_question_is_refused(memory):
    with pytest.raises(QuestionError):
        ask(memory, "  ")


def test_every_number_is_in_a_row_that_the_answer_names(memory):
    answer = ask(memory, "the red box")
    rows = {item.table: item for item in answer.evidence}
    with open_memory(memory[0]) as store:
        stay = store.rows("SELECT * FROM stays WHERE id = ?", rows["stays"].row)[0]
        seen = store.rows("SELECT * FROM intervals WHERE id = ?", rows["intervals"].row)[0]
        missed = store.rows("SELECT * FROM absences WHERE id = ?", rows["absences"].row)[0]
        picture = store.rows("SELECT * FROM keyframes WHERE id = ?", rows["keyframes"].row)[0]
        assert (store.folder / picture["picture"]).read_bytes()[:2] == b"\xff\xd8"
    assert (stay["x"], stay["y"], stay["z"]) == answer.position
    assert seen["last_ns"] == answer.last_seen_ns and seen["stay"] == stay["id"]
    assert missed["first_ns"] == answer.first_missed_ns and missed["stay"] == stay["id"]


def test_a_view_goal_is_a_place_of_the_drive_that_saw_the_thing(memory):
    answer = ask(memory, "the green cylinder")
    goal = answer.view_goal
    x, y, z = goal.position
    assert abs(np.hypot(x, y) - 2.0) < 0.1 and abs(z) < 0.15
    # It looked across the middle, where all things are.
    assert np.isclose(np.cos(goal.yaw - np.arctan2(-y, -x)), 1.0, atol=0.02)
    assert np.allclose(goal.orientation, (0, 0, np.sin(goal.yaw / 2), np.cos(goal.yaw / 2)))


def test_the_json_has_the_documented_keys_and_no_nan(memory):
    plain = where_to_dict(ask(memory, "the red box"))
    text = json.dumps(plain, allow_nan=False)
    assert plain["schema"] == "oryx_scene/where/1"
    assert set(json.loads(text)) == {
        *("schema", "question", "status", "asked_ns", "position", "covariance", "size"),
        *("frame_id", "last_seen_ns", "first_missed_ns", "ago_s", "confidence", "instance"),
        *("evidence", "candidates", "view_goal", "understood", "warnings"),
    }


def test_a_covariance_covers_the_error_of_its_place(memory):
    for number in (3, 4):
        colour, shape, x, y = BEFORE[number]
        answer = ask(memory, f"{colour} {shape}")
        covariance = np.array(answer.covariance)
        assert np.allclose(covariance, covariance.T) and np.linalg.eigvalsh(covariance)[0] > 0
        off = np.subtract(answer.position, (x, y, 0.2))
        assert off @ np.linalg.inv(covariance) @ off < 30.0


def test_a_thing_that_nobody_looked_at_again_is_merely_unseen(tmp_path):
    before, after = a_world(BEFORE), a_world({})
    # Later only the far wall is looked at.
    away = [(30.0 + i / 2, np.array([0.0, 1.5, 1.1]), np.array([0.0, 4.0, 1.0])) for i in range(8)]
    source = Drive(lambda s: before if s < 20 else after, [*circle(seconds=12), *away])
    with open_memory(tmp_path / "m", write=True) as store:
        remember(source, store, "a")
        answer = where(store, "red box")
    assert answer.status == "seen" and answer.ago_s > 20.0


def test_a_second_day_is_measured_and_joined_and_another_frame_is_refused(tmp_path):
    yesterday = Drive(lambda s: a_world(BEFORE), circle(seconds=12))
    today = Drive(lambda s: a_world(AFTER), circle(seconds=12, begin_s=86400.0, start=1.0))
    turned = np.eye(4)
    turned[:3, :3] = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    turned[:2, 3] = (1.0, -0.5)
    lost = Drive(lambda s: a_world(AFTER), circle(seconds=8, begin_s=90000.0), T_map_odom=turned)
    with open_memory(tmp_path / "m", write=True) as store:
        assert remember(yesterday, store, "yesterday").alignment == "first"
        found = remember(today, store, "today")
        assert found.alignment == "measured" and found.agreement > 0.8
        assert (found.new, found.moved) == (1, 1)
        answer = where(store, "red box")
        assert answer.status == "gone" and answer.ago_s > 80000.0
        rows = store.rows("SELECT count(*) FROM instances")[0][0]
        for wish in ("check", "same"):
            with pytest.raises(AlignmentError, match="do not fit"):
                remember(lost, store, "lost", wish=wish)
        assert len(store.rows("SELECT id FROM sessions")) == 2
        assert store.rows("SELECT count(*) FROM instances")[0][0] == rows
        # Kept apart it changes nothing about what the first map knows.
        assert remember(lost, store, "lost", wish="apart").alignment == "apart"
        assert where(store, "red box").status == "gone"
        assert len(store.rows("SELECT id FROM maps")) == 2


def test_a_session_that_shows_no_known_wall_needs_the_users_word(tmp_path):
    near = Drive(lambda s: a_world(BEFORE), circle(seconds=8))
    # Straight down on the floor: no wall to compare.
    down = [(100.0 + i, np.array([0.0, 0.1, 1.4]), np.array([0.0, 0.0, 0.0])) for i in range(6)]
    with open_memory(tmp_path / "m", write=True) as store:
        remember(near, store, "near")
        floor = Drive(lambda s: a_world(BEFORE), down)
        with pytest.raises(AlignmentError, match="nothing tells"):
            remember(floor, store, "floor")
        assert remember(floor, store, "floor", wish="same").alignment == "stated"


def test_poses_that_drift_move_nothing_and_nothing_is_missed(tmp_path):
    class Drifting(Drive):
        def load(self, stub):
            frame = super().load(stub)
            T = frame.T_fixed_camera.copy()
            if stub.stamp_ns > START_NS + 20_000_000_000:
                T[:2, 3] += (0.17, -0.12)
            return dataclasses.replace(frame, T_fixed_camera=T)

    places = [*circle(seconds=12), *circle(seconds=12, begin_s=30.0)]
    source = Drifting(lambda s: a_world(BEFORE), places)
    with open_memory(tmp_path / "m", write=True) as store:
        found = remember(source, store, "a")
        assert (found.new, found.moved, found.gone) == (4, 0, 0)
        assert where(store, "red box").ago_s < 2.0


class StoppedError(Exception):
    """Ends a run in the middle."""


def test_an_interrupted_run_is_continued_and_gives_the_same_rows(tmp_path):
    def tables(store):
        names = ("instances", "stays", "intervals", "absences", "keyframes")
        skipped = {"surface", "covariance", "picture", "depth", "crops"}
        return {
            name: [
                {key: row[key] for key in row.keys() if key not in skipped}  # noqa: SIM118
                for row in store.rows(f"SELECT * FROM {name} ORDER BY id")
            ]
            for name in names
        }

    with open_memory(tmp_path / "whole", write=True) as store:
        remember(day(), store, "day")
        whole = tables(store)

    def until(stubs):
        for index, stub in enumerate(stubs):
            if index == 20:  # in the middle of a window
                raise StoppedError
            yield stub

    with open_memory(tmp_path / "parts", write=True) as store, pytest.raises(StoppedError):
        remember(day(), store, "day", progress=until)
    source = day()
    with open_memory(tmp_path / "parts", write=True) as store:
        found = remember(source, store, "day")
        parts = tables(store)
        assert len(store.rows("SELECT id FROM sessions WHERE complete")) == 1
    assert found.alignment == "continued" and source.loaded == 48 - 16
    assert len(parts["stays"]) == len(whole["stays"])
    for a, b in zip(parts["stays"], whole["stays"], strict=True):
        assert a["instance"] == b["instance"] and a["last_ns"] == b["last_ns"]
        assert np.allclose([a["x"], a["y"], a["z"]], [b["x"], b["y"], b["z"]], atol=0.03)
    assert [row["first_ns"] for row in parts["absences"]] == [
        row["first_ns"] for row in whole["absences"]
    ]


def test_a_recording_taken_in_twice_changes_nothing(memory):
    with open_memory(memory[0], write=True) as store:
        before = store.rows("SELECT sum(views), count(*) FROM intervals")[0]
        source = day(noise=SLOW_NOISE)
        found = remember(source, store, "day")
        assert found.frames == 0 and source.loaded == 0 and not found.warnings
        assert tuple(store.rows("SELECT sum(views), count(*) FROM intervals")[0]) == tuple(before)


def test_missing_pictures_are_said_and_the_rest_still_answers(memory, tmp_path):
    folder = shutil.copytree(memory[0], tmp_path / "copy")
    for path in folder.glob("pictures/*/*"):
        path.unlink()
    with open_memory(folder, write=True) as store:
        found = remember(day(noise=SLOW_NOISE), store, "day")
        assert [item.code for item in found.warnings] == ["memory_pictures_missing"]
        answer = where(store, "the green cylinder")
    assert answer.status == "seen" and answer.view_goal is not None
    assert all(not item.picture for item in answer.evidence if item.table == "keyframes")


def test_frames_that_are_not_localised_are_counted_and_not_recorded(tmp_path):
    class Lost(Drive):
        def load(self, stub):
            frame = super().load(stub)
            if stub.serial % 3 == 0:
                return dataclasses.replace(frame, T_fixed_camera=None, fixed_frame="")
            return dataclasses.replace(
                frame, pose_std=(1.0, 0.01) if stub.serial % 3 == 1 else None
            )

    source = Lost(lambda s: a_world(BEFORE), circle(seconds=12))
    with open_memory(tmp_path / "m", write=True) as store:
        found = remember(source, store, "a")
        assert (found.frames, found.not_localised) == (8, 16)
        assert [item.code for item in found.warnings] == ["memory_not_localised"]
    bad = MemoryConfig(localised_only=False)
    with open_memory(tmp_path / "n", write=True) as store:
        found = remember(source, store, "a", config=bad)
        assert (found.frames, found.not_localised) == (16, 8)


def test_the_window_bounds_what_is_held(tmp_path):
    """Frames are let go: no more than a window of them lives at a time."""
    import gc
    import weakref

    alive = weakref.WeakSet()
    most = []

    class Watched(Drive):
        def load(self, stub):
            frame = super().load(stub)
            alive.add(frame)
            gc.collect()
            most.append(len(alive))
            return frame

    source = Watched(lambda s: a_world({1: BEFORE[1]}), circle(seconds=20), size=(48, 64))
    with open_memory(tmp_path / "m", write=True) as store:
        remember(source, store, "a")
    assert max(most) <= MemoryConfig().window + 2


def test_past_answers_make_their_words_known(tmp_path):
    with open_memory(tmp_path / "m", write=True) as store:
        remember(Drive(lambda s: a_world(BEFORE), circle(seconds=8)), store, "a")
        red = where(store, "red box")
        assert where(store, "the toolbox").status == "unsure"
        keep_answer(store, red, "the toolbox is the red box")
        answer = where(store, "the toolbox")
        assert answer.instance == red.instance and answer.status == "seen"
        assert any(item.code == "memory_words_unknown" for item in answer.warnings)


def test_labels_of_a_detector_are_words(tmp_path):
    from oryx_scene.marks.detections.records import Detection
    from oryx_scene.memory.detected import WindowDetections

    source = Drive(lambda s: a_world(BEFORE), circle(seconds=8))
    found = []
    for stub in source.stubs():
        labels = source.load(stub).labels
        for number, name in ((1, "tool box"), (2, "globe")):
            rows, columns = np.nonzero(labels == number)
            if len(rows) > 40:
                box = (columns.min(), rows.min(), columns.max(), rows.max())
                box = tuple(float(value) for value in box)
                found.append(Detection("front", stub.stamp_ns, box, name))
    with open_memory(tmp_path / "m", write=True) as store:
        remember(source, store, "a", find=WindowDetections(found).find)
        assert read_words(store, "is the tool box still there?").labels == ("tool box",)
        answer = where(store, "is the tool box still there?")
        assert answer.status == "seen" and place_error(answer, BEFORE[1]) < 0.15
        assert answer.candidates[0].described == "red tool box"
        assert not answer.warnings


def test_a_fingerprint_tells_recordings_apart():
    a, b = circle(seconds=4), circle(seconds=4, begin_s=1.0)
    first, second = (Drive(lambda s: None, places) for places in (a, b))
    assert fingerprint_of("x", first) != fingerprint_of("x", second)
    assert fingerprint_of("x", first) == fingerprint_of("x", first) != fingerprint_of("y", first)


def test_a_memory_is_a_source_of_its_keyframes(memory):
    from oryx_scene.cli.common import open_recording
    from oryx_scene.marks.finder import find_marks
    from oryx_scene.records import ViewSet

    source = open_recording(memory[0])
    assert len(source.stubs()) == memory[1].keyframes > 4
    frames = list(source.frames())
    assert not source.warnings
    true = day().load(day().stubs()[0])
    first = frames[0]
    assert first.stamp_ns == true.stamp_ns and first.fixed_frame == "map"
    assert np.abs(first.rgb.astype(int) - true.rgb).mean() < 6.0
    known = np.isfinite(first.depth) & np.isfinite(true.depth)
    assert np.median(np.abs(first.depth - true.depth)[known]) < 0.05
    assert np.allclose(first.T_fixed_camera, true.T_fixed_camera, atol=0.05)
    assert np.allclose(first.intrinsics.K, true.intrinsics.K)
    # What the marks of the kept pictures say is where things are.
    marks = find_marks(ViewSet(tuple(frames[:4])))
    places = np.array([mark.position for mark in marks.marks])
    assert np.linalg.norm(places - (0.7, -0.8, 0.2), axis=1).min() < 0.15
