"""Dumped questions: kept bit for bit, read strictly, repeated, the first difference named."""

import dataclasses
import errno
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from fake_answerer import CARD, FakeAnswerer
from hypothesis import given
from hypothesis import strategies as st

from oryx_scene.cli.main import main
from oryx_scene.config import PipelineConfig, ViewsConfig
from oryx_scene.dump.folder import is_dump, read_dump, write_dump
from oryx_scene.dump.plain import PlainError, from_plain
from oryx_scene.dump.repeat import repeat_dump
from oryx_scene.errors import OutputError, SourceError
from oryx_scene.geometry.rig import Rig
from oryx_scene.model.api import Limits
from oryx_scene.qa.answer_json import to_plain
from oryx_scene.qa.pipeline import ScenePipeline, prompt_hash
from oryx_scene.records import Mark, MarkObservation, MarkSet, Predicate, Question, Relation
from oryx_scene.scene.frame_selection import frames_at
from oryx_scene.sources.registry import open_source
from oryx_scene.warning import KINDS, Warning

OF_THE_SOURCE = Warning("no_stamps", "a warning of the source")


def told(reason="", length=6, change=None, **card):
    """An answerer whose tokens follow from the prompt alone; token ``change`` is one more."""

    def words(prompt):
        ids = list(hashlib.sha256(prompt_hash(prompt).encode()).digest()[:length])
        if change is not None:
            ids[change] += 1
        return tuple(f"{one} " for one in ids)

    card = dataclasses.replace(CARD, **{"name": "told", "revision": "1", **card})
    return FakeAnswerer(words, card=card, stop=reason, token_id=int)


@pytest.fixture(scope="module")
def office(office_folder):
    source = open_source(office_folder)
    now_ns = max(stub.stamp_ns for stub in source.stubs())
    return frames_at(source, now_ns, ViewsConfig()).frames, now_ns


def asked(office, answerer, limits=None):
    frames, now_ns = office
    pipeline = ScenePipeline(answerer, PipelineConfig(views=ViewsConfig(count=3)))
    scene = pipeline.freeze(frames, now_ns, warnings=(OF_THE_SOURCE,))
    limits = limits or Limits(max_new_tokens=8, seed=3)
    answer = pipeline.ask(scene, Question("How far is mark 1 from mark 2?"), limits)
    return pipeline, scene, answer, limits


@pytest.fixture(scope="module")
def kept(office, tmp_path_factory):
    """A dump on disk and what it was made of."""
    made = asked(office, told())
    folder = tmp_path_factory.mktemp("dumps") / "one"
    write_dump(folder, *made, model_name="told")
    return folder, made


@pytest.fixture
def copy(kept, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in kept[0].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def edit(folder, name, change):
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def test_all_comes_back_bit_for_bit(kept, office_folder):
    folder, (pipeline, scene, answer, limits) = kept
    assert is_dump(folder)
    assert not is_dump(office_folder)
    dump = read_dump(folder)
    assert len(dump.frames) == 3
    for old, new in zip(scene.views.frames, dump.frames, strict=True):
        assert new.rgb.dtype == np.uint8
        assert old.rgb.tobytes() == new.rgb.tobytes()
        assert old.depth.tobytes() == new.depth.tobytes()
        assert old.intrinsics.K.tobytes() == new.intrinsics.K.tobytes()
        assert old.T_fixed_camera.tobytes() == new.T_fixed_camera.tobytes()
        for name in ("camera", "stamp_ns", "frame_id", "sha256", "depth_sha256", "topic"):
            assert getattr(old, name) == getattr(new, name)
    assert len(scene.marks.marks) >= 5
    assert to_plain(dump.marks) == to_plain(scene.marks)
    assert isinstance(dump.marks.relations[0].predicate, Predicate)
    assert dump.config == pipeline.config
    assert dump.limits.limits() == limits
    assert dump.question == answer.question
    assert dump.model == pipeline.answerer.card
    assert dump.answer["token_ids"] == list(answer.token_ids)
    assert dump.prompt.sha256 == answer.provenance["prompt_sha256"]
    assert dump.prompt.question.endswith("How far is mark 1 from mark 2?")


def test_a_rig_changes_nothing_of_a_dump_and_that_is_said(kept):
    source = open_source(kept[0], rig=Rig("base_link", {}))
    assert "rig_unused" in {item.code for item in source.warnings}


def test_the_same_dump_twice_is_the_same_bytes(kept, office, tmp_path):
    write_dump(tmp_path / "again", *asked(office, told()), model_name="told")
    for file in sorted(kept[0].iterdir()):
        again = (tmp_path / "again" / file.name).read_bytes()
        if file.name == "answer.json":
            old, new = json.loads(file.read_bytes()), json.loads(again)
            assert old.pop("timings_s").keys() == new.pop("timings_s").keys()
            assert old == new
            continue
        assert file.read_bytes() == again


def test_a_repeat_is_identical_without_finding_marks_again(kept, monkeypatch):
    def never(*_, **__):
        raise AssertionError("marks were searched again")

    monkeypatch.setattr("oryx_scene.scene.freeze.find_marks", never)
    repeat = repeat_dump(read_dump(kept[0]), told())
    assert repeat.difference is None
    assert repeat.identical
    assert repeat.notes == ()
    said = repeat.as_dict()
    assert (said["schema"], said["identical"]) == ("oryx_scene/repeat/1", True)
    assert to_plain(OF_THE_SOURCE) in said["answer"]["warnings"]


def test_the_first_differing_token_is_named(kept):
    found = repeat_dump(read_dump(kept[0]), told(change=4)).difference
    assert found.where == "generated_tokens"
    assert "token 4 " in found.what
    assert found.came == found.expected + 1
    found = repeat_dump(read_dump(kept[0]), told(length=4)).difference
    assert (found.where, found.expected, found.came) == ("generated_tokens", 6, 4)
    assert "first 4 generated tokens agree" in found.what


def test_another_model_is_named_before_its_tokens(kept):
    found = repeat_dump(read_dump(kept[0]), told(change=0, revision="2")).difference
    assert (found.where, found.expected, found.came) == ("model", "1", "2")


def test_device_and_version_are_notes(kept, copy):
    edit(copy, "dump.json", lambda value: value.update(software_version="0.0.0"))
    repeat = repeat_dump(read_dump(copy), told(device="cuda:0"))
    assert repeat.identical
    assert any("cuda:0" in note for note in repeat.notes)
    assert any("0.0.0" in note for note in repeat.notes)


def change_evidence(value):
    value["evidence"][1]["sha256"] = "0" * 64


def change_text(value):
    value["text"] += "!"


def change_warning(value):
    value["warnings"].append("more")


@pytest.mark.parametrize(
    ("file", "change", "where", "said"),
    [
        ("answer.json", change_evidence, "evidence", "evidence[1].sha256"),
        ("answer.json", change_text, "text", "text differs"),
        ("answer.json", change_warning, "answer", "answer.warnings has another length"),
        ("answer.json", lambda v: v["token_ids"].pop(), "generated_tokens", "first 5"),
        ("answer.json", lambda v: v.pop("budget"), "answer", "budget is missing in the dump"),
        (
            "dump.json",
            lambda v: v["prompt"].update(tokens_sha256="0" * 64),
            "prompt_tokens",
            "other token ids",
        ),
        (
            "dump.json",
            lambda v: v["prompt"].update(sha256="0" * 64, question="How close?"),
            "prompt",
            "the prompt's question differs from character",
        ),
        ("dump.json", lambda v: v.update(scene_id="0" * 16), "scene", "pictures"),
    ],
)
def test_each_kind_of_difference_is_named(copy, file, change, where, said):
    edit(copy, file, change)
    found = repeat_dump(read_dump(copy), told()).difference
    assert found is not None
    assert found.where == where
    assert said in found.what


def test_other_settings_lead_to_other_prompts(copy):
    edit(copy, "dump.json", lambda value: value["settings"]["marks"].update(facts="none"))
    found = repeat_dump(read_dump(copy), told()).difference
    assert found.where == "prompt"
    assert "question" in found.what
    assert found.expected.startswith("Measured")


@pytest.mark.parametrize("reason", ["deadline", "cancelled"])
def test_an_answer_cut_short_is_compared_as_far_as_it_went(office, tmp_path, reason):
    limits = Limits(max_new_tokens=8, deadline_s=0.5, cancelled=lambda: False)
    folder = write_dump(tmp_path / "cut", *asked(office, told(reason, 3), limits))
    repeat = repeat_dump(read_dump(folder), told(length=8))
    assert repeat.identical
    assert len(repeat.answer.token_ids) == 3
    assert any(f"ended by {reason} after 3 tokens" in note for note in repeat.notes)
    assert repeat_dump(read_dump(folder), told(length=8, change=1)).difference.where == (
        "generated_tokens"
    )


# -- strict reading -------------------------------------------------------------------------------


def forge(value):
    value["frames"][0]["rgb_file"] = "../../outside.png"


def view_too_high(value):
    value["marks"]["marks"][0]["observations"][0]["view"] = 3


def left_handed(value):
    numbers = value["frames"][0]["T_fixed_camera"]
    value["frames"][0]["T_fixed_camera"] = [-x for x in numbers[:12]] + numbers[12:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v.update(schema="oryx_scene/dump/2"), "oryx_scene/dump/2"),
        (lambda v: v.update(extra=1), "dump.json.extra"),
        (lambda v: v.pop("frozen_ns"), "dump.json.frozen_ns"),
        (lambda v: v.update(frozen_ns="now"), "frozen_ns"),
        (lambda v: v.update(frozen_ns=True), "frozen_ns"),
        (lambda v: v.update(frames=[]), "frames"),
        (lambda v: v["frames"][0].update(height=481), "shape"),
        (lambda v: v["frames"][0].pop("sha256"), "frames[0].sha256"),
        (lambda v: v["frames"][0]["intrinsics"].update(K=[1.0]), "9 numbers"),
        (lambda v: v["frames"][0]["intrinsics"]["K"].__setitem__(0, -1.0), "focal"),
        (lambda v: v["frames"][0].update(depth_file="none.npy"), "none.npy"),
        (lambda v: v["marks"]["marks"][0].update(position=[1.0, 2.0]), "position"),
        (lambda v: v["marks"]["relations"][0].update(predicate="beside"), "predicate"),
        (lambda v: v["settings"].update(veiws={}), "veiws"),
        (lambda v: v["settings"]["views"].update(count=0), "views.count"),
        (lambda v: v.update(settings=None), "settings"),
        (forge, "outside.png"),
        (view_too_high, "a view below 3"),
        (left_handed, "rotation"),
    ],
)
def test_what_cannot_be_is_refused(copy, change, said):
    edit(copy, "dump.json", change)
    with pytest.raises(SourceError) as caught:
        read_dump(copy)
    assert said in str(caught.value)


def test_damaged_files_are_refused(copy):
    for name in ("view_000.png", "view_001.depth.npy"):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
        with pytest.raises(SourceError, match=f"{name} is damaged"):
            read_dump(copy)
        (copy / name).unlink()
        with pytest.raises(SourceError, match=f"{name} cannot be read"):
            read_dump(copy)
        (copy / name).write_bytes(whole)
    for name in ("dump.json", "answer.json"):
        whole = (copy / name).read_bytes()
        for broken in (whole[:-20], b"[]", b"\xff\xfe"):
            (copy / name).write_bytes(broken)
            with pytest.raises(SourceError, match=name):
                read_dump(copy)
        (copy / name).unlink()
        with pytest.raises(SourceError, match=f"{name} cannot be read"):
            read_dump(copy)
        (copy / name).write_bytes(whole)
    read_dump(copy)


def test_pixels_of_another_kind_are_refused(copy):
    np.save(copy / "view_000.depth.npy", np.zeros((480, 640), np.float64))
    digest = hashlib.sha256((copy / "view_000.depth.npy").read_bytes()).hexdigest()
    edit(copy, "dump.json", lambda v: v["frames"][0].update(depth_file_sha256=digest))
    with pytest.raises(SourceError, match="float64"):
        read_dump(copy)
    np.save(copy / "view_000.depth.npy", np.array([{}], dtype=object), allow_pickle=True)
    digest = hashlib.sha256((copy / "view_000.depth.npy").read_bytes()).hexdigest()
    edit(copy, "dump.json", lambda v: v["frames"][0].update(depth_file_sha256=digest))
    with pytest.raises(SourceError, match="no readable"):
        read_dump(copy)


# -- writing --------------------------------------------------------------------------------------


def test_nothing_half_written_stays(office, tmp_path, monkeypatch):
    made = asked(office, told())
    write = Path.write_bytes
    written = []

    def full(self, data):
        written.append(self)
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        write_dump(tmp_path / "dumps" / "one", *made)
    assert list((tmp_path / "dumps").iterdir()) == []
    monkeypatch.undo()
    folder = write_dump(tmp_path / "dumps" / "one", *made)
    assert repeat_dump(read_dump(folder), told()).identical
    with pytest.raises(OutputError, match="exists"):
        write_dump(folder, *made)
    assert [item.name for item in (tmp_path / "dumps").iterdir()] == ["one"]


# -- plain values ---------------------------------------------------------------------------------

floats = st.floats(allow_infinity=False, allow_nan=True, width=64)
texts = st.text(max_size=5)
observations = st.builds(
    MarkObservation,
    view=st.integers(0, 9),
    u=floats,
    v=floats,
    radius_px=floats,
    depth_m=floats,
    visible_fraction=floats,
    area_px=st.integers(),
    bbox=st.tuples(floats, floats, floats, floats),
)
points = st.none() | st.tuples(floats, floats, floats)
mark_sets = st.builds(
    MarkSet,
    marks=st.lists(
        st.builds(
            Mark,
            number=st.integers(1, 99),
            observations=st.lists(observations, max_size=2).map(tuple),
            position=points,
            size=points,
            position_std=floats,
            label=texts,
        ),
        max_size=2,
    ).map(tuple),
    relations=st.lists(
        st.builds(
            Relation,
            subject=st.integers(1, 99),
            predicate=st.sampled_from(Predicate),
            object=st.none() | st.integers(1, 99),
            reference=texts,
            value=floats,
            std=floats,
        ),
        max_size=2,
    ).map(tuple),
    left_out=st.dictionaries(texts, st.integers(), max_size=2),
    warnings=st.lists(
        st.builds(Warning, code=st.sampled_from(sorted(KINDS)), text=texts, camera=texts),
        max_size=2,
    ).map(tuple),
)


@given(mark_sets)
def test_records_survive_json(marks):
    plain = json.loads(json.dumps(to_plain(marks), allow_nan=False))
    again = from_plain(MarkSet, plain, "marks")
    assert repr(again) == repr(marks)


def test_plain_values_of_other_types_are_named():
    for value, path in [
        ({"text": 3}, "q.text"),
        ({"text": "a", "choices": "b"}, "q.choices"),
        ({"text": "a", "choices": [1]}, "q.choices[0]"),
        ({"text": "a", "chioces": []}, "q.chioces"),
        ({}, "q.text"),
        ([], "q"),
    ]:
        with pytest.raises(PlainError) as caught:
            from_plain(Question, value, "q")
        assert f"'{path}'" in str(caught.value)
    bad = dataclasses.replace(Mark(1, ()), position_std=math.nan)
    with pytest.raises(PlainError, match="score"):
        from_plain(Mark, {**to_plain(bad), "score": "high"}, "mark")


# -- the command ----------------------------------------------------------------------------------


def test_the_command_dumps_and_repeats(capsys, tmp_path, office_folder):
    pytest.importorskip("torch", reason="the extra 'model' is not installed")
    office = str(office_folder)
    common = ["--model", "random", "--max-new-tokens", "5"]
    both = ["-q", "What is left?", "-q", "How far is mark 1 from mark 2?", "--json"]
    sampled = ["--temperature", "0.8", "--seed", "7", "--dump", str(tmp_path / "dumps")]
    code = main(["ask", office, *common, *both, *sampled])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    folder = str(tmp_path / "dumps" / "query_01")
    # The model is found again by the name it was asked with.
    assert main(["ask", folder]) == 0
    said = capsys.readouterr().out
    assert "identical: 3 views" in said
    assert main(["ask", folder, "--json"]) == 0
    repeated = json.loads(capsys.readouterr().out)
    assert repeated["answer"]["text"] == json.loads(lines[1])["text"]
    edit(Path(folder), "answer.json", lambda v: v["token_ids"].__setitem__(2, 999))
    assert main(["ask", folder]) == 1
    assert "different: generated token 2 differs; the dump has 999" in capsys.readouterr().out
    # A dump is also a source for new questions.
    assert main(["ask", folder, *common, "-q", "What else?", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["question"]["text"] == "What else?"


def test_the_command_says_what_does_not_fit(capsys, kept, office_folder):
    assert main(["ask", str(office_folder), "--model", "random"]) == 2
    assert "no question" in capsys.readouterr().err
    assert main(["ask", str(kept[0]), "--model", "random", "--views", "2"]) == 2
    assert "--views cannot be given" in capsys.readouterr().err
