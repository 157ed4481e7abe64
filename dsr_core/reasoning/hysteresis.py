"""Labels by thresholds with hysteresis, and runs of labels as states."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from dsr_core.reasoning.answer import State
from dsr_core.reasoning.judgement import Judgement
from dsr_core.reasoning.noise import middle, sigmas_of


def hysteresis(x, enter, leave):
    """Sign of x (T,) beyond `enter` (T,), kept while it stays beyond `leave` (T,); 0 in between."""
    sides = np.zeros(len(x), int)
    beyond = np.abs(x) > enter
    if not beyond.any():
        return sides
    if beyond.all() and ((x > 0) == (x[0] > 0)).all():
        return sides + (1 if x[0] > 0 else -1)
    side = 0
    for i, (value, up, down) in enumerate(zip(x.tolist(), enter.tolist(), leave.tolist(), strict=True)):
        if side and value * side < down:
            side = 0
        if not side and abs(value) > up:
            side = 1 if value > 0 else -1
        sides[i] = side
    return sides


def runs_of_zero(sides) -> list[tuple[int, int]]:
    """First and last index of each run of zeros."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sides == 0, [False]]).astype(int)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def from_labels(t, labels: list[str], slack, sigma, rules, chance_of) -> Judgement:
    """Runs of equal labels; runs shorter than the minimum duration go to their longer neighbour.

    `chance_of(samples, label)` gives the probability that a label holds for a slice of samples, and the next label.
    """
    runs: list[list] = []  # [label, first index, last index]
    for i, label in enumerate(labels):
        if runs and runs[-1][0] == label:
            runs[-1][2] = i
        else:
            runs.append([label, i, i])

    cuts = [float(t[0]), *(float(t[run[1] - 1] + t[run[1]]) / 2 for run in runs[1:]), float(t[-1])]
    lengths = _differences(cuts)
    while len(runs) > 1 and min(lengths) < rules.min_duration_s - 1e-9:
        k = lengths.index(min(lengths))
        around = [i for i in (k - 1, k + 1) if 0 <= i < len(runs)]
        into = max(around, key=lambda i: lengths[i])
        first, last = min(k, into), max(k, into)
        label = runs[into][0]
        if 0 < k < len(runs) - 1 and runs[k - 1][0] == runs[k + 1][0]:
            first, last = k - 1, k + 1  # a flicker inside one state
        runs[first : last + 1] = [[label, runs[first][1], runs[last][2]]]
        del cuts[first + 1 : last + 1]
        lengths = _differences(cuts)
        for i in (first, first - 1):  # equal neighbours become one
            if 0 <= i and i + 1 < len(runs) and runs[i][0] == runs[i + 1][0]:
                runs[i : i + 2] = [[runs[i][0], runs[i][1], runs[i + 1][2]]]
                del cuts[i + 1]
                lengths = _differences(cuts)
    states = tuple(State(run[0], cuts[k], cuts[k + 1]) for k, run in enumerate(runs))
    margins, sigmas, chances, others = [], [], [], []
    for label, first, last in runs:
        samples = slice(first, last + 1)
        chance, other = chance_of(samples, label)
        chances.append(chance)
        others.append(other)
        margins.append(middle(slack[samples]))
        sigmas.append(sigmas_of(margins[-1], middle(sigma[samples])))
    k = min(range(len(runs)), key=lambda i: (sigmas[i], margins[i]))
    return Judgement(states, margins[k], math.prod(chances), True, sigmas[k], tuple(chances), tuple(others), k)


def _differences(values: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(values)]


def mean_over_time(t, x) -> float:
    return np.trapezoid(x, t) / (t[-1] - t[0]) if len(t) > 1 and hasattr(np, "trapezoid") else float(np.mean(x))


def averaging(t, rules) -> float:
    """Factor by which averaging over the window lowers the noise of one instant's speed."""
    return 1.0 / math.sqrt(max((t[-1] - t[0]) / (2.0 * rules.speed_half_window_s), 1.0))
