"""Words for change -> labels: "getting closer", "becomes smaller", "slows down", "nearly constant", …"""

from __future__ import annotations

import re

_CONSTANT = (
    r"\b(?:constant|unchanged|steady|stable|same|stays?|staying|remains?|keeps? (?:its|the|their) distance"
    r"|not? chang\w*|does(?:n'?t| not) change|equal)\b"
)
_MORE = r"\b(?:larger|bigger|greater|higher|longer|grow\w*|increas\w*|ris(?:es?|ing)|widen\w*|rose|grew)\b"
_LESS = r"\b(?:smaller|less|lower|shorter|decreas\w*|shrink\w*|drop\w*|fall\w*|reduc\w*|diminish\w*|shrank|fell)\b"
_NEITHER = r"\bneither\b.*"
_STAYED = (
    r"\b(?:not mov\w*|n't move|did(?:n't| not) move|no (?:movement|motion)|stay\w* (?:still|in place|put|where)"
    r"|in place|still|parked|stationary|static|motionless|unmoved|same (?:place|position|spot))\b"
)
_FARTHER = rf"{_MORE}|\b(?:away|farther|further|reced\w*|apart|leav\w*|diverg\w*)\b"
_CLOSER = rf"{_LESS}|\b(?:closer|nearer|approach\w*|clos(?:es|ing) in|towards?|converg\w*|together)\b"
_UNCHANGED = rf"{_NEITHER}|{_CONSTANT}|\bnot moving\b|\bstaying in place\b"
_STILL = (
    r"\b(?:stopped moving|still|parked|stationary|static|motionless|standing|stands|stopped|at rest|not mov\w*"
    r"|does(?:n'?t| not) move|immobile|resting|staying in place)\b"
)
_MOVING = r"\b(?:moving|moves?|moved|in motion|driv\w*|walk\w*|roll\w*|under way|underway)\b"
#: What is denied comes first: "not following" speaks of following, too.
_WORDS = {
    "distance": {"constant": _UNCHANGED, "increasing": _FARTHER, "decreasing": _CLOSER},
    "speed": {
        "increasing": rf"{_MORE}|\b(?:faster|quicker|accelerat\w*|speed(?:s|ing)? up|sped up)\b",
        "decreasing": rf"{_LESS}|\b(?:slower|slow(?:s|ed|ing)?(?: down)?|decelerat\w*|brak(?:e|es|ing))\b",
        "constant": _CONSTANT,
    },
    "motion": {"still": _STILL, "moving": _MOVING},
    "facing": {
        "away": r"\b(?:away|(?:its|his|her|their|the) back|backs?)\b",
        "sideways": r"\b(?:sideways|side-on|sidewards|to the side|neither|side)\b",
        "facing": r"\b(?:fac\w*|towards?|at|looking)\b",
    },
    "displacement": {
        "stayed": _STAYED,
        "moved": r"\b(?:mov\w*|displaced|elsewhere|changed (?:its )?(?:place|position))\b",
    },
    "lateral_change": {
        "constant": rf"{_UNCHANGED}|\bstraight\b|\bno (?:lateral )?(?:change|movement)\b",
        "left": r"\bleft\w*\b",
        "right": r"\bright\w*\b",
    },
    "depth_change": {"constant": _UNCHANGED, "farther": _FARTHER, "closer": _CLOSER},
    "closest_approach": {"same": _UNCHANGED, "receding": _FARTHER, "approaching": _CLOSER},
    "crossing": {
        "none": r"\b(?:not cross\w*|n't cross\w*|no crossing|never cross\w*|neither|did not|didn't)\b.*",
        "left_to_right": r"\bleft to (?:the |my )?right\b",
        "right_to_left": r"\bright to (?:the |my )?left\b",
    },
    "overtaking": {
        "none": r"\b(?:not (?:overt\w*|pass)|n't (?:overtake|pass)|no overtaking|never|neither|none|nobody)\b.*",
        "overtaken": r"\b(?:was|were|is|been|being|got) (?:overtaken|passed)\b|^overtaken\b",
        "overtook": r"\b(?:overtook|overtakes?|overtaking|has overtaken|have overtaken)\b",
        "passed": r"\bpass(?:ed|es|ing)?\b",
    },
    "following": {
        "not_following": r"\b(?:not follow\w*|n't follow\w*|no|stopped following|never follow\w*|not)\b.*",
        "following": r"\b(?:follow\w*|chas\w*|tail\w*)\b",
    },
    "turning": {
        "straight": r"\b(?:straight|not turn\w*|n't turn\w*|no turn\w*|never turn\w*|neither)\b.*",
        "turning_left": r"\bleft\w*\b",
        "turning_right": r"\bright\w*\b",
    },
    "visibility": {
        "out_of_view": (
            r"\b(?:out of (?:view|sight|the picture)|not (?:visible|in (?:view|sight))|invisible|gone|left the"
            r"|outside)\b"
        ),
        "occluded": r"\b(?:occlud\w*|hidden|behind|covered|obscured|blocked)\b",
        "in_view": r"\b(?:in (?:view|sight|the picture)|visible|seen)\b",
    },
}
_WORDS["path_length"] = _WORDS["motion"]
_WORDS["distance_change"] = _WORDS["distance"]
_COMPILED = {
    kind: {label: re.compile(words, re.IGNORECASE) for label, words in labels.items()}
    for kind, labels in _WORDS.items()
}
#: Kinds whose labels have words of their own here; directions and comparisons are read elsewhere.
WORDED_KINDS = tuple(_WORDS)


def trend_label(kind: str, text: str) -> str | None:
    """The one label of `kind` (one of `WORDED_KINDS`) that the text speaks of; None for none or several."""
    found = []
    for label, words in _COMPILED[kind].items():
        if words.search(text):
            found.append(label)
            text = words.sub(" ", text)
    return found[0] if len(found) == 1 else None
