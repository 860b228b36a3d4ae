"""The files beside a checkpoint that the published layout does not know.

`learnt.json` holds what a small checkpoint cannot do without and a large one has no need to say:
the words of its training's questions, the order in which measured facts were listed, and the
largest discs it read. A checkpoint without the file is taken to know every word.

`answer_calibration.json` maps answer formats ("yes_no", "choice", "marks") to what
:class:`FormCalibration` holds. Without the file confidences are the model's own probabilities and
every answer says "uncalibrated".
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oryx_scene.errors import ConfigError
from oryx_scene.model.api import FACT_ORDERS, FormCalibration, Learnt

LEARNT_FILE = "learnt.json"
LEARNT_SCHEMA = "oryx_scene/learnt/1"
CALIBRATION_FILE = "answer_calibration.json"
CALIBRATION_SCHEMA = "oryx_scene/answer_calibration/1"
FORMS = ("yes_no", "choice", "marks")


def learnt_dict(learnt: Learnt) -> dict[str, Any]:
    """What the file holds, for ``json.dump``."""
    return {
        "schema": LEARNT_SCHEMA,
        "question_words": sorted(learnt.words),
        "fact_order": learnt.fact_order,
        "largest_disc_share": learnt.largest_disc_share,
        "most_hidden": learnt.most_hidden,
    }


def load_learnt(folder: Path) -> Learnt:
    """What the folder says; without the file nothing is limited.

    Raises:
        ConfigError: a file that is not one of ours.
    """
    path = folder / LEARNT_FILE
    if not path.exists():
        return Learnt()
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if described["schema"] != LEARNT_SCHEMA:
            raise ValueError(f"its schema is {described['schema']!r}")
        words: Sequence[str] = described["question_words"]
        order, share = str(described["fact_order"]), float(described["largest_disc_share"])
        hidden = float(described["most_hidden"])
        if order not in FACT_ORDERS or not (0.0 < share <= 1.0 and 0.0 <= hidden <= 1.0):
            raise ValueError(f"fact_order {order}, discs of {share} that hide {hidden}")
        return Learnt(tuple(sorted(map(str, words))), order, share, hidden)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(
            f"{path} does not say what a checkpoint learnt ({type(err).__name__}: {err}).",
            hint="restore the file; without it the model's limits are not known",
        ) from err


def calibration_dict(forms: dict[str, FormCalibration]) -> dict[str, Any]:
    """What the file holds, for ``json.dump``."""
    described = {name: dataclasses.asdict(one) for name, one in sorted(forms.items())}
    return {"schema": CALIBRATION_SCHEMA, "forms": described}


def load_calibration(folder: Path) -> dict[str, FormCalibration]:
    """What the folder holds, {} without the file.

    Raises:
        ConfigError: a file that is not one of ours.
    """
    path = folder / CALIBRATION_FILE
    if not path.exists():
        return {}
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if described["schema"] != CALIBRATION_SCHEMA:
            raise ValueError(f"its schema is {described['schema']!r}")
        forms = {str(name): _read_form(one) for name, one in described["forms"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise ConfigError(
            f"{path} is no calibration of answers ({type(err).__name__}: {err}).",
            hint="remove the file: confidences are then the model's own and say so",
        ) from err
    unknown = sorted(set(forms) - set(FORMS))
    if unknown:
        raise ConfigError(f"{path} calibrates unknown forms: {', '.join(unknown)}.")
    return forms


def _read_form(one: dict[str, object]) -> FormCalibration:
    found = FormCalibration(
        scale=float(str(one["scale"])),
        bias=float(str(one["bias"])),
        samples=int(str(one["samples"])),
        source=str(one["source"]),
        # Files of earlier versions do not say; what `eval scenes` fits is about synthetic scenes.
        synthetic=bool(one.get("synthetic", True)),
    )
    if not (math.isfinite(found.bias) and 0.0 < found.scale < math.inf):
        raise ValueError(f"scale {found.scale}, bias {found.bias}")
    return found
