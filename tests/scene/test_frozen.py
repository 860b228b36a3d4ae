"""A frozen scene: what is drawn where, what the prompt holds in which order, and its id."""

import dataclasses
import hashlib

import numpy as np
import pytest

from oryx_scene.config import BudgetConfig, MarksConfig, PipelineConfig, ViewsConfig
from oryx_scene.errors import NoFramesError
from oryx_scene.marks.drawing import PATCH, disc_radius
from oryx_scene.model.api import Learnt, ModelCard, Rates, Stride, VisualItem
from oryx_scene.records import Frame, Intrinsics, Mark, MarkObservation, MarkSet
from oryx_scene.scene.deadline import patches_of, predicted_s
from oryx_scene.scene.freeze import find_marks_fresh, freeze_scene
from oryx_scene.scene.placement import Placement
from oryx_scene.scene.prepare import PADDING_VALUE, content_key, move_to_placement
from oryx_scene.scene.prompt_text import marks_text, view_names, views_text
from oryx_scene.scene.view_plan import order_views
from oryx_scene.warning import Warning

SECOND = 10**9
LATE = Warning("no_stamps", "of the frame")
CARD = ModelCard("m", "", "", "", context_length=32768)


def frame(camera="front", stamp_ns=SECOND, height=64, width=96, **rest):
    rgb = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3).astype(np.uint8)
    return Frame(camera, stamp_ns, f"{camera}_optical", rgb, f"{camera}{stamp_ns}", **rest)


def config(compression="4", **rest):
    budget = BudgetConfig(compression=compression, video_max_side=96)
    return PipelineConfig(**{"budget": budget, "marks": MarksConfig(enabled=False), **rest})


def test_a_picture_is_moved_into_its_padding():
    rgb = frame(height=4, width=6).rgb
    found = move_to_placement(rgb, Placement(4, 6, 8, 9, 4, 6, 3, 2))
    assert found.shape == (8, 9, 3) and found.dtype == np.uint8
    assert np.array_equal(found[3:7, 2:8], rgb)
    found[3:7, 2:8] = PADDING_VALUE
    assert (found == 128).all()
    same = move_to_placement(rgb, Placement(4, 6, 4, 6, 4, 6))
    assert np.array_equal(same, rgb) and not np.shares_memory(same, rgb)
    # Resized as PIL's bicubic does: a ramp keeps its middle and its direction.
    ramp = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 3, axis=2)
    half = move_to_placement(np.repeat(ramp, 8, axis=0), Placement(8, 24, 4, 12, 4, 12))
    assert half[2, :, 0].tolist() == [5, *range(25, 220, 20), 225]


def test_the_key_of_a_picture_is_that_of_its_shape_and_bytes():
    rgb = frame(height=4, width=6).rgb
    wanted = hashlib.sha256(b"(4, 6, 3)" + rgb.tobytes()).hexdigest()
    assert content_key(rgb) == content_key(rgb[::1].copy()) == wanted
    assert content_key(np.asfortranarray(rgb)) == wanted
    assert content_key(rgb.reshape(6, 4, 3)) != wanted


def test_the_words_of_views_and_marks():
    assert view_names(["a", "b", "a", "a"]) == ("a 1", "b", "a 2", "a 3")
    assert views_text(["front"]) == "One view: front."
    assert views_text(["a", "b", "a"]) == "3 views of one scene: a 1, b, a 2."
    assert marks_text([]) == ""
    said = "The same number on a red disc is the same object in every view. Marks: 2 (a mug), 7."
    assert marks_text([Mark(2, (), label="a mug"), Mark(7, ())]) == said


def test_views_stand_by_camera_then_stamp_and_old_ones_first():
    frames = [frame("b", 3), frame("a", 5), frame("a", 2), frame("c", 4)]

    def order(earlier=()):
        return [(f.camera, f.stamp_ns) for f in order_views(frames, 4, earlier)[0].frames]

    assert order() == [("a", 2), ("a", 5), ("b", 3), ("c", 4)]
    assert order([frame("c", 4), frame("b", 1), frame("a", 5)]) == [
        ("c", 4),
        ("a", 5),
        ("a", 2),
        ("b", 3),
    ]
    with pytest.raises(NoFramesError):
        order_views([], 1)


def test_skew_and_warnings_are_those_of_the_chosen_views():
    frames = [frame("b", 3 * SECOND, warnings=(LATE,)), frame("a", SECOND), frame("a", 5 * SECOND)]
    views, report = order_views(frames, 3)
    # Of each camera the newest counts: 5 s and 3 s.
    assert views.skew_s == 2.0
    (warning,) = views.warnings
    assert (warning.camera, warning.stamp_ns, warning.code) == ("b", 3 * SECOND, "no_stamps")
    assert (report.method, report.candidates) == ("all", 3)


def with_depth(**rest):
    K = np.array([[90.0, 0, 47.5], [0, 90.0, 31.5], [0, 0, 1]])
    return frame(depth=np.ones((64, 96), np.float32), intrinsics=Intrinsics(K, 64, 96), **rest)


def test_one_view_with_depth_and_no_pose_has_places_in_its_own_frame():
    (own,) = order_views([with_depth()], 1)[0].frames
    assert np.array_equal(own.T_fixed_camera, np.eye(4)) and own.fixed_frame == "front_optical"
    (said,) = order_views([with_depth()], 1)[0].warnings
    assert (said.code, said.camera) == ("places_in_camera_frame", "front")
    assert "'front_optical'" in said.text
    T = np.diag([-1.0, -1.0, 1.0, 1.0])
    posed = with_depth(T_fixed_camera=T, fixed_frame="map")
    for frames in (
        [posed],
        [frame()],
        [dataclasses.replace(with_depth(), intrinsics=None)],
        [dataclasses.replace(with_depth(), depth=None)],
        [with_depth(), frame("left")],
    ):
        views, _ = order_views(frames, 2)
        assert views.warnings == ()
        assert [f.fixed_frame for f in views.frames] == [f.fixed_frame for f in frames]


def seen(view, u, v, **rest):
    return MarkObservation(view, u, v, 1.0, 1.0, 1.0, 9, (u, v, u, v), **rest)


def freeze(frames, observations=(), *, settings=None, card=CARD, **rest):
    marks = MarkSet((Mark(3, tuple(observations)),) if observations else ())
    given = []

    def find(views, config, question):
        given.append((config, question))
        return marks

    settings = settings or config(marks=MarksConfig())
    scene = freeze_scene(frames, 3 * SECOND, settings, card, find_marks=find, **rest)
    return scene, given


def test_discs_stand_where_the_prepared_picture_has_the_object():
    frames = [frame("a"), frame("b", height=128, width=192)]
    scene, _ = freeze(frames, [seen(1, 40.0, 30.0), seen(0, 50.0, 20.0, beside=(80.0, 40.0))])
    assert [(p.height, p.width) for p in scene.plan.placements] == [(64, 96)] * 2
    (left,), (right,) = scene.discs
    # (40 + 0.5) / 2 - 0.5 is 19.75: over 2.5 px from the middle of its patch, at 23.5.
    assert (right.number, right.u, right.v, right.leads_to) == (3, 19.75, 14.75, None)
    # 80 is 7.5 px from the middle of its patch, 40 is 0.5 px from it and moves there.
    assert (left.u, left.v, left.leads_to) == (80.0, 39.5, (50.0, 20.0))
    assert left.radius == right.radius == disc_radius(96, 2, 0.125)
    unmarked = freeze(frames)[0]
    assert scene.prepared[0].tobytes() != unmarked.prepared[0].tobytes()
    assert np.array_equal(unmarked.prepared[0], frames[0].rgb)


def test_the_finder_is_told_discs_and_patches_in_received_pixels():
    frames = [frame("a"), frame("b", height=128, width=192)]
    card = dataclasses.replace(CARD, learnt=Learnt(most_hidden=0.3))
    marking = MarksConfig(max_marks=5, pose_shift_m=0.02)
    _, given = freeze(
        frames, settings=config(marks=marking), card=card, question="Where is the mug?"
    )
    ((found, question),) = given
    radius = disc_radius(96, 2, 0.125)
    assert found.discs.radii == (radius, 2 * radius)
    near, far = found.discs.lattices
    assert dataclasses.astuple(near) == (7.5, 7.5, PATCH, PATCH)
    assert dataclasses.astuple(far) == (15.5, 15.5, 2 * PATCH, 2 * PATCH)
    assert (found.max_marks, found.discs.most_hidden) == (5, 0.3)
    assert (found.pose_shift_m, question) == (0.02, "Where is the mug?")


def test_a_padded_picture_keeps_the_larger_of_its_two_disc_sizes():
    _, ((found, _),) = freeze([frame(height=64, width=250)])
    scene, _ = freeze([frame(height=64, width=250)])
    placement = scene.plan.placements[0]
    smaller = min(placement.scale_u, placement.scale_v)
    assert found.discs.radii == (disc_radius(placement.width, 2, 0.125) / smaller,)


def test_without_marks_nothing_is_sought_and_without_pictures_all_is_grey():
    scene, given = freeze([frame()], [seen(0, 50.0, 20.0)], settings=config())
    assert given == [] and scene.marks == MarkSet() and scene.numbers == ()
    grey, _ = freeze([frame()], settings=config(pictures=False))
    assert (grey.prepared[0] == PADDING_VALUE).all()


def test_the_prompt_has_pictures_first_then_words():
    frames = [frame("a"), frame("b"), frame("c", height=96, width=64)]
    scene, _ = freeze(frames, [seen(0, 50.0, 20.0)])
    first, gap, second, other_gap, words = scene.prompt
    assert isinstance(first, VisualItem) and isinstance(second, VisualItem)
    assert gap == other_gap == "\n"
    assert (len(first.images), len(second.images), first.low_size) == (2, 1, None)
    assert first.stride is second.stride is Stride.VIDEO
    assert first.images[1] is scene.prepared[1] and second.images[0] is scene.prepared[2]
    assert first.keys == tuple(content_key(image) for image in first.images)
    assert words == f"{views_text(['a', 'b', 'c'])}\n{marks_text(scene.marks.marks)}\n"
    plain, _ = freeze(frames, settings=config("1"))
    assert [part.low_size for part in plain.prompt[::2][:3]] == list(plain.plan.low_sizes)
    assert plain.prompt[-1] == f"{views_text(['a', 'b', 'c'])}\n"


def test_the_id_of_a_scene_is_that_of_its_frames_and_its_prompt():
    same, again = freeze([frame()])[0], freeze([frame()])[0]
    assert same.scene_id == again.scene_id and len(same.scene_id) == 16
    digest = hashlib.sha256(f"front/{SECOND}/front{SECOND}".encode())
    for part in same.prompt:
        digest.update((part if isinstance(part, str) else "|".join(part.keys)).encode())
    assert same.scene_id == digest.hexdigest()[:16]
    others = ([frame("left")], [frame(stamp_ns=2)], [frame()] * 2)
    assert len({same.scene_id, *(freeze(frames)[0].scene_id for frames in others)}) == 4


def test_evidence_is_the_frames_without_their_pixels():
    T = np.arange(16.0).reshape(4, 4)
    frames = [
        frame("b", topic="/b", encoding="bgr8", depth_sha256="dd"),
        frame("a", 2 * SECOND, T_fixed_camera=T, fixed_frame="map"),
    ]
    scene, _ = freeze(frames, synthetic=True, warnings=(LATE, LATE))
    first, second = scene.evidence
    assert (first.camera, first.stamp_ns, first.age_s) == ("a", 2 * SECOND, 1.0)
    assert first.T_answer_camera == tuple(tuple(row) for row in T.tolist())
    assert (second.topic, second.encoding, second.depth_sha256) == ("/b", "bgr8", "dd")
    assert (second.height, second.width, second.sha256) == (64, 96, f"b{SECOND}")
    assert (second.frame_id, second.T_answer_camera, second.age_s) == ("b_optical", None, 2.0)
    assert (scene.frame_id, scene.frozen_ns, scene.synthetic) == ("map", 3 * SECOND, True)
    assert scene.warnings == (LATE,)
    assert scene.choice == {"method": "all", "candidates": 2, "skew_s": 1.0}
    assert set(scene.timings_s) == {"views", "marks", "prepare"}
    assert not freeze([frame()])[0].synthetic and freeze([frame()])[0].frame_id == ""


def test_a_deadline_counts_patches_and_tokens():
    rates = Rates(patches_per_s=100.0, prefill_per_s=1000.0, decode_per_s=10.0)
    video = freeze([frame("a"), frame("b")])[0].plan
    assert patches_of(video) == 2 * 4 * 6
    # 48 patches, 200 tokens of text beside the visual ones, 5 tokens of answer.
    visual = video.visual_tokens
    assert predicted_s(video, rates, 5) == pytest.approx(0.48 + (visual + 200) / 1000 + 0.5)
    image = freeze([frame()], settings=config("1"))[0].plan
    (low,) = image.low_sizes
    assert patches_of(image) == 4 * 6 + low[0] * low[1] // 256


def test_a_deadline_is_said_with_what_it_cost():
    rates = Rates(patches_per_s=100.0, prefill_per_s=1000.0, decode_per_s=100.0)
    card = dataclasses.replace(CARD, rates=rates)
    frames = [frame(str(index)) for index in range(8)]

    def planned(deadline_s):
        budget = BudgetConfig(
            compression="4", video_max_side=96, deadline_s=deadline_s, answer_tokens=10
        )
        settings = config(budget=budget, views=ViewsConfig(count=8))
        return freeze_scene(frames, 0, settings, card)

    whole = planned(60.0)
    assert len(whole.views.frames) == 8 and "because" not in whole.plan.reason
    exact = planned(whole.plan.predicted_s)
    assert len(exact.views.frames) == 8  # a deadline may be used to its end
    fewer = planned(whole.plan.predicted_s - 1e-6)
    assert len(fewer.views.frames) == 6
    assert "6 of 8 views because of the deadline" in fewer.plan.reason
    assert f"predicted {fewer.plan.predicted_s:.2f} s of" in fewer.plan.reason
    assert fewer.warnings == ()


def test_views_of_an_earlier_scene_stand_first():
    first = freeze([frame("b"), frame("c")])[0]
    both = [frame("a"), frame("b"), frame("c")]
    assert [f.camera for f in freeze(both)[0].views.frames] == ["a", "b", "c"]
    assert [f.camera for f in freeze(both, after=first)[0].views.frames] == ["b", "c", "a"]


def test_a_fresh_finder_is_asked_with_the_question(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "oryx_scene.scene.freeze.find_marks", lambda *given, **named: asked.append((given, named))
    )
    views, settings = order_views([frame()], 1)[0], MarksConfig()
    find_marks_fresh(views, settings, "Where is it?")
    assert asked == [((views, settings), {"question": "Where is it?"})]
