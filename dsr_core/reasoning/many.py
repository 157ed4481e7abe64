"""Samples of many tracks at once, laid end to end, so that a ranking takes few steps however many things there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsr_core.reasoning.agents import Agent, interpolate, places_at
from dsr_core.reasoning.noise import TINY, change_sigma
from dsr_core.reasoning.quantities import world_sigma
from dsr_core.reasoning.rules import RobustRules
from dsr_core.scene import Scene
from dsr_core.smoothing import unpacked


@dataclass(frozen=True, eq=False)
class Samples:
    """Observed samples of K things in a window, those of one thing after those of the other.

    Attributes:
        agents: The K things. stamps_s: (N,). places_m: (N, 3) in the world.
        first: (K,) index of each thing's first sample. last: (K,) of its last one.
        rows: For each thing the rows of its track that the samples are.
    """

    agents: tuple[Agent, ...]
    stamps_s: np.ndarray
    places_m: np.ndarray
    first: np.ndarray
    last: np.ndarray
    rows: tuple[np.ndarray | range, ...]

    @property
    def counts(self) -> np.ndarray:
        """(K,) number of samples of each thing."""
        return self.last - self.first + 1

    def covariances(self, index: np.ndarray) -> np.ndarray:
        """(K, 3, 3) covariance of one sample of each thing; `index` (K,) counts through all samples."""
        own = zip(self.agents, self.rows, (index - self.first).tolist(), strict=True)
        found = [(agent.track, int(rows[i])) for agent, rows, i in own]
        if all(track.smoothing is not None for track, _ in found):
            return unpacked(np.array([t.smoothing.packed_covariance(int(t.smoothing_rows[row])) for t, row in found]))
        return np.concatenate([track.smoothed_covariances(slice(row, row + 1)) for track, row in found])

    def least_of_each(self, values: np.ndarray) -> np.ndarray:
        """(K,) index of each thing's least of (N,) values."""
        least = np.minimum.reduceat(values, self.first)
        hits = np.flatnonzero(values == np.repeat(least, self.counts))
        return hits[np.searchsorted(hits, self.first)]


def samples_in(agents: Sequence[Agent], start_s: float, end_s: float, rules: RobustRules) -> Samples | None:
    """The observed samples in [start_s, end_s] of the things that have `min_samples`; None where none has."""
    kept, stamps, places, rows = [], [], [], []
    least = max(rules.min_samples, 2)  # one sample has no speed
    for agent in agents:
        track = agent.track
        lo, hi = track.stamps_s.searchsorted((start_s - 1e-9, end_s + 1e-9)).tolist()
        if hi - lo < least:
            continue
        seen, part, index = track.observed[lo:hi], slice(lo, hi), range(lo, hi)
        if not seen.all():
            part = index = lo + np.flatnonzero(seen)
            if len(index) < least:
                continue
        kept.append(agent)
        stamps.append(track.stamps_s[part])
        places.append(track.smoothed_positions(part))
        rows.append(index)
    if not kept:
        return None
    ends = np.cumsum([len(s) for s in stamps])
    first = np.concatenate([[0], ends[:-1]])
    return Samples(tuple(kept), np.concatenate(stamps), np.concatenate(places), first, ends - 1, tuple(rows))


@dataclass(frozen=True, eq=False)
class Places:
    """Where each of K things is at one time of its own, relative to a reference (in world axes).

    Attributes:
        values_m: (K, 3). sigma_m: (K,) one-sigma of a sample along the line to the thing.
        white_share: (K,) variance of `values_m` that is new at every sample, as a share of that of one sample.
    """

    values_m: np.ndarray
    sigma_m: np.ndarray
    white_share: np.ndarray

    def reading_sigma(self, rules: RobustRules) -> np.ndarray:
        """(K,) one-sigma of the distances |values|, metres."""
        white = (1.0 - rules.drift_share) * self.white_share
        return self.sigma_m * np.sqrt(white + rules.drift_share)


def read_places(
    scene: Scene, samples: Samples, index: np.ndarray, at_s: np.ndarray, reference: Agent, rules: RobustRules
) -> Places:
    """Reads places off the line through the half second of samples nearest to a time, as `ends.read_at` does for one.

    Args:
        index: (K,) each thing's sample at its time or the next one after it. at_s: (K,) that time.
    """
    t = samples.stamps_s
    first_s, last_s = t[samples.first], t[samples.last]
    span_s = rules.speed_half_window_s
    step_s = float(np.min((last_s - first_s) / (samples.counts - 1)))
    reach = min(math.ceil(span_s / step_s), int(samples.counts.max()))
    near = index[:, None] + np.arange(-reach, reach + 1)
    inside = (near >= samples.first[:, None]) & (near <= samples.last[:, None])
    near = np.clip(near, samples.first[:, None], samples.last[:, None])
    stamps = t[near]
    relative = samples.places_m[near] - places_at(scene, reference, stamps.ravel()).reshape(*stamps.shape, 3)

    before = stamps[:, reach - 1]
    step = stamps[:, reach] - before
    share = np.clip((at_s - before) / np.where(step > 0, step, 1.0), 0.0, 1.0)
    share = np.where(step > 0, share, 1.0)[:, None]
    sample = relative[:, reach] * share + relative[:, reach - 1] * (1.0 - share)

    covariances = samples.covariances(np.where(share[:, 0] >= 0.5, index, np.maximum(index - 1, samples.first)))
    if reference.track is not None:
        covariances = covariances + interpolate(reference.track, at_s)[1]
    length = np.sqrt(np.einsum("ki,ki->k", sample, sample))
    along = sample / np.maximum(length, TINY)[:, None]
    sigma = np.sqrt(np.maximum(np.einsum("ki,kij,kj->k", along, covariances, along), 0.0))

    start = np.minimum(np.maximum(at_s - span_s / 2, first_s), np.maximum(last_s - span_s, first_s))[:, None]
    weight = (inside & (stamps >= start - 1e-9) & (stamps <= start + span_s + 1e-9)).astype(float)
    total = np.maximum(weight.sum(axis=1), 1.0)
    tc = stamps - at_s[:, None]
    mean_s = (weight * tc).sum(axis=1) / total
    mean = np.einsum("km,kmi->ki", weight, relative) / total[:, None]
    tc = (tc - mean_s[:, None]) * weight
    spread = np.maximum((tc**2).sum(axis=1), TINY)
    slope = np.einsum("km,kmi->ki", tc, relative) / spread[:, None]
    shift = mean - slope * mean_s[:, None] - sample
    # The line averages noise out but cuts the corners of real motion: it may leave the sample by noise alone.
    white = sigma * math.sqrt(1.0 - rules.drift_share)
    far = np.sqrt(np.einsum("ki,ki->k", shift, shift))
    kept = np.minimum(1.0, rules.sigmas * white / np.maximum(far, 1e-300))
    fitted = total >= 3.0
    values = sample + shift * np.where(fitted, kept, 0.0)[:, None]
    return Places(values, sigma, np.where(fitted, np.minimum(1.0 / total + mean_s**2 / spread, 1.0), 1.0))


@dataclass(frozen=True, eq=False)
class MeanSpeeds:
    """Mean speeds (K,) in m/s with their one-sigma."""

    values_mps: np.ndarray
    sigma_mps: np.ndarray


def mean_speeds(scene: Scene, samples: Samples, rules: RobustRules) -> MeanSpeeds:
    """Mean speeds in the world: the way from mean to mean of a second of samples each, over the time it took.

    What the noise of these means adds to the way is taken off its square (twice the variance of an axis).
    """
    t, counts = samples.stamps_s, samples.counts
    first_s = t[samples.first]
    duration_s = t[samples.last] - first_s
    bins = np.maximum(np.round(duration_s / (2.0 * rules.speed_half_window_s)), 2.0)
    share = (t - np.repeat(first_s, counts)) * np.repeat(bins / duration_s, counts)
    which = np.minimum(share, np.repeat(bins - 1.0, counts)).astype(int)
    which += np.repeat(np.cumsum(bins.astype(int)) - bins.astype(int), counts)
    starts = np.concatenate([[0], np.flatnonzero(which[1:] != which[:-1]) + 1])
    thing = np.searchsorted(samples.first, starts, "right") - 1
    number = np.diff(np.append(starts, len(t)))
    means = np.add.reduceat(samples.places_m, starts, axis=0) / number[:, None]
    middles = np.add.reduceat(t, starts) / number

    covariances = samples.covariances((samples.first + samples.last) // 2)
    sigma = world_sigma(scene, covariances)
    white = (1.0 - rules.drift_share) * sigma**2
    same = thing[1:] == thing[:-1]
    of, step = thing[1:][same], (means[1:] - means[:-1])[same]
    added = white[of] * (1.0 / number[1:] + 1.0 / number[:-1])[same]
    way = np.bincount(of, np.sqrt(np.maximum(np.einsum("ni,ni->n", step, step) - 2.0 * added, 0.0)), len(counts))
    ends = np.append(np.flatnonzero(~same), len(thing) - 1)
    took_s = middles[ends] - middles[np.concatenate([[0], ends[:-1] + 1])]
    speed = way / took_s

    steps = np.bincount(of, minlength=len(counts))
    whole = _slope_sigma(sigma, took_s, counts, rules)
    # Noise across the way makes each of its steps longer, those of a thing at rest by all of it.
    single = _slope_sigma(sigma, took_s / steps, 6.0 * counts / (steps + 1), rules)
    return MeanSpeeds(speed, np.hypot(whole, single**2 / np.maximum(speed + single, 1e-300)))


def _slope_sigma(sigma, span_s, samples, rules: RobustRules) -> np.ndarray:
    return change_sigma(sigma, span_s, samples, rules) / span_s
