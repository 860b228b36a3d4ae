"""Linear layers on the CPU: the built kernel and its absence give torch's numbers."""

import platform
import shutil
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from oryx_scene.model.api import Limits, Prompt  # noqa: E402
from oryx_scene.model.checkpoint import cpu_linear  # noqa: E402
from oryx_scene.model.checkpoint.cpu_linear import CpuLinear, most_rows, rows_kernel, speed_up  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
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
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_the_kernel_multiplies(rows, out, blocks, bias, dtype):
    generator = torch.Generator().manual_seed(rows * out * blocks)
    x = torch.randn(rows, 32 * blocks, generator=generator)
    weight = torch.randn(out, 32 * blocks, generator=generator).to(dtype)
    b = torch.randn(out, generator=generator) if bias else None
    if dtype is torch.bfloat16 and rows_kernel().rounds_inputs:
        x = x.bfloat16().float()
    wanted = torch.nn.functional.linear(
        x.double(), weight.double(), None if b is None else b.double()
    )
    found = rows_kernel()(x, weight, b)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-3)
    as_bfloat16 = found.bfloat16().float() if dtype is torch.bfloat16 else found
    assert torch.equal(rows_kernel()(x, weight, b, rounded=True), as_bfloat16)


@needs_compiler
@torch.inference_mode()
def test_threads_change_no_bit():
    x, weight = torch.randn(5, 64), torch.randn(300, 64)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = rows_kernel()(x, weight, None)
        torch.set_num_threads(3)
        assert torch.equal(one, rows_kernel()(x, weight, None))
    finally:
        torch.set_num_threads(before)


def layer(dtype, width=64):
    own = torch.nn.Linear(width, 96).to(dtype)
    said = speed_up(torch.nn.Sequential(own))
    assert said.startswith("rows kernel") == bool(
        rows_kernel() and most_rows(dtype, torch.get_num_threads())
    )
    assert type(own) is CpuLinear
    return own


@pytest.mark.parametrize("rows", [1, 8, 100])
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("width", [64, 40])
def test_every_way_is_a_linear_layer(monkeypatch, rows, built, width):
    """With and without kernel, few and many rows, a width that the kernel cannot take."""
    layers = [layer(torch.float32, width), layer(torch.bfloat16, width)]
    if not built:
        monkeypatch.setattr(cpu_linear, "rows_kernel", lambda: None)
    for own, tolerance in zip(layers, (1e-5, 2e-2), strict=True):
        x = torch.randn(2, rows, width).to(own.weight.dtype)
        with torch.inference_mode():
            found = own(x)
        wanted = torch.nn.functional.linear(x.float(), own.weight.float(), own.bias.float())
        assert found.dtype == own.weight.dtype
        torch.testing.assert_close(found.float(), wanted, rtol=tolerance, atol=tolerance)


def test_gradients_still_flow():
    own = layer(torch.float32)
    own(torch.randn(3, 64)).sum().backward()
    assert own.weight.grad.abs().sum() > 0


def test_no_compiler_means_torch_and_says_so(monkeypatch):
    asked, limits = Prompt("", ("A room.\n",), "What is here?"), Limits(max_new_tokens=6)
    with_kernel = load_answerer("random", device="cpu").generate(asked, limits)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    rows_kernel.cache_clear()
    try:
        engine = load_answerer("random", device="cpu")
        assert engine.card.linear == "torch"
        assert engine.generate(asked, limits).token_ids == with_kernel.token_ids
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
        broken.write_text(right.replace("*(const floats *)x;", "*(const floats *)(x + 1);"))
        assert rows_kernel() is None
    finally:
        rows_kernel.cache_clear()


@needs_compiler
@pytest.mark.parametrize("flags", ["-march=x86-64-v3", "-mno-avx512f", "-mno-avx512bf16"])
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


@needs_compiler
def test_torch_is_taken_where_it_is_timed_faster(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_linear, "_cache", lambda: tmp_path)
    slow = rows_kernel()

    def late(*given, rounded=False):
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass
        return slow(*given)

    late.rounds_inputs = slow.rounds_inputs
    monkeypatch.setattr(cpu_linear, "rows_kernel", lambda: late)
    most_rows.cache_clear()
    try:
        assert speed_up(torch.nn.Sequential(torch.nn.Linear(64, 32))).startswith("torch, timed")
    finally:
        most_rows.cache_clear()


@needs_compiler
def test_what_was_timed_first_on_a_machine_holds_for_every_process(monkeypatch, tmp_path):
    timings = iter((8, 32, 16))
    monkeypatch.setattr(cpu_linear, "_cache", lambda: tmp_path)
    monkeypatch.setattr(cpu_linear, "_timed_rows", lambda dtype: next(timings))
    threads = torch.get_num_threads()
    found = []
    try:
        for _ in range(2):  # another process starts with an empty cache of its own
            most_rows.cache_clear()
            found.append(most_rows(torch.float32, threads))
        found.append(most_rows(torch.bfloat16, threads))  # another dtype is timed on its own
        for file in tmp_path.glob("*.json"):
            file.write_text("{torn")
        most_rows.cache_clear()
        found.append(most_rows(torch.float32, threads))
        cpu_linear.fix_most_rows({"float32": 1})
        found.append(most_rows(torch.float32, threads))
    finally:
        cpu_linear._FIXED.clear()
        most_rows.cache_clear()
    assert found == [8, 8, 32, 16, 1]


def test_the_kernel_can_be_switched_off():
    engine = load_answerer("random", device="cpu", config=EngineConfig(rows_kernel=False))
    assert engine.card.linear == "torch"
    assert type(engine.model.language.lm_head) is torch.nn.Linear
