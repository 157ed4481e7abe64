"""Depth that a sensor measured: RGB-D cameras, and drivers that do stereo themselves."""

from __future__ import annotations

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.perception.depth.protocol import DepthEstimate
from dsr_core.values import Frame


class SensorDepth:
    """The depth image that a frame came with.

    Args:
        noise: Noise of the sensor; None takes that of structured light and active stereo.
        min_depth_m: Nearer pixels are taken for invalid.
        max_depth_m: Farther pixels are taken for invalid.
    """

    metric = True

    def __init__(self, noise: DepthNoise | None = None, min_depth_m: float = 0.1, max_depth_m: float = 80.0):
        if not 0 <= min_depth_m < max_depth_m:
            raise GeometryError(f"min_depth_m = {min_depth_m} must be below max_depth_m = {max_depth_m}, none negative")
        self.noise, self.min_depth_m, self.max_depth_m = noise or DepthNoise(), min_depth_m, max_depth_m

    def __call__(self, frame: Frame) -> DepthEstimate:
        """The frame's own depth, with what is outside the sensor's range left out.

        Raises:
            GeometryError: the frame has no depth image.
        """
        if frame.depth_m is None:
            raise GeometryError(
                f"the frame at {frame.stamp_ns} ns has no depth image; give one, or choose stereo or a depth network"
            )
        depth_m = np.asarray(frame.depth_m, np.float32)
        with np.errstate(invalid="ignore"):
            valid = (depth_m >= self.min_depth_m) & (depth_m <= self.max_depth_m)
        return DepthEstimate(np.where(valid, depth_m, np.float32(np.nan)), self.noise, True)
