"""Kinds that put many things in order: nearest, farthest, fastest, slowest, fastest to approach and to recede."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from dsr_core.errors import DeclineError
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import places_at, span
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.many import Samples, mean_speeds, read_places, samples_in
from dsr_core.reasoning.noise import ROUNDING, SUREST, TINY, chance_beyond, change_sigma
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.window import INSTANT_HALF_WINDOW_S, check_window, is_instant
from dsr_core.scene import Scene

#: `details.ranking` lists this many things.
MAX_LISTED = 10
#: Rivals behind so many others do not change who is first.
_RIVALS = 20
#: What the winner may really measure, in its sigmas, and how likely each is.
_OFFSETS = np.linspace(-4.5, 4.5, 61)
_WEIGHTS = np.exp(-0.5 * _OFFSETS**2) / np.exp(-0.5 * _OFFSETS**2).sum()
_GREATEST_FIRST = ("farthest", "fastest", "fastest_receding")


@dataclass(frozen=True, eq=False)
class Scores:
    """The number that K things are put in order by.

    Attributes:
        values: (K,). sigma: (K,) one-sigma. size: How large the numbers are that they come from, in their unit.
        at_s: (K,) seconds that they belong to, or None.
    """

    values: np.ndarray
    sigma: np.ndarray
    size: float
    at_s: np.ndarray | None = None


def find_ranked(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """All things' numbers -> their order -> who is first, and how sure that is."""
    check_window(scene, query.window)
    samples = _samples(scene, query, config)
    scores = _MEASURES[query.kind](scene, samples, query, config)
    greatest_first = query.kind in _GREATEST_FIRST
    keys = -scores.values if greatest_first else scores.values
    order = np.lexsort((np.arange(len(keys)), keys))
    first = int(order[0])
    chance = chance_first(keys[order], scores.sigma[order])
    gap = sigmas = None
    if len(order) > 1:
        second = int(order[1])
        gap = float(keys[second] - keys[first])
        noise = math.hypot(scores.sigma[first], scores.sigma[second])
        sigmas = gap / noise if noise > TINY * gap else math.inf
        tie = gap <= ROUNDING * scores.size
        if tie or chance < config.least_confidence:
            raise _undecided(query, samples, scores, order, chance, tie)
    winner = samples.agents[first]
    own = samples.stamps_s[samples.first[first] : samples.last[first] + 1]
    if is_instant(query.window):
        start_s = end_s = query.window[0]
    else:
        start_s = float(samples.stamps_s[samples.first].min())
        end_s = float(samples.stamps_s[samples.last].max())
    details = {"winner": winner.label, "ranking": _rows(scene, samples, scores, order[:MAX_LISTED])}
    if scores.at_s is not None:
        details["at_s"] = float(scores.at_s[first])
    return Found(
        states=(State(winner.name, start_s, end_s),),
        value=float(scores.values[first]),
        sigma=float(scores.sigma[first]),
        margin=gap,
        confidence=chance * _chance_of_sign(query.kind, scores, first),
        stamps_s=own[:: -(-len(own) // config.max_samples)],
        window=(start_s, end_s),
        details=details,
        tracks=tuple(samples.agents[k].name for k in order[:MAX_LISTED]),
        margin_sigmas=sigmas,
        others=() if gap is None else (samples.agents[int(order[1])].name,),
    )


def chance_first(keys: np.ndarray, sigma: np.ndarray) -> float:
    """Probability that the first of (K,) things is really the least, their errors being independent.

    Args:
        keys: In ascending order. sigma: (K,) one-sigma of each.
    """
    if len(keys) < 2:
        return SUREST
    rivals = slice(1, 1 + _RIVALS)
    true = keys[0] + sigma[0] * _OFFSETS[:, None]
    behind = ndtr((keys[rivals] - true) / np.maximum(sigma[rivals], TINY))
    return min(float(_WEIGHTS @ behind.prod(axis=1)), SUREST)


def _samples(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Samples:
    """The samples of all things but the reference."""
    reference = query.reference
    things = [a for a in query.subjects if reference.track is None or a.name != reference.name]
    if not things:
        raise DeclineError(
            "NO_SUCH_OBJECT", f"nothing but {reference.label} itself was seen; ask about other things", ()
        )
    relates = query.kind not in ("fastest", "slowest")
    start_s, end_s = (-math.inf, math.inf) if query.window is None else query.window
    if is_instant(query.window):
        start_s, end_s = start_s - INSTANT_HALF_WINDOW_S, end_s + INSTANT_HALF_WINDOW_S
    if relates:
        q.require_places(reference)
        there = span(scene, reference)
        start_s, end_s = max(start_s, there[0]), min(end_s, there[1])
    samples = samples_in(things, start_s, end_s, config)
    if samples is None:
        when = "" if query.window is None else f" between {query.window[0]:.1f} s and {query.window[1]:.1f} s"
        whom = f" while {reference.label} was" if relates and reference.track is not None else ""
        raise DeclineError(
            "NOT_OBSERVED",
            f"none of {len(things)} things was seen often enough{when}{whom}; ask about another time",
            tuple(a.label for a in things[:20]),
        )
    return samples


def _distances(scene: Scene, samples: Samples, query: ResolvedQuery, config: RobustRules) -> Scores:
    """Least or greatest distance to the reference in the window, or that at an instant."""
    reference, t = query.reference, samples.stamps_s
    first_s, last_s = t[samples.first], t[samples.last]
    if is_instant(query.window):
        at_s = np.clip(query.window[0], first_s, last_s)
        due = np.repeat(at_s, samples.counts)
        index = samples.least_of_each(np.where(t >= due - 1e-9, t, math.inf))
    else:
        relative = samples.places_m - places_at(scene, reference, t)
        square = np.einsum("ni,ni->n", relative, relative)
        index = samples.least_of_each(-square if query.kind == "farthest" else square)
        at_s = t[index]
        if query.kind == "nearest":
            index, at_s = _nearest_between(samples, relative, index)
    places = read_places(scene, samples, index, at_s, reference, config)
    distance = np.sqrt(np.einsum("ki,ki->k", places.values_m, places.values_m))
    return Scores(distance, places.reading_sigma(config), float(distance.max()), at_s)


def _nearest_between(samples: Samples, relative: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times (K,) at which straight ways from sample to sample are nearest, and the next sample, about the nearest."""
    t = samples.stamps_s
    found = []
    for lo, hi in ((np.maximum(index - 1, samples.first), index), (index, np.minimum(index + 1, samples.last))):
        a, way = relative[lo], relative[hi] - relative[lo]
        share = -np.einsum("ki,ki->k", a, way) / np.maximum(np.einsum("ki,ki->k", way, way), 1e-300)
        share = np.clip(share, 0.0, 1.0)
        nearest = a + share[:, None] * way
        found.append((np.einsum("ki,ki->k", nearest, nearest), hi, t[lo] + share * (t[hi] - t[lo])))
    (before, here, at_s), (after, next_one, later_s) = found
    return np.where(before <= after, here, next_one), np.where(before <= after, at_s, later_s)


def _rates(scene: Scene, samples: Samples, query: ResolvedQuery, config: RobustRules) -> Scores:
    """Mean rate of change of the distance to the reference, from the first sample of each thing to its last."""
    t = samples.stamps_s
    first, last = (
        read_places(scene, samples, index, t[index], query.reference, config) for index in (samples.first, samples.last)
    )
    took_s = t[samples.last] - t[samples.first]
    near, far = (np.sqrt(np.einsum("ki,ki->k", p.values_m, p.values_m)) for p in (first, last))
    rate = (far - near) / took_s
    sigma = np.sqrt((first.sigma_m**2 + last.sigma_m**2) / 2)
    # `change_sigma` takes 12 / samples of the white variance: the ends of two lines have the sum of their shares.
    sigma = change_sigma(sigma, took_s, 12.0 / (first.white_share + last.white_share), config) / took_s
    way = last.values_m - first.values_m
    speed = np.sqrt(np.einsum("ki,ki->k", way, way)) / took_s
    least = np.maximum(config.fraction * speed, ROUNDING * np.maximum(near, far) / took_s)
    sign = -1.0 if query.kind == "fastest_approaching" else 1.0
    if not (sign * rate > np.maximum(config.sigmas * sigma, least)).any():
        best = int((sign * rate).argmax())
        does = "approaches" if sign < 0 else "moves away from"
        number = f", at {sign * rate[best]:.2f} ± {sigma[best]:.2f} m/s" if scene.metric else ""
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"nothing {does} {query.reference.label} beyond noise: {samples.agents[best].label} comes nearest to"
            f" that{number}; ask how the distances change",
            tuple(a.label for a in samples.agents[:MAX_LISTED]),
        )
    return Scores(rate, sigma, float((np.maximum(near, far) / took_s).max()))


def _speeds(scene: Scene, samples: Samples, query: ResolvedQuery, config: RobustRules) -> Scores:
    """Mean speed in the world."""
    speeds = mean_speeds(scene, samples, config)
    far = float(np.abs(samples.places_m).max())
    took_s = float((samples.stamps_s[samples.last] - samples.stamps_s[samples.first]).min())
    return Scores(speeds.values_mps, speeds.sigma_mps, far / took_s)


def _chance_of_sign(kind: str, scores: Scores, first: int) -> float:
    """Probability that the winner approaches or recedes at all, 1 for the other kinds."""
    if not kind.startswith("fastest_"):
        return 1.0
    return float(chance_beyond(abs(scores.values[first]), 0.0, scores.sigma[first]))


def _rows(scene: Scene, samples: Samples, scores: Scores, order: np.ndarray) -> list[dict]:
    """The first of the order, with their numbers where the scene has a scale."""
    rows = []
    for k in order.tolist():
        agent = samples.agents[k]
        rows.append({"track": agent.name, "label": agent.label})
        if scene.metric:
            rows[-1] |= {"value": float(scores.values[k]), "sigma": float(scores.sigma[k])}
    return rows


def _undecided(query: ResolvedQuery, samples: Samples, scores: Scores, order, chance: float, tie: bool) -> DeclineError:
    """Who may be first, where nobody is likely to be."""
    first = int(order[0])
    noise = np.hypot(scores.sigma[order], scores.sigma[first])
    gap = np.abs(scores.values[order] - scores.values[first])
    close = [samples.agents[k] for k in order[gap <= np.maximum(noise, ROUNDING * gap.max())].tolist()]
    close = close if len(close) > 1 else [samples.agents[k] for k in order[:2].tolist()]
    sure = "they are alike" if tie else f"{close[0].label} is only {100 * chance:.0f} % sure"
    return DeclineError(
        "TOO_UNCERTAIN",
        f"{len(close)} of {len(order)} things may be the {query.kind.replace('_', ' ')}: {sure};"
        " ask about another window, or compare two by name",
        tuple(agent.label for agent in close[:MAX_LISTED]),
    )


_MEASURES = {
    "nearest": _distances,
    "farthest": _distances,
    "fastest": _speeds,
    "slowest": _speeds,
    "fastest_approaching": _rates,
    "fastest_receding": _rates,
}
RANKING_KINDS = dict.fromkeys(_MEASURES, find_ranked)
