"""Tasks on a Ray cluster: a Ray Data pipeline whose actors each hold a ``worker.Worker``.

One task is one block of one row, so that Ray starts again only what was lost with an actor or a
node. How often a task was begun is counted in an actor beside the command, because a process that
dies cannot count; a task that ended three workers is set aside instead of a fourth.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from oryx_scene.batch.task import BatchSettings, Task, TaskResult, result_from_json, task_from_json
from oryx_scene.batch.worker import Attempts, Worker
from oryx_scene.errors import ConfigError, EngineError, MissingExtraError

_REACHED_WITHIN_S = 10.0


@dataclass(frozen=True)
class RayWorkers:
    """What the workers are given.

    Attributes:
        count: how many; 0 for as many as the cluster has room for now.
        cores: of each.
        gpus: of each; None takes one where the cluster has GPUs, else none.
    """

    count: int = 0
    cores: float = 1.0
    gpus: float | None = None


class RayEngine:
    """An ``run.Engine`` on Ray; use as a context manager.

    Args:
        settings: what is asked.
        make_worker: called in each actor with the settings.
        address: HOST:PORT of a cluster; "auto" takes the one that this machine belongs to, or
            starts one here as "local" does.
        workers: how many, of what size.

    Raises:
        MissingExtraError: Ray is not installed.
        EngineError: no cluster at the address.
    """

    def __init__(
        self,
        settings: BatchSettings,
        make_worker: Callable[[BatchSettings], Worker],
        address: str = "auto",
        workers: RayWorkers | None = None,
    ) -> None:
        self._settings = settings
        self._workers = workers or RayWorkers()
        self._make_worker = make_worker
        self._ray = _ray()
        self._started, self._url = _connect(self._ray, address)
        # Beside the command: it must live as long as the command, not as any worker.
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=False
        )
        self._attempts = (
            self._ray.remote(Attempts).options(num_cpus=0, scheduling_strategy=here).remote()
        )

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.kill(self._attempts)
        if self._started:
            self._ray.shutdown()

    @property
    def dashboard(self) -> str:
        """Where Ray's dashboard is, "" where it has none."""
        return f"http://{self._url}" if self._url else ""

    def describe(self) -> dict[str, Any]:
        """For the manifest."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        return {
            "kind": "ray",
            "ray": self._ray.__version__,
            "nodes": [node["NodeManagerAddress"] for node in nodes],
            "resources": {
                name: amount
                for name, amount in self._ray.cluster_resources().items()
                if name in ("CPU", "GPU")
            },
        }

    def plan(self, tasks: Iterable[Task]) -> Iterator[TaskResult]:
        """Read indexes, one recording per core; the model is not loaded for it."""
        given = {"settings": self._settings, "attempts": self._attempts, "make": self._make_worker}
        yield from self._run(list(tasks), _run_once, fn_kwargs=given, num_cpus=1)

    def answer(self, tasks: Iterable[Task]) -> Iterator[TaskResult]:
        """Answer chunks; each worker is an actor that holds the model."""
        chunks, cores, gpus = list(tasks), self._workers.cores, self._workers.gpus
        if gpus is None:
            gpus = 1.0 if self._ray.cluster_resources().get("GPU", 0) else 0.0
        count = min(self._workers.count or self._room(cores, gpus), len(chunks))
        yield from self._run(
            chunks,
            _Actor,
            fn_constructor_args=(self._settings, self._attempts, self._make_worker),
            compute=self._ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=2),
            num_cpus=cores,
            num_gpus=gpus or None,
        )

    def _room(self, cores: float, gpus: float) -> int:
        """How many workers fit, counted node by node."""
        room = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                fit = has.get("CPU", 0.0) // cores if cores else float("inf")
                room += int(min(fit, has.get("GPU", 0.0) // gpus) if gpus else fit)
        if not room:
            raise ConfigError(
                f"no node has room for a worker of {cores:g} cores and {gpus:g} GPUs.",
                hint="fewer --cores, or --workers N, for which an autoscaling cluster starts nodes",
            )
        return room

    def _run(self, tasks: list[Task], work: Any, **options: Any) -> Iterator[TaskResult]:
        rows = [{"task": task.to_json()} for task in tasks]
        data = self._ray.data.from_items(rows, override_num_blocks=len(rows))
        done = data.map_batches(work, batch_size=1, batch_format="pyarrow", **options)
        for table in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in table.to_pylist():
                scenes = dict(zip(row["scenes"], row["snapshots"], strict=True))
                yield result_from_json(row["result"], scenes)


class _Actor:
    """One worker of the pool."""

    def __init__(self, settings: BatchSettings, attempts: Any, make: Any) -> None:
        self._worker = make(settings)
        self._log = _RemoteAttempts(attempts)

    def __call__(self, table: Any) -> Any:
        (text,) = table["task"].to_pylist()
        import ray

        result = self._worker.run(task_from_json(text), self._log)
        result.where["node"] = ray.util.get_node_ip_address()
        return _as_table(result)


def _run_once(table: Any, settings: BatchSettings, attempts: Any, make: Any) -> Any:
    """The same for a task that needs no model, in whatever process is free."""
    return _Actor(settings, attempts, make)(table)


def _as_table(result: TaskResult) -> Any:
    import pyarrow as pa

    row = {
        "result": result.to_json(),
        "scenes": list(result.scenes),
        "snapshots": list(result.scenes.values()),
    }
    kinds = {"result": pa.string(), "scenes": pa.list_(pa.string())}
    kinds["snapshots"] = pa.list_(pa.large_binary())
    return pa.Table.from_pylist([row], schema=pa.schema(list(kinds.items())))


class _RemoteAttempts:
    """The log of attempts, in another process."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def begin(self, name: str, where: str) -> tuple[int, dict[str, str] | None]:
        """See ``worker.AttemptLog``."""
        import ray

        number, last = ray.get(self._actor.begin.remote(name, where))
        return int(number), last

    def fail(self, name: str, error: dict[str, str]) -> None:
        """See ``worker.AttemptLog``."""
        self._actor.fail.remote(name, error)

    def finish(self, name: str) -> None:
        """See ``worker.AttemptLog``."""
        self._actor.finish.remote(name)


def _ray() -> Any:
    # Ray tells its makers about every cluster that it starts unless this says not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
        import ray.util.scheduling_strategies
    except ImportError as err:
        raise MissingExtraError("ray", "ray", needed_for="--ray", cause=str(err)) from err
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _connect(ray: Any, address: str) -> tuple[bool, str]:
    """Join the cluster, or start one; whether this process joined now, and the dashboard's URL."""
    if ray.is_initialized():
        return False, ""
    given = None if address in ("auto", "local") else address
    try:
        if given is not None and "://" not in given:
            # Ray itself would try for minutes.
            host, _, port = given.rpartition(":")
            socket.create_connection((host, int(port)), _REACHED_WITHIN_S).close()
        context = ray.init(
            "local" if address == "local" else given,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as err:
        raise EngineError(
            f"no Ray cluster at '{address}' ({err}).",
            hint="`ray start --head` on one machine, then --ray ADDRESS:6379; or --ray auto",
        ) from err
    return True, str(context.dashboard_url or "")
