"""The messages of one moment as a source of frames like a bag. No rclpy here.

So the same code chooses and decodes frames live and offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from oryx_scene.errors import ImageDecodeError
from oryx_scene.geometry.rig import Rig
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.bags.assemble import FrameAssembler
from oryx_scene.sources.bags.depth import DEPTH_SLOP_S
from oryx_scene.sources.bags.index import BagIndex, ImageTopic
from oryx_scene.sources.base import FrameStub
from oryx_scene_ros.intake.frame_requirements import Wanted
from oryx_scene_ros.intake.message_buffer import BufferedMessage, CameraFeed, MessageBuffers


class BufferedMoment:
    """The messages of one moment as a source of frames (``sources.base.FrameSource``)."""

    def __init__(
        self,
        feeds: MessageBuffers,
        wanted: Wanted,
        fixed_frame: str,
        rig: Rig | None,
        until_ns: int,
    ) -> None:
        index = BagIndex(transforms=feeds.transforms)
        self._kept: dict[str, list[BufferedMessage]] = {}
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
        self._assembler = FrameAssembler(index, self.topics, rig)
        self.warnings = tuple(self._assembler.settle(fixed_frame, "the node", self._message))
        self.fixed_frame = self._assembler.fixed_frame
        self.frame_ids = {name: self._assembler.frame_id_of(name) for name in self.topics}
        self.synthetic = self.stills = self.counted = False

    def _take(self, index: BagIndex, feed: CameraFeed, pictures: list[BufferedMessage]) -> None:
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
            return self._assembler.load(stub, self._message)
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
