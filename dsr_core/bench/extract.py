"""Which option a model's reply names.

A reply is read as a person reads it. What it concludes ("final answer is", `<answer>`, `\\boxed`, a last line that is
nothing but an option) goes before what it says on the way ("the best option is"), that before how it begins
("B. left"), and that before options it only mentions. A listing of the options says nothing. Where none or several
are named, no option is: a guess would add chance to the score.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dsr_core.bench import phrases
from dsr_core.bench.options import WORD_LETTERS, Options, options_of
from dsr_core.bench.wording import answer_part, clauses, plain, words

#: Goes up whenever a reply may be read otherwise than before; stands in every result.
PARSER_VERSION = 1

#: What a stretch of a reply says: a letter of the caller's; NONE, that no or several options fit; or None, nothing.
NONE = ""

#: What a statement says stands in so many characters after it, what denies it in so many before.
_AFTER, _BEFORE = 600, 60
#: Of a longer reply the middle is left out.
_MOST = 40_000
#: A reply of at most so many words is read as a whole where it has no conclusion.
_SHORT_WORDS = 40


def extract_choice(reply: object, choices: Mapping[str, object]) -> str | None:
    """The option that a reply names.

    Read are letters in every usual shape ("B", "(b)", "B.", "B: text", "**B**", "\\boxed{B}", "<answer>B</answer>",
    "option B", "the final answer is: $B"), an option's text (word for word but for case, punctuation, articles,
    spelling and number words), and chains of thought, of which the conclusion counts.

    Args:
        reply: What the model wrote; None and "" name no option.
        choices: Letter -> text; a text may be a number.

    Returns:
        The letter as `choices` has it, or None where the reply names no option or more than one. Where letter and text
        disagree, the letter counts. A text that two options share names neither.
    """
    if reply is None or not choices:
        return None
    text = plain(answer_part(reply))
    if len(text) > _MOST:
        text = f"{text[: _MOST // 4]}\n\n{text[-_MOST:]}"
    return _decided(text, options_of(choices)) or None


def _decided(text: str, options: Options) -> str | None:
    """The roads to an answer in the order of their worth; the first that leads anywhere decides."""
    if not text:
        return None
    exact = options.by_text(text)
    if exact is not None and text.upper().strip(" .()") not in options.keys:
        return exact
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    listed = _listing(lines)
    for road in (_final, _last_line, _on_the_way, _judged, _beginning, _mentions):
        found = road(text, lines, listed, options)
        if found is not None:
            return found
    return None


def _final(text: str, lines: list[str], listed: set[int], options: Options) -> str | None:
    """The last "final answer is …"; one that names no option decides that none is named."""
    for match in reversed(list(phrases.FINAL.finditer(text))):
        rest = text[match.end() : match.end() + _AFTER].lstrip(" :=\n\"'-")
        if not rest or phrases.PLACEHOLDER.match(rest):
            continue
        found = _says(rest, options)
        if found is None:
            after = [line.strip() for line in rest.splitlines() if line.strip()]
            found = _last_line(rest, after, set(), options) if len(after) > 1 else None
            found = _on_the_way(rest, after, set(), options) if found is None else found
        return NONE if found is None else found
    return None


def _last_line(text: str, lines: list[str], listed: set[int], options: Options) -> str | None:
    """A last line that is an option and nothing else."""
    if len(lines) - 1 in listed:
        return None
    line = lines[-1]
    match = phrases.LISTED.match(line)
    if match is not None and len(lines) > 1 and match[1] in options.keys:
        key = options.keys[match[1]]
        return key if options.by_text(line[match.end() :]) == key else None
    head = phrases.BARE_HEAD_LETTER.fullmatch(line)
    if head is not None and not clauses(head[2]):
        return _letter(head, options)
    return options.by_text(line)


def _on_the_way(text: str, lines: list[str], listed: set[int], options: Options) -> str | None:
    """The last statement about which option is right that names one."""
    found: list[tuple[int, str]] = []
    for match in phrases.STATED.finditer(text):
        rest = text[match.end() : match.end() + _AFTER]
        if not phrases.PLACEHOLDER.match(rest) and not phrases.HYPOTHESIS.search(
            text[max(0, match.end() - _AFTER) : match.end()]
        ):
            found.append((match.end(), _says(rest, options)))
    for match in phrases.CHOSEN.finditer(text):
        head = phrases.HEAD_LETTER.match(text[match.end() : match.end() + _AFTER])
        found.append((match.end(), None if head is None else _letter(head, options)))
    for match in phrases.VERDICT.finditer(text):
        if not _denied_before(text, match.start(1)):
            found.append((match.end(), options.keys.get(match[1])))
    found = [(at, said) for at, said in found if said is not None]
    return max(found, key=lambda item: item[0])[1] if found else None


def _judged(text: str, lines: list[str], listed: set[int], options: Options) -> str | None:
    """The one line of a listing that is called correct: "B: right - this is correct because …"."""
    found = set()
    for at in listed:
        match = phrases.LISTED.match(lines[at])
        if match[1] in options.keys and phrases.CALLED_CORRECT.search(lines[at], match.end()):
            found.add(options.keys[match[1]])
    return found.pop() if len(found) == 1 else None


def _beginning(text: str, lines: list[str], listed: set[int], options: Options) -> str | None:
    """A first line that begins with a letter and its delimiter, or a first sentence that is an option's text."""
    if 0 in listed:
        return None
    head = phrases.BARE_HEAD_LETTER.match(lines[0])
    if head is not None:
        said = _letter(head, options)
        if said is not None:
            return said
    first = phrases.FIRST_SENTENCE.match(lines[0])[1]
    whole = _opening(text, first, options)
    if whole is not None:
        return whole
    yes_no = re.match(r"(?i:(yes|no))\s*(?:[,.;:!—–-]|$)", first)
    return None if yes_no is None else options.by_text(yes_no[1])


def _mentions(text: str, lines: list[str], listed: set[int], options: Options) -> str | None:
    """Options that are only mentioned: one letter or one text, in a last sentence that concludes, or a short reply."""
    rest = "\n".join(line for at, line in enumerate(lines) if at not in listed)
    sentences = [part for part in phrases.SENTENCE_END.split(rest) if words(part)]
    if not sentences:
        return None
    parts = [sentences[-1]]
    if len(words(rest)) <= _SHORT_WORDS:
        parts.append(rest)
    elif not phrases.CONCLUDES.search(sentences[-1]):
        return None
    for part in parts:
        letters = set(_letters_in(part, options))
        if letters:
            return letters.pop() if len(letters) == 1 else NONE
        found = options.mentioned(part)
        if found and not _refuses(part, found, options):
            return found.pop() if len(found) == 1 else NONE
    return None


def _says(text: str, options: Options) -> str | None:
    """What the words after "the answer is" name."""
    head = phrases.HEAD_LETTER.match(text)
    said = None if head is None else _letter(head, options)
    if said is not None:
        return said
    first = phrases.FIRST_SENTENCE.match(text)
    if first is None:
        return None
    first = first[1]
    by_text = _opening(text, first, options)
    if by_text is not None:
        return by_text
    found = options.mentioned(first)
    if phrases.NEGATED.match(text) and options.begins(first) is None:
        instead = phrases.INSTEAD.search(first)
        return None if instead is None else _says(instead[1], options)
    if _refuses(first, found, options):
        return NONE
    if len(found) == 1:
        return found.pop()
    return NONE if found else options.begins(first)


def _opening(text: str, first: str, options: Options) -> str | None:
    """The option that the first sentence is, or, of options with several sentences, that the text begins with."""
    begun = options.begins(text)
    if begun is not None and len(options.phrases[begun]) > len(words(first)):
        return begun
    return options.by_text(first)


def _letter(head: re.Match, options: Options) -> str | None:
    """The letter of a match of `phrases.HEAD_LETTER`, where it is one and not an article, a pronoun or denied."""
    letter, rest = head[1], head[2]
    closes = phrases.CLOSES.match(rest) is not None
    own = options.keys.get(letter.upper())
    if letter.islower():
        if own is None or not closes or rest.startswith(("'", "-")):
            return None
        if letter == "a" and rest[:1] in (",", "/", "&", "+") and words(rest):
            return None
    elif letter in WORD_LETTERS and not closes:
        after = rest.lstrip()
        own_text = own is not None and after and options.begins(after) == own
        if not (own_text or re.match(phrases.AFTER_A, after) or after[:1] in "(["):
            return None
    if _denied_after(rest, own, options):
        return None
    another = phrases.ANOTHER.match(rest)
    if another is not None and another[1] in options.keys and another[1] != letter.upper():
        return NONE
    if own is None:
        return NONE if closes and len(letter) == 1 and letter.isupper() else None
    return own


def _letters_in(text: str, options: Options) -> Iterator[str]:
    """Letters of the options that a text names and does not deny."""
    for match in phrases.MENTION.finditer(text):
        letter, at = match[match.lastindex], match.start(match.lastindex)
        if letter not in options.keys or _denied_before(text, at):
            continue
        if not _denied_after(text[at + 1 : at + _AFTER], options.keys[letter], options):
            yield options.keys[letter]


def _denied_before(text: str, at: int) -> bool:
    return phrases.DENIED_BEFORE.search(text[max(0, at - _BEFORE) : at]) is not None


def _denied_after(rest: str, own: str | None, options: Options) -> bool:
    """Whether what follows a letter denies it: "A is wrong", "A: left is wrong"; not "C: not moving"."""
    if own is None or options.begins(rest) != own:
        return phrases.DENIED.match(rest) is not None
    following = words(phrases.FIRST_SENTENCE.match(rest)[1])[len(options.phrases[own]) :]
    return " ".join(following[:2]) in phrases.DENIALS or " ".join(following[:1]) in phrases.DENIALS


def _refuses(text: str, found: set[str], options: Options) -> bool:
    """Whether a text refuses to answer, and guesses nothing after that.

    An option that itself says so ("cannot be determined") does not count.
    """
    text = phrases.GUESSES.split(text)[-1]
    if phrases.REFUSAL.search(text) is None:
        return False
    return not any(phrases.REFUSAL.search(" ".join(options.phrases[key])) for key in found)


def _listing(lines: list[str]) -> set[int]:
    """Indices of lines that list options: neighbours that begin with letters in alphabetical order and a delimiter."""
    letters = {at: match[1] for at, line in enumerate(lines) if (match := phrases.LISTED.match(line)) is not None}
    follow = {at for at, letter in letters.items() if letters.get(at - 1, letter) < letter}
    return follow | {at - 1 for at in follow}
