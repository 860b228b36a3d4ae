"""Random damage anywhere in a recording: refused, or said with the frames that are left; no crash.

DAMAGES=250 in the environment tries that many for each format instead of a few.
"""

import os
import random

import pytest
from mcap.writer import CompressionType
from rosbags.rosbag1 import Writer as Rosbag1Writer
from test_foreign_channels import with_camera
from test_recordings import data_file, rosbag1, write

from oryx_scene.errors import SourceError
from oryx_scene.sources.registry import open_source

DAMAGES = int(os.environ.get("DAMAGES", "8"))
COMPRESSED = Rosbag1Writer.CompressionFormat
FORMATS = {
    "mcap": lambda path: with_camera(path / "a.mcap", 4, compression=CompressionType.NONE).close(),
    "mcap zstd": lambda path: with_camera(path / "a.mcap", 4, chunk_size=1).close(),
    "mcap unchunked": lambda path: with_camera(path / "a.mcap", 4, use_chunking=False).close(),
    "mcap of rosbags": lambda path: data_file(write(path / "a", range(4))),
    "sqlite3": lambda path: data_file(write(path / "a", range(4), "sqlite3")),
    "ros1": lambda path: rosbag1(path / "a.bag", range(4)),
    "ros1 bz2": lambda path: rosbag1(path / "a.bag", range(4), COMPRESSED.BZ2),
    "ros1 lz4": lambda path: rosbag1(path / "a.bag", range(4), COMPRESSED.LZ4),
}
# In these nothing tells a changed pixel from a true one.
WITHOUT_CHECKSUM = ("mcap unchunked", "mcap of rosbags", "sqlite3", "ros1")


def damaged(data, rng):
    kind = rng.choice(["cut", "zero", "noise", "flip", "insert", "delete"])
    begin = rng.randrange(len(data))
    end = min(len(data), begin + rng.choice([1, 4, 16, 100, 1000, 4096]))
    before, hit, after = data[:begin], data[begin:end], data[end:]
    return {
        "cut": before,
        "zero": before + bytes(len(hit)) + after,
        "noise": before + rng.randbytes(len(hit)) + after,
        "flip": before + bytes([hit[0] ^ 1 << rng.randrange(8)]) + data[begin + 1 :],
        "insert": before + rng.randbytes(len(hit)) + hit + after,
        "delete": before + after,
    }[kind]


def frames_of(source):
    return [(frame.stamp_ns, frame.sha256) for frame in source.frames()]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_damage_is_refused_or_said(tmp_path, name):
    file = FORMATS[name](tmp_path)
    data, rng = file.read_bytes(), random.Random(name)
    whole = frames_of(open_source(file))
    assert len(whole) == 4
    for _ in range(DAMAGES):
        file.write_bytes(damaged(data, rng))
        try:
            source = open_source(file)
            left = frames_of(source)
        except SourceError as err:
            assert err.hint
            continue
        said = [item for item in source.warnings if item.severity != "note"]
        if left != whole and not [item for item in said if item.code != "no_tf"]:
            changed = len(set(left) - set(whole))
            assert name in WITHOUT_CHECKSUM and changed == len(set(whole) - set(left))
        source.close()
