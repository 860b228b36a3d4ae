"""All files and journals of a recording are read in the order of time, or named as a problem."""

import shutil
import sqlite3
import struct

import numpy as np
import pytest
import yaml
from backports import zstd
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.typesys import Stores, get_typestore

from oryx_scene.errors import SourceError
from oryx_scene.sources.bags.writer import BagWriter
from oryx_scene.sources.registry import open_source

SUFFIX = {"mcap": ".mcap", "sqlite3": ".db3"}
FIRST_NS, STEP_NS = 1_000_000_000, 100_000_000


def put_frame(writer, index):
    """One picture whose grey value is its number times ten, with its transform."""
    stamp = FIRST_NS + index * STEP_NS
    writer.add_transform("map", "cam", stamp, np.eye(4))
    writer.add_image("/front/image_raw", stamp, "cam", np.full((6, 8, 3), 10 * index, np.uint8))


def write(path, indices, storage="mcap"):
    with BagWriter(path, storage=storage) as writer:
        for index in indices:
            put_frame(writer, index)
    return path


def data_file(folder):
    return next(item for item in folder.iterdir() if item.suffix in (".mcap", ".db3"))


def split(tmp_path, storage, count=4, names="rec_{}"):
    """A folder of ``count`` files of one frame each, without metadata.yaml."""
    folder = tmp_path / "split"
    folder.mkdir()
    for index in range(count):
        part = write(tmp_path / f"part{index}", [index], storage)
        name = names.format(index) + SUFFIX[storage]
        data_file(part).rename(folder / name)
        shutil.rmtree(part)
    return folder


def greys(source):
    return [int(frame.rgb[0, 0, 0]) // 10 for frame in source.frames()]


def codes(source):
    return {warning.code: warning for warning in source.warnings}


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_split_recording_without_metadata(tmp_path, storage):
    # By name part 10 comes before part 2.
    source = open_source(split(tmp_path, storage, 11))
    assert greys(source) == list(range(11))
    said = codes(source)["metadata_missing"]
    assert "rec_1" in said.text and said.text.index("rec_9") < said.text.index("rec_10")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_one_bad_file_is_named_and_the_others_are_read(tmp_path, storage):
    folder = split(tmp_path, storage)
    parts = sorted(folder.iterdir())
    parts[1].write_bytes(parts[1].read_bytes()[:30])
    parts[2].write_bytes(b"")
    source = open_source(folder)
    assert greys(source) == [0, 3]
    problems = [item for item in source.warnings if item.severity == "problem"]
    assert {item.topic for item in problems} == {parts[1].name, parts[2].name}


def test_a_file_of_another_format_is_named(tmp_path):
    folder = split(tmp_path, "mcap", 3)
    other = write(tmp_path / "other", [7], "sqlite3")
    data_file(other).rename(folder / "rec_7.db3")
    source = open_source(folder)
    assert greys(source) == [0, 1, 2]
    assert codes(source)["recording_file_left_out"].topic == "rec_7.db3"


def test_a_mcap_that_is_cut_off_is_read_up_to_the_cut(tmp_path):
    folder = write(tmp_path / "bag", range(4))
    file = data_file(folder)
    data = file.read_bytes()
    # In the middle of the last picture, which is 144 bytes.
    place = data.rindex(bytes([30]) * 144) + 70
    file.write_bytes(data[:place])
    source = open_source(file)
    assert greys(source) == [0, 1, 2]
    said = codes(source)["recording_cut_off"]
    assert said.severity == "problem" and "mcap recover" in said.advice


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 17, 20])
def test_a_mcap_of_a_few_bytes_is_refused(tmp_path, size):
    file = tmp_path / "a.mcap"
    file.write_bytes(data_file(write(tmp_path / "bag", range(2))).read_bytes()[:size])
    with pytest.raises(SourceError) as caught:
        open_source(file)
    assert caught.value.hint
    assert "index" not in caught.value.hint


def test_a_mcap_cut_anywhere_never_breaks(tmp_path):
    """At every length there is a clear refusal, or frames and a problem."""
    data = data_file(write(tmp_path / "bag", range(3))).read_bytes()
    file = tmp_path / "a.mcap"
    counts = []
    for size in range(8, len(data), 97):
        file.write_bytes(data[:size])
        try:
            source = open_source(file)
        except SourceError:
            continue
        assert "recording_cut_off" in codes(source)
        counts.append(len(greys(source)))
    assert counts == sorted(counts)
    assert set(counts) >= {1, 2, 3}


# -- journals ----------------------------------------------------------------------------------


def killed(tmp_path, in_log):
    """What a killed recorder leaves: the messages from ``in_log`` on are in the -wal file only."""
    bag = write(tmp_path / "bag", range(4), "sqlite3")
    file = data_file(bag)
    database = sqlite3.connect(file)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma wal_autocheckpoint=0")
    put = "insert into messages(topic_id, timestamp, data) values(?, ?, ?)"
    rows = database.execute("select topic_id, timestamp, data from messages").fetchall()
    database.execute("delete from messages")
    start = FIRST_NS + in_log * STEP_NS
    database.executemany(put, [row for row in rows if row[1] < start])
    database.commit()
    database.execute("pragma wal_checkpoint(truncate)")
    database.executemany(put, [row for row in rows if row[1] >= start])
    database.commit()
    folder = tmp_path / "killed"
    folder.mkdir()
    for item in bag.iterdir():
        if item.name != "metadata.yaml" and not item.name.endswith("-shm"):
            shutil.copy(item, folder / item.name)
    database.close()
    return folder


@pytest.mark.parametrize("in_log", [2, 0])
@pytest.mark.parametrize("as_file", [False, True])
def test_a_write_ahead_log_is_read_and_not_touched(tmp_path, in_log, as_file):
    folder = killed(tmp_path, in_log)
    before = {item.name: item.read_bytes() for item in folder.iterdir()}
    folder.chmod(0o555)
    try:
        source = open_source(data_file(folder) if as_file else folder)
        assert greys(source) == [0, 1, 2, 3]
        assert codes(source)["journal_read"].topic.endswith("-wal")
        source.close()
        assert {item.name: item.read_bytes() for item in folder.iterdir()} == before
    finally:
        folder.chmod(0o755)


def test_an_unfinished_transaction_is_rolled_back_on_a_copy(tmp_path):
    bag = write(tmp_path / "bag", range(3), "sqlite3")
    file = data_file(bag)
    database = sqlite3.connect(file)
    database.execute("pragma cache_size=1")  # writes pages before the commit
    database.execute("delete from messages")
    database.execute("insert into messages select 9, 1, 9, zeroblob(100000)")
    folder = tmp_path / "killed"
    shutil.copytree(bag, folder)
    database.rollback()
    database.close()
    assert data_file(folder).with_name(f"{data_file(folder).name}-journal").stat().st_size
    before = {item.name: item.read_bytes() for item in folder.iterdir()}
    source = open_source(folder)
    assert greys(source) == [0, 1, 2]
    assert codes(source)["journal_read"].topic.endswith("-journal")
    source.close()
    assert {item.name: item.read_bytes() for item in folder.iterdir()} == before


# -- metadata.yaml -----------------------------------------------------------------------------


def edited(tmp_path, change, storage="mcap", indices=range(2)):
    folder = write(tmp_path / "bag", indices, storage)
    file = folder / "metadata.yaml"
    values = yaml.safe_load(file.read_text())
    change(values["rosbag2_bagfile_information"])
    file.write_text(yaml.safe_dump(values))
    return folder


def set_counts(number):
    def change(values):
        values["message_count"] = number
        for topic in values["topics_with_message_count"]:
            topic["message_count"] = number

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(storage_identifier=""),
        lambda values: values.update(relative_file_paths=["other.mcap"]),
        lambda values: values.update(topics_with_message_count="none"),
        set_counts(0),
    ],
    ids=["storage", "names", "topics", "counts"],
)
def test_wrong_metadata_is_to_blame_itself(tmp_path, change):
    source = open_source(edited(tmp_path, change))
    assert greys(source) == [0, 1]
    said = codes(source)["metadata_wrong"]
    assert said.topic == "metadata.yaml" and "ros2 bag reindex" in said.advice
    assert not [item for item in source.warnings if item.severity == "problem"]


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_metadata_that_is_cut_off(tmp_path, keep, storage):
    folder = write(tmp_path / "bag", range(2), storage)
    file = folder / "metadata.yaml"
    text = file.read_text()
    file.write_text(text[: int(len(text) * keep)])
    source = open_source(folder)
    assert greys(source) == [0, 1]
    assert not [item for item in source.warnings if item.severity == "problem"]


def test_metadata_of_bytes_or_of_a_newer_version(tmp_path):
    folder = write(tmp_path / "bag", range(2))
    (folder / "metadata.yaml").write_bytes(b"\xff\xfe\0\x81")
    assert greys(open_source(folder)) == [0, 1]
    newer = edited(tmp_path / "newer", lambda values: values.update(version=42))
    assert open_source(newer).warnings == ()


def test_a_listed_file_that_is_missing_is_a_problem(tmp_path):
    folder = split(tmp_path, "mcap", 3)
    whole = write(tmp_path / "whole", range(3))
    values = yaml.safe_load((whole / "metadata.yaml").read_text())
    names = ["rec_0.mcap", "rec_1.mcap", "rec_2.mcap"]
    values["rosbag2_bagfile_information"]["relative_file_paths"] = names
    (folder / "metadata.yaml").write_text(yaml.safe_dump(values))
    assert open_source(folder).warnings == ()
    single = open_source(folder / "rec_1.mcap")
    assert greys(single) == [1]
    assert "part_of_recording" in codes(single)
    (folder / "rec_1.mcap").unlink()
    source = open_source(folder)
    assert greys(source) == [0, 2]
    assert "rec_1.mcap" in codes(source)["recording_file_missing"].text


def test_a_file_that_is_not_listed_is_read_too(tmp_path):
    folder = write(tmp_path / "bag", [0, 1])
    data_file(write(tmp_path / "more", [2])).rename(folder / "bag_1.mcap")
    source = open_source(folder)
    assert greys(source) == [0, 1, 2]
    assert "bag_1.mcap" in codes(source)["metadata_wrong"].text


def test_files_listed_in_the_wrong_order(tmp_path):
    folder = split(tmp_path, "sqlite3", 3)
    whole = write(tmp_path / "whole", range(3), "sqlite3")
    values = yaml.safe_load((whole / "metadata.yaml").read_text())
    names = ["./rec_2.db3", "whole/rec_0.db3", "rec_1.db3"]
    values["rosbag2_bagfile_information"]["relative_file_paths"] = names
    (folder / "metadata.yaml").write_text(yaml.safe_dump(values))
    source = open_source(folder)
    assert greys(source) == [0, 1, 2]
    assert source.warnings == ()


def test_metadata_without_any_data_file(tmp_path):
    folder = write(tmp_path / "bag", range(2))
    data_file(folder).unlink()
    with pytest.raises(SourceError, match=r"lists bag\.mcap"):
        open_source(folder)


# -- compression -------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("listed_with_suffix", [True, False])
def test_files_compressed_as_a_whole(tmp_path, storage, listed_with_suffix):
    def change(values):
        values.update(compression_format="zstd", compression_mode="FILE")
        if listed_with_suffix:
            values["relative_file_paths"] = [f"{values['relative_file_paths'][0]}.zstd"]

    folder = edited(tmp_path, change, storage)
    file = data_file(folder)
    file.with_name(f"{file.name}.zstd").write_bytes(zstd.compress(file.read_bytes()))
    file.unlink()
    assert greys(open_source(folder)) == [0, 1]
    (folder / "metadata.yaml").unlink()
    with pytest.raises(SourceError, match="compressed with zstd"):
        open_source(folder)


def test_messages_compressed_one_by_one(tmp_path):
    folder = write(tmp_path / "bag", range(3), "sqlite3")
    with sqlite3.connect(data_file(folder)) as database:
        rows = database.execute("select id, data from messages").fetchall()
        packed = [(zstd.compress(data), key) for key, data in rows]
        database.executemany("update messages set data = ? where id = ?", packed)
    database.close()
    source = open_source(folder)
    assert greys(source) == [0, 1, 2]
    assert next(iter(source.stubs())).stamp_ns == FIRST_NS


# -- ROS 1 -------------------------------------------------------------------------------------


def rosbag1(path, indices, compression=None):
    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    writer = Rosbag1Writer(path)
    # Each message in a chunk of its own, or all in one.
    writer.chunk_threshold = 100 if compression else 1 << 20
    if compression:
        writer.set_compression(compression)
    with writer:
        name = "sensor_msgs/msg/Image"
        connection = writer.add_connection("/front/image_raw", name, typestore=store)
        for index in indices:
            stamp = FIRST_NS + index * STEP_NS
            time = types["builtin_interfaces/msg/Time"](*divmod(stamp, 1_000_000_000))
            header = types["std_msgs/msg/Header"](seq=index, stamp=time, frame_id="cam")
            data = np.full(144, 10 * index, np.uint8)
            image = types[name](header, 6, 8, "rgb8", 0, 24, data)
            writer.write(connection, stamp, store.serialize_ros1(image, name))
    return path


@pytest.mark.parametrize("compression", ["BZ2", "LZ4", None])
def test_ros1_bags(tmp_path, compression):
    form = compression and getattr(Rosbag1Writer.CompressionFormat, compression)
    path = rosbag1(tmp_path / "a.bag", range(3), form)
    source = open_source(path)
    assert greys(source) == [0, 1, 2]
    assert {item.code for item in source.warnings} == {"no_tf"}


def unfinished(path):
    """As rosbag leaves a .bag.active: the header does not know the index, chunks have no size."""
    data = bytearray(path.read_bytes())
    place = data.index(b"index_pos=") + 10
    (index_pos,) = struct.unpack_from("<Q", data, place)
    data[place : place + 8] = bytes(8)
    active = path.with_name(path.name + ".active")
    active.write_bytes(data[:index_pos])
    return active


def test_an_unfinished_ros1_bag_is_read_and_said(tmp_path):
    source = open_source(unfinished(rosbag1(tmp_path / "a.bag", range(3))))
    assert greys(source) == [0, 1, 2]
    said = codes(source)["recording_cut_off"]
    assert said.severity == "problem" and "rosbag reindex" in said.advice


def test_a_ros1_bag_that_is_cut_off(tmp_path):
    path = rosbag1(tmp_path / "a.bag", range(3))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(bytes([20]) * 144) + 9])
    source = open_source(path)
    assert greys(source) == [0, 1]
    assert "rosbag reindex" in codes(source)["recording_cut_off"].advice


def test_a_broken_ros1_chunk_loses_itself_only(tmp_path):
    path = rosbag1(tmp_path / "a.bag", range(3), Rosbag1Writer.CompressionFormat.BZ2)
    data = bytearray(path.read_bytes())
    place = data.index(b"BZh", data.index(b"BZh") + 3)
    data[place + 20 : place + 24] = b"\0\0\0\0"
    path.write_bytes(data)
    source = open_source(path)
    assert greys(source) == [0, 2]
    said = codes(source)
    assert "bz2 data cannot be decompressed" in said["recording_damaged"].text
    assert "3 messages, 2 could be read" in said["recording_incomplete"].text


def test_a_folder_of_ros1_bags(tmp_path):
    folder = tmp_path / "bags"
    folder.mkdir()
    for index in (2, 0, 1):
        rosbag1(folder / f"{'cab'[index]}.bag", [index])
    source = open_source(folder)
    assert greys(source) == [0, 1, 2]
    assert "metadata_missing" not in codes(source)


@pytest.mark.parametrize("how", ["link", "odd name"])
def test_a_log_is_found_beside_the_file_itself(tmp_path, how):
    folder = killed(tmp_path, 2)
    path = tmp_path / "link.db3"
    if how == "link":
        path.symlink_to(data_file(folder))
    else:
        path = folder.rename(tmp_path / "50% of #1?")
    assert greys(open_source(path)) == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["torn", "garbage"])
def test_a_log_that_lost_its_end_is_a_problem(tmp_path, how):
    folder = killed(tmp_path, 2)
    log = next(folder.glob("*-wal"))
    data = log.read_bytes()
    log.write_bytes(data[:-100] if how == "torn" else b"garbage " * 50)
    source = open_source(folder)
    assert greys(source) == [0, 1]
    assert codes(source)["recording_cut_off"].topic == log.name


def test_a_journal_without_its_database_is_a_problem(tmp_path):
    folder = killed(tmp_path, 2)
    data_file(folder).rename(folder / "renamed.db3")
    source = open_source(folder)
    assert greys(source) == [0, 1]
    assert codes(source)["recording_file_left_out"].topic.endswith(".db3-wal")


def test_rows_behind_a_damaged_page_are_read(tmp_path):
    path = tmp_path / "bag"
    with BagWriter(path, storage="sqlite3") as writer:
        for index in range(20):
            picture = np.full((40, 50, 3), 10 * index, np.uint8)
            writer.add_image("/front/image_raw", FIRST_NS + index * STEP_NS, "cam", picture)
    file = data_file(path)
    data = bytearray(file.read_bytes())
    # The leaf page of the fifth picture: where its header lies.
    place = data.index(bytes([50]) * 1000) // 4096 * 4096
    data[place : place + 4096] = bytes(4096)
    file.write_bytes(data)
    source = open_source(path)
    assert set(greys(source)) >= set(range(12, 20))
    assert {"recording_damaged", "pictures_damaged"} & set(codes(source))


def test_a_copy_among_the_files_is_used_once(tmp_path):
    folder = split(tmp_path, "mcap", 3)
    shutil.copy(folder / "rec_1.mcap", folder / "rec_1 (copy).mcap")
    source = open_source(folder)
    assert greys(source) == [0, 1, 2]
    assert "recording_duplicated" in codes(source)


def test_what_follows_the_end_of_a_mcap_is_said(tmp_path):
    file = data_file(write(tmp_path / "bag", range(2)))
    file.write_bytes(file.read_bytes() * 2)
    source = open_source(file)
    assert greys(source) == [0, 1]
    assert "follow its end" in codes(source)["recording_damaged"].text


def test_metadata_that_counts_too_many_of_a_whole_mcap(tmp_path):
    source = open_source(edited(tmp_path, set_counts(500)))
    assert "counts 500 messages" in codes(source)["metadata_wrong"].text
    assert "recording_incomplete" not in codes(source)
    # A database does not count its messages itself: they may be lost.
    lost = open_source(edited(tmp_path / "db", set_counts(500), "sqlite3"))
    assert "recording_incomplete" in codes(lost)


def test_a_folder_of_recordings_names_them(tmp_path):
    write(tmp_path / "monday.mcap", range(1))
    write(tmp_path / "tuesday", range(1), "sqlite3")
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path)
    assert "monday.mcap, tuesday" in caught.value.hint


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_names_say_nothing(tmp_path, storage):
    file = data_file(write(tmp_path / "bag", range(2), storage))
    for name in ("recording", "picture.png", "a.bag"):
        path = tmp_path / name
        shutil.copy(file, path)
        assert greys(open_source(path)) == [0, 1]
