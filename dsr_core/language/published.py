"""The twelve question templates of the DSR Suite, word for word; things in them may be called anything.

A thing is `camera`, or words with a box. Everything else that reads questions is for people: it looks at the words of a
name, which here may be any ("woman who is walking a dog to the left").
"""

from __future__ import annotations

import re

from dsr_core.language.mentions import Boxes, who_mentioned
from dsr_core.language.reading import ParsedQuestion
from dsr_core.language.times import NUMBER, Times
from dsr_core.reasoning.query import Query, Viewpoint, Who

_THING = r"((?:the )?camera|[^⟦⟧]*⟦\d+⟧)"
_WINDOW = rf"between ({NUMBER}) ?s? and ({NUMBER}) ?s?, "
_VIEWER = rf"(?:following the perspective of {_THING}|from the perspective of {_THING} at ({NUMBER}) ?s?), "
_CORES = {
    "distance": rf"how does the distance between {_THING} and {_THING} change",
    "direction": rf"how does the direction of {_THING} to {_THING} change",
    "orientation": rf"how does the orientation of {_THING} change",
    "speed": rf"how does the speed of {_THING} change",
    "speed_comparison": rf"compare the speed between {_THING} and {_THING}",
}
_TEMPLATES = {kind: re.compile(_WINDOW + _VIEWER + core, re.IGNORECASE) for kind, core in _CORES.items()}
_TEMPLATES["direction_prediction"] = re.compile(
    f"(?:{_WINDOW})?{_VIEWER}predict the moving direction of {_THING}", re.IGNORECASE
)
_NUMBER_OF_MARK = re.compile(r"⟦(\d+)⟧")


def read_published(
    text: str, boxes: Boxes, window: tuple[float, float] | None = None, viewpoint: Viewpoint | None = None
) -> ParsedQuestion | None:
    """The question that one of the templates asks; None for any other text.

    Args:
        text: The question with marks in place of its boxes, without a full stop.
        boxes: Its boxes.
        window, viewpoint: Count in place of what the text says.
    """
    if "perspective of" not in text.lower():
        return None
    for kind, template in _TEMPLATES.items():
        match = template.fullmatch(text)
        if match is not None:
            start, end, viewer, absolute_viewer, at, *things = match.groups()
            if window is None and start is not None:
                window = (float(start), float(end))
            if viewpoint is None:
                viewpoint = _viewpoint(viewer or absolute_viewer, at, boxes)
            whos = [_thing(thing, boxes, window) for thing in things]
            if viewpoint is None or None in whos:
                return None
            query = Query(kind, whos[0], whos[1] if len(whos) > 1 else None, viewpoint, window)
            return ParsedQuestion(query, times=Times(window=window))
    return None


def _viewpoint(viewer: str, at: str | None, boxes: Boxes) -> Viewpoint | None:
    at_s = None if at is None else float(at)
    agent = who_mentioned(viewer, boxes, at_s, loose=True)
    if agent is None:
        return None
    return Viewpoint(agent) if at_s is None else Viewpoint(agent, "absolute", at_s)


def _thing(text: str, boxes: Boxes, window: tuple[float, float] | None) -> Who | None:
    mark = _NUMBER_OF_MARK.search(text)
    if mark is None:
        return "camera"
    # "initial" is the start of the window, "final" its end.
    final = boxes[int(mark[1])][0] == "final"
    return who_mentioned(text, boxes, None if window is None else window[final], loose=True)
