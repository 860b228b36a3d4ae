"""What must be said with a model's answers: that it is untrained, or out of its depth here.

Both follow from what the checkpoint says about itself and from whether the source is rendered,
never from the model's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from oryx_scene.answerer import ModelCard
from oryx_scene.warning import Warning


@dataclass(frozen=True)
class Caution:
    """A short label beside an answer and what stands among its warnings."""

    label: str
    warning: Warning


RANDOM = Caution(
    "random model",
    Warning(
        "model_random",
        "the model has random weights: this text shows that the way works and means nothing",
    ),
)
OUT_OF_DEPTH = Caution(
    "trained on synthetic rooms only",
    Warning(
        "model_out_of_domain",
        "the model was trained on synthetic rooms only and is out of its depth on this source, "
        "which is not synthetic",
    ),
)


def caution_for(card: ModelCard, *, synthetic: bool) -> Caution | None:
    """What to say about answers of ``card``'s model; None for nothing.

    Args:
        card: of the loaded model.
        synthetic: the frames come from a synthetic world and their source says so.
    """
    if not card.trained:
        return RANDOM
    if card.synthetic_only and not synthetic:
        return OUT_OF_DEPTH
    return None
