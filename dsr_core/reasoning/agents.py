"""Agents (robot, camera, map, tracks) and their poses at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.noise import middle
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules
from dsr_core.scene import Scene, Track

FRAME_PREFIX = "frame:"


@dataclass(frozen=True, eq=False)
class Agent:
    """A resolved WHO: the robot, the camera, the map, another frame, or a track.

    Attributes:
        name: "robot", "camera", "map", "frame:" with the name of a frame, or the track's id.
        track: The track, or None.
    """

    name: str
    track: Track | None = None

    @property
    def label(self) -> str:
        """How a person would call it: "robot", "frame tool0", "car 12"."""
        if self.frame is not None:
            return f"frame {self.frame}"
        return self.name if self.track is None else f"{self.track.label} {self.track.id}"

    @property
    def frame(self) -> str | None:
        """Name of the frame in `Scene.frames` that it is, or None."""
        is_frame = self.track is None and self.name.startswith(FRAME_PREFIX)
        return self.name[len(FRAME_PREFIX) :] if is_frame else None

    @property
    def length_m(self) -> float | None:
        """The longest side of a thing in metres, None where its size is not known."""
        if self.track is None:
            return None
        return max(filter(math.isfinite, self.track.size_lwh_m.tolist()), default=None)


@dataclass(frozen=True, eq=False)
class Motion:
    """An agent's positions and axes at given times.

    Attributes:
        stamps_s: (T,) seconds.
        positions_m: (T, 3) in the world.
        covariances: (T, 3, 3) square metres.
        rotations: (T, 3, 3) agent (x forward, y left, z up) to world, or None where it has no axes.
        heading_sigma_rad: (T,) one-sigma of the axes.
    """

    stamps_s: np.ndarray
    positions_m: np.ndarray
    covariances: np.ndarray
    rotations: np.ndarray | None
    heading_sigma_rad: np.ndarray


def span(scene: Scene, agent: Agent) -> tuple[float, float]:
    """First and last second at which the agent was really seen (for the robot: at which its pose is known)."""
    if agent.name == "map" and agent.track is None:
        return -np.inf, np.inf
    if agent.track is None:
        stamps_s, _, _ = _known_poses(scene, agent)
        return float(stamps_s[0]), float(stamps_s[-1])
    observed, stamps_s = agent.track.observed, agent.track.stamps_s
    if len(observed) and observed[0] and observed[-1]:
        return float(stamps_s[0]), float(stamps_s[-1])
    if not observed.any():
        raise DeclineError("NOT_OBSERVED", f"{agent.label} was never observed", ())
    first, last = int(observed.argmax()), len(observed) - 1 - int(observed[::-1].argmax())
    return float(stamps_s[first]), float(stamps_s[last])


def _require_pose(scene: Scene, agent: Agent) -> None:
    if not len(scene.stamps_s) or (scene.T_world_camera is None and scene.T_world_base is None):
        raise DeclineError(
            "NO_POSE",
            f"the pose of the {agent.name} is not known;"
            f" publish /tf (or odometry) from {scene.world_frame} to the {agent.name}",
            tuple(scene.tracks)[:20],
        )


def poses(scene: Scene, agent: Agent, stamps_s: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) of anything but a track, body axes (x forward, y left, z up) to world, at `stamps_s` (N,).

    Where only the camera's pose is known the camera stands for the robot, and the other way round.

    Raises:
        DeclineError: NO_POSE.
    """
    if agent.name == "map":
        return np.broadcast_to(np.eye(4), (len(stamps_s), 4, 4))
    known_s, known, optical = _known_poses(scene, agent)
    T = tf.interpolate_transforms(known_s, known, stamps_s)
    if optical:
        T[:, :3, :3] = T[:, :3, :3] @ tf.R_BODY_OPTICAL.T
    return T


def _known_poses(scene: Scene, agent: Agent) -> tuple[np.ndarray, np.ndarray, bool]:
    """Stamps (T,) and poses (T, 4, 4) of the robot, the camera or a frame, and whether its axes are optical ones.

    Raises:
        DeclineError: NO_POSE.
    """
    if agent.frame is None:
        _require_pose(scene, agent)
        optical = scene.T_world_base is None or (agent.name == "camera" and scene.T_world_camera is not None)
        return scene.stamps_s, scene.T_world_camera if optical else scene.T_world_base, optical
    T = scene.frames.get(agent.frame)
    known = None if T is None else np.isfinite(T).all(axis=(1, 2))
    if known is None or not known.any():
        raise DeclineError(
            "NO_POSE",
            f"no pose of the frame {agent.frame!r} is known; name it among the viewer frames, and publish /tf from"
            f" {scene.world_frame} to it",
            tuple(f"{FRAME_PREFIX}{name}" for name in scene.frames),
        )
    # REP 103: an optical frame says so in its name.
    optical = "optical" in agent.frame
    return (scene.stamps_s, T, optical) if known.all() else (scene.stamps_s[known], T[known], optical)


def places_at(scene: Scene, agent: Agent, stamps_s: np.ndarray) -> np.ndarray:
    """Positions (N, 3) alone of the robot, the camera or a track, at times in any order.

    Raises:
        DeclineError: NO_POSE.
    """
    if agent.track is not None:
        known_s, places = agent.track.stamps_s, agent.track.smoothed_positions
    else:
        known_s, known, _ = _known_poses(scene, agent)
        places = known[:, :3, 3].__getitem__
    rows = tf.rows_at(known_s, stamps_s)
    if rows is not None:
        return places(rows)
    hi = np.minimum(known_s.searchsorted(stamps_s), len(known_s) - 1)
    lo = np.maximum(hi - 1, 0)
    step = known_s[hi] - known_s[lo]
    share = np.clip((stamps_s - known_s[lo]) / np.where(step > 0, step, 1.0), 0.0, 1.0)[:, None]
    return places(lo) * (1 - share) + places(hi) * share


def interpolate(track: Track, stamps_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smoothed positions (N, 3), covariances (N, 3, 3) and the nearest sample's index (N,) of a track at `stamps_s`."""
    t = track.stamps_s
    rows = tf.rows_at(t, stamps_s)
    if rows is not None:
        nearest = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        return track.smoothed_positions(rows), track.smoothed_covariances(rows), nearest
    hi = np.clip(np.searchsorted(t, stamps_s), 1, max(len(t) - 1, 1))
    lo = hi - 1
    if len(t) == 1:
        hi = lo = np.zeros(len(stamps_s), int)
    step = np.where(t[hi] > t[lo], t[hi] - t[lo], 1.0)
    share = np.clip((stamps_s - t[lo]) / step, 0.0, 1.0)[:, None]
    # An answer at a stamp uses that very sample, without rounding.
    nearest = np.where(share[:, 0] >= 0.5, hi, lo)
    p = track.smoothed_positions(nearest)
    if ((share > 0.0) & (share < 1.0)).any():
        between = track.smoothed_positions(lo) * (1 - share) + track.smoothed_positions(hi) * share
        p = np.where((share > 0.0) & (share < 1.0), between, p)
    return p, track.smoothed_covariances(nearest), nearest


def motion(scene: Scene, agent: Agent, stamps_s: np.ndarray, axes: bool = False) -> Motion:
    """The agent's motion at `stamps_s` (T,).

    Args:
        axes: Whether its axes are needed; then an agent without orientation is declined.

    Raises:
        DeclineError: NO_POSE or NO_ORIENTATION.
    """
    n = len(stamps_s)
    if agent.track is None:
        if not axes and agent.name != "map":
            return Motion(stamps_s, places_at(scene, agent, stamps_s), np.zeros((n, 3, 3)), None, np.zeros(n))
        T = poses(scene, agent, stamps_s)
        return Motion(stamps_s, T[:, :3, 3], np.zeros((n, 3, 3)), T[:, :3, :3], np.zeros(n))
    positions, covariances, nearest = interpolate(agent.track, stamps_s)
    rotations, sigma = None, np.zeros(n)
    if axes:
        rotations, sigma = _track_axes(agent, stamps_s, nearest)
    return Motion(stamps_s, positions, covariances, rotations, sigma)


def _track_axes(agent: Agent, stamps_s, nearest) -> tuple[np.ndarray, np.ndarray]:
    track = agent.track
    turns = track.orientations_xyzw[nearest]
    if np.isfinite(turns).all() and (track.stamps_s[nearest] == stamps_s).all():
        return tf.matrices_from_quaternions(turns), track.orientation_sigmas_rad[nearest]
    known = np.flatnonzero(np.isfinite(track.orientations_xyzw).all(axis=1))
    if not len(known):
        raise DeclineError(
            "NO_ORIENTATION",
            f"which way {agent.label} faces is not known; use a detector that gives headings, or ask from the robot",
            ("robot", "camera"),
        )
    at = track.stamps_s[known]
    i = np.clip(np.searchsorted(at, stamps_s), 1, max(len(at) - 1, 1))
    i = np.where(np.abs(at[np.minimum(i, len(at) - 1)] - stamps_s) < np.abs(at[i - 1] - stamps_s), i, i - 1)
    nearest = known[np.clip(i, 0, len(at) - 1)]
    return tf.matrices_from_quaternions(track.orientations_xyzw[nearest]), track.orientation_sigmas_rad[nearest]


def velocity_at(stamps_s, positions_m, at_s: float, rules: RobustRules = DEFAULT_RULES):
    """Slope (k,) of the straight line through the positions (T, k) around one time, its span and number of samples."""
    if len(stamps_s) < 2:
        return np.full(positions_m.shape[1], np.nan), 0.0, 1
    return _slope_around(stamps_s, positions_m, at_s, _half_span_s(stamps_s, rules))


def _half_span_s(stamps_s, rules: RobustRules) -> float:
    return max(rules.speed_half_window_s, 1.5 * middle(stamps_s[1:] - stamps_s[:-1])) + 1e-9


def velocities(stamps_s, positions_m, at_s, rules: RobustRules = DEFAULT_RULES):
    """Slopes of straight lines through the positions around each time.

    Args:
        stamps_s: (T,) seconds of the samples. positions_m: (T, k). at_s: (N,) times asked for.

    Returns:
        Velocities (N, k), the spans (N,) in seconds and the sample counts (N,) that each slope rests on.
    """
    t, x = np.asarray(stamps_s, float), np.asarray(positions_m, float)
    if len(t) < 2:
        return np.full((len(at_s), x.shape[1]), np.nan), np.zeros(len(at_s)), np.ones(len(at_s), int)
    half = _half_span_s(t, rules)
    lo, hi = t.searchsorted(at_s - half, "left"), t.searchsorted(at_s + half, "right")
    few = hi - lo < 2
    if few.any():
        lo = np.where(few, np.clip(t.searchsorted(at_s) - 1, 0, len(t) - 2), lo)
        hi = np.where(few, lo + 2, hi)
    first = int(np.minimum.reduce(lo))
    near = slice(first, int(np.maximum.reduce(hi)))
    tc, xc = t[near] - t[first], x[near] - x[first]
    k = x.shape[1]
    # Sums of t, t^2, x and t x over all samples before each.
    sums = np.zeros((len(tc) + 1, 2 + 2 * k))
    sums[1:, 0], sums[1:, 1] = tc, tc * tc
    sums[1:, 2 : 2 + k], sums[1:, 2 + k :] = xc, tc[:, None] * xc
    sums = sums.cumsum(axis=0)
    sums = sums[hi - first] - sums[lo - first]
    counts = hi - lo
    ratio = sums[:, :1] / counts[:, None]
    spread = sums[:, 1:2] - sums[:, :1] * ratio
    slope = (sums[:, 2 + k :] - ratio * sums[:, 2 : 2 + k]) / np.where(spread > 1e-12, spread, 1.0)
    return slope, t[hi - 1] - t[lo], counts


def _slope_around(t, x, at_s: float, half_s: float) -> tuple[np.ndarray, float, int]:
    """`velocities` at one time: slope (k,), span in seconds and number of samples."""
    lo, hi = int(t.searchsorted(at_s - half_s, "left")), int(t.searchsorted(at_s + half_s, "right"))
    if hi - lo < 2:
        lo = min(max(int(t.searchsorted(at_s)) - 1, 0), len(t) - 2)
        hi = lo + 2
    tc = t[lo:hi] - t[lo]
    tc -= float(np.add.reduce(tc)) / (hi - lo)
    spread = float(tc @ tc)
    return tc @ (x[lo:hi] - x[lo]) / (spread if spread > 1e-12 else 1.0), float(t[hi - 1] - t[lo]), hi - lo
