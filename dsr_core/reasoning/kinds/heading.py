"""Kinds that speak of a heading: whether a thing faces another, and which way it turns."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import motion
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.ends import change_between, read_at, white_of
from dsr_core.reasoning.headings import heading_axes, turned_angle
from dsr_core.reasoning.hysteresis import from_labels, hysteresis
from dsr_core.reasoning.judgement import Judgement
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.kinds.series import require_certain
from dsr_core.reasoning.noise import (
    ROUNDING,
    chance_beyond,
    chance_within,
    change_sigma,
    middle,
    typical_sigma,
    white_sigma,
)
from dsr_core.reasoning.pieces import Lines, PooledSigma, Verdict, merge_and_judge, straight_pieces
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules
from dsr_core.reasoning.states import samples_of
from dsr_core.reasoning.window import is_instant, stamps_in
from dsr_core.scene import Scene

#: Words in the labels of things that roll on steered wheels: they do not turn on the spot.
_STEERED = frozenset("car van truck bus tram vehicle trailer lorry pickup taxi bicycle motorcycle cyclist".split())


def find_facing(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Angle between the subject's forward axis and the direction to the object, in the subject's own plane."""
    subject, other = query.subject, query.reference
    q.require_two_things(subject, other)
    q.require_places(subject, other)
    t = stamps_in(scene, [subject, other], query.window, config)
    a, b = motion(scene, subject, t, axes=True), motion(scene, other, t)
    toward = np.einsum("tji,tj->ti", a.rotations, b.positions_m - a.positions_m)[:, :2]
    length = np.linalg.norm(toward, axis=1)
    across = q.largest_sigma(a.covariances + b.covariances) / np.maximum(length, 1e-9)
    sigma = np.hypot(across, a.heading_sigma_rad)
    angle = np.abs(np.arctan2(toward[:, 1], toward[:, 0]))
    judged = facing_states(t, angle, sigma, config)
    require_certain(replace(judged, certain=judged.certain and bool(length.all())), "facing", middle(sigma))
    instant = is_instant(query.window)
    end_s = query.window[0] if instant else float(t[-1])
    unit = toward / np.maximum(length, 1e-9)[:, None]
    reading = read_at(t, unit, sigma, end_s, white_of(unit, sigma, config), config)
    states, chances, others, weakest = judged.states, judged.chances, judged.others, judged.weakest
    if instant:
        k = next((i for i, s in enumerate(states) if s.end >= end_s - 1e-9), len(states) - 1)
        states, chances, others, weakest = (State(states[k].label, end_s, end_s),), (chances[k],), (others[k],), 0
    return Found(
        states=states,
        value=abs(math.atan2(reading.value[1], reading.value[0])),
        sigma=reading.sigma,
        margin=judged.margin,
        confidence=math.prod(chances),
        stamps_s=t,
        window=(end_s, end_s) if instant else (float(t[0]), end_s),
        margin_sigmas=judged.margin_sigmas,
        chances=chances,
        others=others,
        weakest=weakest,
    )


def facing_states(stamps_s, angle_rad, sigma_rad, rules: RobustRules = DEFAULT_RULES) -> Judgement:
    """States "facing", "sideways", "away" of an angle (T,) of 0 to pi with a one-sigma (T,)."""
    t, angle, sigma = stamps_s, np.asarray(angle_rad, float), np.asarray(sigma_rad, float)
    # The two thresholds lie the same to either side of a right angle.
    aside = math.pi / 2 - angle
    threshold = math.pi / 2 - rules.facing_rad
    leave = threshold - np.clip(sigma, rules.direction_hysteresis, threshold / 2)
    sides = hysteresis(aside, np.full(len(t), threshold), leave)
    names = {1: "facing", 0: "sideways", -1: "away"}

    def chance(run: slice, label: str) -> tuple[float, str]:
        here, spread = aside[run], np.maximum(sigma[run], ROUNDING)
        tenth = len(here) // 10
        if label == "sideways":
            within = chance_within(here, threshold, spread)
            return float(np.partition(within, tenth)[tenth]), "facing" if middle(here) > 0 else "away"
        beyond = chance_beyond(here if label == "facing" else -here, middle(leave[run]), spread)
        return float(np.partition(beyond, tenth)[tenth]), "sideways"

    slack = np.abs(np.abs(aside) - threshold)
    judged = from_labels(t, [names[int(s)] for s in sides], slack, np.maximum(sigma, ROUNDING), rules, chance)
    return replace(judged, certain=middle(sigma) <= rules.uncertain_angle_rad)


def find_turning(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Change of the subject's heading about its own up axis."""
    subject = query.subject
    q.require_places(subject)
    t = stamps_in(scene, [subject], query.window, config)
    axes = heading_axes(scene, subject, t, config)
    seen = np.isfinite(axes.heading_sigma_rad)
    angle = turned_angle(axes.rotations, t)
    sigma = np.where(seen, axes.heading_sigma_rad, axes.heading_sigma_rad[seen].max())
    judged = turning_states(t, angle, sigma, config)
    if subject.track is not None and _STEERED & set(re.split(r"\W|_", subject.track.label.lower())):
        length_m, sigma_m = float(subject.track.size_lwh_m[0]), typical_sigma(q.world_sigma(scene, axes.covariances))
        judged = without_turns_on_the_spot(judged, t, angle, axes.positions_m, sigma_m, length_m, config)
    require_certain(judged, "turning", middle(sigma))
    change = change_between(t, angle[:, None], sigma, float(t[0]), float(t[-1]), config)
    total = float(change.vector[0])
    return Found(
        states=judged.states,
        value=total,
        sigma=change.sigma,
        margin=judged.margin,
        confidence=judged.confidence,
        stamps_s=t,
        window=(float(t[0]), float(t[-1])),
        details={"total_rad": total},
        margin_sigmas=judged.margin_sigmas,
        chances=judged.chances,
        others=judged.others,
        weakest=judged.weakest,
    )


def turning_states(stamps_s, angle_rad, sigma_rad=0.0, rules: RobustRules = DEFAULT_RULES) -> Judgement:
    """States "turning_left", "straight", "turning_right" of an unwrapped heading (T,), left positive.

    Args:
        stamps_s: (T,) increasing seconds.
        angle_rad: (T,) heading without jumps.
        sigma_rad: (T,) or number, one-sigma of a sample.
    """
    t, x = np.asarray(stamps_s, float), np.asarray(angle_rad, float)
    sigma = samples_of(sigma_rad, t)
    tolerance = np.maximum(sigma, rules.turn_rad / rules.sigmas)
    lines, noise_of = Lines(t, x, tolerance), PooledSigma(sigma)
    pieces = straight_pieces(lines, rules)
    white = white_sigma(x, typical_sigma(sigma), rules)

    def judge(lo, hi):
        (mean,), (slope,), middle_s, span = lines.fit(lo, hi)
        change = slope * span
        noise = change_sigma(noise_of(lo, hi), span, hi - lo, rules, white)
        threshold = max(rules.sigmas * noise, rules.turn_rad)
        # `merge_and_judge` judges runs of "constant" again as one: small turns one way add up.
        label, other, certain = "constant", "turning_left" if change > 0 else "turning_right", True
        if abs(change) <= threshold:
            chance = chance_within(change, rules.turn_rad, noise)
            certain = noise <= rules.uncertain_angle_rad
        else:
            label, other = other, label
            chance = chance_beyond(abs(change), rules.turn_rad, noise)
        return Verdict(label, abs(abs(change) - threshold), noise, certain, mean, slope, middle_s, chance, other)

    judged = merge_and_judge(t, pieces, judge, None, rules.min_duration_s)
    names = {"constant": "straight"}
    states = tuple(replace(s, label=names.get(s.label, s.label)) for s in judged.states)
    return replace(judged, states=states, others=tuple(names.get(o, o) for o in judged.others))


def without_turns_on_the_spot(
    judged: Judgement, stamps_s, angle_rad, positions_m, sigma_m: float, length_m: float, rules: RobustRules
) -> Judgement:
    """Takes turns of a steered vehicle that stands still for what they are: a heading of its label that wanders.

    By steering, the centre of a vehicle goes about its length a radian or more; half of that is asked for.

    Args:
        judged: As of `turning_states`. stamps_s: (T,). angle_rad: (T,). positions_m: (T, 3).
        sigma_m: One-sigma of a position. length_m: NaN where it is not known.
    """
    kept: list[tuple[State, float, str]] = []
    for state, chance, other in zip(judged.states, judged.chances, judged.others, strict=True):
        lo, hi = np.searchsorted(stamps_s, [state.start - 1e-9, state.end + 1e-9])
        path, angles = positions_m[lo:hi], angle_rad[lo:hi]
        if state.label != "straight" and len(path) > 1:
            far = float(np.linalg.norm(path - path[0], axis=1).max())
            needed = rules.steering_lengths * length_m * max(float(np.ptp(angles)), rules.turn_rad)
            if far < needed:
                chance = float(chance_beyond(needed, far, math.sqrt(2.0) * sigma_m))
                state, other = replace(state, label="straight"), state.label
        if kept and kept[-1][0].label == state.label:
            before, least, first = kept.pop()
            state, chance, other = replace(state, start=before.start), min(chance, least), first
        kept.append((state, chance, other))
    states, chances, others = zip(*kept, strict=True)
    if states == judged.states:
        return judged
    weakest = int(np.argmin(chances))
    return replace(
        judged, states=states, confidence=math.prod(chances), chances=chances, others=others, weakest=weakest
    )


HEADING_KINDS = {"facing": find_facing, "turning": find_turning}
