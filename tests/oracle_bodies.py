"""Raw arrays of a scene for the oracles: who was where, which way it faced, and how noisy that is. No library code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Body:
    """One thing over time.

    Attributes:
        t: (T,) seconds. p: (T, 3) metres in the world. axes: (T, 3, 3), columns forward, left and up in the world.
        sigma: (T,) one-sigma of a place. heading_sigma: one-sigma of the heading, rad. size: (3,) metres or NaN.
    """

    name: str
    label: str
    t: np.ndarray
    p: np.ndarray
    axes: np.ndarray
    sigma: np.ndarray
    heading_sigma: float
    size: np.ndarray

    @property
    def length(self) -> float:
        return float(np.max(self.size)) if np.isfinite(self.size).all() else math.nan

    @property
    def yaw(self) -> np.ndarray:
        return np.unwrap(np.arctan2(self.axes[:, 1, 0], self.axes[:, 0, 0]))

    def rows(self, start, end):
        return np.flatnonzero((self.t >= start - 1e-6) & (self.t <= end + 1e-6))

    def cut(self, rows) -> Body:
        return Body(
            self.name,
            self.label,
            self.t[rows],
            self.p[rows],
            self.axes[rows],
            self.sigma[rows],
            self.heading_sigma,
            self.size,
        )


def rotation(q):
    """Rotation matrices (T, 3, 3) of quaternions x, y, z, w (T, 4), by the textbook formula."""
    x, y, z, w = q.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def body(scene, who) -> Body:
    t = scene.stamps_s
    unknown = np.full(3, np.nan)
    if who == "robot":
        T = scene.T_world_base
        return Body(who, who, t, T[:, :3, 3], T[:, :3, :3], np.zeros(len(t)), 0.0, unknown)
    if who == "camera":
        T = scene.T_world_camera
        axes = np.stack([T[:, :3, 2], -T[:, :3, 0], -T[:, :3, 1]], axis=2)
        return Body(who, who, t, T[:, :3, 3], axes, np.zeros(len(t)), 0.0, unknown)
    if who == "map":
        axes = np.repeat(np.eye(3)[None], len(t), axis=0)
        return Body(who, who, t, np.zeros((len(t), 3)), axes, np.zeros(len(t)), 0.0, unknown)
    k = scene.tracks[who]
    sigma = np.sqrt(np.array([c[0, 0] for c in k.covariances]))
    heading = float(np.max(k.orientation_sigmas_rad)) if len(k.stamps_s) else 0.0
    return Body(
        who, k.label, k.stamps_s, k.positions_world_m, rotation(k.orientations_xyzw), sigma, heading, k.size_lwh_m
    )


def bodies(scene) -> dict[str, Body]:
    return {who: body(scene, who) for who in ("robot", "camera", "map", *scene.tracks)}


def together(start, end, *things):
    """The things cut to the samples of the window that all have; None unless all were seen at both ends and between."""
    stamps = None
    for thing in things:
        ticks = {round(float(s), 4) for s in thing.t[thing.rows(start, end)]}
        stamps = ticks if stamps is None else stamps & ticks
    if not stamps or len(stamps) < 12 or len(stamps) < 9 * (end - start):
        return None
    if abs(min(stamps) - start) > 1e-3 or abs(max(stamps) - end) > 1e-3:
        return None
    cut = []
    for thing in things:
        rows = [i for i in thing.rows(start, end) if round(float(thing.t[i]), 4) in stamps]
        cut.append(thing.cut(rows))
    return cut


def in_frame(viewer: Body, p: np.ndarray, row=None):
    """(T, 3) forward, left, up of world points p (T, 3) for the viewer at every instant, or held fixed at one row."""
    axes = viewer.axes if row is None else np.repeat(viewer.axes[row][None], len(p), axis=0)
    origin = viewer.p if row is None else np.repeat(viewer.p[row][None], len(p), axis=0)
    d = p - origin
    return np.stack([np.sum(axes[:, :, i] * d, axis=1) for i in range(3)], axis=1)


def beyond(change, sigma, reference, clear=1.5):
    """Whether a change is clearly beyond max(3 sigma, 5 % of the reference): True, False (clearly within), None."""
    threshold = max(3.0 * sigma, 0.05 * reference)
    if abs(change) > clear * threshold:
        return True
    return False if abs(change) < threshold / (2 * clear) else None


def place_sigma(body, row):
    return float(body.sigma[row])


def world_sigma(scene, thing, row_a=0, row_b=-1):
    """One-sigma of the difference of two places in the world, which the noise of the ego's own pose enters."""
    ego = scene.ego_sigma_m
    return math.sqrt(thing.sigma[row_a] ** 2 + thing.sigma[row_b] ** 2 + 2 * ego**2)


def box_distance(point, thing: Body, row) -> float:
    """From a point to the nearest point of a box; a cylinder without heading, the centre without size."""
    d = point - thing.p[row]
    if not np.isfinite(thing.size).all():
        return float(np.linalg.norm(d))
    half = thing.size / 2
    if not np.isfinite(thing.axes[row]).all():
        radius = (thing.size[0] + thing.size[1]) / 4
        out = max(math.hypot(d[0], d[1]) - radius, 0.0)
        up = max(abs(d[2]) - half[2], 0.0)
        return math.hypot(out, up)
    total = 0.0
    for i in range(3):
        total += max(abs(float(thing.axes[row][:, i] @ d)) - half[i], 0.0) ** 2
    return math.sqrt(total)
