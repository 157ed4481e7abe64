"""When a coordinate changes sign beyond noise: the candidates for a crossing or a passing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from dsr_core.reasoning.noise import chance_beyond
from dsr_core.reasoning.rules import RobustRules


@dataclass(frozen=True)
class ChangeOfSide:
    """A coordinate that goes from beyond its threshold on one side to beyond it on the other.

    Attributes:
        sign: +1 from negative to positive, -1 the other way.
        last: Index of the last sample on the first side. first: Index of the first one on the second side.
        at_s: Time of the change. sigma_s: its one-sigma.
        clearance: How far it came beyond the threshold on the nearer of its two sides.
        chance: Raw probability that it really was on both sides.
    """

    sign: int
    last: int
    first: int
    at_s: float
    sigma_s: float
    clearance: float
    chance: float


def changes_of_side(stamps_s, x, sigma, least: float, rules: RobustRules) -> list[ChangeOfSide]:
    """Changes of sign of x (T,) that is held beyond 3 sigma and `least` on both sides for the minimum duration."""
    t = stamps_s
    threshold = np.maximum(rules.sigmas * sigma, least)
    runs = [r for r in _runs(x, threshold) if t[r[2]] - t[r[1]] >= rules.min_duration_s - 1e-9]
    merged: list[list[int]] = []
    for run in runs:
        if merged and merged[-1][0] == run[0]:
            merged[-1][2] = run[2]
        else:
            merged.append(list(run))
    found = []
    for before, after in itertools.pairwise(merged):
        last, first = before[2], after[1]
        at_s, slope = _zero(t[last : first + 1], x[last : first + 1])
        sides = (slice(before[1], last + 1), slice(first, after[2] + 1))
        clearance = min(float((np.abs(x[s]) - threshold[s]).max()) for s in sides)
        chance = min(float(chance_beyond(np.abs(x[s]), least, sigma[s]).max()) for s in sides)
        sigma_s = min(float(sigma[last]) / max(abs(slope), 1e-12), float(t[-1] - t[0]))
        found.append(ChangeOfSide(after[0], last, first, at_s, sigma_s, clearance, chance))
    return found


def _runs(x, threshold) -> list[tuple[int, int, int]]:
    """(sign, first index, last index) of each run of samples beyond the threshold on one side; those within are left
    out."""
    known = np.flatnonzero(np.abs(x) > threshold)
    if not len(known):
        return []
    signs = np.sign(x[known])
    cuts = np.flatnonzero(np.diff(signs))
    starts, ends = np.concatenate([[0], cuts + 1]), np.concatenate([cuts, [len(known) - 1]])
    return [(int(signs[a]), int(known[a]), int(known[b])) for a, b in zip(starts, ends, strict=True)]


def _zero(t, x) -> tuple[float, float]:
    """Where the line through samples is zero, within their times, and its slope."""
    s = t - t.mean()
    slope = float(s @ x / (s @ s))
    at = float(t.mean() - x.mean() / slope) if slope * (x[-1] - x[0]) > 0 else float(t.mean())
    return min(max(at, float(t[0])), float(t[-1])), slope


def nearest_miss(stamps_s, x, sigma, least: float, rules: RobustRules) -> tuple[float, float, int]:
    """How nearly x (T,) without a change of side had one.

    Returns:
        Probability that it was on both sides, how far its nearer side stays short of the threshold, and the index of
        the sample that came nearest.
    """
    threshold = np.maximum(rules.sigmas * sigma, least)
    # A side counts when it is held: of half a second of samples all but the best few must be there.
    step = max((stamps_s[-1] - stamps_s[0]) / max(len(stamps_s) - 1, 1), 1e-9)
    held = min(round(rules.min_duration_s / step), len(stamps_s) - 1)
    best = None
    for sign in (1.0, -1.0):
        over = (sign * x - least) / np.maximum(sigma, 1e-12)
        k = int(np.argpartition(over, -1 - held)[-1 - held])
        if best is None or over[k] < best[0]:
            best = (float(over[k]), k, sign)
    over, k, sign = best
    chance = float(chance_beyond(sign * x[k], least, sigma[k]))
    return chance, abs(float(threshold[k] - sign * x[k])), k
