"""Questions between two steps of making a set: a first line of what was counted, then a line of JSON each, packed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import fields

from dsr_core.qa.item import Candidate, QaError

_FIELDS = tuple(f.name for f in fields(Candidate))
_TUPLES = tuple(f.name for f in fields(Candidate) if "tuple" in str(f.type))


def pack(candidates: Iterable[Candidate], head: dict) -> bytes:
    """Questions without options as bytes, with JSON values `head` before them; the same values give the same bytes."""
    lines = [json.dumps(head, sort_keys=True)]
    lines += [json.dumps([getattr(c, name) for name in _FIELDS], ensure_ascii=False) for c in candidates]
    return zlib.compress("\n".join(lines).encode(), 1)


def unpack(data: bytes) -> tuple[list[Candidate], dict]:
    """The questions and the head that `pack` was given.

    Raises:
        QaError: damaged.
    """
    try:
        head, *lines = zlib.decompress(data).decode().split("\n")
        return [_candidate(json.loads(line)) for line in lines], json.loads(head)
    except (zlib.error, ValueError, TypeError) as error:
        raise QaError(f"questions made before are damaged ({error}); run with --no-resume") from None


def head_of(data: bytes) -> dict:
    """What `pack` was given as `head`."""
    start = zlib.decompressobj()
    try:
        text = b""
        while data and b"\n" not in text:
            text += start.decompress(data, 1 << 16)
            data = start.unconsumed_tail
        return json.loads(text.partition(b"\n")[0])
    except (zlib.error, ValueError) as error:
        raise QaError(f"questions made before are damaged ({error}); run with --no-resume") from None


def _candidate(values: Sequence) -> Candidate:
    given = dict(zip(_FIELDS, values, strict=True))
    for name in _TUPLES:
        if given[name] is not None:
            given[name] = tuple(given[name])
    return Candidate(**given)
