"""Replies and options as words that can be compared: one alphabet, no mark-up, one spelling, numbers as digits."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
_UNITS += "seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBER_WORDS = {
    **{word: number for number, word in enumerate(_UNITS)},
    **{word: 10 * (number + 2) for number, word in enumerate(_TENS)},
}
_ARTICLES = frozenset(("a", "an", "the"))
#: Words before which "one" is a count; elsewhere ("the one on the left") it stands for a thing.
_BEFORE_A_COUNT = frozenset(("is", "are", "was", "were", "only", "exactly", "just", "be", "about", "approximately"))
_SPELLINGS = {
    "anticlockwise": "counterclockwise", "leftward": "left", "rightward": "right", "upward": "up", "downward": "down",
    "grey": "gray", "centre": "center", "metre": "m", "metres": "m", "meter": "m", "meters": "m", "centimetre": "cm",
    "centimetres": "cm", "centimeter": "cm", "centimeters": "cm", "degrees": "degree", "deg": "degree", "°": "degree",
    "seconds": "s", "second": "s", "sec": "s", "kph": "km h", "kmh": "km h", "mps": "m s", "hour": "h",
    "becomes": "become", "keeps": "keep",
}  # fmt: skip
_MARKUP = (
    (re.compile(r"[\u200b\u200c\u200d\ufeff]"), ""),
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|mathsf)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[()\[\]]|\$|\*+|`+|(?<!\w)_+|_+(?!\w)|^[ \t]*#+[ \t]*", re.MULTILINE), ""),
    (re.compile(r"[‘’ʼ´]"), "'"),
    (re.compile(r"[“”„«»]"), '"'),
    (re.compile(r"[。]"), "."),
)
_TAG = re.compile(r"<\s*answer\s*>(.*?)(?:<\s*/\s*answer\s*>|$)", re.IGNORECASE | re.DOTALL)
_BOXED = re.compile(r"\\f?box(?:ed)?\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_THOUGHT = re.compile(r"<\s*/?\s*think(?:ing)?\s*>", re.IGNORECASE)
_CLOCKWISE = re.compile(r"\b(?:counter|anti)[\s-]*clockwise\b")
_TOKEN = re.compile(
    r"(?<![\w.])[-+](?=\.?\d)|\d+(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+|[^\W\d_]+(?:'[^\W\d_]+)?|[°%]|[.;!?,\n]"
)
_BREAKS = frozenset(".;!?,\n")


def answer_part(reply: object) -> str:
    """The part of a reply that is its answer: the last `<answer>` or `\\boxed`, else what follows the thinking."""
    parts = [part for part in _THOUGHT.split(str(reply)) if part.strip()]
    text = parts[-1] if parts else ""
    for shape in (_TAG, _BOXED):
        inner = [part for part in shape.findall(text) if part.strip()]
        if inner:
            return inner[-1]
    return _TAG.sub("", text) if _TAG.search(text) else text


class Word(NamedTuple):
    """A normalised word, and the number of the clause that it stands in."""

    text: str
    clause: int


def plain(text: object) -> str:
    """A text without mark-up, in one alphabet: NFKC, straight quotes, no bold, code, dollar or LaTeX text commands."""
    out = unicodedata.normalize("NFKC", str(text))
    for pattern, replacement in _MARKUP:
        out = pattern.sub(replacement, out)
    return out.strip()


def clauses(text: object) -> list[Word]:
    """The words of a text in one spelling, without articles: "Two meters to the Left" -> 2 m to left.

    Number words become digits, "isn't" two words, "forwards" "forward", "anti-clockwise" "counterclockwise".
    """
    found = _TOKEN.findall(_CLOCKWISE.sub("counterclockwise", plain(text).lower()))
    out: list[Word] = []
    clause, sign = 0, ""
    for at, token in enumerate(found):
        if token in _BREAKS:
            clause += 1
            continue
        if token in "+-":
            sign = "-" if token == "-" else ""
            continue
        before = found[at - 1] if at else "is"
        if before in _TENS and 0 < NUMBER_WORDS.get(token, 0) < 10:
            out[-1] = Word(_digits(float(out[-1].text) + NUMBER_WORDS[token]), clause)
            continue
        for word in _spelled(token, before):
            number = _number(word)
            if number is not None:
                out.append(Word(sign + _digits(number), clause))
            elif word not in _ARTICLES:
                out.append(Word(word, clause))
        sign = ""
    return out


def words(text: object) -> tuple[str, ...]:
    """The words of `clauses`, bare. A text of articles alone keeps them."""
    return tuple(word.text for word in clauses(text)) or tuple(plain(text).lower().split())


def _spelled(token: str, before: str) -> list[str]:
    if token.endswith("n't"):
        return [token[:-3] if token != "can't" else "can", "not"]
    if token == "cannot":
        return ["can", "not"]
    token = token.removesuffix("'s").replace("'", "")
    if token == "one":
        return ["1" if before in _BEFORE_A_COUNT or before in _BREAKS else "one"]
    if token.endswith("wards"):
        token = token[:-1]
    return _SPELLINGS.get(token, token).split()


def _number(word: str) -> float | None:
    if word in NUMBER_WORDS and word != "one":
        return float(NUMBER_WORDS[word])
    try:
        return float(word.replace(",", "")) if word[0].isdigit() or word[0] == "." else None
    except ValueError:
        return None


def _digits(number: float) -> str:
    return f"{number:.10g}"
