"""Series -> states: the robust rules. Scale-free, rate-free and aware of noise (see `rules.RobustRules`).

A quantity changes when |change| > max(3 sigma, 5 %) over at least half a second. Trends are found by cutting the
series into the straight pieces that explain it best (optimal partitioning, Jackson et al. 2005, with one price a
piece), then judging each piece; equal neighbours are merged and judged again together.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from dsr_core.reasoning.answer import State
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules

_TINY = 1e-12
#: The length of a 3D vector of noise exceeds 3.76 sigma as rarely as one number exceeds 3 (chi distribution).
_THREE_AXES = 3.76 / 3.0
#: Relative to the size of the numbers: what is below this is rounding, not a change.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Judgement:
    """States with how safe they are.

    Attributes:
        states: What held when; neighbours differ.
        margin: Distance of the weakest decision from its threshold, in the unit of the series.
        confidence: Probability that no decision would flip with fresh noise, 0..1.
        certain: False when the noise is too large to tell a change from none.
    """

    states: tuple[State, ...]
    margin: float
    confidence: float
    certain: bool = True


def white_sigma(values: np.ndarray, sigma: float, rules: RobustRules = DEFAULT_RULES) -> float:
    """One-sigma of the part of the noise that is new at every sample.

    It is read off the second differences (their median is six times the white variance, whatever the motion); where
    motion itself bends faster than that, or there are few samples, the white share of `sigma` is the upper bound.

    Args:
        values: (T,) or (T, k) evenly sampled series. sigma: one-sigma of a sample, all its noise.
    """
    bound = sigma * math.sqrt(1.0 - rules.drift_share)
    if len(values) < 8:
        return bound
    bends = np.abs(values[2:] - 2.0 * values[1:-1] + values[:-2])
    return min(bound, float(np.median(bends, axis=0).max()) * 1.4826 / math.sqrt(6.0))


def typical_sigma(sigma: np.ndarray) -> float:
    """One number for the noise of samples (T,) of which a few may be much worse (predicted while not seen)."""
    return float(np.median(sigma))


def change_sigma(sigma, span_s, samples, rules: RobustRules = DEFAULT_RULES, white=None):
    """One-sigma of the change of a fitted line over `span_s` seconds.

    The white part averages out over the samples (variance of a slope: 12 s^2 / (n L^2)); the drifting part is an
    Ornstein-Uhlenbeck error, whose difference over L has the variance 2 s^2 (1 - exp(-L / tau)), plus slow growth.

    Args:
        sigma: One-sigma of one sample. span_s: L. samples: number of samples in the span. All broadcast.
        white: One-sigma of the white part; None takes its share of `sigma`.
    """
    white_variance = (1.0 - rules.drift_share) * sigma**2 if white is None else white**2
    averaged = np.minimum(12.0 / np.maximum(samples, 2), 2.0) * white_variance
    drift = 2.0 * -np.expm1(-span_s / rules.drift_time_s) + span_s / rules.drift_growth_s
    return np.sqrt(averaged + rules.drift_share * drift * sigma**2)


def trend_states(stamps_s, values, sigma=None, rules: RobustRules = DEFAULT_RULES) -> Judgement:
    """States "increasing", "constant", "decreasing" of a non-negative quantity.

    Args:
        stamps_s: (T,) increasing seconds.
        values: (T,) quantity.
        sigma: (T,) or number, one-sigma of a sample; None means exact.
    """
    t, x = np.asarray(stamps_s, float), np.asarray(values, float)
    sigma = np.broadcast_to(0.0 if sigma is None else np.asarray(sigma, float), t.shape)
    floor = 0.2 * float(np.abs(x).max(initial=0.0))
    tolerance = np.maximum(np.maximum(np.abs(x), floor) * rules.fraction / rules.sigmas, sigma)
    pieces = _straight_pieces(t, x[:, None], tolerance, rules)
    pieces = [part for piece in pieces for part in _split_at_turn(x, *piece, rules.sigmas * tolerance, sigma, rules)]

    lines, noise_of = _Lines(t, x[:, None], tolerance), _PooledSigma(sigma)
    white = white_sigma(x, typical_sigma(sigma), rules)

    def judge(lo, hi):
        mean, slope, middle, span = lines.fit(lo, hi)
        mean, slope = mean[:, 0], slope[:, 0]
        change = slope * span
        reference = np.maximum(np.abs(mean), floor)
        noise = change_sigma(noise_of(lo, hi), span, hi - lo, rules, white)
        threshold = np.maximum(rules.sigmas * noise, max(rules.fraction, _ROUNDING) * reference)
        level = np.abs(change) <= threshold
        labels = np.where(level, "constant", np.where(change > 0, "increasing", "decreasing"))
        certain = ~level | (rules.sigmas * noise <= rules.uncertain_fraction * reference)
        return _verdicts(labels, np.abs(np.abs(change) - threshold), noise, certain, mean, slope, middle)

    return _merge_and_judge(
        t, pieces, judge, lambda p, q, cut: _trend_boundary(t, x, sigma, p, q, cut), rules.min_duration_s
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
    sigma = np.broadcast_to(0.0 if sigma_m is None else np.asarray(sigma_m, float), t.shape)
    least = rules.fraction * length_m if length_m is not None and math.isfinite(length_m) else 0.0
    least = max(least, _ROUNDING * float(np.abs(p).max(initial=0.0)))
    tolerance = np.maximum(sigma, least / rules.sigmas)
    pieces = _straight_pieces(t, p, tolerance, rules)
    lines, noise_of = _Lines(t, p, tolerance), _PooledSigma(sigma)
    white = white_sigma(p, typical_sigma(sigma), rules)

    def judge(lo, hi):
        mean, slope, middle, span = lines.fit(lo, hi)
        change = np.linalg.norm(slope, axis=1) * span
        noise = _THREE_AXES * change_sigma(noise_of(lo, hi), span, hi - lo, rules, white)
        threshold = np.maximum(rules.sigmas * noise, least)
        labels = np.where(change > threshold, "moving", "still")
        certain = np.full(len(lo), True)
        if length_m is not None and math.isfinite(length_m):
            certain = (change > threshold) | (rules.sigmas * noise <= 3.0 * length_m)
        return _verdicts(labels, np.abs(change - threshold), noise, certain, mean[:, 0], slope[:, 0], middle)

    return _merge_and_judge(t, pieces, judge, None, rules.min_duration_s)


def moved(stamps_s, positions_m, sigma_m, length_m=None, rules: RobustRules = DEFAULT_RULES) -> bool:
    """Whether positions (T, 3) left their place at any time: a quick summary of `motion_states`."""
    t, p = np.asarray(stamps_s, float), np.asarray(positions_m, float)
    parts = min(8, max(len(t) // 3, 2), len(t))
    starts = np.arange(parts) * len(t) // parts
    counts = np.diff(np.append(starts, len(t)))
    centres = np.add.reduceat(p, starts, axis=0) / counts[:, None]
    middles = np.add.reduceat(t, starts) / counts
    noise = change_sigma(typical_sigma(sigma_m), np.abs(middles - middles[:, None]), 2 * counts.min(), rules)
    noise = noise * _THREE_AXES
    least = rules.fraction * length_m if length_m is not None and math.isfinite(length_m) else 0.0
    least = max(least, _ROUNDING * float(np.abs(p).max(initial=0.0)))
    distance = np.linalg.norm(centres - centres[:, None], axis=-1)
    return bool(np.any(distance > np.maximum(rules.sigmas * noise, least)))


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
    sigma = np.broadcast_to(0.0 if sigma is None else np.asarray(sigma, float), t.shape).copy()
    difference, scale = a - b, np.maximum(np.abs(a), np.abs(b))
    scale = np.maximum(scale, 0.2 * scale.max(initial=0.0))
    threshold = np.maximum(np.maximum(rules.sigmas * sigma, rules.fraction * scale), _ROUNDING * scale)
    # To name the faster one takes evidence; once named it stays so, forwards and backwards in time, until the speeds
    # themselves are alike: noise that hides a difference does not make them equal.
    alike = np.maximum(0.5 * rules.fraction * scale, _ROUNDING * scale)
    sides = _hysteresis(difference, threshold, alike)
    sides = np.where(sides != 0, sides, _hysteresis(difference[::-1], threshold[::-1], alike[::-1])[::-1])
    for first, last in _runs_of_zero(sides):  # what no instant shows, their mean over a while may
        run = slice(first, last + 1)
        mean, fewer = _mean_over_time(t[run], difference[run]), _averaging(t[run], rules)
        mean_threshold = max(
            rules.sigmas * float(np.median(sigma[run])) * fewer, rules.fraction * float(scale[run].mean()), _TINY
        )
        if fewer < 1.0 and abs(mean) > mean_threshold:
            sides[run] = int(np.sign(mean))
            difference[run], threshold[run], sigma[run] = mean, mean_threshold, sigma[run] * fewer
    names = {1: "first_faster", 0: "same", -1: "second_faster"}
    judged = _from_labels(t, [names[int(s)] for s in sides], np.abs(np.abs(difference) - threshold), sigma, rules)
    # "Same" says something of two things at rest, or where the noise would let a fair difference be seen.
    unseen = rules.sigmas * float(np.median(sigma)) * _averaging(t, rules)
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
    length = np.linalg.norm(v, axis=1, keepdims=True)
    unit = v / np.maximum(length, _TINY)
    sigma = np.broadcast_to(0.0 if sigma_rad is None else np.asarray(sigma_rad, float), t.shape)
    leave = np.maximum(rules.direction_threshold - np.maximum(rules.direction_hysteresis, sigma), 0.05)
    enter = np.full(len(t), rules.direction_threshold)
    sides = np.stack([_hysteresis(unit[:, i], enter, leave) for i in range(3)], axis=1)
    labels = [direction_label(s) for s in sides]
    # A unit vector has a component beyond 0.577, so only a vector of no length gives an empty label.
    slack = np.abs(np.abs(unit) - rules.direction_threshold).min(axis=1)
    judged = _from_labels(t, labels, slack, sigma, rules)
    certain = float(np.median(sigma)) <= rules.uncertain_angle_rad and bool(np.all(length > 0))
    return Judgement(judged.states, judged.margin, judged.confidence, certain)


_SIDES = (("front", "behind"), ("left", "right"), ("above", "below"))


def direction_label(sides) -> str:
    """The label of three signs (forward, left, up): (1, 1, 0) is "front|left"."""
    return "|".join(names[0] if s > 0 else names[1] for s, names in zip(sides, _SIDES, strict=True) if s)


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


# --- straight pieces -------------------------------------------------------------------------------------------------


def _straight_pieces(t, x, tolerance, rules) -> list[tuple[int, int]]:
    """Index ranges [lo, hi) of the straight pieces that explain x (T, k) best at one `split_cost` a piece."""
    n = len(t)
    step = np.diff(t)
    limit = rules.noise_time_s
    weight = np.empty(n)
    weight[1:-1] = (np.minimum(step[1:], limit) + np.minimum(step[:-1], limit)) / 2
    weight[0], weight[-1] = (min(step[0], limit) / 2, min(step[-1], limit) / 2) if n > 1 else (1.0, 1.0)
    weight = np.maximum(weight / limit, _TINY) / np.maximum(tolerance, _TINY) ** 2
    weight *= np.median(tolerance.clip(_TINY)) ** 2
    price = rules.split_cost * float(np.median(tolerance.clip(_TINY)) ** 2)
    tc, xc = t - t.mean(), x - x.mean(axis=0)
    S0, S1, S2 = _running(weight), _running(weight * tc), _running(weight * tc**2)
    Y1, Y2, YT = (
        _running(weight[:, None] * xc),
        _running(weight[:, None] * xc**2),
        _running((weight * tc)[:, None] * xc),
    )
    # cost[i, j] of samples i .. j-1 as one line: weighted residual of the least-squares fit
    m0 = S0[None, :] - S0[:, None]
    m0 = np.where(m0 > 0, m0, 1.0)
    m1, m2 = S1[None, :] - S1[:, None], S2[None, :] - S2[:, None]
    denominator = np.maximum(m2 - m1**2 / m0, _TINY)
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


def _running(x: np.ndarray) -> np.ndarray:
    """Sums over the first axis of all that comes before each index, (T + 1, ...)."""
    return np.concatenate([np.zeros((1, *x.shape[1:])), np.cumsum(x, axis=0)])


class _PooledSigma:
    """One-sigma of the samples of any range: that of their inverse-variance mean, as if all were equally good."""

    def __init__(self, sigma):
        # Running sums lose what is far below their largest part, so no sample counts as a billion others.
        least = max(1e-4 * float(sigma.max(initial=0.0)), _TINY)
        self._certainty = _running(1.0 / np.maximum(sigma, least) ** 2)

    def __call__(self, lo, hi):
        return np.sqrt((hi - lo) / (self._certainty[hi] - self._certainty[lo]))


class _Lines:
    """Least-squares lines through any ranges of samples, weighted by their tolerance, from running sums."""

    def __init__(self, t, x, tolerance):
        weight = (np.median(tolerance.clip(_TINY)) / tolerance.clip(_TINY)) ** 2
        self.t, self.offset_s, self.offset = t, t.mean(), x.mean(axis=0)
        tc, xc = t - self.offset_s, x - self.offset
        self.s0, self.s1, self.s2 = _running(weight), _running(weight * tc), _running(weight * tc**2)
        self.sx, self.sxt = _running(weight[:, None] * xc), _running((weight * tc)[:, None] * xc)

    def fit(self, lo, hi):
        """Mean (N, k), slope (N, k), time of the mean (N,) and span (N,) of samples lo .. hi-1, for index arrays."""
        n = self.s0[hi] - self.s0[lo]
        s1, sx = self.s1[hi] - self.s1[lo], self.sx[hi] - self.sx[lo]
        spread = self.s2[hi] - self.s2[lo] - s1**2 / n
        slope = (self.sxt[hi] - self.sxt[lo] - s1[:, None] * sx / n[:, None]) / np.where(
            spread > _TINY, spread, np.inf
        )[:, None]
        return self.offset + sx / n[:, None], slope, self.offset_s + s1 / n, self.t[hi - 1] - self.t[lo]


@dataclass(frozen=True)
class _Verdict:
    """What one straight piece was judged to be, and its line (first axis): mean at `middle_s`, slope."""

    label: str
    margin: float
    noise: float
    certain: bool
    mean: float
    slope: float
    middle_s: float


def _verdicts(*columns) -> list[_Verdict]:
    return [_Verdict(*row) for row in zip(*(np.asarray(c).tolist() for c in columns), strict=True)]


def _without_slivers(states: list[State], min_duration_s: float) -> tuple[State, ...]:
    """Gives states that the exact boundaries left too short to their neighbours."""
    while len(states) > 1:
        k = min(range(len(states)), key=lambda i: states[i].end - states[i].start)
        if states[k].end - states[k].start >= min_duration_s - 1e-9:
            break
        sliver = states.pop(k)
        if k == 0:
            states[0] = replace(states[0], start=sliver.start)
        elif k == len(states):
            states[-1] = replace(states[-1], end=sliver.end)
        elif states[k - 1].label == states[k].label:
            states[k - 1 : k + 1] = [State(states[k].label, states[k - 1].start, states[k].end)]
        else:
            middle = (sliver.start + sliver.end) / 2
            states[k - 1 : k + 1] = [replace(states[k - 1], end=middle), replace(states[k], start=middle)]
    return tuple(states)


def _merge_and_judge(t, pieces, judge, boundary, min_duration_s) -> Judgement:
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
    states = _without_slivers(
        [State(run[2][0].label, cuts[i], cuts[i + 1]) for i, run in enumerate(judged)], min_duration_s
    )
    verdicts = [v for run in judged for v in run[2]]
    confidence = min(_probability(v.margin, v.noise) for v in verdicts)
    return Judgement(states, min(v.margin for v in verdicts), confidence, all(v.certain for v in verdicts))


def _split_at_turn(x, lo: int, hi: int, threshold, sigma, rules) -> list[tuple[int, int]]:
    """Cuts a piece where the quantity turns inside it by more than a change that counts.

    A line through a short turn (a car that passes close by) is level although nothing is constant.
    """
    if hi - lo < 4:
        return [(lo, hi)]
    k = lo + 1 + int(np.abs(x[lo + 1 : hi - 1] - (x[lo] + x[hi - 1]) / 2).argmax())
    needed = max(threshold[k], 1.5 * rules.sigmas * sigma[k])
    turned = min(abs(x[k] - x[lo]), abs(x[k] - x[hi - 1])) > needed and (x[k] - x[lo]) * (x[k] - x[hi - 1]) > 0
    return [(lo, k + 1), (k, hi)] if turned else [(lo, hi)]


def _trend_boundary(t, x, sigma, before, after, cut: float) -> float:
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
    if abs(p.slope - q.slope) < _TINY:
        return cut
    # p.mean + p.slope (s - p.middle_s) = q.mean + q.slope (s - q.middle_s)
    crossing = (q.mean - q.slope * q.middle_s - p.mean + p.slope * p.middle_s) / (p.slope - q.slope)
    reach = max(0.25, 1.5 * (t[after[0]] - t[before[1] - 1]))
    return crossing if abs(crossing - cut) <= reach else cut


# --- thresholds with hysteresis --------------------------------------------------------------------------------------


def _hysteresis(x, enter, leave):
    """Sign of x (T,) beyond `enter` (T,), kept while it stays beyond `leave` (T,); 0 in between."""
    sides = np.zeros(len(x), int)
    side = 0
    for i, (value, up, down) in enumerate(zip(x.tolist(), enter.tolist(), leave.tolist(), strict=True)):
        if side and value * side < down:
            side = 0
        if not side and abs(value) > up:
            side = 1 if value > 0 else -1
        sides[i] = side
    return sides


def _runs_of_zero(sides) -> list[tuple[int, int]]:
    """First and last index of each run of zeros."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sides == 0, [False]]).astype(int)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _from_labels(t, labels: list[str], slack, sigma, rules) -> Judgement:
    """Runs of equal labels; runs shorter than the minimum duration go to their longer neighbour."""
    runs: list[list] = []  # [label, first index, last index]
    for i, label in enumerate(labels):
        if runs and runs[-1][0] == label:
            runs[-1][2] = i
        else:
            runs.append([label, i, i])

    cuts = np.concatenate([t[:1], [(t[run[1] - 1] + t[run[1]]) / 2 for run in runs[1:]], t[-1:]])
    lengths = np.diff(cuts)
    while len(runs) > 1 and lengths.min() < rules.min_duration_s - 1e-9:
        k = int(lengths.argmin())
        around = [i for i in (k - 1, k + 1) if 0 <= i < len(runs)]
        into = max(around, key=lambda i: lengths[i])
        first, last = min(k, into), max(k, into)
        label = runs[into][0]
        if 0 < k < len(runs) - 1 and runs[k - 1][0] == runs[k + 1][0]:
            first, last = k - 1, k + 1  # a flicker inside one state
        runs[first : last + 1] = [[label, runs[first][1], runs[last][2]]]
        cuts = np.delete(cuts, np.arange(first + 1, last + 1))
        lengths = np.diff(cuts)
        for i in (first, first - 1):  # equal neighbours become one
            if 0 <= i and i + 1 < len(runs) and runs[i][0] == runs[i + 1][0]:
                runs[i : i + 2] = [[runs[i][0], runs[i][1], runs[i + 1][2]]]
                cuts = np.delete(cuts, i + 1)
                lengths = np.diff(cuts)
    states = tuple(State(run[0], float(cuts[k]), float(cuts[k + 1])) for k, run in enumerate(runs))
    margins, confidences = [], []
    for _, first, last in runs:
        best = first + int(np.argmax(slack[first : last + 1] - sigma[first : last + 1]))
        margins.append(float(np.median(slack[first : last + 1])))
        confidences.append(_probability(float(slack[best]), float(sigma[best])))
    return Judgement(states, min(margins), min(confidences))


def _mean_over_time(t, x) -> float:
    return np.trapezoid(x, t) / (t[-1] - t[0]) if len(t) > 1 and hasattr(np, "trapezoid") else float(np.mean(x))


def _averaging(t, rules) -> float:
    """Factor by which averaging over the window lowers the noise of one instant's speed."""
    return 1.0 / math.sqrt(max((t[-1] - t[0]) / (2.0 * rules.speed_half_window_s), 1.0))


def _probability(margin: float, sigma: float) -> float:
    """Probability that noise of this sigma does not carry a value over a threshold `margin` away."""
    if sigma <= 0:
        return 0.999
    return min(0.5 * (1.0 + math.erf(margin / sigma / math.sqrt(2.0))), 0.999)
