"""Time expressions in a question -> windows in seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER_WORDS = {
    "a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0,
    "eight": 8.0, "nine": 9.0, "ten": 10.0, "twelve": 12.0, "fifteen": 15.0, "twenty": 20.0, "thirty": 30.0,
    "sixty": 60.0, "half a": 0.5, "couple of": 2.0, "a couple of": 2.0,
}  # fmt: skip
_UNIT_SECONDS = {"ms": 1e-3, "m": 60.0}
UNIT = r"(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?)"
NUMBER = r"[-+]?\d{1,9}(?:\.\d{1,9})?"
_IN = r"\b(?:in|over|during|for|within)? ?(?:the )?(?:last|past|previous)"
_WORD = "|".join(sorted(_NUMBER_WORDS, key=len, reverse=True))
_MARK = r"(?:time |t ?= ?|second |seconds )?"

_WINDOW = re.compile(
    rf"(?<!distance )(?<!speed )(?<!speeds )\b(?:between|from) {_MARK}({NUMBER}) ?({UNIT})?"
    rf" ?(?:and|to|until|till|-|–) ?{_MARK}({NUMBER})(?: ?({UNIT}))?(?!\w|\.\d)",
    re.IGNORECASE,
)
_LAST = re.compile(rf"{_IN} (?:({NUMBER}|{_WORD}) ?)?({UNIT})\b", re.IGNORECASE)
_LAST_FEW = re.compile(rf"{_IN} (?:few|several) {UNIT}\b", re.IGNORECASE)
_AT = re.compile(
    rf"\bat (?:(?:time |t ?= ?|second )({NUMBER})(?: ?({UNIT}))?|({NUMBER}) ?({UNIT}))(?!\w|\.\d)", re.IGNORECASE
)
_NOW = re.compile(
    r"\b(?:right now|just now|now|currently|presently|at (?:the|this) moment|at present|at the end)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Times:
    """What a question says about time.

    Attributes:
        window: (start, end) in seconds; start = end for an instant.
        last_s: Length of "the last … seconds".
        now: Whether it says "now".
    """

    window: tuple[float, float] | None = None
    last_s: float | None = None
    now: bool = False


def seconds(number: str, unit: str | None) -> float:
    """ "3", "s" -> 3.0; "two", "minutes" -> 120.0."""
    value = _NUMBER_WORDS.get(number.lower())
    value = float(number) if value is None else value
    unit = (unit or "s").lower()
    return value * (_UNIT_SECONDS["ms"] if unit.startswith(("ms", "milli")) else _UNIT_SECONDS.get(unit[0], 1.0))


def take_window(text: str) -> tuple[str, Times]:
    """Cuts the window out of the text: "between 2 and 5 s", "from 2s to 5s", "in the last 3 s"."""
    match = _WINDOW.search(text)
    if match:
        first, first_unit, second, second_unit = match.groups()
        window = (seconds(first, first_unit or second_unit), seconds(second, second_unit or first_unit))
        return _cut(text, match), Times(window=window)
    match = _LAST_FEW.search(text)
    if match:
        return _cut(text, match), Times(now=True)
    match = _LAST.search(text)
    if match:
        return _cut(text, match), Times(last_s=seconds(match[1] or "one", match[2]))
    return text, Times()


def take_instant(text: str) -> tuple[str, Times]:
    """Cuts an instant out of the text: "at 3 s", "at time 3", "now"."""
    match = _AT.search(text)
    if match:
        at = seconds(match[1] or match[3], match[2] or match[4])
        return _cut(text, match), Times(window=(at, at))
    match = _NOW.search(text)
    if match:
        return _cut(text, match), Times(now=True)
    return text, Times()


def _cut(text: str, match: re.Match) -> str:
    return tidy(f"{text[: match.start()]} {text[match.end() :]}")


def tidy(text: str) -> str:
    """Single spaces, no punctuation at either end, no doubled commas."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ?,(?: ?,)*", ",", text)
    return text.strip(" ,.?!;:")
