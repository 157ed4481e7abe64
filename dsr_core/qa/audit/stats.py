"""Lower bounds of an attacker's success that know that questions of one scene are alike."""

from __future__ import annotations

import numpy as np
from scipy import stats


def lower_bound(right: float, count: float, alpha: float) -> float:
    """One-sided Clopper-Pearson lower bound of a share at level 1 - alpha; `right` may be a sum of fractions."""
    if right <= 0 or count <= 0:
        return 0.0
    return float(stats.beta.ppf(alpha, right, max(count - right, 0.0) + 1.0))


def upper_bound(right: float, count: float, alpha: float) -> float:
    """The same from above."""
    if right >= count:
        return 1.0
    return float(stats.beta.ppf(1.0 - alpha, right + 1.0, count - right))


def effective_count(credits: np.ndarray, cluster: np.ndarray, alpha: float) -> float:
    """How many independent questions these are worth (Korn and Graubard, Survey Methodology 24, 1998).

    The variance of the mean is taken between clusters; its ratio to the binomial one is the design effect, which is
    never taken to be less than one. That it is itself estimated from few clusters is paid for with t in place of
    normal quantiles.

    Args:
        credits: (N,) 1 for a right answer, 0 for a wrong one, or the share of a tie.
        cluster: (N,) numbers of the clusters.
        alpha: Level of the bound that it is for.

    Returns:
        At most N; 0 where there is but one cluster, which says nothing about others.
    """
    count = len(credits)
    names, inverse = np.unique(cluster, return_inverse=True)
    if len(names) < 2:
        return 0.0
    share = credits.mean()
    if not 0.0 < share < 1.0:
        return float(len(names))
    off = np.bincount(inverse, credits - share)
    variance = len(names) / (len(names) - 1) * (off**2).sum() / count**2
    worth = min(share * (1 - share) / max(variance, 1e-12), count)
    few = stats.t.ppf(1 - alpha, count - 1) / stats.t.ppf(1 - alpha, len(names) - 1)
    return float(min(worth * few**2, count))
