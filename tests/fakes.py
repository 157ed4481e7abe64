"""Fake data for tests: tracks and scenes with known motion."""

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.scene import Scene, Track


def fake_track(
    id="1",
    label="car",
    start=(10.0, 0.0, 0.0),
    velocity=(0.0, 0.0, 0.0),
    duration_s=5.0,
    rate_hz=10.0,
    sigma_m=0.0,
    yaw=None,
    rng=None,
    positions=None,
    size=(4.0, 1.8, 1.5),
):
    """A track at constant velocity, or along `positions(t) -> (T, 3)`, with optional white noise."""
    t = np.arange(round(duration_s * rate_hz) + 1) / rate_hz
    p = np.asarray(start, float) + t[:, None] * np.asarray(velocity, float) if positions is None else positions(t)
    if rng is not None and sigma_m:
        p = p + rng.normal(0.0, sigma_m, p.shape)
    q = None if yaw is None else tf.yaw_to_quaternion_xyzw(np.broadcast_to(yaw(t) if callable(yaw) else yaw, t.shape))
    cov = np.broadcast_to(np.eye(3) * sigma_m**2, (len(t), 3, 3)).copy()
    return Track(
        id=id,
        label=label,
        stamps_s=t,
        positions_world_m=p,
        covariances=cov,
        orientations_xyzw=q,
        size_lwh_m=np.asarray(size, float),
    )


def fake_scene(*tracks, duration_s=5.0, rate_hz=10.0, ego_velocity=(0.0, 0.0, 0.0), ego_yaw=0.0, **fields):
    """A scene whose robot moves at constant velocity from the origin, its camera 0 m above the base."""
    t = np.arange(round(duration_s * rate_hz) + 1) / rate_hz
    R = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(np.broadcast_to(ego_yaw, t.shape)))
    T_world_base = tf.make_transform(R, t[:, None] * np.asarray(ego_velocity, float))
    T_world_camera = T_world_base @ tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))
    return Scene(
        stamps_s=t, tracks={k.id: k for k in tracks}, T_world_base=T_world_base, T_world_camera=T_world_camera, **fields
    )
