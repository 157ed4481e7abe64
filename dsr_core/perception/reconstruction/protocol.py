"""What every reconstruction backend offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Point maps and poses of N pictures.

    Attributes:
        points_camera_m: (N, H, W, 3) float32 in each picture's optical frame, NaN where unknown; metres where `metric`,
            else an unknown multiple of them.
        T_world_camera: (N, 4, 4) camera to world (not world to camera), in the same unit.
        confidence: (N, H, W) float32 in 0..1.
        K: (N, 3, 3) in pixels of the point maps, or None where the backend estimates none.
        metric: Whether the unit is the metre.
    """

    points_camera_m: np.ndarray
    T_world_camera: np.ndarray
    confidence: np.ndarray
    K: np.ndarray | None
    metric: bool

    def __post_init__(self):
        shape = self.points_camera_m.shape
        if len(shape) != 4 or shape[3] != 3:
            raise GeometryError(f"point maps of shape {shape}; (N, H, W, 3) is needed")
        if self.confidence.shape != shape[:3]:
            raise GeometryError(f"confidence of shape {self.confidence.shape} does not fit to point maps of {shape}")
        if self.T_world_camera.shape != (shape[0], 4, 4):
            raise GeometryError(f"T_world_camera of shape {self.T_world_camera.shape}; ({shape[0]}, 4, 4) is needed")
        tf.check_rigid(self.T_world_camera, "T_world_camera of the reconstruction", tolerance=1e-2)
        if self.K is not None and self.K.shape != (shape[0], 3, 3):
            raise GeometryError(f"K of shape {self.K.shape}; ({shape[0]}, 3, 3) is needed")

    def __len__(self) -> int:
        return len(self.points_camera_m)

    def points_world_m(self) -> np.ndarray:
        """(N, H, W, 3) points in the world."""
        return tf.transform_points(self.T_world_camera[:, None, None], self.points_camera_m)


class Reconstructor(Protocol):
    """Reconstructs a window of pictures at once."""

    def __call__(self, rgb: np.ndarray) -> Reconstruction:
        """Points and poses of (N, H, W, 3) uint8 pictures; the world is any frame that all of them share."""
