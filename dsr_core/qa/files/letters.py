"""Options and answers as files have them -> options without letters, and the index of the true one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsr_core.qa.item import QaError

MAX_OPTIONS = 26


def without_letters(options: Sequence[str]) -> tuple[str, ...]:
    """Takes "A.", "A)", "(A)", "A:" and "A " off options that all have their own letter; twice where it stands twice.

    (The published converter puts "A " before free-form answers that begin with "A." already.)
    """
    texts = tuple(" ".join(str(option).split()) for option in options)
    while len(texts) > 1:
        bare = [_prefix(i).match(text) for i, text in enumerate(texts)]
        if not all(bare):
            break
        texts = tuple(text[match.end() :] for text, match in zip(texts, bare, strict=True))
    return texts


def _prefix(index: int) -> re.Pattern:
    letter = chr(65 + index)
    return re.compile(rf"(?:\({letter}\)[.:]?\s*|{letter}[.):]+\s*|{letter}\s+)(?=\S)")


def index_of(answer, options: Sequence[str]) -> int:
    """Which option an answer names: a letter ("B", "b.", "(B)", "Answer: B"), "B. text", or an option's text.

    Args:
        answer: As the file has it. options: Without letters.

    Raises:
        QaError: it names none of them, or several that are the same.
    """
    said = " ".join(str(answer).split()) if isinstance(answer, str) else ""
    same = [i for i, option in enumerate(options) if option == said]
    if len(same) == 1:
        return same[0]
    match = re.fullmatch(
        r"(?:(?:the )?(?:correct )?answer(?: is)?\s*:?\s*)?\(?([A-Za-z])\)?\s*[.):]*", said, re.IGNORECASE
    )
    if match is None:
        match = re.fullmatch(r"\(?([A-Z])(?:\)[.:]?|[.:])\s*\S.*", said)
    index = ord(match[1].upper()) - 65 if match else -1
    if 0 <= index < len(options):
        return index
    letters = ", ".join(chr(65 + i) for i in range(len(options)))
    raise QaError(f"the answer {answer!r} is none of {letters} and none of the options {list(options)}")
