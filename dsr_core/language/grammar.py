"""What a sentence of the table is, the pieces that its pattern is made of, and how a text is looked up in the table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

try:
    from re import _parser
except ImportError:  # Python 3.10
    import sre_parse as _parser

#: A name, perhaps with the mark of a box (⟦0⟧); short, so that no pattern can take long on any text.
NAME = r"(?:[^,;:?!⟦]{0,80}⟦\d{1,3}⟧|[^,;:?!⟦]{1,80}?)"
GO = (
    r"(?:moving|going|driving|heading|headed|walking|running|travelling|traveling|flying|rolling|riding|steering"
    r"|swimming|sliding|skating|skiing|crawling|sailing|cycling|drifting|jogging|floating)"
)
MOVE = (
    r"(?:move|go|drive|head|walk|run|travel|fly|roll|ride|steer|swim|slide|skate|ski|crawl|sail|cycle|drift|jog|shift)"
)
MOVED = r"(?:moved|gone|went|driven|drove|walked|run|ran|travelled|traveled|flown|rolled|shifted|drifted)"
_SIDE = r"(?:(?:to|towards?|on) )?(?:the |its |his |her |their |my )?"
_PIECES = {
    "{A}": rf"(?P<A>{NAME})",
    "{A2}": rf"(?P<A2>{NAME})",
    "{B}": rf"(?P<B>{NAME})",
    **{f"{{{group}}}": rf"(?P<{group}>{NAME})" for group in ("A3", "B2", "B4", "B5")},
    "{N}": r"(?P<N>[^,;:?!⟦]{1,60}?)",
    "{N2}": r"(?P<N2>[^,;:?!⟦]{1,60}?)",
    "{set}": r"(?:(?P<who>who)|(?:which|what) (?P<N>[^,;:?!⟦]{1,40}?)|(?:which|what))",
    "{be}": r"(?:is|are|am|was|were)",
    "{do}": r"(?:do|does|did|has|have|will)",
    "{did}": r"(?:do|does|did|has|have)",
    "{trend}": (
        r"(?P<trend>(?:(?:getting|get|becoming|become|growing|grow|staying|stay|remaining|remain|keeping|keep|nearly|the)"
        r" ){0,3}(?:smaller|shorter|less|lower|larger|bigger|greater|longer|higher|increas\w{1,5}|decreas\w{1,5}"
        r"|shrink(?:ing)?|growing|grow|dropping|drop|falling|fall|rising|rise|constant|same|unchanged|steady|stable))"
    ),
    "{dir}": r"(?P<dir>[^,;:?!]{2,60}?)",
    "{dir2}": r"(?P<dir2>[^,;:?!]{2,120}?)",
    "{place}": r"(?P<place>[^;:?!]{2,200}?)",
    "{side}": rf"{_SIDE}(?P<side>left|right)(?: side| hand side)?",
    "{side2}": rf"{_SIDE}(?P<side2>left|right)(?: side| hand side)?",
    "{sides}": (
        rf"{_SIDE}(?:left(?: side)? or {_SIDE}right|right(?: side)? or {_SIDE}left)(?: side)?(?: directions?| ways?)?"
    ),
    "{go}": GO,
    "{move}": MOVE,
    "{moved}": MOVED,
    "{which}": r"(?:in |to |towards? )?(?:which|what) (?:way|direction)",
    "{to}": r"(?:(?: to| in| towards?)(?: next)?)?",
    "{get}": r"(?:getting|coming|moving|going|drawing|becoming|growing|driving|walking|running|heading|swimming)",
    "{toward}": r"(?:closer to|nearer to|closer towards?|towards?|up to|at)",
    "{away}": r"(?:farther away|further away|away|farther|further|furhter away)",
    "{of}": r"(?:of|from|to|relative to|with respect to|in relation to|as seen from|seen from)",
    "{picture}": r"(?:picture|image|screen|frame|video|view|camera frame)",
    "{least}": r"(?:smallest|minimum|minimal|least|shortest|closest|lowest)",
    "{robot}": r"(?:you|i|we|the robot|the camera)",
}


@dataclass(frozen=True)
class Sentence:
    """One understood sentence.

    Attributes:
        example: The sentence in plain words, offered when a question is not understood.
        pattern: Regular expression of the whole sentence in lower case, with pieces in braces.
        kind: Kind of the query.
        asked: Label that a yes/no question is about, several with "|" between them where any will do, or labels in
            order; "value" for "how far", "when", "where", "slower" for "which is slower"; or None.
        form: "open", "yes_no" or "which".
        viewer: "said" (the robot where nothing is said), "world", "fixed" (held fixed at the window's end, so
            that the viewer's own motion does not count), "fixed_unless_said", "object" (the object's own eyes where
            nothing is said), "own" (the subject's own eyes where nothing is said).
        swap: The query is about B as seen by A ("is A facing B?" asks where B is for A).
        now: It speaks of the present when it says nothing of time.
        stretch: Kind in place of `kind` where the sentence speaks of the past or of a stretch of time.
        of: Kind of the relation that a count counts.
        note: What to know about it, for the documentation.
    """

    example: str
    pattern: str
    kind: str
    asked: str | tuple[str, ...] | None = None
    form: str = "open"
    viewer: str = "said"
    swap: bool = False
    now: bool = False
    stretch: str | None = None
    of: str | None = None
    note: str = ""

    @cached_property
    def regex(self) -> re.Pattern:
        text = self.pattern
        for piece, expression in _PIECES.items():
            text = text.replace(piece, expression)
        text = text.replace(" the distance", " (?:the )?(?:distance|gap)")
        for noun in ("speed", "direction", "orientation"):
            text = text.replace(f" the {noun}", f" (?:the )?{noun}")
        return re.compile(text, re.IGNORECASE)

    @cached_property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """Pieces of text without which the sentence cannot match: one of each tuple (see `needed_pieces`)."""
        return needed_pieces(self.regex)

    @cached_property
    def most_characters(self) -> int:
        """Length of the longest text that it can match."""
        return int(_parser.parse(self.regex.pattern).getwidth()[1])


def open_question(example: str, pattern: str, kind: str, asked=None, **more) -> Sentence:
    return Sentence(example, pattern, kind, asked, **more)


def yes_no(example: str, pattern: str, kind: str, asked=None, **more) -> Sentence:
    return Sentence(example, pattern, kind, asked, "yes_no", **more)


class Table:
    """Sentences in the order in which they are tried; most are ruled out by a word that the text lacks."""

    def __init__(self, sentences: Iterable[Sentence]):
        self.sentences = tuple(sentences)
        self._pieces = tuple({piece for s in self.sentences for either in s.needs for piece in either})
        self._rows = tuple((s, tuple(frozenset(e) for e in s.needs), s.most_characters) for s in self.sentences)

    def matches(self, text: str) -> Iterator[tuple[Sentence, re.Match]]:
        """The sentences that match the whole text, in order."""
        lower = text.lower()
        lacks = {piece for piece in self._pieces if piece not in lower}
        for sentence, needs, most_characters in self._rows:
            if len(text) <= most_characters and not any(either <= lacks for either in needs):
                match = sentence.regex.fullmatch(text)
                if match:
                    yield sentence, match


# --- what a regular expression needs ---------------------------------------------------------------------------------


def needed_pieces(regex: re.Pattern) -> tuple[tuple[str, ...], ...]:
    """Pieces of lower-case text that every match holds: one of each tuple; the most telling tuples first.

    Read off the parsed expression: runs of letters that are not optional, and for alternatives one run of each.
    """
    clauses = {clause for clause in _clauses(_parser.parse(regex.pattern)) if min(map(len, clause)) > 1}
    return tuple(sorted(clauses, key=lambda c: (len(c), -min(map(len, c)), c)))


def _clauses(parsed) -> Iterator[tuple[str, ...]]:
    run = ""
    for operator, value in parsed:
        name = str(operator)
        if name == "LITERAL":
            run += chr(value).lower()
            continue
        if run.strip():
            yield (run,)
        run = ""
        if name == "SUBPATTERN":
            yield from _clauses(value[-1])
        elif name == "BRANCH":
            best = [max(_clauses(branch), key=_telling, default=None) for branch in value[1]]
            if all(best):
                yield tuple(sorted({piece for clause in best for piece in clause}))
        elif name in ("MAX_REPEAT", "MIN_REPEAT") and value[0] > 0:
            yield from _clauses(value[2])
    if run.strip():
        yield (run,)


def _telling(clause: tuple[str, ...]) -> int:
    return min(map(len, clause))
