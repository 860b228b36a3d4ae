"""`--model default`: the checkpoint in the package, found by name and by saying nothing."""

import json

import pytest

pytest.importorskip("torch", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main
from oryx_scene.model.checkpoint import load
from oryx_scene.model.checkpoint.random_model import write_random_checkpoint
from oryx_scene.sources.bags.writer import write_source
from oryx_scene.sources.registry import open_source

TOLD = {"trained": True, "name": "small", "synthetic_only": True, "scratchpad": True}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A checkpoint that says of itself what the default one says, in its place."""
    folder = write_random_checkpoint(tmp_path / "default_model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "oryx_scene": TOLD}))
    monkeypatch.setattr(load, "DEFAULT_FOLDER", folder)
    return folder


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    path = tmp_path_factory.mktemp("rooms") / "room"
    assert main(["room", str(path), "--seed", "3", "--views", "2"]) == 0
    return path


def ask(capsys, source, *words):
    assert main(["ask", str(source), "-q", "What is here?", "--max-new-tokens", "4", *words]) == 0
    return capsys.readouterr()


def test_no_model_named_is_the_default_one(small, room, capsys):
    (one, other) = (
        json.loads(ask(capsys, room, "--json", *words).out)
        for words in ((), ("--model", "default"))
    )
    assert one["provenance"]["model"] == other["provenance"]["model"] == "small"
    assert one["token_ids"] == other["token_ids"]
    assert one["provenance"]["caution"] == ""
    assert not any("out of its depth" in text["text"] for text in one["warnings"])


def test_a_real_source_is_warned_of_in_text_and_json(small, capsys, office_folder):
    told = json.loads(ask(capsys, str(office_folder), "--json").out)
    assert told["provenance"]["caution"] == "trained on synthetic rooms only"
    assert any("out of its depth" in text["text"] for text in told["warnings"])
    shown = ask(capsys, str(office_folder))
    assert "A (trained on synthetic rooms only): " in shown.out
    assert "out of its depth" in shown.err


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_rendered_bag_says_so_in_every_storage(room, storage, tmp_path, office_folder):
    source = open_source(room)
    assert source.synthetic
    write_source(source, tmp_path / "again", storage=storage)
    assert open_source(tmp_path / "again").synthetic
    assert open_source(tmp_path / "again", cameras=["front"]).synthetic
    assert not open_source(office_folder).synthetic


def test_replay_warns_too(small, room, tmp_path, capsys, office_folder):
    questions = tmp_path / "questions.yaml"
    questions.write_text("- What is here?\n")
    words = ["--questions", str(questions), "--at", "0", "--max-new-tokens", "3"]
    assert main(["replay", str(office_folder), *words]) == 0
    assert "A (trained on synthetic rooms only): " in capsys.readouterr().out
    assert main(["replay", str(room), *words]) == 0
    assert "A: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "OFFICE", "-q", "What?"],
        ["ask", "OFFICE", "-q", "What?", "--model", "default"],
        ["eval", "scenes", "--scenes", "1"],
        ["memory", "--model", "default"],
    ],
)
def test_without_weights_the_message_names_the_ways_to_a_model(
    tmp_path, monkeypatch, capsys, words, office_folder
):
    (tmp_path / "README.md").write_text("a card without weights")
    monkeypatch.setattr(load, "DEFAULT_FOLDER", tmp_path)
    words = [str(office_folder) if word == "OFFICE" else word for word in words]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "brings no default checkpoint" in said
    assert "oryx-scene train" in said and "'random'" in said
    assert said.count("\n") == 1


def test_half_a_default_checkpoint_is_refused_by_the_loader(small, capsys, office_folder):
    (small / "model.safetensors").unlink()
    assert main(["ask", str(office_folder), "-q", "What?"]) == 2
    assert "safetensors" in capsys.readouterr().err
