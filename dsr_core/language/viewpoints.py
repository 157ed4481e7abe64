"""Whose eyes: "from B's perspective", "as seen from B at 3 s", "from its own perspective" -> Viewpoint."""

from __future__ import annotations

import re

from dsr_core.language.mentions import Boxes, who_mentioned
from dsr_core.language.times import NUMBER, UNIT, seconds, tidy
from dsr_core.reasoning.query import Viewpoint

#: The subject's own eyes, before it is known who the subject is.
OWN = "own"

_VIEW = r"(?:perspectives?|point of view|viewpoint|view|eyes|frame|frame of reference)"
_V = r"(?P<viewer>[^,;:?!]{1,80}?)"
_WHOSE = rf"(?:{_V}'s?|(?P<own>my|your|our)|(?P<its>its|his|her|their))"
_AT = rf"(?: at (?:time |t ?= ?|second )?(?P<at>{NUMBER}) ?(?P<unit>{UNIT})?)?"
_BEGINS = (
    r"(?:how|what|which|who|where|when|is|are|am|was|were|do|does|did|will|would|compare|predict|in which|on which)\b"
)
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:following|from|in|using|through|taking) the {_VIEW} of {_V}{_AT}(?:,| (?={_BEGINS})) ?",
        rf"^(?:(?:following|from|in|through|taking) )?{_WHOSE} (?:own )?{_VIEW}{_AT}(?:,| (?={_BEGINS})) ?",
        rf"^(?:as )?(?:seen|viewed|observed) (?:from|by) {_V}{_AT}(?:,| (?={_BEGINS})) ?",
        rf"^(?:following|from|in|using|through|taking) the {_VIEW} of {_V}{_AT}$",
        rf",? (?:following|from|in|using|through|taking) the {_VIEW} of {_V}{_AT}(?:,|$)",
        rf",? (?:following|from|in|through|taking) {_WHOSE} (?:own )?{_VIEW}{_AT}(?:,|$)",
        rf",? (?:as seen|seen|as viewed|viewed|as observed) (?:from|by) {_V}{_AT}(?:,|$)",
        rf"^from (?:the )?(?P<viewer>[\w-]+(?: [\w-]+){{0,2}}) {_VIEW}(?:,| (?={_BEGINS})) ?",
        r",? from (?:the )?(?P<viewer>[\w-]+(?: [\w-]+){0,2}) (?:perspectives?|point of view|viewpoint)$",
    )
)
_HINT = re.compile(rf"\b{_VIEW}\b|\b(?:seen|viewed|observed) (?:from|by)\b", re.IGNORECASE)


def take_viewpoint(text: str, boxes: Boxes) -> tuple[str, Viewpoint | str | None]:
    """Cuts the words for a viewpoint out of the text; `OWN` is the eyes of the subject, None says nothing."""
    if not _HINT.search(text):
        return text, None
    for pattern in _PATTERNS:
        match = pattern.search(text)
        if not match:
            continue
        groups = match.groupdict()
        at = None if not groups.get("at") else seconds(groups["at"], groups["unit"])
        rest = tidy(f"{text[: match.start()]}, {text[match.end() :]}".replace(" ,", ","))
        if groups.get("its"):
            return rest, OWN
        agent = "robot" if groups.get("own") else who_mentioned(match["viewer"], boxes, at, loose=True)
        if agent is not None:
            return rest, Viewpoint(agent) if at is None else Viewpoint(agent, "absolute", at)
    return text, None


def as_viewpoint(given: str | dict | Viewpoint | None) -> Viewpoint | None:
    """A viewpoint as callers give it: a `Viewpoint`, its JSON form, or WHO."""
    if given is None or isinstance(given, Viewpoint):
        return given
    if isinstance(given, dict) and not set(given) - {"agent", "mode", "at"}:
        return Viewpoint(**given)
    return Viewpoint(given)
