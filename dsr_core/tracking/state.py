"""What the tracker says: the newest state of a track, and the samples that a step adds to the memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class TrackState:
    """The newest state of one confirmed track.

    Attributes:
        id: Identity.
        label: Class name.
        score: Running mean of the detector's scores.
        position_world_m: (3,) centre.
        velocity_world_mps: (3,).
        covariance: (6, 6) of position and velocity.
        orientation_world_xyzw: (4,), NaN where unknown.
        orientation_sigma_rad: One-sigma of the heading, NaN where unknown.
        size_lwh_m: (3,), NaN where unknown.
        observed: False where the state is predicted.
        first_seen_s: Second of the first observation on the scene's clock.
        last_seen_s: Second of the newest observation.
        samples: Number of observations.
        moving: Moving in the world.
    """

    id: str
    label: str
    score: float
    position_world_m: np.ndarray
    velocity_world_mps: np.ndarray
    covariance: np.ndarray
    orientation_world_xyzw: np.ndarray
    orientation_sigma_rad: float
    size_lwh_m: np.ndarray
    observed: bool
    first_seen_s: float
    last_seen_s: float
    samples: int
    moving: bool


@dataclass(frozen=True, eq=False)
class Finals:
    """Samples that have become final: what later data say about them will not change any more.

    Attributes:
        ids: F identities.
        ages: How many samples before the track's newest one each is.
        positions_m: (3,) of each, smoothed.
        covariances: (6,) of each (`smoothing.packed`).
    """

    ids: list[str]
    ages: list[int]
    positions_m: list[np.ndarray]
    covariances: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class TrackSamples:
    """Samples of confirmed tracks, one row each; rows of one track are in time order.

    Attributes:
        ids: K identities.
        labels: K class names.
        stamps_s: (K,) seconds; earlier than the step's where a track has just been confirmed.
        positions_world_m: (K, 3) filtered centres.
        covariances: (K, 3, 3) of them.
        velocities: (K, 3).
        orientations_xyzw: (K, 4), NaN where unknown.
        orientation_sigmas_rad: (K,).
        sizes_lwh_m: (K, 3) as known at that time, NaN where unknown.
        boxes_px: (K, 4), NaN where not seen.
        scores: (K,) detector's score, 0 where not seen.
        observed: (K,) bool.
        state_covariances, walk, final_positions_m, final_covariances: (K, 21), (K, 2), (K, 3), (K, 6), see
            `dsr_core.smoothing.Smoothing`; NaN what is not final yet. All None where nothing is smoothed.
        smoothing_lag_s: How much later data may correct a sample.
        finals: Earlier samples that have become final.
    """

    ids: list[str]
    labels: list[str]
    stamps_s: np.ndarray
    positions_world_m: np.ndarray
    covariances: np.ndarray
    velocities: np.ndarray
    orientations_xyzw: np.ndarray
    orientation_sigmas_rad: np.ndarray
    sizes_lwh_m: np.ndarray
    boxes_px: np.ndarray
    scores: np.ndarray
    observed: np.ndarray
    state_covariances: np.ndarray | None = None
    walk: np.ndarray | None = None
    final_positions_m: np.ndarray | None = None
    final_covariances: np.ndarray | None = None
    smoothing_lag_s: float | None = None
    finals: Finals | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def joined(cls, parts: list[TrackSamples], finals: Finals | None = None) -> TrackSamples:
        """The samples of several parts, one after the other, with `finals` and none of the parts'."""
        if len(parts) == 1:
            return cls(**parts[0].__dict__ | {"finals": finals})
        fields = {}
        for name in cls.__dataclass_fields__:
            values = [getattr(p, name) for p in parts]
            if isinstance(values[0], list):
                fields[name] = [v for part in values for v in part]
            elif isinstance(values[0], np.ndarray):
                fields[name] = np.concatenate(values)
        return cls(**fields, smoothing_lag_s=parts[0].smoothing_lag_s, finals=finals)

    def take(self, index: np.ndarray) -> TrackSamples:
        """The samples at `index` (n,) int; without `finals`."""
        fields = {}
        for name, value in self.__dict__.items():
            if isinstance(value, list):
                fields[name] = [value[i] for i in index]
            elif isinstance(value, np.ndarray):
                fields[name] = value.take(index, axis=0)
        return TrackSamples(**fields, smoothing_lag_s=self.smoothing_lag_s)
