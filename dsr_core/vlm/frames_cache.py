"""Frames of a recording: decoded once, kept on disk and in memory, and chosen from for each question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr_core.sources import Source
from dsr_core.vlm.disk_cache import DiskCache, Memory, key_of
from dsr_core.vlm.faults import RowFault
from dsr_core.vlm.showing import evenly, shrunk
from dsr_core.vlm.values import Clip, VlmError

#: Goes up when the same settings give other pictures.
_VERSION = 1
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class FrameConfig:
    """Which frames of a recording a model is shown.

    Attributes:
        count: Frames of a question, evenly from the first to the last that it may see.
        kept: Frames of a recording that are decoded and kept, evenly over all of it; None: as many as `count`. More of
            them let questions about a part of a recording, or about its future, see frames that stand closer.
        max_pixels: Larger pictures are made smaller, keeping their shape.
        within_window: Whether a question with a window is shown that window alone.
    """

    count: int = 32
    kept: int | None = None
    max_pixels: int = 230_400
    within_window: bool = False

    def __post_init__(self):
        if self.count < 1 or self.max_pixels < 1:
            raise VlmError(f"frames: count = {self.count} and max_pixels = {self.max_pixels} must be at least 1")
        if self.kept is not None and self.kept < self.count:
            raise VlmError(f"frames: kept = {self.kept} must be at least count = {self.count}")


@dataclass(frozen=True, eq=False)
class Kept:
    """Frames of a recording.

    Attributes:
        pictures: (n, H, W, 3) uint8 RGB. stamps_ns: (n,) int64, increasing.
        first_ns: Stamp of the recording's first picture. last_ns: Of its last one.
    """

    pictures: np.ndarray
    stamps_ns: np.ndarray
    first_ns: int
    last_ns: int

    def clip(
        self,
        config: FrameConfig,
        origin_ns: int | None = None,
        until_s: float | None = None,
        window: tuple[float, float] | None = None,
    ) -> Clip:
        """The frames of a question.

        Args:
            config: How many. origin_ns: Time of second 0; None: the first picture's.
            until_s: Nothing later is shown. window: Part that is shown where `config` says so.

        Raises:
            RowFault: no frame is left.
        """
        times_s = (self.stamps_ns - (self.first_ns if origin_ns is None else origin_ns)) * 1e-9
        # As on a robot, nothing from before second 0 is shown.
        seen = (0.0, np.inf if until_s is None else until_s)
        index = evenly(times_s, len(times_s), seen)
        if not index:
            raise RowFault("no frame is left to show", f"it may see {seen[0]:g} to {seen[1]:g} s, there are {times_s}")
        if config.within_window and window is not None:
            within = evenly(times_s, len(times_s), (max(window[0], seen[0]), min(window[1], seen[1])))
            index = within or [min(index, key=lambda i: abs(times_s[i] - sum(window) / 2))]
        index = [index[i] for i in evenly(range(len(index)), config.count)]
        return Clip([self.pictures[i] for i in index], [round(float(times_s[i]), 3) for i in index])


class FramesCache:
    """Frames of recordings.

    Args:
        folder: Where they are kept. config: Which.
        max_disk_bytes, max_memory_bytes: Bounds of what is kept.
    """

    def __init__(self, folder: str | Path, config: FrameConfig, max_disk_bytes: float, max_memory_bytes: float):
        self.config = config
        self.disk = DiskCache(folder, max_disk_bytes)
        self._memory = Memory(max_memory_bytes)

    def kept(self, content: str, open_recording: Callable[[], Source]) -> Kept:
        """The frames of a recording.

        Args:
            content: Names the recording and what its files hold. open_recording: Gives it where it must be decoded.

        Raises:
            SourceError: it cannot be read or decoded.
            RowFault: it holds no picture.
        """

        def make() -> tuple[Kept, float]:
            key = key_of("frames", f"{_VERSION} {_count(self.config)} {self.config.max_pixels}", content)
            arrays = self.disk.get(key)
            if arrays is None:
                made = decode(open_recording(), self.config)
                span = np.array([made.first_ns, made.last_ns])
                self.disk.put(key, {"pictures": made.pictures, "stamps_ns": made.stamps_ns, "span_ns": span})
            else:
                made = Kept(arrays["pictures"], arrays["stamps_ns"], *(int(n) for n in arrays["span_ns"]))
            return made, made.pictures.nbytes

        return self._memory.made(content, make)


def decode(source: Source, config: FrameConfig) -> Kept:
    """Decodes those frames of a recording that are kept; all others are passed by without decoding.

    Raises:
        SourceError: it cannot be read. RowFault: it holds no picture.
    """
    stamps = [frame.stamp_ns for frame in source.frames() if _pictured(frame)]
    if not stamps:
        raise RowFault("its recording holds no pictures", source.name)
    wanted = np.unique(np.round(np.linspace(0, len(stamps) - 1, min(_count(config), len(stamps)))).astype(int))
    left, pictures, taken = set(wanted.tolist()), [], []
    shown = (frame for frame in source.frames() if _pictured(frame))
    for at, frame in enumerate(shown):
        if at not in left:
            continue
        rgb = frame.rgb
        if rgb is not None:
            pictures.append(shrunk(rgb, config.max_pixels))
            taken.append(frame.stamp_ns)
        left.discard(at)
        if not left:
            break
    if not pictures:
        raise RowFault("its recording holds no pictures", source.name)
    return Kept(np.stack(pictures), np.array(taken, np.int64), int(stamps[0]), int(stamps[-1]))


def _count(config: FrameConfig) -> int:
    return config.kept or config.count


def _pictured(frame) -> bool:
    """Whether a frame has a picture, or will have one when it is asked for."""
    return "rgb" not in frame.__dict__ or frame.rgb is not None
