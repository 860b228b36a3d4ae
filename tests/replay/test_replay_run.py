"""A replay answers everything once, whatever interrupts it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from parrot import QUESTIONS, parrot_answerer, replay_wall

from oryx_scene.errors import OutputError, SourceError
from oryx_scene.records import Question
from oryx_scene.replay.journal import ANSWERS, Journal, read_answers, read_manifest
from oryx_scene.replay.questions import AskedQuestion
from oryx_scene.replay.steps import ReplayStory

KEYS = [f"{10**12 + s * 10**9}/{name}" for s in range(7) for name in ("near", "far")]


def timeless(folder):
    """All records without the parts that differ between equal runs."""
    records = read_answers(folder)
    for record in records:
        for name in ("timings_s", "counters"):
            record.get("answer", {}).pop(name, None)
    return records


@pytest.fixture(scope="module")
def whole(wall_bag, tmp_path_factory):
    """What an uninterrupted replay writes."""
    folder = tmp_path_factory.mktemp("whole") / "replay"
    replay_wall(wall_bag, folder, parrot_answerer())
    return folder


def test_every_question_is_answered_once_in_time_order(whole, wall_bag):
    records = read_answers(whole)
    assert [record["key"] for record in records] == KEYS
    answer = records[3]["answer"]
    assert answer["question"]["text"] == "How far is mark 1?"
    assert all(item["age_s"] >= 0 for item in answer["evidence"])
    assert {item["camera"] for item in answer["evidence"]} == {"front", "side"}
    assert max(item["stamp_ns"] for item in answer["evidence"]) <= records[3]["at_ns"]


def test_the_factor_of_real_time_is_recorded_over_wall_time(wall_bag, tmp_path):
    started = time.perf_counter()
    result = replay_wall(wall_bag, tmp_path / "r", parrot_answerer())
    took = time.perf_counter() - started
    assert result.recorded_s == 6.0
    assert result.wall_s <= took
    assert result.real_time_factor == pytest.approx(6.0 / result.wall_s)
    summary = read_manifest(tmp_path / "r")["summary"]
    assert summary["real_time_factor"] == pytest.approx(result.real_time_factor)
    assert sum(summary["stages_s"].values()) <= result.wall_s


def test_frames_that_neighbouring_moments_share_are_read_once(wall_bag, tmp_path):
    result = replay_wall(wall_bag, tmp_path / "r", parrot_answerer())
    assert result.frames_read == 26


def test_a_second_run_asks_nothing_and_keeps_the_figures(wall_bag, whole):
    before, summary = timeless(whole), read_manifest(whole)["summary"]
    parrot = parrot_answerer()
    result = replay_wall(wall_bag, whole, parrot)
    assert (result.asked, result.kept, result.frames_read, parrot.prompts) == (0, 14, 0, [])
    assert timeless(whole) == before
    assert read_manifest(whole)["summary"] == summary


@pytest.mark.parametrize("kills", [3])
def test_killed_at_random_moments_nothing_is_lost_or_repeated(wall_bag, whole, tmp_path, kills):
    folder = tmp_path / "killed"
    script = Path(__file__).parent / "parrot.py"
    command = [sys.executable, str(script), str(wall_bag), str(folder), "0.4"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    rng, counts = random.Random(7), []
    for _ in range(kills):
        # Counted from the first new byte on: starting takes longer than answering.
        before = (folder / ANSWERS).stat().st_size if (folder / ANSWERS).exists() else 0
        process = subprocess.Popen(command, start_new_session=True, env=environment)
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if (folder / ANSWERS).exists() and (folder / ANSWERS).stat().st_size > before:
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        counts.append((folder / ANSWERS).read_bytes().count(b"\n"))
    assert counts == sorted(counts) and 0 < counts[-1] < len(KEYS), counts
    subprocess.run(command[:-1], check=True, env=environment)
    assert timeless(folder) == timeless(whole)


def test_torn_at_any_byte_the_journal_goes_on(whole, tmp_path):
    data = (whole / ANSWERS).read_bytes()
    manifest = read_manifest(whole)
    lines = data.splitlines(keepends=True)
    edges = [sum(map(len, lines[:count])) for count in range(len(lines) + 1)]
    folder = tmp_path / "torn"
    folder.mkdir()
    cuts = {0, 1, *edges, *(edge - 1 for edge in edges[1:]), *(edge + 7 for edge in edges[:-1])}
    for cut in sorted(cuts):
        (folder / ANSWERS).write_bytes(data[:cut])
        with Journal(folder, manifest) as journal:
            assert len(journal.done) == sum(edge <= cut for edge in edges[1:])
            for record in (json.loads(line) for line in lines[len(journal.done) :]):
                assert record["key"] not in journal.done
                journal.append(record)
        assert (folder / ANSWERS).read_bytes() == data


def test_a_torn_line_of_zeros_is_cut_off(whole, tmp_path):
    # What some file systems leave after a power cut: the length is there, the bytes are not.
    folder = tmp_path / "zeros"
    folder.mkdir()
    first = (whole / ANSWERS).read_bytes().splitlines(keepends=True)[0]
    (folder / ANSWERS).write_bytes(first + b"\0" * 300 + b"\n")
    with Journal(folder, read_manifest(whole)) as journal:
        assert len(journal.done) == 1
    assert (folder / ANSWERS).read_bytes() == first


def test_damage_before_the_last_line_is_refused(whole, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    data = (whole / ANSWERS).read_bytes()
    (folder / ANSWERS).write_bytes(b"x" + data)
    with pytest.raises(SourceError, match="line at byte 0 is damaged"):
        Journal(folder, read_manifest(whole))


def test_another_replay_s_folder_is_refused_by_what_differs(whole):
    manifest = read_manifest(whole)
    manifest["asked"] = {**manifest["asked"], "model": "owl"}
    with pytest.raises(OutputError, match=r"another replay \(different: model\)"):
        Journal(whole, manifest)


def test_two_processes_cannot_write_one_folder(whole):
    manifest = read_manifest(whole)
    with Journal(whole, manifest), pytest.raises(OutputError, match="another replay is writing"):
        Journal(whole, manifest)


def test_a_failing_answer_is_a_record_and_the_replay_goes_on(wall_bag, tmp_path):
    result = replay_wall(wall_bag, tmp_path / "r", parrot_answerer(fails_on="near"), every_s=3.0)
    assert (result.asked, result.failed) == (6, 3)
    errors = [record for record in read_answers(tmp_path / "r") if "error" in record]
    assert {record["question_id"] for record in errors} == {"near"}
    assert errors[0]["error"]["message"] == "the parrot is out of memory."
    story = ReplayStory(tmp_path / "r")
    assert (len(story), len(story.errors)) == (3, 3)


def test_a_question_may_have_moments_of_its_own(wall_bag, tmp_path):
    entries = (*QUESTIONS, AskedQuestion("own", Question("Now?"), at_s=(1.5, 6.0)))
    replay_wall(wall_bag, tmp_path / "r", parrot_answerer(), entries, every_s=6.0)
    keys = [record["key"] for record in read_answers(tmp_path / "r")]
    start, end = 10**12, 10**12 + 6 * 10**9
    assert keys == [
        *(f"{start}/near", f"{start}/far", f"{start + 15 * 10**8}/own"),
        *(f"{end}/near", f"{end}/far", f"{end}/own"),
    ]


def test_a_moment_with_stale_frames_is_an_error_of_its_questions(tmp_path, office_folder):
    # The camera of this recording pauses for ten seconds.
    replay_wall(office_folder, tmp_path / "r", parrot_answerer(), every_s=8.0)
    first, _, stale, _ = read_answers(tmp_path / "r")
    assert "answer" in first
    assert stale["error"]["type"] == "StaleFramesError"


def test_steps_show_the_scene_of_their_answer(whole):
    story = ReplayStory(whole)
    assert len(story) == 14
    step = story[4]
    assert step.title == "answer 5 of 14, at 2.00 s"
    assert step.caption.question == "What is near?"
    assert step.named == (1,)
    assert step.snapshot.frame_id == "map"
    path = step.snapshot.path
    assert path[0] == pytest.approx((0, 0.5, 1), abs=1e-6)
    assert path[-1] == pytest.approx((0, 0.58, 1), abs=1e-6)
    assert len(step.snapshot.cloud.points) > 500
