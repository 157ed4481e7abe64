"""Straight pieces of a series: where it is cut, what line each piece is, and how judged pieces become states.

The cut is optimal partitioning (Jackson et al. 2005, arXiv math/0309285) with one price a piece.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from dsr_core.reasoning.answer import State
from dsr_core.reasoning.judgement import Judgement
from dsr_core.reasoning.noise import TINY, middle, sigmas_of


def straight_pieces(t, x, tolerance, rules) -> list[tuple[int, int]]:
    """Index ranges [lo, hi) of the straight pieces that explain x (T, k) best at one `split_cost` a piece."""
    n = len(t)
    step = np.diff(t)
    limit = rules.noise_time_s
    weight = np.empty(n)
    weight[1:-1] = (np.minimum(step[1:], limit) + np.minimum(step[:-1], limit)) / 2
    weight[0], weight[-1] = (min(step[0], limit) / 2, min(step[-1], limit) / 2) if n > 1 else (1.0, 1.0)
    weight = np.maximum(weight / limit, TINY) / np.maximum(tolerance, TINY) ** 2
    weight *= middle(tolerance.clip(TINY)) ** 2
    price = rules.split_cost * middle(tolerance.clip(TINY)) ** 2
    tc, xc = t - t.mean(), x - x.mean(axis=0)
    S0, S1, S2 = running(weight), running(weight * tc), running(weight * tc**2)
    Y1, Y2, YT = (
        running(weight[:, None] * xc),
        running(weight[:, None] * xc**2),
        running((weight * tc)[:, None] * xc),
    )
    # cost[i, j] of samples i .. j-1 as one line: weighted residual of the least-squares fit
    m0 = S0[None, :] - S0[:, None]
    m0 = np.where(m0 > 0, m0, 1.0)
    m1, m2 = S1[None, :] - S1[:, None], S2[None, :] - S2[:, None]
    denominator = np.maximum(m2 - m1**2 / m0, TINY)
    cost = np.zeros((n + 1, n + 1))
    for k in range(x.shape[1]):
        y1, y2, yt = (a[None, :, k] - a[:, None, k] for a in (Y1, Y2, YT))
        cost += (y2 - y1**2 / m0) - (yt - m1 * y1 / m0) ** 2 / denominator
    cost = np.maximum(cost, 0.0) + price
    stamp_end = np.concatenate([t[:1], t])  # stamp of the last sample of a piece that ends before j
    too_short = stamp_end[None, 1:] - t[:, None] < rules.min_duration_s - 1e-9
    cost[:-1, 1:][too_short] = np.inf
    cost[0, n] = min(cost[0, n], 1e300)  # the whole window is always allowed
    best, origin = np.empty(n + 1), np.zeros(n + 1, int)
    best[0] = 0.0
    for j in range(1, n + 1):
        total = best[:j] + cost[:j, j]
        origin[j] = total.argmin()
        best[j] = total[origin[j]]
    if not np.isfinite(best[n]):
        return [(0, n)]
    pieces, j = [], n
    while j > 0:
        pieces.append((int(origin[j]), j))
        j = int(origin[j])
    return pieces[::-1]


def running(x: np.ndarray) -> np.ndarray:
    """Sums over the first axis of all that comes before each index, (T + 1, ...)."""
    return np.concatenate([np.zeros((1, *x.shape[1:])), np.cumsum(x, axis=0)])


class PooledSigma:
    """One-sigma of the samples of any range: that of their inverse-variance mean, as if all were equally good."""

    def __init__(self, sigma):
        # Running sums lose what is far below their largest part, so no sample counts as a billion others.
        least = max(1e-4 * float(sigma.max(initial=0.0)), TINY)
        self._certainty = running(1.0 / np.maximum(sigma, least) ** 2)

    def __call__(self, lo, hi):
        return np.sqrt((hi - lo) / (self._certainty[hi] - self._certainty[lo]))


class Lines:
    """Least-squares lines through any ranges of samples, weighted by their tolerance, from running sums."""

    def __init__(self, t, x, tolerance):
        weight = (middle(tolerance.clip(TINY)) / tolerance.clip(TINY)) ** 2
        self.t, self.offset_s, self.offset = t, t.mean(), x.mean(axis=0)
        tc, xc = t - self.offset_s, x - self.offset
        self.s0, self.s1, self.s2 = running(weight), running(weight * tc), running(weight * tc**2)
        self.sx, self.sxt = running(weight[:, None] * xc), running((weight * tc)[:, None] * xc)

    def fit(self, lo, hi):
        """Mean (N, k), slope (N, k), time of the mean (N,) and span (N,) of samples lo .. hi-1, for index arrays."""
        n = self.s0[hi] - self.s0[lo]
        s1, sx = self.s1[hi] - self.s1[lo], self.sx[hi] - self.sx[lo]
        spread = self.s2[hi] - self.s2[lo] - s1**2 / n
        slope = (self.sxt[hi] - self.sxt[lo] - s1[:, None] * sx / n[:, None]) / np.where(spread > TINY, spread, np.inf)[
            :, None
        ]
        return self.offset + sx / n[:, None], slope, self.offset_s + s1 / n, self.t[hi - 1] - self.t[lo]


@dataclass(frozen=True)
class Verdict:
    """What one straight piece was judged to be, and its line (first axis): mean at `middle_s`, slope.

    `chance` is the probability that the label is right, `other` the label it would have beyond its threshold.
    """

    label: str
    margin: float
    noise: float
    certain: bool
    mean: float
    slope: float
    middle_s: float
    chance: float
    other: str

    @property
    def margin_sigmas(self) -> float:
        return sigmas_of(self.margin, self.noise)


def verdicts_of(*columns) -> list[Verdict]:
    return [Verdict(*row) for row in zip(*(np.asarray(c).tolist() for c in columns), strict=True)]


def _without_slivers(states: list[State], min_duration_s: float) -> tuple[list[State], list[int]]:
    """Gives states that the exact boundaries left too short to their neighbours; also the index each one had."""
    states, index = list(states), list(range(len(states)))
    while len(states) > 1:
        k = min(range(len(states)), key=lambda i: states[i].end - states[i].start)
        if states[k].end - states[k].start >= min_duration_s - 1e-9:
            break
        sliver = states.pop(k)
        index.pop(k)
        if k == 0:
            states[0] = replace(states[0], start=sliver.start)
        elif k == len(states):
            states[-1] = replace(states[-1], end=sliver.end)
        elif states[k - 1].label == states[k].label:
            states[k - 1 : k + 1] = [State(states[k].label, states[k - 1].start, states[k].end)]
            index.pop(k)
        else:
            middle = (sliver.start + sliver.end) / 2
            states[k - 1 : k + 1] = [replace(states[k - 1], end=middle), replace(states[k], start=middle)]
    return states, index


def merge_and_judge(t, pieces, judge, boundary, min_duration_s) -> Judgement:
    """Judges pieces, merges equal neighbours, and judges merged "nothing changed" runs again as one."""
    bounds = np.array(pieces)
    judged = [(lo, hi, [v]) for (lo, hi), v in zip(pieces, judge(bounds[:, 0], bounds[:, 1]), strict=True)]
    while True:
        runs = [judged[0]]
        for lo, hi, verdicts in judged[1:]:
            if runs[-1][2][-1].label == verdicts[0].label:
                runs[-1] = (runs[-1][0], hi, runs[-1][2] + verdicts)
            else:
                runs.append((lo, hi, verdicts))
        judged, again = [], False
        for lo, hi, verdicts in runs:
            if len(verdicts) > 1 and verdicts[0].label in ("constant", "still"):
                whole = judge(np.array([lo]), np.array([hi]))
                again |= whole[0].label != verdicts[0].label
                verdicts = whole
            judged.append((lo, hi, verdicts))
        if not again:
            break
    cuts = [float(t[0])]
    for before, after in itertools.pairwise(judged):
        cut = (t[before[1] - 1] + t[after[0]]) / 2
        if boundary is not None:
            cut = boundary(before, after, cut)
        cuts.append(float(max(cut, cuts[-1])))
    cuts.append(float(t[-1]))
    states, index = _without_slivers(
        [State(run[2][0].label, cuts[i], cuts[i + 1]) for i, run in enumerate(judged)], min_duration_s
    )
    # A run of one label holds when its surest piece does; its weakest one says what would change the states.
    weakest = [min(judged[i][2], key=lambda v: (v.margin_sigmas, v.margin)) for i in index]
    chances = tuple(max(v.chance for v in judged[i][2]) for i in index)
    k = min(range(len(states)), key=lambda i: (weakest[i].margin_sigmas, weakest[i].margin))
    return Judgement(
        tuple(states),
        weakest[k].margin,
        math.prod(chances),
        all(v.certain for run in judged for v in run[2]),
        weakest[k].margin_sigmas,
        chances,
        tuple(v.other for v in weakest),
        k,
    )


def split_at_turn(x, lo: int, hi: int, threshold, sigma, rules) -> list[tuple[int, int]]:
    """Cuts a piece where the quantity turns inside it by more than a change that counts.

    A line through a short turn (a car that passes close by) is level although nothing is constant.
    """
    if hi - lo < 4:
        return [(lo, hi)]
    k = lo + 1 + int(np.abs(x[lo + 1 : hi - 1] - (x[lo] + x[hi - 1]) / 2).argmax())
    needed = max(threshold[k], 1.5 * rules.sigmas * sigma[k])
    turned = min(abs(x[k] - x[lo]), abs(x[k] - x[hi - 1])) > needed and (x[k] - x[lo]) * (x[k] - x[hi - 1]) > 0
    return [(lo, k + 1), (k, hi)] if turned else [(lo, hi)]


def trend_boundary(t, x, sigma, before, after, cut: float) -> float:
    """The turning point between opposite trends; else where the two lines meet."""
    if "constant" in (before[2][-1].label, after[2][0].label):
        return _where_lines_cross(t, before, after, cut)
    near = np.flatnonzero(np.abs(t - cut) <= 0.75)
    near = near[(near >= before[0]) & (near < after[1])]
    if len(near) < 3:
        return cut
    sign = 1.0 if after[2][0].label == "increasing" else -1.0
    lowest = (sign * x[near]).min()
    bottom = near[sign * x[near] <= lowest + 2.0 * sigma[near]]
    if len(bottom) > 2:  # noise hides the very lowest sample; the middle of the bottom does not move with it
        return float(t[bottom].mean())
    k = int(np.clip(near[(sign * x[near]).argmin()], 1, len(t) - 2))
    left, middle, right = sign * x[k - 1 : k + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
    return float(t[k] + np.clip(shift, -0.5, 0.5) * (t[k + 1] - t[k - 1]) / 2)


def _where_lines_cross(t, before, after, cut: float) -> float:
    """Time at which the last line of one run meets the first line of the next, if that is near the cut."""
    p, q = before[2][-1], after[2][0]
    if abs(p.slope - q.slope) < TINY:
        return cut
    # p.mean + p.slope (s - p.middle_s) = q.mean + q.slope (s - q.middle_s)
    crossing = (q.mean - q.slope * q.middle_s - p.mean + p.slope * p.middle_s) / (p.slope - q.slope)
    reach = max(0.25, 1.5 * (t[after[0]] - t[before[1] - 1]))
    return crossing if abs(crossing - cut) <= reach else cut
