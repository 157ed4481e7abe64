"""Every constant of the robust rules, in one place; saved beside results and settable by configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dsr_core.errors import QueryError


@dataclass(frozen=True)
class RobustRules:
    """Constants of `rules="robust"`; all lengths are relative or come from the data, so the rules have no scale.

    Attributes:
        sigmas: A change counts when it exceeds this many sigma of itself ...
        fraction: ... and this fraction of the quantity (for motion: of the thing's length).
        min_duration_s: A state lasts at least this long.
        direction_threshold: A component of a unit vector beyond this names its side (72.5 degrees, as released).
        direction_hysteresis: A side, once named, is kept until the component falls below the threshold by this.
        noise_time_s: Errors closer in time than this are taken as one (sets the weight of a second of data).
        drift_time_s: Time constant of the slow part of the position error (labels and poses drift).
        drift_share: Share of the position variance that drifts; the rest is white.
        drift_growth_s: The drift's variance grows by its own size every so many seconds (odometry).
        split_cost: Price of one more segment, in units of squared sigma.
        speed_half_window_s: Velocities are slopes of a line over this long to either side.
        max_samples: More samples in a window than this are thinned out evenly.
        min_samples: Fewer samples than this are no evidence.
        uncertain_fraction: "Constant" is not claimed when the test could not see a change of this fraction.
        uncertain_angle_rad: A direction with more noise than this is not named.
    """

    sigmas: float = 3.0
    fraction: float = 0.05
    min_duration_s: float = 0.5
    direction_threshold: float = 0.3
    direction_hysteresis: float = 0.05
    noise_time_s: float = 0.5
    drift_time_s: float = 4.0
    drift_share: float = 0.8
    drift_growth_s: float = 10.0
    split_cost: float = 9.0
    speed_half_window_s: float = 0.5
    max_samples: int = 120
    min_samples: int = 3
    uncertain_fraction: float = 0.5
    uncertain_angle_rad: float = 0.5

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise QueryError(f"rules: {field.name} = {value!r} must be positive")


DEFAULT_RULES = RobustRules()
