"""Kinds that compare a window's end with its start: how far, which way, nearer or farther, to the left or right.

They are the questions of MLLM-4D (arXiv 2603.00515, section 3), from poses of one convention: `T_world_camera` maps
camera to world, so the centre is its translation and a displacement turns into the viewer's frame by R^T. (The paper
takes the translations of world-to-camera poses for centres, whose sign is wrong already without rotation.)
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import Agent, motion
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.boxes import box_motion, distance_to_box
from dsr_core.reasoning.decide import Decision, decide_change, decide_moved
from dsr_core.reasoning.ends import Change, change_between, read_at, stamps_near, white_at_most, white_of
from dsr_core.reasoning.kinds.base import Found, ResolvedQuery
from dsr_core.reasoning.kinds.series import require_certain
from dsr_core.reasoning.noise import ROUNDING, change_sigma, middle, probability
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.states import direction_states, motion_states
from dsr_core.reasoning.way import way_length
from dsr_core.reasoning.window import check_viewpoint_time, is_instant, stamps_in
from dsr_core.scene import Scene

_SIDES = (("front", "behind"), ("left", "right"), ("above", "below"))


def displacement_of(scene: Scene, agent: Agent, start_s: float, end_s: float, rules: RobustRules) -> Change:
    """The agent's places (3,) in the world at the window's ends."""
    stamps = stamps_near(scene, [agent], (start_s, end_s), rules)
    m = motion(scene, agent, stamps)
    return change_between(stamps, m.positions_m, q.world_sigma(scene, m.covariances), start_s, end_s, rules)


def find_displacement(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """|p(e) - p(s)| in the world."""
    t = window_stamps(scene, query, [query.subject], config)
    change = displacement_of(scene, query.subject, float(t[0]), float(t[-1]), config)
    decision = decide_moved(change, query.subject, config)
    label, other = ("moved", "stayed") if decision.changed else ("stayed", "moved")
    value = float(np.linalg.norm(change.vector))
    return _found(query, t, decision, label, other, value, change.sigma, None)


def find_path_length(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Length of the way in the world while the subject moves."""
    t = window_stamps(scene, query, [query.subject], config)
    m = motion(scene, query.subject, t)
    sigma = q.world_sigma(scene, m.covariances)
    judged = motion_states(t, m.positions_m, sigma, query.subject.length_m, config)
    typical = middle(sigma)
    require_certain(judged, query.kind, typical)
    moving = [(s.start, s.end) for s in judged.states if s.label == "moving"]
    stamps, positions = t, m.positions_m
    if len(t) == config.max_samples:  # it may be thinned out, which cuts corners
        driver = scene.stamps_s if query.subject.track is None else query.subject.track.stamps_s
        lo, hi = np.searchsorted(driver, [t[0] - 1e-9, t[-1] + 1e-9])
        stamps = driver[lo:hi]
        positions = motion(scene, query.subject, stamps).positions_m
    white = white_at_most(positions, typical)  # here all of the noise may be white: it makes the way longer
    value = way_length(stamps, positions, white, moving, config) if moving else 0.0
    duration = sum(end - start for start, end in moving) or float(t[-1] - t[0])
    samples = max(len(stamps) * duration / float(t[-1] - t[0]), 2.0)
    return Found(
        states=judged.states,
        value=value,
        sigma=float(change_sigma(typical, duration, samples, config, white)),
        margin=judged.margin,
        confidence=judged.confidence,
        stamps_s=t,
        window=(float(t[0]), float(t[-1])),
        margin_sigmas=judged.margin_sigmas,
        chances=judged.chances,
        others=judged.others,
        weakest=judged.weakest,
    )


def find_moving_direction(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Bearing of p(e) - p(s) in the viewer's frame at the window's start, or at the viewpoint's time."""
    t = window_stamps(scene, query, [query.subject], config)
    change = displacement_of(scene, query.subject, float(t[0]), float(t[-1]), config)
    decision = decide_moved(change, query.subject, config)
    if not decision.changed:
        still = _found(query, t, decision, "still", "", None, change.sigma, None)
        return replace(still, sigma=None, margin=None, others=())  # they are of a length, the kind's unit is rad
    at_s = float(t[0]) if query.viewer.at_s is None else query.viewer.at_s
    seen, heading_sigma = _view(scene, query, change.vector, at_s)
    length = float(np.linalg.norm(seen))
    angle = math.hypot(change.sigma / length, heading_sigma)
    judged = direction_states([t[-1]], seen[None], angle, config)
    if not judged.certain:
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"the noise ({angle:.2g} rad one sigma) is too large to name the direction in which {query.subject.label}"
            " moved; ask for a longer window or from the robot",
        )
    level = max(math.hypot(seen[0], seen[1]) / length, 1e-3)
    details = {"dominant": max_side(seen)}
    if scene.metric:
        details["components"] = dict(zip(("front", "left", "up"), seen.tolist(), strict=True))
    return Found(
        states=(State(judged.states[0].label, float(t[0]), float(t[-1])),),
        value=math.atan2(seen[1], seen[0]),
        sigma=angle / level,
        margin=judged.margin,
        confidence=judged.confidence * decision.chance,
        stamps_s=t,
        window=(float(t[0]), float(t[-1])),
        viewer_at_s=at_s,
        details=details,
        margin_sigmas=min(judged.margin / angle, decision.sigmas) if angle > 0 else decision.sigmas,
        others=judged.others,
    )


def _view(scene: Scene, query: ResolvedQuery, vector: np.ndarray, at_s: float) -> tuple[np.ndarray, float]:
    """A world vector in the viewer's frame at one time, and the one-sigma of that frame in rad."""
    check_viewpoint_time(scene, query.viewer.agent, at_s)
    axes = q.viewer_axes(scene, q.Viewer(query.viewer.agent), np.array([at_s]))
    return axes.rotations[0].T @ vector, float(axes.heading_sigma_rad[0])


def max_side(vector: np.ndarray) -> str:
    """The one side with the largest component of a vector (forward, left, up)."""
    k = int(np.abs(vector).argmax())
    return _SIDES[k][0 if vector[k] > 0 else 1]


def find_nearest_distance(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """From the object's place at the window's start to the nearest point of the subject's box at its end."""
    subject, other = query.subject, query.reference
    q.require_two_things(subject, other)
    q.require_places(subject, other)
    t = stamps_in(scene, [subject, other], query.window, config)
    start_s, end_s = query.window if is_instant(query.window) else (float(t[0]), float(t[-1]))
    place, place_covariance = _place(scene, other, start_s, config)
    centre, centre_covariance = _place(scene, subject, end_s, config)
    box = replace(box_motion(scene, subject, np.array([end_s])), positions_m=centre[None])
    n = distance_to_box(subject, box, place[None])
    value, unit = float(n.values_m[0]), n.toward[0]
    both = place_covariance + centre_covariance
    own = math.sqrt(max(float(unit @ both @ unit) if value > 0 else float(np.linalg.eigvalsh(both)[-1]), 0.0))
    # The noise of the ego's pose is one for all that is seen at one time: it enters by its change, of two samples.
    ego = float(change_sigma(scene.ego_sigma_m, end_s - start_s, 2, config)) if end_s > start_s else 0.0
    sigma = math.sqrt(own**2 + ego**2 + float(n.lever_m[0] * box.heading_sigma_rad[0]) ** 2)
    return Found(
        states=(),
        value=value,
        sigma=sigma,
        margin=None,
        confidence=probability(config.value_fraction * value, sigma),
        stamps_s=t,
        window=(start_s, end_s),
        details={"from_world_m": place.tolist(), "at_s": [start_s, end_s]},
    )


def _place(scene: Scene, agent: Agent, at_s: float, rules: RobustRules) -> tuple[np.ndarray, np.ndarray]:
    """The agent's place (3,) at a time and its own covariance (3, 3)."""
    stamps = stamps_near(scene, [agent], (at_s, at_s), rules)
    if len(stamps) < 3:
        m = motion(scene, agent, np.array([at_s]))
        return m.positions_m[0], m.covariances[0]
    m = motion(scene, agent, stamps)
    sigma = q.largest_sigma(m.covariances)
    reading = read_at(stamps, m.positions_m, sigma, at_s, white_of(m.positions_m, sigma, rules), rules)
    nearest = m.covariances[int(np.abs(stamps - at_s).argmin())]
    return reading.value, nearest * (reading.sigma / max(reading.sample_sigma, 1e-300)) ** 2


def find_distance_change(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """n(e) - n(s), n(t) from the object's place to the nearest point of the subject's box at t."""
    subject, other = query.subject, query.reference
    q.require_two_things(subject, other)
    t = window_stamps(scene, query, [subject, other], config)
    start_s, end_s = float(t[0]), float(t[-1])
    stamps = stamps_near(scene, [subject, other], (start_s, end_s), config)
    box, place = box_motion(scene, subject, stamps), motion(scene, other, stamps)
    n = distance_to_box(subject, box, place.positions_m)
    covariances = box.covariances + place.covariances
    along = np.sqrt(np.maximum(np.einsum("ti,tij,tj->t", n.toward, covariances, n.toward), 0.0))
    inside = n.values_m == 0.0
    if inside.any():
        along[inside] = q.largest_sigma(covariances[inside])
    sigma = np.hypot(along, n.lever_m * box.heading_sigma_rad)
    change = change_between(stamps, n.values_m[:, None], sigma, start_s, end_s, config)
    value = float(change.vector[0])
    reference = max(float(change.first.value[0]), float(change.last.value[0]), 0.0)
    rounding = ROUNDING * float(np.abs(place.positions_m).max())
    decision = decide_change(value, change.sigma, reference, config, rounding)
    label, beside = _labels(decision, value, "increasing", "decreasing")
    details = {"from_m": float(change.first.value[0]), "to_m": float(change.last.value[0])} if scene.metric else {}
    return _found(query, t, decision, label, beside, value, change.sigma, None, details)


def find_coordinate_change(scene: Scene, query: ResolvedQuery, config: RobustRules) -> Found:
    """Change of the subject's left (lateral) or forward (depth) coordinate in the viewer's frame."""
    axis, names = (1, ("left", "right")) if query.kind == "lateral_change" else (0, ("farther", "closer"))
    subject, viewer = query.subject, query.viewer
    q.require_places(viewer.agent)
    if not query.absolute:
        q.require_two_things(subject, viewer.agent)
    elif viewer.at_s is not None:
        check_viewpoint_time(scene, viewer.agent, viewer.at_s)
    t = window_stamps(scene, query, [subject] if query.absolute else [subject, viewer.agent], config)
    start_s, end_s = float(t[0]), float(t[-1])
    if query.absolute and viewer.at_s is None:
        check_viewpoint_time(scene, viewer.agent, start_s)
        viewer = q.Viewer(viewer.agent, start_s)
    stamps = stamps_near(scene, [subject, viewer.agent], (start_s, end_s), config)
    seen = q.position_in_view(scene, subject, viewer, stamps)
    change = change_between(stamps, seen.values, seen.sigma, start_s, end_s, config)
    value, sigma = float(change.vector[axis]), change.sigma
    if viewer.at_s is not None:  # one wrong heading of a view held fixed turns the whole way across into this one
        heading_sigma = q.viewer_axes(scene, viewer, stamps[:1]).heading_sigma_rad[0]
        sigma = math.hypot(sigma, float(heading_sigma * np.linalg.norm(np.delete(change.vector, axis))))
    reference = float(np.linalg.norm(change.first.value) + np.linalg.norm(change.last.value)) / 2
    decision = decide_change(value, sigma, reference, config)
    label, beside = _labels(decision, value, *names)
    ends = {"from_m": float(change.first.value[axis]), "to_m": float(change.last.value[axis])}
    return _found(query, t, decision, label, beside, value, sigma, viewer.at_s, ends if scene.metric else {})


def window_stamps(scene: Scene, query: ResolvedQuery, agents: list[Agent], config: RobustRules) -> np.ndarray:
    """Stamps of a window that has a start and an end."""
    q.require_places(query.subject, *agents)
    if is_instant(query.window):
        raise DeclineError(
            "BAD_WINDOW",
            f"the window starts and ends at {query.window[0]:.1f} s; a {query.kind.replace('_', ' ')} needs a start"
            " and a later end",
        )
    return stamps_in(scene, agents, query.window, config)


def _labels(decision: Decision, value: float, up: str, down: str) -> tuple[str, str]:
    """The label, and the one beside it."""
    trend = up if value > 0 else down
    return (trend, "constant") if decision.changed else ("constant", trend)


def _found(query, t, decision: Decision, label, other, value, sigma, viewer_at_s, details=None) -> Found:
    if decision.hidden:
        kind = query.kind.replace("_", " ")
        size = "" if sigma is None else f" ({sigma:.2g} m one sigma)"
        raise DeclineError(
            "TOO_UNCERTAIN",
            f"the noise{size} is too large to tell the {kind} of {query.subject.label} from none;"
            " ask for a longer window or a nearer thing",
        )
    start_s, end_s = float(t[0]), float(t[-1])
    return Found(
        states=(State(label, start_s, end_s),),
        value=value,
        sigma=sigma,
        margin=decision.margin,
        confidence=decision.chance,
        stamps_s=t,
        window=(start_s, end_s),
        viewer_at_s=viewer_at_s,
        details=details or {},
        margin_sigmas=decision.sigmas,
        others=(other,),
    )


METRIC_KINDS = {
    "displacement": find_displacement,
    "path_length": find_path_length,
    "moving_direction": find_moving_direction,
    "nearest_distance": find_nearest_distance,
    "distance_change": find_distance_change,
    "lateral_change": find_coordinate_change,
    "depth_change": find_coordinate_change,
}
