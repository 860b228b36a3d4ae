"""Detections become marks: labels travel, wrong and double ones do no harm."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from oryx_scene.cli.main import main
from oryx_scene.config import MarksConfig
from oryx_scene.errors import SourceError
from oryx_scene.lab.evaluation.mark_counts import MarkCounts
from oryx_scene.lab.evaluation.mark_scores import score_marks
from oryx_scene.lab.evaluation.mark_worlds import CONDITIONS, make_scene
from oryx_scene.lab.synth.furniture import LAYOUT
from oryx_scene.marks.detections.records import Detection, load_detections, parse_detections
from oryx_scene.marks.detections.route import find_detected
from oryx_scene.marks.detections.run_length import RunLengths
from oryx_scene.marks.detections.segments import NO_FRAME, TWICE, UNSURE
from oryx_scene.records import ViewSet
from oryx_scene.sources.registry import open_source

SIZE = (180, 240)


def detections_of(views, world, masks=False):
    """What a perfect detector says: a box, or an outline, around every object that is large."""
    found = []
    for frame in views.frames:
        for thing in world.objects:
            mask = frame.labels == thing.object_id
            if mask.sum() < 0.004 * mask.size:
                continue
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = (columns[0], rows[0], columns[-1], rows[-1])
            outlines = ()
            if masks:
                shapes, _ = cv2.findContours(
                    mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
                )
                outlines = tuple(s.reshape(-1, 2).astype(float) for s in shapes if len(s) >= 3)
            found.append(
                Detection(
                    frame.camera, frame.stamp_ns, tuple(map(float, box)), thing.shape, 0.9, outlines
                )
            )
    return found


def runs_of(mask):
    down = mask.T.ravel()
    ends = np.flatnonzero(np.diff(down)) + 1
    lengths = np.diff([0, *ends, down.size])
    return RunLengths(*mask.shape, np.concatenate([[0] * int(down[0]), lengths]).astype(np.int64))


@pytest.fixture(scope="module")
def scene():
    ring = dataclasses.replace(CONDITIONS["noisy"], rigs=("ring",), views=(5, 5))
    return make_scene(ring, 3, SIZE)


@pytest.fixture(scope="module")
def detections(scene):
    return detections_of(scene.views, scene.world)


def judged(scene, marks):
    return score_marks(scene.views, marks, true_views=scene.true_views, places=scene.places)


@pytest.mark.parametrize("masks", [False, True])
def test_labels_and_numbers_agree_over_views(scene, masks):
    found = find_detected(scene.views, detections_of(scene.views, scene.world, masks))
    counts = judged(scene, found)
    assert found.route == "detections"
    assert counts.right >= 10
    assert counts.wrong <= 0.05 * counts.right
    assert counts.reached >= 3 * counts.missed
    shapes = scene.world.truth
    for mark in found.marks:
        o = mark.observations[0]
        true = int(scene.views.frames[o.view].labels[int(o.v), int(o.u)])
        assert mark.label == shapes[true].shape
        assert np.linalg.norm(np.subtract(mark.position, shapes[true].position)) < 0.3


def test_run_length_masks_are_as_good_as_outlines(scene):
    boxes = detections_of(scene.views, scene.world)
    frames = {(f.camera, f.stamp_ns): f for f in scene.views.frames}
    shapes = {thing.shape: thing.object_id for thing in scene.world.objects}
    masked = []
    for item in boxes:
        frame = frames[item.camera, item.stamp_ns]
        same = [thing for thing in scene.world.objects if thing.shape == item.label]
        if len(same) == 1:
            mask = frame.labels == shapes[item.label]
            masked.append(dataclasses.replace(item, runs=runs_of(mask)))
    counts = judged(scene, find_detected(scene.views, masked))
    assert counts.right >= 10
    assert counts.wrong == 0
    small = dataclasses.replace(masked[0], runs=RunLengths(1, 2, np.array([1, 1])))
    with pytest.raises(SourceError, match="its mask is 2x1 pixels, the received picture 240x180"):
        find_detected(scene.views, [small])


def test_boxes_of_things_that_touch_are_freed_of_their_neighbours():
    total = MarkCounts()
    for index in (201, 202):
        clutter = make_scene(CONDITIONS["touching_noisy"], index)
        found = find_detected(clutter.views, detections_of(clutter.views, clutter.world))
        total.add(judged(clutter, found))
    assert total.right >= 100
    assert total.wrong <= 0.05 * total.right
    assert total.on_object >= 0.9 * total.observations


def test_double_detections_get_one_number(scene, detections):
    twice = [dataclasses.replace(d, box=tuple(v + 1 for v in d.box), score=0.6) for d in detections]
    one = find_detected(scene.views, detections)
    both = find_detected(scene.views, [*twice, *detections])
    assert both.left_out[TWICE] == len(detections)
    assert [m.position for m in both.marks] == [m.position for m in one.marks]


def test_wrong_detections_do_not_pull_two_objects_together(scene, detections):
    rng = np.random.default_rng(0)
    wrong = []
    for frame in scene.views.frames:
        for _ in range(4):
            u, v = rng.uniform(0, 180), rng.uniform(0, 130)
            box = (u, v, u + rng.uniform(20, 60), v + rng.uniform(20, 50))
            wrong.append(Detection(frame.camera, frame.stamp_ns, box, "ghost", 0.5))
    found = find_detected(scene.views, [*detections, *wrong], MarksConfig(max_marks=30))
    real = dataclasses.replace(found, marks=tuple(m for m in found.marks if m.label != "ghost"))
    counts = judged(scene, real)
    assert counts.wrong <= 0.05 * counts.right
    assert counts.right >= 10


def test_the_order_of_detections_and_views_does_not_matter(scene, detections):
    found = find_detected(scene.views, detections)
    back = find_detected(ViewSet(scene.views.frames[::-1]), detections[::-1])
    assert [(m.number, m.position, m.label) for m in found.marks] == [
        (m.number, m.position, m.label) for m in back.marks
    ]


def test_what_is_doubtful_is_left_out_and_counted(scene, detections):
    unsure = [dataclasses.replace(d, score=0.1) for d in detections]
    elsewhere = [dataclasses.replace(d, stamp_ns=d.stamp_ns + 10**9) for d in detections]
    found = find_detected(scene.views, [*unsure, *elsewhere])
    assert (found.marks, found.route) == ((), "none")
    assert found.left_out == {UNSURE: len(unsure), NO_FRAME: len(elsewhere)}
    assert "none of the detections" in found.warnings[0].text


def test_without_depth_boxes_are_joined_by_tracks_within_one_label():
    hand = make_scene(dataclasses.replace(CONDITIONS["rgb"], views=(4, 4)), 2, SIZE)
    seen = detections_of(hand.views, hand.world)
    found = find_detected(hand.views, seen)
    counts = judged(hand, found)
    assert found.marks
    assert counts.right >= 10
    assert counts.wrong <= 0.1 * counts.right
    assert all(mark.label for mark in found.marks)
    assert any("joined by colour" in text.text for text in found.warnings)


def test_the_named_object_comes_first(scene, detections):
    rare = min({d.label for d in detections}, key=[d.label for d in detections].count)
    found = find_detected(
        scene.views, detections, MarksConfig(max_marks=1), question=f"Where is the {rare}?"
    )
    assert [mark.label for mark in found.marks] == [rare]


GOOD = {
    "images": [{"id": 1, "camera": "front", "stamp_ns": 5}],
    "categories": [{"id": 3, "name": "mug"}],
    "annotations": [{"image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.8}],
}


def test_a_file_is_read_as_written(tmp_path):
    path = tmp_path / "found.json"
    path.write_text(json.dumps(GOOD))
    (one,) = load_detections(path)
    assert (one.camera, one.stamp_ns, one.label, one.score) == ("front", 5, "mug", 0.8)
    assert one.box == (10.0, 20.0, 39.0, 59.0)
    assert one.mask(100, 100).sum() == 30 * 40


def test_outlines_are_read():
    entry = {"image_id": 1, "label": "cup", "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]]}
    (one,) = parse_detections({**GOOD, "annotations": [entry]})
    assert one.box == (0.0, 0.0, 10.0, 10.0)
    assert one.mask(20, 20).sum() == 121


def test_run_length_masks_of_a_file_give_box_and_pixels():
    packed = {"size": [6, 9], "counts": "=3300NN02200;"}
    plain = {"size": [6, 9], "counts": [13, 3, 3, 3, 3, 1, 1, 1, 3, 3, 3, 3, 14]}
    for shape in (packed, plain):
        entry = {"image_id": 1, "label": "cup", "segmentation": shape}
        (one,) = parse_detections({**GOOD, "annotations": [entry]})
        assert one.box == (2.0, 1.0, 6.0, 3.0)
        assert one.outlined
        assert one.mask(6, 9).sum() == 14
        assert not one.mask(6, 9)[2, 4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ([], r"the file: an object expected"),
        ({**GOOD, "images": {}}, r"images: a list expected"),
        ({**GOOD, "images": [{"id": 1, "camera": "", "stamp_ns": 1}]}, r"images\[0\]\.camera"),
        ({**GOOD, "images": [{"id": 1, "camera": "a", "stamp_ns": 1.5}]}, r"integer nanoseconds"),
        ({**GOOD, "annotations": [{"image_id": 9, "bbox": [0, 0, 1, 1]}]}, r"one of images"),
        ({**GOOD, "annotations": [{"image_id": 1}]}, r"\[x, y, width, height\]"),
        ({**GOOD, "annotations": [{"image_id": 1, "bbox": [0, 0, 0, 1]}]}, r"width > 0"),
        ({**GOOD, "annotations": [{"image_id": 1, "bbox": [0, 0, float("nan"), 1]}]}, r"finite"),
        ({**GOOD, "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 2}]}, r"0\.\.1"),
        (
            {**GOOD, "annotations": [{"image_id": 1, "segmentation": {"counts": "a"}}]},
            r"annotations\[0\]\.segmentation: size must be",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_by_its_place(change, said):
    with pytest.raises(SourceError, match=said):
        parse_detections(change)


def test_the_marks_command_takes_a_detections_file(tmp_path, capsys, office_folder, office_frames):
    office = str(office_folder)
    frames = list(open_source(office).frames())[2:]
    images = [{"id": i, "camera": f.camera, "stamp_ns": f.stamp_ns} for i, f in enumerate(frames)]
    # The shelf, as seen in the last but one picture of the recording.
    shelf = next(spot for spot, item in enumerate(LAYOUT, 1) if item.piece == "shelf")
    rows, columns = np.nonzero(office_frames[1][3].labels == shelf)
    corner = [int(columns.min()), int(rows.min())]
    size = [int(np.ptp(columns)), int(np.ptp(rows))]
    annotations = [{"image_id": 1, "label": "shelf", "bbox": [*corner, *size]}]
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    assert main(["marks", office, "--detections", str(path), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["route"] == "detections"
    labels = [mark["label"] for view in described["views"] for mark in view["marks"]]
    assert set(labels) == {"shelf"}
    assert main(["marks", office, "--detections", str(path)]) == 0
    assert "mark 1 (shelf)" in capsys.readouterr().out
    assert main(["marks", office, "--detections", str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
