"""Which of several things that fit a name is meant: the nearest, the second fastest, the one on the left, …"""

from __future__ import annotations

import math

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning import states as judge
from dsr_core.reasoning.agents import Agent, interpolate, poses, velocities
from dsr_core.reasoning.quantities import Viewer
from dsr_core.scene import Scene, Track

#: Things seen this close to the time of the choice are there; others only where none is.
PRESENT_S = 0.5
_PRESENT_ONLY = ("nearest", "farthest", "fastest", "slowest", "leftmost", "rightmost")
_GREATEST_FIRST = ("farthest", "fastest", "leftmost", "biggest", "last")


def select(
    scene: Scene,
    tracks: list[Track],
    how: str,
    rank: int = 1,
    at: float | None = None,
    window: tuple[float, float] | None = None,
    viewer: Viewer | None = None,
) -> list[Track]:
    """Chooses among tracks.

    Distances are those to the robot, speeds those in the world, sides those that the viewer sees (the robot where the
    viewer is the map). "first" and "last" go by when a thing was first seen, "biggest" and "smallest" by volume.

    Args:
        scene: What is known.
        tracks: At least one, all seen in the window.
        how: One of `dsr_core.reasoning.query.SELECTORS`.
        rank: 1 takes the first in that order, 2 the second, ….
        at: Second of the choice; default: the window's end, or the newest sample.
        window: In which "moving" and "still" are judged; None: all the time.
        viewer: Whose left and right; None: the robot's.

    Returns:
        One track; for "moving" and "still" all that do, for "all" every one.

    Raises:
        DeclineError: NO_SUCH_OBJECT (fewer than `rank`, none that moves), TOO_UNCERTAIN (no size known), NO_POSE,
            NO_ORIENTATION.
    """
    if how == "all":
        return tracks
    if how in ("moving", "still"):
        return _by_motion(scene, tracks, how, window)
    if at is None:
        at = window[1] if window else max(float(t.stamps_s[-1]) for t in tracks)
    if how in _PRESENT_ONLY:
        there = [t for t in tracks if t.stamps_s[0] - PRESENT_S <= at <= t.stamps_s[-1] + PRESENT_S]
        tracks = there or tracks
    if how in ("leftmost", "rightmost") and viewer is not None:
        tracks = [t for t in tracks if viewer.agent.track is None or t.id != viewer.agent.track.id]
    if how in ("biggest", "smallest") and len(tracks) > 1:
        tracks = _with_size(tracks)
    if rank > len(tracks):
        raise DeclineError(
            "NO_SUCH_OBJECT",
            f"there is no number {rank} of the {how}: only {len(tracks)} could be meant",
            tuple(f"{t.label} {t.id}" for t in tracks[:20]),
        )
    if len(tracks) == 1:
        return tracks
    keys = _keys(scene, tracks, how, float(at), viewer)
    order = sorted(range(len(tracks)), key=keys.__getitem__, reverse=how in _GREATEST_FIRST)
    return [tracks[order[rank - 1]]]


def _keys(scene: Scene, tracks: list[Track], how: str, at: float, viewer: Viewer | None) -> list[float]:
    """The number (m, m/s, rad, m^3 or s) that each track is put in order by."""
    when = np.array([at])
    if how in ("nearest", "farthest"):
        ego = poses(scene, Agent("robot"), when)[0, :3, 3]
        return [float(np.linalg.norm(interpolate(t, when)[0][0] - ego)) for t in tracks]
    if how in ("fastest", "slowest"):
        found = [velocities(t.stamps_s, t.smoothed_positions(slice(None)), when)[0][0] for t in tracks]
        # A thing seen once has no speed: it comes last either way.
        worst = -math.inf if how == "fastest" else math.inf
        return [float(np.linalg.norm(v)) if np.isfinite(v).all() else worst for v in found]
    if how in ("leftmost", "rightmost"):
        if viewer is None or (viewer.agent.name == "map" and viewer.agent.track is None):
            viewer = Viewer(Agent("robot"))
        found = [q.position_in_view(scene, Agent(t.id, t), viewer, when).values[0] for t in tracks]
        return [math.atan2(p[1], p[0]) for p in found]
    if how in ("biggest", "smallest"):
        return [float(np.prod(t.size_lwh_m)) for t in tracks]
    return [float(t.stamps_s[0]) for t in tracks]


def _with_size(tracks: list[Track]) -> list[Track]:
    known = [t for t in tracks if np.isfinite(t.size_lwh_m).all()]
    if not known:
        raise DeclineError(
            "TOO_UNCERTAIN",
            "the sizes of these things are not known; name one by its id",
            tuple(f"{t.label} {t.id}" for t in tracks[:20]),
        )
    return known


def _by_motion(scene: Scene, tracks: list[Track], how: str, window) -> list[Track]:
    found = [t for t in tracks if _moves(scene, t, window) == (how == "moving")]
    if not found:
        does = "moves" if how == "moving" else "stands still"
        when = "" if window is None else f" between {window[0]:.1f} s and {window[1]:.1f} s"
        raise DeclineError(
            "NO_SUCH_OBJECT",
            f"no {tracks[0].label} {does}{when}",
            tuple(f"{t.label} {t.id}" for t in tracks[:20]),
        )
    return found


def _moves(scene: Scene, track: Track, window) -> bool:
    part = track if window is None else track.between(*window)
    part = part[part.observed]
    if len(part) < 2:
        return False
    sigma = q.world_sigma(scene, part.smoothed_covariances(slice(None)))
    return judge.moved(part.stamps_s, part.smoothed_positions(slice(None)), sigma, Agent(track.id, track).length_m)
