"""Names of things as people write them: what two names have in common, and which words are the robot."""

from __future__ import annotations

import re
from functools import lru_cache

_ARTICLES = frozenset("the a an this that these those our my your its his her their some any".split())
_ROBOT = frozenset(
    "robot,me,i,myself,us,we,you,yourself,ourselves,ego,ego vehicle,ego car,ego robot,base,robot base".split(",")
)
_CAMERA = frozenset("camera,viewer,observer,lens".split(","))
_MAP = frozenset("map,world,ground".split(","))

_IRREGULAR = {
    "people": "person",
    "persons": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "buses": "bus",
    "boxes": "box",
    "benches": "bench",
    "mice": "mouse",
    "lorries": "lorry",
    "ladies": "lady",
    "babies": "baby",
    "trolleys": "trolley",
    "dishes": "dish",
    "glasses": "glass",
}

#: Names that mean the same: the first is the one that a row is known by.
SYNONYMS = (
    ("person", "pedestrian", "human", "man", "woman", "guy", "walker", "person sitting", "worker"),
    ("child", "kid", "boy", "girl", "toddler"),
    ("car", "automobile", "auto", "sedan", "passenger car", "regular vehicle"),
    ("van", "minivan", "delivery van"),
    ("truck", "lorry", "large vehicle", "pickup", "pick up"),
    ("bus", "coach"),
    ("tram", "streetcar", "trolley car", "railed vehicle"),
    ("bicycle", "bike", "cyclist", "bicyclist", "cycle", "push bike"),
    ("motorcycle", "motorbike", "motorcyclist", "moped"),
    ("forklift", "fork lift", "fork lift truck", "forklift truck", "lift truck", "fork truck"),
    ("pallet jack", "pallet truck", "hand pallet truck"),
    ("cart", "trolley", "barrow"),
    ("stroller", "pram", "buggy", "pushchair", "baby carriage"),
    ("couch", "sofa"),
    ("monitor", "screen", "display", "tv", "television"),
    ("mug", "cup"),
    ("fridge", "refrigerator"),
    ("crate", "box", "carton"),
    ("construction cone", "cone", "traffic cone"),
    ("dog", "puppy"),
    ("cat", "kitten"),
)
#: A wider name and the rows of `SYNONYMS` that it also names.
WIDER = {
    "vehicle": frozenset("car van truck bus tram motorcycle".split()),
    "person": frozenset({"child"}),
    "animal": frozenset("dog cat".split()),
}
_CANONICAL = {name: row[0] for row in SYNONYMS for name in row}


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
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@lru_cache(maxsize=65536)
def same_class(asked: str, seen: str) -> bool:
    """Whether a thing labelled `seen` may be called `asked`.

    True for equal names, synonyms (`SYNONYMS`), a wider name (`WIDER`: a van is a vehicle), and a name of fewer words
    ("truck" for a "box truck"). A "red car" is not found among cars of unknown colour.
    """
    asked, seen = normalise_name(asked), normalise_name(seen)
    if not asked or not seen:
        return False
    asked_class, seen_class = _CANONICAL.get(asked, asked), _CANONICAL.get(seen, seen)
    if asked_class == seen_class or seen_class in WIDER.get(asked_class, ()):
        return True
    if seen_class != seen:  # a known name means what its row says: a "lift truck" is no truck
        return False
    head = " ".join(seen.split()[-len(asked.split()) :])
    head_class = _CANONICAL.get(head, head)
    return head_class == asked_class or head_class in WIDER.get(asked_class, ())


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
