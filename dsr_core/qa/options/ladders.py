"""Groups of numbers of which each may be the true one: near enough to be likely, far enough to be told apart."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np


def ladders(
    values: np.ndarray,
    scores: np.ndarray,
    members: np.ndarray,
    rng: np.random.Generator,
    size: int = 4,
    least_gap: float = 0.15,
    most: float = 1.75,
    caliper: float = np.inf,
    tried: int = 4,
) -> list[tuple[int, ...]]:
    """Disjoint groups of `size` questions whose true values are rungs of a ladder.

    Neighbouring rungs differ by `least_gap` of the smaller or more, and the largest is at most `most` times the
    smallest, so that every option lies within 25 to 175 % of the truth whichever rung that is, and each rung is true
    once. (A fifth between rungs, as MLLM-4D's options have it beside one truth, leaves no room: 1.2^3 = 1.73.)

    Args:
        values: (N,) positive numbers, as they are written.
        scores: (N, R) as for `Matcher`; of the values that fit, one of the `tried` nearest to the group's first is
            taken, and none farther than `caliper`.
        members: Indices that may be used.
        rng: The order in which first rungs are taken.
    """
    order = members[np.argsort(values[members], kind="stable")]
    sorted_values = values[order].tolist()
    free = np.ones(len(order), bool)
    found = []
    for first in rng.permutation(len(order)):
        if not free[first] or sorted_values[first] <= 0:
            continue
        rungs = [int(first)]
        while len(rungs) < size:
            # The remaining rungs need room above this one.
            top = most * sorted_values[first] / (1 + least_gap) ** (size - 1 - len(rungs))
            low = bisect_left(sorted_values, sorted_values[rungs[-1]] * (1 + least_gap) - 1e-9)
            high = bisect_left(sorted_values, top + 1e-9)
            near = low + np.flatnonzero(free[low:high])[:512]
            if not len(near):
                break
            apart = np.linalg.norm(scores[order[near]] - scores[order[first]], axis=1)
            nearest = np.argsort(apart, kind="stable")[:tried]
            nearest = nearest[apart[nearest] <= caliper]
            if not len(nearest):
                break
            rungs.append(int(near[rng.choice(nearest)]))
        if len(rungs) == size:
            free[rungs] = False
            found.append(tuple(int(order[r]) for r in rungs))
    return found
