"""Heading filter over all tracks at once: rotations are averaged on the circle, fronts taken for backs are recognised.

Detectors find the axis of a thing well and mix up its front and back. The axis is filtered; which end is the front is
voted on by the detector, with memory, and by the direction of motion.
"""

from __future__ import annotations

import numpy as np

#: Half a turn about the object's own z axis, x, y, z, w.
_HALF_TURN = np.array([0.0, 0.0, 1.0, 0.0])
_CONJUGATE = np.array([-1.0, -1.0, -1.0, 1.0])
#: Matrices of the products from the left by x, y, z and w, row by row (4, 16).
_LEFT = np.array(
    [
        [0, 0, 0, 1, 0, 0, -1, 0, 0, 1, 0, 0, -1, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 1, -1, 0, 0, 0, 0, -1, 0, 0],
        [0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0],
        [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
    ],
    float,
)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products (N, 4) of quaternions (N, 4), or one of them (4,), x, y, z, w: first b, then a."""
    return ((a @ _LEFT).reshape(-1, 4, 4) @ b[..., None])[..., 0]


def conjugate(q: np.ndarray) -> np.ndarray:
    """Inverse rotations (N, 4) of unit quaternions (N, 4)."""
    return q * _CONJUGATE


def forward(q: np.ndarray) -> np.ndarray:
    """Forward (x) axes (N, 3) of rotations (N, 4)."""
    x, y, z, w = q.T
    out = np.empty((len(q), 3))
    out[:, 0] = 1 - 2 * (y * y + z * z)
    out[:, 1] = 2 * (x * y + z * w)
    out[:, 2] = 2 * (x * z - y * w)
    return out


def _scaled(q: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The part `gain` (N,) of rotations (N, 4), along the shortest way."""
    q = np.where(q[:, 3:] < 0, -q, q)
    sine = np.linalg.norm(q[:, :3], axis=1)
    half = np.arctan2(sine, q[:, 3]) * gain
    axis = q[:, :3] / np.maximum(sine, 1e-12)[:, None]
    return np.concatenate([axis * np.sin(half)[:, None], np.cos(half)[:, None]], axis=1)


def update(
    q: np.ndarray,
    variance: np.ndarray,
    votes: np.ndarray,
    measured: np.ndarray,
    measured_sigma_rad: np.ndarray,
    velocity_mps: np.ndarray,
    is_moving: np.ndarray,
    motion_weight: float,
    decay: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of the filter.

    Args:
        q: (N, 4) estimates, NaN where unknown.
        variance: (N,) of the heading, rad^2, already grown by the random walk.
        votes: (N, 2) decaying sums: the detector's votes for the estimate's front (+1) or back (-1), and their number.
        measured: (N, 4) orientations; NaN where the detector gave none (then only the motion counts).
        measured_sigma_rad: (N,) one-sigma.
        velocity_mps: (N, 3) in the world.
        is_moving: (N,) bool, whether the velocity is significant.
        motion_weight: Weight of the motion's direction against a unanimous detector (1).
        decay: (N,) factor of the old votes.

    Returns:
        New estimates, variances and votes.
    """
    q, variance, votes = q.copy(), variance.copy(), votes * decay[:, None]
    given, known = np.isfinite(measured).all(axis=1), np.isfinite(q).all(axis=1)
    first, again = given & ~known, given & known
    q[first], variance[first], votes[first] = measured[first], measured_sigma_rad[first] ** 2, 1.0
    if again.any():
        m = measured[again]
        agree = np.einsum("ni,ni->n", forward(q[again]), forward(m)) >= 0
        m = np.where(agree[:, None], m, multiply(m, _HALF_TURN))
        gain = variance[again] / (variance[again] + measured_sigma_rad[again] ** 2)
        turned = multiply(q[again], _scaled(multiply(conjugate(q[again]), m), gain))
        q[again] = turned / np.linalg.norm(turned, axis=1, keepdims=True)
        variance[again] *= 1 - gain
        votes[again] += np.stack([np.where(agree, 1.0, -1.0), np.ones(len(m))], axis=1)
    known |= given
    with np.errstate(invalid="ignore"):
        speed = np.linalg.norm(velocity_mps, axis=1)
        cosine = np.einsum("ni,ni->n", forward(q), velocity_mps) / np.maximum(speed, 1e-9)
        motion = np.where(is_moving & (np.abs(cosine) > 0.5), np.sign(cosine), 0.0)
        # One vote more in the denominator: a single vote is not yet unanimity.
        front = votes[:, 0] / (votes[:, 1] + 1.0) + motion_weight * motion
        flip = known & (front < -0.1)
    if flip.any():
        q[flip] = multiply(q[flip], _HALF_TURN)
        votes[flip, 0] *= -1
    return q, variance, votes
