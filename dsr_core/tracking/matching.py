"""What trackers are judged by: for each frame how much every found thing is like every true one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True, eq=False)
class Comparison:
    """One frame of a recording: true and found things.

    Attributes:
        true_ids: (G,) int.
        found_ids: (M,) int.
        similarity: (G, M) in 0..1, such as the overlap of boxes.
        scores: (M,) confidence in each found thing.
        optional: (G,) bool, true things that need not be found.
        excused: (M,) bool, found things that are no false alarms where they match nothing.
    """

    true_ids: np.ndarray
    found_ids: np.ndarray
    similarity: np.ndarray
    scores: np.ndarray
    optional: np.ndarray
    excused: np.ndarray

    def pairs(self, least: float, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Indices (P,), (P,) of true and found things: as many pairs as can be, and among these the most alike.

        Args:
            least: Least similarity of a pair.
            rows: (M,) bool, found things that take part; None for all.
        """
        part = np.arange(len(self.found_ids)) if rows is None else np.flatnonzero(rows)
        value = self.similarity[:, part]
        good = value >= least
        i, j = linear_sum_assignment(-np.where(good, 1e6 + value, 0.0))
        kept = good[i, j]
        return i[kept], part[j[kept]]

    def required(self, least: float) -> Comparison:
        """Without optional true things, found things that match these, and excused ones that match nothing."""
        i, j = self.pairs(least)
        keep = ~self.excused
        keep[j] = ~self.optional[i]
        need = ~self.optional
        kept = self.taken(keep)
        return replace(
            kept, true_ids=self.true_ids[need], similarity=kept.similarity[need], optional=self.optional[need]
        )

    def taken(self, rows: np.ndarray) -> Comparison:
        """With the found things `rows` (M,) bool alone."""
        return replace(
            self,
            found_ids=self.found_ids[rows],
            similarity=self.similarity[:, rows],
            scores=self.scores[rows],
            excused=self.excused[rows],
        )
