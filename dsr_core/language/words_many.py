"""Wording of the kinds of many things: who is nearest, who is fastest, how many do something."""

from __future__ import annotations

from dsr_core.language.names import normalise_name, noun
from dsr_core.language.phrases import Told, number_with_unit, said, the
from dsr_core.language.words_presence import place
from dsr_core.reasoning.vocabulary import DIRECTION_KINDS

#: Things that one sentence lists.
MAX_LISTED = 10
_WAYS = {"front": "forward", "behind": "backward", "left": "left", "right": "right", "above": "up", "below": "down"}
#: What is said of things for which a label holds, of that kind or of any.
_PARTICIPLES = {
    "still": "standing still",
    ("distance", "increasing"): "moving away from {other}",
    ("distance", "decreasing"): "getting closer to {other}",
    ("distance", "constant"): "keeping their distance to {other}",
    ("distance_change", "increasing"): "farther from {other} at the end",
    ("distance_change", "decreasing"): "closer to {other} at the end",
    ("distance_change", "constant"): "as far from {other} at the end",
    ("speed", "increasing"): "speeding up",
    ("speed", "decreasing"): "slowing down",
    ("speed", "constant"): "keeping their speed",
    "first_faster": "faster than {other}",
    "same": "neither approaching {other} nor moving away",
    ("speed_comparison", "same"): "as fast as {other}",
    "second_faster": "slower than {other}",
    "facing": "facing {other}",
    "sideways": "with their side towards {other}",
    "away": "facing away from {other}",
    "moved": "that moved",
    "stayed": "that stayed in place",
    ("lateral_change", "left"): "moving to the left",
    ("lateral_change", "right"): "moving to the right",
    ("lateral_change", "constant"): "moving neither left nor right",
    "farther": "moving farther away",
    "closer": "coming closer",
    ("depth_change", "constant"): "keeping their depth",
    "approaching": "coming closer to {other}",
    "receding": "moving away from {other}",
    "left_to_right": "crossing in front of {other} from left to right",
    "right_to_left": "crossing in front of {other} from right to left",
    ("crossing", "none"): "not crossing in front of {other}",
    "overtook": "that overtook {other}",
    "overtaken": "that {other} overtook",
    "passed": "that passed {other}",
    ("overtaking", "none"): "that neither overtook {other} nor were overtaken by it",
    "following": "following {other}",
    "not_following": "not following {other}",
    "straight": "going straight",
    "occluded": "hidden from view",
}


def _when(told: Told) -> str:
    start, end = told.states[0].start, told.states[-1].end
    return f"at {end:.1f} s" if start == end else f"from {start:.1f} s to {end:.1f} s"


def _winner(told: Told) -> str:
    return the(told.details.get("winner") or told.states[-1].label)


def _runner_up(told: Told) -> str:
    """ ", then car 4 (12.0 m)"; "" where there is no other."""
    ranking = told.details.get("ranking") or ()
    if len(ranking) < 2:
        return ""
    number = number_with_unit(ranking[1].get("value"), None, told.unit)
    return f"; next is {the(ranking[1]['label'])}" + (f", {number}" if number else "")


def ranked_by_distance(told: Told) -> str:
    near = told.kind == "nearest"
    number = f": {told.number}" if told.number else ""
    at_s = told.details.get("at_s")
    instant = told.states[0].start == told.states[-1].end
    at = f" at {at_s:.1f} s" if at_s is not None and not instant else ""
    verb = "is" if instant else "came" if near else "was"
    degree = ("nearest to" if instant else "closest to") if near else "farthest from"
    text = f"{_winner(told)} {verb} {degree} {told.other} {_when(told)}{number}{at}{_runner_up(told)}"
    return said(told, text)


def ranked_by_speed(told: Told) -> str:
    number = f", at {told.number} on average" if told.number else ""
    text = f"{_winner(told)} was the {told.kind} {_when(told)}{number}{_runner_up(told)}"
    return said(told, text)


def ranked_by_rate(told: Told) -> str:
    does = "approached" if told.kind == "fastest_approaching" else "moved away from"
    speed = number_with_unit(None if told.value is None else abs(told.value), told.sigma, told.unit)
    number = f", at {speed} on average" if speed else ""
    ranking = told.details.get("ranking") or ()
    doing = len(ranking) > 1 and (ranking[1].get("value") or 0.0) * (told.value or 0.0) > 0.0
    second = number_with_unit(abs(ranking[1]["value"]), None, told.unit) if doing else ""
    then = f"; next is {the(ranking[1]['label'])}, {second}" if second else ""
    text = f"{_winner(told)} {does} {told.other} fastest {_when(told)}{number}{then}"
    return said(told, text)


def count(told: Told) -> str:
    rows = told.details.get("satisfying") or ()
    names = [the(row["label"]) for row in rows[:MAX_LISTED]]
    listed = ", ".join(names) + (f" and {len(rows) - MAX_LISTED} more" if len(rows) > MAX_LISTED else "")
    undecided = told.details.get("undecided") or ()
    unsure = f"; of {len(undecided)} more it cannot be told" if undecided else ""
    what = _satisfies(told)
    if told.form == "which" and listed:
        text = f"{listed}: {what} {_when(told)}{unsure}"
    else:
        text = f"{len(rows) or 'no'} {_things(told, len(rows))} {what} {_when(told)}"
        text += (f": {listed}" if listed else "") + unsure
    return f"{text[0].upper()}{text[1:]}."


def _things(told: Told, number: int) -> str:
    """ "cars", "car", "things"."""
    name = normalise_name(told.names.get("subject") or "thing")
    return noun("thing" if name == "anything" else name, number)


def _satisfies(told: Told) -> str:
    """What is true of those that are counted: "seen", "moving", "to the left of the robot"."""
    kind, asked = told.details.get("of"), told.details.get("asked")
    if kind is None:
        return "seen"
    labels = [asked] if isinstance(asked, str) else list(asked)
    return ", then ".join(_participle(kind, label, told.other) for label in labels)


def _participle(kind: str, label: str, other: str) -> str:
    if kind in ("direction", "position"):
        return place(label, other)
    if kind in DIRECTION_KINDS and label != "still":
        ways = " and ".join(_WAYS[side] for side in label.split("|"))
        return f"{'facing' if kind == 'orientation' else 'moving'} {ways}"
    words = _PARTICIPLES.get((kind, label)) or _PARTICIPLES.get(label) or label.replace("_", " ").replace("|", " and ")
    return words.format(other=other)


MANY_WORDS = {
    **dict.fromkeys(("nearest", "farthest"), ranked_by_distance),
    **dict.fromkeys(("fastest", "slowest"), ranked_by_speed),
    **dict.fromkeys(("fastest_approaching", "fastest_receding"), ranked_by_rate),
    "count": count,
}
