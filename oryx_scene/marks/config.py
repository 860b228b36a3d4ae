"""Settings of the mark finder; lengths in metres, areas as shares of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from oryx_scene.config import MarkingConfig
from oryx_scene.errors import ConfigError
from oryx_scene.marks.label_placement import Lattice
from oryx_scene.marks.places import POSE_NOISE, PoseNoise


@dataclass(frozen=True)
class MarksConfig:
    """How objects are found and which get a number.

    Attributes:
        max_marks: K (Coarse Correspondences, arXiv 2408.00754: too many marks hide the picture).
        max_range_m: depth beyond this is too noisy to tell objects apart.
        min_size_m, max_size_m: smallest and largest extent of an object.
        min_area_share: smallest visible share of a picture.
        disc_radii: radius of the drawn disc per view, RECEIVED pixels; () takes 2.5 % of the width.
        lattices: middles of the model's patches per view, RECEIVED pixels; numbers are put there
            where the object allows. () puts them anywhere.
        most_hidden: a disc that would hide more than this share of its object stands beside it.
        pose_noise: how wrong poses may be whose source does not say so itself.
    """

    max_marks: int = MarkingConfig.max_marks
    max_range_m: float = 6.0
    min_size_m: float = 0.03
    max_size_m: float = 2.0
    min_area_share: float = 0.0015
    disc_radii: tuple[float, ...] = ()
    lattices: tuple[Lattice, ...] = ()
    most_hidden: float = 0.5
    pose_noise: PoseNoise = POSE_NOISE

    def __post_init__(self) -> None:
        if self.max_marks < 1 or self.max_range_m <= 0:
            raise ConfigError("marks: max_marks and max_range_m must be positive.")
