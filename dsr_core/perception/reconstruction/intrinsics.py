"""Intrinsics that a reconstruction implies, for pictures of cameras that nobody has calibrated."""

from __future__ import annotations

import numpy as np


def intrinsics_of_points(points_camera: np.ndarray) -> np.ndarray | None:
    """K (3, 3) of a distortion-free camera that sees points (H, W, 3) of its optical frame at their pixels.

    A straight line through u against x / z, and one through v against y / z, by least squares on a grid of pixels;
    pixels farther off than three times the median are left out. None where there are too few points, or no such camera.
    """
    height, width = points_camera.shape[:2]
    step = max(int(np.sqrt(height * width / 2000)), 1)
    v, u = np.mgrid[:height:step, :width:step]
    p = np.asarray(points_camera[::step, ::step], float)
    good = np.isfinite(p).all(axis=2) & (np.nan_to_num(p[..., 2]) > 0)
    if good.sum() < 50:
        return None
    p, lines = p[good], []
    for pixel, axis in ((u[good], 0), (v[good], 1)):
        slope, offset = _line(p[:, axis] / p[:, 2], pixel.astype(float))
        if not slope > 0:
            return None
        lines.append((slope, offset))
    (fx, cx), (fy, cy) = lines
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def scaled_intrinsics(K: np.ndarray, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """K (3, 3) of an image of `size` (width, height) for the same image resized to `new_size`."""
    factor = np.array(new_size, float) / np.array(size, float)
    out = np.array(K, float)
    out[:2, :2] *= factor[:, None]
    out[:2, 2] = (out[:2, 2] + 0.5) * factor - 0.5
    return out


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and offset of y over x."""
    kept = np.ones(len(x), bool)
    slope = offset = 0.0
    for _ in range(5):
        from_x, from_y = x[kept] - x[kept].mean(), y[kept] - y[kept].mean()
        slope = float(from_x @ from_y / max(from_x @ from_x, 1e-12))
        offset = float(y[kept].mean() - slope * x[kept].mean())
        off = np.abs(y - slope * x - offset)
        kept = off <= 3 * np.median(off) + 1e-6
    return slope, offset
