"""The file beside a checkpoint that says what its training was limited to.

`learnt.json` holds what a small checkpoint cannot do without and a large one has no need to say:
the words of its training's questions, the order in which measured facts were listed, and the
largest discs it read. A checkpoint without the file is taken to know every word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from oryx_scene.answerer import FACT_ORDERS, Learnt
from oryx_scene.errors import ConfigError
from oryx_scene.frames import Question

FILE_NAME = "learnt.json"
SCHEMA = "oryx_scene/learnt/1"
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def words_of(text: str) -> list[str]:
    """Words of ``text`` in small letters, each once, in order; numbers are none."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))


def never_learnt(question: Question, learnt: Learnt, names: Iterable[str]) -> tuple[str, ...]:
    """Words of a question and its choices that the model's training never used.

    Args:
        question: as asked.
        learnt: what the checkpoint says; () for one that says nothing.
        names: of the views, which a question may say.
    """
    if not learnt.words:
        return ()
    known = {*learnt.words, *words_of(" ".join(names))}
    asked = words_of(" ".join((question.text, *question.choices)))
    return tuple(word for word in asked if word not in known)


def learnt_dict(learnt: Learnt) -> dict[str, Any]:
    """What the file holds, for ``json.dump``."""
    return {
        "schema": SCHEMA,
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
    path = folder / FILE_NAME
    if not path.exists():
        return Learnt()
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if described["schema"] != SCHEMA:
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
