"""A sentence that matches -> ParsedQuestion: names, directions, viewpoint and time are put in their places."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dsr_core.language.directions import direction_label, split_direction
from dsr_core.language.grammar import Sentence
from dsr_core.language.mentions import MARK, PRONOUNS, Boxes, set_mentioned, who_mentioned
from dsr_core.language.times import NO_TIMES, Times
from dsr_core.language.trends import trend_label
from dsr_core.language.viewpoints import OWN
from dsr_core.reasoning.query import Query, Viewpoint, Who
from dsr_core.reasoning.vocabulary import VOCABULARY

_PAST = re.compile(r"\b(?:was|were|did|had|has|have)\b", re.IGNORECASE)
_PAST_OR_WHOLE = re.compile(r"\b(?:was|were|did|does|do(?! (?:you|i|we)\b)|had|been)\b", re.IGNORECASE)
_PERFECT = re.compile(r"\b(?:has|have)\b", re.IGNORECASE)
#: Which way without "to the": along the thing's own axis, not the viewer's.
_OWN_AXIS = re.compile(r"(?:straight )?(?:forwards?|backwards?|ahead)", re.IGNORECASE)
_SIDES = {
    "turning": ("turning_left", "turning_right"),
    "crossing": ("left_to_right", "right_to_left"),
    "lateral_change": ("left", "right"),
}
_DEPTH = {"increasing": "farther", "decreasing": "closer", "constant": "constant"}


@dataclass(frozen=True)
class ParsedQuestion:
    """What a question asks.

    Attributes:
        query: The typed query; its names are not resolved yet. A time that only the scene can tell is in `times`.
        form: "open", "yes_no" or "which".
        asked: What a yes/no question asks about: a label; labels of which any will do, with "|" between them ("did it
            turn?": "turning_left|turning_right"; in kinds of directions "front|left" is one label); or labels in
            order ("from in front to behind-left"). In an open question the number or time that is wanted: "value"
            for "how far", "when", "where"; "faster" or "slower" for "which is …"; "first" where it is asked whether
            the first of two things is the nearest, farthest, …; else None.
        recent: It speaks of the present without a time, so the last seconds are meant.
        last_s: Length of "the last … seconds", or None.
        times: All that it says about time; `times.window_in` gives the window where `times.relative`.
    """

    query: Query
    form: str = "open"
    asked: str | tuple[str, ...] | None = None
    recent: bool = False
    last_s: float | None = None
    times: Times = NO_TIMES


@dataclass(frozen=True)
class Reading:
    """What has been taken out of a question so far, and how the rest is read.

    Attributes:
        text: What is left of the question.
        boxes: Its boxes.
        times: What it says about time.
        viewpoint: What it, or the caller, says about whose eyes; `OWN` for the subject's.
    """

    text: str
    boxes: Boxes
    times: Times
    viewpoint: Viewpoint | str | None

    def read(self, sentence: Sentence, match: re.Match) -> ParsedQuestion | None:
        """The question with this match, or None when a name or direction in it is none."""
        groups = {name: text for name, text in match.groupdict().items() if text}
        other = _first(groups, "B", "B2", "B4", "B5")
        other = "me" if groups.get("own") else other
        asked = self._asked(sentence, groups)
        if asked is False:
            return None
        if sentence.kind in VOCABULARY and VOCABULARY[sentence.kind].many:
            return self._read_many(sentence, groups, asked, other)
        subject = _first(groups, "A", "A2", "A3")
        if "place" in groups:
            place = _split_place(groups["place"])
            if place is None:
                return None
            subject, asked, other = place
        elif "dir2" in groups:
            journey = _split_journey(groups["dir"], groups["dir2"])
            if journey is None:
                return None
            asked, other = journey
        if sentence.swap:
            subject, other = other or "robot", subject
        who = self._name(subject)
        whom = None if other is None else self._name(other)
        if who is None or (other is not None and whom is None):
            return None
        kind = sentence.kind
        if sentence.stretch and (self.times.stretch or (_PAST.search(self.text) and not self.times.instant)):
            kind = sentence.stretch
        if sentence.kind == "speed" and sentence.viewer == "object":
            viewpoint, whom = self._viewpoint_of(whom), None
        elif sentence.swap and kind == "direction":
            viewpoint = Viewpoint(whom)
        else:
            viewpoint = self._viewpoint(sentence, kind, asked, who, whom, groups.get("dir"))
        if viewpoint is None:
            return None
        if kind in ("direction_prediction", "moving_direction") and whom is not None:
            whom = None  # "which way is it going with respect to the bus?" is seen from the bus
        return self._parsed(Query(kind, who, whom, viewpoint, self.times.window), sentence, asked)

    def _parsed(self, query: Query, sentence: Sentence, asked) -> ParsedQuestion:
        present, times = sentence.now and not _PAST_OR_WHOLE.search(self.text), self.times
        if query.kind == "nearest_distance" and present and times in (Times(), Times(now=True)):
            # Over the last seconds the one would stand where it was at their start, the other where it is at their end.
            times = Times(ago_s=0.0)
        recent = times.now or (present and times == Times())
        return ParsedQuestion(query, sentence.form, asked, recent, times.last_s, times)

    def _asked(self, sentence: Sentence, groups: dict):
        """What is asked about; False where the words for it mean nothing."""
        kind = sentence.of or sentence.kind
        if "trend" in groups:
            label = trend_label("distance" if kind == "depth_change" else kind, groups["trend"])
            return False if label is None else _DEPTH[label] if kind == "depth_change" else label
        if "fast" in groups:
            return _asked_faster(sentence, groups["fast"])
        side = _first(groups, "side", "side2")
        if side:
            return _SIDES[kind][side.lower() == "right"]
        if "dir" in groups and "dir2" not in groups:
            return direction_label(groups["dir"]) or False
        return sentence.asked

    # --- things ------------------------------------------------------------------------------------------------------

    def _name(self, text: str | None) -> Who | None:
        """A mention as WHO; a pronoun is the thing named before it ("from the car's perspective, is it turning?")."""
        if text is not None and text.lower() in PRONOUNS:
            agent = self.viewpoint.agent if isinstance(self.viewpoint, Viewpoint) else "robot"
            return None if agent in ("robot", "camera", "map") else agent
        who = who_mentioned(text, self.boxes)
        if isinstance(who, dict) and "box" in who and self.times.window is not None:
            # "initial" is the start of the window (also what a box without a word means), "final" its end.
            when, _ = self.boxes[int(MARK.search(text)[1])]
            who["at"] = self.times.window[1] if when == "final" else self.times.window[0]
        return who

    def _read_many(self, sentence: Sentence, groups: dict, asked, other: str | None) -> ParsedQuestion | None:
        if "A" in groups:
            pair = [self._name(groups["A"]), self._name(groups["A2"])]
            who = None if None in pair else {"among": pair}
        else:
            who = {"label": "person", "select": "all"} if "who" in groups else set_mentioned(_first(groups, "N", "N2"))
        if "place" in groups:
            place = _split_place(groups["place"], alone=True)
            if place is None:
                return None
            _, asked, other = place
        whom = None if other is None else self._name(other)
        if who is None or (other is not None and whom is None) or self.viewpoint == OWN:
            return None
        if "dir" in groups and _OWN_AXIS.fullmatch(groups["dir"]) and self.viewpoint is None:
            return None  # each along its own axis: no one viewer sees that
        if sentence.of == "turning" and self.viewpoint is not None:
            return None
        if sentence.viewer == "world" and self.viewpoint is None:
            viewpoint = Viewpoint("map")
        elif sentence.of == "direction" and asked not in ("above", "below"):
            viewpoint = self._viewpoint_of(whom)
        else:
            viewpoint = self.viewpoint if self.viewpoint is not None else Viewpoint()
        labels = asked if sentence.kind == "count" else None
        query = Query(sentence.kind, who, whom, viewpoint, self.times.window, asked=labels, of=sentence.of)
        return self._parsed(query, sentence, asked if sentence.asked == "first" else None)

    # --- whose eyes --------------------------------------------------------------------------------------------------

    def _viewpoint(self, sentence: Sentence, kind: str, asked, who: Who, whom: Who | None, way: str | None):
        """The viewer; None where the sentence cannot be seen from the one that is said."""
        if kind == "turning":  # left is left from everywhere above the ground, but not in a picture
            said = self.viewpoint is None or self.viewpoint == OWN or self.viewpoint.agent in (who, "map")
            return Viewpoint() if said else None
        own = sentence.viewer == "own" or (
            way is not None and kind in ("direction_prediction", "moving_direction") and _OWN_AXIS.fullmatch(way)
        )
        if self.viewpoint == OWN or (own and self.viewpoint is None):
            said = Viewpoint(who)
        elif self.viewpoint is not None:
            said = self.viewpoint
        elif kind in ("direction_prediction", "moving_direction") and whom is not None:
            said = Viewpoint(whom)
        else:
            said = None
        if said is None and who == "camera" and kind in ("moving_direction", "lateral_change", "depth_change"):
            return Viewpoint("camera")
        if kind == "direction_prediction" and sentence.viewer != "said":
            fixed = sentence.viewer in ("fixed", "own") or said is None
            if fixed and (said is None or said.mode == "relative"):
                at = None if self.times.window is None else self.times.window[1]
                return Viewpoint("robot" if said is None else said.agent, "absolute", at)
        if said is not None:
            return said
        if sentence.viewer == "world":
            return Viewpoint("map")
        vertical = asked in ("above", "below")
        seen_from_object = sentence.viewer == "object" or (sentence.form == "yes_no" and kind == "direction")
        return Viewpoint(whom) if seen_from_object and whom is not None and not vertical else Viewpoint()

    def _viewpoint_of(self, other: Who | None) -> Viewpoint:
        if isinstance(self.viewpoint, Viewpoint):
            return self.viewpoint
        return Viewpoint() if other is None else Viewpoint(other)


def _first(groups: dict, *names: str) -> str | None:
    return next((groups[name] for name in names if name in groups), None)


def _asked_faster(sentence: Sentence, word: str) -> str:
    slower = word.lower() == "slower"
    if sentence.form == "which":
        return "slower" if slower else "faster"
    return "second_faster" if slower else "first_faster"


def _own_side(text: str) -> str:
    """Rewrites "to the car's left" as "to the left of the car"."""
    return re.sub(
        r"\b(?:to|on|at|in) ([^,;:?!]{1,60}?)'s? (left|right|front|back|rear|left side|right side)$",
        r"to the \2 of \1",
        text,
        flags=re.IGNORECASE,
    )


def _split_place(text: str, alone: bool = False) -> tuple[str, str, str | None] | None:
    """ "the car in front of the bus" -> ("the car", "front", "the bus"); `alone` without a thing before it."""
    found = split_direction(_own_side(text))
    if found is None or bool(found[0]) == alone:
        return None
    before, label, after, own = found
    further = split_direction(after)
    if (own and after) or (further and not further[0]):
        return None
    return before, label, after or ("robot" if own else None)


def _split_journey(start: str, end: str) -> tuple[tuple[str, str], str | None] | None:
    """ "in front", "behind-left of the bus" -> (("front", "behind|left"), "the bus")."""
    first, second = split_direction(_own_side(start)), split_direction(_own_side(end))
    if first is None or second is None or first[0] or second[0]:
        return None
    if first[2] and second[2] and first[2].lower() != second[2].lower():
        return None
    other = second[2] or first[2] or ("robot" if first[3] or second[3] else None)
    return (first[1], second[1]), other
