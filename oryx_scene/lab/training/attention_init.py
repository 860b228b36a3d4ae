"""A start for one attention head: from a spoken number to the picture's token that shows it.

Found by gradient alone, this link takes most of a small budget: while attention is spread over
hundreds of tokens, no single one is told that it mattered. Here the head's weights are solved by
ridge regression on real features: queries and keys agree on a code per number, values carry what
the token shows, in the words that answer. Training goes on from there and is free to change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from oryx_scene.lab.training.batch import moved, ready
from oryx_scene.lab.training.dense import COLOUR_INDEX, SHAPE_INDEX
from oryx_scene.lab.training.examples import Lesson
from oryx_scene.lab.training.learner import Learner
from oryx_scene.model.api import Stride

NUMBERS = 8
# Logit by which a shown number stands out, for a perfectly read digit.
SHARPNESS = 14.0
RIDGE = 3.0


@dataclass(frozen=True, eq=False)
class Tokens:
    """Projected visual tokens and what is true of them: (n, hidden_size) and (n,) each, 0 none."""

    projected: Tensor
    digit: Tensor
    colour: Tensor
    shape: Tensor


def read_tokens(learner: Learner, lessons: Sequence[Lesson]) -> Tokens:
    """The visual tokens of lessons at 4x and 16x; of those without a number every fourth."""
    parts: list[tuple[Tensor, ...]] = []
    for lesson in lessons:
        stride = lesson.sample.stride
        if stride is Stride.IMAGE:
            continue
        shown = moved(ready(lesson), learner.device)
        assert shown.sights is not None and shown.sights.tokens is not None
        index, true = shown.sights.token_index, shown.sights.tokens
        pooled = learner.pool(learner.features(shown), stride)
        projected = learner.model.projector.proj(pooled.flatten(0, 2))
        told = index.new_zeros(3, len(projected))
        told[:, index] = torch.stack([true.digit, true.colour, true.shape])
        keep = torch.cat([index, (told[0] == 0).nonzero()[::4, 0]])
        parts.append((projected[keep], *told[:, keep]))
    joined = [torch.cat(column) for column in zip(*parts, strict=True)]
    return Tokens(joined[0], joined[1], joined[2], joined[3])


def _ridge(inputs: Tensor, wanted: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted linear fit with bias: (outputs, inputs) and (outputs,)."""
    extended = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
    weighted = extended * weights[:, None]
    square = extended.T @ weighted + RIDGE * torch.eye(extended.shape[1], device=inputs.device)
    solution = torch.linalg.solve(square, weighted.T @ wanted)
    return solution[:-1].T, solution[-1]


def reserve_head(learner: Learner) -> None:
    """Silence head 0 of the first layer, so that nothing is lost when `link_numbers` sets it."""
    with torch.no_grad():
        attention = learner.model.language.model.layers[0].self_attn
        attention.o_proj.weight[:, : attention.head_dim] = 0.0


def keep_reserved(learner: Learner) -> None:
    """Take back what one step would teach the reserved head."""
    attention = learner.model.language.model.layers[0].self_attn
    if attention.o_proj.weight.grad is not None:
        attention.o_proj.weight.grad[:, : attention.head_dim] = 0.0


def link_numbers(learner: Learner, lessons: Sequence[Lesson], tokenizer: Any) -> None:
    """Set head 0 of the first layer; ``tokenizer`` is the transformers tokenizer."""
    with torch.no_grad():
        tokens = read_tokens(learner, lessons)
        language = learner.model.language.model
        layer, words = language.layers[0], language.embed_tokens.weight
        shown, spoken = layer.input_layernorm(tokens.projected), layer.input_layernorm(words)
        _set_lookup(layer, shown, spoken, tokens, tokenizer.get_vocab(), learner)
        _set_values(layer, shown, words, tokens, tokenizer.get_vocab())


def _set_lookup(
    layer: Any, shown: Tensor, spoken: Tensor, tokens: Tokens, vocabulary: dict[str, int],
    learner: Learner,
) -> None:  # fmt: skip
    attention, size = layer.self_attn, layer.self_attn.head_dim
    # Slow rotary pairs only: a number is far from the picture that shows it.
    slow = torch.tensor([*range(size // 4, size // 2), *range(3 * size // 4, size)])
    slow = slow.to(shown.device)
    generator = torch.Generator().manual_seed(11)
    codes = torch.linalg.qr(torch.randn(len(slow), len(slow), generator=generator))[0][:NUMBERS]
    codes = codes.to(shown.device)
    projector = learner.model.projector
    layout = layer.input_layernorm(
        torch.stack(
            [
                projector.image_newline,
                projector.image_begin,
                projector.image_end,
                projector.image_sep,
            ]
        )
    )
    inputs = torch.cat([shown, spoken, layout])
    wanted = inputs.new_zeros(len(inputs), len(slow))
    marked = tokens.digit > 0
    wanted[: len(shown)][marked] = codes[tokens.digit[marked] - 1]
    counts = torch.cat(
        [
            1.0 + 2.0 * marked,
            inputs.new_full((len(spoken),), 2.0),
            inputs.new_full((len(layout),), 200.0),
        ]
    )
    keys = _ridge(inputs, wanted, counts)
    asked = spoken.new_zeros(len(spoken), len(slow))
    for number in range(1, NUMBERS + 1):
        for word in (f"Ġ{number}", str(number)):
            asked[vocabulary[word]] = codes[number - 1]
    queries = _ridge(spoken, asked, 1.0 + 29.0 * (asked.abs().sum(1) > 0))
    scale = (SHARPNESS * size**0.5) ** 0.5
    for projection, (weight, bias) in ((attention.q_proj, queries), (attention.k_proj, keys)):
        projection.weight[:size], projection.bias[:size] = 0.0, 0.0
        projection.weight[slow], projection.bias[slow] = scale * weight, scale * bias


def _set_values(
    layer: Any, shown: Tensor, words: Tensor, tokens: Tokens, vocabulary: dict[str, int]
) -> None:
    attention, size = layer.self_attn, layer.self_attn.head_dim
    colours, shapes = len(COLOUR_INDEX), len(SHAPE_INDEX)
    marked = (tokens.digit > 0) & (tokens.colour > 0)
    wanted = shown.new_zeros(int(marked.sum()), colours + shapes)
    rows = torch.arange(len(wanted), device=shown.device)
    wanted[rows, tokens.colour[marked] - 1] = 1.0
    wanted[rows, colours + tokens.shape[marked] - 1] = 1.0
    weight, bias = _ridge(shown[marked], wanted, wanted.new_ones(len(wanted)))
    count = colours + shapes
    attention.v_proj.weight[:size], attention.v_proj.bias[:size] = 0.0, 0.0
    attention.v_proj.weight[:count], attention.v_proj.bias[:count] = weight, bias
    attention.v_proj.bias[:colours] -= 1.0 / colours
    attention.v_proj.bias[colours:count] -= 1.0 / shapes
    ids = torch.tensor([vocabulary[f"Ġ{word}"] for word in (*COLOUR_INDEX, *SHAPE_INDEX)])
    # The dual basis: each value raises its own word and no other of them.
    dual = torch.linalg.pinv(words[ids.to(words.device)])
    dual = dual / dual.norm(dim=0) * words.norm(dim=1).mean() * 4.0
    attention.o_proj.weight[:, :size] = 0.0
    attention.o_proj.weight[:, :count] = dual
