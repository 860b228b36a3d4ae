"""Training scenes: one frozen synthetic scene as the pipeline makes it, before marks are drawn.

Marks are kept beside the pictures so that every use may number them anew and draw them afresh. Made
once, kept as one .npz each, read many times.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from oryx_scene.errors import SourceError
from oryx_scene.lab.synth.scenes import SceneSpec, pipeline_config, render_spec
from oryx_scene.lab.synth.true_marks import objects_under, true_marks
from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.lab.synth.world import World
from oryx_scene.marks.drawing import Disc
from oryx_scene.model.api import Learnt, Stride
from oryx_scene.records import Changes, Frame, MarkObservation, MarkSet, RgbImage, ViewSet
from oryx_scene.scene.freeze import NO_MODEL, Scene, find_marks_fresh, freeze_scene
from oryx_scene.scene.prepare import move_to_placement

TRAIN_RIGS = ("ring", "surround", "handheld", "stereo")
UNSEEN_RIG = "mast"
# Of scenes with so many views, this share sees things come or go.
LEAST_CHANGED_VIEWS, CHANGED_SHARE = 4, 0.12
# Height and width, how often, and the most views.
SIZES = (((192, 256), 0.56, 16), ((240, 320), 0.18, 8), ((96, 128), 0.16, 16), ((384, 512), 0.1, 2))


# What the small model is trained to read; its checkpoint says so (`learnt.json`).
LEARNT = Learnt(fact_order="distance", largest_disc_share=0.075, most_hidden=1.0)
CARD = dataclasses.replace(NO_MODEL, learnt=LEARNT)


@dataclass(frozen=True, eq=False)
class Sample:
    """One scene to learn from.

    Attributes:
        spec: that made it.
        stride: of the compressor.
        pictures: (views, H, W, 3) uint8, prepared, nothing drawn.
        labels: (views, H, W) uint8 true ids, 0 for none.
        low_size: (height, width) of the coarse view at 1x, else None.
        discs: per view.
        views: frames without pixels: cameras, stamps, poses.
        marks: places, sizes, relations and changes as the mark finder says; a kept sample knows
            in which views they are, not where there.
        objects: mark number -> true id (0: none).
        truth: by object id.
    """

    spec: SceneSpec
    stride: Stride
    pictures: RgbImage
    labels: RgbImage
    low_size: tuple[int, int] | None
    discs: tuple[tuple[Disc, ...], ...]
    views: ViewSet
    marks: MarkSet
    objects: dict[int, int]
    truth: dict[int, ObjectTruth]


def draw_spec(seed: int, split: str = "train") -> SceneSpec:
    """The mixture of training scenes: mostly 2-6 small views at 4x, some at 16x, few at 1x."""
    rng = np.random.default_rng([17, seed])
    compression = str(rng.choice(["4", "16", "1"], p=[0.66, 0.2, 0.14]))
    counts = {"4": (1, 2, 3, 4, 4, 4, 4, 5, 6, 8), "16": (4, 6, 8, 8), "1": (1, 2)}[compression]
    if rng.random() < 0.05 and compression != "1":
        counts = (12, 16)
    (height, width), _, most = SIZES[
        int(rng.choice(len(SIZES), p=[share for _, share, _ in SIZES]))
    ]
    spec = SceneSpec(
        seed,
        split,
        str(rng.choice(TRAIN_RIGS)),
        min(most, int(rng.choice(counts))),
        height,
        width,
        compression,
        bool(rng.random() < 0.3),
    )
    changed = spec.views >= LEAST_CHANGED_VIEWS and rng.random() < CHANGED_SHARE
    return dataclasses.replace(spec, changed=bool(changed))


def make_sample(spec: SceneSpec) -> Sample | None:
    """Render and freeze one scene; None where nothing could be marked."""
    world, frames = render_spec(spec)
    finder = find_marks_fresh
    if not spec.own_marks:

        def finder(views: ViewSet, config: Any, question: str) -> MarkSet:
            return true_marks(views, world.truth, config)

    scene = freeze_scene(
        frames,
        max(frame.stamp_ns for frame in frames),
        pipeline_config(spec),
        CARD,
        find_marks=finder,
        synthetic=True,
    )
    return sample_of(scene, world, spec) if scene.marks.marks else None


def sample_of(scene: Scene, world: World, spec: SceneSpec) -> Sample:
    """The sample of a frozen scene whose frames still carry true ids."""
    placements = scene.plan.placements
    frames = scene.views.frames
    pictures = [move_to_placement(f.rgb, p) for f, p in zip(frames, placements, strict=True)]
    labels = []
    for frame, place in zip(frames, placements, strict=True):
        assert frame.labels is not None
        size = (place.content_width, place.content_height)
        small = cv2.resize(frame.labels.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        whole = np.zeros((place.height, place.width), np.uint8)
        whole[place.top : place.top + size[1], place.left : place.left + size[0]] = small
        labels.append(whole)
    return Sample(
        spec,
        scene.plan.stride,
        np.stack(pictures),
        np.stack(labels),
        scene.plan.low_sizes[0] if scene.plan.low_sizes else None,
        scene.discs,
        ViewSet(tuple(_without_pixels(frame) for frame in frames)),
        scene.marks,
        objects_under(scene.views, scene.marks),
        world.truth,
    )


def _without_pixels(frame: Frame) -> Frame:
    return dataclasses.replace(
        frame, rgb=np.zeros((0, 0, 3), np.uint8), depth=None, labels=None, intrinsics=None
    )


def save_sample(sample: Sample, path: Path) -> None:
    """Write one sample; a half-written file never has the final name."""
    described = {
        "spec": dataclasses.asdict(sample.spec),
        "stride": int(sample.stride),
        "low_size": sample.low_size,
        "discs": [[dataclasses.astuple(disc) for disc in view] for view in sample.discs],
        "cameras": [[f.camera, f.stamp_ns, f.fixed_frame] for f in sample.views.frames],
        "marks": [_mark_dict(mark) for mark in sample.marks.marks],
        "on": [[r.subject, r.object] for r in sample.marks.relations if r.predicate.value == "on"],
        "changes": _changes_dict(sample.marks.changes),
        "objects": list(sample.objects.items()),
        "truth": [dataclasses.astuple(thing) for thing in sample.truth.values()],
    }
    poses = np.stack(
        [np.eye(4) if f.T_fixed_camera is None else f.T_fixed_camera for f in sample.views.frames]
    )
    half = path.with_suffix(".part")
    with half.open("wb") as file:
        np.savez(
            file,
            pictures=sample.pictures,
            labels=sample.labels,
            poses=poses,
            described=np.frombuffer(json.dumps(described).encode(), np.uint8),
        )
    half.rename(path)


def _mark_dict(mark: Any) -> dict[str, Any]:
    return {
        "number": mark.number,
        "position": mark.position,
        "size": mark.size,
        "frame_id": mark.frame_id,
    }


def _changes_dict(changes: Changes | None) -> dict[str, Any] | None:
    return None if changes is None else dataclasses.asdict(changes)


def load_sample(path: Path) -> Sample:
    """Read what `save_sample` wrote.

    Raises:
        SourceError: not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        described = json.loads(arrays["described"].tobytes())
        return _from_parts(arrays, described)
    except (OSError, ValueError, KeyError) as err:
        raise SourceError(path, f"it is no training scene ({type(err).__name__}: {err}).") from err


def _from_parts(arrays: dict[str, Any], described: dict[str, Any]) -> Sample:
    from oryx_scene.records import Mark, Predicate, Relation

    def triple(values: Sequence[float] | None) -> tuple[float, float, float] | None:
        return None if values is None else (values[0], values[1], values[2])

    frames = tuple(
        Frame(
            camera=name,
            stamp_ns=stamp_ns,
            frame_id=f"{name}_optical_frame",
            rgb=np.zeros((0, 0, 3), np.uint8),
            sha256="",
            T_fixed_camera=pose,
            fixed_frame=fixed,
        )
        for (name, stamp_ns, fixed), pose in zip(described["cameras"], arrays["poses"], strict=True)
    )
    discs = tuple(tuple(_disc(disc) for disc in view) for view in described["discs"])
    marks = tuple(
        Mark(
            m["number"],
            _observations(m["number"], discs),
            triple(m["position"]),
            triple(m["size"]),
            frame_id=m["frame_id"],
        )
        for m in described["marks"]
    )
    # Scenes that were kept before changes were measured know nothing of them.
    told = described.get("changes")
    changes = None if told is None else Changes(tuple(told["gone"]), tuple(told["new"]))
    on = tuple(Relation(a, Predicate.ON, b, "map") for a, b in described["on"])
    truth = [ObjectTruth(i, c, s, tuple(p), tuple(e)) for i, c, s, p, e in described["truth"]]
    low = described["low_size"]
    return Sample(
        SceneSpec(**described["spec"]),
        Stride(described["stride"]),
        arrays["pictures"],
        arrays["labels"],
        None if low is None else (low[0], low[1]),
        discs,
        ViewSet(frames),
        MarkSet(marks, on, changes=changes),
        {int(a): int(b) for a, b in described["objects"]},
        {thing.object_id: thing for thing in truth},
    )


def _observations(number: int, discs: tuple[tuple[Disc, ...], ...]) -> tuple[MarkObservation, ...]:
    """In which views a mark is; its pixels of the received pictures are not kept."""
    unknown = float("nan")
    return tuple(
        MarkObservation(view, unknown, unknown, 0.0, unknown, unknown, 0, (unknown,) * 4)
        for view, drawn in enumerate(discs)
        if any(disc.number == number for disc in drawn)
    )


def _disc(values: Sequence[Any]) -> Disc:
    """A disc as ``dataclasses.astuple`` wrote it; files of earlier versions know no leaders."""
    number, u, v, radius, *leads_to = values
    return Disc(number, u, v, radius, tuple(leads_to[0]) if leads_to and leads_to[0] else None)
