"""Forgetting: rows, pictures and every byte of them; what lies outside of the scope stays."""

import dataclasses
import shutil
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered_drive import START_NS, Drive, a_world, circle
from test_where import AFTER, BEFORE, CHANGED_S

from oryx_scene.errors import ConfigError, MemoryStoreError
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.memory import vacuum
from oryx_scene.memory.erasure import Scope, _crossing, forget
from oryx_scene.memory.recorder import remember
from oryx_scene.memory.store import DATABASE, open_memory
from oryx_scene.memory.where import keep_answer, where

GREEN = ("the green cylinder", (-0.6, -0.7))
# In the walls' colours nothing else is named so.
SECRET = "zwetschgenknoedel"
SECOND_ROUND_NS = START_NS + 25 * 10**9


def region(x, y, half=0.5):
    return Scope(low=(x - half, y - half, -0.5), high=(x + half, y + half, 1.5))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two rounds of twelve seconds in a room; between them things change; one answer is kept."""
    folder = tmp_path_factory.mktemp("recorded") / "memory"
    before, after = a_world(BEFORE), a_world(AFTER)
    places = [*circle(seconds=12), *circle(seconds=12, begin_s=30.0)]
    source = Drive(lambda s: before if s < CHANGED_S else after, places)
    with open_memory(folder, write=True) as store:
        remember(source, store, "day")
        for words in (GREEN[0], "the yellow box"):
            answer = dataclasses.replace(where(store, words), question=f"{words} {SECRET}")
            keep_answer(store, answer, f"{SECRET}: it is there")
    return folder


@pytest.fixture
def folder(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "memory")


def erase(folder, scope, **options):
    with open_memory(folder, write=True) as store:
        return forget(store, scope, **options)


def status(folder, words):
    with open_memory(folder) as store:
        return where(store, words).status


def rows(folder, sql):
    with open_memory(folder) as store:
        return [tuple(row) for row in store.rows(sql)]


def everything_on_disk(folder):
    """The bytes of all files of the database."""
    return b"".join(path.read_bytes() for path in folder.glob(f"{DATABASE}*"))


def traces(folder, where_sql="1"):
    """Bytes that only rows of stays have: surfaces, and places of the R*Tree (big-endian)."""
    found = [row[0][:600] for row in rows(folder, f"SELECT surface FROM stays WHERE {where_sql}")]
    ids = rows(folder, f"SELECT id FROM stays WHERE {where_sql}")
    for (stay,) in ids:
        (bounds,) = rows(folder, f"SELECT * FROM places WHERE stay = {stay}")
        found.append(struct.pack(">q6f", *bounds))
    assert found and all(found)
    return found


def files(folder):
    kinds = ("pictures", "depth", "crops")
    return {p.relative_to(folder).as_posix() for kind in kinds for p in folder.glob(f"{kind}/*/*")}


def named(folder):
    return {
        row[0]
        for row in rows(
            folder,
            "SELECT picture FROM keyframes WHERE picture NOT NULL UNION SELECT depth FROM "
            "keyframes WHERE depth NOT NULL UNION SELECT picture FROM crops",
        )
    }


def assert_whole(folder):
    with open_memory(folder, write=True) as store:
        assert store.rows("PRAGMA integrity_check")[0][0] == "ok"
        assert not store.rows("PRAGMA foreign_key_check")
        store.rows("INSERT INTO answer_words (answer_words) VALUES ('integrity-check')")
        assert [r[0] for r in store.rows("SELECT id FROM stays ORDER BY id")] == [
            r[0] for r in store.rows("SELECT stay FROM places ORDER BY stay")
        ]
        assert store.size_bytes == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert files(folder) == named(folder)


def test_everything_leaves_no_byte(folder):
    spied = [*traces(folder), SECRET.encode(), b"day"]
    disk = everything_on_disk(folder)
    assert all(trace in disk for trace in spied)
    found = erase(folder, Scope())
    disk = everything_on_disk(folder)
    assert not any(trace in disk for trace in spied)
    assert files(folder) == set()
    assert found.instances >= 5 and found.answers == 2 and found.keyframes and found.crops
    assert found.freed_bytes > 100_000 and not found.warnings
    assert status(folder, "the yellow box") == "never"
    assert_whole(folder)


def test_a_region_goes_with_its_pictures_and_the_rest_stays(folder):
    x, y = GREEN[1]
    gone = traces(folder, f"abs(x - {x}) < 0.3 AND abs(y - {y}) < 0.3")
    kept = traces(folder, "abs(x - 0.7) < 0.3 AND abs(y + 0.8) < 0.3")
    found = erase(folder, region(x, y))
    disk = everything_on_disk(folder)
    assert not any(trace in disk for trace in gone)
    assert all(trace in disk for trace in kept)
    assert status(folder, GREEN[0]) == "never"
    assert status(folder, "the yellow box") == "seen"
    assert found.answers == 1 and rows(folder, "SELECT count(*) FROM answers") == [(1,)]
    assert_whole(folder)


def test_no_kept_picture_shows_the_region(folder):
    """By the depth of the world itself: no pixel of a kept view lies in the region."""
    # Under the robot's way: who drives there looks over it.
    scope = region(-1.8, 0.0, 0.2)
    before = rows(folder, "SELECT count(*) FROM keyframes")[0][0]
    found = erase(folder, scope)
    assert 0 < found.keyframes < before
    world = a_world(BEFORE)
    source = Drive(lambda s: world, [*circle(seconds=12), *circle(seconds=12, begin_s=30.0)])
    kept = {row[0] for row in rows(folder, "SELECT stamp_ns FROM keyframes")}
    assert kept
    for stub in source.stubs():
        if stub.stamp_ns in kept:
            frame = source.load(stub)
            v, u = np.nonzero(np.isfinite(frame.depth) & (frame.depth > 0))
            z = frame.depth[v, u].astype(float)
            K = frame.intrinsics.K
            points = np.stack([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z], 1)
            points = transform_points(frame.T_fixed_camera, points)
            inside = ((points >= scope.low) & (points <= scope.high)).all(axis=1)
            assert not inside.any()


def test_a_span_of_time_takes_what_was_known_from_then_only(folder):
    # The purple ball was seen in the second round only, the red box in the first only.
    stays = rows(folder, "SELECT count(*) FROM stays")[0][0]
    found = erase(folder, Scope(since_ns=SECOND_ROUND_NS))
    assert status(folder, "the purple ball") == "never"
    with open_memory(folder) as store:
        # Its absence was seen in the second round.
        red = where(store, "the red box", START_NS + 60 * 10**9)
        assert red.status == "seen" and red.last_seen_ns < START_NS + 12 * 10**9
    for table, column in (
        ("intervals", "last_ns"),
        ("absences", "last_ns"),
        ("keyframes", "stamp_ns"),
        ("crops", "stamp_ns"),
        ("path", "stamp_ns"),
        ("stays", "last_ns"),
    ):
        newest = rows(folder, f"SELECT max({column}) FROM {table}")[0][0]
        assert newest is None or newest < SECOND_ROUND_NS, table
    assert 0 < found.stays < stays
    # What was seen in both rounds keeps its look, and walls have no stamp: that is said.
    assert [item.code for item in found.warnings] == ["memory_kept_together"]
    assert_whole(folder)


def test_a_region_in_a_span_keeps_what_was_seen_there_before(folder):
    x, y = GREEN[1]
    scope = dataclasses.replace(region(x, y), since_ns=SECOND_ROUND_NS)
    erase(folder, scope)
    with open_memory(folder) as store:
        green, yellow = where(store, GREEN[0]), where(store, "the yellow box")
    assert green.last_seen_ns < SECOND_ROUND_NS < yellow.last_seen_ns


def test_a_dry_run_counts_the_same_and_changes_nothing(folder):
    before = everything_on_disk(folder), files(folder)
    scope = region(*GREEN[1])
    counted = erase(folder, scope, dry_run=True)
    assert counted.freed_bytes == 0 and files(folder) == before[1]
    assert status(folder, GREEN[0]) == "seen"
    assert dataclasses.replace(erase(folder, scope), freed_bytes=0) == counted


@pytest.fixture(scope="module")
def one_interval(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "memory"
    with open_memory(folder, write=True) as store, store.transaction():
        frame = store.insert("maps", frame_id="map")
        session = store.insert(
            "sessions", map=frame, source="s", fingerprint="f", alignment="first", complete=0
        )
        instance = store.insert("instances", map=frame, first_ns=10, last_ns=20, views=3, windows=1)
        numbers = dict.fromkeys(("x", "y", "z", "size_x", "size_y", "size_z"), 0.5)
        stay = store.insert(
            "stays",
            instance=instance,
            **numbers,
            covariance=b"",
            first_ns=10,
            last_ns=20,
            surface=b"",
        )
        store.rows("INSERT INTO places VALUES (?, 0, 1, 0, 1, 0, 1)", stay)
        store.insert("intervals", stay=stay, session=session, first_ns=10, last_ns=20, views=3)
        key = store.insert(
            "keyframes",
            session=session,
            camera="c",
            stamp_ns=14,
            frame_id="o",
            pose=np.eye(4).tobytes(),
            intrinsics="",
            reason="floor",
        )
        box = dict.fromkeys(("u", "v", "u0", "v0", "u1", "v1", "area"), 1.0)
        store.insert("sightings", stay=stay, keyframe=key, **box)
    return folder


@settings(max_examples=30, deadline=None)
@given(first=st.integers(5, 25), length=st.integers(0, 15))
def test_what_is_left_of_an_interval_ends_at_stamps_of_views(
    one_interval, tmp_path_factory, first, length
):
    """Views are known at 10, 14 and 20: no other stamp may be said, and none of the span."""
    folder = shutil.copytree(one_interval, tmp_path_factory.mktemp("cut") / "memory")
    erase(folder, Scope(since_ns=first, until_ns=first + length))
    outside = [stamp for stamp in (10, 14, 20) if not first <= stamp <= first + length]
    found = rows(folder, "SELECT first_ns, last_ns, views FROM intervals ORDER BY first_ns")
    said = {stamp for row in found for stamp in row[:2]}
    touches = first <= 20 and first + length >= 10
    if touches:
        assert said <= set(outside)
        assert sum(row[2] for row in found) == len(outside)
        for low, high, _ in found:
            assert high < first or low > first + length
    else:
        assert found == [(10, 20, 3)]
    assert rows(folder, "SELECT count(*) FROM stays") == [(int(bool(outside)),)]


def test_a_full_memory_can_still_be_forgotten(folder):
    with open_memory(folder, write=True) as store:
        store.quota_bytes = store.size_bytes // 4
        with pytest.raises(MemoryStoreError, match="quota"), store.transaction():
            pass
        assert forget(store, Scope()).instances >= 5


def test_an_erasure_that_was_cut_off_is_finished_by_the_next_writer(folder, monkeypatch):
    spied = [*traces(folder), SECRET.encode()]
    with open_memory(folder, write=True) as store, monkeypatch.context() as patch:
        patch.setattr(vacuum, "_renew_indices", lambda store: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            forget(store, Scope())
    assert status(folder, "the yellow box") == "never"
    open_memory(folder, write=True).close()
    disk = everything_on_disk(folder)
    assert not any(trace in disk for trace in spied)
    assert_whole(folder)


def test_a_reader_that_holds_the_old_rows_is_named(folder, monkeypatch):
    monkeypatch.setattr("oryx_scene.memory.store.BUSY_S", 0.05)
    reader = open_memory(folder)
    reader.rows("BEGIN")
    assert reader.rows("SELECT count(*) FROM stays")[0][0]
    with open_memory(folder, write=True) as store:
        with pytest.raises(MemoryStoreError, match="reader"):
            forget(store, Scope())
        reader.close()
        # Nothing is left to delete; the bytes are overwritten now.
        forget(store, Scope())
    assert SECRET.encode() not in everything_on_disk(folder)


@pytest.mark.parametrize(
    "corners",
    [
        {"low": (0, 0, 0)},
        {"low": (0, 0, 0), "high": (1, 0, 1)},
        {"low": (0, 0, 0), "high": (1, float("nan"), 1)},
        {"since_ns": 2, "until_ns": 1},
    ],
)
def test_a_scope_that_holds_nothing_is_refused(corners):
    with pytest.raises(ConfigError):
        Scope(**corners)


def test_crossing_of_a_ray_and_a_box_exact():
    T = np.eye(4)
    T[:3, 3] = (0.0, 0.0, -2.0)
    box = np.array([[-0.5, -0.5, 0.0], [0.5, 0.5, 1.0]])
    near, far = _crossing(T, np.array([[0.0, 0.0], [0.2, 0.0], [0.3, 0.0]]), box)
    # Straight ahead from 2 to 3 m; the second leaves through the side at x = 0.5.
    assert near[:2].tolist() == [2.0, 2.0] and far[:2].tolist() == [3.0, 2.5]
    assert near[2] > far[2]
    assert np.allclose(invert(T) @ T, np.eye(4))
