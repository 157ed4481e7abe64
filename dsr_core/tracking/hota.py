"""Higher order tracking accuracy by `trackeval`, its authors' own program, on comparisons of any kind.

Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking" (IJCV 2021): the geometric mean of how
well things are found and how well they keep their ids, over thresholds of similarity.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DependencyError
from dsr_core.tracking.matching import Comparison

ALPHAS = np.arange(1, 20) * 0.05


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
    """HOTA of one recording; `optional` and `excused` are not looked at (`Comparison.required` leaves them out).

    Raises:
        DependencyError: trackeval is not installed.
    """
    metric = _metric()
    frames = list(frames)
    true_ids = np.unique(np.concatenate([f.true_ids for f in frames] or [np.zeros(0, int)]))
    found_ids = np.unique(np.concatenate([f.found_ids for f in frames] or [np.zeros(0, int)]))
    true, found = sum(len(f.true_ids) for f in frames), sum(len(f.found_ids) for f in frames)
    if not true or not found:
        return Hota(np.zeros(len(ALPHAS)), true, found, np.zeros(len(ALPHAS)))
    result = metric.eval_sequence(
        {
            "num_gt_dets": true,
            "num_tracker_dets": found,
            "num_gt_ids": len(true_ids),
            "num_tracker_ids": len(found_ids),
            "gt_ids": [np.searchsorted(true_ids, f.true_ids) for f in frames],
            "tracker_ids": [np.searchsorted(found_ids, f.found_ids) for f in frames],
            "similarity_scores": [np.asarray(f.similarity, float) for f in frames],
        }
    )
    return Hota(result["HOTA_TP"], true, found, result["AssA"] * result["HOTA_TP"])


def _metric():
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of data sets whose packages are missing
            from trackeval.metrics import HOTA
    except ImportError as error:
        # Its own list would bring a second OpenCV beside the headless one.
        raise DependencyError(
            f"HOTA is computed by trackeval, which cannot be imported ({error}): pip install --no-deps trackeval"
        ) from error
    return HOTA()
