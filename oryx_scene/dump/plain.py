"""Plain JSON values back into the library's records: the way back of ``answer_json.to_plain``.

Strict: a value of another type, a missing field without a default and an unknown field are refused
by their dotted path. Knows nothing of files.
"""

from __future__ import annotations

import dataclasses
import math
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


class PlainError(ValueError):
    """A value that does not fit, named by its dotted path."""

    def __init__(self, path: str, expected: str, came: object) -> None:
        shown = repr(came)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        super().__init__(f"'{path}' should be {expected}, got {shown}")


def from_plain(kind: type[Record], value: object, path: str) -> Record:
    """Build a record from the dictionary that ``to_plain`` made of it.

    Args:
        kind: a dataclass of numbers, strings, enums, tuples, dictionaries and further dataclasses.
        value: parsed JSON.
        path: name of ``value`` for errors.

    Raises:
        PlainError: something does not fit.
    """
    found = _value(kind, value, path)
    assert isinstance(found, kind)
    return found


def _record(kind: Any, value: object, path: str) -> Any:
    if not isinstance(value, dict):
        raise PlainError(path, "an object", value)
    hints = get_type_hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind)}
    for name in value:
        if name not in known:
            raise PlainError(f"{path}.{name}", f"one of {', '.join(known)}", name)
    missing = [
        name
        for name, item in known.items()
        if name not in value
        and item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise PlainError(f"{path}.{missing[0]}", "there", None)
    parts = {key: _value(hints[key], part, f"{path}.{key}") for key, part in value.items()}
    try:
        return kind(**parts)
    except ValueError as err:
        raise PlainError(path, f"a {kind.__name__} ({err})", value) from err


def _tuple(arguments: tuple[Any, ...], value: object, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise PlainError(path, "a list", value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise PlainError(path, f"a list of {len(arguments)}", value)
    pairs = zip(arguments, value, strict=True)
    return tuple(_value(kind, part, f"{path}[{i}]") for i, (kind, part) in enumerate(pairs))


def _union(kinds: tuple[Any, ...], value: object, path: str) -> Any:
    if value is None and NoneType in kinds:
        return None
    tried = [kind for kind in kinds if kind is not NoneType]
    # An int is kept an int where both int and float would do.
    for kind in sorted(tried, key=lambda kind: kind is float):
        try:
            return _value(kind, value, path)
        except PlainError:
            continue
    raise PlainError(
        path, " or ".join(getattr(kind, "__name__", str(kind)) for kind in tried), value
    )


def _number(value: object, path: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PlainError(path, "a number or null", value)
    return float(value)


def _leaf(kind: type, value: object, path: str) -> Any:
    if kind is float:
        return _number(value, path)
    if issubclass(kind, Enum):
        words = [member.value for member in kind]
        if value not in words:
            raise PlainError(path, f"one of {', '.join(map(str, words))}", value)
        return kind(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise PlainError(path, kind.__name__, value)
    return value


def _dict(part: Any, value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PlainError(path, "an object", value)
    return {str(key): _value(part, item, f"{path}.{key}") for key, item in value.items()}


def _value(kind: Any, value: object, path: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _union(arguments, value, path)
    if origin is tuple:
        return _tuple(arguments, value, path)
    if origin is dict:
        return _dict(arguments[1], value, path)
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, path)
    return _leaf(kind, value, path)
