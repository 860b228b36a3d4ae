"""Messages that belong together become one Frame: pixels, depth, calibration and pose.

Works on an index of messages, wherever they are kept (a bag's file, a live node's memory), so that
both give bit-identical frames. What is not known is left out with a warning, never assumed.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from oryx_scene.errors import CalibrationError, OryxSceneError, TransformError
from oryx_scene.geometry.rig import Rig
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.transforms import invert
from oryx_scene.geometry.turning import T_camera_turned, turned
from oryx_scene.records import FloatArray, Frame, Intrinsics
from oryx_scene.sources.bags.camera_info import (
    FIRST_UNSEEN,
    CameraModel,
    Named,
    Placed,
    camera_model,
    place_cameras,
)
from oryx_scene.sources.bags.depth import BagDepth, Lookups, ReadMessage
from oryx_scene.sources.bags.index import BagIndex
from oryx_scene.sources.bags.messages import (
    colour_order_doubt,
    decode_image_message,
    grey_range_doubt,
    payload_sha256,
    same_picture,
)
from oryx_scene.sources.bags.pairing import CameraTopics, rig_camera
from oryx_scene.sources.bags.pose_topics import use_pose_tracks
from oryx_scene.sources.bags.topics import is_rectified, words_of
from oryx_scene.sources.base import FrameStub
from oryx_scene.warning import Warning

# Where the asked fixed frame does not exist these are taken, said in a warning.
OTHER_FIXED_FRAMES = ("map", "odom", "world")
# Stamps of pictures, recorder and TF further apart than this are of two clocks.
CLOCK_LIMIT_S = 1.0


class FrameAssembler:
    """Turns indexed messages into frames.

    Args:
        index: stamps per topic, calibrations and transforms.
        topics: our name of a camera -> its topics.
        rig: calibration that wins over the messages'.

    What reads a message, (topic, serial, camera) -> message, is handed over with each call and not
    kept: who owns the messages owns this, too, and a second reference back would leave both to the
    cyclic collector.

    Attributes:
        fixed_frame: coordinate frame of poses, "" for none; see :meth:`settle`.
    """

    def __init__(
        self,
        index: BagIndex,
        topics: Mapping[str, CameraTopics],
        rig: Rig | None,
    ) -> None:
        self._index = index
        self._topics = topics
        self._rig = rig
        self._models: dict[tuple[str, int, str], CameraModel] = {}
        self._depth = BagDepth(index, rig)
        self._trees: dict[str, TransformBuffer] = {}
        self._placed: dict[str, Placed] = {}
        self._no_pose: dict[str, Warning] = {}
        self.fixed_frame = ""

    # -- what holds for the whole recording ----------------------------------------------------

    def settle(self, wanted: str, source: str, read: ReadMessage) -> list[Warning]:
        """Decide where each camera stands in which frame; before the first :meth:`load`.

        Args:
            wanted: the fixed frame that was asked for.
            source: "the bag", for sentences.
            read: raises ImageDecodeError where a message is damaged.

        Returns:
            what must be said about it.
        """
        said: list[Warning] = []
        for camera, topics in self._topics.items():
            self._trees[camera], against = self._index.tf.seen_from(topics.image)
            if against:
                text = f"the TF trees of {', '.join(against)} contradict each other: no 3D places"
                self._no_pose[camera] = Warning("tf_contradicts", text)
            add_rig_transforms(self._rig, {camera: self.frame_id_of(camera)}, self._trees[camera])
        frame_ids = {camera: self.frame_id_of(camera) for camera in self._topics}
        said += use_pose_tracks(self._index.poses.values(), frame_ids, self._trees, wanted)
        self.fixed_frame, about = choose_fixed_frame(wanted, frame_ids, self._trees, source)
        said += [about] if about is not None else []
        said += self._disputes() + self._namespaces() + self._clocks() + self._not_optical()
        self._placed = self._place(read)
        return said

    def frame_id_of(self, camera: str) -> str:
        """Optical frame of a camera: the rig's word, else the recorded one.

        A camera that the rig mounts, but whose recorded frame another one has too, gets its own.
        """
        stated, recorded = rig_camera(self._rig, camera), self._recorded_frame_id(camera)
        if stated.frame_id:
            return stated.frame_id
        others = (self._recorded_frame_id(name) for name in self._topics if name != camera)
        if stated.T_base_camera is not None and (not recorded or recorded in others):
            return f"{camera}_optical_frame"
        return recorded

    def _recorded_frame_id(self, camera: str) -> str:
        topics = self._topics[camera]
        named = self._index.images[topics.image].frame_id
        infos = self._index.infos.get(topics.info, [])
        return named or (str(infos[0][1].header.frame_id).lstrip("/") if infos else "")

    def _place(self, read: ReadMessage) -> dict[str, Placed]:
        """How every camera stands in its frame_id; a rig's own statements need no telling."""
        named = {}
        for camera, topics in self._topics.items():
            stated = rig_camera(self._rig, camera)
            if not stated.frame_id and stated.T_base_camera is None:
                model = self._first_model(topics.info, camera)
                tree = id(self._trees[camera])
                named[camera] = Named(topics.image, self.frame_id_of(camera), model, tree)
        return place_cameras(named, lambda a, b: self._shows_the_same(a, b, read))

    def _first_model(self, info: str, camera: str) -> CameraModel | None:
        infos = self._index.infos.get(info)
        image = self._topics[camera].image
        try:
            return camera_model(infos[0][1], camera, image) if infos else None
        except CalibrationError:
            return None

    def _shows_the_same(self, a: str, b: str, read: ReadMessage) -> bool:
        """Whether two cameras' pictures of about one moment are one picture, processed."""
        topics = [self._topics[name].image for name in (a, b)]
        first, other = (self._index.images[topic].entries for topic in topics)
        if not first or not other:
            return False
        nearest = min(range(len(other)), key=lambda index: abs(other[index][0] - first[0][0]))
        try:
            pictures = [
                decode_image_message(name, read(topic, serial, name))
                for name, topic, serial in ((a, topics[0], 0), (b, topics[1], nearest))
            ]
        except OryxSceneError:
            return False
        return same_picture(*pictures)

    def _disputes(self) -> list[Warning]:
        """Frames between a camera and the root that several publishers give different parents."""
        found = {}
        for camera, tree in self._trees.items():
            for child, parents in tree.disputed().items():
                if tree.connected(child, self.frame_id_of(camera)):
                    found[child] = parents
        return [
            Warning(
                "tf_two_parents",
                f"'{child}' has several parents in TF: {', '.join(map(repr, parents))}",
            )
            for child, parents in sorted(found.items())
        ]

    def _not_optical(self) -> list[Warning]:
        """Cameras whose pictures carry the frame of the housing, above its optical frame."""
        said = []
        for camera, topics in sorted(self._topics.items()):
            tree, frame_id = self._trees[camera], self.frame_id_of(camera)
            if "optical" in words_of(frame_id):
                continue
            for name in sorted(tree.known_frames()):
                if "optical" in words_of(name) and tree.parent_of(name) == frame_id:
                    text = f"its frame_id is '{frame_id}', and TF has '{name}' below that"
                    said.append(
                        Warning("frame_not_optical", text, camera=camera, topic=topics.image)
                    )
        return said

    def _namespaces(self) -> list[Warning]:
        if len({id(tree) for tree in self._trees.values()}) < 2:
            return []
        text = (
            "there are several TF topics: each camera is looked up in the tree of its own "
            f"namespace, and '{self.fixed_frame}' is taken for one frame in all of them"
        )
        return [Warning("tf_namespaces", text)]

    def _clocks(self) -> list[Warning]:
        """Stamps of pictures that fit neither the recorder's clock nor that of TF."""
        said = []
        for camera, topics in sorted(self._topics.items()):
            entries = self._index.images[topics.image].entries
            if not entries:
                continue
            stamps = [stamp_ns for stamp_ns, _ in entries]
            late_s = float(np.median([log_ns - stamp_ns for stamp_ns, log_ns in entries])) / 1e9
            if abs(late_s) > CLOCK_LIMIT_S:
                text = f"its stamps lie {abs(late_s):.3f} s {'before' if late_s > 0 else 'after'} "
                text += "the recorder's clock: two clocks, or a recording that was played again"
                said.append(Warning("clock_offset", text, camera=camera, topic=topics.image))
            apart = self._off_tf(camera, min(stamps), max(stamps))
            if apart:
                self._no_pose[camera] = Warning("two_clocks", f"{apart}. No 3D places")
                said.append(Warning("two_clocks", apart, camera=camera, topic=topics.image))
        return said

    def _off_tf(self, camera: str, first_ns: int, last_ns: int) -> str:
        """In words how far TF lies from all pictures of a camera whose pose it should know."""
        tree, frame_id = self._trees[camera], self.frame_id_of(camera)
        span = tree.span()
        if not self.fixed_frame or span is None or not tree.connected(self.fixed_frame, frame_id):
            return ""
        try:
            tree.lookup(self.fixed_frame, frame_id, first_ns)
            return ""
        except TransformError:
            gaps = (span[0] - last_ns) / 1e9, (first_ns - span[1]) / 1e9
        if max(gaps) <= CLOCK_LIMIT_S:
            return ""
        where = "after the last picture" if gaps[0] > gaps[1] else "before the first picture"
        return (
            f"all transforms lie {max(gaps):.3f} s or more {where}: their clock is another one, or "
            "TF was not recorded at that time"
        )

    # -- one frame -----------------------------------------------------------------------------

    def load(self, stub: FrameStub, read: ReadMessage) -> Frame:
        """Decode one frame with its depth, calibration and pose.

        Raises:
            ImageDecodeError: its payload is broken or cannot be found again.
        """
        topics = self._topics[stub.camera]
        warnings: list[Warning] = []
        message = read(stub.topic, stub.serial, stub.camera)
        rgb = decode_image_message(
            stub.camera, message, rig_camera(self._rig, stub.camera).grey_range
        )
        warnings += colour_order_doubt(stub.camera, message)
        warnings += grey_range_doubt(stub.camera, message, rgb)
        intrinsics = self._intrinsics(stub, topics, rgb.shape[:2], warnings)
        lookups = Lookups(read, self._model_at, self._color_from_depth)
        depth, depth_hash = self._depth.at(
            stub, topics, intrinsics, rgb.shape[:2], warnings, lookups
        )
        frame_id = self._frame_id_now(stub.camera, message)
        pose = self._pose(stub, warnings, frame_id)
        found = Frame(
            camera=stub.camera,
            stamp_ns=stub.stamp_ns,
            frame_id=frame_id,
            rgb=rgb,
            sha256=payload_sha256(message),
            topic=stub.topic,
            encoding=str(getattr(message, "encoding", "") or getattr(message, "format", "")),
            depth=depth,
            depth_sha256=depth_hash,
            intrinsics=intrinsics,
            T_fixed_camera=pose,
            fixed_frame=self.fixed_frame if pose is not None else "",
            warnings=tuple(warnings),
        )
        return turned(found, rig_camera(self._rig, stub.camera).rotate_deg)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) of one frame without decoding it; None where TF does not know."""
        T = self._pose(stub, [], self.frame_id_of(stub.camera))
        turn = T_camera_turned(rig_camera(self._rig, stub.camera).rotate_deg)
        return None if T is None else T @ turn

    def _frame_id_now(self, camera: str, message: Any) -> str:
        """Optical frame of one picture: a topic may carry several cameras in turn."""
        recorded, named = self._recorded_frame_id(camera), str(message.header.frame_id).lstrip("/")
        same = self.frame_id_of(camera)
        return named if named and same == recorded else same

    def _intrinsics(
        self, stub: FrameStub, topics: CameraTopics, size: tuple[int, ...], warnings: list[Warning]
    ) -> Intrinsics | None:
        stated = rig_camera(self._rig, stub.camera)
        found = stated.intrinsics
        if stated.rectified is not None and is_rectified(topics.image):
            found = stated.rectified
        if found is None:
            model = self._model_at(topics.info, topics.image, stub, warnings)
            found = None if model is None else model.intrinsics
        if found is None:
            if not self._index.infos.get(topics.info):
                warnings.append(
                    Warning(
                        "no_camera_info", "there is no CameraInfo: no 3D places", topic=topics.info
                    )
                )
            return None
        if (found.height, found.width) != size:
            text = (
                f"calibration is for {found.width}x{found.height}, the picture is "
                f"{size[1]}x{size[0]}: calibration left out"
            )
            warnings.append(Warning("calibration_of_other_size", text))
            return None
        return found

    def _model_at(
        self, info: str, image: str, stub: FrameStub, warnings: list[Warning]
    ) -> CameraModel | None:
        """The calibration of topic ``info`` at a moment, read for the picture topic ``image``."""
        infos = self._index.infos.get(info, [])
        if not infos:
            return None
        stamps = [stamp_ns for stamp_ns, _ in infos]
        place = max(0, bisect.bisect_right(stamps, stub.stamp_ns) - 1)
        key = (info, place, image)
        try:
            if key not in self._models:
                self._models[key] = camera_model(infos[place][1], stub.camera, image)
            return self._models[key]
        except CalibrationError as err:
            text = f"{err.message} Calibration left out: no 3D places"
            warnings.append(Warning("calibration_unusable", text, topic=info, advice=err.hint))
            return None

    def _pose(self, stub: FrameStub, warnings: list[Warning], frame_id: str) -> FloatArray | None:
        camera = stub.camera
        if camera in self._no_pose:
            warnings.append(self._no_pose[camera])
            return None
        if not self.fixed_frame:
            return None
        T_frame_camera = self._in_frame(stub, warnings)
        if T_frame_camera is None:
            return None
        try:
            T = self._trees[camera].lookup(self.fixed_frame, frame_id, stub.stamp_ns)
        except TransformError as err:
            warnings.append(Warning("no_pose", f"{err.message} No 3D places", advice=err.hint))
            return None
        return T @ T_frame_camera

    def _in_frame(self, stub: FrameStub, warnings: list[Warning]) -> FloatArray | None:
        """T_frame_camera (4, 4): takes points of the picture's camera to its frame_id."""
        placed = self._placed.get(stub.camera)
        if placed is None:
            return np.eye(4)
        if placed.unknown:
            warnings.append(Warning("frame_id_shared", f"{placed.unknown}: no 3D places"))
            return None
        topics = self._topics[stub.camera]
        model = self._model_at(topics.info, topics.image, stub, [])
        if model is None:
            return np.eye(4)
        if not placed.first:
            return model.own_place()
        if placed.first == FIRST_UNSEEN:
            return model.shared_place(None)
        first = self._topics[placed.first]
        return model.shared_place(self._model_at(first.info, first.image, stub, []))

    def _color_from_depth(self, stub: FrameStub, lies_over: bool) -> FloatArray | None:
        """T_color_depth (4, 4) by frame ids and TF; None if unknown.

        Args:
            stub: of the colour picture.
            lies_over: the depth is known to be in the colour camera's optical frame.
        """
        topics = self._topics[stub.camera]
        model = self._model_at(topics.depth_info, topics.depth, stub, [])
        depth = np.eye(4) if model is None else model.own_place()
        if lies_over:
            # Of one camera, though one of the two pictures may be rectified and the other not.
            own = self._model_at(topics.info, topics.image, stub, [])
            return depth if own is None else invert(own.own_place()) @ depth
        color = self._in_frame(stub, [])
        if color is None:
            return None
        color_id = self.frame_id_of(stub.camera)
        depth_id = self._index.images[topics.depth].frame_id
        if depth_id and depth_id == self._recorded_frame_id(stub.camera):
            T = np.eye(4)
        else:
            try:
                T = self._trees[stub.camera].lookup(color_id, depth_id, stub.stamp_ns)
            except TransformError:
                return None
        return invert(color) @ T @ depth


def add_rig_transforms(
    rig: Rig | None, frame_ids: Mapping[str, str], transforms: TransformBuffer
) -> None:
    """Put the mounting of a rig's cameras (name -> optical frame) among the transforms; it wins."""
    if rig is None:
        return
    for name, found in frame_ids.items():
        T = rig_camera(rig, name).T_base_camera
        frame_id = found or f"{name}_optical_frame"
        if T is not None and frame_id != rig.base_frame:
            transforms.pin(rig.base_frame, frame_id, T)


def unknown_rig_cameras(rig: Rig | None, cameras: Collection[str]) -> list[Warning]:
    """What must be said of a rig file that names cameras which are not there."""
    unknown = sorted(set(rig.cameras) - set(cameras)) if rig else []
    if not unknown:
        return []
    here = ", ".join(sorted(cameras))
    text = f"the rig file names {', '.join(unknown)}; the cameras here are {here}"
    return [Warning("rig_camera_unknown", text)]


def choose_fixed_frame(
    wanted: str,
    frame_ids: Mapping[str, str],
    transforms: TransformBuffer | Mapping[str, TransformBuffer],
    source: str,
) -> tuple[str, Warning | None]:
    """The coordinate frame of all places, and what must be said about the choice.

    Args:
        wanted: taken where TF connects it with a camera.
        frame_ids: optical frame of each camera; a root above them comes next after the usual names.
        transforms: what is known, or that by camera.
        source: "the bag", for the sentence.

    Returns:
        (frame, warning); frame "" means no 3D places, warning None that ``wanted`` was taken.
    """
    trees = {
        name: transforms if isinstance(transforms, TransformBuffer) else transforms[name]
        for name in frame_ids
    }
    known = frozenset().union(*(tree.known_frames() for tree in trees.values()))
    if not known:
        return "", Warning("no_tf", f"{source} holds no TF: no poses, so no 3D places")

    def reaches(frame: str) -> bool:
        return any(
            frame in trees[name].known_frames() and trees[name].connected(frame, frame_id)
            for name, frame_id in frame_ids.items()
        )

    roots = sorted({trees[name].root_of(frame_id) for name, frame_id in frame_ids.items()} & known)
    if reaches(wanted):
        return wanted, None
    why = f"there is no frame '{wanted}' in TF"
    if wanted in known:
        why = f"TF connects no camera with '{wanted}'"
    others = [name for name in (*OTHER_FIXED_FRAMES, *roots) if name in known]
    for other in sorted(others, key=lambda name: not reaches(name)):
        if reaches(other) or wanted not in known:
            text = f"{why}; places are given in '{other}'"
            return other, Warning("other_fixed_frame", text)
    if wanted in known:
        return wanted, None
    return "", Warning("no_fixed_frame", f"{why}: no 3D places")
