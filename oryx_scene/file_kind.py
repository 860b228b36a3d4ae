"""What a file is by its first bytes, whatever its name says, and what to do if it is no use.

A clone without git-lfs, a recorder that was killed and a web page saved in place of a download all
leave files whose suffix promises something else. Nothing here imports anything but the standard
library and the errors.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oryx_scene.errors import SourceError

Role = Literal["bag", "picture", "video", "compressed", "other"]
HEAD_BYTES = 8192
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class FileKind:
    """What the first bytes say.

    Attributes:
        name: short, e.g. "mcap", "sqlite3", "rosbag1", "png", "mp4", "git-lfs pointer", "unknown".
        role: what it can be for us; "compressed" is a compressed file or archive of anything.
        description: with its article, to follow "this is".
        hint: what to do where it is no use as it is, "" where it is.
    """

    name: str
    role: Role
    description: str
    hint: str = ""


_DOCS = "see docs/sources.md for what can be read"
_UNZIP = "unpack it first"
_CONVERT = "convert it to png or jpeg"
_UNFINISHED = FileKind(
    "unfinished rosbag1",
    "bag",
    "an unfinished ROS 1 bag: its recorder was killed before it wrote the index",
    "write the index with `rosbag reindex FILE`",
)
LFS_POINTER = FileKind(
    "git-lfs pointer",
    "other",
    "a git-lfs pointer, not the file itself",
    "fetch the file with `git lfs install && git lfs pull`",
)
_ROSBAG1 = FileKind("rosbag1", "bag", "a ROS 1 bag")
_OLD_ROSBAG1 = FileKind(
    "old rosbag1",
    "other",
    "a ROS 1 bag of an older format than 2.0",
    "convert it with `rosbag fix IN.bag OUT.bag`",
)

_BY_PREFIX: tuple[tuple[bytes, FileKind], ...] = (
    (b"version https://git-lfs.github.com/spec/", LFS_POINTER),
    (b"version https://hawser.github.com/spec/", LFS_POINTER),
    (b"#ROSBAG V2.0\n", _ROSBAG1),
    (b"#ROSBAG V", _OLD_ROSBAG1),
    (b"#ROSRECORD V", _OLD_ROSBAG1),
    (b"\x89MCAP0\r\n", FileKind("mcap", "bag", "an MCAP file")),
    (b"SQLite format 3\0", FileKind("sqlite3", "bag", "an SQLite database")),
    (
        ZSTD_MAGIC,
        FileKind(
            "zstd",
            "compressed",
            "a file compressed with zstd",
            "give the bag's folder with its metadata.yaml, or unpack it with `zstd -d FILE`",
        ),
    ),
    (b"\x04\x22\x4d\x18", FileKind("lz4", "compressed", "a file compressed with lz4", _UNZIP)),
    (b"\x1f\x8b", FileKind("gzip", "compressed", "a file compressed with gzip", _UNZIP)),
    (b"BZh", FileKind("bzip2", "compressed", "a file compressed with bzip2", _UNZIP)),
    (b"\xfd7zXZ\0", FileKind("xz", "compressed", "a file compressed with xz", _UNZIP)),
    (b"PK\x03\x04", FileKind("zip", "compressed", "a zip archive", _UNZIP)),
    (b"PK\x05\x06", FileKind("zip", "compressed", "an empty zip archive")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("7z", "compressed", "a 7z archive", _UNZIP)),
    (b"Rar!", FileKind("rar", "compressed", "a rar archive", _UNZIP)),
    (b"\x89PNG\r\n\x1a\n", FileKind("png", "picture", "a png picture")),
    (b"\xff\xd8\xff", FileKind("jpeg", "picture", "a jpeg picture")),
    (b"II*\0", FileKind("tiff", "picture", "a tiff picture")),
    (b"MM\0*", FileKind("tiff", "picture", "a tiff picture")),
    (b"GIF8", FileKind("gif", "other", "a gif picture", _CONVERT)),
    (b"v/1\x01", FileKind("exr", "other", "an OpenEXR picture", _CONVERT)),
    (b"\0\0\0\x0cjP  ", FileKind("jpeg2000", "other", "a jpeg 2000 picture", _CONVERT)),
    (b"\x1a\x45\xdf\xa3", FileKind("matroska", "video", "a video (mkv or webm)")),
    (b"\0\0\x01\xba", FileKind("mpeg", "video", "a video (mpeg)")),
    (b"\0\0\x01\xb3", FileKind("mpeg", "video", "a video (mpeg)")),
    (b"FLV\x01", FileKind("flv", "video", "a video (flv)")),
    (b"OggS", FileKind("ogg", "video", "a video (ogg)")),
    (b"\x30\x26\xb2\x75", FileKind("asf", "video", "a video (wmv)")),
    (b"\0\0\0\x01\x67", FileKind("h264", "video", "a bare H.264 stream")),
    (b"\0\0\0\x01\x40", FileKind("h265", "video", "a bare H.265 stream")),
    (
        b"\x37\x7f\x06",
        FileKind(
            "sqlite3 journal",
            "other",
            "the write-ahead journal of an SQLite database",
            "give the .db3 file beside it or their folder",
        ),
    ),
    (
        b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",
        FileKind(
            "sqlite3 journal",
            "other",
            "the rollback journal of an SQLite database",
            "give the .db3 file beside it or their folder",
        ),
    ),
    (b"\x89HDF\r\n", FileKind("hdf5", "other", "an HDF5 file")),
    (b"\x93NUMPY", FileKind("npy", "other", "a numpy array")),
    (b"%PDF", FileKind("pdf", "other", "a pdf document")),
    (b"ply\n", FileKind("ply", "other", "a point cloud (ply)")),
    (b"# .PCD", FileKind("pcd", "other", "a point cloud (pcd)")),
)
# Where formats share their first bytes: (offset, values there of one length), all must fit.
_BY_PARTS: tuple[tuple[tuple[tuple[int, tuple[bytes, ...]], ...], FileKind], ...] = (
    (((0, (b"RIFF",)), (8, (b"WEBP",))), FileKind("webp", "picture", "a webp picture")),
    (((0, (b"RIFF",)), (8, (b"AVI ",))), FileKind("avi", "video", "a video (avi)")),
    (
        # The sizes of a bitmap's inner header.
        ((0, (b"BM",)), (14, tuple(bytes([n, 0, 0, 0]) for n in (12, 40, 52, 56, 64, 108, 124)))),
        FileKind("bmp", "picture", "a bmp picture"),
    ),
    (
        ((0, (b"P5", b"P6")), (2, (b"\n", b" ", b"\t", b"\r"))),
        FileKind("pnm", "picture", "a pgm or ppm picture"),
    ),
    (
        ((4, (b"ftyp",)), (8, (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"))),
        FileKind("heif", "other", "a heif or avif picture", _CONVERT),
    ),
    (((4, (b"ftyp", b"moov", b"mdat", b"wide")),), FileKind("mp4", "video", "a video (mp4, mov)")),
    (
        ((0, (b"G",)), (188, (b"G",)), (376, (b"G",))),
        FileKind("mpegts", "video", "a video (mpeg transport stream)"),
    ),
    (((257, (b"ustar",)),), FileKind("tar", "compressed", "a tar archive", _UNZIP)),
)


def file_kind(path: Path) -> FileKind:
    """The kind of a file by its first bytes.

    Raises:
        SourceError: it cannot be read, or is no regular file.
    """
    try:
        if not path.is_file():
            raise SourceError(path, "no regular file.", hint="check the path")
        with path.open("rb") as file:
            return kind_of_bytes(file.read(HEAD_BYTES))
    except OSError as err:
        raise SourceError(path, f"cannot be read: {err.strerror or err}.") from err


def kind_of_bytes(head: bytes) -> FileKind:
    """The kind of a file that begins with ``head``; 8 KiB are enough, fewer may say "unknown"."""
    if not head:
        return FileKind("empty", "other", "an empty file", "copy or record it again")
    for prefix, kind in _BY_PREFIX:
        if head.startswith(prefix):
            return _UNFINISHED if kind is _ROSBAG1 and not _has_index(head) else kind
    return _by_inner_bytes(head) or _by_text(head)


def refusal(path: Path, kind: FileKind) -> SourceError:
    """The error that says what a file is that cannot be read."""
    return SourceError(path, f"this is {kind.description}.", hint=kind.hint or _DOCS)


def _has_index(head: bytes) -> bool:
    """Whether the header of a ROS 1 bag tells where its index is."""
    place = head.find(b"index_pos=")
    return place >= 0 and any(head[place + 10 : place + 18])


def _by_inner_bytes(head: bytes) -> FileKind | None:
    for parts, kind in _BY_PARTS:
        if all(head[at : at + len(values[0])] in values for at, values in parts):
            return kind
    return None


def _by_text(head: bytes) -> FileKind:
    if not any(head):
        hint = "the disk was full or the machine lost power while it was written: copy it again"
        return FileKind("zeros", "other", "a file that begins with nothing but zeros", hint)
    start = head.lstrip()[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        hint = "a download page was saved in its place: download the file itself"
        return FileKind("html", "other", "a web page", hint)
    if b"\0" not in head and _is_text(head):
        return FileKind("text", "other", "a text file")
    begins = head[:4].hex(" ")
    return FileKind("unknown", "other", f"no file of a known kind (it begins with {begins})")


def _is_text(head: bytes) -> bool:
    try:
        # Not final: the last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
