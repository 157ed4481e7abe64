"""The box of a thing, and how far points are from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.reasoning.agents import Agent, Motion, motion
from dsr_core.scene import Scene


@dataclass(frozen=True, eq=False)
class BoxDistance:
    """From points to the nearest points of a thing's box.

    Attributes:
        values_m: (T,) distances, 0 inside.
        toward: (T, 3) unit vectors from the box to the point in the world, 0 inside.
        lever_m: (T,) change of the distance per radian of the thing's heading.
    """

    values_m: np.ndarray
    toward: np.ndarray
    lever_m: np.ndarray


def has_heading(agent: Agent) -> bool:
    """Whether the thing's heading is known at any time."""
    return agent.track is not None and bool(np.isfinite(agent.track.orientations_xyzw).all(axis=1).any())


def box_motion(scene: Scene, agent: Agent, stamps_s: np.ndarray) -> Motion:
    """The agent's motion, with axes where its box has a heading."""
    return motion(scene, agent, stamps_s, axes=has_heading(agent))


def distance_to_box(agent: Agent, moved: Motion, points_m: np.ndarray) -> BoxDistance:
    """Distances from points (T, 3) in the world to the agent's box at each time of its motion.

    The point is turned into the box's frame and clipped to it. The box of a thing without heading is a vertical
    cylinder of the mean of its length and width; what has no size (the robot too) is its centre.
    """
    d = points_m - moved.positions_m
    size = np.zeros(3) if agent.track is None else np.asarray(agent.track.size_lwh_m, float)
    lever = np.zeros(len(d))
    turned = moved.rotations if agent.track is not None and moved.rotations is not None else None
    if turned is not None:
        half = np.nan_to_num(size) / 2
        local = np.einsum("tji,tj->ti", turned, d)
        gap = local - np.clip(local, -half, half)
    else:
        flat = size[:2][np.isfinite(size[:2])]
        radius, half = (flat.mean() / 2 if len(flat) else 0.0), np.nan_to_num(size[2]) / 2
        level = np.hypot(d[:, 0], d[:, 1])
        gap = np.empty_like(d)
        gap[:, :2] = d[:, :2] * (np.maximum(level - radius, 0.0) / np.where(level > 0, level, 1.0))[:, None]
        gap[:, 2] = d[:, 2] - np.clip(d[:, 2], -half, half)
    length = np.sqrt(np.einsum("ti,ti->t", gap, gap))
    unit = gap / np.where(length > 0, length, 1.0)[:, None]
    if turned is not None:
        # A turn of the box by a small angle about its up axis moves the point by (y, -x) of it in the box's frame.
        lever = unit[:, 0] * local[:, 1] - unit[:, 1] * local[:, 0]
        unit = np.einsum("tij,tj->ti", turned, unit)
    return BoxDistance(length, unit, lever)
