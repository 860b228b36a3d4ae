"""A pool of training scenes on disk: rendered once by any number of processes, read by training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from oryx_scene.training.samples import draw_spec, make_sample, save_sample


def sample_path(folder: Path, seed: int) -> Path:
    """Where the scene of ``seed`` is kept."""
    return folder / f"{seed:07d}.npz"


def fill_pool(
    folder: Path,
    seeds: range,
    split: str = "train",
    progress: Callable[[int], None] | None = None,
) -> Iterator[Path]:
    """Render the scenes of ``seeds`` that are not there yet; yields each file as it is written."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        path = sample_path(folder, seed)
        if path.exists():
            continue
        sample = make_sample(draw_spec(seed, split))
        if sample is None:
            continue
        save_sample(sample, path)
        if progress is not None:
            progress(seed)
        yield path


def pool_files(folder: Path) -> list[Path]:
    """The scenes that are there, by seed."""
    return sorted(folder.glob("*.npz"))
