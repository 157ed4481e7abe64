"""How well tracks agree with the truth: CLEAR MOT counts (Bernardin and Stiefelhagen, 2008), errors and consistency."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from dsr_core.scene import Scene


@dataclass
class TrackingScore:
    """Counts that add up over recordings, and the matched samples' errors.

    Attributes:
        truths: True samples.
        matches: Of these, found within the radius.
        false_alarms: Found samples that belong to nothing.
        id_switches: Times a true thing went on under another id.
        fragments: Times a true thing was lost and found again.
        things: True tracks matched at least once.
        ids_per_thing: For each of these, how many ids it was given.
        errors_m: Distances of matched centres.
        nees: Squared Mahalanobis length of the errors (3 on average where covariances are honest).
        speeds: (true speed, found speed, speed of the difference), m/s, where the truth's velocity is known.
    """

    truths: int = 0
    matches: int = 0
    false_alarms: int = 0
    id_switches: int = 0
    fragments: int = 0
    things: int = 0
    ids_per_thing: list[int] = field(default_factory=list)
    errors_m: list[float] = field(default_factory=list)
    nees: list[float] = field(default_factory=list)
    speeds: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.matches / max(self.truths, 1)

    @property
    def precision(self) -> float:
        return self.matches / max(self.matches + self.false_alarms, 1)

    @property
    def mota(self) -> float:
        """1 - (misses + false alarms + id switches) / true samples."""
        return 1 - (self.truths - self.matches + self.false_alarms + self.id_switches) / max(self.truths, 1)

    def add(self, other: TrackingScore) -> None:
        """Adds another recording's counts."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def compare(
    truth: Scene,
    found: Scene,
    radius_m: float = 2.0,
    ignored_labels: tuple[str, ...] = (),
    predicted: bool = False,
    tolerance_s: float = 0.02,
) -> TrackingScore:
    """Matches tracks to the truth stamp by stamp; a pair stays together while it lies within the radius.

    Args:
        truth: True tracks.
        found: Tracks to judge; stamps on the same clock.
        radius_m: Largest distance of a match.
        ignored_labels: True things that need not be found and are no false alarms either.
        predicted: Whether samples predicted while nothing was seen count as found.
        tolerance_s: Largest difference of stamps.
    """
    score = TrackingScore()
    stamps = np.unique(np.concatenate([t.stamps_s for t in truth.tracks.values()]) if truth.tracks else np.zeros(0))
    found_at: dict[int, list[tuple[str, int]]] = {}
    for track in found.tracks.values():
        for i in np.flatnonzero(track.observed | predicted):
            k = int(np.abs(stamps - track.stamps_s[i]).argmin()) if len(stamps) else 0
            if len(stamps) and abs(stamps[k] - track.stamps_s[i]) <= tolerance_s:
                found_at.setdefault(k, []).append((track.id, int(i)))
            else:
                score.false_alarms += 1
    last_id: dict[str, str] = {}
    last_k: dict[str, int] = {}
    given: dict[str, set[str]] = {}
    velocities = {t.id: _smooth_velocity(t.stamps_s, t.positions_world_m) for t in truth.tracks.values()}
    for k, stamp in enumerate(stamps):
        real = [(t.id, int(np.searchsorted(t.stamps_s, stamp))) for t in truth.tracks.values() if stamp in t.stamps_s]
        ours = found_at.get(k, [])
        needed = [truth.tracks[i].label not in ignored_labels for i, _ in real]
        score.truths += sum(needed)
        if not ours:
            continue
        p = np.array([truth.tracks[i].positions_world_m[n] for i, n in real]).reshape(-1, 3)
        q = np.array([found.tracks[i].positions_world_m[n] for i, n in ours])
        distance = np.linalg.norm(p[:, None] - q, axis=2)
        together = np.array([[last_id.get(i) == j for j, _ in ours] for i, _ in real]).reshape(distance.shape)
        value = np.where(distance <= radius_m, radius_m - distance + 1e-6 + 2 * radius_m * together, 0.0)
        rows, columns = linear_sum_assignment(-value)
        pairs = [(a, b) for a, b in zip(rows, columns, strict=True) if value[a, b] > 0]
        score.false_alarms += len(ours) - len(pairs)
        for a, b in pairs:
            if not needed[a]:
                continue
            (true_id, n), (our_id, m) = real[a], ours[b]
            score.matches += 1
            score.id_switches += last_id.get(true_id, our_id) != our_id
            score.fragments += k - last_k.get(true_id, k) > 1
            last_id[true_id], last_k[true_id] = our_id, k
            given.setdefault(true_id, set()).add(our_id)
            track = found.tracks[our_id]
            error = q[b] - p[a]
            score.errors_m.append(float(distance[a, b]))
            score.nees.append(float(error @ np.linalg.solve(track.covariances[m], error)))
            v = velocities[true_id][n]
            if np.isfinite(v).all() and np.isfinite(track.velocities[m]).all():
                u = track.velocities[m]
                score.speeds.append((float(np.linalg.norm(v)), float(np.linalg.norm(u)), float(np.linalg.norm(u - v))))
    score.things = len(given)
    score.ids_per_thing = [len(g) for g in given.values()]
    return score


def _smooth_velocity(stamps_s: np.ndarray, positions_m: np.ndarray, half_s: float = 0.5) -> np.ndarray:
    """Velocities (T, 3) by differences over `2 half_s`; NaN near the ends and in gaps."""
    out = np.full(positions_m.shape, np.nan)
    for i, t in enumerate(stamps_s):
        lo, hi = np.searchsorted(stamps_s, [t - half_s - 1e-6, t + half_s + 1e-6])
        if hi - 1 > lo and abs(stamps_s[hi - 1] - stamps_s[lo] - 2 * half_s) < 1e-3:
            out[i] = (positions_m[hi - 1] - positions_m[lo]) / (stamps_s[hi - 1] - stamps_s[lo])
    return out
