"""Sequences: more than 64 views are told by number and time, chunk by chunk, in bounded memory."""

import dataclasses
import re

import cv2
import numpy as np
import pytest

from oryx_scene.config import BudgetConfig, PipelineConfig, ViewsConfig
from oryx_scene.model.api import Stride, VisualItem
from oryx_scene.qa.question_words import named_views
from oryx_scene.records import Frame, Intrinsics
from oryx_scene.scene import frame_selection
from oryx_scene.scene.budget import plan_budget
from oryx_scene.scene.frame_selection import frames_at, newest_stamp, within_area
from oryx_scene.scene.freeze import NO_MODEL, freeze_scene
from oryx_scene.scene.prompt_text import SEQUENCE_VIEWS, view_names
from oryx_scene.sources.video import VideoSource

S = 1_000_000_000
HALF = S // 2


def frames_of(count, camera="cam", size=(48, 64)):
    pictures = np.random.default_rng(1).integers(0, 255, (count, *size, 3), np.uint8)
    return [
        Frame(camera, index * HALF, "optical", rgb, f"{camera}{index}")
        for index, rgb in enumerate(pictures)
    ]


def frozen(frames, **settings):
    config = PipelineConfig(ViewsConfig(count=1600), BudgetConfig(**settings))
    return freeze_scene(frames, frames[-1].stamp_ns, config, NO_MODEL)


def test_each_chunk_of_a_sequence_is_told_by_number_and_time():
    scene = frozen(frames_of(150))
    items = [part for part in scene.prompt if isinstance(part, VisualItem)]
    assert [len(item.images) for item in items] == [64, 64, 22]
    told = [part for part in scene.prompt if isinstance(part, str) and part.startswith("Frames")]
    assert told == [
        "Frames 1 at 0.0 s to 64 at 31.5 s:\n",
        "Frames 65 at 32.0 s to 128 at 63.5 s:\n",
        "Frames 129 at 64.0 s to 150 at 74.5 s:\n",
    ]
    # Each heading stands right before its frames.
    for words, item in zip(told, items, strict=True):
        assert scene.prompt[scene.prompt.index(words) + 1] is item
    assert "150 frames of one scene, numbered from 1." in scene.prompt[-1]
    assert [w.code for w in scene.warnings] == ["sequence_without_marks"]


def test_as_many_views_as_may_be_named_are_no_sequence():
    scene = frozen(frames_of(SEQUENCE_VIEWS))
    words = "".join(part for part in scene.prompt if isinstance(part, str))
    assert "cam 64" in words and "Frames" not in words
    assert "sequence_without_marks" not in [w.code for w in scene.warnings]


def test_several_cameras_are_told_in_their_chunks():
    scene = frozen([*frames_of(50, "front"), *frames_of(50, "left")])
    words = "".join(part for part in scene.prompt if isinstance(part, str))
    assert re.findall(r"Frames of ([^0-9]+) \d", words) == ["front, left", "left"]


def test_1600_frames_fit_the_budget_at_16x():
    found = plan_budget(
        [(480, 640)] * 1600, BudgetConfig(), context_length=32768, reserved_tokens=1024
    )
    assert found.stride is Stride.VIDEO_LONG and found.visual_tokens <= 16384
    assert len(found.groups) == 25
    few = plan_budget([(480, 640)] * 64, BudgetConfig(), context_length=32768, reserved_tokens=0)
    assert min(p.height * p.width for p in few.placements) >= 200 * 200


def test_frames_of_a_sequence_are_counted_not_named():
    names = view_names(["cam"] * 100)
    found = named_views("What differs between frames 7 and 99, not cam 5?", names)
    assert [(one.index, one.name) for one in found] == [(6, "view 7"), (98, "view 99")]
    (few,) = named_views("What was in cam 7?", names[:9])
    assert (few.index, few.name) == (6, "cam 7")


@pytest.mark.parametrize(("most", "size"), [(48 * 64, (48, 64)), (768, (24, 32)), (700, (22, 30))])
def test_a_frame_is_made_small_with_all_that_belongs_to_it(most, size):
    (frame,) = frames_of(1)
    labels = np.zeros((48, 64), np.int32)
    labels[:, 32:] = 5
    K = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
    frame = dataclasses.replace(
        frame,
        depth=np.where(labels, 3.0, 1.0).astype(np.float32),
        labels=labels,
        intrinsics=Intrinsics(K, 48, 64),
    )
    small = within_area(frame, most)
    assert small.rgb.shape == (*size, 3)
    assert (small is frame) == (size == (48, 64))
    assert small.depth.shape == small.labels.shape == size
    assert ((small.labels == 5) == (small.depth == 3.0)).all()
    assert (small.labels[:, : size[1] // 2] == 0).all() and (small.labels[:, -1] == 5).all()
    assert (small.intrinsics.height, small.intrinsics.width) == size
    assert small.intrinsics.K[0, 0] == pytest.approx(60.0 * size[1] / 64)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "long.avi"
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for index in range(300):
        out.write(np.full((48, 64, 3), index % 250, np.uint8))
    out.release()
    return path


def test_a_video_is_read_evenly_over_all_its_time_and_kept_small(video, monkeypatch):
    from oryx_scene.sources.base import OpenOptions

    source = VideoSource(video, OpenOptions())
    now = newest_stamp(source)
    monkeypatch.setattr(frame_selection, "SEQUENCE_PIXELS", 100 * 768)
    found = frames_at(source, now, ViewsConfig(count=100, history_s=1.0, min_gap_s=5.0))
    stamps = [frame.stamp_ns for frame in found.frames]
    assert len(stamps) == 100
    assert (stamps[0], stamps[-1]) == (source.stubs()[0].stamp_ns, now)
    # The newest frame is always among them, the others lie evenly before it.
    assert set(np.diff(stamps)[:-1] // (S // 10)) <= {2, 3, 4}
    assert {frame.rgb.shape for frame in found.frames} == {(24, 32, 3)}
    assert "sequence_reduced" in [w.code for w in found.warnings]
    # As few as are named come from the newest second and stay as they are.
    few = frames_at(source, now, ViewsConfig(count=8, history_s=1.0, min_gap_s=0.0))
    assert min(frame.stamp_ns for frame in few.frames) >= now - S
    assert few.frames[0].rgb.shape == (48, 64, 3)
