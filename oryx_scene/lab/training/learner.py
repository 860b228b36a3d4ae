"""One lesson's losses: pictures through the tower, questions through the language model.

Assembles the same stages as the engine (`Oryx`); only the language model runs packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from oryx_scene.lab.training.batch import IGNORED, LessonTensors, PaddedQuestions, moved, ready
from oryx_scene.lab.training.dense import DenseHeads, DenseTargets, dense_loss
from oryx_scene.lab.training.distillation import Teacher
from oryx_scene.lab.training.distillation_targets import HintHeads, ask_teacher
from oryx_scene.lab.training.drills import Drill
from oryx_scene.lab.training.examples import Lesson
from oryx_scene.lab.training.instance_heads import ThingHeads
from oryx_scene.lab.training.packed_forward import LayerPrefix, PackedLanguage
from oryx_scene.model.api import Stride
from oryx_scene.model.oryx.oryx import Oryx
from oryx_scene.model.oryx.pixels import normalise_batch
from oryx_scene.model.oryx.splice import splice

# Shapes are filled up to a few (`batch.py`).
SCENE_MULTIPLE = 32
THING_WEIGHT = 4.0
HINT_WEIGHT = 12.0


@dataclass(frozen=True)
class Weights:
    """How much each loss counts; 0 leaves its part out.

    Attributes:
        dense: what patches and visual tokens show.
        answers: the words of answers.
        shapes: within ``dense``, shapes against colours and digits.
    """

    dense: float = 1.0
    answers: float = 1.0
    shapes: float = 1.0


@dataclass(eq=False)
class LessonCounts:
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
        self.to(model.device)

    def listen_to(self, teacher: Teacher) -> None:
        """Take hints from now on."""
        self._teacher = (teacher,)

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""
        return self.model.vision.pos_embed.dtype

    @property
    def device(self) -> torch.device:
        """Of weights and activations."""
        return self.model.device

    def features(self, lesson: LessonTensors) -> Tensor:
        """(views, rows, columns, width) of the tower, before pooling."""
        return self._look(lesson)[-1]

    def _look(self, lesson: LessonTensors) -> tuple[Tensor, Tensor]:
        """Features half-way up the tower, (patches, width), and at its end."""
        vision = self.model.vision
        x, grids = vision.embed(list(normalise_batch(lesson.pictures).to(self.dtype)))
        middle = x
        # On a CPU the fused kernel's backward pass is slower than plain matrix products.
        plain = self.device.type != "cuda"
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            for index, block in enumerate(vision.blocks, 1):
                x = block(x, [rows * columns for rows, columns in grids])
                if index == len(vision.blocks) // 2:
                    middle = x
        return middle, x.view(len(grids), *grids[0], -1)

    def pool(self, features: Tensor, stride: Stride) -> Tensor:
        """(views, rows, columns, width) after the compressor."""
        pooled: Tensor = self.model.compressor(features, int(stride))
        return pooled

    def slots(self, lesson: LessonTensors, pooled: Tensor) -> list[Tensor]:
        """Visual tokens of every slot of the prompt."""
        if lesson.low is None:
            return [self.model.project_video(list(pooled), lesson.stride)]
        low = list(normalise_batch(lesson.low))
        lows = self.model.encode(low, [Stride.IMAGE] * len(low))
        return [self.model.project_image(one, high) for one, high in zip(lows, pooled, strict=True)]

    def scene_embeds(self, lesson: LessonTensors, pooled: Tensor) -> Tensor:
        """(tokens, hidden_size) of the scene part of the prompt."""
        return splice(lesson.scene_ids, self.slots(lesson, pooled), self.packed.embed)

    def forward(self, lesson: LessonTensors | Lesson, weights: Weights) -> LessonCounts:
        """Losses of one lesson; one without pictures is read, not looked at."""
        one = moved(ready(lesson) if isinstance(lesson, Lesson) else lesson, self.device)
        seen = LessonCounts(torch.zeros((), device=self.device))
        if not len(one.pictures):
            if one.rows:
                scene = self.packed.embed(torch.tensor(one.scene_ids))
                self._answers(one.rows, scene, weights.answers, seen)
            return seen
        looked = self._look(one)
        pooled = self.pool(looked[-1], one.stride)
        if weights.dense > 0 and one.sights is not None:
            self._dense(one, looked, pooled, weights, seen)
        if weights.answers > 0 and one.rows:
            self._answers(one.rows, self.scene_embeds(one, pooled), weights.answers, seen)
        return seen

    def drill(self, drill: Drill) -> LessonCounts:
        """Loss of comparisons without a scene."""
        drill = moved(drill, self.device)
        hidden, _ = self.packed.questions(self.packed.embed(drill.ids), self.packed.nothing(), 0)
        logits = self.packed.logits(hidden.flatten(0, 1)[drill.where]).float()
        loss = F.cross_entropy(logits, drill.wanted)
        hits = (logits.argmax(-1) == drill.wanted).float().mean()
        return LessonCounts(loss, {"drill": float(loss.detach()), "drill_hits": float(hits)})

    def _dense(
        self,
        lesson: LessonTensors,
        looked: tuple[Tensor, Tensor],
        pooled: Tensor,
        weights: Weights,
        seen: LessonCounts,
    ) -> None:
        sights = lesson.sights
        assert sights is not None
        middle, features = looked
        targets = sights.patches
        loss, accuracy = dense_loss(
            self.patch_heads, features.flatten(0, 2), targets, weights.shapes
        )
        seen.logged.update({f"patch_{name}": value for name, value in accuracy.items()})
        edges = self.patch_heads.edges(features.flatten(0, 2), targets.outline)
        seen.logged["edges"] = float(edges.detach())
        loss = loss + 2.0 * edges
        whole, found = self.thing_heads(middle, features.flatten(0, 2), sights.things)
        seen.logged.update(found)
        loss = loss + THING_WEIGHT * whole
        for teacher in self._teacher:
            taught = ask_teacher(teacher, normalise_batch(lesson.pictures))
            hints, found = self.hint_heads(middle, features.flatten(0, 2), taught, targets)
            seen.logged.update(found)
            loss = loss + HINT_WEIGHT * hints
        if sights.tokens is not None and len(sights.token_index):
            single = pooled.flatten(0, 2)[sights.token_index]
            loss = loss + self._token_loss(single, sights.tokens, weights.shapes, seen)
        seen.loss = seen.loss + weights.dense * loss
        seen.logged["dense"] = float(loss.detach())

    def _token_loss(
        self, features: Tensor, targets: DenseTargets, shapes: float, seen: LessonCounts
    ) -> Tensor:
        loss, accuracy = dense_loss(self.token_heads, features, targets, shapes)
        seen.logged.update({f"token_{name}": value for name, value in accuracy.items()})
        return loss

    def _answers(
        self, rows: Sequence[PaddedQuestions], embeds: Tensor, weight: float, seen: LessonCounts
    ) -> None:
        _, kept = self.packed.scene(embeds, SCENE_MULTIPLE)
        found = [self._rows(one, kept, embeds.shape[0]) for one in rows]
        tokens = max(1, sum(one.count for one in rows))
        total = torch.stack([loss for loss, _ in found]).sum()
        seen.loss = seen.loss + weight * total / tokens
        seen.logged["answers"] = float(total.detach()) / tokens
        seen.logged["token_hits"] = int(torch.stack([hits for _, hits in found]).sum()) / tokens

    def _rows(
        self, rows: PaddedQuestions, kept: list[LayerPrefix], start: int
    ) -> tuple[Tensor, Tensor]:
        """Loss of some questions, summed over their words, and how many words were right."""
        hidden, _ = self.packed.questions(self.packed.embed(rows.ids), kept, start)
        logits = self.packed.logits(hidden.flatten(0, 1)[rows.where])
        loss = F.cross_entropy(logits.float(), rows.wanted, reduction="sum", ignore_index=IGNORED)
        return loss, (logits.argmax(-1) == rows.wanted).sum()
