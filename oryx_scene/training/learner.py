"""One lesson's losses: pictures through the tower, questions through the language model.

Assembles the same stages as the engine (`Oryx`); only the language model runs packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from oryx_scene.answerer import Stride
from oryx_scene.model.oryx import Oryx
from oryx_scene.model.pixels import normalise
from oryx_scene.model.splice import splice
from oryx_scene.prompt.resample import resize
from oryx_scene.training.dense import (
    DenseHeads,
    DenseTargets,
    dense_loss,
    dense_targets,
    pooled_targets,
)
from oryx_scene.training.drills import Drill
from oryx_scene.training.hints import HintHeads, ask_teacher
from oryx_scene.training.lessons import Lesson, Turn
from oryx_scene.training.outlines import ThingHeads, things_in
from oryx_scene.training.packed import Kept, PackedLanguage
from oryx_scene.training.teacher import Teacher

# A matrix product of a new shape is prepared anew, which costs more than it computes here: shapes
# are filled up to a few.
SCENE_MULTIPLE, ROW_MULTIPLE, WORD_MULTIPLE = 32, 8, 64
IGNORED = -100
THING_WEIGHT = 4.0
HINT_WEIGHT = 6.0


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


@dataclass(frozen=True)
class Weights:
    """How much each loss counts; 0 leaves its part out."""

    dense: float = 1.0
    answers: float = 1.0


@dataclass(eq=False)
class Seen:
    """Numbers of one lesson.

    Attributes:
        loss: to be minimised.
        logged: name -> value.
    """

    loss: Tensor
    logged: dict[str, float] = field(default_factory=dict)


class Learner(nn.Module):
    """The model with the heads that only training needs."""

    def __init__(self, model: Oryx) -> None:
        super().__init__()
        self.model = model
        width = model.vision.config.width
        self.patch_heads = DenseHeads(width)
        self.token_heads = DenseHeads(width)
        self.thing_heads = ThingHeads(width)
        self.hint_heads = HintHeads(width)
        # Not a part of what is learnt: kept out of the parameters.
        self._teacher: tuple[Teacher, ...] = ()
        self.packed = PackedLanguage(model.language)

    def listen_to(self, teacher: Teacher) -> None:
        """Take hints from now on."""
        self._teacher = (teacher,)

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""
        return self.model.vision.pos_embed.dtype

    def features(self, lesson: Lesson) -> Tensor:
        """(views, rows, columns, width) of the tower, before pooling."""
        return self._look(lesson)[-1]

    def _look(self, lesson: Lesson) -> tuple[Tensor, Tensor, Tensor]:
        """Features a third and half-way up the tower, (patches, width), and at its end."""
        vision = self.model.vision
        x, grids = vision.embed([normalise(picture).to(self.dtype) for picture in lesson.pictures])
        early = middle = x
        # On a CPU the fused kernel's backward pass is slower than plain matrix products.
        with sdpa_kernel(SDPBackend.MATH):
            for index, block in enumerate(vision.blocks, 1):
                x = block(x, [rows * columns for rows, columns in grids])
                if index == len(vision.blocks) // 3:
                    early = x
                if index == len(vision.blocks) // 2:
                    early = middle = x
        return early, middle, x.view(len(grids), *grids[0], -1)

    def pool(self, features: Tensor, stride: Stride) -> Tensor:
        """(views, rows, columns, width) after the compressor."""
        pooled: Tensor = self.model.compressor(features, int(stride))
        return pooled

    def slots(self, lesson: Lesson, pooled: Tensor) -> list[Tensor]:
        """Visual tokens of every slot of the prompt."""
        sample = lesson.sample
        if sample.stride is not Stride.IMAGE:
            return [self.model.project_video(list(pooled), sample.stride)]
        assert sample.low_size is not None
        low = [
            normalise(resize(picture, sample.low_size)).to(self.dtype)
            for picture in lesson.pictures
        ]
        lows = self.model.encode(low, [Stride.IMAGE] * len(low))
        return [self.model.project_image(one, high) for one, high in zip(lows, pooled, strict=True)]

    def scene_embeds(self, lesson: Lesson, pooled: Tensor) -> Tensor:
        """(tokens, hidden_size) of the scene part of the prompt."""
        return splice(lesson.scene_ids, self.slots(lesson, pooled), self.packed.embed)

    def forward(self, lesson: Lesson, weights: Weights) -> Seen:
        """Losses of one lesson; one without pictures is read, not looked at."""
        if not lesson.pictures:
            seen = Seen(torch.zeros(()))
            if lesson.turns:
                scene = self.packed.embed(torch.tensor(lesson.scene_ids))
                self._answers(lesson, scene, weights.answers, seen)
            return seen
        looked = self._look(lesson)
        features = looked[-1]
        pooled = self.pool(features, lesson.sample.stride)
        seen = Seen(torch.zeros(()))
        if weights.dense > 0:
            self._dense(lesson, looked, pooled, weights.dense, seen)
        if weights.answers > 0 and lesson.turns:
            self._answers(lesson, self.scene_embeds(lesson, pooled), weights.answers, seen)
        return seen

    def drill(self, drill: Drill) -> Seen:
        """Loss of comparisons without a scene."""
        hidden, _ = self.packed.questions(self.packed.embed(drill.ids), self.packed.nothing(), 0)
        logits = self.packed.logits(hidden.flatten(0, 1)[drill.where]).float()
        loss = F.cross_entropy(logits, drill.wanted)
        hits = (logits.argmax(-1) == drill.wanted).float().mean()
        return Seen(loss, {"drill": float(loss.detach()), "drill_hits": float(hits)})

    def _dense(
        self,
        lesson: Lesson,
        looked: tuple[Tensor, Tensor, Tensor],
        pooled: Tensor,
        weight: float,
        seen: Seen,
    ) -> None:
        early, middle, features = looked
        targets = dense_targets(lesson.sample)
        loss, accuracy = dense_loss(self.patch_heads, features.flatten(0, 2), targets)
        seen.logged.update({f"patch_{name}": value for name, value in accuracy.items()})
        edges = self.patch_heads.edges(features.flatten(0, 2), targets.outline)
        seen.logged["edges"] = float(edges.detach())
        loss = loss + 2.0 * edges
        whole, found = self.thing_heads(middle, features.flatten(0, 2), things_in(lesson.sample))
        seen.logged.update(found)
        loss = loss + THING_WEIGHT * whole
        for teacher in self._teacher:
            taught = ask_teacher(teacher, lesson)
            hints, found = self.hint_heads(early, features.flatten(0, 2), taught, targets)
            seen.logged.update(found)
            loss = loss + HINT_WEIGHT * hints
        if lesson.sample.stride is not Stride.IMAGE:
            grid = (features.shape[0], features.shape[1], features.shape[2])
            index, single = pooled_targets(targets, grid, int(lesson.sample.stride))
            if len(index):
                loss = loss + self._token_loss(pooled.flatten(0, 2)[index], single, seen)
        seen.loss = seen.loss + weight * loss
        seen.logged["dense"] = float(loss.detach())

    def _token_loss(self, features: Tensor, targets: DenseTargets, seen: Seen) -> Tensor:
        loss, accuracy = dense_loss(self.token_heads, features, targets)
        seen.logged.update({f"token_{name}": value for name, value in accuracy.items()})
        return loss

    def _answers(self, lesson: Lesson, embeds: Tensor, weight: float, seen: Seen) -> None:
        _, kept = self.packed.scene(embeds, SCENE_MULTIPLE)
        # Long questions beside short ones would mostly be padding.
        turns = sorted(lesson.turns, key=lambda turn: len(turn.prompt) + len(turn.target))
        size = _up(max(8, len(turns) // 3), 4)
        groups = [turns[first : first + size] for first in range(0, len(turns), size)]
        total, tokens, right = torch.zeros(()), 0, 0
        for group in groups:
            loss, count, hits = self._group(group, kept, embeds.shape[0])
            total, tokens, right = total + loss, tokens + count, right + hits
        seen.loss = seen.loss + weight * total / max(1, tokens)
        seen.logged["answers"] = float(total.detach()) / max(1, tokens)
        seen.logged["token_hits"] = right / max(1, tokens)

    def _group(
        self, turns: Sequence[Turn], kept: list[Kept], start: int
    ) -> tuple[Tensor, int, int]:
        rows = [[*turn.prompt, *turn.target[:-1]] for turn in turns]
        longest = _up(max(map(len, rows)), ROW_MULTIPLE)
        ids = torch.zeros(_up(len(rows), 4), longest, dtype=torch.long)
        where, wanted = [], []
        for index, (row, turn) in enumerate(zip(rows, turns, strict=True)):
            ids[index, : len(row)] = torch.tensor(row)
            first = len(turn.prompt) - 1
            learnt = [i for i in range(len(turn.target)) if i not in turn.given]
            where += [index * longest + first + i for i in learnt]
            wanted += [turn.target[i] for i in learnt]
        count = len(wanted)
        fill = _up(count, WORD_MULTIPLE) - count
        where, wanted = where + [0] * fill, wanted + [IGNORED] * fill
        hidden, _ = self.packed.questions(self.packed.embed(ids), kept, start)
        logits = self.packed.logits(hidden.flatten(0, 1)[torch.tensor(where)])
        target = torch.tensor(wanted)
        loss = F.cross_entropy(logits.float(), target, reduction="sum", ignore_index=IGNORED)
        return loss, count, int((logits.argmax(-1) == target).sum())
