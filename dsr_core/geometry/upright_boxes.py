"""Overlap of upright boxes, many pairs at once.

A box is (x, y, z, length, width, height, yaw): the centre in metres, the extents along its own axes, and the rotation
about the z axis, which points up, in radians.
"""

from __future__ import annotations

import numpy as np

_SIGNS = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
#: Corners on an edge count as inside, metres squared.
_TOUCHING_M2 = 1e-9


def iou_3d(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of the volumes (N, M) of boxes (N, 7) and (M, 7); 0 where a box has no volume."""
    first, second = np.asarray(first, float).reshape(-1, 7), np.asarray(second, float).reshape(-1, 7)
    out = np.zeros((len(first), len(second)))
    radius, other = (np.hypot(b[:, 3], b[:, 4]) / 2 for b in (first, second))
    gap = np.linalg.norm(first[:, None, :2] - second[:, :2], axis=2)
    i, j = np.nonzero(gap < radius[:, None] + other)
    a, b = first[i], second[j]
    top = np.minimum(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
    bottom = np.maximum(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
    common = np.maximum(top - bottom, 0.0) * _common_area(_corners(a), _corners(b))
    union = np.prod(a[:, 3:6], axis=1) + np.prod(b[:, 3:6], axis=1) - common
    out[i, j] = np.where(union > 0, common / np.where(union > 0, union, 1.0), 0.0)
    return out


def _corners(boxes: np.ndarray) -> np.ndarray:
    """(P, 4, 2) anticlockwise."""
    c, s = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    R = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    return boxes[:, None, :2] + (_SIGNS * boxes[:, None, 3:5] / 2) @ np.swapaxes(R, 1, 2)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _inside(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(P, 4) bool: which of the points (P, 4, 2) lie in the anticlockwise rectangles (P, 4, 2)."""
    edge = np.roll(corners, -1, axis=1) - corners
    side = _cross(edge[:, None], points[:, :, None] - corners[:, None])
    return np.all(side >= -_TOUCHING_M2, axis=2)


def _common_area(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas (P,) common to two anticlockwise rectangles each (P, 4, 2).

    The intersection is convex; its corners are corners of one rectangle inside the other, and crossings of edges.
    """
    u, v = np.roll(a, -1, axis=1) - a, np.roll(b, -1, axis=1) - b
    slope = _cross(u[:, :, None], v[:, None])
    apart = b[:, None] - a[:, :, None]
    crossing = np.abs(slope) > 1e-12
    slope = np.where(crossing, slope, 1.0)
    s, t = _cross(apart, v[:, None]) / slope, _cross(apart, u[:, :, None]) / slope
    crossing &= (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    meeting = a[:, :, None] + s[..., None] * u[:, :, None]
    points = np.concatenate([a, b, meeting.reshape(-1, 16, 2)], axis=1)
    real = np.concatenate([_inside(a, b), _inside(b, a), crossing.reshape(-1, 16)], axis=1)
    count = np.maximum(real.sum(axis=1), 1)
    centre = np.einsum("pk,pki->pi", real.astype(float), points) / count[:, None]
    points = np.where(real[..., None], points - centre[:, None], 0.0)
    angle = np.where(real, np.arctan2(points[..., 1], points[..., 0]), np.inf)
    order = np.argsort(angle, axis=1)
    points = np.take_along_axis(points, order[..., None], axis=1)
    # What is no corner comes last; it is put on the first corner, where it adds nothing.
    last = np.arange(points.shape[1]) >= real.sum(axis=1)[:, None]
    points = np.where(last[..., None], points[:, :1], points)
    return 0.5 * np.abs(_cross(points, np.roll(points, -1, axis=1)).sum(axis=1))
