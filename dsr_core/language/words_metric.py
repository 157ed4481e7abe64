"""Wording of the kinds that compare a window's end with its start."""

from __future__ import annotations

import math

from dsr_core.language.phrases import Told, number_with_unit, said, the
from dsr_core.language.who_moves import trend_of, who_moves

_WAYS = {
    "front": "forward",
    "behind": "backward",
    "left": "to the left",
    "right": "to the right",
    "above": "up",
    "below": "down",
}
_COMPONENTS = (("front", "forward", "backward"), ("left", "left", "right"), ("up", "up", "down"))


def _when(told: Told) -> str:
    return f"from {told.states[0].start:.1f} s to {told.states[-1].end:.1f} s"


def _amount(told: Told) -> str:
    """The size of the value with its noise and a space before, "" where there is no number."""
    number = number_with_unit(None if told.value is None else abs(told.value), told.sigma, told.unit)
    return f" {number}" if number else ""


def _viewer(told: Told) -> str:
    return the(told.names.get("viewer"))


def displacement(told: Told) -> str:
    if told.states[-1].label == "moved":
        return said(told, f"{told.subject} moved{_amount(told)} {_when(told)}")
    return said(told, f"{told.subject} stayed where it was {_when(told)} ({_amount(told).strip()})")


def path_length(told: Told) -> str:
    moving = [s for s in told.states if s.label == "moving"]
    if not moving:
        return said(told, f"{told.subject} stood still {_when(told)}")
    alone = len(told.states) == 1
    spans = ", ".join(f"{s.start:.1f} s to {s.end:.1f} s" for s in moving)
    return said(told, f"{told.subject} went{_amount(told)} {_when(told)}" + ("" if alone else f" (moving {spans})"))


def moving_direction(told: Told) -> str:
    label = told.states[-1].label
    if label == "still":
        return said(told, f"{told.subject} did not move {_when(told)}")
    ways = " and ".join(_WAYS[side] for side in label.split("|"))
    parts = []
    components = told.details.get("components") or {}
    largest = max((abs(v) for v in components.values()), default=0.0)
    for name, plus, minus in _COMPONENTS:
        value = components.get(name, 0.0)
        if abs(value) > 0.1 * largest:
            parts.append(f"{number_with_unit(abs(value), None, 'm')} {plus if value > 0 else minus}")
    much = f": {', '.join(parts)}" if parts else ""
    itself = told.names.get("subject") == told.names.get("viewer")
    seen = "from where it was at the start" if itself else f"seen from {_viewer(told)}"
    bearing = f"; bearing {math.degrees(told.value):.0f} degrees" if told.value is not None else ""
    return said(told, f"{told.subject} moved {ways} {_when(told)}{much}, {seen}{bearing}")


def nearest_distance(told: Told) -> str:
    start, end = told.details.get("at_s") or (told.at_s, told.at_s)
    place = told.other if start == end else f"where {told.other} was at {start:.1f} s"
    return said(told, f"at {end:.1f} s the nearest point of {told.subject} was{_amount(told)} from {place}")


def distance_change(told: Told) -> str:
    label, details = told.states[-1].label, told.details
    ends = ""
    if "from_m" in details:
        ends = (
            f", from {number_with_unit(details['from_m'], None, 'm')} to {number_with_unit(details['to_m'], None, 'm')}"
        )
    moves = who_moves(told.names, told.motion, trend_of(told.states))
    if label == "constant":
        return said(told, f"{told.subject} kept its distance to {told.other} {_when(told)}{ends}{moves}")
    way = f"closer to {told.other}" if label == "decreasing" else f"farther from {told.other}"
    return said(told, f"{told.subject} got{_amount(told)} {way} {_when(told)}{ends}{moves}")


def lateral_change(told: Told) -> str:
    label = told.states[-1].label
    seen = f"as seen from {_viewer(told)}"
    moves = _who_moves_for_viewer(told)
    if label == "constant":
        return said(told, f"{told.subject} kept its place between left and right {_when(told)}, {seen}{moves}")
    return said(told, f"{told.subject} went{_amount(told)} to the {label} {_when(told)}, {seen}{moves}")


def depth_change(told: Told) -> str:
    label = told.states[-1].label
    seen = f"as seen from {_viewer(told)}"
    moves = _who_moves_for_viewer(told)
    if label == "constant":
        return said(told, f"{told.subject} kept its depth {_when(told)}, {seen}{moves}")
    verb = "came" if label == "closer" else "went"
    return said(told, f"{told.subject} {verb}{_amount(told)} {label} in depth {_when(told)}, {seen}{moves}")


def _who_moves_for_viewer(told: Told) -> str:
    if told.states[-1].label != "constant" and set(told.motion.values()) == {"still"}:
        return f"; both stand still, but {_viewer(told)} turns"
    return who_moves({**told.names, "object": None}, told.motion)


METRIC_WORDS = {
    "displacement": displacement,
    "path_length": path_length,
    "moving_direction": moving_direction,
    "nearest_distance": nearest_distance,
    "distance_change": distance_change,
    "lateral_change": lateral_change,
    "depth_change": depth_change,
}
