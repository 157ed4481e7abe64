"""Events between two things: one crosses the view of the other, or overtakes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import Agent, Motion, motion
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.changes_of_side import ChangeOfSide, changes_of_side, nearest_miss
from dsr_core.reasoning.headings import has_axes, heading_axes
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.kinds.series import fix_viewpoint
from dsr_core.reasoning.noise import chance_beyond, middle
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.travel import Travel, least_length, travel_over
from dsr_core.reasoning.window import check_viewpoint_time, stamps_in
from dsr_core.scene import Scene


@dataclass(frozen=True)
class Event:
    """A change of side that was looked at: what it is, and how sure that is.

    `label` is what it would be called if it counts, `chance` the probability that it does.
    """

    label: str
    change: ChangeOfSide
    counts: bool
    chance: float
    value: float
    sigma: float
    margin: float


def find_crossing(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """The subject goes from one side of the viewer's forward axis to the other, in front of it, by its own motion."""
    subject = query.subject
    eyes = query.viewer if query.other is None else q.Viewer(query.other, query.viewer.at_s)
    query = query.replaced(viewer=eyes, other=None)
    q.require_places(subject, eyes.agent)
    if not query.absolute:
        q.require_two_things(subject, eyes.agent)
    elif eyes.at_s is not None:
        check_viewpoint_time(scene, eyes.agent, eyes.at_s)
    t = stamps_in(scene, [subject] if query.absolute else [subject, eyes.agent], query.window, config)
    query = fix_viewpoint(query, float(t[0]))
    eyes = query.viewer
    seen = q.position_in_view(scene, subject, eyes, t)
    axes = q.viewer_axes(scene, eyes, t).rotations
    m = motion(scene, subject, t)
    world = q.Series(t, m.positions_m, q.world_sigma(scene, m.covariances))
    forward, left = seen.values[:, 0], seen.values[:, 1]
    least = least_length(config, subject, seen.values)

    def judge(change: ChangeOfSide) -> Event:
        travel = travel_over(world, change.last, change.first, subject.length_m, config)
        here = slice(change.last, change.first + 1)
        ahead = float(np.interp(change.at_s, t[here], forward[here]))
        sigma = float(seen.sigma[change.last])
        k = change.last if change.at_s - t[change.last] < t[change.first] - change.at_s else change.first
        v = axes[k].T @ travel.velocity_mps
        speed = max(float(math.hypot(v[0], v[1])), 1e-12)
        # Its own motion must go across the view, not only the view across it, and not along the viewer's axis.
        across, threshold = float(change.sign * v[1]) / speed, math.sin(config.crossing_rad)
        turn_sigma = travel.sigma_mps / speed
        counts = travel.moves and ahead > 0 and across > threshold
        chance = change.chance * travel.chance * float(chance_beyond(ahead, 0.0, sigma))
        chance *= float(chance_beyond(across, threshold, turn_sigma))
        slack = min(travel.slack_m, ahead, (across - threshold) * math.hypot(*v[:2]) * config.min_duration_s)
        margin = min(change.clearance, slack) if counts else max(-slack, 0.0)
        label = "right_to_left" if change.sign > 0 else "left_to_right"
        return Event(label, change, counts, chance, ahead, sigma, margin)

    events = [judge(c) for c in changes_of_side(t, left, seen.sigma, least, config)]
    missed, short, k = nearest_miss(t, left, seen.sigma, least, config)
    if not events:
        lo, hi = max(k - 1, 0), min(k + 1, len(t) - 1)
        travel = travel_over(world, lo, hi, subject.length_m, config)
        missed *= travel.chance * float(chance_beyond(forward[k], 0.0, seen.sigma[k]))
    value = float(forward[int(np.abs(left).argmin())]) if not events else None
    return _of_events(t, events, missed, short, value, middle(seen.sigma), eyes.at_s)


def find_overtaking(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """The subject's place along the object's heading changes sign, close by, both heading the same way."""
    subject, other = query.subject, query.reference
    q.require_two_things(subject, other)
    q.require_places(subject, other)
    t = stamps_in(scene, [subject, other], query.window, config)
    a, b = motion(scene, subject, t), heading_axes(scene, other, t, config)
    place = a.positions_m - b.positions_m
    seen = np.einsum("tji,tj->ti", b.rotations, place)
    known = np.isfinite(b.heading_sigma_rad)
    heading_sigma = np.where(known, b.heading_sigma_rad, math.pi)
    own = q.largest_sigma(a.covariances + b.covariances)
    along, aside = seen[:, 0], seen[:, 1]
    sigma = np.hypot(own, heading_sigma * np.abs(aside))
    lengths = [agent.length_m for agent in (subject, other) if agent.length_m is not None]
    limit = config.beside_lengths * max(lengths, default=math.inf)
    least = max(least_length(config, agent, seen) for agent in (subject, other))
    worlds = [q.Series(t, m.positions_m, q.world_sigma(scene, m.covariances)) for m in (a, b)]

    def judge(change: ChangeOfSide) -> Event:
        here = slice(change.last, change.first + 1)
        k = change.last if change.at_s - t[change.last] < t[change.first] - change.at_s else change.first
        who = [
            travel_over(w, change.last, change.first, agent.length_m, config)
            for w, agent in zip(worlds, (subject, other), strict=True)
        ]
        side = abs(float(np.interp(change.at_s, t[here], aside[here])))
        side_sigma = math.hypot(float(own[k]), float(heading_sigma[k] * abs(along[k])))
        turn, turn_sigma = _turn_between(scene, subject, t, k, b, who[0], config)
        # Most of the change must be motion: beside an object that turns on the spot all things go past it.
        ahead, sign = b.rotations[k][:, 0], change.sign
        gained = sign * float((place[change.first] - place[change.last]) @ ahead)
        gaining = gained - 0.5 * sign * float(along[change.first] - along[change.last])
        slacks = [config.same_way_rad - turn, gaining, limit - side]
        chances = [
            float(chance_beyond(slacks[0], 0.0, turn_sigma)),
            float(chance_beyond(gaining, 0.0, own[k])),
            float(chance_beyond(limit, side, side_sigma)) if math.isfinite(limit) else 1.0,
        ]
        label = "overtaken" if change.sign < 0 else "overtook" if who[1].moves else "passed"
        moved = [who[0].moves] + ([who[1].moves] if change.sign < 0 else [])
        # To have overtaken or to have passed differ by whether the object moves.
        chances.append(who[0].chance * (who[1].chance if label != "passed" else 1.0 - who[1].chance))
        counts = all(moved) and all(slack > 0 for slack in slacks)
        chance = change.chance * math.prod(chances)
        short = min(slacks[0] * abs(float(place[k] @ place[k])) ** 0.5, slacks[1], slacks[2])
        margin = min(change.clearance, short) if counts else max(-short, 0.0)
        return Event(label, change, counts, chance, side, side_sigma, margin)

    events = [judge(c) for c in changes_of_side(t, along, sigma, least, config)]
    missed, short, k = nearest_miss(t, along, sigma, least, config)
    if not events:
        if math.isfinite(limit):
            missed *= float(chance_beyond(limit, abs(aside[k]), sigma[k]))
        lo, hi = max(k - 1, 0), min(k + 1, len(t) - 1)
        travels = [
            travel_over(w, lo, hi, agent.length_m, config) for w, agent in zip(worlds, (subject, other), strict=True)
        ]
        turn, turn_sigma = _turn_between(scene, subject, t, k, b, travels[0], config)
        missed *= travels[0].chance * float(chance_beyond(config.same_way_rad, turn, turn_sigma))
    value = abs(float(aside[int(np.abs(along).argmin())])) if not events else None
    return _of_events(t, events, missed, short, value, middle(own), None)


def _turn_between(scene, subject: Agent, t, k: int, other: Motion, travel: Travel, config) -> tuple[float, float]:
    """Angle between the headings of two things at sample k in the second one's own plane, and its one-sigma."""
    own = heading_axes(scene, subject, t[k : k + 1], config) if has_axes(subject) else None
    if own is None:
        forward = travel.velocity_mps
        sigma = travel.sigma_mps / max(float(np.linalg.norm(forward)), 1e-12)
    else:
        forward, sigma = own.rotations[0][:, 0], float(own.heading_sigma_rad[0])
    x, y = (float(forward @ other.rotations[k][:, i]) for i in (0, 1))
    other_sigma = float(other.heading_sigma_rad[k])
    return abs(math.atan2(y, x)), math.hypot(sigma, other_sigma if math.isfinite(other_sigma) else math.pi)


def _of_events(t, events: list[Event], missed: float, short: float, value, sigma: float, viewer_at_s) -> Found:
    """One state an event, or "none" over the window.

    Args:
        missed: Probability that there was an event although no change of side was found.
        short: How far the coordinate stayed from one.
        value: Of no event.
    """
    counted = [e for e in events if e.counts]
    window = (float(t[0]), float(t[-1]))
    if not counted:
        chance = math.prod([1.0 - e.chance for e in events]) * (1.0 - missed if not events else 1.0)
        likely = max(events, key=lambda e: e.chance, default=None)
        margin = short if likely is None else likely.margin
        return Found(
            states=(State("none", *window),),
            value=value if likely is None else likely.value,
            sigma=sigma if likely is None else likely.sigma,
            margin=margin,
            confidence=chance,
            stamps_s=t,
            window=window,
            viewer_at_s=viewer_at_s,
            details={"events": []},
            margin_sigmas=margin / sigma if sigma > 0 else math.inf,
        )
    told = [_span_of(t, e) for e in counted]
    states: list[State] = []
    chances: list[float] = []
    for event, (start, end) in zip(counted, told, strict=True):
        if states and states[-1].label == event.label:
            states[-1] = State(event.label, states[-1].start, end)
            chances[-1] *= event.chance
        else:
            states.append(State(event.label, max(start, states[-1].end) if states else start, end))
            chances.append(event.chance)
    weakest = min(counted, key=lambda e: e.chance)
    last = counted[-1]
    rows = [
        {"label": e.label, "start": start, "end": end, "at_s": e.change.at_s, "value": e.value}
        for e, (start, end) in zip(counted, told, strict=True)
    ]
    return Found(
        states=tuple(states),
        value=last.value,
        sigma=last.sigma,
        margin=weakest.margin,
        confidence=math.prod(chances),
        stamps_s=t,
        window=window,
        viewer_at_s=viewer_at_s,
        details={"at_s": last.change.at_s, "sigma_at_s": last.change.sigma_s, "events": rows},
        margin_sigmas=weakest.margin / weakest.sigma if weakest.sigma > 0 else math.inf,
        chances=tuple(chances),
        others=("none",) * len(states),
        weakest=int(np.argmin(chances)),
    )


def _span_of(t, event: Event) -> tuple[float, float]:
    """When an event takes place: from the last sample before it to the first one after it, at least half a second."""
    start, end = float(t[event.change.last]), float(t[event.change.first])
    lacking = max(0.5 - (end - start), 0.0) / 2
    return max(start - lacking, float(t[0])), min(end + lacking, float(t[-1]))


EVENT_KINDS = {"crossing": find_crossing, "overtaking": find_overtaking}
