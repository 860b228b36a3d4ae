"""Short recordings of one camera, and a Ray cluster of the tests' own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "replay")]


@pytest.fixture(scope="session")
def walls(tmp_path_factory):
    """Three recordings of 6, 4 and 2 seconds with the same stamps and other colours."""
    folder = tmp_path_factory.mktemp("walls")
    from batch_parrot import write_wall

    for name, seconds, shade in (("a", 6, 10), ("b", 4, 90), ("c", 2, 170)):
        write_wall(folder / name, seconds, shade)
    return folder


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray of this test run alone, with room for three workers on any machine."""
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    import ray

    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_USAGE_STATS_ENABLED")}
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        "local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 * 2**20,
    )
    yield ray
    ray.shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
