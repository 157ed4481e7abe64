"""What every odometry offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dsr_core.values import Frame


@dataclass(frozen=True, eq=False)
class OdometryStep:
    """The camera's pose at one frame.

    Attributes:
        T_world_camera: (4, 4) optical frame to the continuous world frame, or None where the camera is lost.
        covariance: (6, 6) of the motion since the key frame: translation (metres squared), then rotation (radians
            squared), along the camera's axes; or None where the camera is lost.
        inliers: Number of points that agree on the motion.
        key_frame: Whether this frame became the one that the next frames are compared with.
        reason: Why there is no pose, "" where there is one.
    """

    T_world_camera: np.ndarray | None
    covariance: np.ndarray | None
    inliers: int
    key_frame: bool
    reason: str = ""


class Odometry(Protocol):
    """Follows a camera from frame to frame."""

    def __call__(self, frame: Frame) -> OdometryStep:
        """The camera's pose at a frame that is newer than the one before.

        Raises:
            GeometryError: the frame lacks the picture, the depth or the intrinsics.
        """

    def reset(self) -> None:
        """Forgets everything; the next frame begins a new world."""
