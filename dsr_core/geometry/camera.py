"""Pinhole cameras with lens distortion (OpenCV's plumb_bob, rational_polynomial and equidistant models)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dsr_core.errors import GeometryError


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of one camera.

    Attributes:
        K: (3, 3) pinhole matrix in pixels.
        image_size: (width, height) in pixels.
        D: (n,) distortion coefficients in OpenCV's order; empty for a rectified image.
        model: "plumb_bob", "rational_polynomial" or "equidistant" (sensor_msgs/CameraInfo names).
    """

    K: np.ndarray
    image_size: tuple[int, int]
    D: np.ndarray = field(default_factory=lambda: np.zeros(0))
    model: str = "plumb_bob"

    def __post_init__(self):
        K, D = np.asarray(self.K, float), np.asarray(self.D, float).ravel()
        if K.shape != (3, 3) or not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
            raise GeometryError(
                f"camera matrix K = {K.tolist()} is not usable: focal lengths must be positive;"
                " an uncalibrated driver publishes zeros, so calibrate it or set a calibration file"
            )
        if self.model not in ("plumb_bob", "rational_polynomial", "equidistant", ""):
            raise GeometryError(
                f"distortion model {self.model!r} is not known; use plumb_bob, rational_polynomial or equidistant"
            )
        object.__setattr__(self, "K", K)
        object.__setattr__(self, "D", D if np.any(D) else np.zeros(0))
        object.__setattr__(self, "image_size", (int(self.image_size[0]), int(self.image_size[1])))

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Optical-frame rays (N, 3) with z = 1 of pixels (N, 2) as u, v; lens distortion removed."""
        pixels = np.asarray(pixels, float).reshape(-1, 2)
        if self.D.size:
            import cv2

            undistort = cv2.fisheye.undistortPoints if self.model == "equidistant" else cv2.undistortPoints
            xy = undistort(np.ascontiguousarray(pixels[:, None]), self.K, self.D)[:, 0]
        else:
            xy = (pixels - self.K[:2, 2]) / (self.K[0, 0], self.K[1, 1])
            xy[:, 0] -= self.K[0, 1] / self.K[0, 0] * xy[:, 1]
        return np.concatenate([xy, np.ones((len(xy), 1))], axis=1)

    def project(self, points_camera_m: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of optical-frame points (N, 3); NaN for points behind the camera."""
        p = np.asarray(points_camera_m, float).reshape(-1, 3)
        ahead = p[:, 2] > 1e-6
        out = np.full((len(p), 2), np.nan)
        if not ahead.any():
            return out
        if self.D.size:
            import cv2

            zero = np.zeros(3)
            if self.model == "equidistant":
                out[ahead] = cv2.fisheye.projectPoints(p[ahead][:, None], zero, zero, self.K, self.D)[0][:, 0]
            else:
                out[ahead] = cv2.projectPoints(p[ahead], zero, zero, self.K, self.D)[0][:, 0]
        else:
            out[ahead] = (p[ahead] @ self.K.T)[:, :2] / p[ahead, 2:]
        return out
