"""Whether one thing follows another."""

from __future__ import annotations

import math

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import Agent, Motion, motion, velocities
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.ends import read_at, white_of
from dsr_core.reasoning.headings import heading_axes
from dsr_core.reasoning.hysteresis import from_labels, hysteresis
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.noise import ROUNDING, THREE_AXES, chance_beyond, change_sigma, typical_sigma, white_sigma
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.travel import least_length
from dsr_core.reasoning.window import stamps_in
from dsr_core.scene import Scene


def find_following(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Both move, the object is ahead of the subject, and both head the same way, for at least two seconds."""
    subject, other = query.subject, query.reference
    q.require_two_things(subject, other)
    q.require_places(subject, other)
    t = stamps_in(scene, [subject, other], query.window, config)
    a, b = (_axes_or_rest(scene, agent, t, config) for agent in (subject, other))
    place = b.positions_m - a.positions_m
    distance = np.maximum(np.linalg.norm(place, axis=1), 1e-12)
    own = q.largest_sigma(a.covariances + b.covariances)
    bearing = _angle_in_plane(a.rotations, place)
    turn = _angle_in_plane(a.rotations, b.rotations[:, :, 0])
    bearing_sigma = np.hypot(own / distance, a.heading_sigma_rad)
    turn_sigma = np.hypot(a.heading_sigma_rad, b.heading_sigma_rad)
    slack = np.stack([config.following_rad - bearing, config.following_rad - turn])
    sigma = np.minimum(np.stack([bearing_sigma, turn_sigma]), math.pi)
    moves = [_speed_over_noise(scene, m, agent, config) for m, agent in ((a, subject), (b, other))]
    # In units of the noise, but of no less than the hysteresis of directions.
    eased = np.minimum((slack / np.maximum(sigma, config.direction_hysteresis)).min(axis=0), _eased(moves))
    sides = hysteresis(eased + 1.0, np.ones(len(t)), np.zeros(len(t)))
    names = {True: "following", False: "not_following"}
    sure = np.minimum((slack / np.maximum(sigma, ROUNDING)).min(axis=0), np.minimum(*(m[1] for m in moves)))

    def chance(run: slice, label: str) -> tuple[float, str]:
        z = sure[run] if label == "following" else -sure[run]
        tenth = len(z) // 10
        weak = float(np.partition(z, tenth)[tenth])
        return float(chance_beyond(weak, 0.0, 1.0)), names[label != "following"]

    lateral = np.abs(slack).min(axis=0) * distance
    spread = np.maximum(sigma.max(axis=0) * distance, ROUNDING)
    judged = from_labels(t, [names[bool(s > 0)] for s in sides], lateral, spread, config, chance)
    states = judged.states
    if [s.label for s in states] == ["following"] and t[-1] - t[0] < config.following_s - 1e-9:
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"{subject.label} is behind {other.label} and goes its way, but {t[-1] - t[0]:.1f} s are too short to tell"
            f" whether it follows; give a window of at least {config.following_s:.0f} s",
        )
    kept = _long_enough(states, judged, config)
    states, chances, others = kept
    series = q.Series(t, place, own)
    reading = read_at(t, place, own, float(t[-1]), white_of(place, own, config), config)
    gap = float(np.linalg.norm(reading.value))
    together = sum(s.end - s.start for s in states if s.label == "following")
    details = {"share": together / max(float(t[-1] - t[0]), 1e-9)}
    speed = float(np.linalg.norm(q.heading(q.Series(t, a.positions_m, series.sigma), float(t[-1]), config)[0]))
    if states[-1].label == "following" and speed > 0:
        details["headway_s"] = gap / speed
    weakest = int(np.argmin(chances))
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
        weakest=weakest,
    )


def _axes_or_rest(scene: Scene, agent: Agent, t, config) -> Motion:
    """Axes of a thing; one without orientation that stands still has any: it does not follow and is not followed."""
    try:
        return heading_axes(scene, agent, t, config)
    except DeclineError as error:
        if error.code != "NO_ORIENTATION":
            raise
        m = motion(scene, agent, t)
        return Motion(
            t, m.positions_m, m.covariances, np.broadcast_to(np.eye(3), (len(t), 3, 3)), np.full(len(t), np.pi)
        )


def _angle_in_plane(rotations, vectors) -> np.ndarray:
    """Angle (T,) between the forward axes of (T, 3, 3) and world vectors (T, 3) in the plane of the axes."""
    seen = np.einsum("tji,tj->ti", rotations[:, :, :2], vectors)
    return np.abs(np.arctan2(seen[:, 1], seen[:, 0]))


def _speed_over_noise(scene: Scene, m: Motion, agent: Agent, config) -> tuple[np.ndarray, np.ndarray]:
    """How far the speed (T,) is beyond its threshold, in units of the threshold; and beyond none in sigmas."""
    t = m.stamps_s
    sigma = q.world_sigma(scene, m.covariances)
    velocity, spans, counts = velocities(t, m.positions_m, t, config)
    noise = change_sigma(sigma, spans, counts, config, white_sigma(m.positions_m, typical_sigma(sigma), config))
    change = np.linalg.norm(velocity, axis=1) * spans
    least = least_length(config, agent, m.positions_m)
    threshold = np.maximum(config.sigmas * THREE_AXES * noise, least)
    return change / threshold - 1.0, (change - least) / np.maximum(noise, ROUNDING)


def _eased(moves) -> np.ndarray:
    return np.minimum(*(m[0] for m in moves))


def _long_enough(states, judged, config):
    """Following that lasts less than two seconds is none."""
    out: list[State] = []
    chances: list[float] = []
    others: list[str] = []
    for state, chance, other in zip(states, judged.chances, judged.others, strict=True):
        # At the window's edges it may go on, but that is not known.
        if state.label == "following" and state.end - state.start < config.following_s - 1e-9:
            state, chance, other = State("not_following", state.start, state.end), 1.0, "following"
        if out and out[-1].label == state.label:
            out[-1] = State(state.label, out[-1].start, state.end)
            chances[-1] = min(chances[-1], chance)
        else:
            out.append(state)
            chances.append(chance)
            others.append(other)
    return tuple(out), tuple(min(c, 0.999) for c in chances), tuple(others)


FOLLOWING_KINDS = {"following": find_following}
