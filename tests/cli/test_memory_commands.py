"""`oryx-scene remember` and `oryx-scene where` as a user calls them."""

import json

import pytest

from oryx_scene.cli.main import main
from oryx_scene.cli.remember import bytes_of
from oryx_scene.cli.where import span
from oryx_scene.errors import ConfigError
from oryx_scene.lab.synth.recording import record_room
from oryx_scene.lab.synth.scenes import SceneSpec


@pytest.fixture(scope="module")
def remembered(tmp_path_factory):
    """(memory folder, recording, what is true)."""
    folder = tmp_path_factory.mktemp("memory")
    world = record_room(SceneSpec(4, "test", "handheld", 8, 120, 160), folder / "room")
    assert main(["remember", str(folder / "room"), "--into", str(folder / "m")]) == 0
    return folder / "m", folder / "room", world


def test_where_says_the_place_as_text_and_json(remembered, capsys):
    memory, _, world = remembered
    thing = max(world.objects, key=lambda item: item.extent[0])
    words = f"the {thing.colour} {thing.shape}"
    assert main(["where", str(memory), words]) == 0
    assert f"{thing.colour} " in capsys.readouterr().out
    assert main(["where", str(memory), words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "oryx_scene/where/1"
    x, y, z = answer["candidates"][0]["position"]
    assert abs(x - thing.position[0]) < 0.15 and abs(y - thing.position[1]) < 0.15 and z > 0


def test_the_same_recording_again_is_continued(remembered, capsys):
    memory, recording, _ = remembered
    assert main(["remember", str(recording), "--into", str(memory), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["schema"] == "oryx_scene/remember/1"
    assert (plain["alignment"], plain["frames"], plain["new"]) == ("continued", 0, 0)


def test_bad_input_is_one_line_with_a_hint(remembered, capsys, tmp_path):
    memory, recording, _ = remembered
    for words in (
        ["where", str(tmp_path), "box"],
        ["where", str(memory), "box", "--at", "noon"],
        ["where", str(memory), " "],
        ["remember", str(tmp_path / "nothing"), "--into", str(tmp_path / "m")],
        ["remember", str(recording), "--into", str(tmp_path / "n"), "--quota", "big"],
        ["remember", str(recording), "--into", str(tmp_path / "n"), "--quota", "1MB"],
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"oryx-scene {words[0]}: error:") and error.count("\n") == 1


def test_sizes_and_spans_are_read_and_written():
    assert bytes_of("2GB") == 2_000_000_000
    assert bytes_of("500 mb") == 500_000_000
    assert bytes_of("1.5G") == 1_500_000_000
    assert bytes_of("4096") == 4096
    for text in ("", "GB", "2 bananas", "-1MB", "2B"):
        with pytest.raises(ConfigError):
            bytes_of(text)
    spans = (1.26, "1.3 s"), (600, "10 min"), (7200, "2.0 h"), (200_000, "2.3 days")
    assert all(span(seconds) == text for seconds, text in spans)
