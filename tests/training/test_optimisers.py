"""What turns gradients into steps."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from torch import nn  # noqa: E402

from oryx_scene.errors import TrainingError  # noqa: E402
from oryx_scene.training.optimisers import Optimisers  # noqa: E402

RATE = 1e-2
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch < 2.9: no Muon")


class Small(nn.Module):
    """A table, one layer and a head, named as in the model."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(6, 8)
        self.layers = nn.ModuleList([nn.Linear(8, 12)])
        self.head = nn.Linear(12, 3)


def small():
    torch.manual_seed(0)
    return Small()


def give_gradients(module, seed=1):
    """In the layer, one direction is thirty times as steep as all others."""
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    layer = module.layers[0].weight
    steep = torch.outer(torch.randn(12, generator=generator), torch.randn(8, generator=generator))
    layer.grad = 0.03 * layer.grad + steep


def moved(module, before):
    return {n: p.detach() - before[n] for n, p in module.named_parameters()}


def one_step(muon):
    module = small()
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    optimisers = Optimisers(module, RATE, muon)
    give_gradients(module)
    optimisers.step(RATE)
    assert all(p.grad is None for p in module.parameters())
    return moved(module, before)


@needs_muon
def test_muon_learns_rare_directions_of_a_layer_as_fast_as_steep_ones():
    by_muon, by_adam = one_step(True), one_step(False)
    spread = {}
    for name, found in (("muon", by_muon), ("adam", by_adam)):
        values = torch.linalg.svdvals(found["layers.0.weight"])
        spread[name] = float(values[0] / values[4])
    assert spread["muon"] < 3.0 < spread["adam"]
    for name in ("table.weight", "layers.0.bias", "head.weight"):  # AdamW's in both
        assert torch.equal(by_muon[name], by_adam[name]), name


@needs_muon
def test_steps_of_both_are_about_as_large():
    found = one_step(True)
    for name in ("layers.0.weight", "table.weight"):
        size = float(found[name].square().mean().sqrt())
        assert 0.1 * RATE < size < 1.2 * RATE, name


@pytest.mark.parametrize("muon", [False, pytest.param(True, marks=needs_muon)])
def test_what_was_kept_goes_on_as_if_nothing_had_happened(muon):
    straight, resumed = small(), small()
    first, second = Optimisers(straight, RATE, muon), Optimisers(resumed, RATE, muon)
    for seed in (1, 2):
        give_gradients(straight, seed)
        first.step(RATE)
        give_gradients(resumed, seed)
        second.step(RATE)
    third = Optimisers(resumed, RATE, muon)
    third.take(second.state())
    give_gradients(straight, 3)
    first.step(RATE / 2)
    give_gradients(resumed, 3)
    third.step(RATE / 2)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_is_frozen_stays():
    module = small()
    module.layers.requires_grad_(False)
    kept = module.layers[0].weight.clone()
    optimisers = Optimisers(module, RATE, muon=False)
    give_gradients(module)
    optimisers.step(RATE)
    assert torch.equal(module.layers[0].weight, kept)


def test_a_torch_without_muon_is_named(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    Optimisers(small(), RATE, muon=False)
    with pytest.raises(TrainingError, match="Muon") as err:
        Optimisers(small(), RATE, muon=True)
    assert "--preset cpu" in err.value.hint
