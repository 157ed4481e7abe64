"""Rigid transforms as 4x4 matrices.

`T_a_b` maps points from frame b to frame a: `p_a = T_a_b @ p_b`. Quaternions are x, y, z, w (REP-103).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from dsr_core.errors import GeometryError

#: Rotation from an optical frame (z forward, x right, y down) to a body frame (x forward, y left, z up), REP-103.
R_BODY_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
R_BODY_OPTICAL.setflags(write=False)


def make_transform(rotation: np.ndarray, translation_m: np.ndarray) -> np.ndarray:
    """Builds (..., 4, 4) transforms from (..., 3, 3) rotations and (..., 3) translations in metres."""
    rotation, translation_m = np.asarray(rotation, float), np.asarray(translation_m, float)
    shape = np.broadcast_shapes(rotation.shape[:-2], translation_m.shape[:-1])
    T = np.zeros((*shape, 4, 4))
    T[..., :3, :3] = rotation
    T[..., :3, 3] = translation_m
    T[..., 3, 3] = 1.0
    return T


def invert(T_a_b: np.ndarray) -> np.ndarray:
    """Inverts rigid transforms (..., 4, 4): returns T_b_a."""
    R_t = np.swapaxes(T_a_b[..., :3, :3], -1, -2)
    return make_transform(R_t, -np.einsum("...ij,...j->...i", R_t, T_a_b[..., :3, 3]))


def transform_points(T_a_b: np.ndarray, p_b_m: np.ndarray) -> np.ndarray:
    """Maps points (..., 3) from frame b to frame a; leading dimensions broadcast."""
    return np.einsum("...ij,...j->...i", T_a_b[..., :3, :3], p_b_m) + T_a_b[..., :3, 3]


def rotate_covariances(R_a_b: np.ndarray, covariances_b: np.ndarray) -> np.ndarray:
    """Rotates covariances (..., 3, 3) from frame b to frame a."""
    return R_a_b @ covariances_b @ np.swapaxes(R_a_b, -1, -2)


def matrices_from_quaternions(quaternions_xyzw: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) in x, y, z, w order; NaN rows give NaN matrices.

    Raises:
        GeometryError: if a quaternion has no length.
    """
    q = np.asarray(quaternions_xyzw, float)
    flat = q.reshape(-1, 4)
    squares = np.einsum("ti,ti->t", flat, flat)
    if (squares < 1e-18).any():
        raise GeometryError("a quaternion of zero length is no rotation; x, y, z, w = 0, 0, 0, 1 is 'no rotation'")
    known = np.isfinite(squares)
    if known.all():
        return Rotation.from_quat(flat).as_matrix().reshape(*q.shape[:-1], 3, 3)
    out = np.full((len(flat), 3, 3), np.nan)
    if known.any():
        out[known] = Rotation.from_quat(flat[known]).as_matrix()
    return out.reshape(*q.shape[:-1], 3, 3)


def quaternions_from_matrices(rotations: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) in x, y, z, w order (w >= 0) of rotation matrices (..., 3, 3)."""
    R = np.asarray(rotations, float)
    flat = R.reshape(-1, 3, 3)
    known = np.isfinite(flat).all(axis=(1, 2))
    out = np.full((len(flat), 4), np.nan)
    if known.any():
        out[known] = Rotation.from_matrix(flat[known]).as_quat(canonical=True)
    return out.reshape(*R.shape[:-2], 4)


def yaw_to_quaternion_xyzw(yaw_rad: np.ndarray | float) -> np.ndarray:
    """Quaternion(s) (..., 4) of a turn by `yaw_rad` about z (counter-clockwise, x towards y)."""
    yaw = np.asarray(yaw_rad, float)
    zero = np.zeros_like(yaw)
    return np.stack([zero, zero, np.sin(yaw / 2), np.cos(yaw / 2)], axis=-1)


def check_rigid(T_a_b: np.ndarray, name: str = "transform", tolerance: float = 1e-3) -> np.ndarray:
    """Returns `T_a_b` (..., 4, 4) as float64, or says what keeps it from being a rigid transform.

    Raises:
        GeometryError: wrong shape, NaN, or a rotation part that is not orthonormal and right-handed.
    """
    T = np.asarray(T_a_b, float)
    if T.shape[-2:] != (4, 4):
        raise GeometryError(f"{name} has shape {T.shape}; a 4x4 homogeneous transform is needed")
    if not np.isfinite(T).all():
        raise GeometryError(f"{name} holds NaN or infinity; drop the frame or wait for a valid pose")
    R = T[..., :3, :3]
    error = float(np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max(initial=0.0))
    if error > tolerance or np.any(np.linalg.det(R) < 0):
        raise GeometryError(
            f"{name} is not rigid: R R^T differs from I by {error:.3g} (at most {tolerance:g}) or is left-handed;"
            " check the axis convention and the quaternion order (x, y, z, w)"
        )
    return T


def rows_at(stamps_s: np.ndarray, at_s: np.ndarray) -> slice | np.ndarray | None:
    """Which of the stamps (T,) the times asked for (N,) are, as a run or an index (N,) int; None where some are not."""
    if not len(at_s):
        return None
    first = int(stamps_s.searchsorted(at_s[0]))
    run = slice(first, first + len(at_s))
    part = stamps_s[run]
    if len(part) == len(at_s) and part[-1] == at_s[-1] and np.logical_and.reduce(part == at_s):
        return run
    index = np.minimum(stamps_s.searchsorted(at_s), len(stamps_s) - 1)
    return index if (stamps_s[index] == at_s).all() else None


def interpolate_transforms(stamps_s: np.ndarray, T_a_b: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """Interpolates poses: linear in translation, spherical in rotation; held constant beyond the ends.

    Args:
        stamps_s: (T,) strictly increasing stamps in seconds.
        T_a_b: (T, 4, 4) transforms at these stamps.
        at_s: (N,) stamps asked for.

    Returns:
        (N, 4, 4) transforms.
    """
    stamps_s, at_s = np.asarray(stamps_s, float), np.atleast_1d(np.asarray(at_s, float))
    at = at_s
    rows = rows_at(stamps_s, at)
    if rows is None:
        at = np.clip(at_s, stamps_s[0], stamps_s[-1])
        rows = rows_at(stamps_s, at)
    if rows is not None:
        return np.array(T_a_b[rows], float)
    index = np.searchsorted(stamps_s, at)
    translation = np.stack([np.interp(at, stamps_s, T_a_b[:, i, 3]) for i in range(3)], axis=-1)
    lo, hi = max(int(index.min()) - 1, 0), min(int(index.max()) + 1, len(stamps_s))
    rotation = Slerp(stamps_s[lo:hi], Rotation.from_matrix(T_a_b[lo:hi, :3, :3]))(at).as_matrix()
    return make_transform(rotation, translation)
