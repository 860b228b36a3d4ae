"""The original code's golden vectors, stage by stage: ids, bytes, pixels, features, text."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from oryx_scene.cli.main import main  # noqa: E402
from oryx_scene.lab.evaluation import conformance  # noqa: E402
from oryx_scene.lab.evaluation.conformance import run_case  # noqa: E402
from oryx_scene.lab.evaluation.conformance_case import find_cases, load_case  # noqa: E402
from oryx_scene.lab.evaluation.conformance_compare import (  # noqa: E402
    Comparer,
    Precision,
    precision_of,
)
from oryx_scene.lab.evaluation.conformance_text import compare_ids  # noqa: E402
from oryx_scene.model.checkpoint.checkpoint import load_model  # noqa: E402
from oryx_scene.model.engine import cuda_graphs, decode_batch, scoring  # noqa: E402
from oryx_scene.model.engine import decode as decode_module  # noqa: E402
from oryx_scene.model.engine.decoder import Decoder  # noqa: E402

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = find_cases(GOLDEN)


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_every_stage_agrees(folder):
    case = load_case(folder)
    results = run_case(case, load_model(case.model_folder))
    stages = {result.stage for result in results}
    assert {"input_ids", "inputs_embeds", "logits_all"} <= stages
    if "greedy_ids" in case.tensors:
        assert {"greedy_ids", "greedy_scores"} <= stages
        assert "greedy_ids_repetition_penalty_1.05" in stages
    for index, item in enumerate(case.items):
        assert f"item{index}.projector" in stages
        assert f"item{index}.tokens predicted" in stages
        assert any(stage.startswith(f"item{index}.pixel_sha256") for stage in stages), item
    misses = [
        f"{r.stage}: {r.difference:.3g} > {r.limit:.3g} {r.detail}" for r in results if not r.ok
    ]
    assert not misses


def test_all_kinds_of_the_format_are_here():
    modalities = {item.described["modality"] for f in CASES for item in load_case(f).items}
    configs = [json.loads((load_case(f).model_folder / "config.json").read_text()) for f in CASES]
    assert modalities == {"image", "video", "video_long"}
    assert {config["model_type"] for config in configs} == {"oryx_qwen", "oryx_llama"}
    assert {load_case(f).padding_side for f in CASES} == {"left", "right"}
    assert any(not load_case(folder).items for folder in CASES)
    assert any(len(load_case(folder).prompts) > 1 for folder in CASES)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("model.vision_tower.vision_tower.blocks.1.attn.qkv.weight", "item0.vit.low"),
        ("model.vision_resampler.vlm_key_projector.weight", "item0.compressor.low"),
        ("model.mm_projector.image_newline", "item0.projector"),
        ("model.layers.1.mlp.up_proj.weight", "logits_all"),
    ],
)
def test_a_weight_off_by_one_per_mille_is_named_by_its_stage(tmp_path, name, stage):
    """The comparison can fail, and it fails where the fault is."""
    for part in ("video_qwen", "models"):
        shutil.copytree(GOLDEN / "first" / part, tmp_path / part)
    weights = tmp_path / "models" / "qwen_a" / "model.safetensors"
    tensors = load_file(weights)
    tensors[name] = tensors[name] * 1.001
    save_file(tensors, weights)
    case = load_case(tmp_path / "video_qwen")
    results = run_case(case, load_model(case.model_folder))
    missed = [result.stage for result in results if not result.ok]
    assert missed[0] == stage


PRECISIONS = {
    "float32": (torch.float32, "none"),
    "bfloat16": (torch.bfloat16, "none"),
    "float16": (torch.float16, "none"),
    "int8": (torch.bfloat16, "int8"),
    "int4": (torch.bfloat16, "int4"),
}
VIDEO, TEXT = GOLDEN / "first" / "video_qwen", GOLDEN / "kinds" / "text_only_qwen"
NORM = "language.model.layers.1.input_layernorm"


def loaded(folder, precision):
    case = load_case(folder)
    dtype, quantization = PRECISIONS[precision]
    return case, load_model(case.model_folder, dtype=dtype, quantization=quantization)


def missed(case, model):
    """What misses in the asked precision; the run in float32 that goes ahead has its own names."""
    own = [result for result in run_case(case, model) if not result.stage.startswith("float32 ")]
    return [result.stage for result in own if not result.ok]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_way_of_the_engine_runs_and_agrees_in_every_precision(precision):
    case, model = loaded(VIDEO, precision)
    results = run_case(case, model)
    assert [result.stage for result in results if not result.ok] == []
    stages = {result.stage for result in results if result.compared}
    ways = ("shared rows", "copied rows", "constant shapes")
    assert {f"logits_all: {way}" for way in ways} <= stages
    assert {"greedy_scores", *(f"greedy_scores: {way}" for way in ways[1:])} <= stages
    assert {"logits_all", "logits_last", "greedy_ids", "engine.generate", "engine.score"} <= stages
    assert ("weights.quantised" in stages) == (precision in ("int8", "int4"))
    if precision != "float32":
        # The narrow limits hold for the folder itself, whatever was asked for.
        assert {"float32 logits_all", "float32 engine.score"} <= stages


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("module", "stage"),
    [
        ("vision.blocks.1.attn.qkv", "weights.vision"),
        ("compressor.vlm_key_projector", "weights.compressor"),
        ("projector.proj.0", "weights.projector"),
        (NORM, "weights.language"),
    ],
)
def test_a_weight_that_is_off_by_one_percent_in_memory(precision, module, stage):
    """1.01 becomes another number in every dtype: weights of norms are about 1."""
    case, model = loaded(VIDEO, precision)
    model.get_submodule(module).weight.mul_(1.01)
    assert missed(case, model)[0] == stage


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_scale_that_is_off_by_one_percent_or_forgotten(precision):
    for factor, first in ((1.01, ["weights.quantised"]), (None, None)):
        case, model = loaded(TEXT, precision)
        layer = model.language.model.layers[1].mlp.up_proj
        scales = layer.scales if factor else torch.ones_like(layer.scales)
        layer.scales.copy_(scales * (factor or 1.0))
        found = missed(case, model)
        if factor:
            assert found[:1] == first
        else:
            assert {"weights.quantised", "weights.quantised: steps off", "logits_all"} <= set(found)


def only_here(monkeypatch, owner, name, broken, model):
    """``broken(whole)`` instead of ``owner.name`` where the decoder of ``model`` runs."""
    whole = getattr(owner, name)
    inner = model.language.model
    monkeypatch.setattr(owner, name, broken(whole, lambda decoder: decoder.language.model is inner))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_decoder_of_zeros(monkeypatch, precision):
    case, model = loaded(TEXT, precision)

    def broken(whole, here):
        def forward(self, x, *rest):
            found = whole(self, x, *rest)
            return torch.zeros_like(found) if here(self) else found

        return forward

    only_here(monkeypatch, Decoder, "forward", broken, model)
    assert missed(case, model)[0] == "logits_all"


def own_tokens_only(whole):
    return lambda prefix, own: own[0]


def first_row_for_all(whole):
    def attend_rows(q, k, v, lengths):
        return whole(q, k[:1].expand_as(k), v[:1].expand_as(v), lengths)

    return attend_rows


def without_scale(whole):
    return lambda q, k, v, hidden: whole(q * q.shape[-1] ** 0.5, k, v, hidden)


def second_best(whole):
    def largest(logits):
        places = [int(row.topk(2).indices[1]) for row in logits]
        return [(float(row[place]), place) for row, place in zip(logits, places, strict=True)]

    return largest


def places_shifted(whole):
    return lambda plan, logits, stops: whole(plan, [one.roll(1, 0) for one in logits], stops)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("owner", "name", "broken", "stage"),
    [
        (decode_batch, "merge", own_tokens_only, "logits_last"),
        (decode_batch, "attend_rows", first_row_for_all, "greedy_scores"),
        (cuda_graphs, "_attend", without_scale, "greedy_scores: constant shapes"),
        (decode_module, "largest", second_best, "engine.generate"),
        (scoring, "read_scores", places_shifted, "engine.score"),
    ],
)
def test_each_way_of_the_engine_broken_once(monkeypatch, precision, owner, name, broken, stage):
    """The fault sits in code that every precision runs: the float32 run is done before it."""
    case, model = loaded(TEXT, precision)
    whole = getattr(owner, name)
    asked = []
    run = conformance._compare

    def compare(case, model, comparer, **options):
        is_asked = model is asked[0]
        monkeypatch.setattr(owner, name, broken(whole) if is_asked else whole)
        return run(case, model, comparer, **options)

    asked.append(model)
    monkeypatch.setattr(conformance, "_compare", compare)
    assert missed(case, model)[0] == stage


def test_a_fault_of_the_folder_is_found_whatever_precision_is_asked_for(tmp_path):
    """1 % is below what bfloat16 can tell; the float32 run that goes ahead tells it."""
    for part in ("video_qwen", "models"):
        shutil.copytree(GOLDEN / "first" / part, tmp_path / part)
    weights = tmp_path / "models" / "qwen_a" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.layers.1.mlp.up_proj.weight"] *= 1.01
    save_file(tensors, weights)
    case = load_case(tmp_path / "video_qwen")
    for dtype in (torch.bfloat16, torch.float16):
        results = run_case(case, load_model(case.model_folder, dtype=dtype))
        assert next(r.stage for r in results if not r.ok) == "float32 logits_all"


def test_the_limit_is_five_roundings_and_half_at_most():
    precision = Precision(eps=0.01, rounded={"a": 0.002, "b": 0.03, "c": 0.2})
    assert [precision.limit(stage) for stage in "abc"] == pytest.approx([0.05, 0.15, 0.5])
    assert precision_of(torch.bfloat16).eps == 2**-7
    assert precision_of(torch.float16).eps == 2**-10


def test_ids_may_differ_only_behind_a_choice_that_the_precision_cannot_make():
    def result(ids, margins, error):
        found = [(ids, margins)]
        return next(compare_ids(Comparer("case"), "ids", found, [[5, 6, 7, 8]], error))

    clear = [1.0, 1.0, 0.19, 1.0]
    assert result([5, 6, 7, 8], clear, 0.1).ok
    assert result([5, 6, 9, 9], clear, 0.1).ok
    assert "2 of 4" in result([5, 6, 9, 9], clear, 0.1).detail
    assert not result([5, 6, 9, 9], clear, 0.09).ok
    assert not result([5, 6, 7], clear, 0.1).ok


def test_a_tensor_that_the_case_lacks_is_said(tmp_path, capsys):
    for part in ("video_qwen", "models"):
        shutil.copytree(GOLDEN / "first" / part, tmp_path / part)
    path = tmp_path / "video_qwen" / "tensors.safetensors"
    tensors = load_file(path)
    gone = ("logits_all", "greedy_scores", "item0.projector", "inputs_embeds")
    save_file({name: value for name, value in tensors.items() if name not in gone}, path)
    assert main(["conformance", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    said = {one["stage"] for one in report["results"] if not one["compared"]}
    assert said == set(gone)
    main(["conformance", str(tmp_path)])
    assert "4 not compared" in capsys.readouterr().out


def test_a_row_that_is_too_long_loses_its_tail_as_in_the_original(tmp_path):
    for part in ("video_qwen", "models"):
        shutil.copytree(GOLDEN / "first" / part, tmp_path / part)
    path = tmp_path / "models" / "qwen_a" / "config.json"
    config = {**json.loads(path.read_text()), "tokenizer_model_max_length": 300}
    path.write_text(json.dumps(config))
    weights = tmp_path / "video_qwen" / "tensors.safetensors"
    tensors = load_file(weights)
    # The golden model is causal: cutting the tail leaves what stands before it as it was.
    for name in ("inputs_embeds", "logits_all"):
        tensors[name] = tensors[name][:, :300].contiguous()
    for name in [n for n in tensors if n.startswith("greedy") or n == "logits_last"]:
        del tensors[name]
    save_file(tensors, weights)
    case = load_case(tmp_path / "video_qwen")
    assert [r.stage for r in run_case(case, load_model(case.model_folder)) if not r.ok] == []


def test_a_tensor_nobody_knows_is_a_miss(tmp_path):
    for part in ("text_only_qwen", "models"):
        shutil.copytree(GOLDEN / "kinds" / part, tmp_path / part)
    path = tmp_path / "text_only_qwen" / "tensors.safetensors"
    save_file({**load_file(path), "surprise": torch.zeros(2)}, path)
    case = load_case(tmp_path / "text_only_qwen")
    missed = [r.stage for r in run_case(case, load_model(case.model_folder)) if not r.ok]
    assert missed == ["surprise"]


def test_the_command_prints_and_exits(capsys, tmp_path):
    assert main(["conformance", str(GOLDEN / "kinds" / "text_only_qwen"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["misses"] == 0
    keys = {"case", "stage", "ok", "difference", "limit", "compared", "detail"}
    assert keys == set(report["results"][0])

    for part in ("text_only_qwen", "models"):
        shutil.copytree(GOLDEN / "kinds" / part, tmp_path / part)
    path = tmp_path / "text_only_qwen" / "tensors.safetensors"
    tensors = load_file(path)
    tensors["greedy_ids"][0, 3] += 1
    save_file(tensors, path)
    assert main(["conformance", str(tmp_path)]) == 1
    assert "MISS greedy_ids" in capsys.readouterr().out


def test_a_folder_of_another_kind_is_refused(capsys, tmp_path):
    assert main(["conformance", str(tmp_path)]) == 2
    assert "case.json" in capsys.readouterr().err
    (tmp_path / "case.json").write_text("{}")
    assert main(["conformance", str(tmp_path)]) == 2
    assert "no golden case" in capsys.readouterr().err


def test_raw_pictures_are_never_unpickled(capsys, tmp_path):
    for part in ("image_qwen", "models"):
        shutil.copytree(GOLDEN / "first" / part, tmp_path / part)
    evil = np.array([{"a": 1}], dtype=object)
    np.save(tmp_path / "image_qwen" / "raw_0_0.npy", evil, allow_pickle=True)
    assert main(["conformance", str(tmp_path)]) == 2
    assert "no golden case" in capsys.readouterr().err
