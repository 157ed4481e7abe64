"""Orient Anything's output decoded: distributions over azimuth, polar angle and rotation, and the axes behind them.

Wang et al., "Orient Anything" (ICML 2025). The 722 numbers are 360 azimuths, 180 polar angles and 180 rotations, a
whole degree each, and two for whether there is a front at all. Azimuth 0 faces the camera, 90 the camera's left, 180
away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.perception.orientation.circle import moments

AZIMUTHS, POLARS, ROTATIONS = 360, 180, 180
OUTPUTS = AZIMUTHS + POLARS + ROTATIONS + 2


@dataclass(frozen=True, eq=False)
class Decoded:
    """N crops decoded.

    Attributes:
        azimuth_rad: (N,) circular mean.
        azimuth_sigma_rad: (N,) circular one-sigma: large where front and back are both likely.
        azimuth_density: (N, 360) probability of each whole degree.
        polar_rad: (N,) mean.
        rotation_rad: (N,) mean.
        confidence: (N,) probability that there is a front.
    """

    azimuth_rad: np.ndarray
    azimuth_sigma_rad: np.ndarray
    azimuth_density: np.ndarray
    polar_rad: np.ndarray
    rotation_rad: np.ndarray
    confidence: np.ndarray


def _split(logits: np.ndarray) -> list[np.ndarray]:
    logits = np.asarray(logits, float)
    if logits.ndim != 2 or logits.shape[1] != OUTPUTS:
        raise GeometryError(f"orientation logits of shape {logits.shape}; (N, {OUTPUTS}) are needed")
    return np.split(logits, np.cumsum([AZIMUTHS, POLARS, ROTATIONS]), axis=1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponential / exponential.sum(axis=1, keepdims=True)


def decode(logits: np.ndarray) -> Decoded:
    """Means and sigmas of the distributions that logits (N, 722) stand for.

    Raises:
        GeometryError: the logits have another shape.
    """
    azimuth, polar, rotation, front = (_softmax(part) for part in _split(logits))
    mean, sigma = moments(azimuth)
    tilt = np.deg2rad(np.arange(POLARS) - 90.0)
    return Decoded(mean % (2 * np.pi), sigma, azimuth, polar @ tilt, rotation @ tilt, front[:, 0])


def decode_published(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth, polar angle, rotation (N,) in degrees and confidence (N,) as the authors decode: the likeliest bins.

    For comparisons with published results alone: it says nothing about front and back being both likely.

    Raises:
        GeometryError: the logits have another shape.
    """
    azimuth, polar, rotation, front = _split(logits)
    angles = (azimuth.argmax(axis=1), polar.argmax(axis=1) - 90, rotation.argmax(axis=1) - 90)
    return (*(a.astype(float) for a in angles), _softmax(front)[:, 0])


def rotation_camera_object(azimuth_rad, polar_rad=0.0, rotation_rad=0.0) -> np.ndarray:
    """Rotations (..., 3, 3) from the thing's frame (x forward, y left, z up) to the optical frame.

    The published transform from the optical frame to the thing's is Rz(270) Rx(90) Ry(azimuth) Rx(polar) Rz(rotation);
    this is its inverse.
    """
    azimuth, polar, rotation = np.broadcast_arrays(azimuth_rad, polar_rad, rotation_rad)
    fixed = _rz(np.deg2rad(270.0)) @ _rx(np.deg2rad(90.0))
    return np.swapaxes(fixed @ _ry(azimuth) @ _rx(polar) @ _rz(rotation), -1, -2)


def _matrix(rows) -> np.ndarray:
    return np.stack([np.stack(np.broadcast_arrays(*row), axis=-1) for row in rows], axis=-2)


def _parts(angle):
    angle = np.asarray(angle, float)
    return np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)


def _rx(angle) -> np.ndarray:
    c, s, o, i = _parts(angle)
    return _matrix([[i, o, o], [o, c, s], [o, -s, c]])


def _ry(angle) -> np.ndarray:
    c, s, o, i = _parts(angle)
    return _matrix([[c, o, -s], [o, i, o], [s, o, c]])


def _rz(angle) -> np.ndarray:
    c, s, o, i = _parts(angle)
    return _matrix([[c, s, o], [-s, c, o], [o, o, i]])
