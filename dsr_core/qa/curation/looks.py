"""Frames of a recording as a model is shown them: evenly spaced, small, as JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DependencyError, SourceError
from dsr_core.sources import Source

_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Look:
    """What was seen of a recording: its length in seconds, and second and JPEG of some frames."""

    duration_s: float
    frames: tuple[tuple[float, bytes], ...]


def look_at(source: Source, count: int, max_side_px: int) -> Look:
    """Takes evenly spaced frames of a recording, the first and the last one among them.

    Only the pictures that are taken are decoded, and no more than one is in memory.

    Args:
        source: The recording. count: How many frames. max_side_px: Longer sides are made shorter.

    Raises:
        SourceError: it has no pictures.
    """
    expected = len(source)
    if expected:
        look, found = _take(source, expected, count, max_side_px)
        if found == expected:
            return look
    else:
        found = sum(1 for _ in source.frames())
    # The number of frames is an upper bound (or not told): once more with the true one.
    look, _ = _take(source, found, count, max_side_px)
    if not look.frames:
        raise SourceError(f"{source.name} has no pictures to look at; give captions, or let its tracks be judged alone")
    return look


def _take(source: Source, total: int, count: int, max_side_px: int) -> tuple[Look, int]:
    wanted = set(np.linspace(0, max(total - 1, 0), min(count, max(total, 1))).round().astype(int).tolist())
    first_ns = last_ns = None
    frames, number = [], 0
    for number, frame in enumerate(source.frames(), 1):
        first_ns = frame.stamp_ns if first_ns is None else first_ns
        last_ns = frame.stamp_ns
        if number - 1 in wanted and frame.rgb is not None:
            frames.append(((frame.stamp_ns - first_ns) * 1e-9, jpeg(frame.rgb, max_side_px)))
    duration_s = 0.0 if first_ns is None else (last_ns - first_ns) * 1e-9
    return Look(duration_s, tuple(frames)), number


def jpeg(rgb: np.ndarray, max_side_px: int) -> bytes:
    """A picture (H, W, 3) uint8 RGB as a JPEG file, made smaller where a side is longer than `max_side_px`."""
    try:
        import cv2
    except ImportError:
        raise DependencyError("pictures need OpenCV: pip install opencv-python-headless") from None
    height, width = rgb.shape[:2]
    scale = max_side_px / max(height, width)
    if scale < 1.0:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise SourceError(f"a picture of shape {rgb.shape} cannot be written as JPEG")
    return data.tobytes()
