"""The same answers from Ray's workers as from one process, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytest.importorskip("pyarrow", reason="the extra 'batch' is not installed")

from batch_parrot import (
    STAGES,
    dying_worker,
    make_settings,
    parrot_worker,
    program_env,
    run_batch,
    timeless,
)

from oryx_scene.batch.folder import read_batch
from oryx_scene.batch.ray_engine import RayEngine, RayWorkers

PROGRAM = Path(__file__).parent / "batch_parrot.py"


@pytest.fixture(scope="module")
def whole(walls, tmp_path_factory):
    """What one process writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run_batch(walls, out)
    return out


def on_ray(walls, out, make_worker, workers=2, **more):
    settings = make_settings()
    with RayEngine(settings, make_worker, "auto", RayWorkers(workers)) as engine:
        return run_batch(walls, out, engine, settings, **more)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_same_answers(ray_cluster, walls, whole, tmp_path, workers):
    batch = on_ray(walls, tmp_path / "o", partial(parrot_worker, seconds=0.05), workers)
    assert timeless(tmp_path / "o") == timeless(whole)
    (run,) = read_batch(tmp_path / "o")["runs"]
    assert run["engine"]["ray"] == ray_cluster.__version__
    assert sum(item["chunks"] for item in run["workers"].values()) == 9
    pids = {item["pid"] for item in run["workers"].values()}
    assert 1 <= len(pids) <= workers and os.getpid() not in pids
    assert batch.progress.finished == 3


def test_workers_killed_in_every_stage_lose_and_repeat_nothing(ray_cluster, walls, whole, tmp_path):
    """A chunk that kills whoever works on it is set aside; the next run answers it."""
    marker = tmp_path / "deaths"
    marker.mkdir()
    maker = partial(dying_worker, marker=str(marker))
    batch = on_ray(walls, tmp_path / "o", maker, chunk_moments=1)
    assert {path.name for path in marker.iterdir()} == set(STAGES)
    assert (batch.progress.set_aside, batch.progress.answers) == (1, 28)
    (item,) = read_batch(tmp_path / "o")["set_aside"]
    assert (item["error"]["type"], item["attempts"]) == ("WorkerDied", 3)
    assert (Path(item["source"]).name, item["chunk"].rpartition("/")[2]) == ("b", "3")
    assert item["error"]["message"].count("pid") == 3
    before = timeless(tmp_path / "o")
    assert before == {
        key: whole_record for key, whole_record in timeless(whole).items() if key in before
    }
    again = run_batch(walls, tmp_path / "o")
    assert (again.progress.new, again.progress.set_aside) == (2, 0)
    assert timeless(tmp_path / "o") == timeless(whole)


def test_the_command_killed_goes_on_with_what_is_left(walls, whole, tmp_path):
    command = [sys.executable, str(PROGRAM), str(walls), str(tmp_path / "o"), "0.2"]
    process = subprocess.Popen(command, start_new_session=True, env=program_env())
    end = time.monotonic() + 120
    while time.monotonic() < end and not any((tmp_path / "o").glob("recordings/*/answers.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = timeless(tmp_path / "o")
    assert 0 < len(left) < 30
    batch = run_batch(walls, tmp_path / "o")
    assert batch.progress.new == 30 - len(left)
    assert timeless(tmp_path / "o") == timeless(whole)


def test_no_cluster_at_the_address_is_said(tmp_path):
    code = (
        "from oryx_scene.batch.ray_engine import RayEngine\n"
        "from oryx_scene.errors import EngineError\n"
        "try: RayEngine(None, None, '127.0.0.1:1')\n"
        "except EngineError as err: print(err)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert "no Ray cluster at '127.0.0.1:1'" in done.stdout, done.stderr[-800:]
