"""Options of a multiple-choice question -> the states that they speak of."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dsr_core.language.directions import direction_label
from dsr_core.language.names import normalise_name, same_class
from dsr_core.language.trends import WORDED_KINDS, trend_label
from dsr_core.reasoning.vocabulary import DIRECTION_KINDS, VOCABULARY

#: Options that say nothing of the world are never chosen.
_UNSURE = re.compile(
    r"\b(?:not (?:enough|sufficient) information|cannot (?:be )?(?:tell|told|say|determined?|answer\w*)"
    r"|can't (?:tell|say)|not sure|unsure|unknown|unclear|none of the (?:above|others)|there (?:is|are) no\b"
    r"|no [\w ]{1,30} there$)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"\(\d+\)|;|→|->|[.](?: |$)|,? (?:and )?then |, (?:and )?(?:after that|finally|later|afterwards) |,? followed by "
    r"| before (?=\w+ing\b)",
    re.IGNORECASE,
)
_AROUND_DIRECTIONS = re.compile(
    r"\b(?:it|he|she|they|is|are|was|were|did|has|will be|will|then|first|moves?|moved|moving|goes|going|went|faces"
    r"|facing|looks|looking|turns?|turning|to be|stays?|remains?|located|positioned|becomes?|toward|towards|direction"
    r"|viewer|camera|robot|me|you|of the|of)\b",
    re.IGNORECASE,
)
_NOT_MOVING = re.compile(
    r"\b(?:not mov\w*|n't move|still|stationary|parked|stay\w* in place|in place|no (?:motion|movement)|motionless)\b",
    re.IGNORECASE,
)
#: What comes closer to the one who looks moves backward in its frame.
_TO_VIEWER = re.compile(
    r"\b(?:towards?|closer to|to) (?:the )?(?:camera|viewer|me|us|you|robot|observer)\b"
    r"|\b(?:coming|getting|moving) closer\b|^towards?$",
    re.IGNORECASE,
)
_FROM_VIEWER = re.compile(
    r"\baway(?: from (?:the )?(?:camera|viewer|me|us|you|robot|observer))?\b"
    r"|\b(?:going|moving|getting) (?:farther|further)\b",
    re.IGNORECASE,
)


def option_labels(kind: str, text: str, names: Mapping[str, str | None], asked=None) -> list[str] | None:
    """The states that an option speaks of; None when a part of it is not understood.

    Args:
        kind: Kind of the query.
        text: The option, without its letter.
        names: "subject", "object" and "viewer" as "car 12", "robot", …
        asked: What was asked ("slower" turns "the car" round).
    """
    if _UNSURE.search(text):
        return None
    whole = _label(kind, text.strip(" .,:"), names, asked)
    if whole is not None and kind in ("crossing", "overtaking"):
        return [whole]
    parts = [part.strip(" .,:") for part in _BETWEEN.split(text)]
    labels = [_label(kind, part, names, asked) for part in parts if part]
    return None if not labels or any(label is None for label in labels) else labels


def _label(kind: str, text: str, names: Mapping[str, str | None], asked) -> str | None:
    lower = text.lower()
    if lower in VOCABULARY[kind].labels and kind not in DIRECTION_KINDS:
        return lower
    if kind in DIRECTION_KINDS:
        return _direction(kind, text, names)
    if kind == "speed_comparison":
        return _comparison(lower, names, asked)
    if kind not in WORDED_KINDS:
        return None
    label = trend_label(kind, text)
    if kind == "overtaking" and label in ("overtook", "overtaken") and _second_leads(lower, names):
        return "overtaken" if label == "overtook" else "overtook"
    return label


def _direction(kind: str, text: str, names: Mapping[str, str | None]) -> str | None:
    if kind in ("direction_prediction", "moving_direction"):
        label = direction_label(" ".join(_AROUND_DIRECTIONS.sub(" ", text).split()))
        if label is not None:
            return label
        if _NOT_MOVING.search(text):
            return "still"
        if names.get("viewer") in (None, "camera", "robot"):
            to, away = _TO_VIEWER.search(text), _FROM_VIEWER.search(text)
            if bool(to) != bool(away):
                return "behind" if to else "front"
        return None
    return direction_label(" ".join(_AROUND_DIRECTIONS.sub(" ", text).split()))


def _comparison(text: str, names: Mapping[str, str | None], asked) -> str | None:
    if re.search(r"\b(?:same|equal|equally|neither|both|as fast as|no difference|similar)\b", text):
        return "same"
    subject, other = names.get("subject"), names.get("object")
    first = position_of(text, subject, r"\b(?:former|first)\b", other)
    second = position_of(text, other, r"\b(?:latter|second)\b", subject)
    if first == second:
        alone = re.fullmatch(r"(?:it (?:is|was) )?(faster|quicker|slower)(?: than it)?", text) if first < 0 else None
        return None if alone is None else "second_faster" if alone[1] == "slower" else "first_faster"
    subject_leads = second < 0 or 0 <= first < second
    slower = re.search(r"\bslower\b", text) or (asked == "slower" and not re.search(r"\b(?:faster|quicker)\b", text))
    return "first_faster" if subject_leads != bool(slower) else "second_faster"


def _second_leads(text: str, names: Mapping[str, str | None]) -> bool:
    """Whether the option speaks of the object first: "the bus overtook the car"."""
    subject, other = names.get("subject"), names.get("object")
    first, second = position_of(text, subject, other=other), position_of(text, other, other=subject)
    return second >= 0 and (first < 0 or second < first)


def position_of(text: str, name: str | None, words: str = "", other: str | None = None) -> int:
    """Where the text speaks of a thing: by its full name, its id, its class, or as the former or latter; -1 if not.

    Where the class stands in the full name of the `other` thing, it speaks of that one: "car 1" is not "car 12".
    """
    match = re.search(words, text) if words else None
    if match:
        return match.start()
    if not name:
        return -1
    full = name.lower()
    label, _, track_id = full.rpartition(" ")
    for part in (full, track_id if label else "", label):
        if part and (match := re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text)):
            named = other and re.match(rf"{re.escape(other.lower())}(?!\w)", text[match.start() :])
            return -1 if named and part == label else match.start()
    if normalise_name(text) and same_class(text, label or full):
        return 0
    return -1


def speaks_of(text: str, name: str, ids: tuple[str, ...] = ()) -> bool:
    """Whether an option means the thing called `name` ("car 12"): by its name, its id, or its class alone.

    Args:
        ids: Ids of other things: an option that holds one of them means that thing.
    """
    lower, full = text.lower(), name.lower()
    label, _, track_id = full.rpartition(" ")

    def holds(part: str) -> bool:
        return bool(part) and re.search(rf"(?<!\w){re.escape(part)}(?!\w)", lower) is not None

    if holds(full) or holds(track_id):
        return True
    if any(holds(other.lower()) for other in ids) or re.search(r"\d", lower):
        return False
    return bool(label) and (holds(label) or same_class(text, label))
