"""Exact cases of the transform buffer and of the trees that a camera sees."""

import numpy as np
import pytest

from oryx_scene.errors import CalibrationError, TransformError
from oryx_scene.geometry.tf_buffer import TransformBuffer
from oryx_scene.geometry.tf_trees import TransformTrees, tf_namespace
from oryx_scene.geometry.transforms import from_translation_rpy, invert


def at_x(x):
    T = np.eye(4)
    T[0, 3] = x
    return T


def aside(y):
    """To be added to a transform."""
    T = np.zeros((4, 4))
    T[1, 3] = y
    return T


def moving(parent="map", child="base", stamps=(10, 20, 30)):
    found = TransformBuffer()
    for stamp in stamps:
        found.add(parent, child, stamp, at_x(stamp))
    return found


def place(buffer, stamp, target="map", source="base"):
    return buffer.lookup(target, source, stamp)[0, 3]


def test_samples_may_come_in_any_order_and_the_later_word_wins():
    found = moving(stamps=(30, 10, 20))
    assert [place(found, stamp) for stamp in (10, 15, 20, 25, 30)] == [10, 15, 20, 25, 30]
    found.add("map", "base", 20, at_x(100))
    assert (place(found, 20), place(found, 15)) == (100, 55)
    assert found.coverage("map", "base") == (10, 30)


def test_a_lookup_goes_down_the_targets_branch():
    found = TransformBuffer()
    T_base_left = from_translation_rpy((1, 2, 3), (0.1, 0.2, 0.3))
    T_base_right = from_translation_rpy((-1, 0, 2), (0.3, -0.2, 0.1))
    found.add_static("base", "left", T_base_left)
    found.add_static("/base", "/right", T_base_right)
    assert np.allclose(found.lookup("/left", "right", 0), invert(T_base_left) @ T_base_right)
    assert np.array_equal(found.lookup("left", "/left", 0), np.eye(4))
    # The nearest common ancestor is enough: nothing above it must be known.
    found.add("map", "base", 10, np.eye(4))
    assert np.allclose(found.lookup("left", "right", 99), invert(T_base_left) @ T_base_right)


@pytest.mark.parametrize(("parent", "child"), [("", "base"), ("map", ""), ("/", "base")])
def test_frames_without_a_name_are_refused(parent, child):
    for add in (
        lambda b: b.add(parent, child, 5, np.eye(4)),
        lambda b: b.add_static(parent, child, np.eye(4), since_ns=5),
        lambda b: b.pin(parent, child, np.eye(4)),
    ):
        with pytest.raises(TransformError, match="without a name") as caught:
            add(TransformBuffer())
        assert (caught.value.target, caught.value.source) == (parent.lstrip("/"), child)
    for add in (TransformBuffer.add_static, TransformBuffer.pin):
        with pytest.raises(TransformError) as caught:
            add(TransformBuffer(), parent, child, np.eye(4))
        assert caught.value.stamp_ns == 0


def test_what_is_no_transform_is_refused_with_both_names():
    for add in ("add", "add_static", "pin"):
        arguments = ("map", "base", *([5] if add == "add" else []), np.zeros((4, 4)))
        with pytest.raises(CalibrationError, match="'map -> base'"):
            getattr(TransformBuffer(), add)(*arguments)
    with pytest.raises(TransformError, match="loop") as caught:
        TransformBuffer().add("a", "a", 7, np.eye(4))
    assert caught.value.stamp_ns == 7


def test_what_is_missing_is_said_with_its_frames():
    found = moving(stamps=(10**9, 2 * 10**9))
    found.add_static("base", "cam", np.eye(4))
    with pytest.raises(TransformError, match=r"'map' -> 'base' is known only from 0\.250 s later"):
        found.lookup("map", "cam", 75 * 10**7)
    with pytest.raises(TransformError, match=r"'map' -> 'base' is known only until 0\.500 s earl"):
        found.lookup("cam", "map", 25 * 10**8)
    with pytest.raises(TransformError, match="'nose' is not known") as caught:
        found.lookup("nose", "cam", 10**9)
    assert caught.value.hint == "known are: base, cam, map"
    found.add_static("island", "palm", np.eye(4))
    for ask in (found.lookup, found.newest):
        with pytest.raises(TransformError, match=r"\(roots 'island' and 'map'\)") as caught:
            ask("palm", "cam", 10**9)
        assert (caught.value.target, caught.value.source) == ("palm", "cam")
        assert caught.value.stamp_ns == 10**9
        assert "not published" in caught.value.hint
    with pytest.raises(TransformError, match="'x' is not known") as caught:
        TransformBuffer().newest("x", "y", 3)
    assert caught.value.hint == "known are: none"


def test_where_the_dynamic_samples_end_the_static_transform_holds():
    found = moving(stamps=(10, 20))
    found.add_static("map", "base", at_x(-1), since_ns=5)
    found.add_static("map", "base", at_x(-2), since_ns=25)
    found.add_static("map", "base", at_x(-3), since_ns=22)
    places = [place(found, stamp) for stamp in (0, 10, 15, 21, 22, 24, 25, 26)]
    assert places == [-1, 10, 15, -1, -3, -3, -2, -2]
    # Said earlier by another parent, it stands earlier, whatever the parent's name.
    found = TransformBuffer()
    found.add_static("a", "base", at_x(1), since_ns=9)
    found.add_static("z", "base", at_x(2), since_ns=5)
    assert (place(found, 6, "z"), place(found, 9, "a")) == (2, 1)


def test_between_two_parents_nothing_is_known_and_what_helps_is_said():
    found = moving("map", "cam", (10,))
    found.add("odom", "cam", 20, np.eye(4))
    with pytest.raises(TransformError, match="changes from 'map' to 'odom'") as caught:
        found.lookup("map", "cam", 15)
    assert caught.value.hint == "let only one node publish the parent of 'cam'"


def test_a_parent_that_comes_back_is_a_dispute_and_one_that_changed_is_none():
    found = TransformBuffer()
    for stamp, parent in ((1, "a"), (2, "a"), (3, "b"), (4, "b")):
        found.add(parent, "cam", stamp, np.eye(4))
    assert found.disputed() == {}
    found.add("a", "cam", 5, np.eye(4))
    assert found.disputed() == {"cam": ("a", "b")}
    found.pin("base", "cam", np.eye(4))
    assert found.disputed() == {}
    # One parent, static and moving: they agree on the tree.
    both = moving()
    both.add_static("map", "base", np.eye(4))
    assert both.disputed() == {}


def test_roots_parents_and_frames():
    found = moving()
    found.add_static("base", "cam", np.eye(4))
    assert (found.root_of("/cam"), found.root_of("map"), found.root_of("new")) == (
        "map",
        "map",
        "new",
    )
    assert (found.parent_of("/cam"), found.parent_of("map")) == ("base", None)
    assert found.known_frames() == {"map", "base", "cam"}
    assert found.connected("/map", "/cam") and found.connected("cam", "cam")
    # Connected through a parent of another time.
    found.add("odom", "base", 40, np.eye(4))
    assert found.root_of("cam") == "odom" and found.connected("cam", "map")


def test_the_newest_moment_is_that_of_the_link_that_ends_first():
    found = moving(stamps=(10, 20, 30))
    for stamp in (5, 10, 20):
        found.add("base", "arm", stamp, np.eye(4))
    found.add_static("base", "cam", np.eye(4))
    assert found.newest("/map", "/arm", 0) == found.newest("arm", "map", 0) == 20
    assert found.newest("map", "cam", 0) == 30
    assert found.newest("cam", "arm", 0) == 20
    assert found.newest("nowhere", "/nowhere", 0) is None
    assert found.span() == (5, 30)
    assert TransformBuffer().span() is None
    found.pin("base", "arm", np.eye(4))
    assert (found.newest("map", "arm", 0), found.span()) == (30, (10, 30))
    # Only slashes are no part of a name.
    found.add("X", "/XX/X", 7, np.eye(4))
    assert (found.newest("X", "/XX/X", 0), found.newest("XX/X", "/X", 0)) == (7, 7)
    assert (found.parent_of("/XX/X"), found.root_of("/XX/X")) == ("X", "X")
    assert found.connected("X", "XX/X") and found.coverage("X", "XX/X") == (7, 7)
    assert np.array_equal(found.lookup("X", "XX/X", 7), np.eye(4))


def test_coverage_is_of_a_moving_link_and_its_parent():
    found = moving()
    found.add_static("base", "cam", np.eye(4))
    assert found.coverage("/map", "/base") == (10, 30)
    assert found.coverage("odom", "base") is None
    assert found.coverage("base", "cam") is None
    assert found.coverage("map", "nose") is None


@pytest.mark.parametrize(
    ("history_ns", "count", "left"), [(65, 132, 132), (65, 133, 66), (1, 66, 66), (1, 67, 2)]
)
def test_old_samples_go_when_they_are_more_than_64_and_than_half(history_ns, count, left):
    """Nothing older than the history is needed; sliced seldom, as slicing costs its length."""
    found = TransformBuffer(history_s=history_ns / 1e9)
    for stamp in range(count):
        found.add("map", "base", stamp, at_x(stamp))
    first, last = found.coverage("map", "base")
    assert (last - first + 1, last) == (left, count - 1)
    assert place(found, first) == first


def test_forgetting_keeps_what_has_no_stamp():
    found = moving()
    found.add_static("base", "cam", at_x(1))
    found.add_static("tool", "tip", at_x(3))
    found.pin("base", "arm", at_x(2))
    found.clear()
    assert found.known_frames() == {"base", "cam", "tool", "tip", "arm"}
    assert found.lookup("cam", "arm", 0)[0, 3] == 1.0
    assert (found.parent_of("base"), found.parent_of("tip"), found.span()) == (None, "tool", None)


@pytest.mark.parametrize(
    ("change", "contradict"),
    [
        (lambda b: None, False),
        (lambda b: b.add("map", "base", 40, at_x(0)), False),
        (lambda b: b.add("map", "base", 20, at_x(20 + 1e-7)), False),
        (lambda b: b.add("map", "base", 20, at_x(20 + 1e-2)), True),
        (lambda b: b.add("map", "base", 20, at_x(20) + aside(1e-7)), False),
        (lambda b: b.add("map", "base", 20, at_x(20) + aside(1e-5)), True),
        (lambda b: b.add_static("base", "cam", at_x(0.5)), False),
        (lambda b: b.add("odom", "base", 20, at_x(20)), True),
        (lambda b: b.add_static("map", "base", at_x(0)), True),
        (lambda b: b.add_static("base", "cam", at_x(1)), True),
        (lambda b: b.add_static("base", "other", at_x(1)), False),
    ],
)
def test_two_buffers_contradict_each_other_where_one_frame_differs(change, contradict):
    one, other = moving(), moving()
    for buffer in (one, other):
        buffer.add_static("base", "cam", at_x(0.5))
    change(other)
    assert one.contradicts(other) == other.contradicts(one) == contradict


def test_buffers_without_a_common_moment_contradict_each_other():
    assert moving(stamps=(10, 20)).contradicts(moving(stamps=(11, 21)))
    assert not moving().contradicts(TransformBuffer())
    fixed, other = TransformBuffer(), TransformBuffer()
    fixed.add_static("map", "base", at_x(1))
    other.add_static("map", "base", at_x(1 + 1e-7) + aside(1e-7))
    assert not fixed.contradicts(other)
    other = TransformBuffer()
    other.add_static("map", "base", at_x(2))
    assert fixed.contradicts(other)
    assert fixed.contradicts(moving()) and moving().contradicts(fixed)


def test_of_long_links_a_few_samples_are_compared():
    stamps = range(0, 640, 10)
    one, other = moving(stamps=stamps), moving(stamps=stamps)
    other.add("map", "base", 10, at_x(99))
    assert not one.contradicts(other)  # every fourth of 64
    other.add("map", "base", 40, at_x(99))
    assert one.contradicts(other)


def test_joined_buffers_hold_the_frames_of_both_and_the_own_word_wins():
    one, other = moving(), moving("odom", "base", (1, 2))
    other.add_static("base", "cam", at_x(1))
    found = one.joined(other)
    assert place(found, 20, "map", "cam") == 21
    assert found.parent_of("base") == "map"
    assert one.known_frames() == {"map", "base"}
    assert one.joined(TransformBuffer()) is one


def trees(**by_namespace):
    found = TransformTrees(TransformBuffer())
    for name, buffer in by_namespace.items():
        namespace = name.replace("_", "/") if name != "root" else ""
        tree = found.tree(namespace)
        for child, link in buffer._links.items():
            tree._links[child] = link
    return found


def test_the_namespace_of_a_tf_topic():
    assert [tf_namespace(t) for t in ("/tf", "/tf_static", "/r/tf", "/r/tf_static/")] == [
        "",
        "",
        "/r",
        "/r",
    ]
    assert [tf_namespace(t) for t in ("/tf_truth", "/r/tf_truth")] == ["/tf_truth", "/r/tf_truth"]


def test_a_camera_sees_its_own_tree_first_and_those_above_it():
    root, robot, arm = moving("map", "base"), moving("odom", "base"), moving("base", "hand")
    found = trees(root=root, _r=robot, _r_arm=arm)
    seen, against = found.seen_from("/r/arm/image")
    # /tf above says otherwise of "base": that is another robot's.
    assert (seen.root_of("hand"), against) == ("odom", ())
    seen, _ = found.seen_from("/r/image")
    assert seen.known_frames() == {"odom", "base"}
    # "/rx" is not below "/r".
    seen, _ = found.seen_from("/rx/image")
    assert seen.known_frames() == {"map", "base"}
    assert found.tree("/r") is found.tree("/r")


def test_a_camera_without_a_tree_takes_all_that_agree():
    found = trees(_a=moving("map", "base"), _b=moving("base", "hand"))
    seen, against = found.seen_from("/image")
    assert (seen.known_frames(), against) == ({"map", "base", "hand"}, ())
    found = trees(_b=moving("odom", "base"), _a=moving("map", "base"))
    seen, against = found.seen_from("/image")
    assert (seen.known_frames(), against) == (frozenset(), ("/a", "/b"))
    seen, against = trees().seen_from("/image")
    assert (seen.known_frames(), against) == (frozenset(), ())
