"""Names that choose one of several things: "the second nearest car", "the person on the left" -> WHO."""

from __future__ import annotations

import re

from dsr_core.language.names import is_known_name, without_article
from dsr_core.reasoning.query import Who

_SUPERLATIVES = {
    "nearest": "nearest",
    "closest": "nearest",
    "farthest": "farthest",
    "furthest": "farthest",
    "most distant": "farthest",
    "fastest": "fastest",
    "quickest": "fastest",
    "slowest": "slowest",
    "leftmost": "leftmost",
    "left most": "leftmost",
    "left hand": "leftmost",
    "left": "leftmost",
    "rightmost": "rightmost",
    "right most": "rightmost",
    "right hand": "rightmost",
    "right": "rightmost",
    "biggest": "biggest",
    "largest": "biggest",
    "smallest": "smallest",
    "tiniest": "smallest",
    "first": "first",
    "last": "last",
}
_STATES = {
    **dict.fromkeys("moving driving rolling walking running travelling traveling".split(), "moving"),
    **dict.fromkeys("still parked stationary standing stopped static motionless unmoving resting".split(), "still"),
}
_ALL = ("all of", "all", "every", "each")
_ORDINALS = dict(
    zip("first second third fourth fifth sixth seventh eighth ninth tenth".split(), range(1, 11), strict=True)
)
_ORDINAL = rf"(?P<rank>{'|'.join(_ORDINALS)}|\d{{1,3}}(?:st|nd|rd|th))"


def _either(words) -> str:
    """Longer words first; a space also stands for a hyphen."""
    return "|".join(sorted((w.replace(" ", "[ -]") for w in words), key=len, reverse=True))


_PREFIX = re.compile(
    rf"(?:(?P<all>{_either(_ALL)})|(?:{_ORDINAL}[ -])?(?P<how>{_either(_SUPERLATIVES)})|(?P<state>{_either(_STATES)})"
    r"|(?P<only>\d{1,3}(?:st|nd|rd|th)|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth))"
    r" (?P<rest>.+)",
    re.IGNORECASE,
)
_SUFFIX = re.compile(
    r"(?P<rest>.+?),? (?:(?:(?:that|which|who) (?:is|are) )?(?:on|to|at) (?:the|my|your|our) (?:far |very )?"
    r"(?P<side>left|right)(?:[ -]hand)?(?: side)?"
    rf"|(?:(?:that|which|who) (?:is|are) )(?P<state>{_either(_STATES)})(?: still)?"
    r"|(?:that|which|who) (?P<verb>moves|stands still)"
    rf"|(?:(?:that|which|who) (?:is|are) )?(?:the )?(?P<how>nearest|closest|farthest|furthest)(?: away)?"
    r"(?: (?:to|from) (?:me|us|you|the robot))?)",
    re.IGNORECASE,
)
#: Names of anything: "the nearest one" is the nearest of all things.
_ANY = frozenset("one ones thing things object objects obstacle obstacles".split())
#: With these, left and right are parts of the name.
_SIDED = frozenset("hand arm foot leg eye ear side shoe glove wheel door wing lane turn mirror".split())


def who_of(name: str) -> Who:
    """Reads a name that says which of several things is meant.

    "the second nearest car" -> {"label": "car", "select": "nearest", "rank": 2}; "the person on the left" ->
    {"label": "person", "select": "leftmost"}; "the parked van" -> {"label": "van", "select": "still"}; "the third
    car" -> {"label": "car", "select": "first", "rank": 3} (in the order of being seen first); "all cars" ->
    {"label": "cars", "select": "all"}. A name that holds no such words, or one that is itself the name of a class
    ("first aid kit"), comes back as it is, without its article.

    Args:
        name: As a person writes it.

    Returns:
        A name, or a mapping with `label` (left out for "the nearest one"), `select` and `rank`.
    """
    name = without_article(" ".join(name.split()))
    if is_known_name(name):
        return name
    match = _SUFFIX.fullmatch(name)
    if match:
        if match["side"]:
            return _who(match["rest"], f"{match['side'].lower()}most")
        if match["verb"]:
            return _who(match["rest"], "moving" if match["verb"].lower() == "moves" else "still")
        if match["state"]:
            return _who(match["rest"], _STATES[match["state"].lower()])
        return _who(match["rest"], _SUPERLATIVES[match["how"].lower()])
    match = _PREFIX.fullmatch(name)
    if match is None:
        return name
    if match["all"]:
        return _who(match["rest"], "all")
    if match["state"]:
        return _who(match["rest"], _STATES[match["state"].lower()])
    if match["only"]:
        inner = who_of(match["rest"])
        rank = _rank(match["only"])
        return _who(match["rest"], "first", rank) if isinstance(inner, str) else name
    how = re.sub(r"-", " ", match["how"].lower())
    if how.startswith(("left", "right")) and not how.endswith("most") and _SIDED & set(match["rest"].lower().split()):
        return name
    return _who(match["rest"], _SUPERLATIVES[how], _rank(match["rank"]))


def _rank(text: str | None) -> int:
    if not text:
        return 1
    return _ORDINALS.get(text.lower()) or int(re.sub(r"\D", "", text))


def _who(label: str, select: str, rank: int = 1) -> dict:
    label = without_article(label.strip())
    who: dict = {} if label.lower() in _ANY else {"label": label}
    who["select"] = select
    if rank != 1:
        who["rank"] = rank
    return who
