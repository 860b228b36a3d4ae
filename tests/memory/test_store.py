"""A memory's files: one writer, readers beside it, killed writers, cut files, the quota."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.errors import MemoryStoreError
from oryx_scene.memory import schema
from oryx_scene.memory.store import DATABASE, LEAST_QUOTA, open_memory

WRITER = textwrap.dedent(
    """
    import os, sys, time
    from oryx_scene.memory.store import open_memory
    store = open_memory(sys.argv[1], write=True)
    with store.transaction():
        frame = store.insert("maps", frame_id="map")
        session = store.insert("sessions", map=frame, source="s", fingerprint="f",
                               alignment="first", complete=0)
    number = 0
    while True:
        number += 1
        with store.transaction():
            keyframe = store.insert("keyframes", session=session, camera="c", stamp_ns=number,
                                    frame_id="o", pose=b"", intrinsics="", reason="floor")
            name = store.put_file("pictures", keyframe, ".jpg", os.urandom(3000))
            store.update("keyframes", keyframe, picture=name, picture_bytes=3000)
            store.insert("path", session=session, stamp_ns=time.time_ns(), x=0, y=0, z=0, yaw=0)
        print(number, flush=True)
    """
)


def files_bytes(folder):
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # dropped between the listing and the look
    return total


def begin(store):
    """A map and a session to hang rows on."""
    frame = store.insert("maps", frame_id="map")
    return frame, store.insert(
        "sessions", map=frame, source="s", fingerprint="f", alignment="first", complete=0
    )


def add_stay(store, frame, surface=b""):
    instance = store.insert("instances", map=frame, first_ns=0, last_ns=0, views=1, windows=1)
    stay = store.insert(
        "stays",
        instance=instance,
        **dict.fromkeys(("x", "y", "z", "size_x", "size_y", "size_z"), 0.0),
        covariance=b"",
        first_ns=0,
        last_ns=0,
        surface=surface,
    )
    return instance, stay


def add_keyframe(store, session, stamp_ns, size=0):
    row = store.insert(
        "keyframes",
        session=session,
        camera="c",
        stamp_ns=stamp_ns,
        frame_id="o",
        pose=b"",
        intrinsics="",
        reason="floor",
    )
    if size:
        name = store.put_file("pictures", row, ".jpg", os.urandom(size))
        if name is not None:
            store.update("keyframes", row, picture=name, picture_bytes=size)
    return row


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A memory whose writer was killed in the middle: (folder, transactions it reported, when)."""
    folder = tmp_path_factory.mktemp("killed") / "memory"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    reported = [int(writer.stdout.readline()) for _ in range(40)]
    killed_ns = time.time_ns()
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    rest = [int(line) for line in writer.stdout.read().split()]
    writer.stdout.close()
    return folder, max([*reported, *rest]), killed_ns


def copied(killed, tmp_path):
    return shutil.copytree(killed[0], tmp_path / "copy")


def test_a_killed_writer_loses_at_most_a_second(killed, tmp_path):
    with open_memory(copied(killed, tmp_path)) as store:
        count, newest = store.rows("SELECT count(*), max(stamp_ns) FROM path")[0]
    assert count >= killed[1]
    assert killed[2] - newest < 1_000_000_000


def test_after_a_kill_rows_and_files_agree(killed, tmp_path):
    folder = copied(killed, tmp_path)
    (folder / "pictures" / "00000" / "99999999.jpg.part").write_bytes(b"half")
    with open_memory(folder, write=True) as store:
        named = {row[0] for row in store.rows("SELECT picture FROM keyframes")}
        assert store.missing == 0
    there = {p.relative_to(folder).as_posix() for p in folder.glob("pictures/*/*")}
    assert there == named


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.0, 1.0))
def test_a_log_cut_off_anywhere_opens_again(killed, tmp_path_factory, share):
    folder = shutil.copytree(killed[0], tmp_path_factory.mktemp("cut") / "copy")
    log = folder / f"{DATABASE}-wal"
    size = log.stat().st_size
    assert size > 0
    os.truncate(log, round(share * size))
    with open_memory(folder, write=True) as store:
        assert store.rows("PRAGMA integrity_check")[0][0] == "ok"
        assert not store.rows("PRAGMA foreign_key_check")
        # Both rows of a transaction are there or neither.
        assert (
            store.rows("SELECT count(*) FROM keyframes")[0][0]
            == store.rows("SELECT count(*) FROM path")[0][0]
        )


def test_a_damaged_database_is_named_and_left_as_it_is(tmp_path):
    with open_memory(tmp_path / "m", write=True) as store, store.transaction():
        begin(store)
    path = tmp_path / "m" / DATABASE
    damaged = b"not SQLite at all" * 100
    path.write_bytes(damaged)
    for write in (False, True):
        with pytest.raises(MemoryStoreError, match="not a database"):
            open_memory(tmp_path / "m", write=write)
    assert path.read_bytes() == damaged


def test_another_database_is_no_memory(tmp_path):
    other = sqlite3.connect(tmp_path / DATABASE)
    other.execute("CREATE TABLE a (b)")
    other.commit()
    other.close()
    with pytest.raises(MemoryStoreError, match="not a memory"):
        open_memory(tmp_path)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(MemoryStoreError, match=r"notes\.txt"):
        open_memory(tmp_path, write=True)
    assert [item.name for item in tmp_path.iterdir()] == ["notes.txt"]


def test_one_writer_at_a_time(tmp_path):
    with (
        open_memory(tmp_path / "m", write=True),
        pytest.raises(MemoryStoreError, match="another program is writing"),
    ):
        open_memory(tmp_path / "m", write=True)
    open_memory(tmp_path / "m", write=True).close()


def test_two_readers_beside_the_writer(tmp_path):
    with open_memory(tmp_path / "m", write=True) as writer:
        with writer.transaction():
            frame, _ = begin(writer)
        with open_memory(tmp_path / "m") as first, open_memory(tmp_path / "m") as second:
            for count in range(1, 4):
                with writer.transaction():
                    add_stay(writer, frame)
                    # What is not committed is not seen.
                    assert first.rows("SELECT count(*) FROM stays")[0][0] == count - 1
                for reader in (first, second):
                    assert reader.rows("SELECT count(*) FROM stays")[0][0] == count
            with pytest.raises(MemoryStoreError):
                first.insert("maps", frame_id="x")


def test_a_transaction_that_fails_leaves_nothing(tmp_path):
    with open_memory(tmp_path / "m", write=True) as store:
        with pytest.raises(RuntimeError), store.transaction():
            begin(store)
            raise RuntimeError
        assert store.rows("SELECT count(*) FROM maps")[0][0] == 0


def test_an_older_version_is_brought_up_to_date(tmp_path, monkeypatch):
    folder = tmp_path / "m"
    with open_memory(folder, write=True) as store, store.transaction():
        begin(store)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    step = "ALTER TABLE maps ADD COLUMN note TEXT NOT NULL DEFAULT 'old'; BAD SQL;"
    monkeypatch.setitem(schema.MIGRATIONS, schema.VERSION - 1, step)
    # A step that fails changes nothing, whatever it had begun.
    with pytest.raises(MemoryStoreError):
        open_memory(folder, write=True)
    monkeypatch.setitem(schema.MIGRATIONS, schema.VERSION - 1, step.replace("BAD SQL;", ""))
    with pytest.raises(MemoryStoreError, match="older version"):
        open_memory(folder)
    with open_memory(folder, write=True) as store:
        assert [tuple(row) for row in store.rows("SELECT frame_id, note FROM maps")] == [
            ("map", "old")
        ]
    with open_memory(folder) as store:
        assert store.rows("PRAGMA user_version")[0][0] == schema.VERSION


def test_a_version_from_the_future_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    open_memory(tmp_path / "m", write=True).close()
    monkeypatch.undo()
    for write in (False, True):
        with pytest.raises(MemoryStoreError, match="newer oryx-scene"):
            open_memory(tmp_path / "m", write=write)


def test_tables_of_version_1_are_those_that_were_published(tmp_path):
    """Whoever changes a table raises the version and writes a migration."""
    with open_memory(tmp_path / "m", write=True) as store:
        names = ("maps", "sessions", "instances", "stays", "intervals", "absences", "keyframes")
        columns = {
            name: [row["name"] for row in store.rows(f"PRAGMA table_info({name})")]
            for name in names
        }
    assert schema.VERSION == 1
    assert columns["absences"] == [
        *("id", "stay", "session", "first_ns", "last_ns", "views", "changed_share", "sure")
    ]
    assert columns["intervals"] == ["id", "stay", "session", "first_ns", "last_ns", "views"]
    assert {name: len(found) for name, found in columns.items()} == {
        "maps": 2,
        "sessions": 12,
        "instances": 16,
        "stays": 12,
        "intervals": 6,
        "absences": 8,
        "keyframes": 14,
    }


def test_pictures_go_before_crops_and_rows_of_stays_never(tmp_path):
    folder = tmp_path / "m"
    with open_memory(folder, write=True, quota_bytes=LEAST_QUOTA) as store:
        with store.transaction():
            frame, session = begin(store)
        stays = 0
        for number in range(120):
            with store.transaction():
                _, stay = add_stay(store, frame, os.urandom(2000))
                stays += 1
                add_keyframe(store, session, number, 60_000)
                name = store.put_file("crops", stay, ".jpg", os.urandom(3000))
                if name is not None:
                    store.insert(
                        "crops",
                        id=stay,
                        stay=stay,
                        camera="c",
                        stamp_ns=number,
                        area=1,
                        picture=name,
                        picture_bytes=3000,
                    )
                assert files_bytes(folder) <= LEAST_QUOTA
            assert files_bytes(folder) <= LEAST_QUOTA
        pictures, newest = store.rows(
            "SELECT count(*), max(stamp_ns) FROM keyframes WHERE picture NOT NULL"
        )[0]
        assert 0 < pictures < 120 and newest == 119
        assert store.rows("SELECT count(*) FROM crops")[0][0] == 120
        assert store.rows("SELECT count(*) FROM stays")[0][0] == stays
        assert store.size_bytes == files_bytes(folder)


def test_rows_of_stays_alone_fill_the_quota_with_an_error_and_stay(tmp_path):
    folder, stays = tmp_path / "m", 0
    with open_memory(folder, write=True, quota_bytes=LEAST_QUOTA) as store:
        with store.transaction():
            frame, session = begin(store)
        with pytest.raises(MemoryStoreError, match="raise --quota"):
            for number in range(10_000):
                with store.transaction():
                    _, stay = add_stay(store, frame, os.urandom(3000))
                    for _ in range(5):
                        store.insert(
                            "intervals",
                            stay=stay,
                            session=session,
                            first_ns=number,
                            last_ns=number,
                            views=1,
                        )
                stays += 1
        assert stays > 100
        assert files_bytes(folder) <= LEAST_QUOTA
        assert store.rows("SELECT count(*) FROM stays")[0][0] == stays
        # Of every stay the newest interval is left.
        assert store.rows("SELECT count(DISTINCT stay) FROM intervals")[0][0] == stays
    # A larger quota takes it up again.
    with open_memory(folder, write=True, quota_bytes=4 * LEAST_QUOTA) as store, store.transaction():
        add_stay(store, frame)


def test_the_only_picture_of_a_stay_outlives_those_of_well_covered_ones(tmp_path):
    with open_memory(tmp_path / "m", write=True, quota_bytes=LEAST_QUOTA) as store:
        with store.transaction():
            frame, session = begin(store)
            _, rare = add_stay(store, frame)
            _, common = add_stay(store, frame)
        for number in range(150):
            with store.transaction():
                row = add_keyframe(store, session, number, 60_000)
                for stay in (rare, common) if number == 0 else (common,):
                    box = dict.fromkeys(("u", "v", "u0", "v0", "u1", "v1", "area"), 1.0)
                    store.insert("sightings", stay=stay, keyframe=row, **box)
        kept = store.rows("SELECT stamp_ns FROM keyframes WHERE picture NOT NULL")
        assert min(row[0] for row in kept) == 0 and len(kept) < 100


def test_a_missing_picture_is_counted_and_its_row_stays(tmp_path):
    with open_memory(tmp_path / "m", write=True) as store, store.transaction():
        _, session = begin(store)
        row = add_keyframe(store, session, 1, 100)
    next((tmp_path / "m").glob("pictures/*/*")).unlink()
    with open_memory(tmp_path / "m", write=True) as store:
        assert store.missing == 1
        assert tuple(store.rows("SELECT id, picture FROM keyframes")[0]) == (row, None)


def test_a_quota_below_the_least_is_refused(tmp_path):
    with pytest.raises(MemoryStoreError, match="at least"):
        open_memory(tmp_path / "m", write=True, quota_bytes=LEAST_QUOTA - 1)
    assert not (tmp_path / "m").exists()
