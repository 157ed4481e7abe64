"""Time expressions in a question -> windows in seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: "At the start" is the first seconds, so long that things have been seen and an answer can be judged.
START_S = 2.0
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
_ALL = r"(?:video|recording|clip|scene|sequence|film|time)"
_OF = rf"(?: (?:of|in) the {_ALL})?"
#: A time alone: with a unit ("3 s") or after a word that says so ("t=3", "second 3").
_SECOND = (
    rf"(?:(?:time |t ?= ?|second )(?P<bare>{NUMBER})(?: ?(?P<bare_unit>{UNIT}))?|(?P<n>{NUMBER}) ?(?P<unit>{UNIT}))"
)
_ENDS = r"(?!\w|\.\d)"

_WINDOW = re.compile(
    rf"(?<!distance )(?<!speed )(?<!speeds )\b(?:between|from) {_MARK}({NUMBER}) ?({UNIT})?"
    rf" ?(?:and|to|until|till|-|–) ?{_MARK}({NUMBER})(?: ?({UNIT}))?{_ENDS}",
    re.IGNORECASE,
)
_LAST = re.compile(rf"{_IN} (?:({NUMBER}|{_WORD}) ?)?({UNIT})\b", re.IGNORECASE)
_LAST_FEW = re.compile(rf"{_IN} (?:few|several) {UNIT}\b", re.IGNORECASE)
_FIRST = re.compile(
    rf"\b(?:in|over|during|for|within) (?:the |its )?first (?:({NUMBER}|{_WORD}) ?)?({UNIT})\b{_OF}", re.IGNORECASE
)
_PART = re.compile(rf"\b(?:in|over|during|for|within) the (?:(?P<first>first)|last|second) half\b{_OF}", re.IGNORECASE)
_WHOLE = re.compile(
    rf"\b(?:(?:over|during|throughout|in|for|across) (?:the )?(?:whole|entire|full|complete) {_ALL}"
    rf"|throughout(?: the {_ALL})?|(?:during|over|across|in) the (?:video|recording|clip|sequence|film)"
    rf"|the (?:whole|entire) time|all the time|from (?:the )?(?:start|beginning) to (?:the )?(?:end|finish){_OF})"
    r"(?!\w)",
    re.IGNORECASE,
)
_SINCE_APPEARED = re.compile(
    r"\bsince (?:it|he|she|they|we|you)(?: first)? (?:appeared|was (?:first )?seen|were (?:first )?seen"
    r"|came into (?:view|sight)|(?:first )?saw (?:it|him|her|them))",
    re.IGNORECASE,
)
_SINCE = re.compile(
    rf"(?:\b(?:since|after) (?:the )?{_SECOND}{_ENDS}(?! ago)|\b(?:from|between) {_SECOND.replace('?P<', '?P<f_')}"
    rf" (?:on|onwards?|(?:to|until|till|and) the end){_OF}(?!\w))",
    re.IGNORECASE,
)
_UNTIL = re.compile(
    rf"\b(?:from (?:the )?(?:start|beginning) )?(?:until|till|before|up to|up until|(?<=start )to|(?<=beginning )to)"
    rf" {_SECOND}{_ENDS}",
    re.IGNORECASE,
)
_START = re.compile(
    rf"\b(?:at|in|near) (?:the )?(?:very )?(?:start|beginning){_OF}(?!\w| of)|\b(?:initially|at first)\b", re.IGNORECASE
)
_AT = re.compile(
    rf"\b(?:at|as of) (?:(?:time |t ?= ?|second )({NUMBER})(?: ?({UNIT}))?|({NUMBER}) ?({UNIT}))(?: mark)?{_ENDS}",
    re.IGNORECASE,
)
_AGO = re.compile(rf"\b({NUMBER}|{_WORD}) ?({UNIT}) ago\b", re.IGNORECASE)
_NOW = re.compile(
    rf"\b(?:right now|just now|now|currently|presently|at (?:the|this) moment|at present"
    rf"|(?:at|towards?|near|in|by) the (?:very )?end{_OF})(?!\w| of)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Times:
    """What a question says about time; at most one of the fields is set.

    Attributes:
        window: (start, end) in seconds; start = end for an instant ("at 3 s").
        last_s: Length of "the last … seconds" of what is known.
        now: It says "now" or "at the end".
        start_s: "since 3 s", "after 3 s", "from 3 s to the end": from that second to the end of what is known.
        end_s: "until 5 s", "before 5 s": from the beginning of what is known to that second.
        since_appeared: "since it appeared": from the first sample of the subject to the end of what is known.
        first_s: "in the first … seconds" of what is known; `START_S` for "at the start".
        ago_s: "3 seconds ago": the instant so long before the end of what is known.
        part: "in the first half": (0.0, 0.5) of what is known.
        whole: "over the whole recording": everything that is known; the same as no window, but not the present.
    """

    window: tuple[float, float] | None = None
    last_s: float | None = None
    now: bool = False
    start_s: float | None = None
    end_s: float | None = None
    since_appeared: bool = False
    first_s: float | None = None
    ago_s: float | None = None
    part: tuple[float, float] | None = None
    whole: bool = False

    @property
    def relative(self) -> bool:
        """Whether a window follows only from what is known (`window_in`)."""
        said = (self.last_s, self.start_s, self.end_s, self.first_s, self.ago_s, self.part)
        return self.since_appeared or said != (None,) * 6

    @property
    def instant(self) -> bool:
        """Whether it is one time, not a stretch of time."""
        return self.now or self.ago_s is not None or (self.window is not None and self.window[0] == self.window[1])

    @property
    def stretch(self) -> bool:
        """Whether it is a stretch of time: something can happen from its start to its end."""
        return self != Times() and not self.instant

    def window_in(self, begin_s: float, end_s: float, appeared_s: float | None = None) -> tuple[float, float] | None:
        """The window in a scene.

        Args:
            begin_s, end_s: First and last second of what is known.
            appeared_s: Second of the subject's first sample; default: `begin_s`.

        Returns:
            (start, end) in seconds, not cut to the scene where the question names seconds itself (so that a window
            outside it can be declined); None for no window: "now", "over the whole recording", nothing said.
        """
        if self.window is not None:
            return self.window
        if self.last_s is not None:
            return max(end_s - self.last_s, begin_s), end_s
        if self.first_s is not None:
            return begin_s, min(begin_s + self.first_s, end_s)
        if self.ago_s is not None:
            return end_s - self.ago_s, end_s - self.ago_s
        if self.start_s is not None:
            return self.start_s, max(end_s, self.start_s)
        if self.end_s is not None:
            return min(begin_s, self.end_s), self.end_s
        if self.part is not None:
            length = end_s - begin_s
            return begin_s + self.part[0] * length, begin_s + self.part[1] * length
        if self.since_appeared:
            return (begin_s if appeared_s is None else appeared_s), end_s
        return None


NO_TIMES = Times()


def seconds(number: str, unit: str | None) -> float:
    """ "3", "s" -> 3.0; "two", "minutes" -> 120.0."""
    value = _NUMBER_WORDS.get(number.lower())
    value = float(number) if value is None else value
    unit = (unit or "s").lower()
    return value * (_UNIT_SECONDS["ms"] if unit.startswith(("ms", "milli")) else _UNIT_SECONDS.get(unit[0], 1.0))


def _second(match: re.Match) -> float:
    """The second of a match of `_SECOND`."""
    groups = match.groupdict()
    for prefix in ("", "f_"):
        for name in ("bare", "n"):
            if groups.get(prefix + name):
                return seconds(groups[prefix + name], groups[f"{prefix}{'bare_unit' if name == 'bare' else 'unit'}"])
    raise AssertionError(match.re.pattern)


def _between(match: re.Match) -> Times:
    first, first_unit, second, second_unit = match.groups()
    return Times(window=(seconds(first, first_unit or second_unit), seconds(second, second_unit or first_unit)))


#: Tried in this order: the first that is found is taken out of the text.
_STRETCHES = (
    (_WINDOW, _between),
    (_LAST_FEW, lambda m: Times(now=True)),
    (_LAST, lambda m: Times(last_s=seconds(m[1] or "one", m[2]))),
    (_FIRST, lambda m: Times(first_s=seconds(m[1] or "one", m[2]))),
    (_PART, lambda m: Times(part=(0.0, 0.5) if m["first"] else (0.5, 1.0))),
    (_WHOLE, lambda m: Times(whole=True)),
    (_SINCE_APPEARED, lambda m: Times(since_appeared=True)),
    (_SINCE, lambda m: Times(start_s=_second(m))),
    (_UNTIL, lambda m: Times(end_s=_second(m))),
    (_START, lambda m: Times(first_s=START_S)),
)


def take_window(text: str) -> tuple[str, Times]:
    """Cuts a stretch of time out of the text: "between 2 and 5 s", "in the last 3 s", "since it appeared"."""
    for pattern, times in _STRETCHES:
        match = pattern.search(text)
        if match:
            return _cut(text, match), times(match)
    return text, Times()


def take_instant(text: str) -> tuple[str, Times]:
    """Cuts an instant out of the text: "at 3 s", "at time 3", "3 seconds ago", "now"."""
    match = _AGO.search(text)
    if match:
        return _cut(text, match), Times(ago_s=seconds(match[1], match[2]))
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
