"""Frozen scenes and sessions, bounded in number and time. No rclpy here.

Times are ROS time in nanoseconds and handed in. What a scene holds is never changed; forgetting it
only forgets the reference.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from oryx_scene.scene.freeze import Scene
from oryx_scene_ros.error_codes import Code, NodeError

MAX_SESSIONS = 64


@dataclass(eq=False)
class KeptScene:
    """A frozen scene and what the node knows of it.

    Attributes:
        scene: of the core.
        expires_ns: when it is forgotten.
        frames_s: steady seconds that waiting for its frames and decoding them took.
        prefilled: the model has computed it.
    """

    scene: Scene
    expires_ns: int
    frames_s: float = 0.0
    prefilled: bool = False


class SceneStore:
    """Scenes by id, sessions by name.

    ``most`` bounds the scenes that somebody froze; the scene of the last plain question is kept
    besides them, so that questions do not push out what was frozen on purpose.

    Args:
        most: bound on the frozen scenes.
        on_gone: called with each scene that was released, has expired or was pushed out, so that
            the model gives back what it keeps of it; not for a plain question's scene that the
            next one replaces, whose beginning the model may go on from.
    """

    def __init__(
        self, most: int = 4, on_gone: Callable[[KeptScene], None] = lambda kept: None
    ) -> None:
        self.most = most
        self._on_gone = on_gone
        self._lock = threading.Lock()
        self._frozen: OrderedDict[str, KeptScene] = OrderedDict()
        self._last: KeptScene | None = None
        self._sessions: OrderedDict[str, str] = OrderedDict()

    def put(self, kept: KeptScene, *, session_id: str = "") -> None:
        """Keep a scene that was frozen on purpose; the oldest ones go if there are too many."""
        with self._lock:
            scene_id = kept.scene.scene_id
            self._frozen[scene_id] = kept
            self._frozen.move_to_end(scene_id)
            gone = []
            while len(self._frozen) > self.most:
                gone.append(self._frozen.popitem(last=False)[1])
            if session_id:
                self._sessions[session_id] = scene_id
                self._sessions.move_to_end(session_id)
                while len(self._sessions) > MAX_SESSIONS:
                    self._sessions.popitem(last=False)
        self._tell(gone)

    def put_last(self, kept: KeptScene) -> None:
        """Keep the scene of a plain question until the next one."""
        with self._lock:
            self._last = kept

    def get(self, scene_id: str, now_ns: int) -> KeptScene:
        """A scene by id; "" is the newest.

        Raises:
            NodeError: SCENE_NOT_FOUND.
        """
        self.expire(now_ns)
        with self._lock:
            known = dict(self._frozen)
            if self._last is not None:
                known.setdefault(self._last.scene.scene_id, self._last)
        if scene_id in known:
            return known[scene_id]
        if not scene_id and known:
            return max(known.values(), key=lambda kept: kept.scene.frozen_ns)
        named = f"'{scene_id}'" if scene_id else "yet"
        raise NodeError(
            Code.SCENE_NOT_FOUND,
            f"there is no scene {named}.",
            hint=f"freeze one; kept are: {', '.join(known) or 'none'}",
        )

    def session_scene(self, session_id: str, now_ns: int) -> KeptScene | None:
        """The scene of a session, None where it has none (any more)."""
        self.expire(now_ns)
        with self._lock:
            return self._frozen.get(self._sessions.get(session_id, ""))

    def knows_session(self, session_id: str) -> bool:
        """Whether a session was begun, whatever became of its scene."""
        with self._lock:
            return session_id in self._sessions

    def release(self, scene_id: str, now_ns: int) -> None:
        """Forget a scene.

        Raises:
            NodeError: SCENE_NOT_FOUND.
        """
        found = self.get(scene_id, now_ns)
        with self._lock:
            self._frozen.pop(found.scene.scene_id, None)
            if self._last is not None and self._last.scene.scene_id == found.scene.scene_id:
                self._last = None
        self._tell([found])

    def reset_session(self, session_id: str) -> int:
        """Forget one session, or all for ""; how many were forgotten.

        Raises:
            NodeError: SESSION_NOT_FOUND.
        """
        with self._lock:
            if not session_id:
                count = len(self._sessions)
                self._sessions.clear()
                return count
            if self._sessions.pop(session_id, None) is None:
                raise NodeError(Code.SESSION_NOT_FOUND, f"there is no session '{session_id}'.")
            return 1

    def expire(self, now_ns: int) -> None:
        """Forget what has had its time, so that it does not wait in memory until somebody looks."""
        with self._lock:
            late = [key for key, kept in self._frozen.items() if kept.expires_ns <= now_ns]
            gone = [self._frozen.pop(key) for key in late]
            if self._last is not None and self._last.expires_ns <= now_ns:
                gone.append(self._last)
                self._last = None
        self._tell(gone)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            gone = [*self._frozen.values(), *([self._last] if self._last is not None else [])]
            self._frozen.clear()
            self._sessions.clear()
            self._last = None
        self._tell(gone)

    def _tell(self, gone: Iterable[KeptScene]) -> None:
        """Outside the lock: of scenes whose like is not kept any more."""
        with self._lock:
            last = [] if self._last is None else [self._last.scene.scene_id]
            kept = {*self._frozen, *last}
        for one in gone:
            if one.scene.scene_id not in kept:
                self._on_gone(one)
