"""The length of the way through noisy positions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dsr_core.reasoning.agents import velocities
from dsr_core.reasoning.noise import middle
from dsr_core.reasoning.rules import RobustRules


def way_length(stamps_s, positions_m, white_m: float, moving, rules: RobustRules) -> float:
    """Length in metres of the way through noisy positions (T, 3): the integral of the speed over the `moving` times.

    Noise makes the sum of the steps from sample to sample longer without bound. The speed is the slope of a line over
    as short a time as leaves it a tenth of noise, at most over a second; what noise adds to its square is taken off.

    Args:
        white_m: One-sigma of the part of the noise that is new at every sample. moving: (start, end) in seconds.
    """
    times = np.array(moving)
    velocity, spans, counts = velocities(stamps_s, positions_m, stamps_s, rules)
    speed, step_s = np.linalg.norm(velocity, axis=1), middle(np.diff(stamps_s))
    inside = ((stamps_s >= times[:, :1]) & (stamps_s <= times[:, 1:])).any(axis=0)
    typical = middle(speed[inside]) if inside.any() else float(speed.max())
    # The slope of n samples over L seconds has the sigma sqrt(12 / n) white / L, and n = L / step.
    least_s = (math.sqrt(12.0 * step_s) * white_m / max(0.1 * typical, 1e-300)) ** (2.0 / 3.0)
    half_s = rules.speed_half_window_s
    if least_s < 2.0 * half_s:
        half_s = max(math.ceil(least_s / 2 / step_s), 1) * step_s
        shorter = replace(rules, speed_half_window_s=half_s)
        velocity, spans, counts = velocities(stamps_s, positions_m, stamps_s, shorter)
    noise = 12.0 * (counts - 1) / (counts * (counts + 1.0)) * white_m**2 / np.maximum(spans, 1e-9) ** 2
    speed = np.sqrt(np.maximum(np.einsum("ti,ti->t", velocity, velocity) - 2.0 * noise, 0.0))
    way = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(stamps_s))])
    # The slopes smear the speed over the stops; two movements are at least the shortest state apart.
    smeared_s = min(half_s + step_s / 2, rules.min_duration_s / 2)
    starts, ends = times[:, 0] - smeared_s, times[:, 1] + smeared_s
    return float((np.interp(ends, stamps_s, way) - np.interp(starts, stamps_s, way)).sum())
