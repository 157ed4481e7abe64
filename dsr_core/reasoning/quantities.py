"""Quantities: what is measured for each kind of question, as series over time with their noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning.agents import Agent, Motion, motion, velocities, velocity_at
from dsr_core.reasoning.noise import change_sigma, typical_sigma, white_sigma
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules
from dsr_core.scene import Scene


@dataclass(frozen=True)
class Viewer:
    """Whose frame directions are given in.

    Attributes:
        agent: Who.
        at_s: Time at which an absolute viewpoint is held fixed, None for a relative one.
    """

    agent: Agent
    at_s: float | None = None


@dataclass(frozen=True, eq=False)
class Series:
    """A quantity over time.

    Attributes:
        stamps_s: (T,) seconds.
        values: (T,) or (T, 3).
        sigma: (T,) one-sigma of a sample, in the unit of the values (rad for directions).
    """

    stamps_s: np.ndarray
    values: np.ndarray
    sigma: np.ndarray


def viewer_axes(scene: Scene, viewer: Viewer, stamps_s: np.ndarray) -> Motion:
    """The viewer's frame at each of `stamps_s` (T,); held fixed for an absolute viewpoint."""
    if viewer.at_s is None:
        return motion(scene, viewer.agent, stamps_s, axes=True)
    once = motion(scene, viewer.agent, np.array([viewer.at_s]), axes=True)
    n = len(stamps_s)
    return Motion(
        stamps_s,
        np.broadcast_to(once.positions_m, (n, 3)),
        np.broadcast_to(once.covariances, (n, 3, 3)),
        np.broadcast_to(once.rotations, (n, 3, 3)),
        np.broadcast_to(once.heading_sigma_rad, (n,)),
    )


def distance(scene: Scene, subject: Agent, other: Agent, stamps_s: np.ndarray) -> Series:
    """Distance between two centres: |p_subject - p_other|, metres."""
    a, b = motion(scene, subject, stamps_s), motion(scene, other, stamps_s)
    d = a.positions_m - b.positions_m
    length = lengths(d)
    return Series(stamps_s, length, _sigma_along(d, length, a.covariances + b.covariances))


def direction(scene: Scene, subject: Agent, other: Agent, viewer: Viewer, stamps_s: np.ndarray) -> Series:
    """Direction of the subject as seen from the other: R_viewer^T (p_subject - p_other), metres."""
    a, view = motion(scene, subject, stamps_s), viewer_axes(scene, viewer, stamps_s)
    b = view if other is viewer.agent and viewer.at_s is None else motion(scene, other, stamps_s)
    d = a.positions_m - b.positions_m
    length = np.maximum(lengths(d), 1e-9)
    covariances = a.covariances + b.covariances
    # What lies along the ray (a range that is hardly known) turns no direction.
    across = np.einsum("tii->t", covariances) - _sigma_along(d, length, covariances) ** 2
    across = np.sqrt(np.maximum(across, 0.0) / 2.0) / length
    return Series(stamps_s, _to_view(view, d), np.hypot(across, view.heading_sigma_rad))


def orientation(scene: Scene, subject: Agent, viewer: Viewer, stamps_s: np.ndarray) -> Series:
    """The subject's forward axis in the viewer's frame."""
    forward = motion(scene, subject, stamps_s, axes=True)
    view = viewer_axes(scene, viewer, stamps_s)
    return Series(
        stamps_s,
        _to_view(view, forward.rotations[:, :, 0]),
        np.hypot(forward.heading_sigma_rad, view.heading_sigma_rad),
    )


def position_in_view(scene: Scene, subject: Agent, viewer: Viewer, stamps_s: np.ndarray) -> Series:
    """The subject's position in the viewer's frame, metres; sigma includes what the viewer's heading noise does."""
    a = motion(scene, subject, stamps_s)
    if subject.name == viewer.agent.name and viewer.at_s is None:
        return Series(stamps_s, np.zeros((len(stamps_s), 3)), np.zeros(len(stamps_s)))
    view = viewer_axes(scene, viewer, stamps_s)
    d = a.positions_m - view.positions_m
    if viewer.at_s is not None or viewer.agent.name == "map":
        return Series(stamps_s, _to_view(view, d), world_sigma(scene, a.covariances))
    swing = view.heading_sigma_rad * lengths(d)
    return Series(stamps_s, _to_view(view, d), np.hypot(largest_sigma(a.covariances + view.covariances), swing))


def speed(position: Series, rules: RobustRules = DEFAULT_RULES) -> Series:
    """Speed from positions in a viewer's frame: length of the slope of a line over about a second, m/s."""
    velocity, spans, counts = velocities(position.stamps_s, position.values, position.stamps_s, rules)
    white = white_sigma(position.values, typical_sigma(position.sigma), rules)
    noise = change_sigma(position.sigma, spans, counts, rules, white) / np.maximum(spans, 1e-9)
    return Series(position.stamps_s, lengths(velocity), noise)


def heading(position: Series, at_s: float, rules: RobustRules = DEFAULT_RULES) -> tuple[np.ndarray, float]:
    """Velocity (3,) at a time in m/s and its one-sigma."""
    velocity, span_s, count = velocity_at(position.stamps_s, position.values, at_s, rules)
    sigma = typical_sigma(position.sigma)
    white = white_sigma(position.values, sigma, rules)
    return velocity, change_sigma(sigma, span_s, count, rules, white) / max(span_s, 1e-9)


def require_two_things(subject: Agent, other: Agent) -> None:
    """Refuses a relation of a thing with itself."""
    if subject.name == other.name and (subject.track is None) == (other.track is None):
        raise DeclineError("BAD_REQUEST", f"{subject.label} is compared with itself; name two different things", ())


def require_places(*agents: Agent) -> None:
    """Refuses the map where a place is needed."""
    if any(a.track is None and a.name == "map" for a in agents):
        raise DeclineError(
            "BAD_REQUEST",
            "the map has no place of its own; ask for the distance to a thing or to the robot",
            ("robot", "camera"),
        )


def _to_view(view: Motion, vectors_world: np.ndarray) -> np.ndarray:
    return np.einsum("tji,tj->ti", view.rotations, vectors_world)


def lengths(vectors: np.ndarray) -> np.ndarray:
    """Lengths (T,) of vectors (T, k)."""
    return np.sqrt(np.einsum("ti,ti->t", vectors, vectors))


def _sigma_along(d: np.ndarray, length: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    unit = d / np.maximum(length, 1e-12)[:, None]
    return np.sqrt(np.maximum(np.einsum("ti,tij,tj->t", unit, covariances, unit), 0.0))


def world_sigma(scene: Scene, covariances: np.ndarray) -> np.ndarray:
    """One-sigma (T,) of positions in the world: the thing's own and the ego's, metres."""
    own = largest_sigma(covariances)
    return np.hypot(own, scene.ego_sigma_m) if scene.ego_sigma_m else own


def largest_sigma(covariances: np.ndarray) -> np.ndarray:
    """Standard deviation (T,) along the most uncertain axis of covariances (T, 3, 3).

    The largest root of the characteristic polynomial by its trigonometric form (O. K. Smith, Communications of the ACM
    4 (1961) 168), which is ten times faster than a general solver.
    """
    c = covariances.reshape(-1, 9).T
    xx, yy, zz, xy, xz, yz = c[0], c[4], c[8], c[1], c[2], c[5]
    off = xy * xy + xz * xz + yz * yz
    if not off.any():
        return np.sqrt(np.maximum(np.maximum(np.maximum(xx, yy), zz), 0.0))
    mean = (xx + yy + zz) / 3.0
    x, y, z = xx - mean, yy - mean, zz - mean
    spread = np.sqrt((x * x + y * y + z * z + 2.0 * off) / 6.0)
    determinant = x * (y * z - yz * yz) - xy * (xy * z - yz * xz) + xz * (xy * yz - y * xz)
    cosine = determinant / np.maximum(2.0 * spread**3, 1e-300)
    angle = np.arccos(np.minimum(np.maximum(cosine, -1.0), 1.0)) / 3.0
    return np.sqrt(np.maximum(mean + 2.0 * spread * np.cos(angle), 0.0))
