"""Linear layers on the CPU: the built kernel and its absence give torch's numbers."""

import platform
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

import torch.nn.functional as F  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from oryx_scene.model.api import Limits, Prompt  # noqa: E402
from oryx_scene.model.checkpoint import cpu_linear  # noqa: E402
from oryx_scene.model.checkpoint.cpu_linear import CpuLinear, rows_kernel, speed_up  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.checkpoint.quantise import (  # noqa: E402
    dequantise,
    pack,
    pack_scales,
    quantise,
)
from oryx_scene.model.engine.engine import EngineConfig  # noqa: E402

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@needs_compiler
@torch.inference_mode()
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 70),
    st.integers(1, 80),
    st.booleans(),
    st.sampled_from([16, 8, 4]),
)
def test_the_kernel_multiplies(rows, out, blocks, bias, bits):
    generator = torch.Generator().manual_seed(rows * out * blocks)
    x = torch.randn(rows, 32 * blocks, generator=generator)
    weight = torch.randn(out, 32 * blocks, generator=generator)
    b = torch.randn(out, generator=generator) if bias else None
    kernel = rows_kernel()
    if bits == 16:
        weight = weight.bfloat16()
        x = x.bfloat16().float() if kernel.rounds_inputs else x
        found, limit = kernel(x, weight, b), 1e-3
        assert torch.equal(kernel(x, weight, b, rounded=True), found.bfloat16().float())
    else:
        codes, scales = quantise(weight, bits)
        found = kernel(x, pack(codes, bits), b, coded=(out, bits, pack_scales(scales)))
        # x moves by half of 2^-15 of its group's largest number.
        weight, limit = dequantise(codes, scales), 5e-3
    wanted = F.linear(x.double(), weight.double(), None if b is None else b.double())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=limit)


@needs_compiler
@torch.inference_mode()
@pytest.mark.parametrize("bits", [16, 4])
def test_threads_change_no_bit(bits):
    x, weight = torch.randn(5, 64), torch.randn(300, 64)
    codes, scales = quantise(weight, 4)
    coded = (300, 4, pack_scales(scales)) if bits == 4 else None
    given = pack(codes, 4) if bits == 4 else weight.bfloat16()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = rows_kernel()(x, given, coded=coded)
        torch.set_num_threads(3)
        assert torch.equal(one, rows_kernel()(x, given, coded=coded))
    finally:
        torch.set_num_threads(before)


def layer(width=64):
    own = torch.nn.Linear(width, 96).bfloat16()
    said = speed_up(torch.nn.Sequential(own))
    assert said.startswith("rows kernel") == bool(rows_kernel())
    assert type(own) is CpuLinear
    return own


@pytest.mark.parametrize("rows", [1, 8, 100])
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("width", [64, 40])
@pytest.mark.parametrize("native", [True, False])
def test_every_way_is_a_linear_layer(monkeypatch, rows, built, width, native):
    """With and without kernel and bfloat16 of the CPU, few and many rows, odd widths."""
    own = layer(width)
    if not built:
        monkeypatch.setattr(cpu_linear, "rows_kernel", lambda: None)
    if not native:
        monkeypatch.setattr(cpu_linear, "has_bfloat16", lambda: False)
    x = torch.randn(2, rows, width).bfloat16()
    with torch.inference_mode():
        found = own(x)
    wanted = F.linear(x.float(), own.weight.float(), own.bias.float())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=2e-2)


def test_float32_stays_with_torch():
    own = torch.nn.Linear(64, 32)
    assert speed_up(torch.nn.Sequential(own)) == "torch"
    assert type(own) is torch.nn.Linear


def test_gradients_still_flow():
    own = layer()
    own(torch.randn(3, 64)).sum().backward()
    assert own.weight.grad.abs().sum() > 0


def test_no_compiler_means_torch_and_says_so(monkeypatch):
    asked, limits = Prompt("", ("A room.\n",), "What is here?"), Limits(max_new_tokens=6)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    rows_kernel.cache_clear()
    try:
        engine = load_answerer("random", device="cpu", dtype="bfloat16")
        assert engine.card.linear == "torch"
        engine = load_answerer("random", device="cpu", quantization="int8")
        assert engine.card.quantization == "int8, unpacked for every use"
        assert len(engine.generate(asked, limits).token_ids) == 6
    finally:
        rows_kernel.cache_clear()


@needs_compiler
def test_a_compiler_that_fails_or_a_kernel_that_is_wrong_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_linear, "_cache", lambda: tmp_path)
    rows_kernel.cache_clear()
    try:
        broken = tmp_path / "broken.c"
        broken.write_text("no C at all")
        monkeypatch.setattr(cpu_linear, "SOURCE", broken)
        assert rows_kernel() is None
        rows_kernel.cache_clear()
        right = Path(cpu_linear.__file__).with_name("cpu_rows.c").read_text()
        broken.write_text(right.replace("w + k + GROUP * i", "w + k + GROUP * i + 1"))
        assert rows_kernel() is None
        rows_kernel.cache_clear()
        broken.write_text(right.replace("bits - at) >> (16", "bits - at + 1) >> (16"))
        assert rows_kernel() is None
    finally:
        rows_kernel.cache_clear()


@needs_compiler
@pytest.mark.parametrize(
    "flags", ["-march=x86-64", "-march=x86-64-v3", "-mno-avx512f", "-mno-avx512bf16"]
)
def test_the_ways_of_other_cpus_multiply_too(monkeypatch, tmp_path, flags):
    """What -march=native would build on a CPU with fewer instructions than this one."""
    if platform.machine() != "x86_64" or "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("other CPUs are imitated on x86 with AVX2 only")
    monkeypatch.setattr(cpu_linear, "_cache", lambda: tmp_path)
    monkeypatch.setattr(cpu_linear, "FLAGS", (*cpu_linear.FLAGS, flags))
    rows_kernel.cache_clear()
    try:
        kernel = rows_kernel()
        assert kernel is not None
        assert not kernel.rounds_inputs
    finally:
        rows_kernel.cache_clear()


def test_the_kernel_can_be_switched_off():
    engine = load_answerer(
        "random", device="cpu", dtype="bfloat16", config=EngineConfig(rows_kernel=False)
    )
    assert engine.card.linear == "torch"
    assert type(engine.model.language.lm_head) is torch.nn.Linear
