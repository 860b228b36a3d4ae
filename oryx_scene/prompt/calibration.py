"""The file beside a checkpoint that says how scores of answers become confidences.

`answer_calibration.json` maps answer forms ("yes_no", "choice", "marks") to what
:class:`FormCalibration` holds. Without the file confidences are the model's own probabilities and
every answer says "uncalibrated".
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from oryx_scene.answerer import FormCalibration
from oryx_scene.errors import ConfigError

FILE_NAME = "answer_calibration.json"
SCHEMA = "oryx_scene/answer_calibration/1"
FORMS = ("yes_no", "choice", "marks")


def calibration_dict(forms: dict[str, FormCalibration]) -> dict[str, Any]:
    """What the file holds, for ``json.dump``."""
    described = {name: dataclasses.asdict(one) for name, one in sorted(forms.items())}
    return {"schema": SCHEMA, "forms": described}


def load_calibration(folder: Path) -> dict[str, FormCalibration]:
    """What the folder holds, {} without the file.

    Raises:
        ConfigError: a file that is not one of ours.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return {}
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if described["schema"] != SCHEMA:
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
