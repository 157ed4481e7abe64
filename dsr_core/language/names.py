"""Names of things as people write them: what two names have in common, and which words are the robot."""

from __future__ import annotations

import re
from functools import lru_cache

from dsr_core.language.synonyms import ONE_OF_PEOPLE, SYNONYMS, WIDER

_ARTICLES = frozenset("the a an this that these those our my your its his her their some any".split())
_ROBOT = frozenset(
    "robot,me,i,myself,us,we,you,yourself,ourselves,ego,ego vehicle,ego car,ego robot,base,robot base".split(",")
)
_CAMERA = frozenset("camera,viewer,observer,lens".split(","))
_MAP = frozenset("map,world,ground".split(","))

_IRREGULAR = {
    "people": "person",
    "persons": "person",
    "passersby": "passerby",
    "men": "man",
    "women": "woman",
    "policemen": "policeman",
    "firemen": "fireman",
    "children": "child",
    "buses": "bus",
    "mice": "mouse",
    "geese": "goose",
    "knives": "knife",
    "shelves": "shelf",
    "bookshelves": "bookshelf",
    "loaves": "loaf",
    "leaves": "leaf",
    "skis": "ski",
    "taxis": "taxi",
    "semis": "semi",
    "bureaus": "bureau",
    "tvs": "tv",
    "pcs": "pc",
    "cookies": "cookie",
    "ties": "tie",
    "neckties": "necktie",
    "pies": "pie",
    "doggies": "doggie",
    "potatoes": "potato",
    "tomatoes": "tomato",
}
_OWN_SINGULAR = ("ss", "us", "is")


@lru_cache(maxsize=65536)
def normalise_name(text: str) -> str:
    """A name in lower case without articles, possessive, plural and punctuation: "The Forklifts'" -> "forklift"."""
    text = re.sub(r"['’]s\b|['’]", "", str(text).lower())
    words = re.sub(r"[^\w#]+|_", " ", text).split()
    while len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    if words:
        words[-1] = _singular(words[-1])
    return " ".join(words)


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or not word.endswith("s") or word.endswith(_OWN_SINGULAR):
        return word
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("ches", "shes", "sses", "xes")) else word[:-1]


def noun(name: str, number: int) -> str:
    """A name as it follows a number: "one car", "no cars", "two people"."""
    if number == 1 or not name:
        return name
    *first, last = name.split(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith(("ch", "sh", "ss", "x")):
        last += "es"
    else:
        last = f"{last[:-1]}ies" if re.search(r"[^aeiou]y$", last) else f"{last}s"
    return " ".join((*first, last))


#: Of several plurals the first one.
_PLURALS = {singular: plural for plural, singular in reversed(_IRREGULAR.items())}
_CANONICAL = {normalise_name(name): normalise_name(row[0]) for row in SYNONYMS for name in row}
_WIDER = {normalise_name(name): frozenset(map(normalise_name, rows.split(";"))) for name, rows in WIDER.items()}


@lru_cache(maxsize=65536)
def class_match(asked: str, seen: str) -> str | None:
    """How a thing labelled `seen` fits the name `asked`.

    Returns:
        "same" for equal names, synonyms (`SYNONYMS`), and a name of fewer words ("truck" for a "box truck"); "wider"
        for a wider name (`WIDER`: a van is a vehicle) and for a man or a worker where people have one class; None where
        it does not fit. A "red car" is not found among cars of unknown colour.
    """
    asked, seen = normalise_name(asked), normalise_name(seen)
    if not asked or not seen:
        return None
    asked_class, seen_class = _CANONICAL.get(asked, asked), _CANONICAL.get(seen, seen)
    if asked_class == seen_class:
        return "same"
    if (
        seen_class == seen and seen not in _CANONICAL
    ):  # a known name means what its row says: a "lift truck" is no truck
        head = " ".join(seen.split()[-len(asked.split()) :])
        seen_class = _CANONICAL.get(head, head)
        if asked_class == seen_class:
            return "same"
    if seen_class in _WIDER.get(asked_class, ()) or (seen_class == "person" and asked_class in ONE_OF_PEOPLE):
        return "wider"
    return None


def same_class(asked: str, seen: str) -> bool:
    """Whether a thing labelled `seen` may be called `asked` (see `class_match`)."""
    return class_match(asked, seen) is not None


def is_known_name(text: str) -> bool:
    """Whether a row of `SYNONYMS` holds the name as it stands."""
    return normalise_name(text) in _CANONICAL


def without_article(text: str) -> str:
    """A name as written, without leading articles: "the car 12" -> "car 12"."""
    words = text.split()
    while len(words) > 1 and words[0].lower() in _ARTICLES:
        words = words[1:]
    return " ".join(words)


def ego_name(text: str) -> str | None:
    """ "robot", "camera" or "map" when the words mean one of them ("me", "the ego vehicle", "the world"), else None."""
    name = " ".join(re.sub(r"[^\w ]", "", without_article(text.lower())).split())
    for ego, words in (("robot", _ROBOT), ("camera", _CAMERA), ("map", _MAP)):
        if name in words:
            return ego
    return None
