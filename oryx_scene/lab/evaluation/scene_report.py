"""What an evaluation says: one JSON object, and tables that name every condition."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from oryx_scene.lab.evaluation.scene_runs import Done
from oryx_scene.lab.evaluation.scene_scores import KindScore, reliability
from oryx_scene.lab.evaluation.scene_settings import BESIDE, PLAIN, SEQUENCES, SETTINGS
from oryx_scene.lab.synth.questions import FACT_KINDS, KINDS, PICTURE_KINDS

SCHEMA = "oryx_scene/eval_scenes/2"
# Accuracies that the small checkpoint was meant to reach.
GOALS = {
    "colour": 0.97,
    "shape": 0.93,
    "which": 0.90,
    "exists": 0.88,
    "count": 0.80,
    "left_right": 0.93,
    "front_behind": 0.93,
    "nearest": 0.85,
    "nearer": 0.93,
    "distance": 0.93,
}
POSITION_GOAL_M = 0.15
MEANINGS = {
    "colour": "colour of a mark",
    "shape": "shape of a mark",
    "what": "colour and shape of a mark",
    "which": "which mark is the red box",
    "exists": "is there a red box",
    "count": "how many red boxes",
    "total": "how many objects",
    "left_right": "left or right of, from a named view",
    "front_behind": "in front of or behind, from a named view",
    "above_below": "above or below",
    "on": "stands on",
    "nearest": "nearest mark to a mark",
    "nearer": "which of two marks is nearer to a third",
    "nearer_camera": "which of two marks is nearer to a view",
    "distance": "metres between two marks, within 0.2 m",
    "range": "metres to a view, within 0.2 m",
    "position": "x, y, z of a mark, within 0.2 m",
    "size": "size of a mark, within 0.2 m",
    "describe": "every mark named rightly",
    "needle": "what a named view shows: all its marks and what they are",
    "differs": "which marks only one of two named views shows",
    "changed": "which marks are gone or new between the views",
}


def as_report(done: Done, about: dict[str, Any]) -> dict[str, Any]:
    """The JSON object of an evaluation.

    Args:
        done: what was counted.
        about: machine, settings; goes in as it is.
    """
    card = done.card
    report = {
        "schema": SCHEMA,
        **about,
        "model": card.name if card else "",
        "revision": card.revision if card else "",
        "dtype": card.dtype if card else "",
        "device": card.device if card else "",
        "calibrated": bool(card and "yes_no" in card.calibration),
        "seconds": round(done.seconds, 1),
        "goals": {**GOALS, "position_error_m": POSITION_GOAL_M},
        "conditions": {
            name: {
                "what": _what(name),
                "scenes": done.scenes[name],
                **_means(name, kinds),
                "kinds": {kind: kinds[kind].as_dict() for kind in KINDS if kind in kinds},
            }
            for name, kinds in done.scores.items()
        },
    }
    if "scored" in done.scores:
        sure = [one for score in done.scores["scored"].values() for one in score.sure]
        report["calibration"] = reliability(sure)
    return report


def _what(name: str) -> str:
    if name == PLAIN.name:
        return PLAIN.what
    return BESIDE[name].what if name in BESIDE else SETTINGS[name].what


def _means(condition: str, kinds: dict[str, KindScore]) -> dict[str, float | None]:
    """Mean accuracy over types, asked about equally often; none where few types are asked."""

    def mean(names: Sequence[str]) -> float | None:
        if condition in BESIDE and BESIDE[condition].scored:
            return None
        found = [kinds[name].accuracy for name in names if name in kinds and kinds[name].asked]
        return round(sum(found) / len(found), 4) if found else None

    return {
        "mean": mean(KINDS),
        "mean_from_pictures": mean(PICTURE_KINDS),
        "mean_from_facts": mean(FACT_KINDS),
    }


def kinds_table(
    report: dict[str, Any], condition: str = PLAIN.name, kinds: Collection[str] = KINDS
) -> list[str]:
    """Markdown: every type of question of one run, beside the plain one the same under conditions.

    Args:
        report: of `as_report`.
        condition: name of the run.
        kinds: of the questions to list.
    """
    conditions = report["conditions"]
    beside = [name for name in BESIDE if name in conditions and condition == PLAIN.name]
    lines = [
        "| type | right | accuracy | 95 % | goal | chance | majority |"
        + "".join(f" {name} |" for name in beside),
        "|---|---|---|---|---|---|---|" + "---|" * len(beside),
    ]
    for kind, one in conditions[condition]["kinds"].items():
        if kind not in kinds:
            continue
        low, high = one["interval"]
        cells = [
            kind,
            f"{one['right']}/{one['asked']}",
            _share(one["accuracy"]),
            f"{low:.3f}-{high:.3f}",
            _goal(kind, one, report["goals"]),
            _share(one["chance"], 2),
            _share(one["majority"], 2),
            *(_share(conditions[name]["kinds"].get(kind, {}).get("accuracy")) for name in beside),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _goal(kind: str, one: dict[str, Any], goals: dict[str, float]) -> str:
    if kind not in goals:
        return "-"
    return f"{goals[kind]:.2f}{'' if one['accuracy'] >= goals[kind] else ' **missed**'}"


def _share(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def conditions_table(report: dict[str, Any]) -> list[str]:
    """Markdown: one line per condition with what it is, and means over types of questions."""
    lines = [
        "| condition | what it is | scenes | all types | from pictures | from facts |",
        "|---|---|---|---|---|---|",
    ]
    order = [PLAIN.name, *BESIDE, *SETTINGS]
    for name in sorted(report["conditions"], key=order.index):
        one = report["conditions"][name]
        means = [_share(one[key]) for key in ("mean", "mean_from_pictures", "mean_from_facts")]
        lines.append(f"| {name} | {one['what']} | {one['scenes']} | {' | '.join(means)} |")
    return lines


def calibration_table(report: dict[str, Any]) -> list[str]:
    """Markdown: how often yes/no answers of a confidence are right; empty where none was scored."""
    found = report.get("calibration", {})
    if not found.get("answers"):
        return []
    lines = ["| confidence | answers | mean confidence | right |", "|---|---|---|---|"]
    lines += [
        f"| {one['from']:.1f}-{one['to']:.1f} | {one['answers']} | {one['confidence']:.3f} "
        f"| {one['accuracy']:.3f} |"
        for one in found["bins"]
    ]
    line = f"Expected calibration error {found['expected_calibration_error']:.3f}"
    if "fitted" in found:
        own = found["fitted"]
        line += (
            f"; with scale {own['scale']:.2f} and bias {own['bias']:.2f} fitted on half of the "
            f"answers, {own['error_after']:.3f} instead of {own['error_before']:.3f} on the others"
        )
    return [*lines, "", f"{line}."]


def errors_line(report: dict[str, Any]) -> str:
    """One sentence about numbers in metres; "" where none was asked for."""
    kinds = report["conditions"][PLAIN.name]["kinds"]
    found = [
        f"{kind} {_share(one['error_m']['median'], 2)} ({_share(one['error_m']['p90'], 2)})"
        for kind, one in kinds.items()
        if "error_m" in one
    ]
    if not found:
        return ""
    return (
        f"Error in metres, median (90th percentile): {', '.join(found)}; "
        f"goal for position: {POSITION_GOAL_M}."
    )


def tables(report: dict[str, Any]) -> list[str]:
    """All of it as Markdown lines."""
    parts = [kinds_table(report), conditions_table(report), calibration_table(report)]
    line = errors_line(report)
    parts.insert(1, [line] if line else [])
    if SEQUENCES in report["conditions"]:
        parts.insert(2, [f"Condition `{SEQUENCES}`:", "", *kinds_table(report, SEQUENCES)])
    return [line for part in parts if part for line in ("", *part)][1:]
