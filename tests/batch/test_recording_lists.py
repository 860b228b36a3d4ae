"""Which recordings a word means, and that content tells them apart, not names."""

from __future__ import annotations

import os
import shutil

import cv2
import numpy as np
import pytest

from oryx_scene.batch.recordings import (
    content_sha256,
    fetch,
    find_recordings,
    fingerprint,
    location_name,
)
from oryx_scene.errors import SourceError


def names(words):
    return [location_name(found) for found in find_recordings([str(word) for word in words])]


@pytest.fixture
def fleet(walls, tmp_path):
    """Folders of two robots: bag folders, loose bag files, pictures, a note."""
    fleet = tmp_path / "fleet"
    (fleet / "robot1").mkdir(parents=True)
    for name in ("a", "b"):
        (fleet / "robot1" / name).symlink_to(walls / name)
    loose = fleet / "robot2" / "loose"
    loose.mkdir(parents=True)
    for name in ("b", "c"):
        shutil.copy(next((walls / name).glob("*.mcap")), loose / f"{name}.mcap")
    (fleet / "notes.txt.md").write_text("not a recording")
    return fleet


def test_a_folder_means_all_recordings_below_it(fleet):
    assert names([fleet]) == ["a", "b", "b.mcap", "c.mcap"]


def test_a_bag_folder_and_a_file_are_one_each(fleet, walls):
    assert names([walls / "a"]) == ["a"]
    assert names([fleet / "robot2" / "loose" / "c.mcap"]) == ["c.mcap"]


def test_a_glob_and_a_list_and_each_only_once(fleet, tmp_path, monkeypatch):
    assert names([f"{fleet}/*/*/c*", f"{fleet}/robot1/a", fleet / "robot1" / "a"]) == [
        "c.mcap",
        "a",
    ]
    listed = tmp_path / "some.txt"
    listed.write_text(f"# of Monday\n{fleet}/robot1/b\n\nrobot2/loose\n")
    monkeypatch.chdir(fleet)
    assert names([listed]) == ["b", "b.mcap", "c.mcap"]


def test_folders_of_pictures_are_one_recording(tmp_path):
    for camera in ("left", "right"):
        (tmp_path / "walk" / camera).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "walk" / camera / "1.png"), np.zeros((8, 8, 3), np.uint8))
    assert names([tmp_path / "walk"]) == ["walk"]


def test_what_is_broken_is_still_a_recording(tmp_path):
    (tmp_path / "empty.mcap").touch()
    assert names([tmp_path]) == ["empty.mcap"]


def test_nothing_there_is_an_error(tmp_path):
    (tmp_path / "folder").mkdir()
    for word in ("missing", "folder", "*.nothing"):
        with pytest.raises(SourceError):
            find_recordings([str(tmp_path / word)])


def test_content_is_told_apart_by_any_byte_and_not_by_names(walls, tmp_path):
    shutil.copytree(walls / "a", tmp_path / "other")
    assert content_sha256(tmp_path / "other") == content_sha256(walls / "a")
    (file,) = (tmp_path / "other").glob("*.mcap")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert content_sha256(tmp_path / "other") != content_sha256(walls / "a")
    # A file counts under its own name within a folder.
    before = content_sha256(tmp_path / "other")
    file.rename(file.with_name("renamed.mcap"))
    assert content_sha256(tmp_path / "other") != before


def test_a_fingerprint_changes_with_size_and_time(tmp_path):
    file = tmp_path / "x.mcap"
    file.write_bytes(b"1")
    os.utime(file, ns=(1, 1))
    first = fingerprint(str(file))
    assert fingerprint(str(file)) == first
    os.utime(file, ns=(1, 2))
    second = fingerprint(str(file))
    file.write_bytes(b"22")
    os.utime(file, ns=(1, 2))
    assert len({first, second, fingerprint(str(file))}) == 3


def test_urls_of_any_file_system(walls, tmp_path):
    fsspec = pytest.importorskip("fsspec", reason="the extra 'batch' is not installed")
    memory = fsspec.filesystem("memory")
    memory.put(str(walls / "a"), "/fleet/a", recursive=True)
    (file,) = (walls / "b").glob("*.mcap")
    memory.put(str(file), "/fleet/loose/b.mcap")
    assert names(["memory://fleet"]) == ["a", "b.mcap"]
    assert names(["memory://fleet/*/b.mcap"]) == ["b.mcap"]
    (found,) = find_recordings(["memory://fleet/a"])
    assert content_sha256(fetch(found, tmp_path)) == content_sha256(walls / "a")
    before = fingerprint(found)
    memory.pipe(f"/fleet/a/{next((walls / 'a').glob('*.mcap')).name}", b"other")
    assert fingerprint(found) != before
    with pytest.raises(SourceError, match="fsspec cannot open"):
        find_recordings(["nonsense://x"])
    with pytest.raises(SourceError, match="no recording"):
        find_recordings(["memory://nowhere"])
