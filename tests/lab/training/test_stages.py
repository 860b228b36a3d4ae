"""What is done once at the begin of a stage."""

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.lab.training import run


class Trainer:
    """Stands for the steps, which other tests take."""

    begun = False

    def __init__(self, *_, **__):
        self.learner = "learner"
        self.compute = SimpleNamespace(follow=lambda frozen: None)

    def resume(self):
        return self.begun

    def run(self, said, *, until, inspect):
        pass


@pytest.mark.parametrize(
    ("name", "begun", "linked"),
    [("look", False, True), ("look", True, False), ("answers", False, False)],
)
def test_numbers_are_linked_to_their_words_once_where_looking_begins(
    monkeypatch, name, begun, linked
):
    """The stage "look" begins so, and no other; one that goes on has done it."""
    done = []
    monkeypatch.setattr(run, "Trainer", type("Trainer", (Trainer,), {"begun": begun}))
    monkeypatch.setattr(run, "_lessons", lambda pool, tokenizer, count: [pool] * count)
    monkeypatch.setattr(run, "link_numbers", lambda *given: done.append(given))
    start = SimpleNamespace(model=None, tokenizer=SimpleNamespace(hub_tokenizer="hub"), pool="pool")
    stage = SimpleNamespace(name=name, hints=False, answers=False, scenes=0)
    crew = SimpleNamespace(
        group=SimpleNamespace(wait=lambda: None, first=True), device="cpu", workers=0
    )
    recipe = SimpleNamespace(seed=1)
    run._run_stage(start, stage, [], Path("out") / name, recipe, print, 0.0, crew)
    assert done == ([("learner", ["pool"] * 140, "hub")] if linked else [])
