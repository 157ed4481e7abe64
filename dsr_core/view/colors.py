"""One colour a track, the same in pictures, rerun recordings and RViz markers."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

#: Twelve colours that stay apart on white and on dark grey, as sRGB 0..255.
PALETTE = (
    (228, 87, 46),
    (31, 119, 180),
    (44, 160, 90),
    (148, 86, 200),
    (230, 159, 0),
    (0, 158, 168),
    (214, 55, 122),
    (126, 106, 60),
    (86, 100, 214),
    (120, 172, 40),
    (176, 48, 48),
    (70, 70, 84),
)


def color_of(track_id: str) -> tuple[int, int, int]:
    """sRGB 0..255 of a track id; the same in every process, and different for neighbouring numbers."""
    return PALETTE[_slot(track_id)]


def colors_of(track_ids: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """Colours of several ids: `color_of` where it is free, else the next free one, so that up to 12 ids differ."""
    out, taken = {}, set()
    for track_id in track_ids:
        slot = _slot(track_id)
        if len(taken) == len(PALETTE):
            taken.clear()
        while slot in taken:
            slot = (slot + 1) % len(PALETTE)
        taken.add(slot)
        out[track_id] = PALETTE[slot]
    return out


def _slot(track_id: str) -> int:
    name, number = re.fullmatch(r"(.*?)(\d*)", str(track_id), re.DOTALL).groups()
    return (zlib.crc32(name.encode()) + int(number or 0)) % len(PALETTE)
