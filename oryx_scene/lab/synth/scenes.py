"""One synthetic scene by its settings: the world, the cameras, and how the pipeline freezes it."""

from __future__ import annotations

from dataclasses import dataclass

from oryx_scene.config import BudgetConfig, MarksConfig, PipelineConfig, ViewsConfig
from oryx_scene.lab.synth.changes import render_changed
from oryx_scene.lab.synth.furniture import SENSOR, furnished_world, office_poses
from oryx_scene.lab.synth.noise import spoil
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import World, WorldConfig, make_world
from oryx_scene.records import Frame


@dataclass(frozen=True)
class SceneSpec:
    """What to render.

    Attributes:
        seed: of the world.
        split: of the world (`synth.words.SPLITS`).
        rig, views, height, width: of the cameras.
        compression: "1", "4" or "16".
        own_marks: marks of the project's finder (with its errors) instead of true ones.
        changed: things come or go between the early and the late half of the pictures.
        furnished: an office, a hand-held RGB-D camera and its noise; split and rig do not count.
        max_marks: most numbers.
    """

    seed: int
    split: str = "train"
    rig: str = "ring"
    views: int = 4
    height: int = 192
    width: int = 256
    compression: str = "4"
    own_marks: bool = False
    changed: bool = False
    furnished: bool = False
    max_marks: int = MarksConfig.max_marks


def pipeline_config(spec: SceneSpec) -> PipelineConfig:
    """Settings under which a scene of ``spec`` is frozen."""
    views = ViewsConfig(count=spec.views, history_s=3600.0, max_age_s=3600.0)
    budget = BudgetConfig(compression=spec.compression)
    return PipelineConfig(views, budget, MarksConfig(max_marks=spec.max_marks))


def render_spec(spec: SceneSpec) -> tuple[World, list[Frame]]:
    """The world of ``spec`` and its pictures."""
    if spec.furnished:
        office = furnished_world(spec.seed)
        poses = office_poses(spec.seed, spec.views, (spec.height, spec.width))
        return office, spoil(render_views(office, poses), SENSOR, spec.seed)
    world = make_world(spec.seed, WorldConfig(split=spec.split))
    rig = RigConfig(kind=spec.rig, views=spec.views, height=spec.height, width=spec.width)
    if spec.changed:
        return render_changed(world, rig)
    return world, render_views(world, make_poses(world, rig))
