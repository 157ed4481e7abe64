"""A stereo pair whose images come rectified, as ROS drivers and stereo_image_proc publish them."""

from __future__ import annotations

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry.camera import Camera


class RectifiedRig:
    """Two rectified cameras: matching pixels lie on one row.

    Args:
        left: Left camera, without distortion.
        right: Right camera, without distortion.
        baseline_m: Distance of the two; the right one is to the right.

    Attributes:
        camera: The left camera.
        zero_disparity_px: Disparity of a point at infinity (the difference of the principal points).

    Raises:
        GeometryError: the two do not make a rectified pair.
    """

    def __init__(self, left: Camera, right: Camera, baseline_m: float):
        if left.image_size != right.image_size:
            raise GeometryError(
                f"left images of {left.image_size} and right ones of {right.image_size} must be alike; set both cameras"
                " of the pair to one resolution"
            )
        if not (np.isfinite(baseline_m) and baseline_m > 0):
            raise GeometryError(
                f"a baseline of {baseline_m} m is none: the right camera must lie to the right of the left one; are the"
                " two swapped?"
            )
        # Rows and lengths of the two images must agree; columns may be shifted.
        alike = np.abs(left.K - right.K) <= 1e-3 * left.K[0, 0]
        alike[0, 2] = True
        if not alike.all() or left.D.size or right.D.size:
            raise GeometryError(
                f"left K = {left.K.tolist()} and right K = {right.K.tolist()} are not those of a rectified pair;"
                " calibrate the two cameras together, and use the rectified images of both"
            )
        self.camera, self.baseline_m = left, float(baseline_m)
        self.zero_disparity_px = float(left.K[0, 2] - right.K[0, 2])

    def rectify(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The images (H, W) or (H, W, 3) uint8 as they are.

        Raises:
            GeometryError: one has not the size that the calibration speaks of.
        """
        for side, image in (("left", left), ("right", right)):
            if image.shape[1::-1] != self.camera.image_size:
                raise GeometryError(
                    f"a {side} image of {image.shape[1]}x{image.shape[0]} does not fit to the calibration of"
                    f" {self.camera.image_size[0]}x{self.camera.image_size[1]}; publish camera_info of that size"
                )
        return left, right
