"""Weights in 8 and 4 bits: packing is exact, kernels compute what unpacked weights do."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from oryx_scene.model.checkpoint import quant_linear, quantise  # noqa: E402
from oryx_scene.model.checkpoint.int4_tiles import TileOrder  # noqa: E402
from oryx_scene.model.checkpoint.quant_linear import Int4Linear, Int8Linear  # noqa: E402
from oryx_scene.model.checkpoint.quantise import (  # noqa: E402
    dequantise_int4,
    dequantise_int8,
    from_nibbles,
    group_of,
    kernel_works,
    quantise_int4,
    quantise_int8,
    to_nibbles,
)


def weights(outputs, inputs, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, inputs, generator=generator).to(dtype)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 99))
def test_no_weight_moves_further_than_half_a_step(outputs, groups, seed):
    weight = weights(outputs, 32 * groups, seed)
    codes, scales = quantise_int8(weight)
    error = (dequantise_int8(codes, scales, torch.float32) - weight).abs()
    assert bool((error <= 0.5001 * scales[:, None]).all())
    codes, scales = quantise_int4(weight, 32)
    error = (dequantise_int4(codes, scales, torch.float32) - weight).abs().unflatten(1, (-1, 32))
    assert bool((error <= 0.5001 * scales[..., 0].T[..., None] + 1e-6).all())
    assert torch.equal(from_nibbles(to_nibbles(codes)), codes)


def test_constant_and_zero_weights_survive():
    for value in (0.0, 0.25):
        weight = torch.full((4, 64), value)
        codes, scales = quantise_int4(weight, 64)
        assert torch.allclose(dequantise_int4(codes, scales, torch.float32), weight, atol=1e-6)
        codes, scales = quantise_int8(weight)
        assert torch.allclose(dequantise_int8(codes, scales, torch.float32), weight, rtol=0.01)


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [Int8Linear, Int4Linear])
def test_every_way_computes_the_same(kind, dtype, rows):
    weight = weights(2080, 128, dtype=dtype)
    bias = torch.nn.Parameter(weights(1, 2080, 5, dtype)[0], requires_grad=False)
    layer = kind(weight, bias)
    x = weights(rows, 128, 7, dtype)
    if kind is Int8Linear:
        whole = dequantise_int8(layer.codes, layer.scales, torch.float32)
    else:
        whole = dequantise_int4(*quantise_int4(weight, 128), torch.float32)
    wanted = x.float() @ whole.T + bias.float()
    found = layer(x[None])[0]
    assert found.dtype == dtype
    limit = 1e-5 if dtype is torch.float32 else 0.01
    assert float((found.float() - wanted).norm() / wanted.norm()) < limit
    # The same without a kernel: unpacked for every use.
    layer = without_kernel(kind, weight, bias)
    assert not layer.kernel
    assert float((layer(x).float() - wanted).norm() / wanted.norm()) < limit


def without_kernel(kind, weight, bias):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quant_linear, "kernel_works", lambda *_: False)
        return kind(weight, bias)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_kernel_that_fails_or_lies_is_not_used(kind, monkeypatch):
    def fails(*_):
        raise RuntimeError("no kernel image is available for execution on the device")

    kernel_works.cache_clear()
    real = getattr(quantise, f"{kind}_product")
    assert kernel_works(kind, "cpu", torch.bfloat16)
    for broken in (fails, lambda *args: 2 * real(*args)):
        kernel_works.cache_clear()
        monkeypatch.setattr(quantise, f"{kind}_product", broken)
        assert not kernel_works(kind, "cpu", torch.bfloat16)
    kernel_works.cache_clear()


def test_groups():
    assert [group_of(n) for n in (896, 3584, 64, 96, 40)] == [128, 128, 64, 32, 0]


class Shuffled:
    """A layout that moves codes about within tiles of 8 by 128, as CUDA's does."""

    def __init__(self):
        self.order = torch.randperm(1024, generator=torch.Generator().manual_seed(3))

    def __call__(self, codes):
        outputs, inputs = codes.shape
        tiles = codes.view(outputs // 8, 8, inputs // 128, 128).transpose(1, 2).flatten(2)
        moved = tiles[..., self.order].view(-1, 2)
        packed = (moved[:, 0] | (moved[:, 1] << 4)).view(outputs // 8, inputs // 128, 512)
        return packed.view(torch.int32)


def test_the_order_of_a_tile_is_found_and_undone():
    pack = Shuffled()
    order = TileOrder.of(pack, torch.device("cpu"))
    codes = torch.randint(0, 16, (40, 384), dtype=torch.uint8)
    packed = pack(codes)
    assert order.restores(codes, packed)
    assert torch.equal(order.unpack(packed, 8, 21), codes[8:21])
    other = Shuffled()
    other.order = other.order.flip(0)
    assert not order.restores(codes, other(codes))


def test_a_layout_that_loses_codes_is_noticed():
    assert TileOrder.of(lambda codes: codes * 0, torch.device("cpu")) is None
