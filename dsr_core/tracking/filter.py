"""Constant-velocity Kalman filter over all tracks at once.

State (N, 6): position and velocity in the world. The process noise is white acceleration of the same spectral density
in all directions (Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking and Navigation", 6.2.2), so that
the estimate depends neither on the frame rate nor on the axes of the world.
"""

from __future__ import annotations

import numpy as np


def birth(positions_m: np.ndarray, covariances: np.ndarray, speed_sigma_mps: float) -> tuple[np.ndarray, np.ndarray]:
    """States (N, 6) and covariances (N, 6, 6) of things seen once at (N, 3) with (N, 3, 3), velocity unknown."""
    n = len(positions_m)
    mean, cov = np.zeros((n, 6)), np.zeros((n, 6, 6))
    mean[:, :3] = positions_m
    cov[:, :3, :3] = covariances
    cov[:, 3:, 3:] = np.eye(3) * speed_sigma_mps**2
    return mean, cov


def predict(mean: np.ndarray, cov: np.ndarray, dt_s: float, density: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Moves states (N, 6) and covariances (N, 6, 6) on by `dt_s`.

    Args:
        mean: (N, 6) position and velocity.
        cov: (N, 6, 6).
        dt_s: Seconds.
        density: Spectral density of the acceleration, m^2/s^3; one number or (N,).
    """
    mean = mean.copy()
    mean[:, :3] += dt_s * mean[:, 3:]
    pp, pv, vv = cov[:, :3, :3], cov[:, :3, 3:], cov[:, 3:, 3:]
    noise = np.broadcast_to(np.asarray(density, float), (len(mean),))[:, None, None] * np.eye(3)
    out = np.empty_like(cov)
    out[:, :3, :3] = pp + dt_s * (pv + np.swapaxes(pv, 1, 2)) + dt_s**2 * vv + noise * dt_s**3 / 3
    out[:, :3, 3:] = pv + dt_s * vv + noise * dt_s**2 / 2
    out[:, 3:, :3] = np.swapaxes(out[:, :3, 3:], 1, 2)
    out[:, 3:, 3:] = vv + noise * dt_s
    return mean, out


def update(mean: np.ndarray, cov: np.ndarray, measured_m: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corrects states (N, 6), (N, 6, 6) by positions (N, 3) with covariances (N, 3, 3), in Joseph's form."""
    S = cov[:, :3, :3] + noise
    gain = np.swapaxes(np.linalg.solve(S, cov[:, :3, :]), 1, 2)
    mean = mean + np.einsum("nij,nj->ni", gain, measured_m - mean[:, :3])
    keep = np.broadcast_to(np.eye(6), cov.shape).copy()
    keep[:, :, :3] -= gain
    cov = keep @ cov @ np.swapaxes(keep, 1, 2) + gain @ noise @ np.swapaxes(gain, 1, 2)
    return mean, 0.5 * (cov + np.swapaxes(cov, 1, 2))


def squared_distances(innovation: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis lengths (K,) of innovations (K, 3) under covariances S (K, 3, 3), and log det(2 pi S) (K,)."""
    solved = np.linalg.solve(S, innovation[..., None])[..., 0]
    sign_log = np.linalg.slogdet(2 * np.pi * S)[1]
    return np.einsum("ki,ki->k", innovation, solved), sign_log


def moving(mean: np.ndarray, cov: np.ndarray, speed_mps: float, sigmas: float) -> np.ndarray:
    """(N,) bool: at least `speed_mps` fast and `sigmas` away from standing still."""
    v = mean[:, 3:]
    if not len(v):
        return np.zeros(0, bool)
    squared = np.einsum("ni,ni->n", v, np.linalg.solve(cov[:, 3:, 3:], v[..., None])[..., 0])
    # The chi-square of 3 degrees of freedom has mean 3 where nothing moves.
    return (np.einsum("ni,ni->n", v, v) >= speed_mps**2) & (squared >= sigmas**2 + 2.0)
