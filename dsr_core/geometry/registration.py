"""Depth of one camera seen from another: what drivers call "aligned" or "registered" depth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsr_core.errors import GeometryError
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


class Registrar:
    """Brings the depth images of one camera into its colour image, or says what is missing for that.

    Args:
        lookup: (target frame, source frame, stamp in nanoseconds) -> T_target_source (4, 4).

    Attributes:
        depth_camera: Intrinsics of the depth image, or None where only the colour camera's are known.
    """

    def __init__(self, lookup: Callable[[str, str, int], np.ndarray]):
        self._lookup = lookup
        self.depth_camera: Camera | None = None
        self._registration: DepthRegistration | None = None

    def __call__(
        self, depth_m: np.ndarray, depth_frame: str, stamp_ns: int, color: Camera | None, color_frame: str
    ) -> np.ndarray:
        """The depth image (H, W) float32 metres as the colour camera sees it; itself where it is registered already.

        Raises:
            GeometryError: it is not registered and what is needed to move it is missing.
            TransformUnavailable: the two cameras are not joined.
        """
        size = (depth_m.shape[1], depth_m.shape[0])
        same_frame = not color_frame or depth_frame == color_frame
        if color is None or (self.depth_camera is None and same_frame and size == color.image_size):
            return depth_m
        if self.depth_camera is None:
            raise GeometryError(
                f"depth of {size[0]}x{size[1]} in {depth_frame!r} is not registered to the colour image of"
                f" {color.image_size[0]}x{color.image_size[1]} in {color_frame!r}, and the depth camera's camera_info"
                " is not known; publish (record) it, or use the driver's aligned depth topic"
            )
        if size != self.depth_camera.image_size:
            expected = self.depth_camera.image_size
            raise GeometryError(
                f"depth of {size[0]}x{size[1]} does not fit to its camera_info of {expected[0]}x{expected[1]}"
            )
        if same_frame and size == color.image_size and np.allclose(color.K, self.depth_camera.K):
            return depth_m
        T_color_depth = np.eye(4) if same_frame else self._lookup(color_frame, depth_frame, stamp_ns)
        known = self._registration
        # The mount of two cameras on one another does not change but for rounding.
        if (
            known is None
            or known.color_camera is not color
            or known.depth_camera is not self.depth_camera
            or not np.allclose(known.T_color_depth, T_color_depth, atol=1e-6)
        ):
            self._registration = known = DepthRegistration(self.depth_camera, color, T_color_depth)
        return known(depth_m)
