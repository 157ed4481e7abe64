"""The published type of a question, read off its words."""

from __future__ import annotations

import re

_READ_TYPES = (
    ("dir_pred", re.compile(r"predict the moving direction of ", re.IGNORECASE)),
    ("dis", re.compile(r"how does the distance between .+ and .+ change\??$", re.IGNORECASE | re.DOTALL)),
    ("dir", re.compile(r"how does the direction of .+ to .+ change\??$", re.IGNORECASE | re.DOTALL)),
    ("ori", re.compile(r"how does the orientation of .+ change\??$", re.IGNORECASE | re.DOTALL)),
    ("spd", re.compile(r"how does the speed of .+ change\??$", re.IGNORECASE | re.DOTALL)),
    ("spd_comp", re.compile(r"compare the speed between .+ and ", re.IGNORECASE | re.DOTALL)),
)
_ABSOLUTE = re.compile(r"\bfrom the perspective of .+? at [\d.]+ ?s,", re.IGNORECASE | re.DOTALL)
_RELATIVE = re.compile(r"\bfollowing the perspective of ", re.IGNORECASE)


def type_read(question: str) -> str:
    """The published type that a question's words show; "non_temp" with a viewpoint alone, else ""."""
    absolute, relative = _ABSOLUTE.search(question), _RELATIVE.search(question)
    if not absolute and not relative:
        return ""
    for short, words in _READ_TYPES:
        if words.search(question):
            return f"{'abs' if absolute else 'rel'}_{short}"
    return "non_temp"
