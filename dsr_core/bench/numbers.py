"""The number that a reply names."""

from __future__ import annotations

import math
import re

from dsr_core.bench.phrases import FINAL, SENTENCE_END, STATED
from dsr_core.bench.wording import NUMBER_WORDS, answer_part, plain
from dsr_core.language.amounts import read_amount

_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_WORD = "|".join((*NUMBER_WORDS, *_SCALES, "dozen"))
_WORDED = re.compile(
    rf"\b(?:(?:a|an)\s+(?=hundred|thousand|million|dozen))?(?:{_WORD})\b(?:(?:\s+and\s+|[\s-]+)(?:{_WORD})\b)*"
)
_HALF = re.compile(r"\bhalf(?:\s+(?:of\s+)?an?)?\b")
_ONE_THING = re.compile(
    r"\b(?:the|this|that|no|any|each|every|which|another)\s+one\b|\bone\s+(?:of|on|is|that|who|which)\b"
)
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,300}(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,3})?"
_NUMBER = re.compile(
    rf"(?<![\w.])([-+]?{_DIGITS})(?:\s*/\s*([1-9]\d{{0,8}})(?![\w.]))?"
    rf"(?:\s*[a-z°%]{{0,12}}\s*(?:-|–|—|~|\bto\b)\s*({_DIGITS})(?![\w]*-))?\s*([a-z°'\"/]*)"
)
_BETWEEN = re.compile(rf"between\s+({_DIGITS})\s*[a-z]{{0,12}}\s+and\s+({_DIGITS})\s*([a-z°'\"/]*)")


def extract_number(reply: object, unit: str | None = None) -> float | None:
    """The number that a reply names: digits or words, a range's middle, a fraction.

    What follows "the answer is" counts first, then what follows the last "=", then a number that the reply begins with,
    then the last number of the last sentence that has one.

    Args:
        reply: What the model wrote.
        unit: Unit that was asked for ("m"); a number that comes with another unit of length, speed, angle or time is
            turned into it. Without it units are not looked at.

    Returns:
        The number, or None where there is none.
    """
    if reply is None:
        return None
    text = _in_digits(plain(answer_part(reply)).lower())
    for marker in (FINAL, STATED):
        for match in reversed(list(marker.finditer(text))):
            found = _first(_sentence(text[match.end() :]), unit)
            if found is not None:
                return found
    if "=" in text:
        found = _first(text.rsplit("=", 1)[1], unit)
        if found is not None:
            return found
    start = _NUMBER.match(text) or _BETWEEN.match(text)
    if start is not None:
        return _first(text, unit)
    for sentence in reversed(SENTENCE_END.split(text)):
        found = _all(sentence, unit)
        if found:
            return found[-1]
    return None


def _sentence(text: str) -> str:
    return next((part for part in SENTENCE_END.split(text.lstrip()) if part.strip()), "")


def _first(text: str, unit: str | None) -> float | None:
    found = _all(text, unit)
    return found[0] if found else None


def _all(text: str, unit: str | None) -> list[float]:
    out = []
    text = _BETWEEN.sub(lambda m: f"{m[1]}-{m[2]} {m[3]}", text)
    for match in _NUMBER.finditer(text):
        number = float(match[1].replace(",", ""))
        if match[2]:
            number /= float(match[2])
        if match[3]:
            number = (number + float(match[3].replace(",", ""))) / 2.0
        if math.isfinite(number):
            out.append(_in_unit(number, match[4], unit))
    return out


def _in_unit(number: float, said: str, asked: str | None) -> float:
    if asked is None or not said:
        return number
    wanted, given = read_amount(f"1 {asked}"), read_amount(f"1 {said}")
    if wanted is None or given is None or wanted[1] is None or wanted[1] != given[1]:
        return number
    return number * given[0] / wanted[0]


def _in_digits(text: str) -> str:
    """Number words become digits."""
    text = _ONE_THING.sub(" ", text)
    return _HALF.sub("0.5", _WORDED.sub(lambda match: str(_worded(match[0])), text))


def _worded(text: str) -> int:
    total, part = 0, 0
    for word in re.findall(r"[a-z]+", text):
        if word == "dozen":
            part = max(part, 1) * 12
        elif word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
        else:
            part += NUMBER_WORDS.get(word, 0)
    return total + part
