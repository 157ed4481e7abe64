"""What a track is called, by the votes of its observations."""

from __future__ import annotations

import numpy as np

#: Another label must have so many times the votes of the one that is held.
_CLEARLY = 1.2
#: Late votes count fully only when there are clearly more of them than this.
_DOUBT = 0.5


def elected(votes: np.ndarray, held: np.ndarray) -> np.ndarray:
    """(N,) numbers of labels: those held (N,), or those that clearly have more of the votes (N, L)."""
    every = np.arange(len(held))
    best = votes.argmax(axis=1)
    return np.where(votes[every, best] > _CLEARLY * votes[every, held], best, held)


def shared(fast: np.ndarray, late: np.ndarray, weight: float) -> np.ndarray:
    """Votes (N, L) of both lanes together, of those of the fast lane and of the slow lane (N, L).

    Each lane's votes count as shares of all of its own, so that the slow lane is not outnumbered.

    Args:
        weight: Of the slow lane.
    """
    every = fast / np.maximum(fast.sum(axis=1, keepdims=True), 1e-9)
    return every + weight * late / (late.sum(axis=1, keepdims=True) + _DOUBT)
