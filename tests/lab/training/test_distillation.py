"""The convolutional teacher and the hints that the tower takes from it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.lab.training.dataset import fill_pool, pool_files  # noqa: E402
from oryx_scene.lab.training.dense import dense_targets  # noqa: E402
from oryx_scene.lab.training.distillation import FINAL, LOCAL, Teacher, load_teacher, train_teacher  # noqa: E402
from oryx_scene.lab.training.distillation_targets import HintHeads, ask_teacher  # noqa: E402
from oryx_scene.lab.training.examples import make_lesson, make_sight  # noqa: E402
from oryx_scene.lab.training.learner import Learner, Weights  # noqa: E402
from oryx_scene.lab.training.samples import load_sample  # noqa: E402
from oryx_scene.lab.training.small_model import new_model, small_config  # noqa: E402
from oryx_scene.lab.training.vocabulary import lexicon, write_tokenizer  # noqa: E402
from oryx_scene.model.checkpoint.tokenizer import HubTokenizer  # noqa: E402
from oryx_scene.model.oryx.pixels import normalise_batch  # noqa: E402


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    assert list(fill_pool(folder, range(4)))
    return folder


def pictures_of(lesson):
    return normalise_batch(torch.from_numpy(np.stack(lesson.pictures)))


def test_what_is_taught_lies_on_the_patches(pool):
    sample = load_sample(pool_files(pool)[0])
    lesson = make_sight(sample)
    taught = ask_teacher(Teacher().eval(), pictures_of(lesson))
    views, height, width = sample.labels.shape
    grid = (views, height // 16, width // 16)
    assert taught.local.shape == (*grid, 4 * LOCAL)
    assert taught.final.shape == (*grid, FINAL)
    assert not taught.final.requires_grad


def test_what_is_near_a_patch_is_told_of_that_patch():
    teacher = Teacher().eval()
    picture = torch.zeros(1, 3, 128, 128)
    with torch.no_grad():
        before = teacher(picture).local
        picture[..., 64:80, 32:48] = 2.0  # patch (4, 2)
        changed = (teacher(picture).local - before).abs().sum(-1)[0]
    rows, columns = torch.nonzero(changed > 1e-6, as_tuple=True)
    assert changed[4, 2] == changed.max()
    assert (rows - 4).abs().max() <= 2 and (columns - 2).abs().max() <= 2


def test_a_teacher_goes_on_where_it_was_left(pool, tmp_path):
    said = []
    train_teacher(pool, tmp_path, 1, 3, said.append)
    first = load_teacher(tmp_path)
    again = train_teacher(pool, tmp_path, 1, 3, said.append)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    further = train_teacher(pool, tmp_path, 2, 3, said.append)
    assert not torch.equal(first.shape.weight, further.shape.weight)


def test_hints_are_met_by_the_teachers_own_features(pool):
    sample = load_sample(pool_files(pool)[0])
    taught = ask_teacher(Teacher().eval(), pictures_of(make_sight(sample)))
    heads = HintHeads(FINAL)
    heads.end = torch.nn.Identity()
    torch.nn.init.eye_(heads.final.weight)
    torch.nn.init.zeros_(heads.final.bias)
    end = taught.final.float().flatten(0, 2)
    middle = torch.zeros(len(end), FINAL)
    targets = dense_targets(sample)
    _, found = heads(middle, end, taught, targets)
    assert found["final"] == pytest.approx(0.0, abs=1e-6)
    _, worse = heads(middle, end + 1.0, taught, targets)
    assert worse["final"] == pytest.approx(1.0, abs=1e-3)


def test_a_learner_that_listens_learns_from_hints_and_keeps_the_teacher_out(pool, tmp_path):
    words = " What colour is mark 1? red" + " ".join(str(i) for i in range(10))
    write_tokenizer(tmp_path, lexicon([words]))
    tokenizer = HubTokenizer(tmp_path, "qwen2", None)
    learner = Learner(new_model(small_config(len(tokenizer.hub_tokenizer)), {}, seed=1))
    lesson = make_lesson(
        load_sample(pool_files(pool)[0]), tokenizer, {}, 0, np.random.default_rng(3)
    )
    names = set(learner.state_dict())
    silent = learner(lesson, Weights(answers=0.0)).logged
    learner.listen_to(Teacher().eval())
    seen = learner(lesson, Weights(answers=0.0))
    assert set(learner.state_dict()) == names
    assert {"local", "final"} <= set(seen.logged) - set(silent)
    seen.loss.backward()
    assert float(learner.hint_heads.local.weight.grad.abs().sum()) > 0
