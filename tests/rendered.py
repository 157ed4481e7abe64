"""Textured planes seen by pinhole cameras: pictures with exact depth, for stereo and odometry."""

from dataclasses import dataclass, field

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera


@dataclass(eq=False)
class Plane:
    """A textured rectangle: its centre, its two sides' directions times half their length, in the world."""

    centre_m: np.ndarray
    half_u_m: np.ndarray
    half_v_m: np.ndarray
    texture: np.ndarray = field(default_factory=lambda: texture(0))


def texture(seed, size=512):
    """(size, size) uint8 of blobs of several sizes."""
    import cv2

    rng = np.random.default_rng(seed)
    out = np.zeros((size, size))
    for cells in (16, 48, 128):
        out += cv2.resize(rng.random((cells, cells)), (size, size), interpolation=cv2.INTER_CUBIC)
    out -= out.min()
    return (255 * out / out.max()).astype(np.uint8)


def room(seed=0):
    """A back wall, a floor and a poster in front, for cameras near the origin that look along +z (y is down)."""
    return [
        Plane(np.array([0, 0, 5.0]), np.array([8.0, 0, 0.5]), np.array([0, 4.0, 0]), texture(seed)),
        Plane(np.array([0, 1.2, 3.0]), np.array([6.0, 0, 0]), np.array([0, 0, 3.0]), texture(seed + 1)),
        Plane(np.array([0.3, 0, 2.5]), np.array([0.5, 0, 0]), np.array([0, 0.4, 0]), texture(seed + 2)),
    ]


def render(camera: Camera, T_world_camera, planes):
    """(H, W, 3) uint8 picture and (H, W) float32 depth, NaN where nothing is."""
    import cv2

    width, height = camera.image_size
    v, u = np.mgrid[:height, :width]
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1)) @ T_world_camera[:3, :3].T
    origin = T_world_camera[:3, 3]
    depth, picture = np.full(len(rays), np.inf), np.zeros(len(rays), np.uint8)
    for plane in planes:
        normal = np.cross(plane.half_u_m, plane.half_v_m)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = ((plane.centre_m - origin) @ normal) / (rays @ normal)
        z[~np.isfinite(z)] = -1.0
        offset = origin + z[:, None] * rays - plane.centre_m
        a = offset @ plane.half_u_m / (plane.half_u_m @ plane.half_u_m)
        b = offset @ plane.half_v_m / (plane.half_v_m @ plane.half_v_m)
        seen = (z > 0.05) & (z < depth) & (np.abs(a) <= 1) & (np.abs(b) <= 1)
        size = plane.texture.shape[0] - 1
        maps = [((c[seen] + 1) / 2 * size).astype(np.float32)[:, None] for c in (a, b)]
        parts = [
            cv2.remap(plane.texture, *(m[i : i + 30000] for m in maps), cv2.INTER_LINEAR)
            for i in range(0, seen.sum(), 30000)
        ]
        picture[seen] = np.concatenate(parts).ravel() if parts else 0
        depth[seen] = z[seen]
    depth[np.isinf(depth)] = np.nan
    image = picture.reshape(height, width)
    return np.repeat(image[:, :, None], 3, axis=2), depth.reshape(height, width).astype(np.float32)


def at(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0)):
    """T_world_camera (4, 4) at a place, turned by a rotation vector."""
    from scipy.spatial.transform import Rotation

    return tf.make_transform(Rotation.from_rotvec(turn).as_matrix(), np.array([x, y, z]))
