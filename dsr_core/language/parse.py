"""Question text -> ParsedQuestion: boxes, times and viewpoint are taken out, the rest is looked up in `SENTENCES`."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from dsr_core.errors import DeclineError, QueryError
from dsr_core.language.directions import direction_label, split_direction
from dsr_core.language.names import ego_name, without_article
from dsr_core.language.sentences import COMPILED, EXAMPLES, Sentence
from dsr_core.language.times import NUMBER, UNIT, Times, seconds, take_instant, take_window, tidy
from dsr_core.language.trends import trend_label
from dsr_core.reasoning.query import Query, Viewpoint, Who

MAX_CHARACTERS = 2000
_MAX_NAME_WORDS = 8
#: No name holds these: they show that a pattern has swallowed a part of the sentence that it does not understand.
_NOT_IN_NAMES = frozenset(
    "is are was were am be do does did has have had will would can could should may might how what which when where why"
    " who whose going moving getting coming change changes changing faster slower closer nearer farther further facing"
    " than then and or not never always because while if whether perspective relative since after before until during"
    " anything something everything nothing anyone someone it they them he she there here him moves move goes go gets"
    " approaches approaching heading".split()
)
_NOUNS_IN_ING = frozenset(
    "thing building ceiling ring king wing string railing sitting crossing painting awning".split()
)


@dataclass(frozen=True)
class ParsedQuestion:
    """What a question asks.

    Attributes:
        query: The typed query; its names are not resolved yet.
        form: "open", "yes_no" or "which".
        asked: What a yes/no question asks about: a label, or labels in order ("from in front to behind-left");
            "value" for "how far", "faster" or "slower" for "which is …"; else None.
        recent: It speaks of the present without a time, so the last seconds are meant.
        last_s: Length of "the last … seconds", or None.
    """

    query: Query
    form: str = "open"
    asked: str | tuple[str, ...] | None = None
    recent: bool = False
    last_s: float | None = None


def parse(
    text: str,
    *,
    window: tuple[float, float] | None = None,
    viewpoint: str | dict | Viewpoint | None = None,
) -> ParsedQuestion:
    """Understands a question in English.

    Args:
        text: The question, at most `MAX_CHARACTERS` long.
        window: (start, end) in seconds that counts in place of what the text says.
        viewpoint: Whose eyes count in place of what the text says.

    Raises:
        DeclineError: BAD_REQUEST or NOT_UNDERSTOOD, with the nearest understood sentences as candidates.
    """
    text, boxes = _take_boxes(_checked(text))
    text, times = take_window(text)
    text, said_viewpoint = _take_viewpoint(text, boxes)
    if times == Times():
        text, times = take_instant(text)
    if window is not None:
        if not isinstance(window, (list, tuple)) or len(window) != 2:
            raise DeclineError("BAD_REQUEST", f"window = {window!r} must be (start, end) in seconds")
        times = Times(window=tuple(window))
    reading = _Reading(text, boxes, times, viewpoint if viewpoint is not None else said_viewpoint)
    try:
        for sentence, regex in COMPILED:
            match = regex.fullmatch(text)
            parsed = reading.read(sentence, match) if match else None
            if parsed is not None:
                return parsed
    except QueryError as error:
        raise DeclineError("BAD_REQUEST", str(error)) from None
    raise _not_understood(text)


def _checked(text) -> str:
    if not isinstance(text, str):
        raise DeclineError("BAD_REQUEST", f"a question is a text, not {type(text).__name__}", EXAMPLES[:3])
    if len(text) > MAX_CHARACTERS:
        raise DeclineError(
            "BAD_REQUEST",
            f"the question has {len(text)} characters, at most {MAX_CHARACTERS} are read; ask one thing",
            EXAMPLES[:3],
        )
    text = text.replace("’", "'").replace("⟦", " ").replace("⟧", " ")
    text = re.sub(r"\b(what|where|how|who|which)'s\b", r"\1 is", text, flags=re.IGNORECASE)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"^(?:(?:please|hey|hi|hello|ok|okay|robot|so)\b[, ]*)+", "", text, flags=re.IGNORECASE)
    if not tidy(text):
        raise DeclineError("BAD_REQUEST", "the question is empty; ask like one of the candidates", EXAMPLES[:3])
    return tidy(text)


def _not_understood(text: str) -> DeclineError:
    near = difflib.get_close_matches(text.lower()[:200], EXAMPLES, n=4, cutoff=0.3) or EXAMPLES[:4]
    shown = text if len(text) <= 80 else text[:77] + "..."
    message = f"{shown!r} is not understood; ask like one of the candidates, with names for A and B"
    return DeclineError("NOT_UNDERSTOOD", message, tuple(near))


# --- boxes -----------------------------------------------------------------------------------------------------------

_BOX = re.compile(
    r"(?:,? ?\b(?:with|at|in|having) )?(?:(?:the|its) )?(?:\b(?P<when>initial|first|final|last) )?(?:\bbounding )?"
    r"(?:\b(?:box|bbox) )?(?:\b(?:coordinates|coords) )?"
    rf"[\[(] ?({NUMBER}) ?, ?({NUMBER}) ?, ?({NUMBER}) ?, ?({NUMBER}) ?[\])]",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"⟦(\d+)⟧")


def _take_boxes(text: str) -> tuple[str, list[tuple[str, list[float]]]]:
    """Replaces boxes by short marks; returns them as ("initial", "final" or "", [x1, y1, x2, y2])."""
    boxes: list[tuple[str, list[float]]] = []

    def keep(match: re.Match) -> str:
        said = (match["when"] or "").lower()
        when = "initial" if said in ("initial", "first") else "final" if said else ""
        boxes.append((when, [float(match[i]) for i in range(2, 6)]))
        return f" ⟦{len(boxes) - 1}⟧"

    return tidy(_BOX.sub(keep, text)), boxes


# --- viewpoint -------------------------------------------------------------------------------------------------------

_VIEW = r"(?:perspective|point of view|viewpoint|view|eyes|frame|frame of reference)"
_V = r"(?P<viewer>[^,;:?!]{1,80}?)"
_WHOSE = rf"(?:{_V}'s?|(?P<own>my|your|our))"
_AT = rf"(?: at (?:time |t ?= ?|second )?(?P<at>{NUMBER}) ?(?P<unit>{UNIT})?)?"
_BEGINS = (
    r"(?:how|what|which|who|where|when|is|are|am|was|were|do|does|did|will|would|compare|predict|in which|on which)\b"
)
_VIEWPOINTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:following|from|in|using|through|taking) the {_VIEW} of {_V}{_AT}(?:,| (?={_BEGINS})) ?",
        rf"^(?:(?:following|from|in|through|taking) )?{_WHOSE} (?:own )?{_VIEW}{_AT}(?:,| (?={_BEGINS})) ?",
        rf"^(?:as )?(?:seen|viewed|observed) (?:from|by) {_V}{_AT}(?:,| (?={_BEGINS})) ?",
        rf"^(?:following|from|in|using|through|taking) the {_VIEW} of {_V}{_AT}$",
        rf",? (?:following|from|in|using|through|taking) the {_VIEW} of {_V}{_AT}(?:,|$)",
        rf",? (?:following|from|in|through|taking) {_WHOSE} (?:own )?{_VIEW}{_AT}(?:,|$)",
        rf",? (?:as seen|seen|as viewed|viewed|as observed) (?:from|by) {_V}{_AT}(?:,|$)",
    )
)


def _take_viewpoint(text: str, boxes) -> tuple[str, Viewpoint | None]:
    """Cuts "following the perspective of V", "from V's perspective at 3 s", … out of the text."""
    for pattern in _VIEWPOINTS:
        match = pattern.search(text)
        if not match:
            continue
        own = match.groupdict().get("own")
        at = None if match["at"] is None else seconds(match["at"], match["unit"])
        agent = "robot" if own else _who(match["viewer"], boxes, at, loose=True)
        if agent is None:
            continue
        viewpoint = Viewpoint(agent) if at is None else Viewpoint(agent, "absolute", at)
        return tidy(f"{text[: match.start()]}, {text[match.end() :]}".replace(" ,", ",")), viewpoint
    return text, None


def _who(text: str | None, boxes, at: float | None = None, loose: bool = False) -> Who | None:
    """A name as WHO; None when it is no name. `loose` takes any words (the published templates name things freely)."""
    if text is None:
        return None
    marks = _PLACEHOLDER.findall(text)
    name = without_article(tidy(_PLACEHOLDER.sub(" ", text)))
    if len(marks) > 1 or not (name or marks):
        return None
    if not marks:
        ego = ego_name(name)
        if ego:
            return ego
    words = name.lower().split()
    if not (loose or marks or name == "A") and not _is_name(words):
        return None
    if name and not re.search(r"\w", name):
        return None
    if not marks:
        return name
    _, box = boxes[int(marks[0])]
    who: dict = {"box": box}
    if words and words[-1] not in ("object", "thing"):
        who["label"] = name
    if at is not None:
        who["at"] = at
    return who


def _is_name(words: list[str]) -> bool:
    if len(words) > _MAX_NAME_WORDS or words[-1] in ("the", "a", "an", "my", "your", "of"):
        return False
    return not any(w in _NOT_IN_NAMES or (w.endswith("ing") and w not in _NOUNS_IN_ING) for w in words)


# --- sentences -------------------------------------------------------------------------------------------------------

_PAST_OR_WHOLE = re.compile(r"\b(?:was|were|did|does|do|has|have|had)\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Reading:
    """What has been taken out of a question so far, and how the rest is read."""

    text: str
    boxes: list
    times: Times
    viewpoint: str | dict | Viewpoint | None

    def read(self, sentence: Sentence, match: re.Match) -> ParsedQuestion | None:
        """The sentence with this match, or None when a name or direction in it is none."""
        groups = match.groupdict()
        subject, other = groups.get("A") or groups.get("A2"), groups.get("B")
        asked, form = sentence.asked, sentence.form
        if groups.get("trend"):
            asked = trend_label(sentence.kind, groups["trend"])
            if asked is None:
                return None
        if groups.get("fast"):
            asked = _asked_faster(sentence, groups["fast"])
        if groups.get("place"):
            place = _split_place(groups["place"])
            if place is None:
                return None
            subject, asked, other = place
        elif groups.get("dir2"):
            journey = _split_journey(groups["dir"], groups["dir2"])
            if journey is None:
                return None
            asked, other = journey
        elif groups.get("dir"):
            asked = direction_label(groups["dir"])
            if asked is None:
                return None
        if sentence.swap:
            subject, other = other or "robot", subject
        subject = self._name(subject)
        if subject is None or (other is not None and self._name(other) is None):
            return None
        other = None if other is None else self._name(other)
        if sentence.kind == "speed" and sentence.viewer == "object":
            viewpoint, other = self._viewpoint_of(other), None
        elif sentence.swap:
            viewpoint = Viewpoint(other)
        else:
            viewpoint = self._viewpoint(sentence, asked, other)
        query = Query(sentence.kind, subject, other, viewpoint, self.times.window)
        recent = self.times.now or (sentence.now and self.times == Times() and not _PAST_OR_WHOLE.search(self.text))
        return ParsedQuestion(query, form, asked, recent, self.times.last_s)

    def _name(self, text: str | None) -> Who | None:
        who = _who(text, self.boxes)
        if not isinstance(who, dict):
            return who
        # "initial" is the start of the window (also what a box without a word means), "final" its end.
        when, _ = self.boxes[int(_PLACEHOLDER.search(text)[1])]
        if self.times.window is not None:
            who["at"] = self.times.window[1] if when == "final" else self.times.window[0]
        return who

    def _viewpoint(self, sentence: Sentence, asked, other: Who | None) -> Viewpoint:
        said = None if self.viewpoint is None else self._given()
        fixed = sentence.viewer == "fixed" or (sentence.viewer == "fixed_unless_said" and said is None)
        if fixed and (said is None or said.mode == "relative"):
            at = None if self.times.window is None else self.times.window[1]
            return Viewpoint("robot" if said is None else said.agent, "absolute", at)
        if said is not None:
            return said
        if sentence.viewer == "world":
            return Viewpoint("map")
        vertical = asked in ("above", "below")
        if (sentence.viewer == "object" or sentence.form == "yes_no") and sentence.kind == "direction" and not vertical:
            return self._viewpoint_of(other)
        return Viewpoint()

    def _viewpoint_of(self, other: Who | None) -> Viewpoint:
        if self.viewpoint is not None:
            return self._given()
        return Viewpoint() if other is None else Viewpoint(other)

    def _given(self) -> Viewpoint:
        given = self.viewpoint
        if isinstance(given, dict) and not set(given) - {"agent", "mode", "at"}:
            return Viewpoint(**given)
        return given if isinstance(given, Viewpoint) else Viewpoint(given)


def _asked_faster(sentence: Sentence, word: str) -> str:
    slower = word.lower() == "slower"
    if sentence.form == "which":
        return "slower" if slower else "faster"
    return "second_faster" if slower else "first_faster"


def _own_side(text: str) -> str:
    """Rewrites "to the car's left" as "to the left of the car"."""
    return re.sub(
        r"\b(?:to|on|at|in) ([^,;:?!]{1,60}?)'s? (left|right|front|back|rear|left side|right side)$",
        r"to the \2 of \1",
        text,
        flags=re.IGNORECASE,
    )


def _split_place(text: str) -> tuple[str, str, str | None] | None:
    """ "the car in front of the bus" -> ("the car", "front", "the bus")."""
    found = split_direction(_own_side(text))
    if found is None or not found[0]:
        return None
    before, label, after, own = found
    further = split_direction(after)
    if (own and after) or (further and not further[0]):
        return None
    return before, label, after or ("robot" if own else None)


def _split_journey(start: str, end: str) -> tuple[tuple[str, str], str | None] | None:
    """ "in front", "behind-left of the bus" -> (("front", "behind|left"), "the bus")."""
    first, second = split_direction(_own_side(start)), split_direction(_own_side(end))
    if first is None or second is None or first[0] or second[0]:
        return None
    if first[2] and second[2] and first[2].lower() != second[2].lower():
        return None
    other = second[2] or first[2] or ("robot" if first[3] or second[3] else None)
    return (first[1], second[1]), other
