"""The original code's golden vectors, stage by stage: ids, bytes, pixels, features, text."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from oryx_scene.cli.main import main  # noqa: E402
from oryx_scene.evaluation.conformance import run_case  # noqa: E402
from oryx_scene.evaluation.conformance_case import find_cases, load_case  # noqa: E402
from oryx_scene.model.checkpoint import load_model  # noqa: E402

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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_passes_and_still_finds_a_fault(dtype):
    """What a GPU runs: a right model passes, one without its newline vectors does not.

    In bfloat16 so few rows hide in the projector's limit; the logits give them away.
    """
    case = load_case(GOLDEN / "first" / "video_qwen")
    model = load_model(case.model_folder, dtype=dtype)
    assert [r.stage for r in run_case(case, model) if not r.ok] == []
    model.projector.image_newline.zero_()
    missed = [result.stage for result in run_case(case, model) if not result.ok]
    assert "logits_all" in missed


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
    assert {"case", "stage", "ok", "difference", "limit", "detail"} == set(report["results"][0])

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
