"""Depth of one camera seen from another: what drivers call "aligned" or "registered" depth."""

from __future__ import annotations

import numpy as np

from dsr_core.geometry.camera import Camera


class DepthRegistration:
    """Moves depth images of one camera into the image of another.

    Every depth pixel becomes a point, is seen by the colour camera, and the nearest point wins a pixel. Where the
    colour image is finer than the depth image, a point covers as many pixels as it does in the depth image.

    Args:
        depth_camera: Camera of the depth image.
        color_camera: Camera whose image the depth is wanted in.
        T_color_depth: (4, 4) depth camera's optical frame to the colour camera's.
    """

    def __init__(self, depth_camera: Camera, color_camera: Camera, T_color_depth: np.ndarray):
        self.depth_camera, self.color_camera, self.T_color_depth = depth_camera, color_camera, T_color_depth
        width, height = depth_camera.image_size
        v, u = np.mgrid[:height, :width]
        self._rays = depth_camera.rays(np.stack([u.ravel(), v.ravel()], axis=1)).astype(np.float32)
        finer = color_camera.K[[0, 1], [0, 1]] / depth_camera.K[[0, 1], [0, 1]]
        self._reach = [int(np.ceil(f / 2 - 0.5)) if f > 1.01 else 0 for f in finer]

    def __call__(self, depth_m: np.ndarray) -> np.ndarray:
        """(H, W) float32 metres along the colour camera's optical axis, NaN where unknown, of (h, w) float32 depth."""
        z = depth_m.reshape(-1)
        valid = np.isfinite(z) & (z > 0)
        points = self._rays[valid] * z[valid, None]
        points = points @ self.T_color_depth[:3, :3].T.astype(np.float32) + self.T_color_depth[:3, 3].astype(np.float32)
        pixels = self.color_camera.project(points)
        width, height = self.color_camera.image_size
        out = np.full(height * width, np.inf, np.float32)
        reach_u, reach_v = self._reach
        for du in range(-reach_u, reach_u + 1):
            for dv in range(-reach_v, reach_v + 1):
                with np.errstate(invalid="ignore"):
                    u, v = np.rint(pixels[:, 0] + du), np.rint(pixels[:, 1] + dv)
                    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
                index = (v[inside] * width + u[inside]).astype(np.int64)
                np.minimum.at(out, index, points[inside, 2])
        out[np.isinf(out)] = np.nan
        return out.reshape(height, width)
