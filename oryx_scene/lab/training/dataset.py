"""A pool of training scenes on disk: rendered once by any number of processes, read by training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from oryx_scene.lab.training.samples import draw_spec, make_sample, save_sample
from oryx_scene.lab.training.worker_pool import open_workers


def sample_path(folder: Path, seed: int) -> Path:
    """Where the scene of ``seed`` is kept."""
    return folder / f"{seed:07d}.npz"


def fill_pool(
    folder: Path,
    seeds: range,
    split: str = "train",
    progress: Callable[[int], None] | None = None,
    workers: int = 0,
) -> Iterator[Path]:
    """Render the scenes of ``seeds`` that are not there yet; yields each file as it is written.

    Raises:
        TrainingError: one of the ``workers`` died; with 0 this process renders.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if workers:
        missing = [seed for seed in seeds if not sample_path(folder, seed).exists()]
        with open_workers(workers) as pool:
            for found in pool.map(_fill_one, [(folder, seed, split) for seed in missing]):
                yield from found
        return
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


def _fill_one(wanted: tuple[Path, int, str]) -> list[Path]:
    folder, seed, split = wanted
    return list(fill_pool(folder, range(seed, seed + 1), split))


def pool_files(folder: Path) -> list[Path]:
    """The scenes that are there, by seed."""
    return sorted(folder.glob("*.npz"))
