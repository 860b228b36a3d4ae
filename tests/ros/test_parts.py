"""The parts that know nothing of rclpy: queue, rings, schema, merged feedback; the docs page."""

import ast
import re
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from harness import image, wait_until
from hypothesis import given, settings
from hypothesis import strategies as st
from oryx_scene_msgs.action import AskScene
from oryx_scene_ros.convert import warning_messages
from oryx_scene_ros.error_codes import MEANINGS, NAMES_OF_FLAGS, Code, failure_of, for_clients
from oryx_scene_ros.intake.message_buffer import BufferedMessage, Ring
from oryx_scene_ros.output.feedback import PERIOD_S, Later, MergedFeedback
from oryx_scene_ros.parameters.pages import PAGES
from oryx_scene_ros.parameters.schema import BY_NAME, SPECS, all_specs, problem_with
from oryx_scene_ros.parameters.settings import settings_from
from oryx_scene_ros.queries.query_handler import QueryStage
from oryx_scene_ros.queries.worker import Job, QueueFull, Worker

from oryx_scene.errors import OryxSceneError
from oryx_scene.records import Frame, Mark, MarkSet, ViewSet
from oryx_scene.scene.frame_selection import _thin
from oryx_scene.sources.base import FrameStub
from oryx_scene.warning import KINDS, Warning

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_those_of_the_tables(name):
    page = ROOT / "docs" / f"ros_{name}.md"
    assert page.read_text() == PAGES[name](), f"parameters.pages {name} > {page.name}"


def test_every_error_code_is_explained_once_and_as_in_the_message():
    text = (ROOT / "ros" / "oryx_scene_msgs" / "msg" / "ErrorInfo.msg").read_text()
    lines = re.findall(r"^uint16 (\w+)=(\d+)(?: +# (.*))?$", text, re.MULTILINE)
    assert {name: int(code) for name, code, _ in lines} == {c.name: int(c) for c in Code}
    assert set(MEANINGS) == set(Code)
    said = {name: meaning for name, _, meaning in lines if meaning}
    assert said == {c.name: MEANINGS[c][0] for c in Code if c is not Code.NONE}


# No question to a node comes here.
OF_THE_COMMAND_LINE = ("batch", "cli", "lab", "replay", "view")
FLAG = re.compile(r"--[a-z]")


def sentences():
    """(where, text) of every text in the library that a client of the node may read."""
    for path in sorted((ROOT / "oryx_scene").rglob("*.py")):
        if path.relative_to(ROOT / "oryx_scene").parts[0] in OF_THE_COMMAND_LINE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # Statements that are only a text are documentation.
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and id(node) not in docs:
                yield f"{path.name}:{node.lineno}", text


def test_what_the_library_advises_names_parameters_to_a_client():
    found = [(where, text) for where, text in sentences() if FLAG.search(text)]
    assert len(found) > 20
    quoted = re.compile("`[^`]*`")
    # The renderer belongs to `oryx-scene view`; a dump says there what command wrote it.
    spared = ("ask for --renderer splat",)
    for where, text in found:
        said = for_clients(text)
        assert not FLAG.search(quoted.sub("", said)) or text.endswith(spared), (where, said)
    names = set(all_specs(["NAME"]))
    fields = AskScene.Goal.get_fields_and_field_types()
    assert {name.removesuffix(": false") for name in NAMES_OF_FLAGS.values()} <= {*names, *fields}


def test_errors_and_warnings_reach_a_client_in_its_words():
    failure = failure_of(OryxSceneError("no --dtype.", hint="`check --rig X` (--rig)"))
    assert failure.message == "no model.dtype."
    assert failure.hint == "`check --rig X` (rig_file)"
    for code in sorted(KINDS.keys() - {"other_renderer"}):
        (message,) = warning_messages([Warning(code, "it happened")])
        assert message.advice and not FLAG.search(message.advice), message.advice


def test_every_default_passes_its_own_check():
    specs = all_specs(["front"])
    assert [problem_with(spec, spec.default) for spec in specs.values()] == [""] * len(specs)
    settings_from({name: spec.default for name, spec in specs.items()})


@pytest.mark.parametrize("spec", [s for s in SPECS if s.high is not None], ids=lambda s: s.name)
def test_every_range_is_held(spec):
    kind = type(spec.default)
    for value in (spec.low, spec.high):
        assert problem_with(spec, kind(value)) == "" or spec.name == "gen.top_p"
    step = kind(1)
    assert "must lie" in problem_with(spec, kind(spec.high) + step)
    assert "must lie" in problem_with(spec, kind(spec.low) - step)
    if kind is float:
        assert problem_with(spec, float("nan"))
    assert "type" in problem_with(spec, "text")


def test_every_setting_of_the_library_is_a_parameter():
    from oryx_scene.config import GROUPS, settings_of

    for group in GROUPS:
        for name, one in settings_of(group).items():
            spec = BY_NAME[f"{group.group}.{name}"]
            assert (spec.text, spec.low, spec.high) == (one.text, one.low, one.high)
            # A node looks back only where it is told to.
            assert spec.default == getattr(group, name) or spec.name == "views.history_s"


@settings(max_examples=60, deadline=None)
@given(
    stamps=st.lists(st.integers(0, 5000), min_size=1, max_size=60),
    recent=st.integers(0, 300),
    gap=st.integers(0, 300),
    history=st.integers(0, 900),
)
def test_a_ring_is_ordered_bounded_and_has_the_newest(stamps, recent, gap, history):
    ring = Ring()
    for stamp in stamps:
        ring.add(BufferedMessage(stamp, None, 1), recent, gap, history)
    kept = [item.stamp_ns for item in ring.kept]
    assert kept == sorted(set(kept))
    assert kept[-1] == max(stamps)
    assert all(kept[-1] - one <= max(recent, history) for one in kept)
    missing = [s for s in set(stamps) if kept[-1] - s <= recent and s not in kept]
    assert not missing


@settings(max_examples=60, deadline=None)
@given(
    stamps=st.lists(st.integers(1, 5000), min_size=1, max_size=60, unique=True),
    recent=st.integers(0, 300),
    gap=st.integers(0, 300),
    history=st.integers(300, 900),
)
def test_a_ring_has_all_frames_that_a_recording_would_show(stamps, recent, gap, history):
    """Whatever was let go of on the way: the same rule over all frames chooses the same ones."""
    ring, newest = Ring(), max(stamps)
    for stamp in sorted(stamps):
        ring.add(BufferedMessage(stamp, None, 1), recent, gap, history)

    def considered(found):
        stubs = [FrameStub("front", s, s, "", 0) for s in found if newest - s <= history]
        return {stub.stamp_ns for stub in _thin(stubs, gap / 1e9, len(stamps))}

    assert considered(item.stamp_ns for item in ring.kept) == considered(stamps)


def worker_with(capacity=1):
    worker = Worker()
    worker.capacity = capacity
    return worker


def test_the_queue_refuses_with_a_wait_that_follows_measured_durations():
    worker, gate, ended = worker_with(), threading.Event(), []
    slow = [Job(str(n), lambda job: gate.wait(5), ended.append) for n in range(2)]
    worker.submit(slow[0])
    wait_until(lambda: worker.running is slow[0], "the first job")
    worker.submit(slow[1])
    with pytest.raises(QueueFull) as full:
        worker.submit(Job("third", lambda job: None, ended.append))
    assert full.value.wait_s > 1.0
    gate.set()
    wait_until(lambda: len(ended) == 2, "both")
    for _ in range(30):
        worker.submit(Job("quick", lambda job: None, ended.append))
        wait_until(lambda: worker.running is None and not worker.waiting(), "the quick one")
    assert worker.expected_wait_s() < 0.5
    assert worker.close(Code.SHUTTING_DOWN, 5)


def test_work_that_fails_does_not_end_the_thread():
    worker, ended = worker_with(), []

    def fail(job):
        raise ValueError("nobody foresaw this")

    worker.submit(Job("bad", fail, ended.append))
    wait_until(lambda: ended, "the end of the bad job")
    worker.submit(Job("good", lambda job: 7, ended.append))
    wait_until(lambda: len(ended) == 2, "the good job")
    assert ended == [(None, Code.UNKNOWN), (7, None)]
    worker.close(Code.SHUTTING_DOWN, 5)


def test_each_job_ends_exactly_once_whoever_ends_it():
    worker, ended, gate = worker_with(capacity=64), [], threading.Event()
    worker.submit(Job("first", lambda job: gate.wait(10), lambda outcome: None))
    wait_until(lambda: worker.running is not None, "the first job")
    jobs = [Job(str(n), lambda job: None, lambda outcome, n=n: ended.append(n)) for n in range(40)]
    for job in jobs:
        worker.submit(job)
    threads = [
        threading.Thread(target=worker.stop, args=(job, Code.CANCELED))
        for job in jobs
        for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(ended) == 40, "all ends")
    worker.close(Code.SHUTTING_DOWN, 5)
    assert sorted(ended) == list(range(40))


def test_feedback_is_merged_and_nothing_is_lost_or_late():
    sent = []
    later = Later()
    merged = MergedFeedback(lambda *news: sent.append(news), time.monotonic(), later)
    merged.stage(QueryStage.DECODE)
    for number in range(50):
        merged.text(f"{number} ")
    wait_until(lambda: "".join(news[1] for news in sent).endswith("49 "), "the held-back rest", 5)
    merged.text("end")
    merged.close()
    merged.text("too late")
    assert "".join(news[1] for news in sent) == "".join(f"{n} " for n in range(50)) + "end"
    assert len(sent) < 15
    times = [news[3] for news in sent[1:-1]]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert all(gap > PERIOD_S / 2 for gap in gaps)
    later.close()


def test_one_thread_calls_all_that_is_due_in_its_time():
    later, called = Later(), []
    works = [lambda number=number: called.append(number) for number in range(3)]
    now = time.monotonic()
    later.call(works[2], now + 0.08)
    later.call(works[1], now + 0.04)
    later.call(works[0], now + 60.0)
    later.take_back(works[0])
    wait_until(lambda: len(called) == 2, "both", 5)
    assert called == [1, 2]

    def fails():
        raise RuntimeError("on purpose")

    later.call(fails, 0.0)
    later.call(works[1], time.monotonic())
    wait_until(lambda: len(called) == 3, "the call after one that failed", 5)
    later.close()
    later.call(works[1], 0.0)
    assert later._thread is not None and not later._thread.is_alive()


def feeds_of(max_bytes):
    from oryx_scene_ros.intake.message_buffer import (
        Bounds,
        CameraFeed,
        LockedTransforms,
        MessageBuffers,
    )

    values = {name: spec.default for name, spec in all_specs(["front"]).items()}
    camera = settings_from(values).cameras[0]
    bounds = Bounds(10**12, 0, 10**12, max_bytes)
    feed = CameraFeed(camera, camera.topics)
    return MessageBuffers({"front": feed}, LockedTransforms(1.0), lambda: bounds)


def test_memory_is_bounded_over_all_cameras():
    feeds = feeds_of(3 * 9216)
    for step in range(1, 20):
        feeds.add_image("front", image(step * 10**6))
    assert feeds.cameras["front"].images.size == 3 * 9216
    assert feeds.cameras["front"].newest_ns == 19 * 10**6


def test_a_covariance_turns_with_the_frame_of_the_answer():
    from oryx_scene_ros.convert import object_message

    turned = np.eye(4)
    turned[:3, :3] = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    turned[:3, 3] = 7.0
    mark = Mark(1, (), (1.0, 2.0, 3.0), (0.1, 0.1, 0.1), 0.3)
    spread = ((0.09, 0.01, 0.0), (0.01, 0.04, 0.0), (0.0, 0.0, 0.01))
    known = object_message(replace(mark, covariance=spread), turned)
    expected = [[0.04, -0.01, 0.0], [-0.01, 0.09, 0.0], [0.0, 0.0, 0.01]]
    assert np.reshape(known.position_covariance, (3, 3)) == pytest.approx(np.array(expected))
    # Only a standard deviation: it holds in every direction.
    plain = np.reshape(object_message(mark, turned).position_covariance, (3, 3))
    assert plain == pytest.approx(np.eye(3) * 0.09)
    nowhere = object_message(replace(mark, position=None), turned)
    assert np.isnan(nowhere.position_covariance).all()


def test_a_broken_picture_is_counted_and_forgotten_alone():
    feeds = feeds_of(10**9)
    for stamp_ms in (100, 200, 300):
        feeds.add_image("front", image(stamp_ms * 10**6))
    feeds.discard("front", 200 * 10**6, "a broken jpeg")
    feed = feeds.cameras["front"]
    assert [item.stamp_ns for item in feed.images.kept] == [100 * 10**6, 300 * 10**6]
    assert (feed.bad["picture"], feed.last_problem) == (1, "a broken jpeg")


def test_the_age_of_an_answer_is_that_of_its_oldest_frame():
    from oryx_scene_ros.convert import answer_message
    from oryx_scene_ros.queries.query_handler import Reply
    from oryx_scene_ros.queries.scene_store import KeptScene

    picture = np.zeros((2, 2, 3), np.uint8)
    frames = tuple(Frame("front", second * 10**9, "", picture, "") for second in (1, 3))
    views = ViewSet(frames)
    scene = SimpleNamespace(
        views=views,
        frame_id="",
        scene_id="",
        marks=MarkSet(),
        warnings=(),
        timings_s={},
        evidence=(),
    )
    reply = Reply(None, kept=KeptScene(scene, 10**12, 0.0))
    message = answer_message(reply, bytes(16), 5 * 10**9, 0.1)
    assert message.oldest_evidence_age_s == 4.0
    assert message.header.stamp.sec == 3


def test_figures_are_read_while_answers_come_in():
    from oryx_scene_msgs.msg import Answer
    from oryx_scene_ros.output.diagnostics import AnswerLog

    figures, stop, answer = AnswerLog(), threading.Event(), Answer()

    def add():
        while not stop.is_set():
            figures.add(answer)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=add)
    thread.start()
    try:
        # A deque that grows while it is read raises RuntimeError.
        for _ in range(60):
            figures.values()
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)
    assert figures.total > 0
