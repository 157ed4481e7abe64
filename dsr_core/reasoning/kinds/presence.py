"""Kinds of presence: where a thing is, whether it is in view, when it was last seen."""

from __future__ import annotations

import math

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import Agent, motion
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.ends import read_at, stamps_near, white_of
from dsr_core.reasoning.hysteresis import from_labels
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.noise import SUREST, chance_beyond, middle
from dsr_core.reasoning.picture import inside_picture
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.states import direction_states
from dsr_core.reasoning.window import check_viewpoint_time, check_window, is_instant, stamps_in
from dsr_core.scene import Scene


def find_position(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Where the subject is from the viewer (or from the object, in the viewer's axes) at the window's end."""
    q.require_two_things(query.subject, query.reference)
    q.require_places(query.subject, query.reference)
    fixed = query.absolute
    agents = [query.subject, *([] if query.other is None else [query.other])]
    t = stamps_in(scene, agents if fixed else [*agents, query.viewer.agent], query.window, config)
    end_s = query.window[1] if is_instant(query.window) else float(t[-1])
    viewer_at_s = (float(t[0]) if query.viewer.at_s is None else query.viewer.at_s) if fixed else None
    if fixed:
        check_viewpoint_time(scene, query.viewer.agent, viewer_at_s)
    return _position(scene, query, end_s, viewer_at_s, config)


def _position(
    scene: Scene, query: ResolvedQuery, end_s: float, viewer_at_s: float | None, config: RobustRules
) -> Found:
    viewer = q.Viewer(query.viewer.agent, viewer_at_s)
    stamps = stamps_near(scene, [query.subject], (end_s, end_s), config)
    stamps = stamps if len(stamps) else np.array([end_s])
    subject = motion(scene, query.subject, stamps)
    view = q.viewer_axes(scene, viewer, stamps)
    held = query.other is None and viewer_at_s is not None
    origin = view if query.other is None else motion(scene, query.other, stamps)
    own = subject.covariances + origin.covariances
    sigma = np.hypot(q.largest_sigma(own), scene.ego_sigma_m if held else 0.0)
    vectors = subject.positions_m - origin.positions_m
    reading = read_at(stamps, vectors, sigma, end_s, white_of(vectors, sigma, config), config)
    now = q.viewer_axes(scene, viewer, np.array([end_s]))
    seen, heading_sigma = now.rotations[0].T @ reading.value, float(now.heading_sigma_rad[0])
    distance = float(np.linalg.norm(seen))
    angle = math.hypot(reading.sigma / max(distance, 1e-9), heading_sigma)
    judged = direction_states([end_s], seen[None], angle, config)
    if not judged.certain:
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"the noise ({reading.sigma:.2g} m one sigma at {distance:.2g} m) is too large to say where"
            f" {query.subject.label} is; ask about another time or from another viewpoint",
        )
    details = {"bearing_rad": math.atan2(seen[1], seen[0])}
    if scene.metric:
        place = motion(scene, query.other, np.array([end_s])) if query.other is not None else now
        details["position_world_m"] = (place.positions_m[0] + reading.value).tolist()
        details["position_in_view_m"] = seen.tolist()
    return Found(
        states=(State(judged.states[0].label, end_s, end_s),),
        value=distance,
        sigma=reading.sigma,
        margin=judged.margin * distance,
        confidence=judged.confidence,
        stamps_s=stamps,
        window=(end_s, end_s),
        viewer_at_s=viewer_at_s,
        details=details,
        margin_sigmas=judged.margin / angle if angle > 0 else math.inf,
        others=judged.others,
    )


def find_last_seen(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """How long before the window's end (or now) the subject was last observed, and where it was then."""
    seen = _observed(query)
    check_window(scene, query.window)
    start_s, end_s = (float(seen[0]), scene.end_s) if query.window is None else query.window
    in_window = seen[np.searchsorted(seen, start_s - 1e-9) : np.searchsorted(seen, end_s + 1e-9, "right")]
    if not len(in_window):
        raise DeclineError("NOT_OBSERVED", _when_not_seen(query, seen, start_s, end_s))
    at_s = float(in_window[-1])
    details: dict = {"at_s": at_s, "until_now": query.window is None}
    try:
        position = _position(scene, query.replaced(other=None), at_s, None, config)
        details |= {**position.details, "direction": position.states[0].label}
        if scene.metric:
            details["distance_m"] = position.value
    except DeclineError:  # it was seen there and then, even where the viewer's place is not known
        if scene.metric:
            details["position_world_m"] = motion(scene, query.subject, np.array([at_s])).positions_m[0].tolist()
    return Found(
        states=(),
        value=max(end_s - at_s, 0.0),
        sigma=None,
        margin=None,
        confidence=SUREST,
        stamps_s=in_window,
        window=(start_s, end_s),
        details=details,
    )


def find_visibility(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """In the camera's view, hidden there, or outside of it, from the first observation on."""
    seen = _observed(query)
    if query.viewer.agent.track is not None:
        raise DeclineError(
            "BAD_REQUEST",
            f"what {query.viewer.agent.label} can see is not known; ask what the robot sees",
            ("robot", "camera"),
        )
    check_window(scene, query.window)
    start_s, end_s = (float(seen[0]), scene.end_s) if query.window is None else query.window
    start_s, end_s = max(start_s, float(seen[0])), min(end_s, max(scene.end_s, float(seen[-1])))
    if end_s < start_s:
        raise DeclineError("NOT_OBSERVED", _when_not_seen(query, seen, *query.window))
    known_until_s = max(scene.end_s, float(seen[-1]))
    states, chances, t, duration = [], [], start_s, 0.0
    for first, last in _runs_in_view(seen, known_until_s, config):
        if first > end_s or last < start_s or last == start_s < end_s:
            continue
        duration += min(last, end_s) - max(first, start_s)
        # A moment out of sight at either end of the window is too short for a state of its own.
        if first - t > (0.0 if states else config.min_duration_s):
            _add_out_of_sight(scene, query.subject, t, first, config, states, chances)
            t = first
        begin, t = t, end_s if end_s - last <= config.min_duration_s else last
        states.append(State("in_view", begin, t))
        chances.append(SUREST)
    if t < end_s or not states:
        _add_out_of_sight(scene, query.subject, t, end_s, config, states, chances)
    gaps = np.diff(seen)[(seen[1:] >= start_s) & (seen[:-1] <= end_s)]
    margins = np.append(np.abs(gaps - 2.0 * config.seen_s), 2.0 * config.seen_s)
    samples = seen[(seen >= start_s - 1e-9) & (seen <= end_s + 1e-9)]
    return Found(
        states=tuple(states),
        value=None if start_s == end_s else duration,
        sigma=None if start_s == end_s else _edge_sigma(seen, states, start_s, end_s),
        margin=float(margins.min()),
        confidence=math.prod(chances),
        stamps_s=samples,
        window=(start_s, end_s),
        chances=tuple(chances),
        weakest=int(np.argmin(chances)),
    )


def _observed(query: ResolvedQuery) -> np.ndarray:
    """Stamps (T,) at which the subject was really seen."""
    track = query.subject.track
    if track is None:
        raise DeclineError("BAD_REQUEST", f"the {query.subject.label} looks and is not looked for; name a thing", ())
    seen = track.stamps_s[track.observed]
    if not len(seen):
        raise DeclineError("NOT_OBSERVED", f"{query.subject.label} was never observed", ())
    return seen


def _when_not_seen(query: ResolvedQuery, seen, start_s: float, end_s: float) -> str:
    """ "car 12 was not seen between 1.0 s and 2.0 s, but at 0.4 s and at 3.0 s"."""
    k = int(np.searchsorted(seen, start_s))
    other = " and ".join(f"at {s:.1f} s" for s in (*seen[max(k - 1, 0) : k], *seen[k : k + 1]))
    return f"{query.subject.label} was not seen between {start_s:.1f} s and {end_s:.1f} s, but {other}"


def _runs_in_view(seen, known_until_s: float, config: RobustRules) -> list[tuple[float, float]]:
    """First and last second of each time in view; one that is shorter than a state is made as long as one."""
    cut = np.flatnonzero(np.diff(seen) > 2.0 * config.seen_s + 1e-9)
    firsts, lasts = seen[np.concatenate([[0], cut + 1])], seen[np.concatenate([cut, [len(seen) - 1]])].copy()
    if known_until_s - lasts[-1] <= config.seen_s:
        lasts[-1] = known_until_s
    lasts = np.minimum(np.maximum(lasts, firsts + config.min_duration_s), np.append(firsts[1:], known_until_s))
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _add_out_of_sight(scene, agent: Agent, start_s, end_s, config, states: list[State], chances: list[float]) -> None:
    """Adds the states of a time without observations, by the thing's predicted or last place."""
    lo, hi = np.searchsorted(scene.stamps_s, [start_s, end_s], "left")
    stamps = scene.stamps_s[lo:hi]
    if not len(stamps):
        stamps = np.array([(start_s + end_s) / 2])
    elif len(stamps) > config.max_samples:
        stamps = stamps[np.round(np.linspace(0, len(stamps) - 1, config.max_samples)).astype(int)]
    track = agent.track
    last = np.maximum(np.searchsorted(track.stamps_s, stamps + 1e-9) - 1, 0)
    inside = inside_picture(scene, track.smoothed_positions(last), stamps)
    if inside is None:
        states.append(State("out_of_view", start_s, end_s))
        chances.append(SUREST)
        return
    sigma = q.world_sigma(scene, track.smoothed_covariances(last))

    def chance(run: slice, label: str) -> tuple[float, str]:
        sign = 1.0 if label == "occluded" else -1.0
        return middle(chance_beyond(sign * inside[run], 0.0, sigma[run])), ""

    labels = ["occluded" if x > 0 else "out_of_view" for x in inside]
    judged = from_labels(stamps, labels, np.abs(inside), sigma, config, chance)
    cuts = [start_s, *(s.end for s in judged.states[:-1]), end_s]
    states += [State(s.label, a, b) for s, a, b in zip(judged.states, cuts[:-1], cuts[1:], strict=True)]
    chances += judged.chances


def _edge_sigma(seen, states, start_s: float, end_s: float) -> float:
    """One-sigma of the seconds in view: each coming and going falls anywhere between two frames."""
    edges = sum((s.start > start_s) + (s.end < end_s) for s in states if s.label == "in_view")
    step = middle(np.diff(seen)) if len(seen) > 1 else 0.0
    return step * math.sqrt(edges / 12.0)


PRESENCE_KINDS = {"position": find_position, "visibility": find_visibility, "last_seen": find_last_seen}
