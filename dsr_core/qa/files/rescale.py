"""Boxes in a question's text for frames of another size."""

from __future__ import annotations

import re

from dsr_core.qa.item import QaError

_BOX = re.compile(
    r"\[\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*\]"
)


def rescale_boxes(question: str, from_size: tuple[int, int], to_size: tuple[int, int]) -> str:
    """The question with its boxes in pixels of another image size.

    Args:
        question: With boxes [x1,y1,x2,y2]. from_size: (width, height) that they refer to. to_size: That of the frames
            that will be shown.

    Returns:
        The text with whole pixels inside the new image, and no box empty; as it was where the sizes are the same.

    Raises:
        QaError: a size that is not two positive numbers.
    """
    for size in (from_size, to_size):
        if len(size) != 2 or not all(isinstance(n, (int, float)) and n > 0 for n in size):
            raise QaError(f"an image size is (width, height) in pixels, not {size!r}")
    if tuple(from_size) == tuple(to_size):
        return question
    scale_x, scale_y = to_size[0] / from_size[0], to_size[1] / from_size[1]

    def scaled(match: re.Match) -> str:
        x1, y1, x2, y2 = (float(n) for n in match.groups())
        x1, x2 = _span(x1 * scale_x, x2 * scale_x, to_size[0])
        y1, y2 = _span(y1 * scale_y, y2 * scale_y, to_size[1])
        return f"[{x1},{y1},{x2},{y2}]"

    return _BOX.sub(scaled, question)


def _span(low: float, high: float, size: float) -> tuple[int, int]:
    """Two ends as whole pixels in 0..size, at least one apart."""
    low, high = (min(max(round(v), 0), int(size)) for v in (low, high))
    if high > low:
        return low, high
    return (low, low + 1) if low < int(size) else (low - 1, low)
