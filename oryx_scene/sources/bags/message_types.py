"""Serialised messages of a channel -> objects with ROS's field names, through rosbags' type store.

The standard types are those of the library, whatever a file says of them: a recording with a broken
schema on one topic is read like any other. Only types that the library does not know are made from
a file's own definition, each on its own.
"""

from __future__ import annotations

import functools
import struct
from typing import Any

from oryx_scene.sources.bags.data_file import Channel
from oryx_scene.sources.bags.mcap_file import ros2_name

# ROS 1 has the message of /tf in two packages that the library leaves out; all are alike.
TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage", "tf/msg/TFMessage")


class MessageTypes:
    """Deserialises messages; makes each type once."""

    def __init__(self) -> None:
        self._stores: dict[Channel, Any] = {}

    def deserialize(self, data: bytes, channel: Channel) -> Any:
        """The message of serialised ``data``.

        Raises:
            ValueError: damaged, or its encoding or type is not known.
        """
        from rosbags.serde import SerdeError

        store, name = self._store(channel)
        try:
            if channel.encoding == "ros1":
                return store.deserialize_ros1(data, name)
            return store.deserialize_cdr(data, name)
        except (
            *(SerdeError, ValueError, KeyError, IndexError, TypeError, struct.error),
            *(RuntimeError, AssertionError, MemoryError, OverflowError),
        ) as err:
            text = " ".join(str(err).split()) or type(err).__name__
            raise ValueError(f"the message cannot be read: {text}") from err

    def _store(self, channel: Channel) -> tuple[Any, str]:
        if channel not in self._stores:
            self._stores[channel] = _store_of(channel)
        found: tuple[Any, str] = self._stores[channel]
        return found


@functools.cache
def _standard_store(ros1: bool) -> Any:
    """The library's types; one store for all recordings, since making a type's code takes long."""
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    for name in TF_TYPES:
        if name not in store.fielddefs:
            text = "geometry_msgs/TransformStamped[] transforms"
            _register(store, Channel("", name, "", text, "ros2msg"), name)
    return store


def _store_of(channel: Channel) -> tuple[Any, str]:
    """(type store, name of the type in it)."""
    from rosbags.typesys import Stores, get_typestore

    if not channel.understood:
        raise ValueError(f"messages encoded as '{channel.encoding}' are not read")
    ros1 = channel.encoding == "ros1"
    name = ros2_name(channel.msgtype)
    store = _standard_store(ros1)
    if name not in store.fielddefs:
        store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
        _register(store, channel, name)
    return store, name


def _register(store: Any, channel: Channel, name: str) -> None:
    """Add the types of a channel's definition; those that the store has stay as they are."""
    from rosbags.typesys import get_types_from_idl, get_types_from_msg

    text = channel.definition
    try:
        if channel.definition_encoding in ("ros1msg", "ros2msg"):
            types = get_types_from_msg(text, name)
        elif channel.definition_encoding in ("ros2idl", "omgidl"):
            separator = "=" * 80 + "\n"
            types = {}
            for part in text.split(separator):
                body = part.partition("\n")[2] if part.startswith("IDL: ") else part
                types.update(get_types_from_idl(body) if body.strip() else {})
        else:
            raise ValueError(f"its definition is in '{channel.definition_encoding or 'no format'}'")
        store.register({key: value for key, value in types.items() if key not in store.fielddefs})
    except Exception as err:
        raise ValueError(f"type {name} cannot be made from its definition ({err})") from err
    if name not in store.fielddefs:
        raise ValueError(f"type {name} is not in its own definition")
