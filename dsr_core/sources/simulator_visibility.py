"""How much of a simulated thing the camera can see, from the geometry alone (no rendering).

Points on each thing's box are joined to the camera; a point counts when it lies in the image and nothing solid
stands in between.
"""

from __future__ import annotations

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera


def box_points(size_lwh_m: np.ndarray, per_axis: int = 4, shrink: float = 0.9) -> np.ndarray:
    """(n, 3) points on a lattice in a box, in the box's frame (origin at its centre)."""
    axis = (np.arange(per_axis) / (per_axis - 1) - 0.5) * shrink
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return grid * np.asarray(size_lwh_m, float)


def box_corners(size_lwh_m: np.ndarray) -> np.ndarray:
    """(8, 3) corners in the box's frame."""
    return box_points(size_lwh_m, per_axis=2, shrink=1.0)


def segments_hit_box(start: np.ndarray, ends: np.ndarray, T_box_frame: np.ndarray, half_m: np.ndarray) -> np.ndarray:
    """Whether segments from `start` (3,) to `ends` (n, 3) cross a solid box; (n,) bool (slab test)."""
    a = tf.transform_points(T_box_frame, start)
    d = tf.transform_points(T_box_frame, ends) - a
    d = np.where(np.abs(d) < 1e-12, 1e-12, d)
    t0, t1 = (-half_m - a) / d, (half_m - a) / d
    enter, leave = np.minimum(t0, t1).max(axis=1), np.maximum(t0, t1).min(axis=1)
    return (enter < leave) & (leave > 0.0) & (enter < 0.97)


def projected_box(camera: Camera, T_camera_object: np.ndarray, size_lwh_m: np.ndarray) -> np.ndarray:
    """(4,) x1, y1, x2, y2 of a 3D box's image, cut at the border; NaN where it lies behind or outside."""
    points = tf.transform_points(T_camera_object, box_points(size_lwh_m, 5, 1.0))
    ahead = points[points[:, 2] > 0.15]
    if not len(ahead):
        return np.full(4, np.nan)
    pixels = camera.project(ahead)
    w, h = camera.image_size
    x1, y1 = np.clip(pixels.min(axis=0), 0.0, (w, h))
    x2, y2 = np.clip(pixels.max(axis=0), 0.0, (w, h))
    return np.array([x1, y1, x2, y2]) if x2 - x1 >= 1.0 and y2 - y1 >= 1.0 else np.full(4, np.nan)


def visible_share(
    camera: Camera,
    T_map_camera: np.ndarray,
    T_map_object: np.ndarray,
    size_lwh_m: np.ndarray,
    occluders: list[tuple[np.ndarray, np.ndarray]],
    range_m: float,
) -> float:
    """Share 0..1 of the thing's points that are in the image, within range and not behind an occluder.

    Args:
        camera: Intrinsics.
        T_map_camera: (4, 4) optical frame to map.
        T_map_object: (4, 4) frame of the thing's box (origin at its centre) to map.
        size_lwh_m: (3,) of the thing.
        occluders: (T_box_map (4, 4), half sizes (3,)) of each solid box, the thing itself left out.
        range_m: Farthest distance along the optical axis.
    """
    points = tf.transform_points(T_map_object, box_points(size_lwh_m))
    in_camera = tf.transform_points(tf.invert(T_map_camera), points)
    pixels = camera.project(in_camera)
    w, h = camera.image_size
    with np.errstate(invalid="ignore"):
        seen = (pixels >= 0).all(axis=1) & (pixels[:, 0] < w) & (pixels[:, 1] < h) & (in_camera[:, 2] < range_m)
    for T_box_map, half in occluders:
        if not seen.any():
            break
        seen[seen] = ~segments_hit_box(T_map_camera[:3, 3], points[seen], T_box_map, half)
    return float(seen.mean())
