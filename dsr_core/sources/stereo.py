"""Stereo folders in the EuRoC layout.

`cam0/` (left) and `cam1/` (right), here or in `mav0/`, each with `sensor.yaml` (T_BS, the camera in the body's frame;
intrinsics; distortion) and `data/<stamp in nanoseconds>.png`. Pairs are the images of one stamp. Poses of the body come
from `groundtruth.txt` or `state_groundtruth_estimate0/data.csv` (stamp ns, x, y, z, quaternion w, x, y, z); where there
is neither, they come from visual odometry. Frames show the rectified left camera; depth is matched on demand.

The body of EuRoC is its IMU, which does not look forward: there is no base pose unless `T_base_camera` is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError, GeometryError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.lifting import LiftingConfig
from dsr_core.perception.depth.stereo import DisparityMatcher, StereoDepth, StereoRig
from dsr_core.perception.lift import LiftConfig
from dsr_core.sources.base import LazyFrame, Source
from dsr_core.values import Frame

POSES = ("auto", "recorded", "visual", "none")
GROUND_TRUTH = ("groundtruth.txt", "state_groundtruth_estimate0/data.csv")
#: A recorded pose farther away in time than this says nothing about an image.
MAX_POSE_GAP_NS = 100_000_000
_MODELS = {"radial-tangential": "plumb_bob", "radtan": "plumb_bob", "equidistant": "equidistant"}


def recognises(path: Path) -> bool:
    """Whether `path` is a stereo folder in the EuRoC layout."""
    return path.is_dir() and any(_is_root(p) for p in (path, path / "mav0"))


def _is_root(path: Path) -> bool:
    return all((path / f"cam{i}" / "sensor.yaml").is_file() and (path / f"cam{i}" / "data").is_dir() for i in (0, 1))


class StereoFolder(Source):
    """A stereo folder.

    Args:
        path: The folder.
        poses: "recorded" takes the ground truth's poses, "visual" visual odometry on the stereo depth, "none" no poses,
            "auto" recorded ones where there are any and else visual ones.
        matcher: Finds disparities; SGBM where None is given.
        T_base_camera: (4, 4) mount of the left camera (not rectified) on a robot, or None where there is no robot.

    Raises:
        SourceError: a file is missing or damaged; the message names it.
    """

    def __init__(
        self,
        path: str | Path,
        poses: str = "auto",
        matcher: DisparityMatcher | None = None,
        T_base_camera: np.ndarray | None = None,
    ):
        self.path = Path(path)
        self.name = self.path.name
        if poses not in POSES:
            raise SourceError(f"poses={poses!r} is not known; use one of {', '.join(POSES)}")
        root = next((p for p in (self.path, self.path / "mav0") if _is_root(p)), None)
        if root is None:
            raise SourceError(f"{self.path} holds no cam0/ and cam1/ with sensor.yaml and data/")
        self._folders = [root / f"cam{i}" / "data" for i in (0, 1)]
        (left, T_body_left), (right, T_body_right) = (_sensor(root / f"cam{i}" / "sensor.yaml") for i in (0, 1))
        try:
            rig = StereoRig(left, right, tf.invert(T_body_right) @ T_body_left)
            self._T_base_left = None if T_base_camera is None else tf.check_rigid(T_base_camera, "T_base_camera")
        except GeometryError as error:
            raise SourceError(f"{self.path}: {error}") from error
        self.depth = StereoDepth(rig, matcher)
        self.rig = rig
        self._T_body_camera = T_body_left @ rig.T_left_rectified
        names = [{p.stem: p.name for p in folder.iterdir() if p.stem.isdigit()} for folder in self._folders]
        self.stamps_ns = sorted(int(stem) for stem in names[0].keys() & names[1].keys())
        self._names = names
        if not self.stamps_ns:
            raise SourceError(f"{self.path}: no image of cam0/data and cam1/data has the same stamp")
        for side, other in ((0, 1), (1, 0)):
            for _ in names[side].keys() - names[other].keys():
                self.skip(f"images of cam{side} without one of cam{other}")
        truth = next((p for r in (root, self.path) for p in (r / n for n in GROUND_TRUTH) if p.is_file()), None)
        if truth is None and poses == "recorded":
            raise SourceError(f'{self.path} holds no {" and no ".join(GROUND_TRUTH)}; use poses="visual"')
        self.poses = ("visual" if truth is None else "recorded") if poses == "auto" else poses
        self._recorded = _read_poses(truth) if self.poses == "recorded" else None

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def lift_config(self) -> LiftConfig:
        """Placing by depth with the noise of this pair."""
        return LiftConfig(depth=LiftingConfig(noise=self.depth.noise))

    def frames(self) -> Iterator[Frame]:
        """Pairs in time order; the picture is decoded and the depth matched when they are asked for.

        Raises:
            SourceError: an image is damaged.
        """
        if self.poses != "visual":
            yield from self._bare_frames()
            return
        from dsr_core.perception.odometry.visual import with_visual_odometry

        for frame in with_visual_odometry(self._bare_frames()):
            T_world_camera = frame.T_world_camera
            yield frame if T_world_camera is None else _posed(frame, T_world_camera, self._base(T_world_camera))

    def _bare_frames(self) -> Iterator[Frame]:
        for stamp_ns in self.stamps_ns:
            T_world_camera = self.pose(stamp_ns)
            yield LazyFrame.make(
                lambda stamp_ns=stamp_ns: self._picture(stamp_ns),
                lambda stamp_ns=stamp_ns: self.depth(self._image(0, stamp_ns), self._image(1, stamp_ns)).depth_m,
                stamp_ns=stamp_ns,
                T_world_camera=T_world_camera,
                T_world_base=None if T_world_camera is None else self._base(T_world_camera),
                camera=self.rig.camera,
            )

    def pose(self, stamp_ns: int) -> np.ndarray | None:
        """T_world_camera (4, 4) of the rectified left camera by the recorded poses, or None where there are none."""
        if self._recorded is None:
            return None
        stamps_ns, T_world_body = self._recorded
        nearest = int(np.abs(stamps_ns - stamp_ns).min())
        if nearest > MAX_POSE_GAP_NS:
            return None
        seconds = (stamps_ns - stamps_ns[0]) * 1e-9
        at_s = (stamp_ns - int(stamps_ns[0])) * 1e-9
        return tf.interpolate_transforms(seconds, T_world_body, np.array([at_s]))[0] @ self._T_body_camera

    def _base(self, T_world_camera: np.ndarray) -> np.ndarray | None:
        if self._T_base_left is None:
            return None
        return T_world_camera @ tf.invert(self._T_base_left @ self.rig.T_left_rectified)

    def _image(self, side: int, stamp_ns: int) -> np.ndarray:
        """(H, W) uint8 as the camera took it."""
        path = self._folders[side] / self._names[side][str(stamp_ns)]
        image = _cv2().imread(str(path), _cv2().IMREAD_GRAYSCALE)
        if image is None:
            raise SourceError(f"{path} cannot be decoded; is the file cut off?")
        return image

    def _picture(self, stamp_ns: int) -> np.ndarray:
        path = self._folders[0] / self._names[0][str(stamp_ns)]
        bgr = _cv2().imread(str(path), _cv2().IMREAD_COLOR)
        if bgr is None:
            raise SourceError(f"{path} cannot be decoded; is the file cut off?")
        return np.ascontiguousarray(self.rig.rectify_left(bgr)[:, :, ::-1])


def _posed(frame: Frame, T_world_camera: np.ndarray, T_world_base: np.ndarray | None) -> Frame:
    return replace(frame, T_world_camera=T_world_camera, T_world_base=T_world_base)


def _sensor(path: Path) -> tuple[Camera, np.ndarray]:
    """A camera of a sensor.yaml and T_body_camera (4, 4).

    Raises:
        SourceError: the file is no sensor.yaml, or its camera model is not known.
    """
    import yaml

    try:
        # "%YAML:1.0" is OpenCV's dialect, not YAML's.
        lines = [line for line in path.read_text().splitlines() if not line.startswith("%YAML")]
        content = yaml.safe_load("\n".join(lines))
        fu, fv, cu, cv = (float(v) for v in content["intrinsics"])
        T_body_camera = np.array(content["T_BS"]["data"], float).reshape(4, 4)
        model = _MODELS.get(content["distortion_model"])
        if content["camera_model"] != "pinhole" or model is None:
            raise SourceError(
                f"{path}: camera model {content['camera_model']!r} with {content['distortion_model']!r} distortion is"
                f" not known; pinhole with {', '.join(_MODELS)} is"
            )
        D = np.array(content["distortion_coefficients"], float)
        camera = Camera(np.array([[fu, 0, cu], [0, fv, cv], [0, 0, 1]]), tuple(content["resolution"]), D, model)
        return camera, tf.check_rigid(T_body_camera, f"T_BS in {path}", tolerance=1e-2)
    except (KeyError, TypeError, ValueError, OSError, yaml.YAMLError, GeometryError) as error:
        raise SourceError(f"{path} is no sensor.yaml of a camera: {error!r}") from error


def _read_poses(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (T,) int64 nanoseconds and T_world_body (T, 4, 4).

    Raises:
        SourceError: the file does not hold such lines in time order.
    """
    rows, stamps = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = line.replace(",", " ").split()
        try:
            # Nanoseconds since 1970 do not fit into a float.
            stamps.append(int(fields[0].split(".")[0]))
            rows.append([float(v) for v in fields[1:8]])
        except ValueError as error:
            raise SourceError(f"{path}, line {number}: {error}") from error
        if len(rows[-1]) != 7 or not np.isfinite(rows[-1]).all():
            raise SourceError(f"{path}, line {number}: stamp, x, y, z and quaternion w, x, y, z are needed")
    stamps_ns, values = np.array(stamps, np.int64), np.array(rows).reshape(-1, 7)
    if not len(stamps_ns) or np.any(np.diff(stamps_ns) <= 0):
        raise SourceError(f"{path} holds no poses in time order")
    try:
        R = tf.matrices_from_quaternions(values[:, [4, 5, 6, 3]])
    except GeometryError as error:
        raise SourceError(f"{path}: {error}") from error
    return stamps_ns, tf.make_transform(R, values[:, :3])


def _cv2():
    try:
        import cv2
    except ImportError:
        raise DependencyError("stereo folders are read by OpenCV: pip install opencv-python-headless") from None
    return cv2
