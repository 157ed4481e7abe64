"""Things mentioned in a question -> WHO: names, boxes, pronouns and the robot's own names."""

from __future__ import annotations

import re

from dsr_core.language.amounts import read_amount
from dsr_core.language.attributes import who_of
from dsr_core.language.names import ego_name, without_article
from dsr_core.language.resolve_many import EVERYTHING
from dsr_core.language.times import NUMBER, tidy
from dsr_core.reasoning.query import Who

_MAX_NAME_WORDS = 10
#: No name holds these: they show that a pattern has swallowed a part of the sentence that it does not understand.
_NOT_IN_NAMES = frozenset(
    "is are was were am be been do does did has have had will would can could should may might how what which when"
    " where why whose going moving getting coming change changes changing faster slower closer nearer farther further"
    " facing than then or not never always because while if whether perspective perspectives relative since after"
    " before until during anything something everything nothing anyone someone it they them he she there here him moves"
    " move goes go gets approaches approaching heading more most overtaken occluded visible hidden twice times"
    " respect respective ever again still away between degrees forwards backwards clockwise counter-clockwise"
    " uphill downhill upwards downwards other same turn turns turned placed moved put picked poured start ever closest"
    " nearest cross crossed overtook parked whom came comes come"
    " got longer quickly slowly rapidly suddenly recently directly straight"
    " everyone everybody somebody nobody within apart total".split()
)
_NOUNS_IN_ING = frozenset(
    "thing building ceiling ring king wing string railing sitting crossing painting awning ping pong parking".split()
)
#: After a noun these begin what it has, wears or does: "the man wearing a hat".
_ATTACHED = frozenset(
    "wearing holding carrying riding pushing pulling playing driving walking standing sitting".split()
)
#: These words may stand together in a name.
_COMPOUNDS = frozenset({("go", "kart"), ("go", "karts"), ("go", "cart"), ("turn", "signal"), ("start", "line")})
_HAVING = frozenset("with in wearing holding carrying".split())
_COLOURS = frozenset(
    "black white red green blue yellow orange brown grey gray silver pink purple gold beige golden".split()
)
_NOT_LAST = frozenset("the a an my your his her their its of and to by in on out from with at for".split())
_NOT_FIRST = frozenset("in on at to from of by with behind beside under over between through across around".split())
_ARTICLES = frozenset("the a an my your our his her their".split())
#: "Which way" and "which side" are no sets of things.
_NOT_SETS = (["way"], ["direction"], ["side"], ["hand"], ["time"], ["place"])
PRONOUNS = frozenset("it he she they him her them this that itself himself herself themselves".split())
_PICTURE = re.compile(
    r" (?:of|in) the (?:camera )?(?:frame|picture|image|screen|video|view|camera frame)$", re.IGNORECASE
)

#: "The tram closest to the camera" is the nearest one.
_TO_CAMERA = re.compile(
    r"(?:(?<=closest)|(?<=nearest)|(?<=farthest)|(?<=furthest)) (?:to|from) the camera(?: viewpoint)?$", re.IGNORECASE
)

_BOX = re.compile(
    r"(?:,? ?\b(?:with|at|in|having) )?(?:(?:the|its) )?(?:\b(?P<when>initial|first|final|last) )?(?:\bbounding )?"
    r"(?:\b(?:box|bbox) )?(?:\b(?:coordinates|coords) )?"
    rf"[\[(] ?({NUMBER}) ?, ?({NUMBER}) ?, ?({NUMBER}) ?, ?({NUMBER}) ?[\])]",
    re.IGNORECASE,
)
MARK = re.compile(r"⟦(\d+)⟧")

#: ("initial", "final" or "", [x1, y1, x2, y2]) of every box of a question.
Boxes = list[tuple[str, list[float]]]


def take_boxes(text: str) -> tuple[str, Boxes]:
    """Replaces boxes by short marks."""
    boxes: Boxes = []

    def keep(match: re.Match) -> str:
        said = (match["when"] or "").lower()
        when = "initial" if said in ("initial", "first") else "final" if said else ""
        boxes.append((when, [float(match[i]) for i in range(2, 6)]))
        return f" ⟦{len(boxes) - 1}⟧"

    return (tidy(_BOX.sub(keep, text)), boxes) if "[" in text or "(" in text else (text, boxes)


def who_mentioned(text: str | None, boxes: Boxes, at: float | None = None, loose: bool = False) -> Who | None:
    """A mention as WHO; None when it is no name. `loose` takes any words (the published templates name things freely).

    Args:
        text: "the second nearest car", "me", "car 12", "man in white ⟦0⟧".
        boxes: Those of the question, by the number of their mark.
        at: Second that a box belongs to.
    """
    if text is None:
        return None
    marks = MARK.findall(text)
    name = without_article(tidy(MARK.sub(" ", text)))
    if len(marks) > 1 or not (name or marks) or (name and not re.search(r"\w", name)):
        return None
    if not marks:
        ego = ego_name(name)
        if ego:
            return ego
        who = name if loose else who_of(_TO_CAMERA.sub("", _PICTURE.sub("", name)))
        label = who if isinstance(who, str) else who.get("label")
        if label is not None and (read_amount(label) or ("", None))[1] is not None:
            return None  # "faster than 5 m/s" names no thing
        if loose or name == "A" or label is None or is_name(label.lower().split()):
            return who
        return None
    who = {"box": boxes[int(marks[0])][1]}
    if name and name.lower() not in PRONOUNS and name.lower().split()[-1] not in ("object", "thing"):
        who["label"] = name
    if at is not None:
        who["at"] = at
    return who


def set_mentioned(text: str | None) -> Who | None:
    """The set that "which car" or "how many of the cars" speaks of; None when it is no name."""
    name = without_article(re.sub(r"^of (?=.)", "", tidy(text or "anything"), flags=re.IGNORECASE))
    if name.lower() in EVERYTHING:
        return "anything"
    if (
        name.lower().split()[-1:] in _NOT_SETS
        or MARK.search(name)
        or not is_name(name.lower().split())
        or ego_name(name)
        or not isinstance(who_of(name), str)
    ):
        return None
    return {"label": name, "select": "all"}


def is_name(words: list[str]) -> bool:
    """Whether the words (in lower case) can name a thing: short, and without verbs or words of change."""
    if not 0 < len(words) <= _MAX_NAME_WORDS or words[-1] in _NOT_LAST or words[0] in _NOT_FIRST:
        return False
    for k, word in enumerate(words):
        after = words[k + 1] if k + 1 < len(words) else ""
        if word in ("is", "are"):
            if k == 0 or words[k - 1] not in ("who", "that", "which") or not after.endswith("ing"):
                return False
        elif word in _NOT_IN_NAMES and (word, after) not in _COMPOUNDS:
            return False
        if word == "who" and after not in ("is", "are"):
            return False
        if word == "and" and not _joins_looks(words, k):
            return False
        if word.endswith("ing") and word not in _NOUNS_IN_ING and not _describes(words, k):
            return False
    return True


def _joins_looks(words: list[str], k: int) -> bool:
    """Whether this "and" stands inside a description ("in white and black"), not between two things."""
    if words[k + 1] in _ARTICLES:
        return False
    return words[k - 1] in _COLOURS or bool(_HAVING.intersection(words[1:k]))


def _describes(words: list[str], k: int) -> bool:
    """Whether this word in -ing says which thing is meant: "the running lady", "the man wearing a hat"."""
    if words[k - 1 : k] in (["is"], ["are"]):
        return words[k] != "being"
    return k + 1 < len(words) and (k == 0 or words[k] in _ATTACHED)
