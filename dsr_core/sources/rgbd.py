"""RGB-D folders in the 7-Scenes layout.

`frame-000000.color.jpg` (or .png), `frame-000000.depth.png` (uint16 millimetres; 0 and 65535 = unknown),
`frame-000000.pose.txt` (4x4, camera to world), one set a frame, and `camera-intrinsics.txt` (3x3). Frames come at
30 Hz unless said otherwise. Where no frame has a pose, poses come from visual odometry. How the camera is mounted on a
robot is not known, so there is no base pose unless `T_base_camera` is given.

Detections come from a JSON file: a list with one entry a frame (or an object from frame number to entry), each a list
of `{"label": "cup", "box": [x1, y1, x2, y2], "score": 0.9, "id": "3"}` (score and id may be left out).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError, GeometryError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception.backends import Perception, PerceptionConfig, changed
from dsr_core.sources.base import LazyFrame, Source
from dsr_core.sources.ros_image import depth_to_metres
from dsr_core.values import Detection, Frame

log = logging.getLogger(__name__)

FRAME_RATE_HZ = 30.0
INTRINSICS = "camera-intrinsics.txt"
POSES = ("auto", "camera_to_world", "world_to_camera", "visual", "none")
_DEPTH_NAME = re.compile(r"frame-(\d+)\.depth\.png")


def recognises(path: Path) -> bool:
    """Whether `path` is an RGB-D folder in the 7-Scenes layout."""
    return path.is_dir() and (path / INTRINSICS).is_file() and any(path.glob("frame-*.depth.png"))


class RgbdFolder(Source):
    """An RGB-D folder.

    Args:
        path: The folder.
        detections: JSON file with 2D boxes, or None for none.
        poses: What pose.txt holds: "camera_to_world" (7-Scenes) or "world_to_camera"; or, in its place, "visual" for
            visual odometry and "none" for no poses. "auto": visual where there is no pose.txt, else camera_to_world.
        rate_hz: Frames a second.
        T_base_camera: (4, 4) mount of the camera on a robot, or None where there is no robot.

    Raises:
        SourceError: a file is missing or damaged; the message names it.
    """

    def __init__(
        self,
        path: str | Path,
        detections: str | Path | None = None,
        poses: str = "auto",
        rate_hz: float = FRAME_RATE_HZ,
        T_base_camera: np.ndarray | None = None,
    ):
        self.path = Path(path)
        self.name, self.detector = self.path.name, None if detections is None else str(detections)
        self.world_frame = "odom"
        if poses not in POSES:
            raise SourceError(f"poses={poses!r} is not known; use {', '.join(POSES[:-1])} or {POSES[-1]}")
        if not rate_hz > 0:
            raise SourceError(f"rate_hz={rate_hz} must be positive")
        if poses == "auto":
            poses = "camera_to_world" if any(self.path.glob("frame-*.pose.txt")) else "visual"
            if poses == "visual":
                log.warning("%s holds no frame-*.pose.txt: poses come from visual odometry", self.path)
        self.poses, self.rate_hz = poses, float(rate_hz)
        self.T_base_camera = None if T_base_camera is None else tf.check_rigid(T_base_camera, "T_base_camera")
        found = (_DEPTH_NAME.fullmatch(p.name) for p in self.path.glob("frame-*.depth.png"))
        self.numbers = sorted(m.group(1) for m in found if m)
        if not self.numbers:
            raise SourceError(f"{self.path} holds no frame-*.depth.png")
        self._K = _matrix(self.path / INTRINSICS, (3, 3))
        self._detections = {} if detections is None else _read_detections(Path(detections))
        self._camera: Camera | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def frames(self) -> Iterator[Frame]:
        """Frames in the order of their numbers; the picture is decoded when it is asked for.

        Raises:
            SourceError: a pose or an image is damaged.
        """
        if self.poses != "visual":
            yield from self._recorded_frames()
            return
        odometry = Perception(PerceptionConfig(poses="visual"))
        for frame in self._recorded_frames():
            frame = odometry.step(frame)
            yield frame if frame.T_world_camera is None else changed(frame, T_world_base=self._base(frame))

    def _recorded_frames(self) -> Iterator[Frame]:
        for number in self.numbers:
            depth_m = self._depth(number)
            size = depth_m.shape[::-1]
            if self._camera is None or self._camera.image_size != size:
                self._camera = Camera(self._K, size)
            frame = LazyFrame.make(
                lambda number=number: self._color(number),
                stamp_ns=round(int(number) / self.rate_hz * 1e9),
                T_world_camera=self.pose(number) if self.poses in ("camera_to_world", "world_to_camera") else None,
                depth_m=depth_m,
                camera=self._camera,
                detections=self._detections.get(int(number), ()),
            )
            yield changed(frame, T_world_base=self._base(frame))

    def _base(self, frame: Frame) -> np.ndarray | None:
        if self.T_base_camera is None or frame.T_world_camera is None:
            return None
        return frame.T_world_camera @ tf.invert(self.T_base_camera)

    def pose(self, number: str) -> np.ndarray:
        """T_world_camera (4, 4) of a frame.

        Raises:
            SourceError: the file is missing, damaged or holds no rigid transform.
        """
        path = self.path / f"frame-{number}.pose.txt"
        T = _matrix(path, (4, 4))
        try:
            tf.check_rigid(T, f"the pose in {path}")
        except GeometryError as error:
            raise SourceError(str(error)) from error
        # The file's few digits leave the rotation slightly off; quaternions on ROS' /tf would differ from it.
        T[:3, :3] = tf.matrices_from_quaternions(tf.quaternions_from_matrices(T[:3, :3]))
        return tf.invert(T) if self.poses == "world_to_camera" else T

    def _depth(self, number: str) -> np.ndarray:
        path = self.path / f"frame-{number}.depth.png"
        values = _cv2().imread(str(path), _cv2().IMREAD_UNCHANGED)
        if values is None or values.dtype != np.uint16 or values.ndim != 2:
            what = "cannot be decoded" if values is None else f"holds {values.dtype} of shape {values.shape}"
            raise SourceError(f"{path} {what}; a 16-bit PNG of millimetres is needed")
        return depth_to_metres(values, "16UC1")

    def _color(self, number: str) -> np.ndarray | None:
        paths = [self.path / f"frame-{number}.color.{ending}" for ending in ("jpg", "png")]
        path = next((p for p in paths if p.is_file()), None)
        if path is None:
            return None
        bgr = _cv2().imread(str(path), _cv2().IMREAD_COLOR)
        if bgr is None:
            raise SourceError(f"{path} cannot be decoded; is the file cut off?")
        return np.ascontiguousarray(bgr[:, :, ::-1])


def _matrix(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Numbers of a text file.

    Raises:
        SourceError: the file is missing or does not hold `shape` finite numbers.
    """
    try:
        values = np.array(path.read_text().split(), float)
    except FileNotFoundError:
        raise SourceError(f"{path} is missing") from None
    except (ValueError, OSError) as error:
        raise SourceError(f"{path} cannot be read as {shape[0]}x{shape[1]} numbers: {error}") from error
    if values.size != shape[0] * shape[1] or not np.isfinite(values).all():
        finite = "" if np.isfinite(values).all() else ", some of them not finite (the tracking was lost there)"
        raise SourceError(f"{path} holds {values.size} numbers{finite}; {shape[0]}x{shape[1]} finite ones are needed")
    return values.reshape(shape)


def _read_detections(path: Path) -> dict[int, tuple[Detection, ...]]:
    """Detections by frame number of a JSON file in the format above.

    Raises:
        SourceError: the file is missing or not in that format; the message names the entry.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise SourceError(f"detections file {path} is missing") from None
    except (ValueError, OSError) as error:
        raise SourceError(f"{path} is no JSON: {error}") from error
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        raise SourceError(f"{path} must hold a list of frames or an object from frame number to detections")
    out = {}
    for number, entries in content.items():
        try:
            out[int(number)] = tuple(_detection(e) for e in entries)
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(
                f"{path}, frame {number}: {error!r}; a list of"
                ' {"label": …, "box": [x1, y1, x2, y2], "score": …} is needed'
            ) from error
    return out


def _detection(entry: dict) -> Detection:
    box = np.array(entry["box"], float)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f"box {entry['box']} is not x1, y1, x2, y2")
    return Detection(str(entry["label"]), float(entry.get("score", 1.0)), box_px=box, id=str(entry.get("id", "")))


def _cv2():
    try:
        import cv2
    except ImportError:
        raise DependencyError("RGB-D folders are read by OpenCV: pip install opencv-python-headless") from None
    return cv2
