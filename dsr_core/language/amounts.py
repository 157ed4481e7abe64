"""Numbers in options: "5 m", "30 cm", "90 degrees", "three"."""

from __future__ import annotations

import math
import re

_FACTORS = {
    "m": {
        "m": 1.0, "metre": 1.0, "meter": 1.0, "cm": 0.01, "centimetre": 0.01, "centimeter": 0.01, "mm": 0.001,
        "millimetre": 0.001, "millimeter": 0.001, "km": 1000.0, "kilometre": 1000.0, "kilometer": 1000.0, "ft": 0.3048,
        "foot": 0.3048, "feet": 0.3048, "'": 0.3048, "in": 0.0254, "inch": 0.0254, "inche": 0.0254, '"': 0.0254,
        "yd": 0.9144, "yard": 0.9144, "mi": 1609.344, "mile": 1609.344,
    },
    "m/s": {
        "m/s": 1.0, "mps": 1.0, "metre per second": 1.0, "meter per second": 1.0, "metres per second": 1.0,
        "meters per second": 1.0, "cm/s": 0.01, "km/h": 1 / 3.6, "kmh": 1 / 3.6, "kph": 1 / 3.6, "kmph": 1 / 3.6,
        "kilometres per hour": 1 / 3.6, "kilometers per hour": 1 / 3.6, "mph": 0.44704, "miles per hour": 0.44704,
        "ft/s": 0.3048, "feet per second": 0.3048,
    },
    "rad": {"rad": 1.0, "radian": 1.0, "deg": math.pi / 180.0, "degree": math.pi / 180.0, "°": math.pi / 180.0},
    "s": {
        "s": 1.0, "sec": 1.0, "second": 1.0, "ms": 0.001, "millisecond": 0.001, "min": 60.0, "minute": 60.0,
        "h": 3600.0, "hour": 3600.0,
    },
}  # fmt: skip
_AMOUNT = re.compile(
    r"(?:(?:about|around|approximately|roughly|nearly|almost|some|at|after|in|by|it is|is)\b ?|~ ?)*"
    r"([-+]?\d{1,9}(?:[.,]\d{1,9})?) ?([a-z°'\"/][a-z°/ ]{0,24}?)?"
    r"(?: (?:away|apart|ago|later|closer|nearer|farther|further|in total|long))?",
    re.IGNORECASE,
)
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
).split()
_COUNTS = {
    **{word: number for number, word in enumerate(_WORDS)},
    "none": 0, "no": 0, "nothing": 0, "nobody": 0, "a": 1, "an": 1, "a single": 1, "only one": 1, "a dozen": 12,
}  # fmt: skip
_COUNT = re.compile(
    r"(?:(?:there (?:is|are)|exactly|it is|only)\b ?)*(\d{1,6}|[a-z]+(?: single)?)(?: (?!and\b|or\b|\d)[\w -]{1,40})?",
    re.IGNORECASE,
)


def read_amount(text: str) -> tuple[float, str | None] | None:
    """A text that is nothing but a number, perhaps with a unit, in SI units.

    Returns:
        The number and "m", "m/s", "rad", "s" or None (no unit); None for any other text.
    """
    match = _AMOUNT.fullmatch(text.strip().rstrip("."))
    if match is None:
        return None
    number = float(match[1].replace(",", "."))
    unit = (match[2] or "").strip().lower()
    if not unit:
        return number, None
    for si, factors in _FACTORS.items():
        factor = factors.get(unit) or factors.get(unit.removesuffix("s"))
        if factor is not None:
            return number * factor, si
    return None


def read_count(text: str) -> int | None:
    """ "3", "three", "3 cars", "no cars" -> the number; None for any other text."""
    match = _COUNT.fullmatch(text.strip().rstrip("."))
    if match is None:
        return None
    return int(match[1]) if match[1].isdigit() else _COUNTS.get(match[1].lower())
