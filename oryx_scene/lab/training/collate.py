"""Lessons that are only looked at, several in one: fewer and larger passes, as a GPU likes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from oryx_scene.lab.training.batch import LessonTensors, Sights
from oryx_scene.lab.training.dense import joined_targets
from oryx_scene.lab.training.instance_heads import InstancePatches


def join(lessons: Sequence[LessonTensors]) -> list[LessonTensors]:
    """Lessons with pictures of one size and compression and without questions become one.

    Its losses are means over all of its patches instead of means of the lessons' means.
    """
    groups: dict[object, list[LessonTensors]] = {}
    for index, one in enumerate(lessons):
        alone = len(one.rows) or not len(one.pictures) or one.sights is None or one.low is not None
        groups.setdefault(index if alone else (one.stride, one.pictures.shape[1:]), []).append(one)
    return [group[0] if len(group) == 1 else _joined(group) for group in groups.values()]


def _joined(lessons: list[LessonTensors]) -> LessonTensors:
    sights = [one.sights for one in lessons if one.sights is not None]
    tokens = [one.tokens for one in sights if one.tokens is not None]
    patches = [len(one.patches.digit) for one in sights]
    cell = int(lessons[0].stride) ** 2
    index = [
        one.token_index + start // cell for one, start in zip(sights, _starts(patches), strict=True)
    ]
    return dataclasses.replace(
        lessons[0],
        pictures=torch.cat([one.pictures for one in lessons]),
        sights=Sights(
            joined_targets([one.patches for one in sights]),
            _things([one.things for one in sights], patches),
            torch.cat(index),
            joined_targets(tokens) if tokens else None,
        ),
        lessons=sum(one.lessons for one in lessons),
    )


def _starts(counts: Sequence[int]) -> list[int]:
    return [sum(counts[:index]) for index in range(len(counts))]


def _things(parts: list[InstancePatches], patches: Sequence[int]) -> InstancePatches:
    things = _starts([len(part.shape) for part in parts])
    return InstancePatches(
        torch.cat([p.patch + start for p, start in zip(parts, _starts(patches), strict=True)]),
        torch.cat([p.thing + start for p, start in zip(parts, things, strict=True)]),
        torch.cat([part.shape for part in parts]),
        torch.cat([part.around for part in parts]),
    )
