"""A body's heading and range from its landmarks: geometry alone, no network.

Landmarks are BlazePose's 33. Its world landmarks are metres with the origin between the hips and axes along the crop's:
x right, y down, z away. The network sees each body as if the camera looked straight at it, so that its axes are turned
onto the ray to the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.geometry.camera import Camera

NOSE = 0
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = 11, 12, 23, 24
#: Head, shoulders, hips, knees, ankles: a body that is seen whole.
WHOLE_BODY = np.array([NOSE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP, 25, 26, 27, 28])


@dataclass(frozen=True)
class BodyConfig:
    """Constants of heading and range. No truth was at hand to fit them to; they are judgement.

    Attributes:
        min_visibility: Landmarks below are not used.
        heading_sigma_rad: One-sigma of a heading from shoulders and hips that agree.
        lone_sigma_rad: Added where only the shoulders are seen.
        max_heading_sigma_rad: A heading with more is none.
        min_across_m: Shoulders (hips) nearer to each other than this across the body say nothing.
        range_sigma: One-sigma of a range, as a part of it: how tall people are, and how the network takes them.
        min_height_px: Lower bodies get no range.
        max_residual: Largest root-mean-square distance between landmarks and reprojected body, as a part of its height.
    """

    min_visibility: float = 0.5
    heading_sigma_rad: float = 0.35
    lone_sigma_rad: float = 0.3
    max_heading_sigma_rad: float = 1.0
    min_across_m: float = 0.05
    range_sigma: float = 0.3
    min_height_px: float = 40.0
    max_residual: float = 0.08


def toward(ray: np.ndarray) -> np.ndarray:
    """(3, 3) the smallest turn that takes the optical axis (0, 0, 1) onto a ray (3,)."""
    x, y, z = np.asarray(ray, float) / np.linalg.norm(ray)
    # Rodrigues' formula for the axis (-y, x, 0), in a form without a case for small angles; what is seen has z > -1.
    k = 1.0 / (1.0 + z)
    return np.array([[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]])


def heading(
    world_m: np.ndarray, visibility: np.ndarray, config: BodyConfig = BodyConfig()
) -> tuple[np.ndarray, float] | None:
    """Which way a trunk faces.

    Args:
        world_m: (33, 3) landmarks with axes x right, y down, z away.
        visibility: (33,) in 0..1.
        config: Constants.

    Returns:
        (3, 3) from the body's frame (x forward, y left, z up along the trunk) to the landmarks' axes, and its one-sigma
        about z in radians; None where the landmarks do not tell.
    """
    shoulders, hips = world_m[[LEFT_SHOULDER, RIGHT_SHOULDER]], world_m[[LEFT_HIP, RIGHT_HIP]]
    up = shoulders.mean(axis=0) - hips.mean(axis=0)
    length = np.linalg.norm(up)
    if not np.isfinite(world_m).all() or length < config.min_across_m:
        return None
    up = up / length
    lefts, weights = [], []
    for pair, seen in ((shoulders, (LEFT_SHOULDER, RIGHT_SHOULDER)), (hips, (LEFT_HIP, RIGHT_HIP))):
        left = pair[0] - pair[1]
        left = left - (left @ up) * up
        across = np.linalg.norm(left)
        seen = float(visibility[list(seen)].min())
        if across >= config.min_across_m and seen >= config.min_visibility:
            lefts.append(left / across)
            weights.append(seen)
    if not lefts:
        return None
    left = np.average(lefts, axis=0, weights=weights)
    agreement = np.linalg.norm(left)
    if agreement < 1e-6:
        return None
    left = left / agreement
    sigma = config.heading_sigma_rad / np.sqrt(min(weights))
    if len(lefts) == 2:
        sigma = np.hypot(sigma, 0.5 * np.arccos(np.clip(lefts[0] @ lefts[1], -1.0, 1.0)))
    else:
        sigma = np.hypot(sigma, config.lone_sigma_rad)
    if sigma > config.max_heading_sigma_rad:
        return None
    return np.column_stack([np.cross(left, up), left, up]), float(sigma)


def is_whole(
    landmarks_px: np.ndarray, visibility: np.ndarray, image_size: tuple[int, int], config: BodyConfig = BodyConfig()
) -> bool:
    """Whether head, shoulders, hips, knees and ankles are all seen inside an image of (width, height)."""
    points = landmarks_px[WHOLE_BODY]
    inside = ((points >= 0) & (points <= np.array(image_size) - 1)).all()
    return bool(inside and (visibility[WHOLE_BODY] >= config.min_visibility).all())


def place(
    world_m: np.ndarray,
    landmarks_px: np.ndarray,
    visibility: np.ndarray,
    camera: Camera,
    config: BodyConfig = BodyConfig(),
) -> tuple[np.ndarray, np.ndarray] | None:
    """Where a whole body is, by the size that the network gives it: PnP with the rotation known.

    The translation t for which the points X_i + t lie on the landmarks' rays (a_i, b_i, 1) solves the linear equations
    t_x - a_i t_z = a_i Z_i - X_i and t_y - b_i t_z = b_i Z_i - Y_i, weighted by the landmarks' visibility.

    Args:
        world_m: (33, 3) landmarks, hip-centred, in axes parallel to the camera's.
        landmarks_px: (33, 2) in the image.
        visibility: (33,) in 0..1.
        camera: Intrinsics of the image.
        config: Constants.

    Returns:
        (3,) the middle of the hips in the optical frame in metres and its covariance (3, 3), at least `range_sigma`
        of the range along the ray; None for a body that is cut off, hidden, small, or does not fit.
    """
    if not is_whole(landmarks_px, visibility, camera.image_size, config):
        return None
    used = visibility >= config.min_visibility
    height_px = float(np.ptp(landmarks_px[used, 1]))
    if height_px < config.min_height_px:
        return None
    points, weight = world_m[used], np.sqrt(np.tile(visibility[used], 2))
    a, b = camera.rays(landmarks_px[used])[:, :2].T
    one, zero = np.ones_like(a), np.zeros_like(a)
    lhs = np.concatenate([np.stack([one, zero, -a], axis=1), np.stack([zero, one, -b], axis=1)])
    rhs = np.concatenate([a * points[:, 2] - points[:, 0], b * points[:, 2] - points[:, 1]])
    t = np.linalg.lstsq(lhs * weight[:, None], rhs * weight, rcond=None)[0]
    if not np.isfinite(t).all() or (points[:, 2] + t[2]).min() <= 0.1:
        return None
    off = camera.project(points + t) - landmarks_px[used]
    residual = float(np.sqrt(np.mean(np.sum(off**2, axis=1)))) / height_px
    if not residual <= config.max_residual:
        return None
    distance = float(np.linalg.norm(t))
    along = distance * np.hypot(config.range_sigma, 2.0 * residual)
    across = max(0.05, distance * residual * height_px / float(camera.K[1, 1]))
    ray = t / distance
    return t, across**2 * np.eye(3) + (along**2 - across**2) * np.outer(ray, ray)
