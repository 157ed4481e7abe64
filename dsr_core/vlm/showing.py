"""Which pictures a model is shown: evenly over the time that is asked about, within a budget of pixels.

A robot keeps a rolling memory of them (`RollingFrames`), a recording is read twice (`clip_of_recording`).
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

from dsr_core.errors import DependencyError
from dsr_core.sources.base import BACKWARD_JUMP_NS, Source
from dsr_core.vlm.values import Clip, VlmError

#: Frames kept for each one that is shown: a window in the middle of the memory shall have its share.
_KEPT_A_SHOWN = 2
#: Stamps jitter: a frame that comes so much of a period too early is taken.
_EARLY = 0.25
_ROUNDING_S = 1e-6


def shrunk(rgb: np.ndarray, max_pixels: int) -> np.ndarray:
    """A picture (H, W, 3) of at most `max_pixels` pixels, of the same shape as near as whole pixels allow.

    Raises:
        DependencyError: it must be made smaller, and OpenCV is missing.
    """
    height, width = rgb.shape[:2]
    if height * width <= max_pixels:
        return np.ascontiguousarray(rgb)
    try:
        import cv2
    except ImportError:
        raise DependencyError("making pictures smaller needs OpenCV: pip install opencv-python-headless") from None
    scale = math.sqrt(max_pixels / (height * width))
    size = max(int(width * scale), 1), max(int(height * scale), 1)
    return cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA)


def evenly(times_s: Sequence[float], count: int, window: tuple[float, float] | None = None) -> list[int]:
    """Indices of at most `count` of the times (increasing), evenly from the first to the last within the window."""
    times = np.asarray(times_s, float)
    start, end = (-math.inf, math.inf) if window is None else window
    inside = np.flatnonzero((times >= start - _ROUNDING_S) & (times <= end + _ROUNDING_S))
    if not len(inside):
        return []
    return inside[np.round(np.linspace(0, len(inside) - 1, min(count, len(inside)))).astype(int)].tolist()


class RollingFrames:
    """The newest pictures of a camera, thinned and shrunk as they come: bounded whatever the camera sends.

    At most two pictures are kept for each one that is shown. May be used from several threads.

    Args:
        count: Most pictures that a model is shown.
        memory_s: How far back they go.
        max_pixels: Of each.

    Attributes:
        put_count: Pictures that were taken.
    """

    def __init__(self, count: int, memory_s: float, max_pixels: int):
        if count < 1 or not memory_s > 0 or max_pixels < 1:
            raise VlmError(
                f"count={count} and max_pixels={max_pixels} must be at least 1, memory_s={memory_s} positive"
            )
        self.count, self.max_pixels = count, max_pixels
        self._memory_ns = round(memory_s * 1e9)
        self._period_ns = self._memory_ns / (_KEPT_A_SHOWN * count)
        self._frames: deque[tuple[int, np.ndarray]] = deque(maxlen=_KEPT_A_SHOWN * count)
        self._lock = threading.Lock()
        self._clip: tuple[tuple[int, ...], Clip] | None = None
        self.put_count = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def nbytes(self) -> int:
        """Bytes that the pictures take."""
        with self._lock:
            return sum(rgb.nbytes for _, rgb in self._frames)

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest picture in nanoseconds."""
        with self._lock:
            return self._frames[-1][0] if self._frames else None

    def wants(self, stamp_ns: int) -> bool:
        """Whether a picture of that stamp would be kept; ask before decoding one."""
        with self._lock:
            if not self._frames:
                return True
            newest_ns = self._frames[-1][0]
            if stamp_ns < newest_ns - BACKWARD_JUMP_NS:
                return True
            return stamp_ns - newest_ns >= (1 - _EARLY) * self._period_ns

    def put(self, stamp_ns: int, rgb: np.ndarray) -> bool:
        """Keeps a picture (H, W, 3) uint8 where `wants` says so; one of another size, or of an earlier time (the
        clock jumped back), begins anew.

        Returns:
            Whether it was kept.
        """
        if not self.wants(stamp_ns):
            return False
        small = shrunk(rgb, self.max_pixels)
        small = small.copy() if small.base is not None or small is rgb else small
        with self._lock:
            if self._frames:
                newest_ns, before = self._frames[-1]
                if stamp_ns <= newest_ns or before.shape != small.shape:
                    self._frames.clear()
            self._frames.append((stamp_ns, small))
            while self._frames[0][0] < stamp_ns - self._memory_ns:
                self._frames.popleft()
            self.put_count += 1
        return True

    def clear(self) -> None:
        """Forgets all pictures."""
        with self._lock:
            self._frames.clear()
            self._clip = None

    def clip(self, origin_ns: int, window: tuple[float, float] | None = None) -> Clip | None:
        """What a model is shown of them: the same object as long as the same pictures are chosen.

        Args:
            origin_ns: Time of second 0.
            window: (start, end) in seconds; None: all that is kept. Pictures before second 0 are never shown.
        """
        with self._lock:
            frames = list(self._frames)
        times_s = [(stamp_ns - origin_ns) / 1e9 for stamp_ns, _ in frames]
        start_s, end_s = (0.0, math.inf) if window is None else window
        chosen = evenly(times_s, self.count, (max(start_s, 0.0), end_s))
        if not chosen:
            return None
        key = (origin_ns, *(frames[i][0] for i in chosen))
        with self._lock:
            if self._clip is None or self._clip[0] != key:
                self._clip = (key, Clip(tuple(frames[i][1] for i in chosen), tuple(times_s[i] for i in chosen)))
            return self._clip[1]


def clip_of_recording(
    source: Source, origin_ns: int, count: int, max_pixels: int, window: tuple[float, float] | None = None
) -> Clip:
    """Pictures of a recording, evenly over a window; only those that are shown are decoded.

    Args:
        source: The recording.
        origin_ns: Time of second 0.
        count: Most pictures. max_pixels: Of each.
        window: (start, end) in seconds; None: all of it.

    Raises:
        VlmError: it has no pictures there.
    """
    stamps = [frame.stamp_ns for frame in source.frames()]
    times_s = [(stamp_ns - origin_ns) / 1e9 for stamp_ns in stamps]
    wanted = {stamps[i]: times_s[i] for i in evenly(times_s, count, window)}
    shown = []
    for frame in source.frames() if wanted else ():
        if frame.stamp_ns in wanted and frame.rgb is not None:
            shown.append((wanted.pop(frame.stamp_ns), shrunk(frame.rgb, max_pixels)))
        if not wanted:
            break
    if not shown:
        when = "" if window is None else f" between {window[0]:.1f} and {window[1]:.1f} s"
        raise VlmError(f"{source.name} has no pictures{when}; ask a model that sees the scene alone, without pictures")
    return Clip(tuple(rgb for _, rgb in shown), tuple(time_s for time_s, _ in shown))
