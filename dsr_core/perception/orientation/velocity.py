"""Heading of what moves: most things face the way they go."""

from __future__ import annotations

import numpy as np

#: One-sigma of the angle between where a thing faces and where it goes (people who sidestep, cars that turn).
DRIFT_SIGMA_RAD = np.deg2rad(12.0)


def heading_from_velocity(
    velocity_world_mps: np.ndarray,
    covariance_world: np.ndarray,
    min_speed_mps: float = 0.3,
    min_ratio: float = 3.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Headings (N,) and one-sigmas (N,) in rad about the world's z axis; NaN where things are too slow to tell.

    The sigma is that of the velocity across its own direction over the speed, and `DRIFT_SIGMA_RAD`.

    Args:
        velocity_world_mps: (N, 3) in a world whose z axis is up.
        covariance_world: (N, 3, 3) of the velocities.
        min_speed_mps: Slower things have no heading.
        min_ratio: Nor those whose horizontal speed is below so many sigma of it.
    """
    velocity = np.asarray(velocity_world_mps, float).reshape(-1, 3)[:, :2]
    covariance = np.asarray(covariance_world, float).reshape(-1, 3, 3)[:, :2, :2]
    speed = np.linalg.norm(velocity, axis=1)
    along = velocity / np.maximum(speed, 1e-9)[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    sigma_along, sigma_across = (
        np.sqrt(np.maximum(np.einsum("ni,nij,nj->n", d, covariance, d), 0.0)) for d in (along, across)
    )
    with np.errstate(invalid="ignore"):
        fast = (speed >= min_speed_mps) & (speed >= min_ratio * np.maximum(sigma_along, sigma_across))
    heading = np.where(fast, np.arctan2(velocity[:, 1], velocity[:, 0]), np.nan)
    sigma = np.where(fast, np.hypot(sigma_across / np.maximum(speed, 1e-9), DRIFT_SIGMA_RAD), np.nan)
    return heading, sigma
