"""Answers in a form: decided by the scores that the model gives, never read from its prose."""

import dataclasses
import math

import pytest
from fake_answerer import CARD, FakeAnswerer, FakeScorer
from hypothesis import given
from hypothesis import strategies as st

from oryx_scene.config import AnswersConfig
from oryx_scene.errors import ConfigError
from oryx_scene.lab.evaluation.calibrate import expected_error, fit, negative_log_likelihood
from oryx_scene.model.api import (
    Candidate,
    Continuation,
    FormCalibration,
    Limits,
    Prompt,
)
from oryx_scene.model.checkpoint.sidecar_files import (
    CALIBRATION_FILE,
    calibration_dict,
    load_calibration,
)
from oryx_scene.qa.formats import FORMATS, answer_query
from oryx_scene.qa.parse import working_of
from oryx_scene.qa.query import Query, run_together
from oryx_scene.qa.scoring import (
    Option,
    branch_sums,
    candidates_of,
    choice_options,
    decide,
    exclusive_sums,
    yes_no_options,
)
from oryx_scene.records import Question

PROMPT = Prompt("system", ("scene",), "question")


def prefixes(scorer):
    return [prompt.answer_prefix for prompt in scorer.scored]


def scorer_of(likely, *, says="", **settings):
    return FakeScorer((says,), likely=likely, **settings)


def ask(scorer, kind, *, choices=(), numbers=(1, 2, 3), limits=None, **config):
    question = Question("?", kind, choices)
    limits = limits or Limits()
    query = Query(question, PROMPT, numbers, limits, scorer, AnswersConfig(**config))
    (read,) = run_together(scorer, [answer_query(query)])
    return read.generation, read


def test_the_spellings_of_an_answer_add_up():
    scorer = scorer_of({("Yes", False): 0.2, ("yes", False): 0.2, ("No", False): 0.3})
    _, read = ask(scorer, "yes_no")
    assert read.verdict == "yes"
    assert read.confidence == pytest.approx(0.4 / 0.7, abs=1e-4)
    assert read.scores == {
        "yes": pytest.approx(4 / 7, abs=1e-4),
        "no": pytest.approx(3 / 7, abs=1e-4),
    }
    assert read.warnings == ()


def test_too_little_confidence_is_unsure():
    scorer = scorer_of({("Yes", False): 0.4, ("No", False): 0.35})
    assert ask(scorer, "yes_no")[1].verdict == "unsure"
    assert ask(scorer, "yes_no", unsure_below=0.5)[1].verdict == "yes"


def test_a_confidence_of_exactly_the_limit_is_sure():
    scorer = scorer_of({("Yes", False): 0.5, ("No", False): 0.5})
    read = ask(scorer, "yes_no", unsure_below=0.5)[1]
    assert (read.confidence, read.verdict) == (0.5, "yes")


def test_prose_is_not_read():
    """The model writes "No" and scores "yes": the score decides, and the difference is said."""
    card = dataclasses.replace(CARD, scratchpad=True)
    said = "<think>1 red</think> No, it is not."
    scorer = scorer_of({("<think>1 red</think> Yes", False): 0.9}, says=said, card=card)
    record, read = ask(scorer, "yes_no")
    assert prefixes(scorer) == ["<think>1 red</think> "]
    assert (read.verdict, read.text, read.scratchpad) == ("yes", "No, it is not.", "1 red")
    assert any("own words differ" in text.text for text in read.warnings)
    assert record.token_ids == (len(said),)
    assert record.timings_s["score"] >= 0.0


def test_a_model_that_would_say_something_else_is_reported():
    _, read = ask(scorer_of({("Yes", False): 0.001}), "yes_no")
    assert read.verdict == "yes"
    assert any("something else" in text.text for text in read.warnings)


def scored(*given):
    """Continuations by (ids, probabilities)."""
    return [Continuation(Candidate("x"), ids, tuple(map(math.log, p))) for ids, p in given]


def test_choices_are_compared_where_they_branch():
    """Third and fourth token of the long one are certain among the choices: they cost nothing."""
    found = branch_sums(
        scored(((1, 9), (0.2, 0.5)), ((2, 3, 4), (0.3, 0.01, 0.01)), ((2, 5, 4), (0.3, 0.04, 0.9)))
    )
    assert [math.exp(one) for one in found] == pytest.approx([0.4, 0.6 * 0.2, 0.6 * 0.8])
    assert sum(map(math.exp, found)) == pytest.approx(1.0)


def test_a_choice_that_begins_another_gets_what_the_longer_one_leaves():
    found = branch_sums(scored(((1,), (0.5,)), ((1, 2), (0.5, 0.25)), ((3,), (0.1,))))
    first = 0.5 / 0.6
    assert [math.exp(one) for one in found] == pytest.approx([first * 0.75, first * 0.25, 1 / 6])


def test_choices_are_not_punished_for_their_length():
    """As a whole "no" (0.3) beats the long one (0.2); where they branch it is less likely."""
    likely = {("no", True): 0.3, ("the large dark red box", True): 0.2}
    choices = ("no", "the large dark red box")
    _, read = ask(scorer_of(likely), "choice", choices=choices)
    assert (read.choice, read.text) == (1, choices[1])
    assert sum(read.scores.values()) == pytest.approx(1.0)
    assert set(read.scores) == set(choices)


def test_a_choice_is_scored_where_the_models_own_sentence_names_one():
    """Right after the working the model says neither; within its sentence it is sure."""
    card = dataclasses.replace(CARD, scratchpad=True)
    said = "<think>3 red</think>Mark 3 is red."
    place = "<think>3 red</think>Mark 3 is "
    likely = {(f"{place}red", False): 0.7, (f"{place}blue", False): 0.2}
    scorer = scorer_of(likely, says=said, card=card)
    _, read = ask(scorer, "choice", choices=("Blue", "Red"))
    assert prefixes(scorer) == [place]
    assert (read.choice, read.text, read.scratchpad) == (1, "Mark 3 is red.", "3 red")
    assert read.warnings == ()
    # A sentence that names none is scored right after the working.
    other = scorer_of({}, says="<think>3 red</think>I see.", card=card)
    ask(other, "choice", choices=("Blue", "Red"))
    assert prefixes(other) == ["<think>3 red</think>"]


def test_marks_are_listed_one_after_the_other():
    likely = {("2", False): 0.8, ("2, 3", False): 0.6, ("2", True): 0.2, ("2, 3", True): 0.9}
    _, read = ask(scorer_of(likely), "marks")
    assert (read.marks, read.text) == ((2, 3), "2, 3")
    assert read.confidence == pytest.approx(1.0 * 0.75 * 1.0, abs=1e-3)
    assert read.scores["2"] > 0.99


def test_no_mark_is_an_answer():
    _, read = ask(scorer_of({("none", True): 0.7, ("1", False): 0.1}), "marks")
    assert (read.marks, read.text) == ((), "none")
    assert read.confidence == pytest.approx(7 / 8, abs=1e-3)


def test_a_cancel_leaves_no_verdict():
    record, read = ask(scorer_of({}, stop="cancelled"), "yes_no")
    assert (record.stop_reason, read.verdict) == ("cancelled", "")
    assert "no verdict" in read.warnings[0].text
    assert math.isnan(read.confidence)


def test_an_answerer_that_cannot_score_says_so():
    _, read = ask(FakeAnswerer(("Yes.",)), "yes_no")
    assert read.verdict == "yes"
    assert any("cannot score" in text.text for text in read.warnings)


@pytest.mark.parametrize(
    ("raw", "working", "whole"),
    [
        ("Yes", "", True),
        ("<think>a</think>Yes", "<think>a</think>", True),
        ("<think>a</think>\nYes", "<think>a</think>\n", True),
        ("<think>a", "<think>a</think>", False),
        ("a</think> Yes", "a</think> ", True),
        ("<think>a</think>b</think>Yes", "<think>a</think>b</think>", True),
    ],
)
def test_working_ends_where_the_answer_begins(raw, working, whole):
    assert working_of(raw) == (working, whole)


def test_a_number_that_begins_another_gives_up_its_share():
    """P("1") holds P("12"): of 0.5, "12" takes 0.3 and "1" alone keeps 0.2."""
    one = Continuation(Candidate("1"), (1,), (math.log(0.5),))
    twelve = Continuation(Candidate("12"), (1, 2), (math.log(0.5), math.log(0.6)))
    other = Continuation(Candidate("2"), (2,), (math.log(0.25),))
    found = [math.exp(value) for value in exclusive_sums([one, twelve, other])]
    assert found == pytest.approx([0.2, 0.3, 0.25])


logprobs = st.lists(st.floats(-30.0, -0.01), min_size=1, max_size=4)


@given(st.lists(logprobs, min_size=2, max_size=5), st.floats(0.05, 5.0), st.floats(-3.0, 3.0))
def test_probabilities_are_probabilities_and_a_scale_keeps_the_order(parts, scale, bias):
    options = tuple(Option(str(i), (Candidate(f"{i}x"),)) for i in range(len(parts)))
    continuations = [
        Continuation(option.variants[0], (i, *range(100, 99 + len(own))), tuple(own))
        for i, (option, own) in enumerate(zip(options, parts, strict=True))
    ]
    plain = decide(options, continuations)
    scaled = decide(options, continuations, FormCalibration(scale=scale))
    assert sum(plain.probabilities.values()) == pytest.approx(1.0)
    assert sum(scaled.probabilities.values()) == pytest.approx(1.0)
    assert sum(parts[int(scaled.best)]) == pytest.approx(sum(parts[int(plain.best)]))
    more = decide(options, continuations, FormCalibration(scale=scale, bias=abs(bias)))
    assert more.probabilities["0"] >= scaled.probabilities["0"] - 1e-12
    assert 0.0 <= plain.mass <= 1.0 + 1e-9


def test_options_cover_their_candidates_in_order():
    options = (*yes_no_options(), *choice_options(["a", "b"]))
    assert [c.text for c in candidates_of(options)] == ["Yes", "yes", "No", "no", "a", "b"]
    assert [c.ends for c in candidates_of(options)] == [False] * 4 + [True] * 2


def overconfident(seed, count):
    """Right with probability 0.5 + 0.5 * |x| where the scores claim far more, and lean to yes."""
    import numpy as np

    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, count)
    signal = np.where(truth == 0, 1.0, -1.0) + rng.normal(0.0, 1.5, count)
    # Scores: log-odds five times too large, and shifted.
    return [[5.0 * s + 4.0, 0.0] for s in signal], truth.tolist()


def test_fitting_repairs_an_overconfident_model():
    scores, truth = overconfident(0, 400)
    found = fit(scores, truth, bias=True, source="synthetic")
    held_out, right = overconfident(1, 1000)
    plain = FormCalibration()
    assert expected_error(held_out, right, plain) > 0.2
    assert expected_error(held_out, right, found) < 0.06
    after = negative_log_likelihood(held_out, right, found)
    assert after < 0.4 * negative_log_likelihood(held_out, right, plain)
    assert found.scale < 0.5
    assert found.bias < 0.0
    with pytest.raises(ConfigError, match="too few"):
        fit(scores[:5], truth[:5], bias=True, source="")


def test_the_file_beside_a_checkpoint(tmp_path):
    import json

    assert load_calibration(tmp_path) == {}
    forms = {"yes_no": FormCalibration(0.5, -0.25, 400, "unseen rooms")}
    (tmp_path / CALIBRATION_FILE).write_text(json.dumps(calibration_dict(forms)))
    assert load_calibration(tmp_path) == forms
    for broken in (
        "[]",
        "{",
        '{"schema": "x"}',
        json.dumps(calibration_dict({"prose": forms["yes_no"]})),
    ):
        (tmp_path / CALIBRATION_FILE).write_text(broken)
        with pytest.raises(ConfigError, match="calibrat"):
            load_calibration(tmp_path)
    zero = calibration_dict({"yes_no": FormCalibration(scale=0.0)})
    (tmp_path / CALIBRATION_FILE).write_text(json.dumps(zero))
    with pytest.raises(ConfigError, match="scale"):
        load_calibration(tmp_path)


@pytest.mark.parametrize(
    ("question", "last_line"),
    [
        (Question("?"), ""),
        (Question("?", "yes_no"), "Answer yes or no."),
        (Question("?", "choice", ("red", "a box")), "Answer with one of: red; a box."),
        (Question("?", "marks"), "Answer with mark numbers only."),
        (
            Question("?", "json", json_schema='{"type": "object"}'),
            'Answer with JSON that fits this schema: {"type": "object"}',
        ),
        (Question("?", "number"), ""),
    ],
)
def test_the_instruction_of_each_format(question, last_line):
    assert FORMATS[question.format].instruction(question) == last_line


def test_a_schema_goes_with_the_prompt_and_nowhere_else():
    answerer = FakeAnswerer(('{"a":1}',))
    question = Question("?", "json", json_schema="{}")
    query = Query(question, PROMPT, (), Limits(), answerer, AnswersConfig())
    (read,) = run_together(answerer, [answer_query(query)])
    (prompt,) = answerer.prompts
    assert (prompt.json_schema, prompt.scene, prompt.question) == ("{}", ("scene",), "question")
    assert (read.json, read.generation.text) == ('{"a":1}', '{"a":1}')
    plain = FakeAnswerer()
    run_together(plain, [answer_query(Query(Question("?"), PROMPT, (), Limits(), plain, None))])
    assert plain.prompts[0].json_schema == ""


def test_scores_have_what_is_left_of_the_deadline():
    scorer = scorer_of({("Yes", False): 0.9})
    ask(scorer, "yes_no", limits=Limits(deadline_s=30.0))
    assert 0.0 < scorer.limits[-1].deadline_s < 30.0
    ask(scorer, "yes_no", limits=Limits(deadline_s=0.0))
    assert scorer.limits[-1].deadline_s == 0.0
    record, _ = ask(scorer, "yes_no")
    assert scorer.limits[-1].deadline_s is None
    assert set(record.timings_s) >= {"score", "total"}
    assert record.timings_s["total"] >= record.timings_s["score"] >= 0.0


@pytest.mark.parametrize(
    ("kind", "said", "likely", "differs"),
    [
        ("yes_no", "No.", {("Yes", False): 0.9}, True),
        ("yes_no", "Yes.", {("Yes", False): 0.9}, False),
        ("yes_no", "Well.", {("Yes", False): 0.9}, False),
        ("yes_no", "No.", {("Yes", False): 0.5, ("No", False): 0.5}, False),  # unsure
        ("choice", "It is red.", {("It is red", False): 0.1, ("It is blue", False): 0.8}, True),
        ("choice", "It is red.", {("It is red", False): 0.8}, False),
        ("marks", "1, 2", {("2", False): 0.9, ("2", True): 0.9}, True),
        ("marks", "2", {("2", False): 0.9, ("2", True): 0.9}, False),
        ("marks", "1", {("none", True): 0.9}, False),
    ],
)
def test_when_a_models_own_words_differ_from_its_scores(kind, said, likely, differs):
    working = "<think>a</think>"
    likely = {(working + text, ends): p for (text, ends), p in likely.items()}
    card = dataclasses.replace(CARD, scratchpad=True)
    scorer = scorer_of(likely, says=working + said, card=card)
    _, read = ask(scorer, kind, choices=("red", "blue"))
    codes = [warning.code for warning in read.warnings]
    assert ("answer_differs_from_score" in codes) == differs


def test_only_a_trained_model_is_said_to_prefer_other_words():
    for trained, mass, said in ((True, 0.04, True), (True, 0.06, False), (False, 0.04, False)):
        card = dataclasses.replace(CARD, trained=trained)
        _, read = ask(scorer_of({("Yes", False): mass}, card=card), "yes_no")
        assert [w.code for w in read.warnings] == (["answer_improbable"] if said else [])
    assert "have 4 % of" in ask(scorer_of({("Yes", False): 0.04}), "yes_no")[1].warnings[0].text
