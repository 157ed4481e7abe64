"""Depth of the newest picture by reconstructing it with some before it; in metres by the poses they were taken at.

A reconstruction is true up to one scale a window. The frames' own poses (odometry, TF) tell it: a robust similarity
carries the window's poses onto them. Where they do not (the robot stood, or turned on the spot), there is no depth.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.geometry.trajectory import align_poses
from dsr_core.perception.depth.protocol import DepthEstimate
from dsr_core.perception.reconstruction.protocol import Reconstruction, Reconstructor
from dsr_core.values import Frame


class DepthUnknown(GeometryError):
    """The depth of a frame cannot be told.

    Attributes:
        reason: Short cause without numbers, for counting.
    """

    def __init__(self, reason: str, message: str = ""):
        super().__init__(message or reason)
        self.reason = reason


@dataclass(frozen=True)
class ReconstructedDepthConfig:
    """Constants of depth by reconstruction.

    Attributes:
        length: Pictures a window, the newest one among them.
        min_move_m: A picture is kept for later windows when the camera has moved by this since the one kept before, ...
        min_turn_rad: ... or turned by this.
        min_confidence: Pixels below have no depth.
        max_scale_sigma: Poses that tell log(scale) less exactly give no depth.
        relative_sigma: One-sigma of depth as a part of it, beside that of the scale. Judgement, not measured here.
    """

    length: int = 8
    min_move_m: float = 0.1
    min_turn_rad: float = 0.2
    min_confidence: float = 0.1
    max_scale_sigma: float = 0.1
    relative_sigma: float = 0.1

    def __post_init__(self):
        if self.length < 3:
            raise GeometryError(f"reconstructed depth: length = {self.length} must be at least 3")
        for name in ("min_move_m", "min_turn_rad", "max_scale_sigma", "relative_sigma"):
            if not getattr(self, name) > 0:
                raise GeometryError(f"reconstructed depth: {name} = {getattr(self, name)} must be positive")


class ReconstructedDepth:
    """Depth of frames in the order of time.

    Args:
        backend: Reconstructs a window of pictures.
        config: Constants.
    """

    metric = True

    def __init__(self, backend: Reconstructor, config: ReconstructedDepthConfig = ReconstructedDepthConfig()):
        self._backend, self.config = backend, config
        self.noise = reconstruction_noise(config.relative_sigma, config.max_scale_sigma)
        self._backend_is_metric: bool | None = None
        self.reset()

    def reset(self) -> None:
        """Forgets the pictures before."""
        self._kept: deque[tuple[np.ndarray, np.ndarray | None]] = deque(maxlen=self.config.length - 1)

    def __call__(self, frame: Frame) -> DepthEstimate:
        """Depth of a frame's picture in metres.

        Raises:
            DepthUnknown: the poses do not tell the scale; `reason` says why.
            GeometryError: the frame has no picture.
        """
        if frame.rgb is None:
            raise GeometryError(f"the frame at {frame.stamp_ns} ns has no picture to reconstruct")
        if self._kept and self._kept[-1][0].shape != frame.rgb.shape:
            self.reset()
        before, newest = list(self._kept), (frame.rgb, frame.T_world_camera)
        if self._is_news(newest[1]):
            self._kept.append(newest)
        window = [*before, newest]
        if self._backend_is_metric is not True:
            self._check_poses([T for _, T in window])
        found = self._backend(np.stack([rgb for rgb, _ in window]))
        self._backend_is_metric = found.metric
        scale = 1.0 if found.metric else self._scale(found, [T for _, T in window])
        z = scale * picture_depth(found, -1, self.config.min_confidence)
        return DepthEstimate(resized(z, frame.rgb.shape[:2]), self.noise, True)

    def _is_news(self, T_world_camera: np.ndarray | None) -> bool:
        """Whether a picture shows what the last one that is kept did not."""
        if not self._kept:
            return True
        last = self._kept[-1][1]
        if T_world_camera is None or last is None:
            return self._backend_is_metric is True
        moved = np.linalg.norm(T_world_camera[:3, 3] - last[:3, 3])
        cosine = (np.trace(last[:3, :3].T @ T_world_camera[:3, :3]) - 1) / 2
        return bool(moved >= self.config.min_move_m or np.arccos(np.clip(cosine, -1, 1)) >= self.config.min_turn_rad)

    def _check_poses(self, poses: list[np.ndarray | None]) -> None:
        """Spares the network windows whose poses cannot tell the scale."""
        if poses[-1] is None:
            raise DepthUnknown("no pose, which would tell the scale")
        places = np.array([T[:3, 3] for T in poses if T is not None])
        if len(places) < 3 or np.linalg.norm(places - places[-1], axis=1).max() < self.config.min_move_m:
            raise DepthUnknown("the camera has not moved enough to tell the scale")

    def _scale(self, found: Reconstruction, poses: list[np.ndarray | None]) -> float:
        known = [i for i, T in enumerate(poses) if T is not None]
        alignment = align_poses(found.T_world_camera[known], np.stack([poses[i] for i in known]))
        if not alignment.scale_sigma <= self.config.max_scale_sigma:
            raise DepthUnknown(
                "the poses do not tell the scale",
                f"the poses tell the scale to {alignment.scale_sigma:.0%} only; {self.config.max_scale_sigma:.0%} is"
                " needed",
            )
        return alignment.similarity.scale


def reconstruction_noise(relative_sigma: float, scale_sigma: float) -> DepthNoise:
    """Noise of reconstructed depth: mostly one factor for the whole picture, which no averaging over pixels removes."""
    return DepthNoise(1e-3, 0.0, 1.0, relative=float(np.hypot(relative_sigma, scale_sigma)))


def picture_depth(found: Reconstruction, index: int, min_confidence: float) -> np.ndarray:
    """Depth (h, w) float32 of one picture of a window in its unit, NaN where it is unsure."""
    z = np.array(found.points_camera_m[index, ..., 2], np.float32)
    with np.errstate(invalid="ignore"):
        z[~((z > 0) & np.isfinite(z) & (found.confidence[index] >= min_confidence))] = np.nan
    return z


def resized(depth: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Depth (h, w) as (H, W) float32, each pixel that of the nearest one: a mean over an edge is nowhere."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1) for n, m in zip(size_hw, depth.shape, strict=True)
    )
    return np.ascontiguousarray(depth[np.ix_(rows, columns)], np.float32)
