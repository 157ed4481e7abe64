"""CLEAR MOT averaged over recall (Weng et al., "3D Multi-Object Tracking: A Baseline and New Evaluation Metrics", IROS
2020): tracks are left out by their mean score, from the most to the least certain, at 40 points of recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dsr_core.tracking.matching import Comparison

POINTS = 40


@dataclass(frozen=True)
class Clear:
    """CLEAR MOT counts at one threshold of confidence.

    Attributes:
        true: True samples that had to be found.
        matches: Found ones, optional ones among them.
        misses: Not found, optional ones left out.
        false_alarms: Found samples that belong to nothing.
        switches: Times a true thing seen in two frames running went on under another id.
        overlap: Sum of the pairs' similarities.
    """

    true: int
    matches: int
    misses: int
    false_alarms: int
    switches: int
    overlap: float

    @property
    def mota(self) -> float:
        """1 - (misses + false alarms + switches) / true samples."""
        return 1.0 - self._faults / max(self.true, 1)

    @property
    def motp(self) -> float:
        """Mean similarity of the pairs."""
        return self.overlap / max(self.matches, 1)

    def scaled_mota(self, recall: float) -> float:
        """sMOTA: MOTA as a part of what can be had at this recall, in 0..1."""
        most = recall * max(self.true, 1)
        return float(np.clip(1.0 - (self._faults - (1.0 - recall) * self.true) / most, 0.0, 1.0))

    @property
    def _faults(self) -> int:
        return self.misses + self.false_alarms + self.switches


@dataclass(frozen=True)
class OverRecall:
    """Averages over recall, and the counts at the threshold with the best MOTA.

    Attributes:
        samota: Mean sMOTA; points of recall that are never reached count 0.
        amota: Mean MOTA.
        amotp: Mean similarity of the pairs.
        best: Counts where MOTA is best.
        threshold: Least mean score of a track there.
    """

    samota: float
    amota: float
    amotp: float
    best: Clear
    threshold: float


def over_recall(recordings: Sequence[Sequence[Comparison]], least: float) -> OverRecall:
    """Judges tracks on several recordings, whose ids do not mix.

    Args:
        recordings: The frames of each.
        least: Least similarity of a pair.
    """
    scores = [_track_scores(frames) for frames in recordings]
    everything, certain = _counts(recordings, scores, least, -np.inf)
    steps = _steps(np.sort(certain)[::-1], everything.matches + everything.misses)
    best, threshold = everything, -np.inf
    sums = np.zeros(3)
    top = 0.0
    for score, recall in steps:
        counts, _ = _counts(recordings, scores, least, score)
        sums += counts.scaled_mota(recall), counts.mota, counts.motp
        if counts.mota > top:
            top, best, threshold = counts.mota, counts, score
    return OverRecall(*(sums / POINTS).tolist(), best, float(threshold))


def _track_scores(frames: Sequence[Comparison]) -> dict[int, float]:
    ids, scores = (np.concatenate([getattr(f, n) for f in frames] or [np.zeros(0)]) for n in ("found_ids", "scores"))
    names, which = np.unique(ids, return_inverse=True)
    return dict(zip(names.tolist(), (np.bincount(which, scores) / np.bincount(which)).tolist(), strict=True))


def _steps(scores: np.ndarray, true: int) -> list[tuple[float, float]]:
    """(least score, recall) of each of the points that are reached; `scores` of the matched samples fall."""
    steps, recall = [], 0.0
    for i, score in enumerate(scores):
        here, after = (i + 1) / true, (i + 2) / true
        if i + 1 < len(scores) and after - recall < recall - here:
            continue
        steps.append((float(score), recall))
        recall += 1.0 / POINTS
    return steps[1:]


def _counts(recordings, scores, least: float, threshold: float) -> tuple[Clear, np.ndarray]:
    """The counts with the tracks at least so certain, and the scores of the matched samples."""
    true = matches = misses = false_alarms = switches = 0
    overlap, certain = 0.0, []
    for frames, score_of in zip(recordings, scores, strict=True):
        history: dict[int, list[tuple[int, bool]]] = {}
        for frame in frames:
            of_track = np.array([score_of[i] for i in frame.found_ids.tolist()])
            rows = of_track >= threshold
            i, j = frame.pairs(least, rows)
            single = rows.copy()
            single[j] = False
            missed = np.ones(len(frame.true_ids), bool)
            missed[i] = False
            true += int(np.count_nonzero(~frame.optional))
            matches += len(i)
            misses += int(np.count_nonzero(missed & ~frame.optional))
            false_alarms += int(np.count_nonzero(single & ~frame.excused))
            overlap += float(frame.similarity[i, j].sum())
            certain.append(of_track[j])
            given = np.full(len(missed), -1)
            given[i] = frame.found_ids[j]
            for one, ours, optional in zip(frame.true_ids.tolist(), given.tolist(), frame.optional, strict=True):
                history.setdefault(one, []).append((ours, bool(optional)))
        switches += sum(map(_switches, history.values()))
    certain = np.concatenate(certain) if certain else np.zeros(0)
    return Clear(true, matches, misses, false_alarms, switches, overlap), certain


def _switches(history: list[tuple[int, bool]]) -> int:
    """Times one true thing went on under another id; where it is optional, its id is forgotten."""
    count, last = 0, history[0][0]
    for (before, _), (ours, optional) in pairwise(history):
        if optional:
            last = -1
        elif ours != -1:
            count += last not in (-1, ours) and before != -1
            last = ours
    return count
