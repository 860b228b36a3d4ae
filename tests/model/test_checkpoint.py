"""Published folders load as they are; anything else is an error that names the tensors."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'model' is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from oryx_scene.errors import CheckpointError  # noqa: E402
from oryx_scene.model.api import Limits, Prompt  # noqa: E402
from oryx_scene.model.checkpoint import load  # noqa: E402
from oryx_scene.model.checkpoint.checkpoint import load_model  # noqa: E402
from oryx_scene.model.checkpoint.load import find_folder, load_answerer, stops_of  # noqa: E402
from oryx_scene.model.checkpoint.random_model import (  # noqa: E402
    write_byte_tokenizer,
    write_random_checkpoint,
)
from oryx_scene.model.checkpoint.tokenizer import CharTokenizer  # noqa: E402
from oryx_scene.model.engine import shared_attention  # noqa: E402
from oryx_scene.model.engine.shared_attention import half_sums  # noqa: E402
from oryx_scene.model.oryx.language import silent_defaults  # noqa: E402

QWEN = Path(__file__).parent.parent / "golden" / "first" / "models" / "qwen_a"
VIT = "model.vision_tower.vision_tower."


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(QWEN, tmp_path / "model"))


def change(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def same(a, b):
    return all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())


def test_vision_tower_from_its_own_file(folder):
    change(folder, lambda t: [t.pop(name) for name in list(t) if name.startswith(VIT)])
    assert same(load_model(folder), load_model(QWEN))


def test_no_vision_tower_anywhere(folder):
    change(folder, lambda t: [t.pop(name) for name in list(t) if name.startswith(VIT)])
    (folder / "oryx_vit.pth").unlink()
    with pytest.raises(CheckpointError, match="no vision tower"):
        load_model(folder)


def test_an_unknown_tensor_in_the_vision_file(folder):
    change(folder, lambda t: [t.pop(name) for name in list(t) if name.startswith(VIT)])
    vit = torch.load(folder / "oryx_vit.pth", weights_only=True)
    torch.save({**vit, "surprise.weight": torch.zeros(3)}, folder / "oryx_vit.pth")
    with pytest.raises(CheckpointError, match=r"surprise\.weight") as caught:
        load_model(folder)
    assert caught.value.extra == (VIT + "surprise.weight",)


@pytest.mark.parametrize(
    "name", ["model.norm.weight", "model.mm_projector.image_sep", VIT + "pos_embed"]
)
def test_a_missing_tensor_is_named(folder, name):
    change(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert name in str(caught.value)


def test_extra_and_misshapen_tensors_are_named(folder):
    def edit(tensors):
        tensors["model.layers.7.mlp.up_proj.weight"] = torch.zeros(2, 2)
        tensors["lm_head.weight"] = torch.zeros(3, 64)

    change(folder, edit)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert caught.value.extra == ("model.layers.7.mlp.up_proj.weight",)
    assert "lm_head.weight (expected [200, 64], got [3, 64])" in caught.value.misshapen[0]


def test_sharded_with_an_index_and_in_bf16(folder):
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    weight_map = {}
    for part, own in enumerate((names[::2], names[1::2])):
        file = f"model-{part}.safetensors"
        save_file({n: tensors[n].to(torch.bfloat16) for n in own}, folder / file)
        weight_map.update(dict.fromkeys(own, file))
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    loaded = load_model(folder, dtype=torch.bfloat16)
    assert same(loaded, load_model(QWEN, dtype=torch.bfloat16))
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-1\.safetensors"):
        load_model(folder)


def test_image_checkpoints_without_a_compressor(folder):
    edit_config(folder, mm_resampler_type=None)
    assert same(load_model(folder), load_model(QWEN))
    change(folder, lambda t: [t.pop(n) for n in list(t) if "vision_resampler" in n])
    model = load_model(folder)
    from oryx_scene.errors import EngineError
    from oryx_scene.model.api import Stride

    picture = torch.zeros(3, 64, 64)
    assert model.encode([picture], [Stride.IMAGE])[0].shape == (4, 4, 64)
    with pytest.raises(EngineError, match="1x only"):
        model.encode([picture], [Stride.VIDEO])


def test_a_qwen_model_needs_no_7b_in_its_name(folder):
    renamed = folder.rename(folder.parent / "Oryx-1.5-32B")
    assert load_model(renamed).language.config.model_type == "qwen2"


def test_a_lost_last_block_is_missed(folder):
    change(folder, lambda t: [t.pop(name) for name in list(t) if f"{VIT}blocks.1." in name])
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert f"{VIT}blocks.1.attn.qkv.weight" in caught.value.missing


def test_without_stated_sizes_the_published_ones_hold(folder):
    (folder / "tiny_vit.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert f"{VIT}blocks.26.mlp.fc2.weight" in caught.value.missing
    wrong = f"{VIT}pos_embed (expected [1, 16384, 1152], got [1, 256, 64])"
    assert wrong in caught.value.misshapen


def test_stated_sizes_that_cannot_be(folder):
    (folder / "tiny_vit.json").write_text(json.dumps({"width": 64, "depth": 2, "heads": 7}))
    with pytest.raises(CheckpointError, match="stated sizes"):
        load_model(folder)


def test_tied_embeddings(folder):
    edit_config(folder, tie_word_embeddings=True)
    change(folder, lambda tensors: tensors.pop("lm_head.weight"))
    language = load_model(folder).language
    assert language.lm_head.weight is language.model.embed_tokens.weight


def test_quantised_weights_are_refused(folder):
    def edit(tensors):
        tensors["lm_head.weight"] = tensors["lm_head.weight"].to(torch.int8)

    change(folder, edit)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight holds I8"):
        load_model(folder)


def test_a_config_that_describes_nothing(folder):
    edit_config(folder, hidden_size="wide")
    with pytest.raises(CheckpointError, match="language model"):
        load_model(folder)


def test_a_folder_never_touches_the_network(folder, monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    write_byte_tokenizer(folder)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(CheckpointError, match="larger than the model's vocabulary"):
        load_answerer(str(folder), device="cpu")
    answerer = load_answerer(str(write_random_checkpoint(folder / "random")), device="cpu")
    assert not answerer.card.trained


def test_a_hub_name_asks_the_hub_and_says_why_it_failed(monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    asked = []

    def download(name, **kwargs):
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        find_folder("nobody/nothing")
    assert asked == ["nobody/nothing"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "llava"}, "llava"),
        ({"mm_projector_type": "linear"}, "linear"),
        ({"mm_resampler_type": "qformer"}, "qformer"),
    ],
)
def test_other_architectures_are_refused_by_name(folder, values, said):
    edit_config(folder, **values)
    with pytest.raises(CheckpointError, match=said):
        load_model(folder)


class Bomb:
    def __reduce__(self):
        return (open, ("bomb_went_off", "w"))


def test_a_pickle_with_code_in_it_is_not_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    change(folder, lambda t: [t.pop(name) for name in list(t) if name.startswith(VIT)])
    (folder / "oryx_vit.pth").write_bytes(pickle.dumps({"pos_embed": Bomb()}))
    with pytest.raises(CheckpointError, match="was not run"):
        load_model(folder)
    assert not (folder / "bomb_went_off").exists()


def test_damaged_and_missing_files(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no \*\.safetensors"):
        load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(folder)


def test_names_that_are_no_model(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        find_folder(str(tmp_path / "nothing" / "here" / "at all"))
    with pytest.raises(CheckpointError, match="tokenizer"):
        load_answerer(str(QWEN), device="cpu")


def test_the_end_of_a_turn_always_stops(folder):
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [2], "repetition_penalty": 1.05})
    )
    stops = stops_of(folder, CharTokenizer("llama"))
    assert stops.ids == {2, 7}
    assert stops.repetition_penalty == 1.05


REQUIRED = (
    *("hidden_act", "hidden_size", "intermediate_size", "num_attention_heads"),
    *("num_hidden_layers", "rms_norm_eps", "rope_theta", "vocab_size"),
)


@pytest.mark.parametrize("key", REQUIRED)
def test_a_config_that_does_not_state_what_shapes_do_not_show_is_refused(folder, key):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config[key]
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"does not state {key}"):
        load_model(folder)


def test_rotary_keys_as_a_group_are_the_same_model(folder):
    """transformers 5 writes them so."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    group = {"rope_theta": config.pop("rope_theta"), "rope_type": "default"}
    path.write_text(json.dumps({**config, "rope_parameters": group}))
    ours, golden = load_model(folder), load_model(QWEN)
    tables = [model.language.model.rotary_emb.inv_freq for model in (ours, golden)]
    assert torch.equal(*tables)


def answered(folder):
    engine = load_answerer(str(folder), device="cpu")
    answer = engine.generate(Prompt("", ("A room.",), "?"), Limits(max_new_tokens=1))
    return engine.card, {warning.code: warning.text for warning in answer.warnings}


def test_settings_that_were_assumed_and_not_applied_are_said(tmp_path):
    folder = write_random_checkpoint(tmp_path / "model")
    card, codes = answered(folder)
    assert (card.assumed, codes) == ("", {})
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key in ("tie_word_embeddings", "use_sliding_window", "max_position_embeddings"):
        del config[key]
    path.write_text(json.dumps({**config, "rope_scaling": {"type": "linear", "factor": 2.0}}))
    card, codes = answered(folder)
    assumed = "max_position_embeddings 32768, tie_word_embeddings False, use_sliding_window False"
    assert card.assumed == assumed
    assert card.context_length == 32768
    assert assumed in codes["model_settings_assumed"]
    assert "linear" in codes["model_positions_not_scaled"]
    # A window that is stated to be none needs no switch.
    assert silent_defaults({**config, "sliding_window": None}, "here").endswith(
        "tie_word_embeddings False"
    )


def test_sums_in_half_precision_are_said(tmp_path, monkeypatch):
    assert half_sums("cpu", torch.bfloat16) == half_sums("cuda", torch.float32) == "float32"
    assert half_sums("cuda", torch.bfloat16) == "float32"
    monkeypatch.setattr(shared_attention, "keeps_sums", lambda: False)
    assert half_sums("cuda", torch.float16) == "float16"
    monkeypatch.setattr(load, "half_sums", lambda device, dtype: "float16")
    card, codes = answered(write_random_checkpoint(tmp_path / "model"))
    assert card.sums == "float16"
    assert "attention_sums_rounded" in codes


def test_a_git_lfs_pointer_is_named_before_anything_is_parsed(folder):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12166456\n"
    for name in ("model.safetensors", "config.json", "oryx_vit.pth"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(pointer)
        for read in (load_model, lambda own: find_folder(str(own))):
            with pytest.raises(CheckpointError, match=f"{name}: a git-lfs pointer"):
                read(folder)
        (folder / name).write_bytes(kept)
