"""The options of one question: letters, texts as words, and where a reply mentions them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from dsr_core.bench.wording import Word, clauses, plain, words

#: Letters that are words of their own in English.
WORD_LETTERS = "AI"
_NUMBERING = re.compile(r"\(\d+\)")
#: Words that add nothing to an option's text: "moving to the left" says "left" where no other option does.
_EMPTY_WORDS = frozenset("to it its is are was were be it's they he she".split())
_NEGATIONS = frozenset("not no never neither nor without cannot exclude excluding excludes except unlike".split())
_NEGATION_PAIRS = (("rather", "than"), ("instead", "of"), ("opposed", "to"), ("rule", "out"), ("ruled", "out"))
_DENIED_AFTER = frozenset("not incorrect wrong unlikely implausible impossible inapplicable false".split())
_IS = frozenset("is are was were seems appears would be looks".split())
#: "not moving away" denies a way, not a movement.
_WAYS = frozenset(
    "away toward left right up down forward backward closer further farther clockwise counterclockwise along".split()
)
#: A negation reaches over so many words, within its clause.
_NEGATION_REACH = 12


class Options:
    """Options by letter.

    Attributes:
        keys: Upper-case letter -> the letter as the caller writes it.
        phrases: The caller's letter -> its text as words.
        unnumbered: The same without the numbers of "(1) … (2) …".
    """

    def __init__(self, choices: Mapping[str, object]):
        self.keys = {str(letter).strip(" ().:").upper(): letter for letter in choices}
        self.phrases = {letter: words(text) for letter, text in choices.items()}
        self.unnumbered = {letter: words(_NUMBERING.sub(" ", str(text))) for letter, text in choices.items()}

    def by_text(self, text: object) -> str | None:
        """The one option that `text` is, word for word, or as far as the words carry a meaning; else None."""
        said = words(text)
        exact = [letter for letter, phrase in self.phrases.items() if phrase == said]
        if exact:
            return exact[0] if len(exact) == 1 else None
        said = _bare(said)
        bare = [letter for letter, phrase in self.phrases.items() if said and _bare(phrase) == said]
        if bare:
            return bare[0] if len(bare) == 1 else None
        said = words(_NUMBERING.sub(" ", str(text)))
        unnumbered = [letter for letter, phrase in self.unnumbered.items() if said and phrase == said]
        return unnumbered[0] if len(unnumbered) == 1 else None

    def begins(self, text: object) -> str | None:
        """The option whose text `text` begins with (the longest); None where there is none or several are alike."""
        said = words(text)
        found = [k for k, phrase in self.phrases.items() if phrase and said[: len(phrase)] == phrase]
        if not found:
            return None
        longest = max(len(self.phrases[k]) for k in found)
        found = [k for k in found if len(self.phrases[k]) == longest]
        return found[0] if len(found) == 1 else None

    def mentioned(self, text: object) -> set[str]:
        """Letters of the options whose text is mentioned and not denied; a longer text hides those inside it.

        "yes" and "no" are too common as words to be looked for inside a text.
        """
        said = clauses(text)
        taken = [False] * len(said)
        spans: list[tuple[int, int, str]] = []
        for letter, phrase in sorted(self.phrases.items(), key=lambda item: -len(item[1])):
            if not phrase or phrase in (("yes",), ("no",)):
                continue
            twin = any(self.phrases[other] == phrase for _, _, other in spans)
            for at in range(len(said) - len(phrase) + 1):
                end = at + len(phrase)
                if tuple(word.text for word in said[at:end]) != phrase or (all(taken[at:end]) and not twin):
                    continue
                taken[at:end] = [True] * len(phrase)
                if not _denied(said, at, end):
                    spans.append((at, end, letter))
        return {letter for at, end, letter in spans if not self._denies_next(said, end, letter)}

    def _denies_next(self, said: list[Word], end: int, letter: str) -> bool:
        """Whether "not moving" is but the beginning of "not moving left"; the words that follow are denied already."""
        if self.phrases[letter][0] not in _NEGATIONS or end >= len(said):
            return False
        after = [word.text for word in said[end : end + 3] if word.clause == said[end - 1].clause]
        rest = _bare(tuple(after))
        if rest and rest[0] in _WAYS and "any" not in rest:
            return True
        return any(
            phrase and phrase == rest[: len(phrase)] for other, phrase in self.phrases.items() if other != letter
        )


@lru_cache(maxsize=4096)
def _cached(items: tuple[tuple[str, str], ...]) -> Options:
    return Options(dict(items))


def options_of(choices: Mapping[str, object]) -> Options:
    """`Options`, remembered between replies to the same question."""
    return _cached(tuple((letter, plain(text)) for letter, text in choices.items()))


def _bare(phrase: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in phrase if word not in _EMPTY_WORDS)


def _denied(said: list[Word], start: int, end: int) -> bool:
    """Whether the words from `start` to `end` stand under a negation of their clause."""
    clause = said[start].clause
    before = [w.text for w in said[max(0, start - _NEGATION_REACH) : start] if w.clause == clause]
    after = [w.text for w in said[end : end + 2] if w.clause == said[end - 1].clause]
    if any(word in _NEGATIONS for word in before):
        return "but" not in before[max(i for i, word in enumerate(before) if word in _NEGATIONS) :]
    if any((before[i], before[i + 1]) in _NEGATION_PAIRS for i in range(len(before) - 1)):
        return True
    return bool(after) and (
        after[0] in ("incorrect", "wrong") or (after[0] in _IS and len(after) > 1 and after[1] in _DENIED_AFTER)
    )
