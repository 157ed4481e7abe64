"""Which frames of a video a model is shown, and in which order.

A policy chooses frame numbers; pictures are decoded when they are asked for. The order is part of it: shuffled,
reversed or repeated frames, or none at all, show what a score owes to the video.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dsr_core.bench.row import BenchError, Row
from dsr_core.errors import SourceError
from dsr_core.sources.video import VIDEO_ENDINGS, Video, recognises

#: "ordered" as they were taken; "shuffled" by a seed and the row's key; "reversed"; "first" the first one repeated as
#: often; "none" for a blind model.
ORDERS = ("ordered", "shuffled", "reversed", "first", "none")
#: "uniform": evenly from the first frame to the last, round(linspace(0, n - 1, count)), as qwen_vl_utils takes them;
#: "inner": evenly without the ends, int(k n / (count + 1)), as VLMEvalKit takes them; "rate": at a rate.
KINDS = ("uniform", "inner", "rate")
#: The last second of a video, in `Row.hide_from_s`.
LAST_SECOND = -1.0
_ROUNDING_S = 1e-6


class MissingVideoError(BenchError):
    """A row's video is not there or cannot be decoded; the row is reported as missing."""


@dataclass(frozen=True)
class FramePolicy:
    """Which frames.

    Attributes:
        kind: One of `KINDS`.
        count: Frames of "uniform" and "inner", and the most that "rate" takes (evenly thinned beyond that).
        rate_hz: Frames a second of "rate".
        max_pixels: Larger pictures are made smaller, keeping their shape.
        multiple: Sides become multiples of this, as Qwen-VL's processors make them (28, or 1 for any).
        order: One of `ORDERS`.
        seed: Of "shuffled".
        hide_future: Whether rows that ask for a prediction are shown nothing from `Row.hide_from_s` on. Switch it off
            to compare with published numbers: no published evaluator hides it.
        within_window: Whether rows with a window are shown that window alone.
    """

    kind: str = "uniform"
    count: int = 32
    rate_hz: float = 1.0
    max_pixels: int = 602_112
    multiple: int = 28
    order: str = "ordered"
    seed: int = 0
    hide_future: bool = True
    within_window: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise BenchError(f"frames are taken {', '.join(KINDS)}, not {self.kind!r}")
        if self.order not in ORDERS:
            raise BenchError(f"frames are ordered {', '.join(ORDERS)}, not {self.order!r}")
        if self.count < 1 or not self.rate_hz > 0 or self.multiple < 1 or self.max_pixels < self.multiple**2:
            raise BenchError(
                f"count={self.count} and multiple={self.multiple} must be at least 1, rate_hz={self.rate_hz} positive,"
                f" max_pixels={self.max_pixels} at least multiple squared"
            )

    def to_dict(self) -> dict:
        """For a result's provenance."""
        return asdict(self)


@dataclass(frozen=True)
class Clip:
    """The frames that are shown for a row.

    Attributes:
        path: The video.
        indices: Frame numbers in the order in which they are shown.
        times_s: Seconds of the video to tell the model, increasing: those of a shuffled clip would tell its order.
        decode: () -> the pictures in the order of `indices`, (H, W, 3) uint8 RGB, within the pixel budget; raises
            `MissingVideoError`.
    """

    path: Path | None
    indices: tuple[int, ...]
    times_s: tuple[float, ...]
    decode: Callable[[], list[np.ndarray]]


def locate(root: str | Path, video: str) -> Path:
    """The file (or folder of images) of a row's video below the folder `root`.

    Looked for are the path as given, its end below `root` (so that an address on the web finds its file), and other
    endings of the same name.

    Raises:
        MissingVideoError: there is none.
    """
    root = Path(root)
    parts = [part for part in video.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        below = root.joinpath(*parts[start:])
        for path in (below, *(below.with_suffix(end) for end in VIDEO_ENDINGS), below.with_suffix("")):
            if path != root and recognises(path):
                return path
    raise MissingVideoError(f"video {video!r} is not below {root}")


def clip_of(root: str | Path, row: Row, policy: FramePolicy) -> Clip:
    """The frames of a row.

    Raises:
        MissingVideoError: there is no video, or it cannot be opened.
    """
    if policy.order == "none":
        return Clip(None, (), (), list)
    if not row.video:
        raise MissingVideoError(f"row {row.key} names no video")
    path = locate(root, row.video)
    try:
        video = Video(path)
        count = len(video) or _counted(video)
    except SourceError as error:
        raise MissingVideoError(str(error)) from error
    return _clip(path, video, count, row, policy)


def choose(count: int, rate_hz: float, row: Row, policy: FramePolicy) -> tuple[int, ...]:
    """Numbers of the frames that are shown of a video of `count` frames at `rate_hz`, in the order of showing."""
    first, last = 0, count - 1
    if policy.within_window and row.window is not None:
        first = min(max(math.ceil((row.window[0] - _ROUNDING_S) * rate_hz), 0), last)
        last = min(max(math.floor((row.window[1] + _ROUNDING_S) * rate_hz), first), last)
    if policy.hide_future and row.hide_from_s is not None:
        until_s = count / rate_hz - 1.0 if row.hide_from_s == LAST_SECOND else row.hide_from_s
        last = min(max(math.floor((until_s + _ROUNDING_S) * rate_hz), first), last)
    shown = _spread(last - first + 1, rate_hz, policy) + first
    return tuple(int(i) for i in _ordered(shown, row, policy))


def fit(width: int, height: int, max_pixels: int, multiple: int) -> tuple[int, int]:
    """(width, height) of a picture within a budget of pixels, sides multiples of `multiple`, its shape kept as well as
    those allow (Qwen-VL's rule)."""
    wide, high = (max(multiple, round(side / multiple) * multiple) for side in (width, height))
    if wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide, high = (max(multiple, math.floor(side / shrink / multiple) * multiple) for side in (width, height))
    return wide, high


def _spread(count: int, rate_hz: float, policy: FramePolicy) -> np.ndarray:
    if policy.kind == "inner":
        step = count / (policy.count + 1)
        return (np.arange(1, policy.count + 1) * step).astype(int)
    wanted = policy.count
    if policy.kind == "rate":
        taken = (np.arange(max(int(count / rate_hz * policy.rate_hz), 1)) * (rate_hz / policy.rate_hz)).astype(int)
        taken = np.unique(np.minimum(taken, count - 1))
        if len(taken) <= wanted:
            return taken
        return taken[np.round(np.linspace(0, len(taken) - 1, wanted)).astype(int)]
    return np.round(np.linspace(0, count - 1, min(wanted, count))).astype(int)


def _ordered(shown: np.ndarray, row: Row, policy: FramePolicy) -> np.ndarray:
    if policy.order == "shuffled":
        return np.random.default_rng((policy.seed, zlib.crc32(row.key.encode()))).permutation(shown)
    if policy.order == "reversed":
        return shown[::-1]
    if policy.order == "first":
        return np.full_like(shown, shown[0])
    return shown


def _clip(path: Path, video: Video, count: int, row: Row, policy: FramePolicy) -> Clip:
    indices = choose(count, video.rate_hz, row, policy)
    times = tuple(round(i / video.rate_hz, 3) for i in sorted(indices))

    def decode() -> list[np.ndarray]:
        return _pictures(video, indices, count, row, policy)

    return Clip(path, indices, times, decode)


def _pictures(video: Video, indices: Sequence[int], count: int, row: Row, policy: FramePolicy) -> list[np.ndarray]:
    """The pictures of `indices`, read in one pass; a video that is shorter than it claims is asked again."""
    wanted, found, seen = set(indices), {}, 0
    try:
        for at, frame in enumerate(video.frames()):
            seen = at + 1
            if at in wanted:
                found[at] = _resized(frame.rgb, policy)
            if len(found) == len(wanted):
                break
    except SourceError as error:
        raise MissingVideoError(str(error)) from error
    if len(found) < len(wanted):
        if seen >= count:
            raise MissingVideoError(f"{video.path}: frames {sorted(wanted - set(found))} cannot be decoded")
        return _pictures(video, choose(seen, video.rate_hz, row, policy), seen, row, policy)
    return [found[i] for i in indices]


def _resized(rgb: np.ndarray, policy: FramePolicy) -> np.ndarray:
    height, width = rgb.shape[:2]
    size = fit(width, height, policy.max_pixels, policy.multiple)
    if size == (width, height):
        return rgb
    import cv2

    shrinks = size[0] * size[1] < width * height
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _counted(video: Video) -> int:
    return sum(1 for _ in video.frames())
