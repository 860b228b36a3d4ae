"""A batch answers everything once, whatever breaks, and as a replay does (one process)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the extra 'batch' is not installed")

from batch_parrot import make_settings, parrot_worker, program_env, run_batch, timeless, write_wall
from hypothesis import given
from hypothesis import strategies as st
from parrot import QUESTIONS, parrot_answerer, replay_wall

from oryx_scene.batch.folder import BatchFolder, read_batch, read_plans
from oryx_scene.batch.run import LocalEngine
from oryx_scene.batch.steps import BatchStory
from oryx_scene.batch.task import RecordingPlan, chunks_of
from oryx_scene.batch.worker import Attempts, Worker
from oryx_scene.errors import CheckpointError, EngineError, OutputError
from oryx_scene.replay.journal import answer_key, read_answers
from oryx_scene.replay.questions import QuestionTime

PROGRAM = Path(__file__).parent / "batch_parrot.py"


@pytest.fixture(scope="module")
def whole(walls, tmp_path_factory):
    """What an undisturbed run writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run_batch(walls, out)
    return out


def test_every_recording_is_answered_as_a_replay_answers_it(walls, whole, tmp_path):
    found = timeless(whole)
    assert len(found) == 2 * (7 + 5 + 3)
    for name in ("a", "b", "c"):
        replay_wall(walls / name, tmp_path / name, parrot_answerer())
        for record in read_answers(tmp_path / name):
            batch = found[name, record["key"]]
            for part in ("timings_s", "counters"):
                record["answer"].pop(part)
            assert {k: v for k, v in batch.items() if k not in ("recording", "content_key")} == (
                record
            )


def test_the_manifest_says_what_ran_where(whole):
    manifest = read_batch(whole)
    assert manifest["summary"] == {
        "recordings": 3,
        "finished": 3,
        "answers": 30,
        "of": 30,
        "errors": 0,
        "broken": 0,
        "set_aside": 0,
    }
    (run,) = manifest["runs"]
    assert run["engine"] == {"kind": "one process"}
    (worker,) = run["workers"].values()
    assert (worker["pid"], worker["chunks"], run["chunks"]) == (os.getpid(), 9, 9)
    # A recording is opened once for all its chunks that follow each other.
    assert (run["figures"]["opens"], run["figures"]["frames_read"]) == (3, 27)
    assert run["new_answers"] == 30
    assert manifest["asked"]["model"] == "parrot r1 float32 none"


def test_a_second_run_reads_no_recording_and_asks_nothing(whole):
    before, parrot = timeless(whole), parrot_answerer()
    settings = make_settings()
    (name,) = {Path(plan.location).parent for plan in read_plans(whole)}
    batch = run_batch(name, whole, LocalEngine(Worker(settings, lambda _: parrot)))
    assert (batch.progress.new, parrot.prompts, batch.run_record["chunks"]) == (0, [], 0)
    assert batch.progress.finished == 3
    assert timeless(whole) == before


def test_stopped_after_any_chunk_it_goes_on(walls, whole, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(progress):
        if progress.new:
            raise StoppedError

    counts = []
    for _ in range(4):
        with pytest.raises(StoppedError):
            run_batch(walls, tmp_path / "o", on_progress=stop)
        counts.append(len(timeless(tmp_path / "o")))
    assert counts == [4, 8, 12, 14]  # chunks of two moments; the last of 'a' has one
    run_batch(walls, tmp_path / "o")
    assert timeless(tmp_path / "o") == timeless(whole)
    assert [run["ended"] is not None for run in read_batch(tmp_path / "o")["runs"]] == [True] * 5


def test_killed_nothing_is_lost_or_repeated(walls, whole, tmp_path):
    command = [sys.executable, str(PROGRAM), str(walls), str(tmp_path / "o")]
    process = subprocess.Popen([*command, "0.05", "--one-process"], env=program_env())
    _wait_for(lambda: any((tmp_path / "o").glob("recordings/*/answers.jsonl")), process)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = len(timeless(tmp_path / "o"))
    assert 0 < left < 30
    run_batch(walls, tmp_path / "o")
    assert timeless(tmp_path / "o") == timeless(whole)
    assert read_batch(tmp_path / "o")["runs"][0]["ended"] is None


def _wait_for(ready, process, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None and not ready():
        time.sleep(0.01)
    assert ready()


def test_a_broken_recording_is_named_and_the_rest_is_answered(walls, tmp_path):
    folder = tmp_path / "bags"
    folder.mkdir()
    (folder / "good").symlink_to(walls / "c")
    (folder / "zeros.mcap").write_bytes(bytes(4096))
    (folder / "pointer.mcap").write_text("version https://git-lfs.github.com/spec/v1\noid sha256")
    batch = run_batch(folder, tmp_path / "o")
    assert (batch.progress.broken, batch.progress.answers, batch.progress.finished) == (2, 6, 1)
    broken = {Path(item["source"]).name: item for item in read_batch(tmp_path / "o")["broken"]}
    assert broken.keys() == {"zeros.mcap", "pointer.mcap"}
    assert "git-lfs" in broken["pointer.mcap"]["error"]["message"]
    assert broken["pointer.mcap"]["error"]["type"] == "SourceError"


def test_the_same_content_under_two_names_is_answered_once(walls, tmp_path):
    folder = tmp_path / "bags"
    folder.mkdir()
    file = next((walls / "c").glob("*.mcap"))
    for name in ("first.mcap", "second.mcap"):
        (folder / name).write_bytes(file.read_bytes())
    batch = run_batch(folder, tmp_path / "o")
    assert (batch.progress.recordings, batch.progress.answers) == (1, 6)
    (copy,) = read_batch(tmp_path / "o")["copies"]
    assert [Path(copy[k]).name for k in ("source", "same_as")] == ["second.mcap", "first.mcap"]


def test_equal_stamps_of_other_content_are_other_recordings(whole):
    plans = list(read_plans(whole))
    assert len({plan.asked["recording"] for plan in plans}) == 3  # lengths differ
    assert len({plan.sha256 for plan in plans}) == 3
    keys = [record["content_key"] for record in timeless(whole).values()]
    assert len(set(keys)) == 30


def test_a_recording_that_is_added_later_is_all_that_is_asked(walls, tmp_path):
    folder = tmp_path / "bags"
    folder.mkdir()
    (folder / "b").symlink_to(walls / "b")
    run_batch(folder, tmp_path / "o")
    (folder / "c").symlink_to(walls / "c")
    batch = run_batch(folder, tmp_path / "o")
    assert (batch.progress.new, batch.progress.answers) == (6, 16)


class Stumbling(Worker):
    """Fails like a bug would, at one chunk, a number of times."""

    def __init__(self, settings, chunk, times):
        super().__init__(settings, lambda _: parrot_answerer())
        self.chunk, self.left, self.tries = chunk, times, 0

    def _do(self, task):
        if task.moments and task.name.endswith(self.chunk):
            self.tries += 1
            if self.left:
                self.left -= 1
                raise ZeroDivisionError("a bug")
        return super()._do(task)


@pytest.mark.parametrize(("times", "aside", "answers"), [(2, 0, 10), (3, 1, 6)])
def test_a_chunk_is_tried_three_times(walls, tmp_path, times, aside, answers):
    settings = make_settings()
    worker = Stumbling(settings, "/1", times)
    batch = run_batch(walls / "b", tmp_path / "o", LocalEngine(worker))
    assert (batch.progress.set_aside, batch.progress.answers) == (aside, answers)
    assert worker.tries == 3
    listed = read_batch(tmp_path / "o")["set_aside"]
    assert len(listed) == aside
    if aside:
        assert listed[0]["error"]["type"] == "ZeroDivisionError"
        assert "a bug" in listed[0]["error"]["message"]
        assert (listed[0]["attempts"], listed[0]["chunk"][-2:]) == (3, "/1")
        # The next run tries it again.
        assert run_batch(walls / "b", tmp_path / "o").progress.answers == 10
        assert read_batch(tmp_path / "o")["set_aside"] == []


def test_an_answer_that_fails_is_a_record_as_in_a_replay(walls, tmp_path):
    settings = make_settings()
    worker = parrot_worker(settings, fails_on="near")
    batch = run_batch(walls / "c", tmp_path / "o", LocalEngine(worker))
    assert (batch.progress.errors, batch.progress.answers, batch.progress.set_aside) == (3, 6, 0)
    story = BatchStory(tmp_path / "o")
    assert (len(story), len(story.errors)) == (3, 3)
    assert story.errors[0]["error"]["message"] == "the parrot is out of memory."


def test_other_questions_and_another_model_are_refused(walls, whole):
    with pytest.raises(OutputError, match=r"another batch \(different: times\)"):
        run_batch(walls, whole, settings=make_settings(2.0))
    with pytest.raises(OutputError, match=r"different: questions"):
        run_batch(walls, whole, settings=make_settings(entries=QUESTIONS[:1]))
    with BatchFolder(whole, make_settings().digests()) as folder:
        folder.use_model("parrot r1 float32 none")
        with pytest.raises(OutputError, match=r"different: model"):
            folder.use_model("owl r1 float32 none")
        with pytest.raises(OutputError, match="another batch is writing"):
            BatchFolder(whole, make_settings().digests())


def test_a_recording_that_changes_under_way_is_set_aside(tmp_path):
    path = write_wall(tmp_path / "wall", 3, 50)
    (file,) = path.glob("*.mcap")

    def change(progress):
        if progress.new == 4:
            os.utime(file, ns=(1, 1))

    batch = run_batch(path, tmp_path / "o", on_progress=change)
    assert (batch.progress.answers, batch.progress.set_aside) == (4, 1)
    (item,) = read_batch(tmp_path / "o")["set_aside"]
    assert "have changed" in item["error"]["message"]


def test_a_model_that_cannot_be_loaded_ends_the_run(walls, tmp_path):
    def load(settings):
        raise CheckpointError(settings.model, "no such folder.", hint="look again")

    engine = LocalEngine(Worker(make_settings(), load))
    with pytest.raises(EngineError, match=r"default: no such folder.*look again"):
        run_batch(walls / "c", tmp_path / "o", engine)
    assert read_batch(tmp_path / "o")["runs"][0]["ended"] is not None


def test_a_full_disk_ends_the_run_and_the_next_goes_on(walls, whole, tmp_path, monkeypatch):
    from oryx_scene.batch import folder as module

    real, calls = module.Journal.append, []

    def full(self, *records):
        calls.append(1)
        if len(calls) == 3:
            self._file.write(b'{"half": ')  # as far as the disk went
            self._file.flush()
            raise OutputError(self.folder, "No space left on device")
        real(self, *records)

    with monkeypatch.context() as patch:
        patch.setattr(module.Journal, "append", full)
        with pytest.raises(OutputError, match="No space left"):
            run_batch(walls, tmp_path / "o")
    run_batch(walls, tmp_path / "o")
    assert timeless(tmp_path / "o") == timeless(whole)


def test_attempts_count_deaths_and_forget_what_ended():
    log = Attempts()
    assert log.begin("x", "here") == (1, None)
    number, last = log.begin("x", "there")
    assert (number, last["type"]) == (2, "WorkerDied")
    assert "here" in last["message"]
    log.fail("x", {"type": "E", "message": "m", "hint": ""})
    assert log.begin("x", "there") == (3, {"type": "E", "message": "m", "hint": ""})
    log.finish("x")
    assert log.begin("x", "here") == (1, None)


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True), max_size=20),
    st.integers(1, 7),
    st.data(),
)
def test_chunks_are_exactly_what_is_open(asked, size, data):
    moments = tuple(QuestionTime(100 + at, tuple(sorted(which))) for at, which in enumerate(asked))
    names = ["w", "x", "y", "z"]
    keys = [answer_key(m.at_ns, names[index]) for m in moments for index in m.questions]
    done = {key for key in keys if data.draw(st.booleans())}
    plan = RecordingPlan("/r", "f", "0" * 64, {}, {"name": "r"}, moments)
    chunks = list(chunks_of(plan, names, done, size))
    given_out = [
        answer_key(m.at_ns, names[index])
        for chunk in chunks
        for m in chunk.moments
        for index in m.questions
    ]
    assert given_out == [key for key in keys if key not in done]
    assert all(0 < len(chunk.moments) <= size for chunk in chunks)
    # A chunk keeps its place whatever is done.
    for chunk in chunks:
        place = int(chunk.name.rpartition("/")[2])
        assert {m.at_ns for m in chunk.moments} <= {
            m.at_ns for m in moments[place * size : (place + 1) * size]
        }


def test_steps_go_through_all_recordings(whole):
    story = BatchStory(whole)
    assert len(story) == story.total == 30
    titles = [story[index].title for index in (0, 14, 29)]
    assert [title.partition(":")[0] for title in titles] == ["a", "b", "c"]
    assert story.seconds(story.records[14]) == 6.0  # 'b' follows the six seconds of 'a'
    assert story[29].caption.question == "What is near?"
    assert story.manifest["recording"]["frames"] == 27
    few = BatchStory(whole, most=5)
    assert (len(few), few.total) == (5, 30)
    assert "5 of 30 answers" in few.manifest["recording"]["name"]
    assert json.dumps(few.manifest)
