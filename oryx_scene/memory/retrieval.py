"""From words to instances: labels of a detector, measured colours and shapes, past answers.

Every instance gets a confidence that the words mean it; what is done with it is decided elsewhere.
There is no text encoder here: a noun that is neither a measured shape nor a known label nor in a
past answer is not understood, which is said.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np

from oryx_scene.errors import QuestionError
from oryx_scene.marks.named_objects import names_in
from oryx_scene.memory.looks import (
    SHAPES,
    colour_called,
    colour_names,
    colour_tones,
    shape_chances,
    shape_names,
)
from oryx_scene.memory.store import MemoryStore
from oryx_scene.records import FloatArray

# Words that name one of the measured shapes and nothing narrower.
SHAPE_WORDS = {
    **dict.fromkeys(("ball", "sphere", "globe", "orb"), "ball"),
    **dict.fromkeys(("box", "cube", "block", "crate", "carton", "cuboid"), "box"),
    **dict.fromkeys(("cylinder", "drum", "barrel"), "cylinder"),
    **dict.fromkeys(("panel", "sheet"), "flat"),
}
# Words that name anything.
_ANYTHING = frozenset(("thing", "object", "item", "one", "something", "anything"))
_IDLE = frozenset(
    """
    a an and any anywhere are at be been by can could did do does ever find found for from has
    have i in is it its kept last lately left lie lies located look me my now of on or our
    place please put recently robot saw say see seen show stand stands still tell that the
    there this to up us was we were what when where which who with you your
    """.split()  # noqa: SIM905 a list of ninety words is no easier to read
)
# Confidence of an instance whose detector said something else, or nothing, where a label is asked.
OTHER_LABEL, SOME_ANSWER = 0.05, 0.6
# An instance of one view may be a piece of something.
FEW_VIEWS, FEWEST_WEIGHT = 4, 0.7
# What is told apart in a smaller share of the windows that show it is less surely a thing.
THING_SHARE = 0.5


@dataclass(frozen=True)
class Words:
    """How a question was read.

    Attributes:
        colours, shapes, labels: as the question has them; shapes by their measured name.
        unknown: words that nothing here can measure or find.
    """

    colours: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """An instance that the words may mean: its row, what it looks like, 0..1 how sure."""

    instance: int
    described: str
    confidence: float


def read_words(store: MemoryStore, text: str) -> Words:
    """Split a question into what can be matched.

    Raises:
        QuestionError: no text.
    """
    if not text.strip():
        raise QuestionError("a thing to look for is expected, got no text.")
    known = [str(row[0]) for row in store.rows("SELECT DISTINCT label FROM labels ORDER BY 1")]
    labels = tuple(names_in(text, known))
    of_labels = {part for label in labels for part in _split(label)}
    colours, shapes, unknown = [], [], []
    for word in _split(text):
        if colour_tones(word) is not None:
            colours.append(word)
        elif word in of_labels or word in _IDLE or _singular(word) in _ANYTHING:
            continue
        elif _singular(word) in SHAPE_WORDS:
            shapes.append(SHAPE_WORDS[_singular(word)])
        else:
            unknown.append(word)
    return Words(
        tuple(dict.fromkeys(colours)), tuple(dict.fromkeys(shapes)), labels, tuple(unknown)
    )


def _split(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def _singular(word: str) -> str:
    for end, instead in (("xes", "x"), ("s", "")):
        if word.endswith(end) and len(word) > len(end) + 1:
            return word[: -len(end)] + instead
    return word


def find_instances(store: MemoryStore, words: Words, at_ns: int) -> list[Match]:
    """All instances first seen up to ``at_ns`` with their confidences, surest first."""
    rows = store.rows(
        "SELECT id, views, bright, red_green, yellow_blue, ball, box, cylinder, flat, shaped, "
        "windows, chances "
        "FROM instances WHERE same_as IS NULL AND first_ns <= ? AND bright NOT NULL",
        at_ns,
    )
    if not rows:
        return []
    table = np.array([[np.nan if v is None else v for v in row] for row in rows], np.float64)
    paint, misfits, shaped = table[:, 2:5], table[:, 5:9], table[:, 9]
    few = np.minimum(1.0, (table[:, 1] - 1) / (FEW_VIEWS - 1))
    apart = table[:, 10] / np.maximum(table[:, 11], 1)
    sure = (FEWEST_WEIGHT + (1 - FEWEST_WEIGHT) * few) * np.minimum(1.0, apart / THING_SHARE)
    for word in words.colours:
        tones = colour_tones(word)
        assert tones is not None
        sure = sure * colour_called(tones, paint)
    ids = table[:, 0].astype(np.int64)
    labels = _labels(store)
    shapes = np.ones(len(ids))
    for name in words.shapes:
        shapes = shapes * _shaped(name, misfits, shaped)
    if words.labels:
        sure = sure * np.array([_labelled(labels.get(int(row)), words.labels) for row in ids])
    sure = sure * shapes
    if words.unknown:
        answered = _answered(store, words.unknown, at_ns)
        sure = sure * np.array([SOME_ANSWER * answered.get(int(row), 0.0) for row in ids])
    order = np.argsort(-sure, kind="stable")
    return [
        Match(int(ids[i]), _described(labels.get(int(ids[i])), table[i]), float(sure[i]))
        for i in order[:50]
    ]


def _shaped(name: str, misfits: FloatArray, shaped: FloatArray) -> FloatArray:
    """(n,) squared probabilities of a shape, relative to the likeliest; little where unmeasured."""
    chances = shape_chances(np.nan_to_num(misfits), shaped)
    share = (chances[:, SHAPES.index(name)] / chances.max(axis=1)) ** 2
    return np.where(shaped > 0, share, 1.0 / len(SHAPES))


def _labels(store: MemoryStore) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for row, label, views in store.rows("SELECT instance, label, views FROM labels"):
        found.setdefault(row, {})[label] = views
    return found


def _labelled(labels: dict[str, int] | None, wanted: tuple[str, ...]) -> float:
    """Share of an instance's labels that are wanted."""
    if not labels:
        return OTHER_LABEL
    hits = sum(views for label, views in labels.items() if label in wanted)
    return max(OTHER_LABEL, hits / sum(labels.values()))


def _answered(store: MemoryStore, words: tuple[str, ...], at_ns: int) -> dict[int, float]:
    """Instance -> share of past answers about it among those that hold all the words."""
    query = " AND ".join(f'"{word}"' for word in words)
    rows = store.rows(
        "SELECT a.evidence FROM answer_words w JOIN answers a ON a.id = w.rowid "
        "WHERE answer_words MATCH ? AND a.asked_ns <= ?",
        query,
        at_ns,
    )
    found = [int(row) for item in rows for row in json.loads(item["evidence"])["instances"]]
    return {row: found.count(row) / len(found) for row in found}


def _described(labels: dict[str, int] | None, row: FloatArray) -> str:
    """A few words for a thing: its colour, and its label or its likeliest shape."""
    colours = colour_names(row[2:5])
    hue = max(colours, key=lambda name: colours[name])
    if labels:
        noun = max(labels, key=lambda label: labels[label])
        return noun if any(colour in noun.split() for colour in colours) else f"{hue} {noun}"
    noun = "thing"
    if row[9] > 0:
        names = shape_names(row[5:9], row[9])
        best = max(names, key=lambda name: names[name])
        noun = {"flat": "panel", "other": "thing"}.get(best, best)
    return f"{hue} {noun}"
