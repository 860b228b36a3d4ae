"""Stands for a model in tests of replay; also a program that replays a bag, to be killed.

python parrot.py BAG FOLDER [SECONDS_PER_ANSWER]
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

from fake_answerer import CARD, FakeAnswerer

from oryx_scene.errors import EngineError
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import Question
from oryx_scene.replay.frame_cache import RecentFrames
from oryx_scene.replay.journal import Journal
from oryx_scene.replay.questions import AskedQuestion, make_schedule
from oryx_scene.replay.run import Replay
from oryx_scene.sources.registry import open_source

QUESTIONS = tuple(
    AskedQuestion(name, Question(text))
    for name, text in (("near", "What is near?"), ("far", "How far is mark 1?"))
)


def parrot_answerer(seconds=0.0, fails_on=""):
    """Says back the question's length and the scene's picture keys; fails where it is told to."""

    def words(prompt):
        if fails_on and fails_on in prompt.question:
            raise EngineError("the parrot is out of memory.", hint="feed it")
        time.sleep(seconds)
        keys = [key[:4] for part in prompt.scene if not isinstance(part, str) for key in part.keys]
        return (f"Mark 1, {len(prompt.question)} letters, pictures {' '.join(keys)}.",)

    return FakeAnswerer(words, card=dataclasses.replace(CARD, name="parrot"))


def replay_wall(bag, folder, answerer, entries=QUESTIONS, every_s=1.0, on_record=None):
    """One run over the whole bag; returns its figures."""
    source = RecentFrames(open_source(bag))
    stamps = [stub.stamp_ns for stub in source.stubs()]
    schedule = make_schedule(entries, min(stamps), max(stamps), every_s=every_s)
    recording = {
        "name": "wall",
        "first_ns": min(stamps),
        "last_ns": max(stamps),
        "frames": len(stamps),
        "cameras": list(source.cameras),
        "synthetic": False,
    }
    manifest = {"asked": {"model": "parrot", "every": every_s}, "recording": recording}
    with Journal(folder, manifest) as journal:
        result = Replay(source, ScenePipeline(answerer), entries, journal).run(schedule, on_record)
        if result.asked:
            journal.finish(result.as_dict())
    return result


if __name__ == "__main__":
    pace = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    replay_wall(sys.argv[1], Path(sys.argv[2]), parrot_answerer(pace))
