"""Mappings, as YAML gives them, -> dataclasses of settings, and back to flat names."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from dsr_core.errors import DsrError


class TrainingError(DsrError):
    """A training run cannot begin, go on or be read; the message says what to do."""


def made(kind: type, told: Any, where: str):
    """A dataclass from a mapping, with all that is nested in it.

    Args:
        kind: The dataclass. told: Its settings. where: What messages call it, "" for the whole.

    Raises:
        TrainingError: an unknown setting, a lacking one, or a value that is none for it.
    """
    name = where or "a configuration"
    if not isinstance(told, Mapping):
        raise TrainingError(f"{name} = {told!r} must be settings, a name and a value each")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := [str(k) for k in told if k not in fields]:
        raise TrainingError(f"{name} has no setting {', '.join(unknown)}; it has {', '.join(fields)}")
    hints = typing.get_type_hints(kind)
    given = {key: _value(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in told.items()}
    lacking = [n for n, f in fields.items() if n not in given and f.default is f.default_factory is dataclasses.MISSING]
    if lacking:
        raise TrainingError(f"{name} lacks {', '.join(lacking)}")
    try:
        return kind(**given)
    except TrainingError:
        raise
    except DsrError as error:
        raise TrainingError(f"{name}: {error}") from None


def _value(hint: Any, value: Any, where: str):
    """A value for a setting of the type `hint`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        nested = [o for o in options if dataclasses.is_dataclass(o)]
        plain = [o for o in options if o is not type(None) and o not in nested]
        hint = (nested if isinstance(value, Mapping) or not plain else plain)[0]
    if dataclasses.is_dataclass(hint):
        return made(hint, {} if value is None else value, where)
    origin = typing.get_origin(hint) or hint
    if origin is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:  # YAML takes 1e-4 for a text
            return float(value)
        except ValueError:
            pass
    right = {
        str: lambda v: isinstance(v, str),
        int: lambda v: isinstance(v, int) and not isinstance(v, bool),
        bool: lambda v: isinstance(v, bool),
    }
    if origin in right and right[origin](value):
        return value
    if origin is Sequence:
        values = [value] if isinstance(value, str) else value
        if isinstance(values, (list, tuple)):
            return tuple(_value(typing.get_args(hint)[0], v, where) for v in values)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return dict(value)
    raise TrainingError(f"{where} = {value!r} is not of the kind {getattr(hint, '__name__', hint)}")


def put(told: dict, keys: Sequence[str], value: Any) -> None:
    """Sets the value below some keys; mappings on the way are copied."""
    for key in keys[:-1]:
        inner = told.get(key)
        told[key] = dict(inner) if isinstance(inner, Mapping) else {}
        told = told[key]
    told[keys[-1]] = value


def flat(told: Mapping, before: str = ""):
    """(name with dots, value) of all that is nested in a mapping."""
    for name, value in told.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
