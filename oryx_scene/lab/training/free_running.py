"""Free-running answers on kept scenes: what training is judged by while it runs.

Teacher-forced accuracy says nothing here (an answer can be wrong by its first word).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch

from oryx_scene.lab.synth.judge import right
from oryx_scene.lab.training.batch import moved, ready
from oryx_scene.lab.training.examples import Lesson
from oryx_scene.lab.training.learner import Learner
from oryx_scene.model.checkpoint.tokenizer import IM_END, TextTokenizer

MOST_TOKENS = 128


def write_answers(
    learner: Learner, lesson: Lesson, tokenizer: TextTokenizer, most: int = MOST_TOKENS
) -> list[str]:
    """The model's text for every question of one lesson, greedy."""
    if not lesson.turns:
        return []
    with torch.inference_mode():
        shown = moved(ready(lesson, sights=False), learner.device)
        if lesson.pictures:
            pooled = learner.pool(learner.features(shown), shown.stride)
            embeds = learner.scene_embeds(shown, pooled)
        else:
            embeds = learner.packed.embed(torch.tensor(lesson.scene_ids))
        _, kept = learner.packed.scene(embeds)
        stops = frozenset([tokenizer.special_id(IM_END)])
        found = learner.packed.answers(
            [turn.prompt for turn in lesson.turns], kept, embeds.shape[0], stops, most
        )
    return [tokenizer.decode(ids) for ids in found]


def probe(
    learner: Learner, lessons: Iterable[Lesson], tokenizer: TextTokenizer
) -> dict[str, tuple[int, int]]:
    """Kind -> (right, asked)."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for lesson in lessons:
        texts: Sequence[str] = write_answers(learner, lesson, tokenizer)
        for turn, text in zip(lesson.turns, texts, strict=True):
            counts[turn.asked.kind][0] += right(turn.asked, text)
            counts[turn.asked.kind][1] += 1
    return {kind: (good, asked) for kind, (good, asked) in sorted(counts.items())}
