"""Every constant of the robust rules, in one place; saved beside results and settable by configuration."""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

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
        least_confidence: An answer less likely to be right than this is declined (of several states: one expected to
            be right for less than this share of the time).
        uncertain_lengths: Standing still is not claimed when the test could not see a move of this many lengths.
        value_fraction: Where only a number is asked for, it counts as right within this fraction of itself.
        seen_s: A thing is in view from one observation to the next where these are at most twice this apart, and for
            this long after the last one.
        facing_rad: A thing faces another that is at most this far off its forward axis, and its back that far behind.
        turn_rad: A heading turns when it changes by at least this.
        steering_lengths: A steered vehicle turns only while it goes at least this many of its lengths a radian.
        crossing_rad: A path crosses a view at no less than this angle to the viewer's forward axis.
        same_way_rad: Two things go the same way when their headings are at most this far apart.
        beside_lengths: One thing passes another, or follows it, within this many lengths of the longer one to the side.
        following_rad: The one that is followed is at most this far off the follower's heading, and its heading, too.
        following_s: To follow takes at least this long.
        following_headway_s: Who follows needs at most this long to the place of the one that is followed ...
        following_speeds: ... and neither is more than this many times as fast as the other.
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
    least_confidence: float = 0.5
    uncertain_lengths: float = 3.0
    value_fraction: float = 0.1
    seen_s: float = 0.5
    facing_rad: float = math.pi / 4
    turn_rad: float = 0.2
    steering_lengths: float = 0.5
    crossing_rad: float = math.pi / 6
    same_way_rad: float = math.pi / 3
    beside_lengths: float = 2.0
    following_rad: float = math.pi / 4
    following_s: float = 2.0
    following_headway_s: float = 5.0
    following_speeds: float = 3.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not value > 0:
                raise QueryError(f"rules: {field.name} = {value!r} must be a positive number")
            if isinstance(field.default, int) and value != int(value):
                raise QueryError(f"rules: {field.name} = {value!r} must be a whole number")
            object.__setattr__(self, field.name, type(field.default)(value))

    @classmethod
    def from_dict(cls, data: Mapping) -> RobustRules:
        """Rules with some constants changed.

        Raises:
            QueryError: an unknown constant, or a value that is no positive number.
        """
        known = {field.name: field.default for field in fields(cls)}
        if not isinstance(data, Mapping) or set(data) - set(known):
            wrong = sorted(map(str, set(data) - set(known))) if isinstance(data, Mapping) else data
            raise QueryError(f"rules: {wrong!r} is not known; known constants: {', '.join(known)}")
        return cls(**data)

    @classmethod
    def from_yaml(cls, path: str | Path) -> RobustRules:
        """Rules from a YAML file of `name: value` lines; what it does not name keeps its default.

        Raises:
            QueryError: no such file, no YAML, or constants that cannot be used.
        """
        import yaml

        try:
            data = yaml.safe_load(Path(path).read_text()) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise QueryError(f"rules: {path} cannot be read ({error}); see config/rules.yaml for an example") from None
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, float]:
        """Every constant by name; saved beside results."""
        return asdict(self)


def constants() -> dict[str, str]:
    """What each constant means, by name, read off the docstring of `RobustRules`."""
    text = inspect.cleandoc(RobustRules.__doc__).partition("Attributes:")[2]
    found = re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: " ".join(words.split()) for name, words in found}


def as_yaml() -> str:
    """The defaults as a commented YAML file (config/rules.yaml)."""
    lines = ["# Constants of the robust rules: dsr ask --rules-file, or parameters rules.<name> of the memory node."]
    for name, meaning in constants().items():
        lines += ["", *textwrap.wrap(meaning, 116, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"{name}: {getattr(RobustRules, name)}")
    return "\n".join(lines) + "\n"


DEFAULT_RULES = RobustRules()
