"""The newest evidence for a question: waits for it, judges it, decodes it. No rclpy here.

A snapshot of the feeds is a source of frames like a bag, so that the same code chooses and decodes
frames live and offline. Runs on the engine thread; waiting is on the steady clock, ages are ROS
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from oryx_scene.bags.assemble import FrameAssembler, choose_fixed_frame
from oryx_scene.bags.bag_depth import DEPTH_SLOP_S
from oryx_scene.bags.bag_index import BagIndex, ImageTopic
from oryx_scene.bags.source import FrameStub
from oryx_scene.capture.freshness import FUTURE_LIMIT_S, require_fresh
from oryx_scene.config import PipelineConfig
from oryx_scene.errors import ImageDecodeError, NoFramesError, StaleFramesError, TransformError
from oryx_scene.frames import FloatArray, Frame
from oryx_scene.geometry.rig import Rig
from oryx_scene.offline import ChosenFrames, candidates_at, frames_at
from oryx_scene_ros.codes import Code, NodeError
from oryx_scene_ros.feed import CameraFeed, Feeds, Kept

# A waiting question looks at least this often whether it is still wanted.
LOOK_S = 0.05
# Newest frames that may turn out broken one after the other before a question gives up.
DECODE_TRIES = 3


@dataclass(frozen=True)
class Wanted:
    """What a question asks of its frames.

    Attributes:
        cameras: names; never empty.
        max_age_s: of the newest frame of each camera.
        not_before_ns: only frames captured at or after it; 0 = any.
        frame_wait_s, tf_timeout_s: how long to wait for frames and for their transforms.
        refuse_unsynchronised: SYNC_FAILED instead of a warning.
    """

    cameras: tuple[str, ...]
    max_age_s: float
    not_before_ns: int = 0
    frame_wait_s: float = 2.0
    tf_timeout_s: float = 0.2
    refuse_unsynchronised: bool = False


@dataclass(frozen=True)
class Gathered:
    """The frames of one question.

    Attributes:
        chosen: decoded frames with warnings.
        now_ns: ROS time to which ages refer.
    """

    chosen: ChosenFrames
    now_ns: int


class Snapshot:
    """The messages of one moment as a source of frames (``bags.source.FrameSource``)."""

    def __init__(
        self, feeds: Feeds, wanted: Wanted, fixed_frame: str, rig: Rig | None, until_ns: int
    ) -> None:
        index = BagIndex(transforms=feeds.transforms)
        self._kept: dict[str, list[Kept]] = {}
        self.topics = {}
        with feeds.changed:
            for name in wanted.cameras:
                feed = feeds.cameras[name]
                pictures = [
                    item
                    for item in feed.images.kept
                    if wanted.not_before_ns <= item.stamp_ns <= until_ns
                ]
                if not pictures:
                    continue
                self.topics[name] = feed.topics
                self._take(index, feed, pictures)
        self.cameras = tuple(sorted(self.topics))
        self._feeds = feeds
        self._assembler = FrameAssembler(index, self.topics, rig, self._message)
        frame_ids = {name: self._assembler.frame_id_of(name) for name in self.topics}
        chosen, said = choose_fixed_frame(fixed_frame, frame_ids, feeds.transforms, "the node")
        self._assembler.fixed_frame = chosen
        self.fixed_frame = chosen
        self.frame_ids = frame_ids
        self.warnings = (said,) if said else ()
        self.synthetic = False

    def _take(self, index: BagIndex, feed: CameraFeed, pictures: list[Kept]) -> None:
        topics = feed.topics
        rings = [(topics.image, feed.images, pictures)]
        if topics.depth and feed.depths.kept:
            rings.append((topics.depth, feed.depths, list(feed.depths.kept)))
        elif topics.depth:
            # Named, but nothing has come yet: no depth, and no complaint from the pairing.
            self.topics[topics.name] = replace(topics, depth="", depth_info="")
        for topic, ring, kept in rings:
            entries = [(item.stamp_ns, item.stamp_ns) for item in kept]
            index.images[topic] = ImageTopic(
                topic, "", encoding=ring.encoding, frame_id=ring.frame_id, entries=entries
            )
            self._kept[topic] = kept
        for topic, infos in feed.infos.items():
            index.infos[topic] = list(infos)

    def _message(self, topic: str, serial: int, camera: str) -> object:
        return self._kept[topic][serial].message

    def stubs(self) -> Sequence[FrameStub]:
        """All frames in the order of their stamps."""
        found = [
            FrameStub(name, item.stamp_ns, item.stamp_ns, topics.image, serial)
            for name, topics in self.topics.items()
            for serial, item in enumerate(self._kept[topics.image])
        ]
        return sorted(found, key=lambda stub: (stub.stamp_ns, stub.camera))

    def load(self, stub: FrameStub) -> Frame:
        """Decode one frame; a broken one is counted and forgotten.

        Raises:
            ImageDecodeError: its payload is broken in a way that only decoding finds.
        """
        try:
            return self._assembler.load(stub)
        except ImageDecodeError as err:
            self._feeds.discard(stub.camera, stub.stamp_ns, err.message)
            raise

    def has_depth(self, stub: FrameStub) -> bool:
        """Whether depth of the same moment has arrived; nothing is decoded."""
        kept = self._kept.get(self.topics[stub.camera].depth, [])
        slop_ns = round(DEPTH_SLOP_S * 1e9)
        return any(abs(item.stamp_ns - stub.stamp_ns) <= slop_ns for item in kept)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where TF does not know."""
        return self._assembler.pose(stub)

    def frames(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Frame]:
        """Decode all frames of a span, one after the other."""
        for stub in self.stubs():
            if (start_ns or 0) <= stub.stamp_ns <= (end_ns or stub.stamp_ns):
                yield self.load(stub)


def gather(
    feeds: Feeds,
    wanted: Wanted,
    config: PipelineConfig,
    rig: Rig | None,
    *,
    now: Callable[[], int],
    stopped: Callable[[], bool],
) -> Gathered:
    """Wait for fresh frames of all required cameras and for their transforms, and decode them.

    Args:
        feeds: what arrived.
        wanted: what the question asks for.
        config: how views are chosen; ``views.max_age_s`` is replaced by the question's.
        rig: calibration that wins over the topics'.
        now: ROS time in nanoseconds.
        stopped: polled while waiting; True ends the waiting at once.

    Raises:
        NoFramesError, StaleFramesError: no frame as asked for within the wait.
        NodeError: BAD_IMAGE where only broken pictures came, SYNC_FAILED.
    """
    config = replace(config, views=replace(config.views, max_age_s=wanted.max_age_s))
    _wait(feeds, wanted.frame_wait_s, stopped, lambda: _problem(feeds, wanted, now()) is None)
    problem = _problem(feeds, wanted, now())
    if problem is not None:
        raise problem
    for _ in range(DECODE_TRIES - 1):
        try:
            return _freeze(feeds, wanted, config, rig, now, stopped)
        except NodeError as err:
            # What could not be decoded has been discarded: the frame before it may do.
            if err.code is not Code.BAD_IMAGE or _problem(feeds, wanted, now()) is not None:
                raise
    return _freeze(feeds, wanted, config, rig, now, stopped)


def _wait(
    feeds: Feeds, timeout_s: float, stopped: Callable[[], bool], ready: Callable[[], bool]
) -> None:
    until = time.monotonic() + timeout_s
    with feeds.changed:
        while not ready() and not stopped():
            left = until - time.monotonic()
            if left <= 0:
                return
            feeds.changed.wait(min(left, LOOK_S))


def _problem(
    feeds: Feeds, wanted: Wanted, now_ns: int
) -> NoFramesError | StaleFramesError | NodeError | None:
    """Why a question cannot be answered now; None if it can. Optional cameras are no reason."""
    asked = [feeds.cameras[name] for name in wanted.cameras]
    required = [feed for feed in asked if feed.settings.required]
    for feed in required:
        problem = _problem_of(feed, wanted, now_ns)
        if problem is not None:
            return problem
    if not required:
        problems = [_problem_of(feed, wanted, now_ns) for feed in asked]
        if all(problems):
            return problems[0]
    return None


def _problem_of(
    feed: CameraFeed, wanted: Wanted, now_ns: int
) -> NoFramesError | StaleFramesError | NodeError | None:
    name, newest = feed.settings.name, feed.newest_ns
    if newest is None and feed.bad["picture"]:
        return NodeError(
            Code.BAD_IMAGE,
            f"all {feed.bad['picture']} pictures of camera '{name}' were unusable; the last said: "
            f"{feed.last_problem}",
            hint="repair the driver's messages",
        )
    if newest is None:
        return NoFramesError(
            f"nothing has arrived from camera '{name}' on {feed.topics.image}.",
            hint="is its driver running? /diagnostics names publishers that do not fit",
        )
    if (newest - now_ns) / 1e9 > FUTURE_LIMIT_S:
        return NoFramesError(
            f"the frame of camera '{name}' is stamped {(newest - now_ns) / 1e9:.3f} s in the "
            "future.",
            hint="the clocks differ: synchronise them, or check use_sim_time",
        )
    if wanted.not_before_ns and newest < wanted.not_before_ns:
        age_s = (now_ns - newest) / 1e9
        return StaleFramesError(name, age_s, max(0.0, (now_ns - wanted.not_before_ns) / 1e9))
    age_s = (now_ns - newest) / 1e9
    return StaleFramesError(name, age_s, wanted.max_age_s) if age_s > wanted.max_age_s else None


def _freeze(
    feeds: Feeds,
    wanted: Wanted,
    config: PipelineConfig,
    rig: Rig | None,
    now: Callable[[], int],
    stopped: Callable[[], bool],
) -> Gathered:
    fresh, warnings = _fresh_cameras(feeds, wanted, now())
    # A camera whose clock runs a little ahead has frames from the near future: they count as now.
    newest = max(feeds.cameras[name].newest_ns or 0 for name in fresh)
    now_ns = max(now(), newest)
    wanted_now = replace(wanted, cameras=fresh)
    snapshot = Snapshot(feeds, wanted_now, config.fixed_frame, rig, now_ns)
    _, moment = candidates_at(snapshot, now_ns, config.views)
    if _wait_for_companions(feeds, moment.stamps, wanted.tf_timeout_s, stopped):
        snapshot = Snapshot(feeds, wanted_now, config.fixed_frame, rig, now_ns)
        _, moment = candidates_at(snapshot, now_ns, config.views)
    if wanted.refuse_unsynchronised and not moment.synchronous:
        raise NodeError(
            Code.SYNC_FAILED,
            " ".join(moment.warnings(config.views.slop_s)) + ".",
            hint="allow a larger views.slop_s, or trigger the cameras together",
        )
    _wait_for_transforms(feeds, snapshot, moment.stamps, wanted.tf_timeout_s, stopped)
    try:
        chosen = frames_at(snapshot, now_ns, config.views)
    except NoFramesError as err:
        # There were candidates, so it was decoding that left none.
        raise NodeError(Code.BAD_IMAGE, err.message, hint=err.hint) from err
    _require_fresh_again(chosen.frames, feeds, wanted, now_ns)
    said = (*warnings, *snapshot.warnings, *chosen.warnings)
    return Gathered(chosen._replace(warnings=said), now_ns)


def _fresh_cameras(
    feeds: Feeds, wanted: Wanted, now_ns: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The cameras that can be used, and what must be said of the others."""
    fresh, warnings = [], []
    for name in wanted.cameras:
        problem = _problem_of(feeds.cameras[name], wanted, now_ns)
        if problem is None:
            fresh.append(name)
        else:
            warnings.append(f"without camera '{name}': {problem.message}")
    if not fresh:
        raise NoFramesError("no camera has a fresh frame.", hint="see /diagnostics")
    return tuple(fresh), tuple(warnings)


def _wait_for_companions(
    feeds: Feeds, stamps: dict[str, int], timeout_s: float, stopped: Callable[[], bool]
) -> bool:
    """Wait until the newest pictures have their depth and calibration, or time is up.

    Drivers publish what belongs to one moment one after the other; a question that met the picture
    alone would be answered without 3D. Streams that have stopped are not waited for. Whether
    anything was missing at first.
    """

    def complete() -> bool:
        return not any(feeds.cameras[name].lacks(stamp) for name, stamp in stamps.items())

    with feeds.changed:
        missing = not complete()
    if missing:
        _wait(feeds, timeout_s, stopped, complete)
    return missing


def _wait_for_transforms(
    feeds: Feeds,
    snapshot: Snapshot,
    stamps: dict[str, int],
    timeout_s: float,
    stopped: Callable[[], bool],
) -> None:
    """Wait until the pose of every newest frame is known, or time is up.

    Transforms are published after the pictures that they belong to. Coordinate frames that TF has
    never named are not waited for. What stays unknown costs the 3D places and is said by the frame.
    """
    heard_of = feeds.transforms.known_frames()
    poses = {
        (snapshot.frame_ids[name], stamp)
        for name, stamp in stamps.items()
        if snapshot.frame_ids[name] in heard_of
    }

    def known() -> bool:
        try:
            for frame_id, stamp in poses:
                feeds.transforms.lookup(snapshot.fixed_frame, frame_id, stamp)
        except TransformError:
            return False
        return True

    if snapshot.fixed_frame:
        _wait(feeds, timeout_s, stopped, known)


def _require_fresh_again(
    frames: Sequence[Frame], feeds: Feeds, wanted: Wanted, now_ns: int
) -> None:
    """The frames that could be decoded must be fresh, too: a broken newest one is no evidence."""
    newest: dict[str, Frame] = {}
    for frame in frames:
        if frame.camera not in newest or frame.stamp_ns > newest[frame.camera].stamp_ns:
            newest[frame.camera] = frame
    required = [f for name, f in newest.items() if feeds.cameras[name].settings.required]
    missing = [
        name
        for name in wanted.cameras
        if name not in newest and feeds.cameras[name].settings.required
    ]
    if missing:
        raise NodeError(
            Code.BAD_IMAGE,
            f"no picture of camera '{missing[0]}' could be decoded; the last said: "
            f"{feeds.cameras[missing[0]].last_problem}",
            hint="repair the driver's messages",
        )
    require_fresh(required or newest.values(), now_ns, wanted.max_age_s, wanted.not_before_ns)
