"""The play of the simulated warehouse: who stands where, when, and which way they look (map frame, metres, seconds).

Nothing here renders; the truth, the visibility and the drifting odometry come from this file alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from dsr_core.geometry import transforms as tf

STEP_S = 0.01
#: Pose of the optical frame on the robot: 1.15 m high, looking ahead and 7 degrees down.
CAMERA_HEIGHT_M, CAMERA_AHEAD_M, CAMERA_PITCH_RAD = 1.15, 0.25, np.radians(7.0)


def camera_mount() -> np.ndarray:
    """(4, 4) T_base_camera of the simulated robot."""
    c, s = np.cos(CAMERA_PITCH_RAD), np.sin(CAMERA_PITCH_RAD)
    pitch = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return tf.make_transform(pitch @ tf.R_BODY_OPTICAL, [CAMERA_AHEAD_M, 0.0, CAMERA_HEIGHT_M])


class SmoothCurve:
    """Piecewise linear keyframes rounded by a Gaussian: constant speed between keys, no jerk at them.

    Args:
        keys: (n, 1 + d) rows of time in seconds and d values; values are held beyond the ends.
        smooth_s: Standard deviation of the rounding.
    """

    def __init__(self, keys, smooth_s: float = 0.3):
        keys = np.asarray(keys, float)
        grid = np.arange(keys[0, 0] - 3.0, keys[-1, 0] + 3.0 + STEP_S / 2, STEP_S)
        values = np.stack([np.interp(grid, keys[:, 0], column) for column in keys[:, 1:].T], axis=1)
        self._spline = CubicSpline(grid, gaussian_filter1d(values, smooth_s / STEP_S, axis=0, mode="nearest"))
        self._ends = grid[0], grid[-1]

    def __call__(self, at_s: np.ndarray) -> np.ndarray:
        """(T, d) values at `at_s` (T,)."""
        return self._spline(np.clip(at_s, *self._ends))


@dataclass(frozen=True)
class Actor:
    """One thing of the play.

    Attributes:
        id: Identity in the truth.
        label: What a detector calls it.
        size_lwh_m: (3,) box around it, the origin of its body at the middle of the box's floor.
        path: Keyframes (t, x, y).
        heading: Keyframes (t, yaw in degrees), counter-clockwise from +x.
        solid: Share of the box, by axis, that hides what is behind.
    """

    id: str
    label: str
    size_lwh_m: tuple[float, float, float]
    path: tuple[tuple[float, float, float], ...]
    heading: tuple[tuple[float, float], ...]
    solid: tuple[float, float, float] = (0.8, 0.8, 0.8)

    def poses(self, at_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Floor positions (T, 2) and headings (T,) in rad at `at_s` (T,)."""
        return SmoothCurve(self.path)(at_s), np.radians(SmoothCurve(self.heading, 0.25)(at_s)[:, 0])


ACTORS = (
    Actor(
        "1",
        "forklift",
        (2.6, 1.1, 2.15),
        ((1.0, 13.6, 2.7), (7.0, 9.9, 2.7), (12.6, 9.9, 2.7), (18.6, 15.8, 2.7), (31.0, 15.8, 2.7), (34.5, 14.3, 2.7)),
        ((8.8, 180.0), (12.2, 360.0)),
    ),
    Actor(
        "2",
        "person",
        (0.6, 0.62, 1.8),
        (
            (4.6, 8.2, 3.4),
            (10.6, 8.2, -2.0),
            (16.0, 8.2, -2.0),
            (23.5, 13.2, -2.75),
            (28.5, 13.2, -2.75),
            (31.5, 12.0, -2.4),
        ),
        (
            (3.2, 180.0),
            (4.4, 270.0),
            (11.2, 270.0),
            (12.8, 90.0),
            (15.4, 90.0),
            (16.3, -9.0),
            (24.3, -9.0),
            (25.8, -187.0),
        ),
        (0.35, 0.65, 0.95),
    ),
    Actor(
        "3",
        "pallet truck",
        (1.6, 0.62, 1.15),
        ((0.0, 13.6, -4.2), (1.0, 13.6, -4.2)),
        ((0.0, 125.0), (1.0, 125.0)),
    ),
    Actor(
        "4",
        "cart",
        (1.15, 0.75, 1.05),
        ((19.5, 14.2, -3.3), (25.4, 14.2, 1.7), (27.0, 14.2, 1.7), (30.6, 12.4, 1.7)),
        ((25.7, 90.0), (26.9, 180.0)),
    ),
)
HIDDEN_ID = "4"
PARKED_ID = "3"
SCRIPT_S = 40.0

#: The free-standing rack that hides the cart: x and y ranges and height.
ISLAND = ((12.0, 13.0), (-1.25, 0.65), 2.3)
#: Racks along the walls: the same, one a bay.
WALL_RACKS = tuple(
    ((x, x + 2.6), side, 2.9) for x in (1.0, 4.2, 7.4, 10.6, 13.8, 17.0) for side in ((4.6, 5.6), (-6.1, -5.1))
)

_ROBOT_SPEED = ((0.0, 0.5), (7.0, 0.5), (8.2, 0.0), (11.6, 0.0), (12.8, 0.2), (33.0, 0.2), (34.5, 0.0))
_ROBOT_HEADING = (
    *((0.0, 0.0), (1.5, 0.0), (4.5, 9.0), (7.5, -6.0), (13.0, -6.0), (16.5, 4.0)),
    *((19.5, 3.0), (24.0, -12.0), (28.5, -10.0), (33.5, -3.0)),
)


@dataclass(frozen=True, eq=False)
class RobotDrive:
    """The robot's true way and what its odometry believes, on a grid of `STEP_S`.

    Attributes:
        stamps_s: (N,) the grid.
        pose_map: (N, 3) true x, y, yaw in the map.
        pose_odom: (N, 3) the same by odometry: continuous, and drifting only while the robot moves.
    """

    stamps_s: np.ndarray
    pose_map: np.ndarray
    pose_odom: np.ndarray

    def T_map_base(self, at_s: np.ndarray) -> np.ndarray:
        """(T, 4, 4) true poses of the base."""
        return self._poses(self.pose_map, at_s)

    def T_odom_base(self, at_s: np.ndarray) -> np.ndarray:
        """(T, 4, 4) poses of the base by odometry."""
        return self._poses(self.pose_odom, at_s)

    def T_odom_map(self, at_s: np.ndarray) -> np.ndarray:
        """(T, 4, 4): where the true map lies in the drifting odom frame."""
        return self.T_odom_base(at_s) @ tf.invert(self.T_map_base(at_s))

    def _poses(self, pose: np.ndarray, at_s: np.ndarray) -> np.ndarray:
        x, y, yaw = (np.interp(at_s, self.stamps_s, column) for column in pose.T)
        rotation = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(yaw))
        return tf.make_transform(rotation, np.stack([x, y, np.zeros_like(x)], axis=-1))


def drive(duration_s: float, seed: int, drift: float = 1.0) -> RobotDrive:
    """The robot's drive; `drift` scales the odometry's errors (0 = perfect).

    The odometry mistakes a share of the speed (about 1 %) and a yaw rate in proportion to the speed (about
    0.2 degrees a metre), both slow Ornstein-Uhlenbeck walks, so that it drifts smoothly and stands still
    when the robot does.
    """
    stamps = np.arange(0.0, max(duration_s, SCRIPT_S) + 1.0 + STEP_S / 2, STEP_S)
    speed = SmoothCurve(_ROBOT_SPEED)(stamps)[:, 0]
    yaw = np.radians(SmoothCurve(_ROBOT_HEADING, 0.6)(stamps)[:, 0])
    rng = np.random.default_rng([seed, 101])
    decay = np.exp(-STEP_S / 8.0)
    walk = np.zeros((len(stamps), 2))
    kicks = rng.normal(0.0, np.sqrt(1.0 - decay**2), walk.shape)
    walk[0] = rng.normal(size=2)
    for i in range(1, len(stamps)):
        walk[i] = decay * walk[i - 1] + kicks[i]
    speed_odom = speed * (1.0 + drift * 0.01 * walk[:, 0])
    yaw_odom = yaw + drift * np.radians(0.2) * np.cumsum(walk[:, 1] * speed) * STEP_S

    def integrate(v, heading):
        steps = np.stack([v * np.cos(heading), v * np.sin(heading)], axis=1)
        middle = (steps[1:] + steps[:-1]) / 2 * STEP_S
        return np.column_stack([np.concatenate([np.zeros((1, 2)), np.cumsum(middle, axis=0)]), heading])

    return RobotDrive(stamps, integrate(speed, yaw), integrate(speed_odom, yaw_odom))
