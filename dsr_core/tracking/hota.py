"""Higher order tracking accuracy (Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking",
IJCV 2021): the geometric mean of how well things are found and how well they keep their ids, over thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from dsr_core.tracking.matching import Comparison

ALPHAS = np.arange(1, 20) * 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Hota:
    """Counts of one recording at each threshold of similarity; add up recordings with `+`.

    Attributes:
        matches: (19,) pairs at least as similar as each of ALPHAS.
        true: True samples.
        found: Found samples.
        association: (19,) sum over the pairs of the Jaccard index of their two tracks.
    """

    matches: np.ndarray
    true: int
    found: int
    association: np.ndarray

    def __add__(self, other: Hota) -> Hota:
        return Hota(
            self.matches + other.matches,
            self.true + other.true,
            self.found + other.found,
            self.association + other.association,
        )

    @property
    def detection(self) -> float:
        """DetA, averaged over the thresholds."""
        return float(np.mean(self._detections()))

    @property
    def associated(self) -> float:
        """AssA, averaged over the thresholds."""
        return float(np.mean(self._associations()))

    @property
    def hota(self) -> float:
        """The mean over the thresholds of sqrt(DetA AssA)."""
        return float(np.mean(np.sqrt(self._detections() * self._associations())))

    def _detections(self) -> np.ndarray:
        return self.matches / np.maximum(self.true + self.found - self.matches, 1)

    def _associations(self) -> np.ndarray:
        return self.association / np.maximum(self.matches, 1)


def hota(frames: Iterable[Comparison]) -> Hota:
    """HOTA of one recording; `optional` and `excused` are not looked at (`Comparison.required` leaves them out)."""
    frames = list(frames)
    true_ids = np.unique(np.concatenate([f.true_ids for f in frames] or [np.zeros(0, int)]))
    found_ids = np.unique(np.concatenate([f.found_ids for f in frames] or [np.zeros(0, int)]))
    alike = np.zeros((len(true_ids), len(found_ids)))
    true_count, found_count = np.zeros((len(true_ids), 1)), np.zeros((1, len(found_ids)))
    numbered = []
    for f in frames:
        i, j = np.searchsorted(true_ids, f.true_ids), np.searchsorted(found_ids, f.found_ids)
        numbered.append((i, j, f.similarity))
        true_count[i] += 1
        found_count[0, j] += 1
        either = f.similarity.sum(axis=0) + f.similarity.sum(axis=1)[:, None] - f.similarity
        alike[np.ix_(i, j)] += np.divide(f.similarity, either, out=np.zeros_like(either), where=either > _ROUNDING)
    # Pairs are chosen so that things keep their ids over the whole recording, not frame by frame.
    alignment = alike / np.maximum(true_count + found_count - alike, 1.0)
    together = np.zeros((len(ALPHAS), *alike.shape))
    for i, j, similarity in numbered:
        rows, columns = linear_sum_assignment(-alignment[np.ix_(i, j)] * similarity)
        good = similarity[rows, columns] >= ALPHAS[:, None] - _ROUNDING
        together[:, i[rows], j[columns]] += good
    jaccard = together / np.maximum(true_count + found_count - together, 1.0)
    return Hota(
        together.sum(axis=(1, 2)),
        int(true_count.sum()),
        int(found_count.sum()),
        (together * jaccard).sum(axis=(1, 2)),
    )
