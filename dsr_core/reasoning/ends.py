"""Values of a noisy series at one time and at a window's two ends, read off short straight lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.noise import change_sigma, middle
from dsr_core.reasoning.rules import RobustRules
from dsr_core.scene import Scene

#: By degrees of freedom.
_MEDIAN_CHI_SQUARE = {1: 0.4549, 2: 1.3863, 3: 2.366}


@dataclass(frozen=True, eq=False)
class Reading:
    """A series at one time.

    Attributes:
        value: (k,) the series there.
        sigma: One-sigma of one component of `value`.
        sample_sigma: One-sigma of a sample near it.
        white_share: Variance of `value` that is new at every sample, as a share of that of one sample.
    """

    value: np.ndarray
    sigma: float
    sample_sigma: float
    white_share: float


@dataclass(frozen=True, eq=False)
class Change:
    """A series at a window's start and end; `sigma` is the one-sigma of a component of their difference."""

    first: Reading
    last: Reading
    sigma: float

    @property
    def vector(self) -> np.ndarray:
        """(k,) the difference, end minus start."""
        return self.last.value - self.first.value


def stamps_near(scene: Scene, agents: list[Agent], times_s: tuple[float, ...], rules: RobustRules) -> np.ndarray:
    """Stamps (T,) of the first agent that is a track (else of the scene) near each time, between the first and last.

    A window may be thinned out (`window.stamps_in`); its ends are not.
    """
    track = next((a.track for a in agents if a.track is not None), None)
    stamps = scene.stamps_s if track is None else track.stamps_s
    reach, start, end = rules.speed_half_window_s + 1e-9, min(times_s) - 1e-9, max(times_s) + 1e-9
    if start + 2e-9 >= end:
        return stamps[stamps.searchsorted(start - reach) : stamps.searchsorted(end + reach)]
    a, b, c, d = stamps.searchsorted((start, start + reach, end - reach, end)).tolist()
    return stamps[a:d] if c <= b else np.concatenate([stamps[a:b], stamps[c:d]])


def read_at(stamps_s, values, sigma, at_s: float, white: float, rules: RobustRules) -> Reading:
    """Reads a series at a time off the line through the half second of samples nearest to it.

    The line averages noise out but cuts the corners of real motion, so it may leave the sample at that time by no more
    than noise would explain; of an exact series the sample itself is taken.

    Args:
        stamps_s: (T,) seconds. values: (T, k). sigma: (T,) one-sigma of a sample. at_s: time asked for.
        white: One-sigma of the part of the noise that is new at every sample (`white_of`).
    """
    t, x = stamps_s, values
    hi = min(int(t.searchsorted(at_s)), len(t) - 1)
    lo = max(hi - 1, 0) if t[hi] > at_s else hi
    share = 0.0 if hi == lo else float((at_s - t[lo]) / (t[hi] - t[lo]))
    sample = x[lo] if share == 0.0 else x[lo] + share * (x[hi] - x[lo])
    here = float(sigma[lo] if share < 0.5 else sigma[hi])
    span, first_s, last_s = rules.speed_half_window_s, float(t[0]), float(t[-1])
    start = min(max(at_s - span / 2, first_s), max(last_s - span, first_s))
    lo, hi = int(t.searchsorted(start - 1e-9)), int(t.searchsorted(start + span + 1e-9))
    if hi - lo < 3 or not white > 0:
        return Reading(sample, math.hypot(white, math.sqrt(rules.drift_share) * here), here, 1.0)
    near, sigma = x[lo:hi], sigma[lo:hi]
    best = float(np.minimum.reduce(sigma))
    weight = (best / sigma) ** 2 if best > 0 else np.ones(hi - lo)
    total = float(np.add.reduce(weight))
    tc = t[lo:hi] - at_s
    mean_s, mean = float(weight @ tc) / total, weight @ near / total
    tc -= mean_s
    weighted = weight * tc
    spread = float(weighted @ tc)
    slope = weighted @ near / spread
    shift = mean - slope * mean_s - sample
    length = math.sqrt(shift @ shift)
    value = sample + shift * min(1.0, rules.sigmas * white / max(length, 1e-300))
    share, typical = min(1.0 / total + mean_s**2 / spread, 1.0), middle(sigma)
    return Reading(value, math.sqrt(share * white**2 + rules.drift_share * typical**2), typical, share)


def white_of(values, sigma, rules: RobustRules) -> float:
    """One-sigma of a component of the white noise of a series (T, k <= 3) with samples of `sigma` (T,)."""
    return white_at_most(values, middle(sigma) * math.sqrt(1.0 - rules.drift_share))


def white_at_most(values, most: float) -> float:
    """One-sigma of a component of the noise that is new at every sample, at most `most`.

    As `noise.white_sigma`, but of vectors it is read off the lengths of the second differences, which no frame
    changes: their squares are 6 variances times a chi-square of as many degrees of freedom, whose median is known.

    Args:
        values: (T, k) evenly sampled series, k at most 3.
    """
    if len(values) < 8:
        return most
    bends = values[2:] - 2.0 * values[1:-1] + values[:-2]
    squares = np.einsum("ti,ti->t", bends, bends)
    return min(most, math.sqrt(middle(squares) / (6.0 * _MEDIAN_CHI_SQUARE[values.shape[1]])))


def change_between(stamps_s, values, sigma, start_s: float, end_s: float, rules: RobustRules) -> Change:
    """Reads a series (T, k) at two times; the slow part of its noise is partly the same at both (`change_sigma`)."""
    white = white_of(values, sigma, rules)
    first, last = (read_at(stamps_s, values, sigma, at, white, rules) for at in (start_s, end_s))
    sample_sigma = math.sqrt((first.sample_sigma**2 + last.sample_sigma**2) / 2)
    # `change_sigma` takes 12 / samples of the white variance: the ends of two lines have the sum of their shares.
    samples = 12.0 / (first.white_share + last.white_share)
    return Change(first, last, float(change_sigma(sample_sigma, end_s - start_s, samples, rules, white)))
