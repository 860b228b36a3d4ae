"""What turns gradients into steps."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from torch import nn  # noqa: E402

from oryx_scene.errors import TrainingError  # noqa: E402
from oryx_scene.lab.training.optimisers import DECAY, Optimisers  # noqa: E402

RATE = 1e-2


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


def one_step():
    module = small()
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    optimisers = Optimisers(module, RATE)
    give_gradients(module)
    optimisers.step(RATE)
    assert all(p.grad is None for p in module.parameters())
    return moved(module, before)


def one_step_of_adamw():
    module = small()
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    matrices = [p for p in module.parameters() if p.dim() >= 2]
    others = [p for p in module.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    give_gradients(module)
    torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98)).step()
    return moved(module, before)


@pytest.mark.usefixtures("muon")
def test_rare_directions_of_a_layer_are_learnt_as_fast_as_steep_ones():
    ours, adamw = one_step(), one_step_of_adamw()
    spread = [torch.linalg.svdvals(found["layers.0.weight"]) for found in (ours, adamw)]
    assert float(spread[0][0] / spread[0][4]) < 3.0 < float(spread[1][0] / spread[1][4])
    for name in ("table.weight", "layers.0.bias", "head.weight"):  # AdamW's in both
        torch.testing.assert_close(ours[name], adamw[name])


@pytest.mark.usefixtures("muon")
def test_steps_of_both_are_about_as_large():
    found = one_step()
    for name in ("layers.0.weight", "table.weight"):
        size = float(found[name].square().mean().sqrt())
        assert 0.1 * RATE < size < 1.2 * RATE, name


@pytest.mark.usefixtures("muon")
def test_what_was_kept_goes_on_as_if_nothing_had_happened():
    straight, resumed = small(), small()
    first, second = Optimisers(straight, RATE), Optimisers(resumed, RATE)
    for seed in (1, 2):
        give_gradients(straight, seed)
        first.step(RATE)
        give_gradients(resumed, seed)
        second.step(RATE)
    third = Optimisers(resumed, RATE)
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
    optimisers = Optimisers(module, RATE)
    give_gradients(module)
    optimisers.step(RATE)
    assert torch.equal(module.layers[0].weight, kept)


def test_a_torch_without_muon_is_named(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(TrainingError, match="Muon") as err:
        Optimisers(small(), RATE)
    assert "torch>=2.9" in err.value.hint


@pytest.mark.usefixtures("muon")
def test_adamw_remembers_squares_for_fifty_steps():
    """betas are 0.9 and 0.98: after one step a square counts 2 %, after the next again."""
    module = small()
    optimisers = Optimisers(module, RATE)
    (adam, *_) = optimisers
    bias = module.layers[0].bias
    wanted = torch.zeros_like(bias)
    for seed in (1, 2):
        give_gradients(module, seed)
        wanted = 0.98 * wanted + 0.02 * bias.grad.square()
        optimisers.step(RATE)
        torch.testing.assert_close(adam.state[bias]["exp_avg_sq"], wanted)
