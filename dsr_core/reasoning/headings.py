"""Which way things head: the axes that they are known to have, or those of their travel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning.agents import Agent, Motion, motion, poses, velocities
from dsr_core.reasoning.noise import change_sigma, typical_sigma, white_sigma
from dsr_core.reasoning.quantities import world_sigma
from dsr_core.reasoning.rules import RobustRules
from dsr_core.scene import Scene

#: Nothing turns by more than a quarter between samples closer than this: such a jump is a label that was turned round.
FLIP_S = 0.25


def heading_axes(scene: Scene, agent: Agent, stamps_s: np.ndarray, rules: RobustRules) -> Motion:
    """The agent's motion with axes (x forward, y left, z up) at `stamps_s` (T,).

    A track without orientation has the axes of its travel: x along its velocity where that is beyond noise. Elsewhere
    they are those of the nearest time at which it is, with a `heading_sigma_rad` of infinity.

    Raises:
        DeclineError: NO_ORIENTATION where neither is known at any time; NO_POSE.
    """
    if has_axes(agent):
        return motion(scene, agent, stamps_s, axes=True)
    m = motion(scene, agent, stamps_s)
    sigma = world_sigma(scene, m.covariances)
    velocity, spans, counts = velocities(stamps_s, m.positions_m, stamps_s, rules)
    up = up_axis(scene)
    velocity = velocity - (velocity @ up)[:, None] * up
    white = white_sigma(m.positions_m, typical_sigma(sigma), rules)
    noise = change_sigma(sigma, spans, counts, rules, white) / np.maximum(spans, 1e-9)
    speed = np.linalg.norm(velocity, axis=1)
    # A velocity whose noise is half of it points within half a radian of its direction.
    known = np.flatnonzero(speed * rules.uncertain_angle_rad > np.maximum(noise, 1e-9))
    if not len(known):
        raise DeclineError(
            "NO_ORIENTATION",
            f"which way {agent.label} faces is not known, and it moves too slowly to tell;"
            " use a detector that gives headings, or ask for a time at which it moves",
            ("robot", "camera"),
        )
    forward = velocity[known] / speed[known, None]
    axes = np.stack([forward, np.cross(up, forward), np.broadcast_to(up, forward.shape)], axis=2)
    heading_sigma = np.full(len(stamps_s), np.inf)
    heading_sigma[known] = noise[known] / speed[known]
    after = np.minimum(np.searchsorted(known, np.arange(len(stamps_s))), len(known) - 1)
    before = np.maximum(after - 1, 0)
    index = np.arange(len(stamps_s))
    nearest = np.where(np.abs(known[after] - index) <= np.abs(known[before] - index), after, before)
    return replace(m, rotations=axes[nearest], heading_sigma_rad=heading_sigma)


def has_axes(agent: Agent) -> bool:
    """Whether it is known which way the agent faces, at some time at least."""
    if agent.track is None:
        return True
    turns = agent.track.orientations_xyzw
    return bool(np.isfinite(turns[-1:]).all() and len(turns)) or bool(np.isfinite(turns).all(axis=1).any())


def up_axis(scene: Scene) -> np.ndarray:
    """(3,) the robot's up axis in the world when its pose is first known; the world's z axis where it never is."""
    if not len(scene.stamps_s) or (scene.T_world_camera is None and scene.T_world_base is None):
        return np.array([0.0, 0.0, 1.0])
    return poses(scene, Agent("robot"), scene.stamps_s[:1])[0, :3, 2]


def turned_angle(rotations: np.ndarray, stamps_s: np.ndarray) -> np.ndarray:
    """Angle (T,) in rad by which axes (T, 3, 3) have turned to the left about their own up axis since the first."""
    forward, first = rotations[:, :, 0], rotations[0]
    angle = np.arctan2(forward @ first[:, 1], forward @ first[:, 0])
    step = np.diff(angle)
    step -= 2 * np.pi * np.round(step / (2 * np.pi))
    flips = (np.abs(step) > np.pi / 2) & (np.diff(stamps_s) < FLIP_S)
    if flips.any():
        step = np.where(flips, step - np.sign(step) * np.pi, step)
    return np.concatenate([[0.0], np.cumsum(step)])
