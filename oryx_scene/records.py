"""The plain typed records that travel through one question, from camera frame to answer.

Records only: no arithmetic, no disk, no clock. Arrays are shared, never copied; treat them as read
only. Stamps are integer nanoseconds, lengths metres, pixel coordinates (u right, v down) with the
centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from oryx_scene.warning import Warning

FloatArray = NDArray[np.float64]
DepthImage = NDArray[np.float32]
RgbImage = NDArray[np.uint8]
Vector3 = tuple[float, float, float]
# (3, 3) symmetric, by rows.
Covariance = tuple[Vector3, Vector3, Vector3]


@dataclass(frozen=True, eq=False)
class Intrinsics:
    """Pinhole parameters of one stated image size (sensor_msgs/CameraInfo, REP-104).

    Attributes:
        K: (3, 3) float64, pixels.
        height, width: the image size in pixels that K belongs to.
        distortion_model: "none", "plumb_bob", "rational_polynomial" or "equidistant".
        D: (n,) float64 coefficients in the order of that model.
    """

    K: FloatArray
    height: int
    width: int
    distortion_model: str = "none"
    D: FloatArray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of one camera with its capture stamp.

    Attributes:
        camera: our name for the camera (front, left, ...); neither topic nor frame_id.
        stamp_ns: capture time from the message header.
        frame_id: optical frame of the image (z forward, x right, y down; REP-103).
        rgb: (height, width, 3) uint8.
        sha256: hex digest of the received payload bytes (Image.data, CompressedImage.data or file).
        topic: topic or file that the payload came from.
        encoding: as received, e.g. "bgr8" or "jpeg".
        depth: (height, width) float32 metres along optical z, registered to ``rgb``; NaN where
            unknown. None where the camera has no usable depth.
        depth_sha256: digest of the depth payload, "" without depth.
        intrinsics: of ``rgb`` as received; None where nobody published any.
        T_fixed_camera: (4, 4) float64, takes points of the optical frame to ``fixed_frame``; None
            where TF does not know.
        fixed_frame: name of the fixed coordinate frame, "" without a pose.
        pose_std: how wrong ``T_fixed_camera`` may be where the source says so: root mean square of
            the length by which it is shifted (metres), and standard deviation of the angle by which
            it is turned about the camera (rad). None where nobody says (``marks.pose_shift_m``).
        warnings: what was missing or doubtful about this frame.
        labels: (height, width) int32 true object ids of a synthetic source, None elsewhere.
        turned_deg: by how many degrees clockwise all of this was turned against what was received
            (``rotate_deg`` of a rig file or the node); `geometry.turning`.
    """

    camera: str
    stamp_ns: int
    frame_id: str
    rgb: RgbImage
    sha256: str
    topic: str = ""
    encoding: str = "rgb8"
    depth: DepthImage | None = None
    depth_sha256: str = ""
    intrinsics: Intrinsics | None = None
    T_fixed_camera: FloatArray | None = None
    fixed_frame: str = ""
    pose_std: tuple[float, float] | None = None
    warnings: tuple[Warning, ...] = ()
    labels: NDArray[np.int32] | None = None
    turned_deg: int = 0

    @property
    def height(self) -> int:
        """Rows of ``rgb`` in pixels."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Columns of ``rgb`` in pixels."""
        return int(self.rgb.shape[1])


@dataclass(frozen=True, eq=False)
class ViewSet:
    """The frames that one answer rests on, in the order in which the model sees them.

    Attributes:
        frames: at least one frame.
        skew_s: measured spread of the stamps of the newest frame of each camera.
        warnings: what synchronisation had to leave out.
    """

    frames: tuple[Frame, ...]
    skew_s: float = 0.0
    warnings: tuple[Warning, ...] = ()

    @property
    def newest_ns(self) -> int:
        """Capture stamp of the newest frame."""
        return max(frame.stamp_ns for frame in self.frames)

    @property
    def oldest_ns(self) -> int:
        """Capture stamp of the oldest frame."""
        return min(frame.stamp_ns for frame in self.frames)


@dataclass(frozen=True)
class MarkObservation:
    """One mark as seen in one view.

    Attributes:
        view: index into ``ViewSet.frames``.
        u, v: on the object, pixels of the received image: the middle of the number's disc, or the
            end of the leader of a number that stands beside.
        radius_px: of the disc, pixels of the received image (0 until drawn sizes are known).
        depth_m: of the surface under (u, v) along optical z, NaN if unknown.
        visible_fraction: visible pixels over pixels the whole object would cover, 0..1.
        area_px: visible pixels of the object in the received image.
        bbox: (u0, v0, u1, v1) of the visible pixels, inclusive, received image.
        beside: (u, v) of the disc where it stands beside the object, which it would hide; None
            where it stands on it.
    """

    view: int
    u: float
    v: float
    radius_px: float
    depth_m: float
    visible_fraction: float
    area_px: int
    bbox: tuple[float, float, float, float]
    beside: tuple[float, float] | None = None

    @property
    def disc(self) -> tuple[float, float]:
        """(u, v) of the middle of the number's disc."""
        return self.beside or (self.u, self.v)


@dataclass(frozen=True)
class Mark:
    """One object with the number drawn on it in every view that sees it.

    Attributes:
        number: 1..K; the same object keeps it, it is never reused within a scene's life.
        observations: at most one per view, ordered by view.
        position: centre in the fixed frame, metres; None without depth, pose or parallax.
        size: extent along the fixed frame's axes, metres; None where unknown.
        position_std: standard deviation of ``position`` along its least certain direction (root of
            the largest eigenvalue of ``covariance``), metres, NaN unknown.
        covariance: (3, 3) of ``position`` in the fixed frame, square metres, by rows; None where
            only ``position_std`` is known, which then holds in every direction.
        label: name given by a detector, "" if none.
        score: 0..1, how sure the association is.
        frame_id: coordinate frame of ``position``.
    """

    number: int
    observations: tuple[MarkObservation, ...]
    position: tuple[float, float, float] | None = None
    size: tuple[float, float, float] | None = None
    position_std: float = float("nan")
    label: str = ""
    score: float = 1.0
    frame_id: str = ""
    covariance: Covariance | None = None


class Predicate(str, Enum):
    """What a relation states; values are the words used in JSON."""

    LEFT_OF = "left_of"
    RIGHT_OF = "right_of"
    IN_FRONT_OF = "in_front_of"
    BEHIND = "behind"
    ABOVE = "above"
    BELOW = "below"
    ON = "on"
    NEAREST = "nearest"
    DISTANCE = "distance"
    RANGE = "range"
    SIZE = "size"
    BEARING = "bearing"


@dataclass(frozen=True)
class Relation:
    """A coarse, measured or stated relation between marks.

    Attributes:
        subject: mark number.
        predicate: what is stated.
        object: other mark number; None where the relation is to the viewpoint itself.
        reference: for whom: "view:<camera>" or a coordinate frame; left/right mean nothing without.
        value: number in ``unit``, NaN for pure predicates.
        unit: "m", "rad" or "".
        std: standard deviation of ``value`` in ``unit``, NaN unknown.
        source: "geometry" (measured) or "model" (read from the text).
    """

    subject: int
    predicate: Predicate
    object: int | None
    reference: str
    value: float = float("nan")
    unit: str = ""
    std: float = float("nan")
    source: str = "geometry"


@dataclass(frozen=True)
class Lattice:
    """Middles of the model's patches in one view, received pixels: the first, and the steps.

    A number in the middle of a patch is read by that patch; one on a border falls to several.
    """

    u0: float
    v0: float
    step_u: float
    step_v: float


@dataclass(frozen=True)
class DiscLayout:
    """How numbers will be drawn in the views at hand.

    Attributes:
        radii: of the drawn disc per view, RECEIVED pixels; () takes 2.5 % of the width.
        lattices: middles of the model's patches per view; numbers are put there where the object
            allows. () puts them anywhere.
        most_hidden: a disc that would hide more than this share of its object stands beside it.
    """

    radii: tuple[float, ...] = ()
    lattices: tuple[Lattice, ...] = ()
    most_hidden: float = 0.5


@dataclass(frozen=True)
class Changes:
    """What changed while the views of one scene were taken, as far as they tell.

    Attributes:
        gone: numbers of marks whose place a later view shows to be free.
        new: numbers of marks whose place an earlier view shows to have been free.
    """

    gone: tuple[int, ...] = ()
    new: tuple[int, ...] = ()


@dataclass(frozen=True)
class MarkSet:
    """All marks of one view set.

    Attributes:
        marks: ordered by number.
        relations: measured between the marks.
        left_out: reason -> how many candidate objects got no mark because of it.
        left_out_by_view: the same per view: objects that it shows without a number in it; empty
            where no marks were sought.
        route: "depth", "tracks", "detections" or "none".
        warnings: what is missing or doubtful.
        changes: between views of different times; None where nothing can be said.
    """

    marks: tuple[Mark, ...] = ()
    relations: tuple[Relation, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    route: str = "none"
    warnings: tuple[Warning, ...] = ()
    changes: Changes | None = None
    left_out_by_view: tuple[dict[str, int], ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked, and how the answer is wanted.

    Attributes:
        text: the user's words, at most 32 KiB of UTF-8.
        format: name of an answer format (`qa.formats.FORMATS`).
        choices: the allowed answers of format "choice".
        json_schema: JSON text of format "json".
    """

    text: str
    format: str = "text"
    choices: tuple[str, ...] = ()
    json_schema: str = ""


@dataclass(frozen=True)
class Evidence:
    """One frame that an answer rests on, without its pixels.

    ``age_s`` runs from capture to the moment the view set was frozen, in the source's own time.
    ``T_answer_camera`` is (4, 4) row-major, optical frame to the answer's frame_id, or None.
    """

    camera: str
    stamp_ns: int
    frame_id: str
    topic: str
    encoding: str
    height: int
    width: int
    sha256: str
    depth_sha256: str
    age_s: float
    T_answer_camera: tuple[tuple[float, ...], ...] | None


@dataclass(frozen=True)
class SceneAnswer:
    """The answer to one question, with all that it rests on.

    Attributes:
        question: as asked.
        text: what the model said, scratchpad removed.
        scratchpad: the model's working, "" if none.
        marks: the marks that the text names, with their places.
        scene: all marks of the scene.
        relations: measured relations, and those read from the text (source "model").
        verdict: "yes", "no", "unsure" or "" (only for yes/no questions).
        choice: index into the question's choices, -1 if none.
        confidence: 0..1 of a scored answer (yes/no, choice, marks), NaN where nothing was scored.
        scores: option -> probability of a scored answer, the options of its form summing to 1.
        json: the validated JSON text of format "json", "" otherwise.
        fields: what the question's format has of its own beside these, by name.
        evidence: the frames, in the order the model saw them.
        frame_id: coordinate frame of all positions.
        compression: 1, 4 or 16; ``visual_tokens``, ``prompt_tokens``, ``generated_tokens`` counts.
        stop_reason: "eos", "max_new_tokens", "deadline", "cancelled" or "error".
        token_ids: the generated token ids, with which a repeat names the first one that differs.
        timings_s: stage -> seconds on the steady clock.
        counters: what the engine has computed and kept since it was made, and tokens per second.
        provenance: model, revision, dtype, device, prompt and token hashes, software version.
        budget: the decision table's row that was used.
        choice_of_views: how the views were chosen, and the spread of their stamps.
        left_out: reason -> how many objects of the scene got no mark.
        left_out_by_view: the same per view of ``evidence``, for objects without a number in it.
        warnings: a degraded path always has one.
    """

    question: Question
    text: str
    scratchpad: str = ""
    marks: tuple[Mark, ...] = ()
    scene: tuple[Mark, ...] = ()
    relations: tuple[Relation, ...] = ()
    verdict: str = ""
    choice: int = -1
    confidence: float = float("nan")
    scores: dict[str, float] = field(default_factory=dict)
    json: str = ""
    fields: dict[str, float | int | str] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    frame_id: str = ""
    compression: int = 1
    visual_tokens: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    stop_reason: str = "eos"
    token_ids: tuple[int, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    counters: dict[str, int | float] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    budget: dict[str, int | float | str] = field(default_factory=dict)
    choice_of_views: dict[str, int | float | str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    left_out_by_view: tuple[dict[str, int], ...] = ()
    warnings: tuple[Warning, ...] = ()
