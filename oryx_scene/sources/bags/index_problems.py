"""What an index shows to be wrong with a recording: lost messages, foreign channels, damage."""

from __future__ import annotations

from oryx_scene.sources.bags.index import BagIndex
from oryx_scene.sources.bags.recording import Recording


def say_problems(index: BagIndex, recording: Recording) -> None:
    """Warn of what was lost, what metadata.yaml says wrongly, and what is left out or damaged."""
    _compare_counts(index, recording)
    _say_foreign(index)
    _say_damaged_pictures(index)


def _compare_counts(index: BagIndex, recording: Recording) -> None:
    """Fewer messages than stated are lost; if metadata.yaml says fewer than there are, it errs."""
    stated = recording.counts
    for name, expected in sorted(stated.items()):
        found = index.found.get(name, 0)
        if found < expected:
            text = f"the recording says {expected} messages, {found} could be read"
            index.warn("recording_incomplete", text, name[0])
    _compare_metadata(index, recording, stated)


def _compare_metadata(
    index: BagIndex, recording: Recording, stated: dict[tuple[str, str], int]
) -> None:
    """Blame metadata.yaml where its counts differ from those of whole data files."""
    described = recording.metadata.counts
    if not described or any(item.code == "metadata_wrong" for item in recording.warnings):
        return
    own = stated is not described and stated == index.found
    for name in sorted({*index.found, *described}):
        found, expected = index.found.get(name, 0), described.get(name, 0)
        if found > expected or (own and found != expected):
            text = f"it counts {expected} messages of {name[0]}, the data files hold {found}"
            index.warn("metadata_wrong", text, "metadata.yaml")
            return


def _say_foreign(index: BagIndex) -> None:
    """Channels that are left out for their encoding, and topics of several types."""
    types: dict[str, list[str]] = {}
    for channel in index.channels:
        if not channel.understood:
            text = f"left out: {channel.msgtype or 'no type'} encoded as '{channel.encoding}'"
            index.warn("foreign_channel", text, channel.topic)
        named = types.setdefault(channel.topic, [])
        if channel.msgtype not in named:
            named.append(channel.msgtype)
    for topic, several in types.items():
        if len(several) > 1:
            text = f"messages of several types: {', '.join(several)}"
            index.warn("topic_of_several_types", text, topic)


def _say_damaged_pictures(index: BagIndex) -> None:
    """Warn of image topics with pictures that cannot be decoded."""
    for found in index.images.values():
        if found.damaged:
            text = (
                f"{found.damaged} of {len(found.entries)} pictures cannot be decoded; the first: "
                f"{found.first_damage}"
            )
            index.warn("pictures_damaged", text, found.topic)
