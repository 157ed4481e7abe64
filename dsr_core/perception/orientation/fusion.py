"""All that is known about which way each thing faces, over sources and time: networks, body yaw, motion.

Each thing has a belief over all headings in the world (`circle.CircularFilter`). A network's whole distribution goes
into it, so that no frame decides alone and front and back may stay open until motion or a clearer view tells.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.perception.orientation.circle import BINS, CircularFilter
from dsr_core.perception.orientation.protocol import OrientationEstimate


@dataclass(frozen=True)
class HeadingConfig:
    """Constants of the fusion.

    Attributes:
        turn_sigma_rad_s: One-sigma of an unforeseen turn in a second.
        outlier: Share of measurements that say nothing.
        correlation_s: Measurements of one kind within this time show the same, and count for one.
        velocity_flip: Probability that a thing goes backward.
        max_sigma_rad: A belief broader than this gives no heading.
        max_age_s: A thing without measurements for longer is forgotten.
    """

    turn_sigma_rad_s: float = 0.6
    outlier: float = 0.05
    correlation_s: float = 0.5
    velocity_flip: float = 0.05
    max_sigma_rad: float = 1.0
    max_age_s: float = 30.0

    def __post_init__(self):
        if not (self.correlation_s >= 0 and self.max_sigma_rad > 0 and self.max_age_s > 0):
            raise GeometryError(f"{self}: times and max_sigma_rad must be positive")
        if not 0 <= self.velocity_flip < 0.5:
            raise GeometryError(f"velocity_flip = {self.velocity_flip} must be in [0, 0.5)")


class HeadingFusion:
    """Headings about the world's z axis by the identity of the thing.

    Args:
        config: Constants.
    """

    def __init__(self, config: HeadingConfig = HeadingConfig()):
        self.config = config
        self._filters: dict[str, CircularFilter] = {}
        self._stamps_s: dict[str, float] = {}
        self._used_s: dict[str, dict[str, float]] = {}

    def add_view(
        self, id: str, stamp_s: float, estimate: OrientationEstimate, T_world_camera: np.ndarray, kind: str = "view"
    ) -> None:
        """Takes up what an image says.

        Args:
            id: Identity of the thing.
            stamp_s: Second of the image.
            estimate: From a network or a body's landmarks.
            T_world_camera: (4, 4) optical frame to a world whose z axis is up.
            kind: What gave the estimate: those of one kind repeat each other, those of two are independent.

        Raises:
            GeometryError: `stamp_s` lies before that of an earlier measurement of this thing.
        """
        facing = T_world_camera[:3, :3] @ tf.matrices_from_quaternions(estimate.orientation_camera_xyzw)[:, 0]
        level = np.hypot(facing[0], facing[1])
        if level < 1e-6:
            return  # faces straight up or down
        yaw = float(np.arctan2(facing[1], facing[0]))
        if estimate.density is None:
            density = None
        else:
            degrees = np.rad2deg(yaw) + np.arange(BINS)
            low = np.floor(degrees).astype(int)
            part = degrees - low
            density = np.zeros(BINS)
            np.add.at(density, low % BINS, estimate.density * (1 - part))
            np.add.at(density, (low + 1) % BINS, estimate.density * part)
        weight = estimate.confidence * self._independent(id, kind, stamp_s)
        belief = self._at(id, stamp_s)
        if weight <= 0:
            return
        if density is None:
            belief.update(yaw, float(estimate.sigma_rad / level / np.sqrt(weight)))
        else:
            # A density to a power below one weighs as that part of a measurement.
            powered = np.maximum(density, 1e-12) ** weight
            belief.update_density(powered / powered.sum())

    def add_velocity(self, id: str, stamp_s: float, heading_rad: float, sigma_rad: float) -> None:
        """Takes up a heading from motion (`velocity.heading_from_velocity`); NaN says nothing.

        Raises:
            GeometryError: `stamp_s` lies before that of an earlier measurement of this thing.
        """
        if not (np.isfinite(heading_rad) and np.isfinite(sigma_rad)):
            return
        weight = self._independent(id, "velocity", stamp_s)
        belief = self._at(id, stamp_s)
        if weight > 0:
            belief.update(float(heading_rad), float(sigma_rad / np.sqrt(weight)), self.config.velocity_flip)

    def heading(self, id: str, stamp_s: float) -> tuple[float, float] | None:
        """Heading and one-sigma (rad) of a thing at a second that is not before its last measurement, or None.

        Raises:
            GeometryError: `stamp_s` lies before the thing's last measurement.
        """
        if id not in self._filters:
            return None
        belief = copy(self._filters[id])  # asking does not change what is known
        belief.predict(stamp_s - self._stamps_s[id])
        angle, sigma = belief.estimate()
        return (angle, sigma) if sigma <= self.config.max_sigma_rad else None

    def forget(self, stamp_s: float) -> None:
        """Drops things without measurements for `max_age_s`; call it now and then, so that memory does not grow."""
        for id in [i for i, last in self._stamps_s.items() if stamp_s - last > self.config.max_age_s]:
            for kept in (self._filters, self._stamps_s, self._used_s):
                kept.pop(id, None)

    def _independent(self, id: str, kind: str, stamp_s: float) -> float:
        """How much of a measurement is news: all of it after `correlation_s`, nothing at the same time."""
        used = self._used_s.setdefault(id, {})
        gap = stamp_s - used.get(kind, -np.inf)
        used[kind] = stamp_s
        return 1.0 if gap >= self.config.correlation_s else max(gap, 0.0) / self.config.correlation_s

    def _at(self, id: str, stamp_s: float) -> CircularFilter:
        """The belief about a thing, carried on to a second."""
        if id not in self._filters:
            self._filters[id] = CircularFilter(self.config.turn_sigma_rad_s, self.config.outlier)
            self._stamps_s[id] = stamp_s
        self._filters[id].predict(stamp_s - self._stamps_s[id])
        self._stamps_s[id] = stamp_s
        return self._filters[id]
