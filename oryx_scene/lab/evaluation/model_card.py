"""What an evaluation leaves in a checkpoint folder: the model card and the calibration.

The card says what the model is, how it was made, how right it is and where its limits are, all from
the folder's own config.json and the JSON of `oryx-scene eval scenes`; what neither states is said
to be unknown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oryx_scene.atomic_io import write_bytes, write_json
from oryx_scene.errors import ConfigError
from oryx_scene.lab.evaluation.scene_report import (
    MEANINGS,
    calibration_table,
    conditions_table,
    errors_line,
    kinds_table,
)
from oryx_scene.lab.synth.questions import FACT_KINDS, PICTURE_KINDS
from oryx_scene.model.api import FormCalibration, Learnt
from oryx_scene.model.checkpoint.load import WEIGHTS, revision_of
from oryx_scene.model.checkpoint.sidecar_files import (
    CALIBRATION_FILE,
    calibration_dict,
    load_learnt,
)
from oryx_scene.model.checkpoint.weights import read_json

CARD = "README.md"
# Keys of config.json's "oryx_scene" and what they are called in the card.
MADE_BY = (
    ("command", "command"),
    ("commit", "commit"),
    ("seed", "seed"),
    ("time", "time"),
    ("machine", "machine"),
    ("date", "date"),
)


def write_card(folder: Path, report: dict[str, Any]) -> Path:
    """Write ``folder``/README.md.

    Args:
        folder: of a checkpoint.
        report: of `oryx-scene eval scenes` about this very checkpoint.

    Raises:
        CheckpointError: no config.json there.
        ConfigError: the report is about other weights.
        OutputError: it cannot be written.
    """
    config = read_json(folder, "config.json")
    _check_about(folder, report)
    path = folder / CARD
    text = card_text(config, report, _megabytes(folder), load_learnt(folder))
    write_bytes(path, text.encode("utf-8"))
    return path


def write_calibration(folder: Path, report: dict[str, Any]) -> Path:
    """Write what was fitted on the report's yes/no answers as ``folder``/answer_calibration.json.

    Raises:
        ConfigError: other weights, answers that were calibrated already, too few of them, or a fit
            that does not help on the answers kept back from it.
        OutputError: it cannot be written.
    """
    _check_about(folder, report)
    own = report.get("calibration", {})
    fitted = own.get("fitted")
    if report["calibrated"] or fitted is None:
        raise ConfigError(
            "these answers cannot be calibrated on: too few were scored, or they were calibrated.",
            hint="evaluate with --beside scored, without answer_calibration.json in the folder",
        )
    if fitted["error_after"] >= fitted["error_before"]:
        raise ConfigError(
            f"calibration does not help: error {fitted['error_after']} instead of "
            f"{fitted['error_before']}.",
            hint="leave the model's own probabilities",
        )
    source = f"half of {own['answers']} yes/no answers about unseen synthetic scenes"
    found = FormCalibration(fitted["scale"], fitted["bias"], own["answers"] // 2, source, True)
    path = folder / CALIBRATION_FILE
    write_json(path, calibration_dict({"yes_no": found}))
    return path


def _check_about(folder: Path, report: dict[str, Any]) -> None:
    revision = revision_of(folder)
    if report["revision"] != revision:
        raise ConfigError(
            f"the evaluation is about revision {report['revision']}, {folder} holds {revision}.",
            hint="evaluate these weights",
        )


def _megabytes(folder: Path) -> float:
    path = folder / WEIGHTS
    return path.stat().st_size / 1e6 if path.exists() else 0.0


def card_text(
    config: dict[str, Any], report: dict[str, Any], megabytes: float, learnt: Learnt
) -> str:
    """The card as Markdown.

    Args:
        config: of the checkpoint.
        report: of the evaluation.
        megabytes: size of the weights, 0 where they are not in one file.
        learnt: what the checkpoint says that its training was limited to.
    """
    own = config.get("oryx_scene", {})
    parts = [
        [f"# {own.get('name', 'a checkpoint of Oryx')}"],
        _what(config, own, megabytes),
        ["## How it was made", "", *_made(own)],
        ["## How right its answers are", "", *_accuracy(report, learnt)],
        ["## Limits", "", *_limits(own, learnt)],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _what(config: dict[str, Any], own: dict[str, Any], megabytes: float) -> list[str]:
    tower = config.get("oryx_vit", {})
    size = f", {megabytes:.1f} MB" if megabytes else ""
    lines = [
        f"An Oryx (arXiv 2409.12961) in the published layout (`{config.get('model_type')}`): it "
        "goes through the same loader, preprocessing, marks, prompt and engine as the published "
        "models.",
        "",
        f"* Vision tower: {tower.get('depth', '?')} layers of width {tower.get('width', '?')}, "
        f"patches of {tower.get('patch', 16)} pixels.",
        f"* Language model: {config.get('num_hidden_layers')} layers of width "
        f"{config.get('hidden_size')}, {config.get('vocab_size')} tokens.",
        f"* Weights: {config.get('torch_dtype')}{size}.",
    ]
    if own.get("scratchpad"):
        lines.append(
            "* It writes a scratchpad (`<think>...</think>`) before its answers; the text of an "
            "answer does not show it, the JSON keeps it."
        )
    return lines


def _made(own: dict[str, Any]) -> list[str]:
    lines = ["| what | value |", "|---|---|"]
    lines += [f"| {said} | {_cell(own.get(key))} |" for key, said in MADE_BY]
    recipe = own.get("recipe")
    if isinstance(recipe, dict):
        told = json.dumps(recipe, sort_keys=True)
        lines += ["", f"Recipe: `{told}`."]
    return lines


def _cell(value: Any) -> str:
    return "not stated" if value in (None, "") else " ".join(str(value).replace("|", "/").split())


def _order_of_facts(learnt: Learnt) -> list[str]:
    if learnt.fact_order != "distance":
        return []
    return [
        "Distances to one mark are listed nearest first, as in its training: in `nearest` the "
        "answer is the first of the list.",
    ]


def _accuracy(report: dict[str, Any], learnt: Learnt) -> list[str]:
    plain = report["conditions"]["plain"]
    lines = [
        f"Measured on {plain['scenes']} scenes that training never saw (seeds from "
        f"{report['first_seed']} on), through the whole pipeline, marks found by the project's own "
        "finder, free-running greedy answers. Intervals are Wilson's, chance is a blind guess "
        "among the possible answers, majority the most frequent right answer.",
        "",
        f"`{report['command']}`, {report['machine']}, {report['date']}, revision "
        f"{report['revision']}, {report['dtype']}.",
        "",
        "### Read from the pictures",
        "",
        "Without pictures (`no_pictures`) these are guesses.",
        "",
        *kinds_table(report, kinds=PICTURE_KINDS),
        "",
        "### Copied from measured facts in the prompt",
        "",
        "The mark finder measures places in depth, the prompt states them where the question asks "
        "for them, and the model copies and compares numbers: right without any picture "
        "(`no_pictures`), a guess without the facts (`no_facts`).",
        *_order_of_facts(learnt),
        "",
        *kinds_table(report, kinds=FACT_KINDS),
    ]
    if line := errors_line(report):
        lines += ["", line]
    kinds = [f"{kind}: {MEANINGS[kind]}" for kind in plain["kinds"]]
    lines += ["", f"Types: {'; '.join(kinds)}.", "", *conditions_table(report)]
    if found := calibration_table(report):
        lines += ["", "How sure yes/no answers are (condition `scored`):", "", *found]
    return lines


def _limits(own: dict[str, Any], learnt: Learnt) -> list[str]:
    lines = []
    if own.get("synthetic_only"):
        lines += [
            "* It has seen rendered rooms only: tables, boxes, balls and cylinders of eight "
            "colours. On any other source it is out of its depth, and its answers say so.",
            "* It knows the wordings of its training questions (`lab/synth/questions.py`) "
            "and no others.",
        ]
    if learnt.words:
        lines.append(
            f"* `learnt.json` lists the {len(learnt.words)} words of those questions; an answer to "
            "a question with any other word says which it never learnt."
        )
    lines += [
        "* Metres, directions and contacts are read from measured facts in the prompt, which need "
        "depth and poses; see the column `no_facts`.",
        "* What its table marks as missed is missed.",
    ]
    return lines
