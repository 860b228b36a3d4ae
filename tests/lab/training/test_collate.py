"""Several lessons in one pass: every target stays on its own patch and token."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.lab.synth.scenes import SceneSpec  # noqa: E402
from oryx_scene.lab.training.batch import ready  # noqa: E402
from oryx_scene.lab.training.collate import join  # noqa: E402
from oryx_scene.lab.training.examples import make_sight  # noqa: E402
from oryx_scene.lab.training.learner import Learner, Weights  # noqa: E402
from oryx_scene.lab.training.samples import make_sample  # noqa: E402
from oryx_scene.lab.training.small_model import new_model, small_config  # noqa: E402


@pytest.fixture(scope="module")
def lessons():
    specs = [SceneSpec(5, views=2), SceneSpec(6, views=3), SceneSpec(7, views=1, compression="1")]
    return [ready(make_sight(make_sample(spec))) for spec in specs]


def test_what_fits_becomes_one_lesson_with_its_targets_in_place(lessons):
    both, single = join(lessons)
    assert single is lessons[2]
    assert both.lessons == 2 and single.lessons == 1
    assert len(both.pictures) == 5
    learner = Learner(new_model(small_config(320), {}, seed=1))
    views = [learner.features(one) for one in lessons[:2]]
    features = learner.features(both)
    assert torch.allclose(features, torch.cat(views), atol=1e-4)

    def told(one, looked):
        flat, pooled = looked.flatten(0, 2), learner.pool(looked, one.stride).flatten(0, 2)
        return flat[one.sights.things.patch], pooled[one.sights.token_index]

    for whole, *parts in zip(told(both, features), *map(told, lessons, views), strict=True):
        assert len(whole) > 4
        assert torch.allclose(whole, torch.cat(parts), atol=1e-4)
    counts = [len(one.sights.things.shape) for one in lessons[:2]]
    thing = both.sights.things.thing
    assert thing.max() == sum(counts) - 1
    assert torch.equal(
        thing[len(lessons[0].sights.things.patch) :] - counts[0], lessons[1].sights.things.thing
    )


def test_one_lesson_twice_has_the_loss_of_one(lessons):
    torch.manual_seed(0)
    learner = Learner(new_model(small_config(320), {}, seed=1))
    once = learner(lessons[0], Weights(answers=0.0))
    (twice,) = join([lessons[0], lessons[0]])
    found = learner(twice, Weights(answers=0.0))
    assert found.logged == pytest.approx(once.logged, rel=1e-4, nan_ok=True)
