"""How large the noise of a sample, of a change and of a decision is."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules

#: Stands for zero where a number is divided by.
TINY = 1e-12
#: The length of a 3D vector of noise exceeds 3.76 sigma as rarely as one number exceeds 3 (chi distribution).
THREE_AXES = 3.76 / 3.0
#: Relative to the size of the numbers: what is below this is rounding, not a change.
ROUNDING = 1e-9
#: No probability that is told is surer than this: what is not modelled (wrong labels, swapped ids) is never rarer.
SUREST = 0.999
#: Raw probabilities before calibration keep this much of the tail, about six sigma.
RAW_SUREST = 1.0 - 1e-9


def middle(values: np.ndarray) -> float:
    """The median of (T,) values, the upper one of two; several times faster than `np.median` on short series."""
    half = len(values) // 2
    ordered = values.copy()
    ordered.partition(half)
    return float(ordered[half])


def white_sigma(values: np.ndarray, sigma: float, rules: RobustRules = DEFAULT_RULES) -> float:
    """One-sigma of the part of the noise that is new at every sample.

    It is read off the second differences, whose variance is six times the white one whatever the steady motion; where
    motion itself bends faster than that, or there are few samples, the white share of `sigma` is the upper bound.

    Args:
        values: (T,) or (T, k) evenly sampled series. sigma: one-sigma of a sample, all its noise.
    """
    bound = sigma * math.sqrt(1.0 - rules.drift_share)
    if len(values) < 8:
        return bound
    bends = np.abs(values[2:] - 2.0 * values[1:-1] + values[:-2])
    half = len(bends) // 2
    largest = float(np.partition(bends, half, axis=0)[half].max())
    # 1.4826 turns the median of |bends| into their sigma, the square root of six that into a sample's.
    return min(bound, largest * 1.4826 / math.sqrt(6.0))


def typical_sigma(sigma: np.ndarray) -> float:
    """One number for the noise of samples (T,) of which a few may be much worse (predicted while not seen)."""
    return middle(sigma)


def change_sigma(sigma, span_s, samples, rules: RobustRules = DEFAULT_RULES, white=None):
    """One-sigma of the change of a fitted line over `span_s` seconds.

    The white part averages out over the samples (variance of a slope: 12 s^2 / (n L^2)); the drifting part is an
    Ornstein-Uhlenbeck error, whose difference over L has the variance 2 s^2 (1 - exp(-L / tau)), plus slow growth.

    Args:
        sigma: One-sigma of one sample. span_s: L. samples: number of samples in the span. All broadcast.
        white: One-sigma of the white part; None takes its share of `sigma`.
    """
    white_variance = (1.0 - rules.drift_share) * sigma**2 if white is None else white**2
    if isinstance(sigma, float) and isinstance(span_s, float) and isinstance(samples, (int, float)):
        averaged = min(12.0 / max(samples, 2), 2.0) * white_variance
        drift = -2.0 * math.expm1(-span_s / rules.drift_time_s) + span_s / rules.drift_growth_s
        return math.sqrt(averaged + rules.drift_share * drift * sigma**2)
    averaged = np.minimum(12.0 / np.maximum(samples, 2), 2.0) * white_variance
    drift = 2.0 * -np.expm1(-span_s / rules.drift_time_s) + span_s / rules.drift_growth_s
    return np.sqrt(averaged + rules.drift_share * drift * sigma**2)


def sigmas_of(margin: float, sigma: float) -> float:
    """A margin in units of its one-sigma noise, inf where there is as good as none."""
    return margin / sigma if sigma > 1e-6 * margin else math.inf


def smoothed_change_sigma(sigma, span_s, smoothed_s):
    """One-sigma of the change of a fitted line over `span_s` seconds of samples averaged over `smoothed_s` each.

    Only span / smoothed_s + 1 of them are independent: two ends differ by twice their variance, more average out
    (variance of a slope, as in `change_sigma`).
    """
    if isinstance(span_s, float):
        return math.sqrt(min(12.0 / (span_s / smoothed_s + 1.0), 2.0)) * sigma
    return np.sqrt(np.minimum(12.0 / (span_s / smoothed_s + 1.0), 2.0)) * sigma


def probability(margin: float, sigma: float) -> float:
    """Probability that noise of this sigma does not carry a value over a threshold `margin` away."""
    if sigma <= 0:
        return SUREST
    return min(0.5 * (1.0 + math.erf(margin / sigma / math.sqrt(2.0))), SUREST)


def _normal(x: float) -> float:
    """Cumulative normal distribution."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _raw_chance(x: float) -> float:
    return min(max(x, 1.0 - RAW_SUREST), RAW_SUREST)


def chance_beyond(value, threshold, sigma):
    """Posterior probability that a true number exceeds a threshold, given what was measured (a flat prior).

    Args:
        value: Measured numbers. threshold: What they must exceed. sigma: One-sigma of the numbers. All broadcast.

    Returns:
        Probabilities within `1 - RAW_SUREST` and `RAW_SUREST`; 0.5 at the threshold.
    """
    if isinstance(value, float) and isinstance(sigma, float):
        return _raw_chance(_normal((value - threshold) / max(sigma, TINY)))
    gap = np.asarray(value, float) - threshold
    # Where nothing is noisy a number is beyond or it is not; a tiny sigma keeps the quotient finite.
    chance = ndtr(gap / np.maximum(sigma, TINY))
    return np.minimum(np.maximum(chance, 1.0 - RAW_SUREST), RAW_SUREST)


def chance_within(value, threshold, sigma):
    """Posterior probability that the size of a true number is at most a threshold: the noise must be below it too."""
    if isinstance(value, float) and isinstance(sigma, float):
        sigma = max(sigma, TINY)
        return _raw_chance(_normal((threshold - value) / sigma) - _normal((-threshold - value) / sigma))
    sigma = np.maximum(sigma, TINY)
    inside = ndtr((threshold - np.asarray(value, float)) / sigma) - ndtr(
        (-threshold - np.asarray(value, float)) / sigma
    )
    return np.minimum(np.maximum(inside, 1.0 - RAW_SUREST), RAW_SUREST)
