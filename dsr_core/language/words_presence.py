"""Wording of the kinds of presence: where a thing is, whether it is in view, when it was last seen."""

from __future__ import annotations

import math

from dsr_core.language.phrases import Told, number_with_unit, said, the

PLACES = {
    "front": "in front of",
    "behind": "behind",
    "left": "to the left of",
    "right": "to the right of",
    "above": "above",
    "below": "below",
}
_SEEN = {"in_view": "in view", "occluded": "hidden from view", "out_of_view": "out of view"}


def place(label: str, whom: str) -> str:
    """ "in front of and to the left of the robot"."""
    return f"{' and '.join(PLACES[side] for side in label.split('|'))} {whom}"


def position(told: Told) -> str:
    at = told.states[-1].end
    number = f", {told.number} away" if told.number else ""
    bearing = told.details.get("bearing_rad")
    degrees = "" if bearing is None else f", bearing {math.degrees(bearing):.0f} degrees"
    viewer = told.names.get("viewer")
    seen = "" if told.names.get("object") in (None, viewer) else f", seen from {the(viewer)}"
    return said(
        told, f"{told.subject} is {place(told.states[-1].label, told.other)}{number} at {at:.1f} s{degrees}{seen}"
    )


def visibility(told: Told) -> str:
    first, *later = told.states
    if first.start == first.end:
        return said(told, f"{told.subject} is {_SEEN[first.label]} at {first.end:.1f} s")
    parts = [f"{told.subject} is {_SEEN[first.label]} from {first.start:.1f} s to {first.end:.1f} s"]
    parts += [f"then {_SEEN[s.label]} until {s.end:.1f} s" for s in later]
    total = f"; in view for {told.value:.1f} s in all" if later and told.value else ""
    return said(told, ", ".join(parts) + total)


def last_seen(told: Told) -> str:
    details = told.details
    at = f"at {details['at_s']:.1f} s"
    since = "ago" if details.get("until_now") else f"before {told.at_s:.1f} s"
    ago = "" if told.value is None else f", {told.value:.1f} s {since}"
    where = ""
    if "direction" in details:
        distance = number_with_unit(details.get("distance_m"), None, "m")
        where = f", {place(details['direction'], the(told.names.get('viewer')))}" + (
            f", {distance} away" if distance else ""
        )
    return said(told, f"{told.subject} was last seen {at}{ago}{where}")


PRESENCE_WORDS = {"position": position, "visibility": visibility, "last_seen": last_seen}
