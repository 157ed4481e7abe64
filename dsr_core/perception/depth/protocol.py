"""What every source of depth offers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.values import Frame


@dataclass(frozen=True, eq=False)
class DepthEstimate:
    """Depth of one image.

    Attributes:
        depth_m: (H, W) float32 along the optical axis, NaN where it is not known (REP-118); metres where `metric`,
            else an unknown multiple of them.
        noise: One-sigma of a pixel by its depth, and how much of it all pixels of a thing share.
        metric: Whether `depth_m` is in metres.
    """

    depth_m: np.ndarray
    noise: DepthNoise
    metric: bool

    def __post_init__(self):
        if self.depth_m.ndim != 2 or self.depth_m.dtype != np.float32:
            raise GeometryError(
                f"depth of shape {self.depth_m.shape} and type {self.depth_m.dtype}; (H, W) float32 is needed"
            )

    @cached_property
    def sigma_m(self) -> np.ndarray:
        """(H, W) float32 one-sigma of `depth_m` in its unit, NaN where the depth is not known."""
        return np.asarray(self.noise.sigma_m(self.depth_m), np.float32)


class DepthEstimator(Protocol):
    """Gives depth to frames.

    Attributes:
        noise: What `LiftingConfig.noise` should be for this depth.
        metric: Whether the depth is in metres.
    """

    noise: DepthNoise
    metric: bool

    def __call__(self, frame: Frame) -> DepthEstimate:
        """Depth of a frame, registered to its `rgb`.

        Raises:
            GeometryError: the frame lacks what this estimator needs; the message says what.
        """
