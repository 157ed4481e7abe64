"""Wording of headings and meetings: facing, turning, approaching, crossing, overtaking, following."""

from __future__ import annotations

import math

from dsr_core.language.phrases import Told, number_with_unit, said
from dsr_core.language.who_moves import who_moves

_FACES = {"facing": "faces", "sideways": "has its side towards", "away": "faces away from"}
_TURNS = {"turning_left": "turns left", "turning_right": "turns right", "straight": "keeps its heading"}
_CROSSES = {"left_to_right": "from left to right", "right_to_left": "from right to left"}
_PASSES = {"overtook": "overtook", "overtaken": "was overtaken by", "passed": "passed"}
#: Less is no distance to a person: the two touch.
_AT_ONCE_S = 0.05


def _when(told: Told) -> str:
    start, end = told.states[0].start, told.states[-1].end
    return f"at {end:.1f} s" if start == end else f"from {start:.1f} s to {end:.1f} s"


def _history(told: Told, verbs: dict[str, str], other: str = "") -> str:
    """ "faces the robot from 0.0 s to 2.0 s, then faces away from it until 5.0 s"."""
    parts = []
    for i, state in enumerate(told.states):
        whom = f" {other if i == 0 else 'it'}" if other else ""
        if i:
            parts.append(f"then {verbs[state.label]}{whom} until {state.end:.1f} s")
        elif state.start == state.end:
            parts.append(f"{verbs[state.label]}{whom} at {state.end:.1f} s")
        else:
            parts.append(f"{verbs[state.label]}{whom} from {state.start:.1f} s to {state.end:.1f} s")
    return ", ".join(parts)


def _degrees(angle_rad: float, sigma_rad: float | None = None) -> str:
    spread = "" if not sigma_rad or not math.isfinite(sigma_rad) else f" ± {math.degrees(sigma_rad):.0f}"
    return f"{math.degrees(abs(angle_rad)):.0f}{spread} degrees"


def facing(told: Told) -> str:
    text = f"{told.subject} {_history(told, _FACES, told.other)}"
    if told.value is not None:
        at = f" at {told.at_s:.1f} s" if told.at_s is not None and told.states[0].start != told.states[-1].end else ""
        text += f"; {told.other} is {_degrees(told.value, told.sigma)} off its front{at}"
    return said(told, text)


def turning(told: Told) -> str:
    text = f"{told.subject} {_history(told, _TURNS)}"
    if told.value is not None and any(s.label != "straight" for s in told.states):
        side = "left" if told.value > 0 else "right"
        text += f"; {_degrees(told.value, told.sigma)} to the {side} in all"
    return said(told, text)


def closest_approach(told: Told) -> str:
    label, moves = told.states[-1].label, who_moves(told.names, told.motion)
    if label == "approaching":
        time_s, sigma_s = told.details.get("time_to_s", 0.0), told.details.get("sigma_time_s")
        how_near = f"at {told.number}" if told.value is not None else "nearest"
        when = "now" if time_s < _AT_ONCE_S else f"in {number_with_unit(time_s, sigma_s, 's')}"
        return said(told, f"as they move now, {told.subject} comes closest to {told.other} {when}, {how_near}{moves}")
    now = f" ({told.number} now)" if told.value is not None else ""
    if label == "receding":
        return said(
            told, f"{told.subject} moves away from {told.other}: as they move now they come no closer{now}{moves}"
        )
    return said(told, f"{told.subject} neither approaches {told.other} nor moves away{now}{moves}")


def closest_distance(told: Told) -> str:
    at_s = told.details.get("at_s")
    near = f", at {told.number}" if told.value is not None else ""
    when = f" at {at_s:.1f} s" if at_s is not None else ""
    return said(told, f"{told.subject} was closest to {told.other}{near}{when}")


def crossing(told: Told) -> str:
    events = told.details.get("events") or ()
    if not events:
        return said(told, f"{told.subject} did not cross in front of {told.other} {_when(told)}")
    parts = [f"{_CROSSES[e['label']]} at {e['at_s']:.1f} s{_length(told, e['value'], ' ahead')}" for e in events]
    return said(told, f"{told.subject} crossed in front of {told.other} {', then '.join(parts)}")


def overtaking(told: Told) -> str:
    events = told.details.get("events") or ()
    if not events:
        return said(told, f"neither {told.subject} nor {told.other} overtook the other {_when(told)}")
    parts = []
    for i, event in enumerate(events):
        still = ", which stood still," if event["label"] == "passed" else ""
        whom = told.other if i == 0 else "it"
        aside = _length(told, event["value"], " aside")
        parts.append(f"{_PASSES[event['label']]} {whom}{still} at {event['at_s']:.1f} s{aside}")
    return said(told, f"{told.subject} {', then '.join(parts)}")


def _length(told: Told, value: float | None, words: str) -> str:
    """ " (4.2 m ahead)"; "" where there is no scale."""
    number = number_with_unit(value, None, told.unit)
    return f" ({number}{words})" if number else ""


def following(told: Told) -> str:
    verbs = {"following": "follows", "not_following": "does not follow"}
    text = f"{told.subject} {_history(told, verbs, told.other)}"
    if told.states[-1].label == "following" and told.value is not None:
        headway = told.details.get("headway_s")
        behind = "" if headway is None else f" ({headway:.1f} s)"
        text += f"; {told.number}{behind} behind at {told.states[-1].end:.1f} s"
    return said(told, text)


EVENT_WORDS = {
    "facing": facing,
    "turning": turning,
    "closest_approach": closest_approach,
    "closest_distance": closest_distance,
    "crossing": crossing,
    "overtaking": overtaking,
    "following": following,
}
