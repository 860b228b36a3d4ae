"""Scenes and lessons made by other processes are those that are made here."""

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.errors import TrainingError  # noqa: E402
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES  # noqa: E402
from oryx_scene.lab.training.batch import with_leaves  # noqa: E402
from oryx_scene.lab.training.curriculum import Course, Stage  # noqa: E402
from oryx_scene.lab.training.dataset import fill_pool, pool_files  # noqa: E402
from oryx_scene.lab.training.loader import feed  # noqa: E402
from oryx_scene.lab.training.vocabulary import lexicon, write_tokenizer  # noqa: E402
from oryx_scene.lab.training.worker_pool import open_workers  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer  # noqa: E402

STAGE = Stage("both", 3, scenes=2, kinds={"colour": 1.0, "distance": 1.0}, readings=0.3, drills=3)


@pytest.mark.slow
def test_workers_render_and_teach_the_same_in_the_same_order(tmp_path):
    list(fill_pool(tmp_path / "here", range(3)))
    list(fill_pool(tmp_path / "there", range(3), workers=1))
    files = [pool_files(tmp_path / name) for name in ("here", "there")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    named = " ".join(f" {word}" for word in (*COLOURS, *SHAPES, FURNITURE))
    write_tokenizer(tmp_path, lexicon([" left right colour of mark yes no 1 2 3 ;", named]))
    course = Course(STAGE, tuple(files[0]), HubTokenizer(tmp_path, "qwen2", None), seed=3)
    here = [_flat(one) for one in feed(course, range(2), 1)]
    there = [_flat(one) for one in feed(course, range(2), 1, workers=2)]
    assert len(here) == len(there) == 2  # steps 1 and 2
    for one, other in zip(here, there, strict=True):
        assert len(one) == len(other) > 10
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(here[0][0], here[1][0])


def _flat(made):
    found = []
    with_leaves(made, torch.Tensor, found.append)
    return found


def test_a_lost_worker_ends_the_run_and_is_named():
    named = "a process that makes scenes and lessons died"
    with pytest.raises(TrainingError, match=named), open_workers(1) as pool:
        pool.submit(os._exit, 3).result()


def test_leaves_are_found_wherever_they_are():
    tree = [{"left": 1}, (np.ones(2), [np.zeros(1)]), 3]
    assert with_leaves(tree, np.ndarray, np.sum) == [{"left": 1}, (2.0, [0.0]), 3]
