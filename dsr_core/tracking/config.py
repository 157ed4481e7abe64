"""Every constant of the tracker, in one place and checked once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.errors import TrackingError
from dsr_core.tracking.filter import MotionModels

#: Classes that detectors take for one another.
DEFAULT_LABEL_GROUPS = (
    ("car", "van", "truck", "bus", "vehicle"),
    ("person", "pedestrian", "cyclist", "bicyclist", "person_sitting"),
)


@dataclass(frozen=True)
class TrackerConfig:
    """Constants of the tracker.

    Attributes:
        cruise_density: Spectral density of the white acceleration of a steadily moving thing, m^2/s^3: its speed
            wanders by sqrt(cruise_density * t) in t seconds.
        manoeuvre_density: The same while it turns, brakes or speeds up.
        standing_density: Spectral density of the wandering position of a standing thing, m^2/s (slow drifts of the
            robot's pose and of the detector's boxes).
        standing_speed_mps: One-sigma of each velocity component of a standing thing.
        start_speed_mps: The same of a thing that has just begun to move.
        birth_speed_mps: The same of a thing seen once.
        stand_s: Mean time until a standing thing moves.
        move_s: Mean time until a moving thing stands.
        cruise_s: Mean time until a cruising thing manoeuvres.
        manoeuvre_s: Mean length of a manoeuvre.
        min_measurement_sigma_m: Added (as a variance) to every measurement.
        systematic_fraction: Part of the measurements' variance that stays the same over seconds; no filter removes it,
            so it is added to the reported covariance. Errors of PointRCNN on KITTI 0.1 s to 1 s apart correlate by 0.5
            to 0.3 along the ray, those of depth lifting of things of unknown size by more.
        systematic_s: Time over which that part changes.
        gate_chi2: Largest squared Mahalanobis distance (3 degrees of freedom) of a match.
        id_gate_factor: Factor of the gate where an upstream tracker's id agrees.
        new_things_per_m3: Density of new things and false alarms; a match must be likelier than a new thing.
        high_score: Observations with at least this score are matched first and may begin tracks.
        low_score: Observations below are ignored.
        label_penalty: Added to the squared distance where labels of one group differ.
        label_groups: Labels that may be matched with each other; others match their own only.
        size_log_sigma: One-sigma of the logarithm of a size's ratio.
        size_penalty_max: Largest penalty for differing sizes.
        id_bonus: Subtracted from the squared distance where an upstream tracker's id agrees (no evidence for a track).
        id_penalty: Added where both have an upstream id and these differ.
        confirm_hits: Hits (M) that make a track.
        confirm_window: Frames (N) in which they must fall.
        confirm_s: Least time between the first hit and the confirmation.
        confirm_evidence: Least log-likelihood ratio, summed over the hits, of one thing against unrelated false alarms
            at a density of new_things_per_m3.
        confirm_score: Least mean score of the hits at confirmation.
        sure_score: Hits of at least this score, each of them, make a track sooner: `sure_hits` of them, without a miss,
            in half of confirm_s and with half of confirm_evidence.
        sure_hits: Hits that make such a track.
        max_coast_s: A confirmed track survives this long without an observation.
        tentative_coast_s: The same for a track that is not confirmed yet.
        birth_exclusion: An observation nearer to a just matched track than this part of the thing's width is a
            duplicate and begins no track.
        heading_density: Random walk of the heading, rad^2/s.
        heading_vote_s: Time constant of the memory for front/back votes.
        heading_motion_weight: Weight of the motion's direction against the detector's votes (1) on front and back.
        heading_motion_speed_mps: Slowest motion that says something about the heading.
        size_memory: Number of observations over which a size is averaged.
        moving_speed_mps: Slowest speed that `TrackState.moving` calls moving.
        moving_sigmas: How many sigmas from standing still that speed must be.
        smoothing_lag_s: How much later data may correct a sample (`dsr_core.smoothing`); a second is as good as more.
        late_s: Observations of a slow lane (`Tracker.correct`) may be this much older than the newest frame.
        late_label_weight: Weight of the slow lane's names against the fast lane's, each as shares of its own votes.
        late_label_penalty: Added to the squared distance where the slow lane's label is of another group.
        late_box_weight: Subtracted from the squared distance where 2D boxes of the two lanes are one, and less down to
            an overlap of a half; below that up to late_label_penalty is added.
        late_birth_speed_mps: Of a thing that the slow lane alone has seen once: one-sigma of each velocity component.
        late_confirm_hits: Hits that make a track that the slow lane began, with half of confirm_evidence.
        late_misses: A track survives so many of the slow lane's intervals after its last late observation.
        max_tracks: Most tracks at a time; the weakest tentative ones give way.
    """

    cruise_density: float = 0.2
    manoeuvre_density: float = 8.0
    standing_density: float = 0.003
    standing_speed_mps: float = 0.03
    start_speed_mps: float = 1.5
    birth_speed_mps: float = 8.0
    stand_s: float = 10.0
    move_s: float = 10.0
    cruise_s: float = 3.0
    manoeuvre_s: float = 1.0
    min_measurement_sigma_m: float = 0.01
    systematic_fraction: float = 0.5
    systematic_s: float = 2.0
    gate_chi2: float = 16.0
    id_gate_factor: float = 25.0
    new_things_per_m3: float = 1e-3
    high_score: float = 0.5
    low_score: float = 0.1
    label_penalty: float = 4.0
    label_groups: tuple[tuple[str, ...], ...] = DEFAULT_LABEL_GROUPS
    size_log_sigma: float = 0.3
    size_penalty_max: float = 6.0
    id_bonus: float = 400.0
    id_penalty: float = 6.0
    confirm_hits: int = 3
    confirm_window: int = 5
    confirm_s: float = 0.2
    confirm_evidence: float = 8.0
    confirm_score: float = 0.5
    sure_score: float = 0.9
    sure_hits: int = 2
    max_coast_s: float = 3.0
    tentative_coast_s: float = 0.7
    birth_exclusion: float = 0.5
    heading_density: float = 0.05
    heading_vote_s: float = 1.5
    heading_motion_weight: float = 0.6
    heading_motion_speed_mps: float = 0.5
    size_memory: int = 30
    moving_speed_mps: float = 0.25
    moving_sigmas: float = 3.0
    smoothing_lag_s: float = 1.0
    late_s: float = 5.0
    late_label_weight: float = 3.0
    late_label_penalty: float = 9.0
    late_box_weight: float = 60.0
    late_birth_speed_mps: float = 2.0
    late_confirm_hits: int = 2
    late_misses: float = 3.0
    max_tracks: int = 1000

    def __post_init__(self):
        positive = """cruise_density manoeuvre_density standing_density standing_speed_mps start_speed_mps
            birth_speed_mps stand_s move_s cruise_s manoeuvre_s min_measurement_sigma_m systematic_s gate_chi2
            id_gate_factor new_things_per_m3 size_log_sigma confirm_hits confirm_window sure_hits max_coast_s
            tentative_coast_s heading_density heading_vote_s size_memory smoothing_lag_s late_s
            late_birth_speed_mps late_confirm_hits late_misses max_tracks"""
        self._check(positive, lambda value: value > 0, "must be positive")
        not_negative = """systematic_fraction label_penalty size_penalty_max id_bonus id_penalty confirm_s
            confirm_evidence birth_exclusion heading_motion_weight heading_motion_speed_mps moving_speed_mps
            moving_sigmas late_label_weight late_label_penalty late_box_weight"""
        self._check(not_negative, lambda value: value >= 0, "must not be negative")
        if not 0 <= self.low_score <= self.high_score <= 1 or not 0 <= self.confirm_score <= self.sure_score:
            raise TrackingError(
                f"tracker: 0 <= low_score ({self.low_score}) <= high_score ({self.high_score}) <= 1 and"
                f" 0 <= confirm_score ({self.confirm_score}) <= sure_score ({self.sure_score}) are needed"
            )
        if self.confirm_hits > self.confirm_window:
            raise TrackingError(
                f"tracker: confirm_hits {self.confirm_hits} cannot fall in confirm_window {self.confirm_window} frames"
            )

    def _check(self, names: str, good, demand: str) -> None:
        for name in names.split():
            if not good(getattr(self, name)):
                raise TrackingError(f"tracker: {name} = {getattr(self, name)} {demand}")

    def motion_models(self, birth_speed_mps: float | None = None) -> MotionModels:
        """The filter's models: standing, cruising, manoeuvring; for births at another speed where one is given."""
        stop, begin = 1 / self.move_s, 1 / self.stand_s
        return MotionModels(
            densities=np.array([self.standing_density, self.cruise_density, self.manoeuvre_density]),
            standing_speed_mps=self.standing_speed_mps,
            start_speed_mps=self.start_speed_mps,
            birth_speed_mps=self.birth_speed_mps if birth_speed_mps is None else birth_speed_mps,
            switch_per_s=np.array(
                [[0, begin / 2, begin / 2], [stop / 2, 0, 1 / self.cruise_s], [stop, 1 / self.manoeuvre_s, 0]]
            ),
        )
