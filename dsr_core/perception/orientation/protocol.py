"""What every source of orientations offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dsr_core.geometry.camera import Camera
from dsr_core.values import Detection


@dataclass(frozen=True, eq=False)
class OrientationEstimate:
    """Which way one thing faces in one image.

    Attributes:
        orientation_camera_xyzw: (4,) rotation from the thing's frame (x forward, y left, z up) to the optical frame.
        sigma_rad: One-sigma of the heading; above 1.2 it says little.
        confidence: Probability that the thing has a front at all.
        density: (360,) probability of each whole degree of heading, counter-clockwise from `orientation_camera_xyzw`,
            or None for a normal one of `sigma_rad`.
    """

    orientation_camera_xyzw: np.ndarray
    sigma_rad: float
    confidence: float = 1.0
    density: np.ndarray | None = None


class OrientationEstimator(Protocol):
    """Tells which way things face."""

    def estimate(
        self, rgb: np.ndarray, detections: Sequence[Detection], camera: Camera | None = None
    ) -> tuple[OrientationEstimate | None, ...]:
        """One estimate for each detection in an image (H, W, 3) uint8, None where nothing can be said.

        Args:
            rgb: The image.
            detections: With `mask`, or at least `box_px`.
            camera: Intrinsics of the image; without them things are taken to lie straight ahead.
        """
        ...
