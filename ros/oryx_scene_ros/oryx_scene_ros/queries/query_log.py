"""The last questions with all that they rested on, for ~/dump_query. No rclpy here."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from oryx_scene.model.api import Limits
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import SceneAnswer
from oryx_scene.scene.freeze import Scene
from oryx_scene_ros.error_codes import Code, NodeError


@dataclass(frozen=True, eq=False)
class QueryRecord:
    """One answered question.

    Attributes:
        query_id: 32 hex digits.
        pipeline: as it was asked with.
        scene: that it was asked about.
        answer: of the core.
        limits: as generated with, without deadline and cancellation.
        model_name: the parameter model.name.
    """

    query_id: str
    pipeline: ScenePipeline
    scene: Scene
    answer: SceneAnswer
    limits: Limits
    model_name: str


class QueryLog:
    """The last records, oldest out first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: OrderedDict[str, QueryRecord] = OrderedDict()

    def add(self, record: QueryRecord, most: int) -> None:
        """Keep a record; at most ``most`` in all."""
        with self._lock:
            self._records[record.query_id] = record
            while len(self._records) > most:
                self._records.popitem(last=False)

    def get(self, query_id: str) -> QueryRecord:
        """A record by id; "" or zeros is the newest.

        Raises:
            NodeError: QUERY_NOT_FOUND.
        """
        with self._lock:
            if not query_id.strip("0") and self._records:
                return next(reversed(self._records.values()))
            if query_id in self._records:
                return self._records[query_id]
        raise NodeError(
            Code.QUERY_NOT_FOUND,
            f"the query {query_id or '(newest)'} is not among the last ones.",
            hint="the parameter dump.keep says how many are kept",
        )

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._records.clear()
