"""Helpers end with the process that started them, also where SIGINT is ignored."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A module, since a new process must import what it runs.
HELPER = """
import multiprocessing, os, signal, sys, time
from oryx_scene.lab.process_guard import end_with_parent

def helper(guarded):
    if guarded:
        end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    multiprocessing.get_context("spawn").Process(target=helper, args=(sys.argv[1] == "1",)).start()
    time.sleep(60)
"""


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("guarded", [True, False])
def test_a_helper_ends_when_its_parent_is_killed(tmp_path, guarded):
    script = tmp_path / "helper.py"
    script.write_text(HELPER)
    command = [sys.executable, str(script), str(int(guarded))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            until = time.monotonic() + (20 if guarded else 1)
            while guarded and lives(pid) and time.monotonic() < until:
                time.sleep(0.05)
            # Without the guard it lives on: the test can tell.
            assert lives(pid) != guarded
        finally:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
