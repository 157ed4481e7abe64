"""Words for change -> labels: "getting closer", "becomes smaller", "slows down", "nearly constant", …"""

from __future__ import annotations

import re

_CONSTANT = (
    r"\b(?:constant|unchanged|steady|stable|same|stays?|staying|remains?|keeps? (?:its|the|their) distance"
    r"|not? chang\w*|does(?:n'?t| not) change|equal)\b"
)
_MORE = r"\b(?:larger|bigger|greater|higher|longer|grow\w*|increas\w*|ris(?:es?|ing)|widen\w*|rose|grew)\b"
_LESS = r"\b(?:smaller|less|lower|shorter|decreas\w*|shrink\w*|drop\w*|fall\w*|reduc\w*|diminish\w*|shrank|fell)\b"
_WORDS = {
    "distance": {
        "increasing": rf"{_MORE}|\b(?:away|farther|further|reced\w*|apart|leav\w*|diverg\w*)\b",
        "decreasing": rf"{_LESS}|\b(?:closer|nearer|approach\w*|clos(?:es|ing) in|towards?|converg\w*|together)\b",
        "constant": _CONSTANT,
    },
    "speed": {
        "increasing": rf"{_MORE}|\b(?:faster|quicker|accelerat\w*|speed(?:s|ing)? up|sped up)\b",
        "decreasing": rf"{_LESS}|\b(?:slower|slow(?:s|ed|ing)?(?: down)?|decelerat\w*|brak(?:e|es|ing))\b",
        "constant": _CONSTANT,
    },
    "motion": {
        "still": (
            r"\b(?:still|parked|stationary|static|motionless|standing|stands|stopped|at rest|not mov\w*"
            r"|does(?:n'?t| not) move|immobile|resting)\b"
        ),
        "moving": r"\b(?:moving|moves?|moved|in motion|driv\w*|walk\w*|roll\w*|under way|underway)\b",
    },
}
_COMPILED = {
    kind: {label: re.compile(words, re.IGNORECASE) for label, words in labels.items()}
    for kind, labels in _WORDS.items()
}


def trend_label(kind: str, text: str) -> str | None:
    """The one label of `kind` (distance, speed or motion) that the text speaks of; None for none or several."""
    found = [label for label, words in _COMPILED[kind].items() if words.search(text)]
    if kind == "motion" and found == ["still", "moving"]:
        return "still" if re.search(r"\bnot|n't|standing still|stopped", text, re.IGNORECASE) else None
    return found[0] if len(found) == 1 else None
