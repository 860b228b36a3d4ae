"""Under what conditions answers are judged, each by a name and one sentence.

``BESIDE`` conditions ask the same questions about the same frames. ``SETTINGS`` show other frames
(sizes, numbers of views, rigs, worlds), and so have marks and questions of their own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from oryx_scene.config import PipelineConfig
from oryx_scene.errors import ConfigError
from oryx_scene.lab.synth.rigs import RIGS
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config

# Rigs that training has seen, in turn by the scene's seed.
MIXED = ("ring", "surround", "handheld", "stereo")


@dataclass(frozen=True)
class SceneCondition:
    """What is changed against the plain run on the same frames.

    Attributes:
        name: of the condition.
        what: one sentence for tables.
        pictures: False shows grey instead.
        marks: False finds and draws none; the questions stay the same.
        facts: "fit" or "none".
        scored: yes/no questions only, in the form "yes_no".
    """

    name: str = "plain"
    what: str = "4 views of 256x192 at 4x, marks of the project's own finder, measured facts"
    pictures: bool = True
    marks: bool = True
    facts: str = "fit"
    scored: bool = False

    def config(self, spec: SceneSpec) -> PipelineConfig:
        """Settings of the pipeline under this condition."""
        plain = pipeline_config(spec)
        marks = dataclasses.replace(plain.marks, enabled=self.marks, facts=self.facts)
        return dataclasses.replace(plain, marks=marks, pictures=self.pictures)


PLAIN = SceneCondition()
BESIDE = {
    item.name: item
    for item in (
        SceneCondition("no_pictures", "the same questions, grey instead of every picture", False),
        SceneCondition(
            "no_marks", "the same questions, no marks found, drawn or named", marks=False
        ),
        SceneCondition(
            "no_facts", "the same questions, no measured facts in the prompt", facts="none"
        ),
        SceneCondition(
            "scored", "the same yes/no questions, scored after the scratchpad", scored=True
        ),
    )
}


@dataclass(frozen=True)
class Setting:
    """Other frames than the plain run's; what is None stays.

    Attributes:
        name: of the setting.
        what: one sentence for tables.
        scale: of the pictures' sides.
        changed: things come or go between the pictures.
    """

    name: str
    what: str
    split: str | None = None
    rig: str | None = None
    views: int | None = None
    compression: str | None = None
    scale: float = 1.0
    changed: bool = False

    def spec(self, plain: SceneSpec) -> SceneSpec:
        """The scene of this setting with the seed of ``plain``."""
        return dataclasses.replace(
            plain,
            split=self.split or plain.split,
            rig=self.rig or plain.rig,
            views=self.views or plain.views,
            compression=self.compression or plain.compression,
            changed=self.changed or plain.changed,
            height=round(plain.height * self.scale),
            width=round(plain.width * self.scale),
        )


# The setting that shows pictures over time, with a table of its own.
SEQUENCES = "sequences"
SETTINGS = {
    item.name: item
    for item in (
        Setting("compression_1", "1x: every patch feature is a token", compression="1"),
        Setting("compression_16", "16x compression", compression="16"),
        Setting("half_size", "pictures of half the sides (128x96)", scale=0.5),
        Setting("double_size", "pictures of twice the sides (512x384)", scale=2.0),
        *(
            Setting(f"views_{count}", f"{count} view{'s' if count > 1 else ''}", views=count)
            for count in (1, 2, 8, 16)
        ),
        Setting("combinations", "worlds with colour-shape pairs never trained on", "combinations"),
        Setting("unseen_rig", "the rig `mast`, never trained on", rig="mast"),
        Setting(
            SEQUENCES,
            "8 pictures of a hand, between which things came or went",
            rig="handheld",
            views=8,
            changed=True,
        ),
    )
}


def specs_of(plain: SceneSpec, rig: str, seeds: range) -> list[SceneSpec]:
    """The plain run's scenes: ``rig`` "mixed" takes the trained rigs in turn.

    Raises:
        ConfigError: no such rig.
    """
    if rig not in ("mixed", *RIGS):
        raise ConfigError(f"there is no rig '{rig}'.", hint=f"mixed, {', '.join(RIGS)}")
    rigs = MIXED if rig == "mixed" else (rig,)
    return [
        dataclasses.replace(plain, seed=seed, rig=rigs[seed % len(rigs)], own_marks=True)
        for seed in seeds
    ]
