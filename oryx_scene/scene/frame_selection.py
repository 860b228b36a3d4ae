"""From a recording and a moment to the frames that a question may rest on, in bounded memory.

Frames are decoded twice at most: once small, to choose viewpoints, and the chosen ones in full;
once where there are no more than may be chosen. The clock is the recording's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from oryx_scene.config import ViewsConfig
from oryx_scene.errors import ConfigError, NoFramesError, OryxSceneError, StaleFramesError
from oryx_scene.geometry.camera import scaled_to
from oryx_scene.records import FloatArray, Frame
from oryx_scene.scene.prompt_text import SEQUENCE_VIEWS
from oryx_scene.scene.view_selection import CoverageReport, choose_views_reported
from oryx_scene.sources.base import FrameSource, FrameStub, left_out
from oryx_scene.sources.synchronize import Moment, newest_moment
from oryx_scene.warning import Warning

# Enough viewpoints for any choice of 8; more only cost decoding time.
MAX_CANDIDATES = 64
# Voxels of 10 cm do not need every pixel.
THUMBNAIL_STEP = 8
# All frames of a sequence together are kept at no more pixels than this (200 MB), however many
# there are and however large they come. At 16x, 16,384 visual tokens show no more.
SEQUENCE_PIXELS = 2**26

Progress = Callable[[Sequence[FrameStub]], Iterable[FrameStub]]


def thumbnail(frame: Frame) -> Frame:
    """A frame of every eighth pixel, for choosing views; a few kilobytes instead of megabytes."""
    step = THUMBNAIL_STEP
    rgb = np.ascontiguousarray(frame.rgb[::step, ::step])
    depth = None if frame.depth is None else np.ascontiguousarray(frame.depth[::step, ::step])
    intrinsics = frame.intrinsics
    if intrinsics is not None:
        intrinsics = scaled_to(intrinsics, rgb.shape[0], rgb.shape[1])
    return dataclasses.replace(frame, rgb=rgb, depth=depth, intrinsics=intrinsics, labels=None)


def span_of(stamp_ns: int, gap_ns: int) -> int:
    """The span of time that a stamp lies in; of each only a camera's newest frame is considered.

    Spans do not hang on who asks when, so that a live node, which must let go of frames as time
    goes on, and a recording, which has them all, consider the same ones. A gap of 0 keeps all.
    """
    return stamp_ns // gap_ns if gap_ns > 0 else stamp_ns


def _thin(stubs: Sequence[FrameStub], min_gap_s: float, most: int) -> list[FrameStub]:
    """The newest of each camera and span of the gap; at most ``most`` in all, evenly."""
    kept: list[FrameStub] = []
    last: dict[str, int] = {}
    gap_ns = round(min_gap_s * 1e9)
    for stub in sorted(stubs, key=lambda item: (-item.stamp_ns, item.camera)):
        span = span_of(stub.stamp_ns, gap_ns)
        if last.get(stub.camera) != span:
            last[stub.camera] = span
            kept.append(stub)
    if len(kept) <= most:
        return kept
    newest = kept[: len(last)] if len(last) < most else kept[:most]
    rest = kept[len(newest) :]
    room = most - len(newest)
    picked: list[int] = (
        np.unique(np.linspace(0, len(rest) - 1, room).round().astype(int)).tolist() if room else []
    )
    return newest + [rest[index] for index in picked]


class ChosenFrames(NamedTuple):
    """What a question at one moment may rest on.

    Attributes:
        frames: decoded in full, by stamp and camera.
        warnings: cameras and frames that were left out.
        choice: how the views were chosen.
    """

    frames: list[Frame]
    warnings: tuple[Warning, ...]
    choice: CoverageReport


def candidates_at(
    source: FrameSource, at_ns: int, config: ViewsConfig
) -> tuple[list[FrameStub], Moment]:
    """Frames up to ``at_ns`` that come into question, oldest first, and the newest moment.

    The newest moment is the last synchronised set of all cameras; later frames are not candidates.
    Of pictures that somebody put together none is passed over for being near another in time; where
    their stamps mean no time, all up to ``at_ns`` are candidates; so they are for a sequence (more
    than ``SEQUENCE_VIEWS`` views), evenly in time.

    Raises:
        NoFramesError: nothing was recorded up to that moment.
        StaleFramesError: the newest frame is older than ``config.max_age_s``.
    """
    past = [stub for stub in source.stubs() if stub.stamp_ns <= at_ns]
    if not past:
        raise NoFramesError(
            f"no frame up to {at_ns / 1e9:.3f} s.",
            hint="ask about a later moment (--at), or see `oryx-scene check`",
        )
    newest = max(past, key=lambda stub: stub.stamp_ns)
    age_s = (at_ns - newest.stamp_ns) / 1e9
    if age_s > config.max_age_s:
        raise StaleFramesError(newest.camera, age_s, config.max_age_s)
    sequence = config.count > SEQUENCE_VIEWS
    if source.counted:
        moment = Moment({stub.camera: stub.stamp_ns for stub in past})
        window_ns = at_ns
    else:
        moment = _moment(past, config)
        window_ns = at_ns if sequence else int(config.history_s * 1e9)
    # The newest moment itself always counts, however little history is wanted.
    oldest_ns = min(at_ns - window_ns, *moment.stamps.values())
    recent = [
        stub
        for stub in past
        if oldest_ns <= stub.stamp_ns <= moment.stamps.get(stub.camera, moment.anchor_ns)
    ]
    most = max(MAX_CANDIDATES, config.count)
    thinned = _thin(recent, 0.0 if source.stills or sequence else config.min_gap_s, most)
    return sorted(thinned, key=lambda stub: (stub.stamp_ns, stub.camera)), moment


def _moment(stubs: Sequence[FrameStub], config: ViewsConfig) -> Moment:
    stamps: dict[str, list[int]] = {}
    for stub in sorted(stubs, key=lambda item: item.stamp_ns):
        stamps.setdefault(stub.camera, []).append(stub.stamp_ns)
    moment = newest_moment(stamps, config.slop_s, config.max_age_s)
    assert moment is not None
    return moment


def frames_at(
    source: FrameSource, at_ns: int, config: ViewsConfig, progress: Progress | None = None
) -> ChosenFrames:
    """The frames to freeze at ``at_ns``.

    A frame that cannot be decoded is left out with a warning; the rest still answers.

    Raises:
        NoFramesError: nothing usable up to that moment.
        StaleFramesError: the newest frame is too old.
    """
    stubs, moment = candidates_at(source, at_ns, config)
    warnings = list(moment.warnings(config.slop_s))
    if config.count > SEQUENCE_VIEWS:
        return _sequence_of(source, stubs, warnings, progress)
    small: list[Frame] = []
    usable: list[FrameStub] = []
    # So few that all of them may be chosen: they are kept as they are decoded.
    few = len(stubs) <= config.count
    whole: dict[int, Frame] = {}
    for stub in progress(stubs) if progress else stubs:
        try:
            frame = source.load(stub)
            small.append(thumbnail(frame))
        except OryxSceneError as err:
            warnings.append(left_out(stub, err))
            continue
        if few:
            whole[len(usable)] = frame
        usable.append(stub)
    if not usable:
        raise _none_decoded(stubs, warnings)
    chosen, report = choose_views_reported(small, config.count)
    frames = [whole.get(index) or source.load(usable[index]) for index in chosen]
    warnings += _how_many(source, len(frames), report)
    return ChosenFrames(frames, tuple(warnings), report)


def _none_decoded(stubs: Sequence[FrameStub], warnings: Sequence[Warning]) -> NoFramesError:
    return NoFramesError(
        f"none of {len(stubs)} frames could be decoded; the last said: {warnings[-1].text}",
        hint="see `oryx-scene check`",
    )


def _sequence_of(
    source: FrameSource,
    stubs: Sequence[FrameStub],
    warnings: list[Warning],
    progress: Progress | None,
) -> ChosenFrames:
    """All of ``stubs``, each made small as soon as it is decoded."""
    frames: list[Frame] = []
    smaller = 0
    for stub in progress(stubs) if progress else stubs:
        try:
            frame = source.load(stub)
        except OryxSceneError as err:
            warnings.append(left_out(stub, err))
            continue
        frames.append(within_area(frame, SEQUENCE_PIXELS // len(stubs)))
        smaller += frames[-1] is not frame
    if not frames:
        raise _none_decoded(stubs, warnings)
    if smaller:
        text = f"{smaller} of {len(frames)} frames are kept at {frames[-1].width}x"
        warnings.append(Warning("sequence_reduced", f"{text}{frames[-1].height} px"))
    report = CoverageReport("uniform", candidates=len(source.stubs()))
    warnings += _how_many(source, len(frames), report)
    return ChosenFrames(frames, tuple(warnings), report)


def within_area(frame: Frame, most_px: int) -> Frame:
    """``frame`` itself, or a smaller copy of it that has at most ``most_px`` pixels."""
    scale = (most_px / (frame.height * frame.width)) ** 0.5
    if scale >= 1.0:
        return frame
    height, width = max(1, int(frame.height * scale)), max(1, int(frame.width * scale))
    picture = Image.fromarray(np.ascontiguousarray(frame.rgb))
    rgb = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)
    rows = (np.arange(height) + 0.5) * frame.height / height
    columns = (np.arange(width) + 0.5) * frame.width / width
    nearest = np.ix_(rows.astype(int), columns.astype(int))
    intrinsics = frame.intrinsics
    return dataclasses.replace(
        frame,
        rgb=rgb,
        depth=None if frame.depth is None else frame.depth[nearest],
        labels=None if frame.labels is None else frame.labels[nearest],
        intrinsics=None if intrinsics is None else scaled_to(intrinsics, height, width),
    )


def _how_many(source: FrameSource, used: int, report: CoverageReport) -> list[Warning]:
    """Of pictures that somebody put together it is said how many are used."""
    total = len(source.stubs())
    if not source.stills or used >= total:
        return []
    ways = {"coverage": "those that see most", "uniform": "chosen evenly"}
    how = ways.get(report.method, "all that come into question at this moment")
    return [Warning("frames_chosen", f"{used} of {total} pictures are used: {how}")]


class CameraPath:
    """Where the cameras of a recording were, from poses alone: no picture is decoded for it.

    Args:
        source: the recording; its poses are asked for once each.
        most: points of a path; longer ones are thinned evenly.
    """

    def __init__(self, source: FrameSource, most: int = 500) -> None:
        self._source = source
        self._most = most
        self._stubs: dict[str, list[FrameStub]] = {}
        for stub in source.stubs():
            self._stubs.setdefault(stub.camera, []).append(stub)
        self._places: dict[str, dict[int, FloatArray]] = {}

    def until(self, camera: str, stamp_ns: int) -> FloatArray:
        """(P, 3) metres: places of ``camera`` in the fixed frame up to ``stamp_ns``, in order."""
        known = self._places.setdefault(camera, {})
        past = [stub for stub in self._stubs.get(camera, []) if stub.stamp_ns <= stamp_ns]
        for stub in past[len(known) :]:
            pose = self._source.pose(stub)
            known[len(known)] = np.full(3, np.nan) if pose is None else pose[:3, 3]
        places: FloatArray = np.array([known[index] for index in range(len(past))]).reshape(-1, 3)
        found = places[np.isfinite(places).all(axis=1)]
        if len(found) > self._most:
            found = found[np.linspace(0, len(found) - 1, self._most).round().astype(int)]
        return np.asarray(found)


def newest_stamp(source: FrameSource) -> int:
    """Capture stamp of the last frame of a recording.

    Raises:
        NoFramesError: the source holds no frame.
    """
    stamps = [stub.stamp_ns for stub in source.stubs()]
    if not stamps:
        raise NoFramesError("the source holds no frame.", hint="see `oryx-scene check`")
    return max(stamps)


def moment_at(text: str | None, source: FrameSource) -> int:
    """The moment that ``text`` means in the source's own clock, nanoseconds.

    Args:
        text: seconds after the first frame, or "@SECONDS" since the epoch; None is the newest
            frame.
        source: the recording.

    Raises:
        ConfigError: ``text`` is no number.
        NoFramesError: the source holds no frame.
    """
    newest = newest_stamp(source)
    if text is None:
        return newest
    try:
        seconds = float(text.removeprefix("@"))
        nanoseconds = round(seconds * 1e9)
    except (ValueError, OverflowError) as err:
        raise ConfigError(
            f"--at '{text}' is not a time.", hint="e.g. --at 12.5 or --at @1700000000.25"
        ) from err
    if text.startswith("@"):
        return nanoseconds
    return min(stub.stamp_ns for stub in source.stubs()) + nanoseconds
