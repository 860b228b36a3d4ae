"""4-bit layers by bitsandbytes: used where their trial succeeds, else left out and said why."""

import math
import sys

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.model.api import Limits, Prompt  # noqa: E402
from oryx_scene.model.checkpoint import nf4_trial, quant_choice  # noqa: E402
from oryx_scene.model.checkpoint.load import load_answerer  # noqa: E402
from oryx_scene.model.checkpoint.memory import linear_bytes, loaded_bytes  # noqa: E402
from oryx_scene.model.checkpoint.nf4_linear import Nf4Linear, block_of  # noqa: E402
from oryx_scene.model.checkpoint.nf4_trial import Trial, try_library  # noqa: E402
from oryx_scene.model.checkpoint.quant_linear import Int4Linear  # noqa: E402
from oryx_scene.model.checkpoint.quantise import dequantise_int4, quantise_int4  # noqa: E402

PROMPT = Prompt("You are a helpful assistant.", ("A room.\n",), "What is here?")


@pytest.fixture(autouse=True)
def _fresh():
    """No test lives on another's trial."""
    try_library.cache_clear()
    yield
    try_library.cache_clear()


def kinds_of(engine):
    return {type(module) for module in engine.model.language.modules()}


def test_without_the_library_our_own_layers_answer_and_the_card_says_so(monkeypatch):
    monkeypatch.setattr(nf4_trial, "_importable", lambda name: False)
    engine = load_answerer("random", device="cpu", quantization="int4")
    assert Int4Linear in kinds_of(engine)
    assert Nf4Linear not in kinds_of(engine)
    assert engine.card.quantization == "int4, torch's kernel; bitsandbytes is not installed"


def test_a_library_that_ends_the_process_ends_only_the_trial(tmp_path, monkeypatch):
    package = tmp_path / "bitsandbytes"
    package.mkdir()
    said = "Error no kernel image is available for execution on the device"
    (package / "__init__.py").write_text(f"import os\nos.write(2, b'{said}')\nos._exit(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(nf4_trial, "_importable", lambda name: name == "bitsandbytes")
    engine = load_answerer("random", device="cpu", quantization="int4")
    assert Nf4Linear not in kinds_of(engine)
    assert engine.card.quantization == (
        "int4, torch's kernel; bitsandbytes failed its trial on cpu (exit status 1, " + said + ")"
    )
    assert "bitsandbytes" not in sys.modules
    assert len(engine.generate(PROMPT, Limits(max_new_tokens=3)).token_ids) == 3


def test_only_right_numbers_pass():
    found = {"version": "9", "kernel": 1.0, "product": 0.003, "weight": 0.09}
    assert nf4_trial._judged("cpu", found) == Trial(True, "bitsandbytes 9")
    for wrong in ({"product": 0.1}, {"product": math.inf}, {"weight": 0.5}):
        trial = nf4_trial._judged("cpu", {**found, **wrong})
        assert not trial.works
        assert trial.words.startswith("bitsandbytes 9 gave wrong numbers on cpu (products ")
    trial = nf4_trial._judged("cpu", {"version": "9", "kernel": 0.0})
    assert trial == Trial(False, "bitsandbytes 9 has no 4-bit kernel for this CPU")


def test_the_import_never_reaches_the_network(monkeypatch):
    monkeypatch.setattr(nf4_trial, "_importable", lambda name: True)
    monkeypatch.setattr(nf4_trial, "dense_dtype", lambda *_: torch.bfloat16)
    monkeypatch.setattr(nf4_trial, "_run", lambda device: pytest.fail("it was imported"))
    words = try_library("cpu", torch.bfloat16).words
    assert words == "bitsandbytes would download code, since 'kernels' is installed"


def test_other_dtypes_stay_with_our_own_layers(monkeypatch):
    monkeypatch.setattr(nf4_trial, "_importable", lambda name: name == "bitsandbytes")
    engine = load_answerer("random", device="cpu", quantization="int4", dtype="float32")
    assert "bitsandbytes is used with bfloat16 only" in engine.card.quantization


def test_shapes_that_the_kernel_does_not_take(monkeypatch):
    assert block_of((64, 128), "cpu") == 64
    assert block_of((64, 64), "cpu") == 32
    assert block_of((64, 128), "cuda") == 128
    assert (
        block_of((48, 128), "cpu") == block_of((64, 32), "cpu") == block_of((64, 40), "cuda") == 0
    )
    monkeypatch.setattr(quant_choice, "try_library", lambda *_: Trial(True, "bitsandbytes 9"))
    language = torch.nn.Sequential(torch.nn.Linear(128, 48, bias=False)).bfloat16()
    quant_choice.quantise_language(language, "int4")
    words = quant_choice.describe(language, "int4")
    assert words == "int4, torch's kernel; bitsandbytes 9 takes none of these shapes"


# -- with the library itself ----------------------------------------------------------------------


@pytest.fixture
def library():
    """bitsandbytes, where its 4-bit kernel works on this CPU."""
    pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")
    trial = try_library("cpu", torch.bfloat16)
    if "has no 4-bit kernel for this CPU" in trial.words or "would download code" in trial.words:
        pytest.skip(trial.words)
    # Wrong numbers or a crash are a finding, not a missing piece.
    assert trial.works, trial.words
    return trial


def weights(outputs, inputs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, inputs, generator=generator).bfloat16()


@pytest.mark.parametrize("factor", [1.05, math.nan])
def test_a_kernel_that_lies_is_noticed(library, monkeypatch, factor):
    assert nf4_trial.measure("cpu")["product"] < 0.01
    real = Nf4Linear.product
    monkeypatch.setattr(Nf4Linear, "product", lambda self, x: factor * real(self, x))
    found = nf4_trial.measure("cpu")
    assert found["product"] > 0.04
    assert not nf4_trial._judged("cpu", found).works


@pytest.mark.parametrize("rows", [1, 8, 40])
def test_both_ways_agree(library, rows):
    """Each within 12 % of the unrounded layer (what 4 bits cost), together within 15 %."""
    weight, x = weights(96, 256), weights(rows, 256, 3)
    bias = torch.nn.Parameter(weights(1, 96, 5)[0], requires_grad=False)
    whole = x.float() @ weight.float().T + bias.float()
    theirs, ours = Nf4Linear(weight, bias), Int4Linear(weight, bias)
    found = {"theirs": theirs(x[None])[0].float(), "ours": ours(x[None])[0].float()}
    for product in found.values():
        assert float((product - whole).norm() / whole.norm()) < 0.12
    between = float((found["theirs"] - found["ours"]).norm() / whole.norm())
    assert 0.0 < between < 0.15


def test_it_rounds_weights_no_worse_and_takes_as_many_bytes(library):
    weight = weights(96, 256)
    layer = Nf4Linear(weight)
    found = layer(torch.eye(256).bfloat16()).T.float()
    ours = dequantise_int4(*quantise_int4(weight, 128), torch.float32)
    assert float((found - weight).norm()) < 1.02 * float((ours - weight).norm())
    assert loaded_bytes(layer) == linear_bytes(96, 256, torch.bfloat16, "int4")


def test_pieces_for_many_rows_are_the_weights_of_the_few(library, monkeypatch):
    """The layout of CUDA, on the CPU: the library's own switch keeps it from repacking."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)
    layer = Nf4Linear(weights(96, 256))
    layer.dense = True
    whole = layer(torch.eye(256).bfloat16()[:32]).T
    assert torch.equal(layer.weights(0, 96, torch.bfloat16)[:, :32], whole)
    assert torch.equal(layer.weights(32, 64, torch.bfloat16)[:, :32], whole[32:64])
    x = weights(40, 256, 7)
    wanted = x.float() @ layer.weights(0, 96, torch.float32).T
    assert float((layer(x).float() - wanted).norm() / wanted.norm()) < 0.01


def test_a_model_by_the_library_answers_nearly_as_the_whole_one(library, monkeypatch):
    logits = {}
    for kind in ("none", "int4"):
        engine = load_answerer("random", device="cpu", quantization=kind, dtype="bfloat16")
        logits[kind] = engine.question_logits([PROMPT])[0]
        assert len(engine.generate(PROMPT, Limits(max_new_tokens=4)).token_ids) == 4
    assert Nf4Linear in kinds_of(engine)
    assert engine.card.quantization.startswith(f"int4, {library.words} (nf4) in ")
    assert float((logits["int4"] - logits["none"]).std() / logits["none"].std()) < 0.25
