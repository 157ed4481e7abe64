"""Whether places lie inside the camera's picture."""

from __future__ import annotations

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.scene import Scene


def inside_picture(scene: Scene, points_m: np.ndarray, stamps_s: np.ndarray) -> np.ndarray | None:
    """How far inside the picture points (T, 3) of the world lie at times (T,): metres to its edge, negative outside.

    Lens distortion is left out: a scene holds none. A point behind the camera is as far outside as it is away.

    Returns:
        (T,) metres, or None where no camera is known (its poses, its intrinsics or the size of its picture).
    """
    if scene.T_world_camera is None or scene.K is None or scene.image_size is None or not len(scene.stamps_s):
        return None
    T = tf.interpolate_transforms(scene.stamps_s, scene.T_world_camera, stamps_s)
    seen = np.einsum("tji,tj->ti", T[:, :3, :3], points_m - T[:, :3, 3])
    depth = np.maximum(seen[:, 2], 1e-9)
    pixels = (seen @ np.asarray(scene.K, float).T)[:, :2] / depth[:, None]
    to_edges = np.minimum(pixels, np.asarray(scene.image_size, float) - pixels)
    metres = (to_edges / (scene.K[0, 0], scene.K[1, 1])).min(axis=1) * depth
    return np.where(seen[:, 2] > 0, metres, -np.sqrt(np.einsum("ti,ti->t", seen, seen)))
