"""Angles with uncertainty: von Mises measurements in closed form, and a filter over all directions.

A normal one-sigma and a concentration kappa are tied by the mean resultant length, exp(-sigma^2 / 2) = I1(kappa) /
I0(kappa) (Mardia and Jupp, "Directional Statistics", 2000, sections 3.4 and 3.5).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ive

from dsr_core.errors import GeometryError

BINS = 360
_CENTRES_RAD = np.deg2rad(np.arange(BINS))
#: Above this, kappa and 1 / sigma^2 are the same to a thousandth.
_NARROW_KAPPA = 500.0


def wrap(angle_rad):
    """Angles as -pi <= angle < pi."""
    return (np.asarray(angle_rad, float) + np.pi) % (2 * np.pi) - np.pi


def sigma_from_kappa(kappa) -> np.ndarray:
    """One-sigma (rad) of concentrations; infinite at 0."""
    kappa = np.asarray(kappa, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(
            kappa > _NARROW_KAPPA,
            1 / np.sqrt(np.maximum(kappa - 0.5, 1e-12)),
            np.sqrt(np.maximum(-2 * np.log(ive(1, kappa) / ive(0, kappa)), 0.0)),
        )


_KAPPAS = np.concatenate([[0.0], np.geomspace(1e-4, 1e9, 3000)])
_SIGMAS = np.concatenate([[40.0], sigma_from_kappa(_KAPPAS[1:])])


def kappa_from_sigma(sigma_rad) -> np.ndarray:
    """Concentrations of one-sigmas (rad); 0 for an infinite one.

    Raises:
        GeometryError: a sigma is not positive, or not a number.
    """
    sigma = np.asarray(sigma_rad, float)
    if not (sigma > 0).all():
        raise GeometryError(f"sigma of an angle must be positive, not {sigma}")
    logs = np.log(np.maximum(_KAPPAS[1:], 1e-12))
    inner = np.exp(np.interp(-np.log(np.minimum(sigma, 40.0)), -np.log(_SIGMAS[1:]), logs))
    return np.where(sigma >= _SIGMAS[1], 0.0, inner)


def fuse(angles_rad: np.ndarray, sigmas_rad: np.ndarray) -> tuple[float, float]:
    """Angle and one-sigma (rad) that independent measurements of one direction (N,) agree on.

    The product of von Mises densities: their concentrations add as vectors, so that measurements that contradict each
    other leave a large sigma (infinite where they cancel).

    Raises:
        GeometryError: there is no measurement, or a sigma is not positive.
    """
    angles = np.asarray(angles_rad, float).ravel()
    if not angles.size:
        raise GeometryError("no angle to fuse")
    vector = np.sum(kappa_from_sigma(sigmas_rad) * np.exp(1j * angles))
    return float(np.angle(vector)), float(sigma_from_kappa(abs(vector)))


def moments(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Circular mean and one-sigma (rad) of densities (..., 360) over whole degrees, which sum to 1."""
    vector = np.asarray(density, float) @ np.exp(1j * _CENTRES_RAD)
    length = np.clip(np.abs(vector), 1e-300, 1.0)
    return np.angle(vector), np.sqrt(-2 * np.log(length))


def normal(angle_rad: float, sigma_rad: float) -> np.ndarray:
    """Density (360,) of a von Mises measurement over whole degrees."""
    kappa = float(kappa_from_sigma(max(sigma_rad, 1e-3)))
    density = np.exp(kappa * (np.cos(_CENTRES_RAD - angle_rad) - 1))
    return density / density.sum()


class CircularFilter:
    """Belief about one direction, as the probability of each whole degree: fronts taken for backs need no decision.

    Args:
        turn_sigma_rad_s: One-sigma of the turn in a second that is not foreseen; it grows with the root of time.
        outlier: Share of measurements that say nothing.
    """

    def __init__(self, turn_sigma_rad_s: float = 0.6, outlier: float = 0.05):
        if not turn_sigma_rad_s > 0 or not 0 < outlier < 1:
            raise GeometryError(f"turn_sigma_rad_s = {turn_sigma_rad_s} must be positive, outlier = {outlier} in 0..1")
        self.turn_sigma_rad_s, self.outlier = turn_sigma_rad_s, outlier
        self.density = np.full(BINS, 1.0 / BINS)

    def predict(self, dt_s: float) -> None:
        """Lets `dt_s` seconds pass.

        Raises:
            GeometryError: time runs backward.
        """
        if dt_s < 0:
            raise GeometryError(f"time runs backward by {-dt_s} s; begin a new filter")
        if dt_s == 0:
            return
        frequency = np.arange(BINS // 2 + 1)
        spread = np.exp(-0.5 * self.turn_sigma_rad_s**2 * dt_s * frequency**2)
        density = np.maximum(np.fft.irfft(np.fft.rfft(self.density) * spread, BINS), 0.0)
        self.density = density / density.sum()

    def update(self, angle_rad: float, sigma_rad: float, flip: float = 0.0) -> None:
        """Takes up a measurement.

        Args:
            angle_rad: Direction.
            sigma_rad: One-sigma.
            flip: Probability that it is the opposite direction.
        """
        density = normal(angle_rad, sigma_rad)
        self.update_density((1 - flip) * density + flip * np.roll(density, BINS // 2))

    def update_density(self, density: np.ndarray) -> None:
        """Takes up a measurement that gives the probability (360,) of each whole degree.

        Raises:
            GeometryError: it is no density.
        """
        density = np.asarray(density, float)
        if density.shape != (BINS,) or not (density >= 0).all() or not abs(density.sum() - 1) < 1e-3:
            raise GeometryError(f"a density over whole degrees has {BINS} probabilities that sum to 1")
        posterior = self.density * ((1 - self.outlier) * density + self.outlier / BINS)
        self.density = posterior / posterior.sum()

    def estimate(self) -> tuple[float, float]:
        """Direction and one-sigma (rad); the sigma is large where two directions are likely."""
        angle, sigma = moments(self.density)
        return float(angle), float(sigma)
