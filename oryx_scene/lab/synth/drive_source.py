"""A drive as a source: the folder holds its description and truth, frames are made when read.

`drive.json` has the settings and a fingerprint, `truth.json` beside it the true answers. An hour is
less than a megabyte on disk, whatever the size of the pictures.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from oryx_scene.atomic_io import write_json
from oryx_scene.errors import ConfigError, OutputError, SourceError
from oryx_scene.lab.synth.drive import CAMERA, Drive, DriveConfig
from oryx_scene.lab.synth.drive_truth import drive_truth
from oryx_scene.records import FloatArray, Frame
from oryx_scene.sources.bags.writer import write_source
from oryx_scene.sources.base import BaseSource, FrameStub, OpenOptions, SourceKind
from oryx_scene.warning import Warning

SCHEMA = "oryx_scene/drive/1"
DESCRIPTION = "drive.json"
TRUTH = "truth.json"


class DriveSource(BaseSource):
    """The frames of a drive, each rendered when it is asked for.

    Args:
        drive: that is rendered.
    """

    def __init__(self, drive: Drive) -> None:
        stamps = (drive.stamp_of(drive.seconds_of(i)) for i in range(drive.config.frames))
        topic = f"/{CAMERA}/image_raw"
        stubs = [FrameStub(CAMERA, ns, ns, topic, index) for index, ns in enumerate(stamps)]
        super().__init__(stubs, synthetic=True)
        self.drive = drive

    def say_rig_unused(self) -> None:
        """A drive has its own camera and poses."""
        text = "a rendered drive has its own calibration and poses: the rig file is not used"
        self._warnings.append(Warning("rig_unused", text))

    def load(self, stub: FrameStub) -> Frame:
        """Render one frame."""
        return self.drive.frame(stub.serial)

    def pose(self, stub: FrameStub) -> FloatArray | None:
        """T_fixed_camera (4, 4) as published, without rendering."""
        return self.drive.published_pose(stub.serial)


def write_drive(
    config: DriveConfig, path: Path, on_frame: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Make the folder ``path`` of a drive and return its truth.

    Raises:
        OutputError: the folder exists and is not empty, or cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(path, "exists already.", hint="choose another name or remove it first")
    drive = Drive(config)
    truth = drive_truth(drive, on_frame)
    write_json(path / TRUTH, truth)
    settings = dataclasses.asdict(config)
    about = {"schema": SCHEMA, "settings": settings, "fingerprint": drive.fingerprint}
    write_json(path / DESCRIPTION, about)
    return truth


def record_drive(
    config: DriveConfig, path: Path, on_frame: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Write the frames of a drive as a ROS 2 bag, its truth beside it as ``<path>.truth.json``.

    Raises:
        OutputError: the folder exists, or the disk is full.
    """
    source = DriveSource(Drive(config))
    truth = drive_truth(source.drive)
    write_source(_Told(source, on_frame or (lambda: None)), path)
    write_json(path.with_name(f"{path.name}.{TRUTH}"), truth)
    return truth


class _Told:
    """A source whose frames are counted while they are written."""

    synthetic = True

    def __init__(self, source: DriveSource, on_frame: Callable[[], object]) -> None:
        self._source, self._on_frame = source, on_frame

    def frames(self) -> Iterator[Frame]:
        for frame in self._source.frames():
            yield frame
            self._on_frame()


def read_drive(path: Path) -> Drive:
    """The drive that a folder describes.

    Raises:
        SourceError: not a description, or of a version that rendered other drives.
    """
    file = path / DESCRIPTION
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(about, dict) or about.get("schema") != SCHEMA:
            raise SourceError(file, f"is no {SCHEMA}.", hint="make it with `room --drive`")
        drive = Drive(DriveConfig(**about["settings"]))
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as err:
        reason = " ".join(str(err).split())
        raise SourceError(file, f"cannot be read ({reason}).", hint="make it anew") from err
    if about.get("fingerprint") != drive.fingerprint:
        hint = "make it anew with `room --drive`; its truth does not fit any more"
        raise SourceError(file, "was made by a version that drives otherwise.", hint=hint)
    return drive


def read_truth(path: Path) -> dict[str, Any]:
    """The true answers of a drive's folder, or of a bag that `record_drive` wrote.

    Raises:
        SourceError: there are none.
    """
    from oryx_scene.lab.synth.drive_truth import SCHEMA as TRUTH_SCHEMA

    inside = path / TRUTH
    file = inside if inside.exists() else path.with_name(f"{path.name}.{TRUTH}")
    try:
        truth = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        reason = " ".join(str(err).split())
        raise SourceError(file, f"cannot be read ({reason}).", hint="see docs/drive.md") from err
    if not isinstance(truth, dict) or truth.get("schema") != TRUTH_SCHEMA:
        raise SourceError(file, f"is no {TRUTH_SCHEMA}.", hint="see docs/drive.md")
    return truth


def _open(path: Path, options: OpenOptions) -> DriveSource:
    source = DriveSource(read_drive(path))
    if options.rig is not None:
        source.say_rig_unused()
    return source


KIND = SourceKind(
    "drive",
    "a folder of `room --drive`: `drive.json`; frames are rendered while they are read",
    lambda path: (path / DESCRIPTION).is_file(),
    _open,
)
