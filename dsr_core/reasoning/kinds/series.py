"""Kinds that are one quantity over time: distance, direction, orientation, speed, comparison, prediction, motion."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import calibration
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning import states as judge
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.judgement import Judgement
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.noise import middle
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.vocabulary import UNITS
from dsr_core.reasoning.window import check_viewpoint_time, is_instant, stamps_in
from dsr_core.scene import Scene

#: Kinds whose states are those of one instant when the window has no length.
_OF_AN_INSTANT = ("direction", "orientation")


def find_series(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Window -> quantity -> states -> value."""
    query = complete(query)
    if query.absolute and query.viewer.at_s is not None:
        check_viewpoint_time(scene, query.viewer.agent, query.viewer.at_s)
    t = stamps_in(scene, needed(query), query.window, config)
    instant = is_instant(query.window)
    end_s = query.window[0] if instant else float(t[-1])
    query = fix_viewpoint(query, query.window[0] if instant else float(t[0]))
    measured = measure(scene, query, t)
    judged = _judge(query, measured, t, config)
    states, chances, others, weakest = judged.states, judged.chances, judged.others, judged.weakest
    if instant and query.kind in _OF_AN_INSTANT:
        k = next(i for i, s in enumerate(states) if s.end >= end_s - 1e-9)
        states, chances, others, weakest = (State(states[k].label, end_s, end_s),), (chances[k],), (others[k],), 0
    value, sigma = value_at(query.kind, measured, end_s, config)
    window = (end_s, end_s) if instant else (float(t[0]), end_s)
    return Found(
        states,
        value,
        sigma,
        judged.margin,
        math.prod(chances),
        t,
        window,
        query.viewer.at_s,
        motion_details(states) if query.kind == "motion" else {},
        margin_sigmas=judged.margin_sigmas,
        chances=chances,
        others=others,
        weakest=weakest,
    )


def motion_details(states: tuple[State, ...]) -> dict:
    """When a thing started and stopped, and its end: "moving", "moved" (still by then) or "parked" (it never moved)."""
    events = [{"event": "started" if s.label == "moving" else "stopped", "at_s": s.start} for s in states[1:]]
    ever = any(s.label == "moving" for s in states)
    summary = "moving" if states[-1].label == "moving" else "moved" if ever else "parked"
    return {"events": events, "summary": summary}


def complete(query: ResolvedQuery) -> ResolvedQuery:
    """Fills in what the kind implies and refuses what makes no sense."""
    if query.kind in ("distance", "direction") and query.other is None:
        query = query.replaced(other=query.viewer.agent)
    if query.kind in ("distance", "direction", "speed_comparison"):
        q.require_two_things(query.subject, query.other)
        if query.kind == "distance":
            q.require_places(query.subject, query.other)
    if query.kind == "motion" or (query.kind in ("speed", "speed_comparison") and query.absolute):
        # A frame that is held fixed changes no speed, so neither the viewer's place nor its heading is needed.
        query = query.replaced(viewer=q.Viewer(Agent("map")), absolute=False)
    return query


def fix_viewpoint(query: ResolvedQuery, start_s: float) -> ResolvedQuery:
    """An absolute viewpoint without a time is that of the window's start."""
    if not query.absolute or query.viewer.at_s is not None:
        return query
    return query.replaced(viewer=q.Viewer(query.viewer.agent, start_s))


def needed(query: ResolvedQuery) -> list[Agent]:
    """The agents that must have been seen in the window."""
    agents = [query.subject] + ([query.other] if query.other else [])
    if query.kind not in ("distance", "motion") and not query.absolute:
        agents.append(query.viewer.agent)
    return agents


def measure(scene: Scene, query: ResolvedQuery, stamps_s: np.ndarray) -> tuple[q.Series, ...]:
    """The series that the kind is judged by; positions where speeds come from them."""
    kind = query.kind
    if kind == "distance":
        return (q.distance(scene, query.subject, query.other, stamps_s),)
    if kind == "direction":
        return (q.direction(scene, query.subject, query.other, query.viewer, stamps_s),)
    if kind == "orientation":
        return (q.orientation(scene, query.subject, query.viewer, stamps_s),)
    positions = [q.position_in_view(scene, query.subject, query.viewer, stamps_s)]
    if kind == "speed_comparison":
        positions.append(q.position_in_view(scene, query.other, query.viewer, stamps_s))
    return tuple(positions)


def _judge(query: ResolvedQuery, measured, t, config) -> Judgement:
    kind, first = query.kind, measured[0]
    if kind == "distance":
        judged = judge.trend_states(t, first.values, first.sigma, config)
    elif kind in ("direction", "orientation"):
        judged = judge.direction_states(t, first.values, first.sigma, config)
    elif kind == "motion":
        judged = judge.motion_states(t, first.values, first.sigma, query.subject.length_m, config)
    elif kind == "speed":
        speed = q.speed(first, config)
        smoothed_s = 2.0 * config.speed_half_window_s
        judged = judge.trend_states(t, speed.values, speed.sigma, config, smoothed_s)
        judged = _or_at_rest(replace(judged, certain=True), "constant", t, ((query.subject, first),), config)
    elif kind == "speed_comparison":
        a, b = q.speed(first, config), q.speed(measured[1], config)
        judged = judge.comparison_states(t, a.values, b.values, np.hypot(a.sigma, b.sigma), config)
        both = ((query.subject, first), (query.other, measured[1]))
        judged = _or_at_rest(judged, "same", t, both, config)
    else:
        judged = _predict(query, first, t, config)
    require_certain(judged, kind, middle(first.sigma))
    return judged


def _or_at_rest(judged: Judgement, label: str, t, things, config) -> Judgement:
    """Things that stand still have a constant speed, and the same one, however small a change the noise could hide."""
    if not any(s.label == label and p < 0.99 for s, p in zip(judged.states, judged.chances, strict=True)):
        return judged
    rest = 1.0
    for agent, position in things:
        raw = judge.rest_chance(t, position.values, position.sigma, agent.length_m, config)
        rest *= calibration.state_confidence("motion", "still", raw) if raw > 0.0 else 0.0
    chances = tuple(
        rest + (1.0 - rest) * p if s.label == label else p for s, p in zip(judged.states, judged.chances, strict=True)
    )
    return replace(judged, chances=chances, confidence=math.prod(chances))


def require_certain(judged: Judgement, kind: str, sigma: float) -> None:
    """Declines where the noise hides what is asked."""
    if not judged.certain:
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"the noise ({sigma:.2g} {'rad' if UNITS[kind] == 'rad' else 'm'} one sigma)"
            f" is too large to judge the {kind.replace('_', ' ')};"
            " ask for a longer window or a nearer thing",
        )


def _predict(query: ResolvedQuery, position: q.Series, t, config) -> Judgement:
    # The slope over the last second: half a second to either side of half a second ago.
    velocity, sigma = q.heading(position, float(t[-1]) - config.speed_half_window_s, config)
    speed = float(np.linalg.norm(velocity))
    # A velocity whose noise is half of it points within half a radian of its direction.
    if not speed * config.uncertain_angle_rad > max(sigma, 1e-9):
        raise no_direction(query.subject, speed, sigma)
    judged = judge.direction_states([t[-1]], velocity[None], sigma / speed, config)
    return judged


def no_direction(agent: Agent, speed: float, sigma: float) -> DeclineError:
    noise = f", which noise of {sigma:.2f} m/s (one sigma) can fake" if speed > 0.005 else ""
    return DeclineError("TOO_UNCERTAIN", f"{agent.label} moves at {speed:.2f} m/s{noise}: no direction to predict")


def value_at(kind: str, measured, end_s: float, config) -> tuple[float, float]:
    """Value and one-sigma at the window's end."""
    first = measured[0]
    if kind == "distance":
        return float(np.interp(end_s, first.stamps_s, first.values)), _at(first.sigma, first, end_s)
    if kind in ("direction", "orientation"):
        i = int(np.abs(first.stamps_s - end_s).argmin())
        x, y, _ = first.values[i]
        flat = math.hypot(x, y) / max(float(np.linalg.norm(first.values[i])), 1e-12)
        return math.atan2(y, x), float(first.sigma[i]) / max(flat, 1e-3)
    if kind == "direction_prediction":
        velocity, sigma = q.heading(first, end_s - config.speed_half_window_s, config)
        return math.atan2(velocity[1], velocity[0]), sigma / max(float(np.hypot(*velocity[:2])), 1e-9)
    velocity, sigma = q.heading(first, end_s, config)
    speed = float(np.linalg.norm(velocity))
    if kind == "speed_comparison":
        other, other_sigma = q.heading(measured[1], end_s, config)
        return speed - float(np.linalg.norm(other)), math.hypot(sigma, other_sigma)
    return speed, sigma


def _at(values, series: q.Series, at_s: float) -> float:
    return float(values[int(np.abs(series.stamps_s - at_s).argmin())])


SERIES_KINDS = dict.fromkeys(
    ("distance", "direction", "orientation", "speed", "speed_comparison", "direction_prediction", "motion"), find_series
)
