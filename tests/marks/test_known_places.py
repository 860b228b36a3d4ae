"""Numbers without depth: kept where place or picture say so, never given to another object."""

import dataclasses

import numpy as np
import pytest

from oryx_scene.config import MarksConfig
from oryx_scene.lab.evaluation.mark_worlds import CONDITIONS, make_scene
from oryx_scene.marks.detections.records import Detection
from oryx_scene.marks.detections.route import detection_finder
from oryx_scene.marks.instance_map.known_places import KnownPlaces, NumberMemory
from oryx_scene.marks.instance_map.map import InstanceMap
from oryx_scene.marks.label_placement import Cutout
from oryx_scene.marks.mark_selection import FoundObject, SeenIn
from oryx_scene.marks.places import isotropic
from oryx_scene.records import Frame, Mark, MarkObservation, MarkSet, ViewSet

RGB = np.zeros((60, 80, 3), np.uint8)


def frame(stamp_ns):
    return Frame("hand", stamp_ns, "", RGB, str(stamp_ns))


def thing(x, *, u0=0, label="", std=0.1):
    seen = SeenIn(0, Cutout(np.ones((10, 10), bool), u0, 0, 2))
    place = None if x is None else (x, 0.0, 0.0)
    covariance = None if np.isnan(std) else isotropic(std)
    return FoundObject((seen,), position=place, covariance=covariance, frame_id="map", label=label)


def known(*things, stamp_ns=0):
    places = KnownPlaces(8, 10**12)
    marks = []
    for number, (item, u) in enumerate(things, 1):
        seen = MarkObservation(0, u, 10.0, 4.0, 1.0, 1.0, 100, (0, 0, 1, 1))
        marks.append(
            Mark(
                number,
                (seen,),
                item.position,
                label=item.label,
                frame_id="map",
                covariance=item.covariance,
            )
        )
    places.keep(marks, [frame(stamp_ns)])
    return places


def numbers(places, *things, stamp_ns=5):
    return [item.number for item in places.recall(things, [frame(stamp_ns)])]


def test_a_place_is_known_again_within_its_uncertainty():
    places = known((thing(0.0), 10.0), (thing(2.0), 50.0))
    assert numbers(places, thing(2.1), thing(0.1)) == [2, 1]
    assert numbers(places, thing(0.6), thing(9.0)) == [0, 0]
    assert numbers(places, thing(None)) == [0]


def test_two_that_fit_about_equally_are_new():
    places = known((thing(0.0), 10.0), (thing(0.2), 50.0))
    assert numbers(places, thing(0.1)) == [0]
    assert numbers(known((thing(0.0), 10.0)), thing(0.05), thing(-0.05)) == [0, 0]


def test_another_label_or_frame_is_another_object():
    places = known((thing(0.0, label="mug"), 10.0))
    assert numbers(places, thing(0.0, label="cup")) == [0]
    assert numbers(places, thing(0.0, label="Mug")) == [1]
    assert numbers(places, dataclasses.replace(thing(0.0), frame_id="odom")) == [0]


def test_in_a_shared_picture_the_old_disc_decides():
    places = known((thing(None), 10.0), (thing(None), 50.0))
    assert numbers(places, thing(None, u0=40), thing(None), stamp_ns=0) == [2, 1]
    assert numbers(places, thing(None), stamp_ns=5) == [0]


def test_what_is_kept_is_bounded_and_forgotten():
    places = KnownPlaces(2, 100)
    for number in (1, 2, 3):
        seen = MarkObservation(0, 5.0, 5.0, 4.0, 1.0, 1.0, 100, (0, 0, 1, 1))
        places.keep([Mark(number, (seen,))], [frame(number)])
    assert len(places) == 2
    seen = MarkObservation(0, 5.0, 5.0, 4.0, 1.0, 1.0, 100, (0, 0, 1, 1))
    places.keep([Mark(9, (seen,))], [frame(1000)])
    assert len(places) == 1


@pytest.mark.parametrize("poses", [True, False])
def test_a_map_keeps_numbers_of_cameras_without_depth(poses):
    name = "rgb" if poses else "rgb_no_poses"
    hand = make_scene(dataclasses.replace(CONDITIONS[name], views=(7, 7)), 200)
    frames = hand.views.frames
    seen, config = InstanceMap(), MarksConfig()
    owners = []
    for views in (frames[:5], frames[2:]):
        found = seen(ViewSet(views), config, "")
        assert found.route == "tracks"
        owners.append(
            {
                mark.number: int(views[o.view].labels[round(o.v), round(o.u)])
                for mark in found.marks
                for o in mark.observations[:1]
            }
        )
    both = owners[0].keys() & owners[1].keys()
    assert len(both) >= 2
    assert all(owners[0][number] == owners[1][number] for number in both)
    # Hours later nothing is known any more: no number comes again.
    late = [
        dataclasses.replace(f, stamp_ns=f.stamp_ns + 10**14, sha256=f"{f.sha256}x") for f in frames
    ]
    again = seen(ViewSet(tuple(late[:5])), config, "")
    assert again.marks
    assert not {mark.number for mark in again.marks} & (owners[0].keys() | owners[1].keys())


def test_detected_objects_keep_their_numbers_over_scenes():
    ring = make_scene(dataclasses.replace(CONDITIONS["clean"], rigs=("ring",), views=(6, 6)), 3)
    frames, detections = ring.views.frames, []
    for frame in frames:
        for item in ring.world.objects:
            rows, columns = np.nonzero(frame.labels == item.object_id)
            if len(rows) > 300:
                box = (columns.min(), rows.min(), columns.max(), rows.max())
                name = f"{item.shape} {item.object_id}"
                detections.append(
                    Detection(frame.camera, frame.stamp_ns, tuple(map(float, box)), name)
                )
    find, config = detection_finder(detections), MarksConfig(max_marks=3)
    named = []
    for views in (frames[:3], frames[3:], frames[:3]):
        found = find(ViewSet(views), config, "")
        assert len(found.marks) == 3
        named.append({(mark.number, mark.label) for mark in found.marks})
    assert named[0] == named[2]
    labels = dict(named[0] | named[1])
    assert len(labels) == len(set(labels.values())) == len(named[0] | named[1])


def test_numbers_begin_anew_before_they_outgrow_the_disc():
    memory, said = NumberMemory(), []
    seen = MarkObservation(0, 5.0, 5.0, 4.0, 1.0, 1.0, 100, (0, 0, 1, 1))
    for turn in range(40):

        def find(numbers, turn=turn):
            first = max(numbers.used(), default=0) + 1
            marks = tuple(Mark(first + i, (seen,)) for i in range(3))
            numbers.keep(marks, [frame(turn)])
            return MarkSet(marks)

        found = memory.remembering(find, 3)
        assert max(mark.number for mark in found.marks) <= 99
        said += found.warnings
    assert len(said) == 1 and said[0].code == "marks_renumbered"
