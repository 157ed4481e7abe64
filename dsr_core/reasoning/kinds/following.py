"""Whether one thing follows another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import Agent, Motion, motion, velocities
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.ends import read_at, white_of
from dsr_core.reasoning.headings import heading_axes
from dsr_core.reasoning.hysteresis import from_labels, hysteresis
from dsr_core.reasoning.judgement import Judgement
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.noise import (
    ROUNDING,
    SUREST,
    THREE_AXES,
    TINY,
    chance_beyond,
    change_sigma,
    typical_sigma,
    white_sigma,
)
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.travel import least_length
from dsr_core.reasoning.window import stamps_in
from dsr_core.scene import Scene

_NAMES = {True: "following", False: "not_following"}


@dataclass(frozen=True, eq=False)
class Speed:
    """A thing's speed in the world over time, (T,) each.

    Attributes:
        mps: Metres per second. sigma_mps: its one-sigma.
        over: How far the displacement over about a second is beyond the least one that counts, in units of that.
        sigmas: How far it is beyond none, in sigmas.
    """

    mps: np.ndarray
    sigma_mps: np.ndarray
    over: np.ndarray
    sigmas: np.ndarray


def find_following(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """The object goes ahead of the subject, on its way, at about its speed, for at least two seconds."""
    subject, other = query.subject, query.reference
    q.require_two_things(subject, other)
    q.require_places(subject, other)
    t = stamps_in(scene, [subject, other], query.window, config)
    a, b = (_axes_or_rest(scene, agent, t, config) for agent in (subject, other))
    speeds = [_speed(scene, m, agent, config) for m, agent in ((a, subject), (b, other))]
    place = b.positions_m - a.positions_m
    distance = np.maximum(np.linalg.norm(place, axis=1), 1e-12)
    own = q.largest_sigma(a.covariances + b.covariances)
    lengths = [agent.length_m for agent in (subject, other) if agent.length_m is not None]
    slack, sigma = _conditions(a, b, place, distance, own, speeds, max(lengths, default=math.inf), config)

    # A condition, once it holds, is kept until it fails by its noise, and by no less than the hysteresis of directions.
    eased = (slack / np.maximum(sigma, config.direction_hysteresis)).min(axis=0)
    eased = np.minimum(eased, np.minimum(speeds[0].over, speeds[1].over))
    sides = hysteresis(eased + 1.0, np.ones(len(t)), np.zeros(len(t)))
    sure = (slack / np.maximum(sigma, ROUNDING)).min(axis=0)
    sure = np.minimum(sure, np.minimum(speeds[0].sigmas, speeds[1].sigmas))

    def chance(run: slice, label: str) -> tuple[float, str]:
        z = sure[run] if label == "following" else -sure[run]
        tenth = len(z) // 10
        return float(chance_beyond(np.partition(z, tenth)[tenth], 0.0, 1.0)), _NAMES[label != "following"]

    weakest = slack.argmin(axis=0), np.arange(len(t))
    judged = from_labels(
        t,
        [_NAMES[side > 0] for side in sides.tolist()],
        np.abs(slack[weakest]) * distance,
        np.maximum(sigma[weakest], ROUNDING) * distance,
        config,
        chance,
    )
    if [s.label for s in judged.states] == ["following"] and t[-1] - t[0] < config.following_s - 1e-9:
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"{subject.label} is behind {other.label} and goes its way, but {t[-1] - t[0]:.1f} s are too short to tell"
            f" whether it follows; give a window of at least {config.following_s:.0f} s",
        )
    states, chances, others = _long_enough(judged, config)
    reading = read_at(t, place, own, float(t[-1]), white_of(place, own, config), config)
    gap = float(np.linalg.norm(reading.value))
    together = sum(s.end - s.start for s in states if s.label == "following")
    details = {"share": together / max(float(t[-1] - t[0]), 1e-9)}
    if states[-1].label == "following":
        details["headway_s"] = gap / float(speeds[0].mps[-1])
    return Found(
        states=states,
        value=gap,
        sigma=reading.sigma,
        margin=judged.margin,
        confidence=math.prod(chances),
        stamps_s=t,
        window=(float(t[0]), float(t[-1])),
        details=details,
        margin_sigmas=judged.margin_sigmas,
        chances=chances,
        others=others,
        weakest=int(np.argmin(chances)),
    )


def _conditions(a: Motion, b: Motion, place, distance, own, speeds, length_m: float, rules: RobustRules):
    """By how much each condition of following holds, (5, T), negative where it fails, and its one-sigma (5, T).

    On an arc the one ahead is seen under half the angle by which it has turned; what is left of its bearing is how far
    it is beside the subject's way. All are angles or logarithms of ratios, so they have no scale.
    """
    bearing, turn = _angle_in_plane(a.rotations, place), _angle_in_plane(a.rotations, b.rotations[:, :, 0])
    swing = own / distance
    first, second = (np.maximum(s.mps, 1e-12) for s in speeds)
    shares = [s.sigma_mps / mps for s, mps in zip(speeds, (first, second), strict=True)]
    aside = min(rules.beside_lengths * length_m, 1e100) / distance
    # A thing at one's own place is not ahead.
    bearing = np.where(swing > rules.uncertain_angle_rad, math.pi, bearing)
    slack = [
        rules.following_rad - np.abs(bearing),
        rules.following_rad - np.abs(turn),
        np.minimum(aside, math.pi) - np.abs(bearing - turn / 2),
        np.log(rules.following_headway_s * first / distance),
        math.log(rules.following_speeds) - np.abs(np.log(first / second)),
    ]
    sigma = [
        np.hypot(swing, a.heading_sigma_rad),
        np.hypot(a.heading_sigma_rad, b.heading_sigma_rad),
        np.hypot(swing, np.hypot(a.heading_sigma_rad, b.heading_sigma_rad) / 2),
        np.hypot(swing, shares[0]),
        np.hypot(*shares),
    ]
    return np.stack(slack), np.minimum(np.stack(sigma), math.pi)


def _axes_or_rest(scene: Scene, agent: Agent, t, rules: RobustRules) -> Motion:
    """Axes of a thing; one without orientation that stands still has any: it does not follow and is not followed."""
    try:
        return heading_axes(scene, agent, t, rules)
    except DeclineError as error:
        if error.code != "NO_ORIENTATION":
            raise
        m = motion(scene, agent, t)
        any_axes = np.broadcast_to(np.eye(3), (len(t), 3, 3))
        return Motion(t, m.positions_m, m.covariances, any_axes, np.full(len(t), math.pi))


def _angle_in_plane(rotations, vectors) -> np.ndarray:
    """Angle (T,) from the forward axes of (T, 3, 3) to world vectors (T, 3) in the plane of the axes, left positive."""
    seen = np.einsum("tji,tj->ti", rotations[:, :, :2], vectors)
    return np.arctan2(seen[:, 1], seen[:, 0])


def _speed(scene: Scene, m: Motion, agent: Agent, rules: RobustRules) -> Speed:
    t = m.stamps_s
    sigma = q.world_sigma(scene, m.covariances)
    velocity, spans, counts = velocities(t, m.positions_m, t, rules)
    noise = change_sigma(sigma, spans, counts, rules, white_sigma(m.positions_m, typical_sigma(sigma), rules))
    speed, spans = np.linalg.norm(velocity, axis=1), np.maximum(spans, 1e-9)
    least = least_length(rules, agent, m.positions_m)
    threshold = np.maximum(rules.sigmas * THREE_AXES * noise, least)
    sigmas = (speed * spans - least) / np.maximum(noise, TINY)
    return Speed(speed, noise / spans, speed * spans / threshold - 1.0, sigmas)


def _long_enough(judged: Judgement, rules: RobustRules) -> tuple[tuple[State, ...], tuple[float, ...], tuple[str, ...]]:
    """States, chances and neighbouring labels where following that lasts less than two seconds is none."""
    kept: list[tuple[State, float]] = []
    for state, chance in zip(judged.states, judged.chances, strict=True):
        if state.label == "following" and state.end - state.start < rules.following_s - 1e-9:
            state, chance = State("not_following", state.start, state.end), SUREST
        if kept and kept[-1][0].label == state.label:
            before, other = kept.pop()
            state, chance = State(state.label, before.start, state.end), min(chance, other)
        kept.append((state, chance))
    states, chances = zip(*kept, strict=True)
    return states, chances, tuple(_NAMES[s.label != "following"] for s in states)


FOLLOWING_KINDS = {"following": find_following}
