import dataclasses
import json
import math

import pytest
from fake_answerer import FakeAnswerer

pytest.importorskip("torch", reason="the extra 'model' is not installed")
pytest.importorskip("transformers", reason="the extra 'model' is not installed")

from oryx_scene.cli.main import main
from oryx_scene.errors import OryxSceneError
from oryx_scene.lab.evaluation.scene_report import as_report, tables
from oryx_scene.lab.evaluation.scene_runs import Done, cut, in_turn, run_pieces
from oryx_scene.lab.evaluation.scene_scores import KindScore, add_scores, reliability, wilson
from oryx_scene.lab.evaluation.scene_settings import BESIDE, MIXED, PLAIN, SETTINGS, specs_of
from oryx_scene.lab.evaluation.scenes import evaluate, judge_scene
from oryx_scene.lab.synth.question_types import SceneQuestion
from oryx_scene.lab.synth.scenes import SceneSpec
from oryx_scene.records import Question

SPEC = SceneSpec(2, "test", views=2, compression="16", own_marks=True)
KINDS = ("colour", "count", "distance", "left_right")


def test_wilson_keeps_within_0_and_1():
    assert wilson(0, 10)[0] == pytest.approx(0.0, abs=1e-9)
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_conditions_change_what_they_say_and_ask_the_same():
    parrot = FakeAnswerer(("Mark 1 is red.",))
    names = ("no_pictures", "no_marks", "no_facts")
    scores = judge_scene(parrot, SPEC, [PLAIN, *(BESIDE[name] for name in names)], KINDS)
    assert list(scores) == ["plain", *names]
    asked = {name: {k: (s.asked, s.keys) for k, s in own.items()} for name, own in scores.items()}
    assert asked["plain"] == asked["no_pictures"] == asked["no_marks"] == asked["no_facts"]
    count = sum(score.asked for score in scores["plain"].values())
    plain, grey, bare, dumb = (
        parrot.prompts[start : start + count] for start in range(0, 4 * count, count)
    )
    assert len(parrot.prompts) == 4 * count and count >= 3

    def pictures(prompt):
        return next(part for part in prompt.scene if not isinstance(part, str)).images

    def facts(prompts):
        return [prompt.question for prompt in prompts if "Measured" in prompt.question]

    assert pictures(plain[0])[0].std() > 10
    assert 0 < pictures(grey[0])[0].std() < pictures(plain[0])[0].std()  # numbers on grey
    assert "Marks:" in str(plain[0].scene) and "Marks:" not in str(bare[0].scene)
    assert facts(plain) and facts(grey) == facts(plain)
    assert not facts(dumb) and not facts(bare)
    assert all((a.scene == b.scene) for a, b in zip(plain, dumb, strict=True))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_can_be_rendered_and_asked(name):
    spec = SETTINGS[name].spec(specs_of(SceneSpec(0, "test"), "mixed", range(5, 6))[0])
    assert spec != SPEC and spec.seed == 5
    found = judge_scene(FakeAnswerer(("Mark 1 is red.",)), spec, kinds=("colour", "total"))
    assert found["plain"]["colour"].asked == 1


def test_sequences_are_asked_about_views_and_changes_and_have_a_table():
    spec = SETTINGS["sequences"].spec(specs_of(SceneSpec(0, "test"), "mixed", range(4, 5))[0])
    kinds = ("needle", "differs", "changed")
    parrot = FakeAnswerer(("None.",))
    found = judge_scene(parrot, spec, kinds=kinds)["plain"]
    assert {kind: score.asked for kind, score in found.items()} == dict.fromkeys(kinds, 1)
    assert all(score.majority == 1.0 and score.chance < 0.2 for score in found.values())
    facts = [prompt.question for prompt in parrot.prompts]
    assert "Seen in" in facts[0] and "Seen in" in facts[1] and "Measured changes" in facts[2]
    plain = judge_scene(parrot, SPEC, kinds=("colour",))["plain"]
    done = Done({"plain": plain, "sequences": found}, {"plain": 1, "sequences": 1})
    lines = tables(as_report(done, {}))
    assert any(line.startswith("| changed | ") for line in lines)
    assert "Condition `sequences`:" in lines


def test_mixed_takes_the_trained_rigs_in_turn():
    specs = specs_of(SceneSpec(0), "mixed", range(8, 13))
    assert [spec.rig for spec in specs] == [*MIXED, MIXED[0]]
    assert all(spec.own_marks for spec in specs)
    assert {spec.rig for spec in specs_of(SceneSpec(0), "mast", range(2))} == {"mast"}


def test_counting_apart_and_together_is_the_same():
    asked = SceneQuestion("exists", Question("Is there a box?"), "", "No.", "no", 2)
    far = SceneQuestion("distance", Question("How far?"), "", "", "1.000", 0)
    one, other = KindScore(), KindScore()
    one.count(asked, "No.")
    other.count(asked, "<think>1 box yes</think>Yes, mark 1.")
    other.count_scored(asked, {"yes": 0.2, "no": 0.8})
    into = {"plain": {"exists": one}}
    add_scores(into, {"plain": {"exists": other}, "more": {"distance": KindScore()}})
    assert (one.right, one.asked, one.chance, one.majority) == (2, 3, 1.5, 1.0)
    assert one.sure == [(0.2, False)]
    metres = into["more"]["distance"]
    for text in ("It is 1.1 m.", "It is 1.4 m.", "Far."):
        metres.count(far, text)
    assert (metres.right, metres.asked) == (1, 3)
    assert metres.as_dict()["error_m"] == {"median": 0.4, "p90": 0.4, "answers": 2}


def test_reliability_finds_a_model_that_is_too_sure():
    sure = [(0.95, index % 4 != 0) for index in range(400)]
    found = reliability(sure)
    (only,) = found["bins"]
    assert (only["from"], only["answers"], only["accuracy"]) == (0.9, 400, 0.75)
    assert found["expected_calibration_error"] == pytest.approx(0.2, abs=1e-6)
    assert found["fitted"]["error_before"] > 0.15
    assert reliability([])["bins"] == []
    assert "fitted" not in reliability(sure[:20])


def test_pieces_come_in_turn_and_the_clock_stops_them():
    specs = specs_of(SceneSpec(0, "test"), "ring", range(20))
    groups = [cut("plain", specs, [PLAIN]), cut("views_1", specs[:10], [PLAIN])]
    order = in_turn(groups)
    assert sorted(map(id, order)) == sorted(id(piece) for group in groups for piece in group)
    assert [piece.name for piece in order] == [
        *("plain", "views_1", "plain", "plain", "views_1", "plain")
    ]
    assert run_pieces("random", order, device="cpu", seconds=0.0).scores == {}


def test_processes_count_what_one_process_counts():
    specs = [dataclasses.replace(SPEC, seed=seed) for seed in (2, 3)]
    pieces = [cut("views_2", [spec], [PLAIN], ("colour", "count"))[0] for spec in specs]
    heard = []
    done = run_pieces("random", pieces, workers=2, device="cpu", said_to=heard.append)
    assert done.scenes == {"views_2": 2} and len(heard) == 2
    assert done.card is not None and done.card.name == "random"
    alone = run_pieces("random", pieces, device="cpu")
    plain = {kind: score.as_dict() for kind, score in alone.scores["views_2"].items()}
    assert plain == {kind: score.as_dict() for kind, score in done.scores["views_2"].items()}


def test_what_a_process_meets_is_said(tmp_path):
    pieces = cut("plain", [SPEC], [PLAIN])
    with pytest.raises(OryxSceneError, match=r"config\.json"):
        run_pieces(str(tmp_path), pieces, workers=2, device="cpu")


def test_the_command_writes_json_tables_and_reads_them_back(tmp_path, capsys):
    out = tmp_path / "report.json"
    words = ["--model", "random", "--device", "cpu", "--views", "1", "--compression", "16"]
    words += ["--scenes", "1", "--first", "2", "--rig", "ring", "--beside", "scored"]
    words += ["--kinds", "colour", "left_right", "exists", "--settings", "unseen_rig"]
    assert main(["eval", "scenes", *words, "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == report
    assert report["schema"] == "oryx_scene/eval_scenes/2"
    assert (report["model"], report["first_seed"]) == ("random", 2)
    assert set(report["conditions"]) == {"plain", "scored", "unseen_rig"}
    assert all(one["scenes"] == 1 and one["what"] for one in report["conditions"].values())
    assert report["calibration"]["answers"] == 2
    assert main(["eval", "scenes", "--read", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == tables(report)
    assert any(line.startswith("| unseen_rig | the rig `mast`") for line in lines)
    assert main(["eval", "scenes", "--model", "random", "--settings", "views_99"]) == 2
    assert "no 'views_99'" in capsys.readouterr().err


def test_a_random_model_knows_nothing():
    from oryx_scene.model.checkpoint.load import load_answerer

    scores = evaluate(load_answerer("random", device="cpu"), [SPEC], kinds=KINDS)
    assert all(one.asked == 1 and one.right == 0 for one in scores["plain"].values())
    report = as_report(Done(scores, {"plain": 1}), {})
    assert math.isclose(report["conditions"]["plain"]["mean"], 0.0)
    missed = [line for line in tables(report) if "**missed**" in line]
    assert len(missed) == len(KINDS)
