"""Files are known by their first bytes, and what is no use says what to do."""

import bz2
import gzip
import io
import lzma
import os
import sqlite3
import tarfile
import zipfile

import cv2
import lz4.frame
import numpy as np
import pytest

from oryx_scene.errors import SourceError
from oryx_scene.file_kind import file_kind, kind_of_bytes, refusal

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12166456\n"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp", ".pgm", ".ppm"])
@pytest.mark.parametrize("named", ["", ".mcap"])
def test_pictures_are_known_whatever_they_are_called(tmp_path, suffix, named):
    pixels = np.full((4, 5) if suffix == ".pgm" else (4, 5, 3), 7, np.uint8)
    file = tmp_path / f"picture{suffix}{named}"
    file.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    assert file_kind(file).role == "picture"


def archives():
    tar, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", "b")
    return {
        "gzip": gzip.compress(b"a"),
        "bzip2": bz2.compress(b"a"),
        "xz": lzma.compress(b"a"),
        "lz4": lz4.frame.compress(b"a"),
        "tar": tar.getvalue(),
        "zip": packed.getvalue(),
    }


@pytest.mark.parametrize("name", sorted(archives()))
def test_archives_are_no_pictures(name):
    found = kind_of_bytes(archives()[name])
    assert (found.name, found.role) == (name, "compressed")
    assert found.hint


def rosbag1(index_pos):
    fields = b"\x12\0\0\0index_pos=" + index_pos.to_bytes(8, "little")
    return b"#ROSBAG V2.0\n" + len(fields).to_bytes(4, "little") + fields + bytes(4000)


@pytest.mark.parametrize(
    ("head", "name", "role", "word"),
    [
        (LFS, "git-lfs pointer", "other", "git lfs pull"),
        (rosbag1(5000), "rosbag1", "bag", ""),
        (rosbag1(0), "unfinished rosbag1", "bag", "rosbag reindex"),
        (b"#ROSBAG V2.0\n" + bytes(5000), "unfinished rosbag1", "bag", "rosbag reindex"),
        (b"#ROSBAG V1.2\n", "old rosbag1", "other", "rosbag fix"),
        (b"\x89MCAP0\r\n", "mcap", "bag", ""),
        (b"\x28\xb5\x2f\xfd\0", "zstd", "compressed", "zstd -d"),
        (b"\0\0\0\x20ftypisom" + bytes(50), "mp4", "video", ""),
        (b"\0\0\0\x20ftypheic" + bytes(50), "heif", "other", "png or jpeg"),
        (b"\x1a\x45\xdf\xa3" + bytes(9), "matroska", "video", ""),
        (b"RIFF\0\0\0\0AVI LIST", "avi", "video", ""),
        (b"", "empty", "other", "again"),
        (bytes(5000), "zeros", "other", "copy it again"),
        (b"\n<!DOCTYPE html><html>", "html", "other", "download"),
        ("Küche".encode(), "text", "other", ""),
        (b"BM, said the text", "text", "other", ""),
        (b"P5.js is a library", "text", "other", ""),
        (os.urandom(3) + b"\0\xff\xfe", "unknown", "other", ""),
    ],
)
def test_kinds(head, name, role, word):
    found = kind_of_bytes(head)
    assert (found.name, found.role) == (name, role)
    assert word in found.hint
    assert found.description.startswith(("a ", "an ", "the ", "no "))


def test_a_database_and_its_journal(tmp_path):
    file = tmp_path / "a.png"
    with sqlite3.connect(file) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("create table a(b)")
        database.commit()
        assert file_kind(file).name == "sqlite3"
        assert file_kind(tmp_path / "a.png-wal").name == "sqlite3 journal"
    database.close()


def test_what_cannot_be_opened_is_said(tmp_path):
    with pytest.raises(SourceError, match="no regular file"):
        file_kind(tmp_path)
    err = refusal(tmp_path / "a.png", kind_of_bytes(LFS))
    assert "this is a git-lfs pointer" in err.message
    assert "git lfs pull" in err.hint
