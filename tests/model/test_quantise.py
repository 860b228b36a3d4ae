"""Weights in 8 and 4 bits: packing is exact, every way computes what unpacked weights do."""

import math

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from oryx_scene.model.checkpoint import quant_linear  # noqa: E402
from oryx_scene.model.checkpoint.quant_linear import (  # noqa: E402
    CudaLinear,
    TiledLinear,
    cuda_order,
    cuda_works,
    describe,
    quantise_language,
)
from oryx_scene.model.checkpoint.quantise import (  # noqa: E402
    dequantise,
    pack,
    pack_scales,
    quantise,
    unpack,
    unpack_scales,
)


def weights(outputs, inputs, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, inputs, generator=generator).to(dtype)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 99), st.sampled_from([8, 4]))
def test_no_weight_moves_further_than_half_a_step_and_packing_loses_nothing(
    outputs, groups, seed, bits
):
    weight = weights(outputs, 32 * groups, seed)
    codes, scales = quantise(weight, bits)
    error = (dequantise(codes, scales) - weight).abs().unflatten(1, (-1, 32))
    # Scale and offset are stored as bfloat16: a share of 2^-9 of the largest weight on top.
    largest = weight.abs().unflatten(1, (-1, 32)).amax(2)
    limit = 0.5001 * scales[..., 0].float() + (2**-8 * largest)
    assert bool((error <= limit[..., None]).all())
    assert torch.equal(unpack(pack(codes, bits), bits)[:outputs], codes)
    assert torch.equal(unpack_scales(pack_scales(scales))[:outputs], scales)


def test_a_word_holds_neighbours_in_its_halves():
    codes = torch.zeros(1, 32, dtype=torch.int8)
    codes[0, :4] = torch.tensor([1, -1, 3, -8])
    assert int(pack(codes, 4)[0, 0, 0]) == 0x008F0031
    assert int(pack(codes, 8)[0, 0, 0]) & 0xFFFFFFFF == 0xF8FF0301


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_constant_and_zero_weights_survive(bits, value):
    weight = torch.full((4, 64), value)
    assert torch.allclose(dequantise(*quantise(weight, bits)), weight, rtol=0.01)


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("built", [True, False])
def test_every_way_computes_the_same(bits, dtype, rows, built, monkeypatch):
    """With and without a kernel, outputs that fill no tile, more than are unpacked at a time."""
    weight = weights(2085, 96, dtype=dtype)
    bias = torch.nn.Parameter(weights(1, 2085, 5, dtype)[0], requires_grad=False)
    layer = TiledLinear(weight, bias, bits)
    if not built:
        monkeypatch.setattr(quant_linear, "rows_kernel", lambda: None)
        assert layer.kernel == ""
    x = weights(rows, 96, 7, dtype)
    whole = dequantise(*quantise(weight, bits))
    wanted = x.float() @ whole.T + bias.float()
    found = layer(x[None])[0]
    assert found.dtype == dtype
    limit = 1e-4 if dtype is torch.float32 else 0.01
    assert float((found.float() - wanted).norm() / wanted.norm()) < limit


def test_what_is_no_number_stays_none():
    layer, x = TiledLinear(weights(32, 64), None, 4), weights(3, 64)
    x[1, 40] = math.nan
    assert layer(x).isnan().all(1).tolist() == [False, True, False]


def test_inputs_that_no_group_divides_are_left_and_said():
    language = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.Linear(40, 8)).bfloat16()
    quantise_language(language, "int4")
    assert [type(own) for own in language] == [TiledLinear, torch.nn.Linear]
    words = describe(language, "int4")
    assert words.startswith("int4, ")
    assert words.endswith(" in 1 of 2 layers, not quantised in 1 of 2 layers")


class Shuffled:
    """CUDA's int4 layout as torch describes it, but for where codes lie within a tile."""

    def __init__(self, seed=3):
        self.order = torch.randperm(1024, generator=torch.Generator().manual_seed(seed))

    def pack(self, codes):
        outputs, inputs = codes.shape
        tiles = codes.view(outputs // 8, 8, inputs // 128, 128).transpose(1, 2).flatten(2)
        moved = tiles[..., self.order].view(-1, 2)
        packed = (moved[:, 0] | (moved[:, 1] << 4)).view(outputs // 8, inputs // 128, 512)
        return packed.view(torch.int32)

    def product(self, x, packed, scales):
        flat = packed.view(torch.uint8).flatten()
        moved = torch.stack((flat & 15, flat >> 4), 1).view(*packed.shape[:2], 1024)
        codes = moved[..., torch.argsort(self.order)].unflatten(2, (8, 128)).transpose(1, 2)
        codes = codes.flatten(2).flatten(0, 1).float() - 8
        return (x.float() @ dequantise(codes, scales.transpose(0, 1)).T).to(x.dtype)


@pytest.fixture
def cuda(monkeypatch):
    """The layer for CUDA with its two torch functions imitated."""
    layout = Shuffled()
    monkeypatch.setattr(quant_linear, "cuda_pack", layout.pack)
    monkeypatch.setattr(quant_linear, "cuda_product", layout.product)
    cuda_order.cache_clear()
    cuda_works.cache_clear()
    yield layout
    cuda_order.cache_clear()
    cuda_works.cache_clear()


@pytest.mark.parametrize("rows", [1, 40])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_layer_for_cuda_keeps_the_same_weights(cuda, rows, bits):
    weight = weights(1040, 256)
    bias = torch.nn.Parameter(weights(1, 1040, 5)[0], requires_grad=False)
    layer, tiled = CudaLinear(weight, bias, bits), TiledLinear(weight, bias, bits)
    assert torch.allclose(layer.weights(16, 1037), tiled.weights(16, 1037), atol=1e-6)
    x = weights(rows, 256, 7)
    wanted = x @ dequantise(*quantise(weight, bits)).T + bias
    assert float((layer(x[None])[0] - wanted).norm() / wanted.norm()) < 0.01


def test_a_kernel_for_cuda_that_fails_lies_or_loses_codes_is_not_used(cuda, monkeypatch):
    def fails(*_):
        raise RuntimeError("no kernel image is available for execution on the device")

    cpu = torch.device("cpu")
    assert cuda_works(cpu)
    for name, broken in (
        ("cuda_product", fails),
        ("cuda_product", lambda *given: 1.05 * cuda.product(*given)),
        ("cuda_pack", lambda codes: cuda.pack(codes) & 0x0F0F0F0F),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(quant_linear, name, broken)
            cuda_order.cache_clear()
            cuda_works.cache_clear()
            assert not cuda_works(cpu)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("bits", [8, 4])
def test_torchs_kernel_on_a_gpu(bits):
    device = torch.device("cuda")
    assert cuda_works(device)
    weight, x = weights(1040, 256, dtype=torch.bfloat16), weights(40, 256, 7, torch.bfloat16)
    whole = dequantise(*quantise(weight, bits))
    layer = CudaLinear(weight.to(device), None, bits)
    assert torch.allclose(layer.weights(0, 1040).cpu(), whole, rtol=1e-3, atol=1e-4)
    for rows in (1, 8, 40):
        wanted = x[:rows].float() @ whole.T
        found = layer(x[:rows].to(device)).cpu().float()
        assert float((found - wanted).norm() / wanted.norm()) < 0.01
