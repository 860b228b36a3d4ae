"""What the tower is taught patch by patch."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

import torch.nn.functional as F  # noqa: E402

from oryx_scene.lab.training.dense import DenseHeads, DenseTargets, dense_loss  # noqa: E402


def test_the_weight_of_shapes_multiplies_their_part_of_the_loss_and_nothing_else():
    torch.manual_seed(0)
    heads, features = DenseHeads(8), torch.randn(6, 8)
    shape = torch.tensor([1, 2, 0, 0, 3, 0])
    marked = torch.tensor([True, False, False, True, False, False])
    targets = DenseTargets(shape, shape, shape, marked, torch.zeros(6, 16))
    plain, three = (dense_loss(heads, features, targets, shapes=w)[0].item() for w in (1.0, 3.0))
    each = F.cross_entropy(heads(features)[2], shape, reduction="none")
    things = (shape > 0) & ~marked
    own = sum(float(each[group].mean()) for group in (marked, things, ~things))
    assert three - plain == pytest.approx(2 * own, rel=1e-5)
    assert own > 0.1
