"""Series -> states: the robust rules. Scale-free, rate-free and aware of noise (see `rules.RobustRules`).

A quantity changes when |change| > max(3 sigma, 5 %) over at least half a second. Trends are found by cutting the
series into the straight pieces that explain it best (`pieces`), then judging each piece; equal neighbours are merged
and judged again together. Sides and comparisons are thresholds with hysteresis (`hysteresis`).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np

from dsr_core.reasoning.answer import State
from dsr_core.reasoning.hysteresis import averaging, from_labels, hysteresis, mean_over_time, runs_of_zero
from dsr_core.reasoning.judgement import Judgement
from dsr_core.reasoning.noise import (
    ROUNDING,
    THREE_AXES,
    TINY,
    chance_beyond,
    chance_within,
    change_sigma,
    middle,
    smoothed_change_sigma,
    typical_sigma,
    white_sigma,
)
from dsr_core.reasoning.pieces import (
    Lines,
    PooledSigma,
    Verdict,
    merge_and_judge,
    split_at_turn,
    straight_pieces,
    trend_boundary,
)
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules


def trend_states(
    stamps_s, values, sigma=None, rules: RobustRules = DEFAULT_RULES, smoothed_s: float | None = None
) -> Judgement:
    """States "increasing", "constant", "decreasing" of a non-negative quantity.

    Args:
        stamps_s: (T,) increasing seconds.
        values: (T,) quantity.
        sigma: (T,) or number, one-sigma of a sample; None means exact.
        smoothed_s: Seconds over which a sample was averaged: errors closer than this are one and the same.
    """
    t, x = np.asarray(stamps_s, float), np.asarray(values, float)
    sigma = samples_of(sigma, t)
    size = np.abs(x)
    floor = 0.2 * float(np.maximum.reduce(size, initial=0.0))
    tolerance = np.maximum(np.maximum(size, floor) * (rules.fraction / rules.sigmas), sigma)
    lines, noise_of = Lines(t, x, tolerance), PooledSigma(sigma)
    pieces = straight_pieces(lines, rules)
    pieces = [part for piece in pieces for part in split_at_turn(x, *piece, rules.sigmas * tolerance, sigma, rules)]
    white = white_sigma(x, typical_sigma(sigma), rules)

    def judge(lo, hi):
        (mean,), (slope,), middle_s, span = lines.fit(lo, hi)
        change = slope * span
        reference = max(abs(mean), floor)
        if smoothed_s is None:
            noise = change_sigma(noise_of(lo, hi), span, hi - lo, rules, white)
        else:
            noise = smoothed_change_sigma(noise_of(lo, hi), span, smoothed_s)
        least = max(rules.fraction, ROUNDING) * reference
        threshold = max(rules.sigmas * noise, least)
        label, other = "constant", "increasing" if change > 0 else "decreasing"
        chance, certain = 0.0, True
        if abs(change) <= threshold:
            chance = chance_within(change, least, noise)
            certain = rules.sigmas * noise <= rules.uncertain_fraction * reference
        else:
            label, other = other, label
            chance = chance_beyond(abs(change), least, noise)
        return Verdict(label, abs(abs(change) - threshold), noise, certain, mean, slope, middle_s, chance, other)

    return merge_and_judge(
        t, pieces, judge, lambda p, q, cut: trend_boundary(t, x, sigma, p, q, cut), rules.min_duration_s
    )


def motion_states(stamps_s, positions_m, sigma_m=None, length_m=None, rules: RobustRules = DEFAULT_RULES) -> Judgement:
    """States "moving", "still" of positions in the world.

    Args:
        stamps_s: (T,) increasing seconds.
        positions_m: (T, 3) positions.
        sigma_m: (T,) or number, one-sigma of a position along its most uncertain axis.
        length_m: Length of the thing; 5 % of it is the least motion that counts. None or NaN: any motion beyond noise.
    """
    t, p = np.asarray(stamps_s, float), np.asarray(positions_m, float)
    sigma = samples_of(sigma_m, t)
    unsized = length_m is None or not math.isfinite(length_m)
    least = max(0.0 if unsized else rules.fraction * length_m, ROUNDING * float(np.abs(p).max(initial=0.0)))
    tolerance = np.maximum(sigma, least / rules.sigmas)
    lines, noise_of = Lines(t, p, tolerance), PooledSigma(sigma)
    pieces = straight_pieces(lines, rules)
    white = white_sigma(p, typical_sigma(sigma), rules)

    def judge(lo, hi):
        mean, slope, middle_s, span = lines.fit(lo, hi)
        change = math.hypot(*slope) * span
        sigma = change_sigma(noise_of(lo, hi), span, hi - lo, rules, white)
        noise = THREE_AXES * sigma
        threshold = max(rules.sigmas * noise, least)
        label, other, margin, certain = "moving", "still", abs(change - threshold), True
        # Noise across the motion makes a displacement longer: its square by twice that of an axis.
        net = math.sqrt(max(change**2 - 2.0 * sigma**2, 0.0))
        if change > threshold:
            chance = chance_beyond(net, least, sigma)
        else:
            label, other = other, label
            # Where noise hides 5 % of the length, or that is unknown, "still" says that it moves less than the noise.
            chance = chance_within(net, max(least, sigma), sigma)
            certain = unsized or rules.sigmas * noise <= rules.uncertain_lengths * length_m
        return Verdict(label, margin, noise, certain, mean[0], slope[0], middle_s, chance, other)

    return merge_and_judge(t, pieces, judge, None, rules.min_duration_s)


def samples_of(sigma, stamps_s: np.ndarray) -> np.ndarray:
    """A one-sigma for each sample (T,), of one a sample, one for all, or None (exact)."""
    sigma = np.asarray(0.0 if sigma is None else sigma, float)
    return sigma if sigma.shape == stamps_s.shape else np.broadcast_to(sigma, stamps_s.shape)


def rest_chance(stamps_s, positions_m, sigma_m, length_m=None, rules: RobustRules = DEFAULT_RULES) -> float:
    """Raw probability that a thing stands still all the time, 0 where it moves beyond noise: one line, no cutting.

    Args:
        stamps_s: (T,) seconds. positions_m: (T, 3). sigma_m: (T,). length_m: As in `motion_states`.
    """
    t, p = np.asarray(stamps_s, float), np.asarray(positions_m, float)
    tc, span = t - t.mean(), float(t[-1] - t[0])
    change = float(np.linalg.norm(tc @ p)) / max(float(tc @ tc), TINY) * span
    typical = typical_sigma(sigma_m)
    sigma = float(change_sigma(typical, span, len(t), rules, white_sigma(p, typical, rules)))
    least = sigma if length_m is None or not math.isfinite(length_m) else rules.fraction * length_m
    if change > max(rules.sigmas * THREE_AXES * sigma, least):
        return 0.0
    return float(chance_within(math.sqrt(max(change**2 - 2.0 * sigma**2, 0.0)), least, sigma))


def moved(stamps_s, positions_m, sigma_m, length_m=None, rules: RobustRules = DEFAULT_RULES) -> bool:
    """Whether positions (T, 3) left their place at any time: a quick summary of `motion_states`.

    Args:
        sigma_m: (T,), or the one-sigma of all of them.
    """
    t, p = np.asarray(stamps_s, float), np.asarray(positions_m, float)
    starts, counts, fewest = _parts(len(t))
    centres = np.add.reduceat(p, starts, axis=0) / counts[:, None]
    middles = np.add.reduceat(t, starts) / counts
    least = rules.fraction * length_m if length_m is not None and math.isfinite(length_m) else 0.0
    least = max(least, ROUNDING * float(np.maximum.reduce(np.abs(p), axis=None, initial=0.0)))
    sigma = sigma_m if isinstance(sigma_m, float) else typical_sigma(sigma_m)
    sigmas = rules.sigmas * THREE_AXES
    noise = change_sigma(sigma, float(middles[-1] - middles[0]), 2 * fewest, rules)
    if math.hypot(*(centres[-1] - centres[0]).tolist()) > max(sigmas * noise, least):
        return True
    if len(centres) > 1:  # no two of them are farther apart than the box around all, nor nearer in time than neighbours
        extent = np.maximum.reduce(centres) - np.minimum.reduce(centres)
        noise = change_sigma(sigma, float(np.minimum.reduce(middles[1:] - middles[:-1])), 2 * fewest, rules)
        if math.hypot(*extent.tolist()) <= max(sigmas * noise, least):
            return False
    noise = change_sigma(sigma, np.abs(middles - middles[:, None]), 2 * fewest, rules)
    between = centres - centres[:, None]
    distance = np.sqrt(np.einsum("ijk,ijk->ij", between, between))
    return bool((distance > np.maximum(sigmas * noise, least)).any())


@lru_cache(maxsize=1024)
def _parts(samples: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Where up to eight even parts of so many samples start, how many each has, and how many the shortest."""
    parts = min(8, max(samples // 3, 2), samples)
    starts = np.arange(parts) * samples // parts
    counts = np.diff(np.append(starts, samples))
    return starts, counts, int(counts.min())


def comparison_states(stamps_s, first, second, sigma=None, rules: RobustRules = DEFAULT_RULES) -> Judgement:
    """States "first_faster", "same", "second_faster" of two speeds.

    Where no instant alone is decisive, the means over such a stretch are compared.

    Args:
        stamps_s: (T,) increasing seconds.
        first: (T,) speed of the first.
        second: (T,) speed of the second.
        sigma: (T,) or number, one-sigma of the difference at one time.
    """
    t = np.asarray(stamps_s, float)
    a, b = np.asarray(first, float), np.asarray(second, float)
    sigma = samples_of(sigma, t).copy()
    difference, scale = a - b, np.maximum(np.abs(a), np.abs(b))
    measured, noise = difference.copy(), sigma.copy()
    scale = np.maximum(scale, 0.2 * scale.max(initial=0.0))
    threshold = np.maximum(np.maximum(rules.sigmas * sigma, rules.fraction * scale), ROUNDING * scale)
    # To name the faster one takes evidence; once named it stays so, forwards and backwards in time, until the speeds
    # themselves are alike: noise that hides a difference does not make them equal.
    alike = np.maximum(0.5 * rules.fraction * scale, ROUNDING * scale)
    sides = hysteresis(difference, threshold, alike)
    sides = np.where(sides != 0, sides, hysteresis(difference[::-1], threshold[::-1], alike[::-1])[::-1])
    for first, last in runs_of_zero(sides):  # what no instant shows, their mean over a while may
        run = slice(first, last + 1)
        mean, fewer = mean_over_time(t[run], difference[run]), averaging(t[run], rules)
        mean_threshold = max(rules.sigmas * middle(sigma[run]) * fewer, rules.fraction * float(scale[run].mean()), TINY)
        if fewer < 1.0 and abs(mean) > mean_threshold:
            sides[run] = int(np.sign(mean))
            difference[run], threshold[run], sigma[run] = mean, mean_threshold, sigma[run] * fewer
    names = {1: "first_faster", 0: "same", -1: "second_faster"}

    def chance(run: slice, label: str) -> tuple[float, str]:
        mean, least = mean_over_time(t[run], measured[run]), rules.fraction * float(scale[run].mean())
        spread = middle(noise[run]) * averaging(t[run], rules)
        if label == "same":
            return float(chance_within(mean, least, spread)), "first_faster" if mean > 0 else "second_faster"
        return float(chance_beyond(mean if label == "first_faster" else -mean, least, spread)), "same"

    slack = np.abs(np.abs(difference) - threshold)
    judged = from_labels(t, [names[int(s)] for s in sides], slack, sigma, rules, chance)
    # "Same" says something of two things at rest, or where the noise would let a fair difference be seen.
    unseen = rules.sigmas * middle(sigma) * averaging(t, rules)
    hidden = not sides.any() and unseen < float(scale.mean()) < unseen / rules.uncertain_fraction
    return replace(judged, certain=not hidden)


def direction_states(stamps_s, vectors, sigma_rad=None, rules: RobustRules = DEFAULT_RULES) -> Judgement:
    """States such as "front|left" of vectors in the viewer's frame (x forward, y left, z up).

    Args:
        stamps_s: (T,) increasing seconds.
        vectors: (T, 3) vectors of any length.
        sigma_rad: (T,) or number, one-sigma of the direction.
    """
    t, v = np.asarray(stamps_s, float), np.asarray(vectors, float)
    length = np.sqrt(np.einsum("ti,ti->t", v, v))
    unit = v / np.maximum(length, TINY)[:, None]
    sigma = samples_of(sigma_rad, t)
    leave = np.maximum(rules.direction_threshold - np.maximum(rules.direction_hysteresis, sigma), 0.05)
    enter = np.full(len(t), rules.direction_threshold)
    sides = [hysteresis(unit[:, i], enter, leave).tolist() for i in range(3)]
    labels = [_LABELS[s] for s in zip(*sides, strict=True)]
    # A unit vector has a component beyond 0.577, so only a vector of no length gives an empty label.
    slack = np.minimum.reduce(np.abs(np.abs(unit) - rules.direction_threshold), axis=1)
    spread = np.maximum(sigma, ROUNDING)[:, None]

    def chance(run: slice, label: str) -> tuple[float, str]:
        inner = _inner(t, run, rules)
        return _chance_of_sides(unit[inner], spread[inner], label, rules)

    judged = from_labels(t, labels, slack, sigma, rules, chance)
    certain = middle(sigma) <= rules.uncertain_angle_rad and bool(np.all(length > 0))
    return replace(judged, certain=certain)


def _inner(t, run: slice, rules: RobustRules) -> slice:
    """The samples of a state without its ends, where stretches too short for a state of their own belong to it."""
    start, end = t[run.start], t[run.stop - 1]
    edge = min(rules.min_duration_s, (end - start) / 4)
    lo, hi = int(t.searchsorted(start + edge - 1e-9)), int(t.searchsorted(end - edge + 1e-9))
    return slice(lo, hi) if hi > lo else run


def _chance_of_sides(unit, sigma, label: str, rules: RobustRules) -> tuple[float, str]:
    """Probability that a label holds for nine tenths of unit vectors (T, 3), and the label next to it."""
    signs = _signs(label)
    keep = rules.direction_threshold - rules.direction_hysteresis
    along = np.where(signs != 0, signs * unit - keep, rules.direction_threshold - np.abs(unit))
    axes = chance_beyond(along, 0.0, sigma)
    all_axes = axes[:, 0] * axes[:, 1] * axes[:, 2]
    tenth = len(all_axes) // 10
    worst = np.partition(all_axes, tenth)[tenth]
    toggled = signs
    for axis in np.minimum.reduce(axes).argsort().tolist():
        toggled = signs.copy()
        toggled[axis] = 0.0 if signs[axis] else math.copysign(1.0, middle(unit[:, axis]))
        if toggled.any():
            break
    return float(worst), direction_label(toggled)


_SIDES = (("front", "behind"), ("left", "right"), ("above", "below"))


def direction_label(sides) -> str:
    """The label of three signs (forward, left, up): (1, 1, 0) is "front|left"."""
    return "|".join(names[0] if s > 0 else names[1] for s, names in zip(sides, _SIDES, strict=True) if s)


#: The label of every three signs.
_LABELS = {signs: direction_label(signs) for signs in itertools.product((-1, 0, 1), repeat=3)}


@cache
def _signs(label: str) -> np.ndarray:
    """(3,) signs of a label, as floats."""
    names = label.split("|")
    signs = np.array([(a in names) - float(b in names) for a, b in _SIDES])
    signs.setflags(write=False)
    return signs


def robust_states(kind: str, *series, stamps_s=None, sigma=None, rules: RobustRules = DEFAULT_RULES) -> list[State]:
    """States of bare series, one sample a second where no stamps are given.

    Args:
        kind: distance, speed: one (T,); direction, orientation: one (T, 3); speed_comparison: two (T,);
            direction_prediction: one (3,).
        stamps_s: (T,) seconds.
        sigma: One-sigma of a sample: number or (T,), in the unit of the series (rad for directions).
    """
    if kind == "direction_prediction":
        vector = np.asarray(series[0], float).reshape(1, 3)
        return list(direction_states([0.0], vector, sigma, rules).states)
    t = np.arange(len(series[0]), dtype=float) if stamps_s is None else np.asarray(stamps_s, float)
    if kind in ("distance", "speed"):
        return list(trend_states(t, series[0], sigma, rules).states)
    if kind in ("direction", "orientation"):
        return list(direction_states(t, series[0], sigma, rules).states)
    if kind == "speed_comparison":
        return list(comparison_states(t, series[0], series[1], sigma, rules).states)
    raise ValueError(f"kind {kind!r} has no bare series")
