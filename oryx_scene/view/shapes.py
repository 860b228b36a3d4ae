"""A scene as plain arrays to draw: points, line segments, picture quads, labels; in metres.

Every renderer (numpy, Open3D, the report's 3D view, rerun) draws these and nothing else, so they
all show the same thing. No drawing here, and no Open3D.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from oryx_scene.records import FloatArray, Mark, Predicate, Relation, RgbImage
from oryx_scene.view.snapshot import Snapshot, ViewCamera
from oryx_scene.warning import Warning

LAYERS = ("cloud", "frusta", "pictures", "boxes", "marks", "relations", "path")

Color = tuple[int, int, int]

# Okabe and Ito's palette: distinguishable with the common colour vision deficiencies.
CAMERA_COLORS: tuple[Color, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
)
BOX_COLOR: Color = (220, 30, 30)
RELATION_COLOR: Color = (250, 200, 40)
STATED_COLOR: Color = (255, 120, 220)
PATH_COLOR: Color = (60, 200, 90)

# Up to this many lines between marks can be told apart in one picture.
_FEW_LINES = 6

# Corner pairs of a box whose corners are numbered by the bits x, y, z.
_BOX_EDGES = tuple((a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit)


@dataclass(frozen=True, eq=False)
class Segments:
    """Straight lines of one layer and colour; ``ends`` is (M, 2, 3) metres.

    ``view`` is the index in ``SceneGeometry.cameras`` of the camera that the lines belong to.
    """

    layer: str
    ends: FloatArray
    color: Color
    width_px: float = 2.0
    view: int | None = None


@dataclass(frozen=True, eq=False)
class PictureQuad:
    """A camera's picture at the base of its frustum; ``corners`` (4, 3): TL, TR, BR, BL.

    ``view`` is the index of the camera in ``SceneGeometry.cameras``.
    """

    view: int
    corners: FloatArray
    image: RgbImage


@dataclass(frozen=True, eq=False)
class MarkLabel:
    """A numbered disc at the centre of an object; ``reach_m`` is half the object's diagonal."""

    number: int
    position: FloatArray
    reach_m: float
    name: str = ""
    named: bool = False


@dataclass(frozen=True, eq=False)
class TextLabel:
    """Words at a place in space; ``view`` as in :class:`Segments`."""

    layer: str
    text: str
    position: FloatArray
    color: Color
    view: int | None = None


@dataclass(frozen=True, eq=False)
class SceneGeometry:
    """All that can be drawn of one scene; everything in ``frame_id``, metres.

    Attributes:
        points, colors: (N, 3) float64 and (N, 3) uint8 of layer "cloud".
        voxel_m: distance between neighbouring points, for their drawn size.
        segments, pictures, marks, texts: see their classes.
        cameras: whose viewpoints one can jump to (posed, with K).
        up: (3,) unit vector.
        frame_id: coordinate frame.
        warnings: what could not be shown.
    """

    points: FloatArray
    colors: RgbImage
    voxel_m: float
    segments: tuple[Segments, ...] = ()
    pictures: tuple[PictureQuad, ...] = ()
    marks: tuple[MarkLabel, ...] = ()
    texts: tuple[TextLabel, ...] = ()
    cameras: tuple[ViewCamera, ...] = ()
    up: FloatArray = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    frame_id: str = ""
    warnings: tuple[Warning, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing in it has a place in space."""
        return len(self.points) == 0 and not self.cameras and not self.marks

    def only(self, layers: Iterable[str]) -> SceneGeometry:
        """The same scene with the other layers taken out."""
        wanted = set(layers)
        cloud = "cloud" in wanted
        return replace(
            self,
            points=self.points if cloud else self.points[:0],
            colors=self.colors if cloud else self.colors[:0],
            segments=tuple(item for item in self.segments if item.layer in wanted),
            pictures=self.pictures if "pictures" in wanted else (),
            marks=self.marks if "marks" in wanted else (),
            texts=tuple(item for item in self.texts if item.layer in wanted),
        )

    def seen_from(self, view: int | None) -> SceneGeometry:
        """What to draw when looking through camera ``view`` (None: everything).

        Its own frustum would fill the picture, and the pictures of its neighbours hide the scene.
        """
        if view is None:
            return self
        return replace(
            self,
            segments=tuple(item for item in self.segments if item.view != view),
            pictures=(),
            texts=tuple(item for item in self.texts if item.view != view),
        )


def camera_color(index: int) -> Color:
    """Colour of the ``index``-th camera."""
    return CAMERA_COLORS[index % len(CAMERA_COLORS)]


def frustum_corners(camera: ViewCamera, depth_m: float) -> FloatArray:
    """(5, 3): apex, then the outer pixel corners TL, TR, BR, BL at ``depth_m``, fixed frame.

    Pixel centres are integers, so the picture reaches from -0.5 to width - 0.5. Pinhole model.
    """
    assert camera.K is not None and camera.T_fixed_camera is not None
    right, bottom = camera.width - 0.5, camera.height - 0.5
    pixels = np.array([[-0.5, -0.5, 1], [right, -0.5, 1], [right, bottom, 1], [-0.5, bottom, 1]])
    rays = pixels @ np.linalg.inv(camera.K).T
    local = np.vstack([np.zeros(3), rays * depth_m])
    T = camera.T_fixed_camera
    return np.asarray(local @ T[:3, :3].T + T[:3, 3])


def box_corners(position: FloatArray, size: FloatArray) -> FloatArray:
    """(8, 3) corners of an axis-aligned box; bits 0, 1, 2 of the index choose +x, +y, +z."""
    signs = np.array([[1 if index >> axis & 1 else -1 for axis in range(3)] for index in range(8)])
    return np.asarray(position + 0.5 * signs * size)


def up_axis(cameras: Iterable[ViewCamera]) -> FloatArray:
    """The coordinate axis (3,) that points up.

    REP-103 frames have z up, and that is the answer unless the upright cameras clearly say
    otherwise: SLAM recordings often keep the first camera's axes (y up or down).
    """
    poses = [c.T_fixed_camera for c in cameras if c.T_fixed_camera is not None]
    z_up = np.array([0.0, 0.0, 1.0])
    if not poses:
        return z_up
    mean = -np.mean([pose[:3, 1] for pose in poses], axis=0)
    axis = int(np.argmax(np.abs(mean)))
    # Cameras that look more than 40 degrees up or down are no witnesses.
    if axis == 2 or abs(mean[axis]) < 0.76:
        return z_up
    up = np.zeros(3)
    up[axis] = np.sign(mean[axis])
    return up


def _frustum_depth(snapshot: Snapshot, posed: list[ViewCamera]) -> float:
    """About a tenth of the way to what the cameras see, so that frusta do not hide the scene."""
    places = np.array([c.T_fixed_camera[:3, 3] for c in posed if c.T_fixed_camera is not None])
    if len(snapshot.cloud.points) == 0 or len(places) == 0:
        return 0.3
    sample = snapshot.cloud.points[:: max(1, len(snapshot.cloud.points) // 2000)]
    distance = np.median(np.linalg.norm(sample - places.mean(axis=0), axis=1))
    return float(np.clip(0.12 * distance, 0.08, 0.6))


def _cameras(
    snapshot: Snapshot, posed: list[ViewCamera]
) -> tuple[list[Segments], list[PictureQuad], list[TextLabel]]:
    depth_m = _frustum_depth(snapshot, posed)
    names = sorted({camera.camera for camera in posed})
    segments, pictures, texts = [], [], []
    for view, camera in enumerate(posed):
        color = camera_color(names.index(camera.camera))
        corners = frustum_corners(camera, depth_m)
        pairs = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1)]
        segments.append(Segments("frusta", corners[np.array(pairs)], color, view=view))
        pictures.append(PictureQuad(view, corners[1:], camera.picture))
        texts.append(TextLabel("frusta", camera.camera, corners[0], color, view))
    return segments, pictures, texts


def _marks(
    marks: Iterable[Mark], named: set[int]
) -> tuple[dict[int, MarkLabel], list[Segments], list[Warning]]:
    labels: dict[int, MarkLabel] = {}
    boxes, warnings = [], []
    for mark in marks:
        if mark.position is None:
            text = f"mark {mark.number} has no 3D place and is not shown in 3D"
            warnings.append(Warning("marks_not_shown", text))
            continue
        position = np.array(mark.position)
        size = np.zeros(3) if mark.size is None else np.array(mark.size)
        reach = 0.5 * float(np.linalg.norm(size))
        labels[mark.number] = MarkLabel(
            mark.number, position, reach, mark.label, mark.number in named
        )
        if mark.size is not None:
            ends = box_corners(position, size)[np.array(_BOX_EDGES)]
            width = 3.0 if mark.number in named else 2.0
            boxes.append(Segments("boxes", ends, BOX_COLOR, width))
    return labels, boxes, warnings


@dataclass(frozen=True)
class RelationLine:
    """What is known between two marks; ``stated`` when the model said any of it."""

    first: int
    second: int
    words: str
    stated: bool


def relation_lines(
    relations: Iterable[Relation], placed: Container[int], named: Container[int] = ()
) -> list[RelationLine]:
    """One line per pair of marks that both have a place; a measured distance comes first.

    Left, right, in front and behind hold for one viewpoint only: in a picture of the whole scene
    they are written out only where the model stated them. Of the distances between all pairs, only
    those to the nearest mark and between named marks are shown, once there are more than a few.
    """
    words: dict[tuple[int, int], list[str]] = {}
    stated: set[tuple[int, int]] = set()
    telling: set[tuple[int, int]] = set()
    for relation in relations:
        other = relation.object
        if other is None or relation.subject not in placed or other not in placed:
            continue
        pair = (min(relation.subject, other), max(relation.subject, other))
        found = words.setdefault(pair, [])
        if relation.source == "model":
            stated.add(pair)
        if relation.predicate in (Predicate.NEAREST, Predicate.ON) or (
            relation.subject in named and other in named
        ):
            telling.add(pair)
        if relation.predicate is Predicate.DISTANCE and np.isfinite(relation.value):
            found.insert(0, f"{relation.value:.2f} {relation.unit}".strip())
        elif relation.source == "model" or relation.predicate is Predicate.ON:
            found.append(f"{relation.subject} {relation.predicate.value} {other}")
    few = len(words) <= _FEW_LINES
    return [
        RelationLine(*pair, ", ".join(found[:2]), pair in stated)
        for pair, found in words.items()
        if few or pair in stated or pair in telling
    ]


def _relations(
    relations: Iterable[Relation], labels: dict[int, MarkLabel], named: Container[int]
) -> tuple[list[Segments], list[TextLabel]]:
    segments, texts = [], []
    for line in relation_lines(relations, labels, named):
        color = STATED_COLOR if line.stated else RELATION_COLOR
        ends = np.array([[labels[line.first].position, labels[line.second].position]])
        segments.append(Segments("relations", ends, color, 1.5))
        if line.words:
            texts.append(TextLabel("relations", line.words, ends[0].mean(axis=0), color))
    return segments, texts


def build_geometry(
    snapshot: Snapshot,
    marks: Iterable[Mark] = (),
    relations: Iterable[Relation] = (),
    *,
    named: Iterable[int] = (),
) -> SceneGeometry:
    """All layers of one scene.

    Args:
        snapshot: cameras, cloud and path.
        marks: those without a position are left out, with a warning.
        relations: drawn as a line between two marks; those to the viewpoint are not drawn.
        named: numbers of the marks that the answer names, drawn stronger.
    """
    posed = [c for c in snapshot.cameras if c.K is not None and c.T_fixed_camera is not None]
    frusta, pictures, names = _cameras(snapshot, posed)
    strong = set(named)
    labels, boxes, warnings = _marks(marks, strong)
    lines, words = _relations(relations, labels, strong)
    segments = [*frusta, *boxes, *lines]
    if len(snapshot.path) > 1:
        ends = np.stack([snapshot.path[:-1], snapshot.path[1:]], axis=1)
        segments.append(Segments("path", ends, PATH_COLOR, 2.5))
    return SceneGeometry(
        points=snapshot.cloud.points,
        colors=snapshot.cloud.colors,
        voxel_m=snapshot.cloud.voxel_m or 0.02,
        segments=tuple(segments),
        pictures=tuple(pictures),
        marks=tuple(labels.values()),
        texts=(*names, *words),
        cameras=tuple(posed),
        up=up_axis(posed),
        frame_id=snapshot.frame_id,
        warnings=(*snapshot.warnings, *warnings),
    )
