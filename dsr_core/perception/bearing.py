"""Things whose range is not known: placed on the ray through the middle of their box, with a sigma that says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr_core.geometry.camera import Camera
from dsr_core.values import Detection

#: Where things are put whose range is not known; their one-sigma along the ray is as long.
RANGE_M = 5.0
#: One-sigma of the middle of a box against the middle of the thing, as a part of its longer side.
BOX_SIGMA = 0.05


def on_ray(detection: Detection, camera: Camera, range_m: float = RANGE_M, sigma: float = 1.0) -> Detection:
    """A detection with a box, placed on the ray through its middle; `sigma` is that of the range, as a part of it."""
    box = np.asarray(detection.box_px, float)
    ray = camera.rays((box[:2] + box[2:]) / 2 - 0.5)[0]
    ray = ray / np.linalg.norm(ray)
    across = max(0.02, BOX_SIGMA * range_m * float(np.max((box[2:] - box[:2]) / np.diag(camera.K)[:2])))
    covariance = across**2 * np.eye(3) + ((sigma * range_m) ** 2 - across**2) * np.outer(ray, ray)
    return replace(detection, position_camera_m=range_m * ray, covariance_camera=covariance)


def is_bearing(detection: Detection) -> bool:
    """Whether the range of a placed detection is not known."""
    position = detection.position_camera_m
    along = position @ detection.covariance_camera @ position
    return bool(along > (0.9 * (position @ position)) ** 2)
