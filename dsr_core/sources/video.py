"""Videos (mp4, avi, …) and folders of numbered images: pictures and times, nothing else.

There is no pose, no depth and no calibration, so nothing that comes of it alone is metric. Frames are decoded when
their picture is asked for. A video's own times are used where they increase, else its frame rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError, SourceError
from dsr_core.geometry.camera import Camera
from dsr_core.sources.base import LazyFrame, Source
from dsr_core.values import Frame

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
#: Of image folders, which do not say.
FRAME_RATE_HZ = 30.0


def recognises(path: Path) -> bool:
    """Whether `path` is a video file, or a folder whose only files are images with numbered names."""
    if path.is_file():
        return path.suffix.lower() in VIDEO_ENDINGS
    if not path.is_dir():
        return False
    files = [p for p in path.iterdir() if not p.name.startswith(".")]
    return bool(files) and all(p.is_file() and _number(p) is not None for p in files)


def _number(path: Path) -> int | None:
    """The last number in an image's name, or None where it is no image or has none."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits and path.suffix.lower() in IMAGE_ENDINGS else None


class Video(Source):
    """A video, or a folder of numbered images.

    Args:
        path: The file or folder.
        rate_hz: Frames a second in place of the video's own times; of a folder, 30 where None is given.
        camera: Intrinsics where they are known.

    Raises:
        SourceError: it cannot be opened, or holds no picture.
    """

    def __init__(self, path: str | Path, rate_hz: float | None = None, camera: Camera | None = None):
        self.path = Path(path)
        self.name = self.path.stem
        self.camera = camera
        if rate_hz is not None and not 0 < rate_hz < 1e6:
            raise SourceError(f"rate_hz={rate_hz} must be positive")
        self._given_rate_hz = rate_hz
        self._images: list[Path] | None = None
        if self.path.is_dir():
            self._images = sorted((p for p in self.path.iterdir() if _number(p) is not None), key=_number)
            if not self._images:
                raise SourceError(f"{self.path} holds no numbered image ({', '.join(IMAGE_ENDINGS)})")
            self.rate_hz, self._count = rate_hz or FRAME_RATE_HZ, len(self._images)
            return
        cv2 = _cv2()
        capture = self._open()
        own_hz = float(capture.get(cv2.CAP_PROP_FPS))
        self.rate_hz = rate_hz or (own_hz if 0 < own_hz < 1e4 else FRAME_RATE_HZ)
        # Containers without an index do not know; this is for progress bars alone.
        self._count = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        capture.release()

    def __len__(self) -> int:
        return self._count

    def frames(self) -> Iterator[Frame]:
        """Frames in time order; the picture is decoded when it is asked for.

        Raises:
            SourceError: an image is damaged.
        """
        return self._image_frames() if self._images is not None else self._video_frames()

    def _image_frames(self) -> Iterator[Frame]:
        for index, path in enumerate(self._images):
            yield LazyFrame.make(
                lambda path=path: self._checked(_cv2().imread(str(path), _cv2().IMREAD_COLOR), path),
                stamp_ns=round(index / self.rate_hz * 1e9),
                camera=self.camera,
            )

    def _video_frames(self) -> Iterator[Frame]:
        cv2 = _cv2()
        capture = self._open()
        at, last_ns = -1, -1
        first_ms = None

        def decode(index: int) -> np.ndarray:
            if index == at:
                ok, bgr = capture.retrieve()
                return self._checked(bgr if ok else None, f"{self.path}, frame {index}")
            return self._decode_again(index)

        try:
            while capture.grab():
                at += 1
                own_ms = float(capture.get(cv2.CAP_PROP_POS_MSEC))
                first_ms = own_ms if first_ms is None else first_ms
                stamp_ns = round((own_ms - first_ms) * 1e6)
                if self._given_rate_hz is not None or stamp_ns <= last_ns:
                    stamp_ns = max(round(at / self.rate_hz * 1e9), last_ns + 1)
                last_ns = stamp_ns
                yield LazyFrame.make(lambda index=at: decode(index), stamp_ns=stamp_ns, camera=self.camera)
            if at < 0:
                raise SourceError(f"{self.path} holds no picture that can be decoded; is the file cut off?")
        finally:
            at = -1
            capture.release()

    def _decode_again(self, index: int) -> np.ndarray:
        """A frame that was passed by: read from the start, since seeking is not exact in every container."""
        capture = self._open()
        try:
            for _ in range(index + 1):
                if not capture.grab():
                    raise SourceError(f"{self.path}, frame {index} cannot be read again")
            ok, bgr = capture.retrieve()
            return self._checked(bgr if ok else None, f"{self.path}, frame {index}")
        finally:
            capture.release()

    def _open(self):
        cv2 = _cv2()
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise SourceError(
                f"{self.path} cannot be opened as a video; is it cut off, or its codec unknown to OpenCV?"
                " (ffmpeg -i IN -c:v libx264 OUT.mp4 makes one that is known)"
            )
        return capture

    def _checked(self, bgr: np.ndarray | None, what: object) -> np.ndarray:
        if bgr is None:
            raise SourceError(f"{what} cannot be decoded; is the file cut off?")
        size = bgr.shape[1::-1]
        if self.camera is not None and self.camera.image_size != size:
            raise SourceError(f"{what} has {size[0]}x{size[1]} pixels, the camera {self.camera.image_size}")
        return np.ascontiguousarray(bgr[:, :, ::-1])


def _cv2():
    try:
        import cv2
    except ImportError:
        raise DependencyError("videos are read by OpenCV: pip install opencv-python-headless") from None
    return cv2
