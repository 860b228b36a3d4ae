"""The tables of a memory, their version, and the way from older versions to this one.

Everything that an answer says is a row here: an instance is a thing, a stay is a thing at one
place, an interval is a span of time during which a stay was seen, and an absence is a span during
which its place was looked through and it was not there. Lengths are metres in the coordinate frame
of the map, stamps integer nanoseconds. Rows of instances and stays are never deleted by the quota.
"""

from __future__ import annotations

import sqlite3

from oryx_scene.errors import MemoryStoreError

# "OrxM": tells a memory from any other SQLite file.
APPLICATION_ID = 0x4F72784D
VERSION = 1

TABLES = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- One coordinate frame in which places can be compared; frame_id is its name in the recordings.
CREATE TABLE maps (id INTEGER PRIMARY KEY, frame_id TEXT NOT NULL);
-- One recording or one run of a node. done_ns: newest stamp of which all rows are here.
-- alignment: how its places are known to be in the map ("first", "measured", "stated", "apart").
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, map INTEGER NOT NULL REFERENCES maps, source TEXT NOT NULL,
    fingerprint TEXT NOT NULL, alignment TEXT NOT NULL, agreement REAL, complete INTEGER NOT NULL,
    first_ns INTEGER, done_ns INTEGER, frames INTEGER NOT NULL DEFAULT 0,
    not_localised INTEGER NOT NULL DEFAULT 0, settings TEXT NOT NULL DEFAULT '{}');
-- same_as: a later look showed that this is another instance, which had moved.
-- windows: in so many windows of views it was told apart as a thing, of so many (chances) that
-- show its surface: a piece of a wall is told apart once and never again.
-- bright, red_green, yellow_blue: its paint (marks.paint). ball ... flat: mean squared
-- misfits of its surface to the shapes, of so many views (shaped).
CREATE TABLE instances (
    id INTEGER PRIMARY KEY, map INTEGER NOT NULL REFERENCES maps, same_as INTEGER REFERENCES
    instances, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, views INTEGER NOT NULL,
    windows INTEGER NOT NULL, chances INTEGER NOT NULL DEFAULT 1,
    bright REAL, red_green REAL, yellow_blue REAL,
    ball REAL, box REAL, cylinder REAL, flat REAL, shaped INTEGER NOT NULL DEFAULT 0);
CREATE TABLE labels (
    instance INTEGER NOT NULL REFERENCES instances, label TEXT NOT NULL, views INTEGER NOT NULL,
    PRIMARY KEY (instance, label)) WITHOUT ROWID;
-- covariance: nine float64 by rows, square metres. surface: (n, 6) float32 points and paint.
CREATE TABLE stays (
    id INTEGER PRIMARY KEY, instance INTEGER NOT NULL REFERENCES instances,
    x REAL NOT NULL, y REAL NOT NULL, z REAL NOT NULL, covariance BLOB NOT NULL,
    size_x REAL NOT NULL, size_y REAL NOT NULL, size_z REAL NOT NULL,
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, surface BLOB NOT NULL);
CREATE INDEX stays_by_instance ON stays (instance);
CREATE VIRTUAL TABLE places USING rtree(
    stay, low_x, high_x, low_y, high_y, low_z, high_z);
CREATE TABLE intervals (
    id INTEGER PRIMARY KEY, stay INTEGER NOT NULL REFERENCES stays, session INTEGER NOT NULL
    REFERENCES sessions, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,
    views INTEGER NOT NULL);
CREATE INDEX intervals_by_stay ON intervals (stay, last_ns);
-- changed_share: of the points of its surface that these views judge, the share that is gone.
-- sure: one of the views saw nearly all of its place free: two views are enough, else three.
CREATE TABLE absences (
    id INTEGER PRIMARY KEY, stay INTEGER NOT NULL REFERENCES stays, session INTEGER NOT NULL
    REFERENCES sessions, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,
    views INTEGER NOT NULL, changed_share REAL NOT NULL, sure INTEGER NOT NULL);
CREATE INDEX absences_by_stay ON absences (stay, last_ns);
-- pose: T_map_camera, sixteen float64 by rows. picture, depth: file name, NULL once dropped.
CREATE TABLE keyframes (
    id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions, camera TEXT NOT NULL,
    stamp_ns INTEGER NOT NULL, frame_id TEXT NOT NULL, pose BLOB NOT NULL, shift_std REAL,
    turn_std REAL, intrinsics TEXT NOT NULL, reason TEXT NOT NULL,
    picture TEXT, picture_bytes INTEGER NOT NULL DEFAULT 0,
    depth TEXT, depth_bytes INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX keyframes_by_stamp ON keyframes (session, stamp_ns, camera);
CREATE INDEX keyframes_with_picture ON keyframes (id) WHERE picture IS NOT NULL;
-- Where a stay is seen from: box in pixels of the keyframe's picture.
CREATE TABLE sightings (
    id INTEGER PRIMARY KEY, stay INTEGER NOT NULL REFERENCES stays, keyframe INTEGER NOT NULL
    REFERENCES keyframes, u REAL NOT NULL, v REAL NOT NULL, u0 REAL NOT NULL, v0 REAL NOT NULL,
    u1 REAL NOT NULL, v1 REAL NOT NULL, visible REAL, area REAL NOT NULL);
CREATE INDEX sightings_by_stay ON sightings (stay);
CREATE INDEX sightings_by_keyframe ON sightings (keyframe);
CREATE TABLE crops (
    id INTEGER PRIMARY KEY, stay INTEGER NOT NULL REFERENCES stays, camera TEXT NOT NULL,
    stamp_ns INTEGER NOT NULL, area REAL NOT NULL, picture TEXT NOT NULL,
    picture_bytes INTEGER NOT NULL);
CREATE INDEX crops_by_stay ON crops (stay);
-- The ground that was driven: base_link where a mounting is known, else below the camera.
CREATE TABLE path (
    id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions,
    stamp_ns INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL, z REAL NOT NULL,
    yaw REAL NOT NULL);
CREATE INDEX path_by_stamp ON path (stamp_ns);
-- Upright backdrop of the surroundings, one mean point and level normal per cell: what frames and
-- later sessions are laid onto.
CREATE TABLE walls (
    map INTEGER NOT NULL REFERENCES maps, cell INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL,
    z REAL NOT NULL, nx REAL NOT NULL, ny REAL NOT NULL, views REAL NOT NULL,
    PRIMARY KEY (map, cell)) WITHOUT ROWID;
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, asked_ns INTEGER NOT NULL, question TEXT NOT NULL, text TEXT NOT NULL,
    status TEXT NOT NULL, evidence TEXT NOT NULL);
CREATE VIRTUAL TABLE answer_words USING fts5(question, text, content=answers, content_rowid=id);
CREATE TRIGGER answers_in AFTER INSERT ON answers BEGIN
    INSERT INTO answer_words (rowid, question, text) VALUES (new.id, new.question, new.text);
END;
CREATE TRIGGER answers_out AFTER DELETE ON answers BEGIN
    INSERT INTO answer_words (answer_words, rowid, question, text)
    VALUES ('delete', old.id, old.question, old.text);
END;
"""

# version -> what makes the next one of it.
MIGRATIONS: dict[int, str] = {}


def create(connection: sqlite3.Connection) -> None:
    """Make all tables in an empty database."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _whole(
        connection,
        f"{TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};",
    )


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Bring an older memory to this version, each step wholly or not at all."""
    for step in range(version_of(connection, name), VERSION):
        _whole(connection, f"{MIGRATIONS[step]} PRAGMA user_version = {step + 1};")


def _whole(connection: sqlite3.Connection, script: str) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {script} COMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection, name: str) -> int:
    """Version of an open memory.

    Raises:
        MemoryStoreError: another kind of database, or a version from the future.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise MemoryStoreError(name, "its database is an SQLite file, but not a memory.")
    if version > VERSION:
        raise MemoryStoreError(
            name,
            f"has version {version}; this program reads up to {VERSION}.",
            hint="use a newer oryx-scene",
        )
    return int(version)
