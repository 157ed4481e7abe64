"""Scenes of things that move smoothly at random before a moving camera, with the boxes that the camera sees."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dsr_core.geometry import transforms as tf
from dsr_core.scene import Scene, Track

SIZE_PX = (640, 360)
K = np.array([[420.0, 0.0, 320.0], [0.0, 420.0, 180.0], [0.0, 0.0, 1.0]])
KINDS = {"car": (4.2, 1.8, 1.5), "person": (0.6, 0.6, 1.75)}


def smooth_scene(seed: int, things: int = 7, duration_s: float = 20.0, rate_hz: float = 10.0) -> Scene:
    """One scene; classes, ways, speeds and the camera's own way follow the seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(duration_s * rate_hz) + 1) / rate_hz
    ego_m, ego_yaw = _way(rng, len(t), rate_hz, fastest=2.0)
    ego_m -= ego_m[0]
    ego_yaw -= ego_yaw[0]
    R = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(ego_yaw))
    T_world_base = tf.make_transform(R, ego_m)
    T_world_camera = T_world_base @ tf.make_transform(tf.R_BODY_OPTICAL, np.array([0.0, 0.0, 1.4]))
    tracks = {}
    for number in range(things):
        label = str(rng.choice(list(KINDS)))
        way_m, yaw = _way(rng, len(t), rate_hz, fastest=8.0 if label == "car" else 2.5)
        # Half way through it is somewhere before the camera.
        ahead = np.array([rng.uniform(5.0, 25.0), rng.uniform(-8.0, 8.0), 0.0])
        middle = rng.integers(len(t))
        way_m += ego_m[middle] + R[middle] @ ahead - way_m[middle]
        tracks[str(number)] = _track(str(number), label, t, way_m, yaw, T_world_camera)
    return Scene(
        stamps_s=t,
        tracks=tracks,
        T_world_base=T_world_base,
        T_world_camera=T_world_camera,
        K=K,
        image_size=SIZE_PX,
    )


def _way(rng: np.random.Generator, n: int, rate_hz: float, fastest: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) and headings (n,) of something that speeds up, slows down, turns and at times stands."""

    def wander(smooth_s: float) -> np.ndarray:
        noise = gaussian_filter1d(rng.normal(size=n + 200), smooth_s * rate_hz)[100:-100]
        return noise / max(noise.std(), 1e-9)

    speed = fastest * np.clip(rng.uniform(0.1, 0.6) + 0.3 * wander(rng.uniform(1.5, 4.0)), 0.0, 1.0)
    yaw = rng.uniform(-np.pi, np.pi) + np.cumsum(0.35 * wander(rng.uniform(1.0, 3.0))) / rate_hz
    step = speed[:, None] * np.stack([np.cos(yaw), np.sin(yaw), 0 * yaw], axis=1) / rate_hz
    return np.cumsum(step, axis=0), yaw


def _track(id: str, label: str, t: np.ndarray, floor_m: np.ndarray, yaw: np.ndarray, T_world_camera) -> Track:
    size = np.array(KINDS[label])
    R = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(yaw))
    centre_m = floor_m + np.array([0.0, 0.0, size[2] / 2])
    corners = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(8, 3) * size / 2
    p_world_m = centre_m[:, None] + np.einsum("tij,cj->tci", R, corners)
    p_camera_m = np.einsum("tji,tcj->tci", T_world_camera[:, :3, :3], p_world_m - T_world_camera[:, None, :3, 3])
    ahead = (p_camera_m[..., 2] > 0.5).all(axis=1)
    u, v = (
        np.where(ahead[:, None], K[i, i] * p_camera_m[..., i] / np.where(ahead[:, None], p_camera_m[..., 2], 1.0), 0.0)
        + K[i, 2]
        for i in (0, 1)
    )
    whole = np.stack([u.min(1), v.min(1), u.max(1), v.max(1)], axis=1)
    boxes = np.clip(whole, 0.0, [*SIZE_PX, *SIZE_PX])
    inside = ahead & (boxes[:, 2] - boxes[:, 0] > 8) & (boxes[:, 3] - boxes[:, 1] > 8)
    boxes[~inside] = np.nan
    return Track(
        id=id,
        label=label,
        stamps_s=t,
        positions_world_m=centre_m,
        covariances=np.broadcast_to(np.eye(3) * 0.05**2, (len(t), 3, 3)).copy(),
        orientations_xyzw=tf.yaw_to_quaternion_xyzw(yaw),
        orientation_sigmas_rad=np.full(len(t), 0.05),
        size_lwh_m=size,
        boxes_px=boxes,
        image_size=SIZE_PX,
        observed=inside,
    )
