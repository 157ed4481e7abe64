"""Question text -> ParsedQuestion: boxes, times and viewpoint are taken out, the rest is looked up in `TABLE`."""

from __future__ import annotations

import re

from dsr_core.errors import DeclineError, QueryError
from dsr_core.language.candidates import nearest_sentences
from dsr_core.language.mentions import Boxes, take_boxes
from dsr_core.language.published import read_published
from dsr_core.language.reading import ParsedQuestion, Reading
from dsr_core.language.reasons import reason_not_understood
from dsr_core.language.sentences import EXAMPLES, TABLE
from dsr_core.language.times import Times, take_instant, take_window, tidy
from dsr_core.language.viewpoints import as_viewpoint, take_viewpoint
from dsr_core.reasoning.query import Viewpoint

__all__ = ["MAX_CHARACTERS", "ParsedQuestion", "parse"]

MAX_CHARACTERS = 2000


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
        DeclineError: BAD_REQUEST or NOT_UNDERSTOOD, with the reason where one is known and the nearest understood
            sentences as candidates.
    """
    question = _checked(text)
    rest, boxes = take_boxes(question)
    if window is not None and (not isinstance(window, (list, tuple)) or len(window) != 2):
        raise DeclineError("BAD_REQUEST", f"window = {window!r} must be (start, end) in seconds")
    try:
        parsed = _read(rest, boxes, window if window is None else tuple(window), viewpoint)
    except QueryError as error:
        raise DeclineError("BAD_REQUEST", str(error)) from None
    if parsed is None:
        raise _not_understood(question)
    return parsed


def _read(text: str, boxes: Boxes, window, viewpoint) -> ParsedQuestion | None:
    published = read_published(text, boxes, window, as_viewpoint(viewpoint))
    if published is not None:
        return published
    text, times = take_window(text)
    text, said_viewpoint = take_viewpoint(text, boxes)
    if times == Times():
        text, times = take_instant(text)
    if window is not None:
        times = Times(window=window)
    reading = Reading(text, boxes, times, said_viewpoint if viewpoint is None else as_viewpoint(viewpoint))
    for sentence, match in TABLE.matches(text):
        parsed = reading.read(sentence, match)
        if parsed is not None:
            return parsed
    return None


#: "isn't" and "didn't" stay as they are: what is denied is not understood.
_CONTRACTIONS = tuple(
    (re.compile(pattern, re.IGNORECASE), full)
    for pattern, full in (
        (r"\b(what|where|how|who|which|when|that|there|it|he|she)'s\b", r"\1 is"),
        (r"\b(what|where|how|who|which|when)'re\b", r"\1 are"),
        (r"\b(you|we|they)'re\b", r"\1 are"),
        (r"\bi'm\b", "i am"),
        (r"\b(you|we|they|i)'ve\b", r"\1 have"),
        (r"\b(what|when|where|how|who|which|it|he|she|they)'ll\b", r"\1 will"),
    )
)
_POLITE = re.compile(
    r"^(?:(?:please|hey|hi|hello|ok|okay|robot|so|well|now|tell me|and)\b[, ]*"
    r"|(?:can|could|would) you (?:please )?tell me[, ]*)+(?=\S)",
    re.IGNORECASE,
)
_IN_UNITS = re.compile(
    r"(?:,? (?:measured )?in (?:(?:centi|milli|kilo)?met(?:re|er)s|m|cm|mm|km|feet|ft|foot|inches|yards|miles|degrees"
    r"|radians|seconds|met(?:re|er)s per second|m/s|km/h|kmh|mph))$",
    re.IGNORECASE,
)
_HOW_MANY_UNITS = re.compile(
    r"\b(how) many (?:(?:centi|kilo)?met(?:re|er)s|feet|inches|yards|miles)(?: (away|apart))?"
    r"(?= (?:away |apart )?(?:is|are|was|were|did|does|do|has|have)\b)"
    r"|\b(how) many degrees(?= )|\bhow many (?:seconds|minutes)(?= (?:until|till|before|ago)\b)",
    re.IGNORECASE,
)
#: Other words for the same.
_SAME = tuple(
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"^(?:at |for )?(?:what|which) time (?=is\b|are\b|was\b|were\b|did\b|does\b|do\b|will\b)", "when "),
        (r"^for how long ", "how long "),
        (
            r"^(?:the )?(?:current )?(distance|speed|velocity|position|location|orientation|heading|displacement)"
            r" (?=(?:to|from|between|of) )",
            r"what is the \1 ",
        ),
    )
)
_OR_NOT = re.compile(r",? (?:or not|yes or no|true or false)$", re.IGNORECASE)
#: "with respect to the sink, where is the fridge?"
_WITH_RESPECT = re.compile(r"^(?:with respect|in relation|relative|compared) to ([^,]{1,80}), (.+)$", re.IGNORECASE)
#: "is it parked or is it moving" and "did it stop or did it turn" ask one thing twice.
_AGAIN = re.compile(r" or (?:(is|are|was|were|did|does|has|have) )(?:it|he|she|they) ", re.IGNORECASE)


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
    if "'" in text:
        for pattern, full in _CONTRACTIONS:
            text = pattern.sub(full, text)
    text = re.sub(r"\s+", " ", text).strip()
    text = _POLITE.sub("", text)
    text = tidy(text)
    if not text:
        raise DeclineError("BAD_REQUEST", "the question is empty; ask like one of the candidates", EXAMPLES[:3])
    text = _IN_UNITS.sub("", text)
    text = _OR_NOT.sub("", text)
    text = _HOW_MANY_UNITS.sub(lambda m: "how far" if m[1] else "how much" if m[3] else "how long", text)
    for pattern, plain in _SAME:
        text = pattern.sub(plain, text)
    text = _WITH_RESPECT.sub(r"\2 with respect to \1", text)
    return _AGAIN.sub(lambda m: " or has " if m[1].lower() in ("has", "have") else " or ", text)


def _not_understood(question: str) -> DeclineError:
    shown = question if len(question) <= 80 else question[:77] + "..."
    reason = reason_not_understood(question)
    why = f" ({reason.name}: {reason.text})" if reason else ""
    message = f"{shown!r} is not understood{why}; ask like one of the candidates, with names for A and B"
    return DeclineError("NOT_UNDERSTOOD", message, nearest_sentences(question))
