"""Kinds about how near two things come: in the past of the window, and after it if nothing changes."""

from __future__ import annotations

import math

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import Agent, motion
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.ends import read_at, white_of
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.noise import ROUNDING, chance_beyond, chance_within, probability
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.window import common_span, is_instant, stamps_in
from dsr_core.scene import Scene


def find_closest_approach(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Where both would be nearest if they kept the velocity of the last second before the window's end."""
    subject, other = query.subject, query.reference
    q.require_two_things(subject, other)
    q.require_places(subject, other)
    t = stamps_in(scene, [subject, other], _last_second(scene, query, config), config)
    end_s = query.window[0] if is_instant(query.window) else float(t[-1])
    place = relative_place(scene, subject, other, t)
    reading = read_at(t, place.values, place.sigma, end_s, white_of(place.values, place.sigma, config), config)
    middle_s = end_s if is_instant(query.window) else (float(t[0]) + end_s) / 2
    v, v_sigma = q.heading(place, middle_s, config)
    r, distance, speed = reading.value, float(np.linalg.norm(reading.value)), float(np.linalg.norm(v))
    rate = float(r @ v) / max(distance, 1e-12)

    span = max(float(t[-1] - t[0]), 1e-9)
    least = max(config.fraction * speed, ROUNDING * distance / span)
    threshold = max(config.sigmas * v_sigma, least)
    changes = abs(rate) > threshold
    trend = "approaching" if rate < 0 else "receding"
    if not changes and config.sigmas * v_sigma * span > config.uncertain_fraction * distance:
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"the noise of the velocities ({v_sigma:.2g} m/s one sigma) is too large to tell whether {subject.label}"
            f" and {other.label} approach; ask for a longer window or a nearer thing",
        )
    time_s = -rate * distance / speed**2 if changes and rate < 0 else 0.0
    nearest = float(np.linalg.norm(r + v * time_s))
    # d t*/d r = v / v^2 and |d t*/d v| = |r| / v^2; the miss changes by the place and by t* times the velocity.
    time_sigma_s = math.hypot(reading.sigma, distance * v_sigma / speed) / speed if time_s > 0 else 0.0
    details = {"time_to_s": time_s, "sigma_time_s": time_sigma_s, "at_s": end_s + time_s}
    if scene.metric:
        details["closing_mps"] = -rate
    # Between things at rest, and things that pass, it matters whether the distance changes.
    matters = max(least, config.fraction * distance / span)
    chance = chance_beyond(abs(rate), least, v_sigma) if changes else chance_within(rate, matters, v_sigma)
    margin = abs(abs(rate) - threshold)
    return Found(
        states=(State(trend if changes else "same", min(float(t[0]), end_s), end_s),),
        value=nearest,
        sigma=math.hypot(reading.sigma, time_s * v_sigma),
        margin=margin * span,
        confidence=float(chance),
        stamps_s=t,
        window=(end_s, end_s) if is_instant(query.window) else (float(t[0]), end_s),
        details=details,
        margin_sigmas=margin / v_sigma if v_sigma > 0 else math.inf,
        others=("same" if changes else trend,),
    )


def _last_second(scene: Scene, query: ResolvedQuery, config: RobustRules) -> tuple[float, float] | None:
    """The last second of the window that both were seen in."""
    if is_instant(query.window):
        return query.window
    first, last = common_span(scene, [query.subject, query.reference])
    if query.window is not None:
        first, last = max(first, query.window[0]), min(last, query.window[1])
    start = last - 2.0 * config.speed_half_window_s
    for agent in (query.subject, query.reference):
        if agent.track is not None:  # seen now and then: up to twice as long, for as many samples as it takes
            track = agent.track.between(last - 4.0 * config.speed_half_window_s, last + 1e-9)
            start = min((start, *track.stamps_s[track.observed][-config.min_samples :][:1]))
    # A window without common time is left as it is, for the message that says when the things were seen.
    return (max(start, first), last) if last > first else query.window


def find_closest_distance(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """When in the window the two were nearest, and how near."""
    subject, other = query.subject, query.reference
    q.require_two_things(subject, other)
    q.require_places(subject, other)
    t = stamps_in(scene, [subject, other], query.window, config)
    place = relative_place(scene, subject, other, t)
    # Of noisy distances the least one is too small; the means of half a second show where the least is.
    rough = np.linalg.norm(_smoothed(t, place, config), axis=1)
    k = int(rough.argmin())
    lo, hi = np.searchsorted(t, [t[k] - config.speed_half_window_s, t[k] + config.speed_half_window_s])
    near = slice(max(lo - 1, 0), min(hi + 1, len(t)))
    at_s, v = _nearest_time(t[near], place.values[near], float(t[k]))
    reading = read_at(t, place.values, place.sigma, at_s, white_of(place.values, place.sigma, config), config)
    distance, speed = float(np.linalg.norm(reading.value)), float(np.linalg.norm(v))
    # Along the way the place may err by its sigma; the time follows by the speed.
    details = {"at_s": at_s, "sigma_time_s": min(reading.sigma / max(speed, 1e-9), float(t[-1] - t[0]))}
    return Found(
        states=(),
        value=distance,
        sigma=reading.sigma,
        margin=None,
        confidence=probability(config.value_fraction * distance, reading.sigma),
        stamps_s=t,
        window=(float(t[0]), float(t[-1])),
        details=details,
    )


def relative_place(scene: Scene, subject: Agent, other: Agent, stamps_s: np.ndarray) -> q.Series:
    """p_subject - p_other (T, 3) in the world; the ego's own noise is the same in both."""
    a, b = motion(scene, subject, stamps_s), motion(scene, other, stamps_s)
    return q.Series(stamps_s, a.positions_m - b.positions_m, q.largest_sigma(a.covariances + b.covariances))


def _smoothed(t, place: q.Series, rules: RobustRules) -> np.ndarray:
    """Means of the samples within a quarter of a second, fewer at the ends so that these stay centred; exact ones as
    they are."""
    if not white_of(place.values, place.sigma, rules) > 0:
        return place.values
    reach = np.minimum(np.minimum(t - t[0], t[-1] - t), rules.min_duration_s / 2)
    lo = np.searchsorted(t, t - reach - 1e-9)
    hi = np.searchsorted(t, t + reach + 1e-9)
    total = np.concatenate([np.zeros((1, 3)), np.cumsum(place.values - place.values[0], axis=0)])
    return place.values[0] + (total[hi] - total[lo]) / (hi - lo)[:, None]


def _nearest_time(t, places, around_s: float) -> tuple[float, np.ndarray]:
    """Time at which the parabola through relative places (T, 3) is nearest to the origin, and the velocity there."""
    if len(t) < 4:
        return around_s, np.zeros(3)
    s = t - around_s
    basis = np.stack([np.ones_like(s), s, s**2], axis=1)
    p0, p1, p2 = np.linalg.lstsq(basis, places, rcond=None)[0]
    fine = np.linspace(s[0], s[-1], 101)
    distance = np.linalg.norm(p0 + fine[:, None] * p1 + fine[:, None] ** 2 * p2, axis=1)
    at = float(fine[distance.argmin()])
    place, velocity = p0 + at * p1 + at**2 * p2, p1 + 2 * at * p2
    curve = float(velocity @ velocity + 2 * place @ p2)
    if curve > 0:  # a Newton step, from a grid that is this fine
        at = min(max(at - float(place @ velocity) / curve, float(s[0])), float(s[-1]))
    return around_s + at, p1 + 2 * at * p2


APPROACH_KINDS = {"closest_approach": find_closest_approach, "closest_distance": find_closest_distance}
