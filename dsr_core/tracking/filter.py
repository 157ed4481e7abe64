"""Interacting multiple models over all tracks at once: a thing stands, cruises or manoeuvres.

Each model is a 6-state Kalman filter, position and velocity in the world. Moving models have white acceleration of the
same spectral density in all directions; the standing one has a wandering position and hardly a velocity. The models are
mixed by their likelihoods (Blom and Bar-Shalom, 1988; Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to
Tracking and Navigation", 6.2 and 11.6). All rates are per second, so the estimate depends neither on the frame rate nor
on the axes of the world.

Arrays: N tracks, K models; model 0 is the standing one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_I3, _I6 = np.eye(3), np.eye(6)


@dataclass(frozen=True, eq=False)
class MotionModels:
    """Constants of the filter.

    Attributes:
        densities: (K,) model 0: of the wandering position, m^2/s; others: of the white acceleration, m^2/s^3.
        standing_speed_mps: One-sigma of each velocity component of a standing thing.
        start_speed_mps: The same of a thing that has just begun to move.
        birth_speed_mps: The same of a thing seen once.
        switch_per_s: (K, K) rate at which model i gives way to model j; the diagonal is not used.
    """

    densities: np.ndarray
    standing_speed_mps: float
    start_speed_mps: float
    birth_speed_mps: float
    switch_per_s: np.ndarray

    def __len__(self) -> int:
        return len(self.densities)

    def transition(self, dt_s: float) -> np.ndarray:
        """Probabilities (K, K) of going from model i to model j within `dt_s`."""
        return _transition(self, dt_s)


@lru_cache(maxsize=16)
def _transition(models: MotionModels, dt_s: float) -> np.ndarray:
    """Read only: the filter and the smoother ask for the same one at every step."""
    rates = models.switch_per_s * (1 - np.eye(len(models)))
    total = rates.sum(axis=1)
    leave = 1 - np.exp(-dt_s * total)
    out = np.diag(1 - leave) + rates * (leave / np.maximum(total, 1e-12))[:, None]
    out.flags.writeable = False
    return out


@dataclass(eq=False)
class Estimates:
    """States of N tracks under K models.

    Attributes:
        mean: (N, K, 6).
        cov: (N, K, 6, 6).
        weight: (N, K) probability of each model.
    """

    mean: np.ndarray
    cov: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.mean)

    def combined(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (N, 6) and covariance (N, 6, 6) over the models."""
        n, k = self.weight.shape
        weight = self.weight[:, None]
        mean = (weight @ self.mean)[:, 0]
        off = self.mean - mean[:, None]
        cov = (weight @ self.cov.reshape(n, k, 36)).reshape(n, 6, 6)
        return mean, cov + np.swapaxes(off, 1, 2) @ (self.weight[:, :, None] * off)

    def take(self, part: np.ndarray) -> Estimates:
        return Estimates(self.mean[part], self.cov[part], self.weight[part])

    def put(self, index: np.ndarray, new: Estimates) -> None:
        self.mean[index], self.cov[index], self.weight[index] = new.mean, new.cov, new.weight

    def joined(self, other: Estimates) -> Estimates:
        return Estimates(*(np.concatenate([getattr(self, f), getattr(other, f)]) for f in ("mean", "cov", "weight")))


def birth(positions_m: np.ndarray, covariances: np.ndarray, models: MotionModels) -> Estimates:
    """Estimates of things seen once at (N, 3) with (N, 3, 3)."""
    n, k = len(positions_m), len(models)
    mean, cov = np.zeros((n, k, 6)), np.zeros((n, k, 6, 6))
    mean[..., :3] = positions_m[:, None]
    cov[..., :3, :3] = covariances[:, None]
    cov[:, 1:, 3:, 3:] = _I3 * models.birth_speed_mps**2
    cov[:, 0, 3:, 3:] = _I3 * models.standing_speed_mps**2
    return Estimates(mean, cov, np.full((n, k), 1.0 / k))


def predict(estimates: Estimates, dt_s: float, models: MotionModels) -> Estimates:
    """Mixes the models and moves them on by `dt_s` seconds."""
    if not len(estimates):
        return estimates
    p = models.transition(dt_s)
    weight = estimates.weight @ p
    share = estimates.weight[:, :, None] * p / weight[:, None, :]  # (N, i, j)
    n, k = weight.shape
    to = share.transpose(0, 2, 1)  # (N, j, i)
    mean = to @ estimates.mean
    off = estimates.mean[:, None] - mean[:, :, None]  # (N, j, i, 6)
    cov = (to @ estimates.cov.reshape(n, k, 36)).reshape(n, k, 6, 6)
    cov += np.swapaxes(off, 2, 3) @ (to[..., None] * off)
    # Who begins to move has an unknown speed, not the standing model's.
    cov[:, 1:, 3:, 3:] += share[:, 0, 1:, None, None] * _I3 * models.start_speed_mps**2
    return Estimates(*_move(mean, cov, dt_s, models), weight)


def _move(mean, cov, dt_s, models) -> tuple[np.ndarray, np.ndarray]:
    out_mean, out = mean.copy(), np.zeros_like(cov)
    out_mean[:, 1:, :3] += dt_s * mean[:, 1:, 3:]
    out_mean[:, 0, 3:] = 0.0
    out[:, 0, :3, :3] = cov[:, 0, :3, :3] + _I3 * (models.densities[0] * dt_s)
    out[:, 0, 3:, 3:] = _I3 * models.standing_speed_mps**2
    noise = models.densities[1:, None, None] * _I3
    pp, pv, vv = cov[:, 1:, :3, :3], cov[:, 1:, :3, 3:], cov[:, 1:, 3:, 3:]
    out[:, 1:, :3, :3] = pp + dt_s * (pv + np.swapaxes(pv, -1, -2)) + dt_s**2 * vv + noise * dt_s**3 / 3
    out[:, 1:, :3, 3:] = pv + dt_s * vv + noise * dt_s**2 / 2
    out[:, 1:, 3:, :3] = np.swapaxes(out[:, 1:, :3, 3:], -1, -2)
    out[:, 1:, 3:, 3:] = vv + noise * dt_s
    return out_mean, out


def walks(estimates: Estimates, dt_s: float, models: MotionModels) -> np.ndarray:
    """How strongly position and velocity walk at random about steady motion in the next `dt_s`, under each model.

    A thing that begins to stand loses its velocity, one that begins to move takes one up: these are walks, too.

    Returns:
        (N, K, 2): m^2/s of the position, m^2/s^3 of the velocity.
    """
    p = models.transition(dt_s)
    share = estimates.weight[:, :, None] * p / np.maximum(estimates.weight @ p, 1e-300)[:, None, :]
    v, vv = estimates.mean[..., 3:], np.trace(estimates.cov[..., 3:, 3:], axis1=-2, axis2=-1)
    lost = np.einsum("ni,ni->n", share[:, :, 0], np.einsum("nia,nia->ni", v, v) + vv) / 3.0
    out = np.zeros((*estimates.weight.shape, 2))
    out[:, 0, 0] = models.densities[0] + dt_s * lost
    out[:, 0, 1] = (models.standing_speed_mps**2 + lost) / dt_s
    out[:, 1:, 1] = models.densities[1:] + share[:, 0, 1:] * models.start_speed_mps**2 / dt_s
    return out


def update(estimates: Estimates, measured_m: np.ndarray, noise: np.ndarray) -> Estimates:
    """Corrects estimates by positions (N, 3) with covariances (N, 3, 3), in Joseph's form."""
    noise = noise[:, None]
    innovation = measured_m[:, None] - estimates.mean[..., :3]
    S = estimates.cov[..., :3, :3] + noise
    squared, log_det = squared_distances(innovation, S)
    log_weight = np.log(np.maximum(estimates.weight, 1e-12)) - 0.5 * (squared + log_det)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    gain = np.swapaxes(np.linalg.solve(S, estimates.cov[..., :3, :]), -1, -2)
    mean = estimates.mean + (gain @ innovation[..., None])[..., 0]
    keep = np.broadcast_to(_I6, estimates.cov.shape).copy()
    keep[..., :3] -= gain
    cov = keep @ estimates.cov @ np.swapaxes(keep, -1, -2) + gain @ noise @ np.swapaxes(gain, -1, -2)
    return Estimates(mean, 0.5 * (cov + np.swapaxes(cov, -1, -2)), weight / weight.sum(axis=1, keepdims=True))


def squared_distances(innovation: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis lengths (...) of innovations (..., 3) under S (..., 3, 3), and log det(2 pi S) (...)."""
    solved = np.linalg.solve(S, innovation[..., None])[..., 0]
    return np.einsum("...i,...i->...", innovation, solved), np.linalg.slogdet(2 * np.pi * S)[1]


def moving(mean: np.ndarray, cov: np.ndarray, speed_mps: float, sigmas: float) -> np.ndarray:
    """(N,) bool of combined states (N, 6), (N, 6, 6): at least `speed_mps` fast and `sigmas` from standing still."""
    v = mean[:, 3:]
    squared = np.einsum("ni,ni->n", v, np.linalg.solve(cov[:, 3:, 3:], v[..., None])[..., 0])
    return (np.einsum("ni,ni->n", v, v) >= speed_mps**2) & (squared >= sigmas**2)
