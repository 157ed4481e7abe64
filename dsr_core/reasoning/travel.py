"""How a thing moved over a short stretch of time, and whether it did."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.noise import ROUNDING, THREE_AXES, chance_beyond, change_sigma, typical_sigma, white_sigma
from dsr_core.reasoning.quantities import Series
from dsr_core.reasoning.rules import RobustRules


@dataclass(frozen=True, eq=False)
class Travel:
    """A thing's mean motion over a short stretch of time.

    Attributes:
        velocity_mps: (3,). sigma_mps: one-sigma of one of its components.
        moves: Whether the displacement is beyond noise and 5 % of its length.
        chance: Raw probability that it moves. slack_m: distance of the displacement from the threshold, negative below.
    """

    velocity_mps: np.ndarray
    sigma_mps: float
    moves: bool
    chance: float
    slack_m: float


def travel_over(place: Series, first: int, last: int, length_m: float | None, rules: RobustRules) -> Travel:
    """Mean motion of a thing over the samples `first` to `last` and half a second to either side of them."""
    t = place.stamps_s
    half = rules.speed_half_window_s
    lo = int(np.searchsorted(t, t[first] - half - 1e-9))
    hi = int(np.searchsorted(t, t[last] + half + 1e-9))
    lo, hi = max(min(lo, len(t) - 2), 0), max(hi, min(lo + 2, len(t)))
    s, x = t[lo:hi] - t[lo:hi].mean(), place.values[lo:hi]
    velocity = s @ (x - x[0]) / max(float(s @ s), 1e-12)
    span = float(t[hi - 1] - t[lo])
    sigma = typical_sigma(place.sigma[lo:hi])
    noise = float(change_sigma(sigma, span, hi - lo, rules, white_sigma(x, sigma, rules)))
    least = rules.fraction * length_m if length_m is not None and math.isfinite(length_m) else 0.0
    least = max(least, ROUNDING * float(np.abs(x).max()))
    change = float(np.linalg.norm(velocity)) * span
    threshold = max(rules.sigmas * THREE_AXES * noise, least)
    net = math.sqrt(max(change**2 - 2.0 * noise**2, 0.0))
    return Travel(
        velocity,
        noise / max(span, 1e-9),
        change > threshold,
        float(chance_beyond(net, least, noise)),
        change - threshold,
    )


def least_length(rules: RobustRules, agent: Agent, places: np.ndarray) -> float:
    """The least length that counts for a thing: 5 % of its own, and no rounding."""
    length = agent.length_m
    own = rules.fraction * length if length is not None and math.isfinite(length) else 0.0
    return max(own, ROUNDING * float(np.abs(places).max(initial=0.0)))
