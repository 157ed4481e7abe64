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

#: So many ends of pieces are looked at together.
_ROWS = 16


class Lines:
    """Least-squares lines through any ranges of samples, weighted by their tolerance.

    Args:
        stamps_s: (T,) increasing seconds. x: (T,) or (T, k). tolerance: (T,) size of the deviations that do not count.
    """

    def __init__(self, stamps_s, x, tolerance):
        n, x = len(stamps_s), x.reshape(len(stamps_s), -1)
        self.t, self.offset_s, self.offset = stamps_s, float(np.add.reduce(stamps_s)) / n, np.add.reduce(x) / n
        floored = np.maximum(tolerance, TINY)
        self.typical = middle(floored)
        self.weight = (self.typical / floored) ** 2
        # What lines are fitted from: 1, t, x.
        self.basis = np.empty((n, 2 + x.shape[1]))
        self.basis[:, 0] = 1.0
        self.basis[:, 1] = stamps_s - self.offset_s
        self.basis[:, 2:] = x - self.offset

    def fit(self, lo: int, hi: int) -> tuple[list[float], list[float], float, float]:
        """Mean (k,), slope (k,), time of the mean and span in seconds of samples lo .. hi-1."""
        basis = self.basis[lo:hi]
        (n, s1, *sx), (_, s2, *sxt) = (basis[:, :2].T * self.weight[lo:hi] @ basis).tolist()
        spread = s2 - s1**2 / n
        spread = spread if spread > TINY else math.inf
        slope = [(b - s1 * a / n) / spread for a, b in zip(sx, sxt, strict=True)]
        mean = [offset + a / n for offset, a in zip(self.offset.tolist(), sx, strict=True)]
        return mean, slope, self.offset_s + s1 / n, float(self.t[hi - 1] - self.t[lo])


def straight_pieces(lines: Lines, rules) -> list[tuple[int, int]]:
    """Index ranges [lo, hi) of the straight pieces that explain a series best at one `split_cost` a piece.

    A piece costs the weighted squares that its line leaves, and its price. So one piece is the best where it leaves no
    more than a price, two where those leave no more; only else all ways to cut are compared.
    """
    t, n = lines.t, len(lines.t)
    if n < 2 or t[-1] - t[0] < 2.0 * (rules.min_duration_s - 1e-9):
        return [(0, n)]
    step = np.minimum(t[1:] - t[:-1], rules.noise_time_s)
    weight = np.empty(n)
    weight[1:-1] = (step[1:] + step[:-1]) / 2
    weight[0], weight[-1] = step[0] / 2, step[-1] / 2
    weight = np.maximum(weight / rules.noise_time_s, TINY) * lines.weight
    price = rules.split_cost * lines.typical**2

    k = lines.basis.shape[1] - 2
    x, weighted = lines.basis[:, 2:], lines.basis * weight[:, None]
    left_by_one = _left_by_line(weighted.T @ lines.basis)
    if left_by_one <= price:
        return [(0, n)]

    # Sums over all samples before each: of the weight, times t, t^2, |x|^2, x, t x.
    sums = np.zeros((4 + 2 * k, n + 1))
    sums[:2, 1:] = weighted.T[:2]
    sums[2, 1:] = weighted[:, 1] * lines.basis[:, 1]
    sums[3, 1:] = np.einsum("tk,tk->t", weighted[:, 2:], x)
    sums[4 : 4 + k, 1:] = weighted.T[2:]
    sums[4 + k :, 1:] = (weighted[:, 1:2] * x).T
    np.cumsum(sums, axis=1, out=sums)
    # A cut leaves both sides the minimum duration.
    first = int(t.searchsorted(t[0] + rules.min_duration_s - 1e-9)) + 1
    last = int(t.searchsorted(t[-1] - rules.min_duration_s + 1e-9, "right"))
    if first >= last:
        return [(0, n)]
    before = sums[:, first:last]
    left_by_two = _left(np.stack([before, sums[:, -1:] - before], axis=1), k).sum(axis=0)
    cut = int(left_by_two.argmin())
    if left_by_two[cut] <= price:
        return [(0, n)] if left_by_one <= left_by_two[cut] + price else [(0, first + cut), (first + cut, n)]
    return _cheapest_pieces(t, sums, k, price, rules.min_duration_s)


def _left_by_line(products: np.ndarray) -> float:
    """Weighted squares that one line leaves, from the weighted products (2 + k, 2 + k) of 1, t and the k series."""
    (m0, m1, *y1), (_, m2, *yt) = products[:2].tolist()
    y2 = products.diagonal()[2:].tolist()
    ratio = m1 / m0
    spread = max(m2 - m1 * ratio, TINY)
    return max(sum(c - a * a / m0 - (b - ratio * a) ** 2 / spread for a, b, c in zip(y1, yt, y2, strict=True)), 0.0)


def _left(sums: np.ndarray, k: int) -> np.ndarray:
    """Weighted squares (...,) that lines leave of k series, from sums (4 + 2k, ...) over their samples."""
    m0 = np.where(sums[0] > 0, sums[0], 1.0)
    ratio = sums[1] / m0
    spread = np.maximum(sums[2] - sums[1] * ratio, TINY)
    y1, bent = sums[4 : 4 + k], sums[4 + k :] - ratio * sums[4 : 4 + k]
    left = sums[3] - np.add.reduce(y1 * y1) / m0 - np.add.reduce(bent * bent) / spread
    return np.maximum(left, 0.0)


def _cheapest_pieces(t, sums: np.ndarray, k: int, price: float, min_duration_s: float) -> list[tuple[int, int]]:
    """The cheapest way to cut (dynamic programming), from running sums (4 + 2k, T + 1)."""
    n = len(t)
    # A piece that ends before sample j lasts the minimum duration when it starts before `late[j]`.
    late = [0, *t.searchsorted(t - (min_duration_s - 1e-9), "right").tolist()]
    best, origin = np.full(n + 1, np.inf), [0] * (n + 1)
    best[0] = 0.0
    for first in range(1, n + 1, _ROWS):
        rows = range(first, min(first + _ROWS, n + 1))
        starts = late[rows[-1]]
        if not starts:
            continue
        # All pieces that end in these rows; more at once would not stay in the cache.
        cost = _left(sums[:, first : rows.stop, None] - sums[:, None, :starts], k) + price
        for j in rows:
            if late[j]:
                total = best[: late[j]] + cost[j - first, : late[j]]
                origin[j] = int(total.argmin())
                best[j] = total[origin[j]]
    pieces, j = [], n
    while j > 0:
        pieces.append((origin[j], j))
        j = origin[j]
    return pieces[::-1]


class PooledSigma:
    """One-sigma of the samples of any range: that of their inverse-variance mean, as if all were equally good."""

    def __init__(self, sigma):
        # Sums lose what is far below their largest part, so no sample counts as a billion others.
        least = max(1e-4 * float(np.maximum.reduce(sigma, initial=0.0)), TINY)
        self._certainty = 1.0 / np.maximum(sigma, least) ** 2

    def __call__(self, lo: int, hi: int) -> float:
        return math.sqrt((hi - lo) / float(np.add.reduce(self._certainty[lo:hi])))


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
    """Judges pieces, merges equal neighbours, and judges merged "nothing changed" runs again as one.

    Args:
        judge: From the range lo, hi of a piece to its `Verdict`.
    """
    if len(pieces) == 1:
        only = judge(*pieces[0])
        state = State(only.label, float(t[0]), float(t[-1]))
        chances, others = (only.chance,), (only.other,)
        return Judgement((state,), only.margin, only.chance, only.certain, only.margin_sigmas, chances, others)
    judged = [(lo, hi, [judge(lo, hi)]) for lo, hi in pieces]
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
                whole = judge(lo, hi)
                again |= whole.label != verdicts[0].label
                verdicts = [whole]
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
