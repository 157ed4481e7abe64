"""Options of multiple-choice questions, matched by what they mean: options become states, and states are compared."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from dsr_core.errors import DeclineError
from dsr_core.language.amounts import read_amount, read_count
from dsr_core.language.options import option_labels, speaks_of
from dsr_core.language.verdict import faster, holds, is_any, is_true, merged
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.vocabulary import DIRECTION_KINDS, VOCABULARY

MAX_OPTIONS = 26
MAX_OPTION_CHARACTERS = 2000
#: So near to the middle of two sides neither is the dominant one.
_MIDDLE_RAD = math.radians(5.0)
#: Kinds whose value has a sign that nobody says: "by how much did it turn?".
_UNSIGNED = ("turning", "lateral_change", "depth_change", "distance_change")


def match_choice(
    states: Sequence[State],
    value: float | None,
    kind: str,
    choices: Sequence[str | int | float],
    form: str = "open",
    asked: str | Sequence[str] | None = None,
    names: Mapping[str, str | None] | None = None,
    confidence: float = 1.0,
    recent: bool = False,
    details: Mapping | None = None,
) -> tuple[int, tuple[float, ...]]:
    """Finds the option that says what the states say.

    Understood are numbered states ("A. (1) Become larger. (2) Keep nearly constant."), plain words ("getting closer"),
    labels ("increasing", "Front|Left"), "yes" and "no", names ("the car"), counts ("three"), and numbers with a unit
    ("5 m", "30 cm", "90 degrees"): the nearest is taken. Of a direction between two options ("left" and "front" for
    "front|left") the only one that is a part of it is taken, else the dominant one.

    Args:
        states, value, details: What was found.
        kind, form, asked, recent: What was asked.
        names: "subject" and "object" as "car 12".
        confidence: Probability that the states are right.

    Returns:
        Index of the option, -1 when none or several fit, and one probability an option.

    Raises:
        DeclineError: BAD_REQUEST for options that are no texts, empty or too many.
    """
    texts = _without_letters(_checked(choices))
    names, details = names or {}, details or {}
    if kind == "count":
        fitting = _counted(texts, value, form, details)
    elif VOCABULARY[kind].many:
        said = [_yes_no(text) for text in texts]
        if form == "yes_no" and asked is not None and any(s is not None for s in said):
            truth = is_true(states, kind, asked)
            fitting = [i for i, s in enumerate(said) if s is truth]
        else:
            fitting = _winners(states, texts, names, details)
    else:
        fitting = _nearest_amounts(texts, kind, value, asked, details)
        if fitting is None:
            fitting = _fitting(states, kind, texts, form, asked, names, recent, _dominant(kind, value, details))
    return (fitting[0] if len(fitting) == 1 else -1), _probabilities(fitting, len(texts), confidence)


def _checked(choices: Sequence[str | int | float]) -> list[str]:
    if len(choices) > MAX_OPTIONS:
        raise DeclineError("BAD_REQUEST", f"{len(choices)} options were given, at most {MAX_OPTIONS} are read")
    texts = [str(c) if isinstance(c, (int, float)) and not isinstance(c, bool) else c for c in choices]
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_OPTION_CHARACTERS:
            raise DeclineError("BAD_REQUEST", f"option {number} is empty, too long or no text; give short texts")
    return [" ".join(text.replace("’", "'").split()) for text in texts]


def _probabilities(fitting: list[int], count: int, confidence: float) -> tuple[float, ...]:
    """`confidence` shared by the fitting options, the rest by the others; all of it evenly when none fits."""
    others = count - len(fitting)
    if not fitting or not others:
        return (1.0 / count,) * count
    return tuple(confidence / len(fitting) if i in fitting else (1.0 - confidence) / others for i in range(count))


def _without_letters(texts: list[str]) -> list[str]:
    """Takes "A.", "(A)", "A:" away, and a bare "A " when all options begin with their letters in order."""
    bare = [re.match(rf"\(?{chr(65 + i)}[).:]* +(?=\S)", text) for i, text in enumerate(texts)]
    if all(bare) and len(texts) > 1:
        return [text[match.end() :] for text, match in zip(texts, bare, strict=True)]
    return [re.sub(r"^(?:\([A-Za-z]\)|[A-Za-z][).:])[.:]? *(?=\S)", "", text) for text in texts]


# --- options as states -----------------------------------------------------------------------------------------------


def _fitting(states, kind, texts, form, asked, names, recent, dominant) -> list[int]:
    options = [option_labels(kind, text, names, asked) for text in texts]
    labels = merged([s.label for s in states])
    said = [_yes_no(text) for text in texts]
    if form == "yes_no" and asked is not None and any(s is not None for s in said):
        truth = is_true(states, kind, asked, recent)
        # "No" and "it stayed the same": the one that says more.
        telling = [i for i, s in enumerate(said) if s is None and options[i] and merged(options[i]) == labels]
        fits = [i for i, s in enumerate(said) if s is truth]
        if not truth and len(telling) == 1:
            return telling
        if fits:
            return fits
    fits = [i for i, option in enumerate(options) if option and merged(option) == labels]
    if len(fits) > 1:
        # Options that differ in unmerged repeats alone: the published rules keep repeats.
        same = [i for i in fits if options[i] == [s.label for s in states]]
        fits = same or fits
    if fits or not states:
        return fits
    if recent:
        fits = [i for i, option in enumerate(options) if option == [states[-1].label]]
    if not fits and kind in DIRECTION_KINDS and (recent or len(labels) == 1):
        fits = _parts(states[-1].label, kind, options, dominant)
    if not fits and form == "which" and kind == "speed_comparison":
        fits = [i for i, option in enumerate(options) if option == [faster(states, recent)]]
    if not fits and form == "yes_no":
        alone = {i: option[0] for i, option in enumerate(options) if option and len(option) == 1}
        fits = [i for i, label in alone.items() if is_true(states, kind, label, recent)]
    return fits


def _parts(label: str, kind: str, options: list[list[str] | None], dominant: str | None) -> list[int]:
    """Options that name a part of a direction: the only one, or of several the dominant side."""
    parts = [i for i, option in enumerate(options) if option and len(option) == 1 and holds(kind, label, option[0])]
    if len(parts) > 1 and dominant is not None:
        parts = [i for i in parts if options[i] == [dominant]] or parts
    return parts


def _dominant(kind: str, value: float | None, details: Mapping) -> str | None:
    """The side on which a direction lies most: as found, else by its bearing."""
    if "dominant" in details or kind not in DIRECTION_KINDS:
        return details.get("dominant")
    bearing = details.get("bearing_rad", value if VOCABULARY[kind].unit == "rad" else None)
    if bearing is None or abs(abs(math.remainder(bearing, math.pi / 2)) - math.pi / 4) < _MIDDLE_RAD:
        return None
    return ("front", "left", "behind", "right")[round(bearing / (math.pi / 2)) % 4]


def _yes_no(text: str) -> bool | None:
    match = re.match(r"(yes|no|true|false)\b(?! change| motion| difference|[\w ]+ there$)", text, re.IGNORECASE)
    return None if match is None else match[1].lower() in ("yes", "true")


# --- options as things and numbers -----------------------------------------------------------------------------------


def _counted(texts: list[str], value: float | None, form: str, details: Mapping) -> list[int]:
    """Options that are the number, or say whether there is one, or which it is."""
    if value is None:
        return []
    if form == "yes_no" and any(_yes_no(text) is not None for text in texts):
        return [
            i for i, text in enumerate(texts) if _yes_no(text) is not None and _yes_no(text) is is_any(value, details)
        ]
    if form == "which":
        rows = [row for row in details.get("satisfying", ()) if isinstance(row, Mapping)]
        named = [i for i, text in enumerate(texts) if any(speaks_of(text, str(row.get("label"))) for row in rows)]
        if named:
            return named
    return [i for i, text in enumerate(texts) if read_count(text) == round(value)]


def _winners(states, texts: list[str], names: Mapping[str, str | None], details: Mapping) -> list[int]:
    """Options that name the one who is nearest, fastest, …"""
    if not states:
        return []
    winner_id = states[-1].label
    winner = names.get("winner") or details.get("winner") or winner_id
    others = tuple(str(row.get("track")) for row in details.get("ranking", ()) if isinstance(row, Mapping))
    others = tuple(other for other in others if other != winner_id)
    return [i for i, text in enumerate(texts) if speaks_of(text, winner, others)]


def _nearest_amounts(texts: list[str], kind: str, value, asked, details: Mapping) -> list[int] | None:
    """Indices of the options nearest to the number that was asked for, when all options are such numbers, else None."""
    unit = VOCABULARY[kind].unit
    amounts = [read_amount(text) for text in texts]
    if not all(amounts):
        return None
    units = {said for _, said in amounts}
    if asked == "when" or (units == {"s"} and unit != "s"):
        value, unit = details.get("time_to_s", details.get("at_s", value if unit == "s" else None)), "s"
    plain = units == {None} and asked in ("value", "when")
    # "5 m" for a speed is read as m/s.
    if units != {unit} and not plain and not (units == {"m"} and unit == "m/s"):
        return None
    if not isinstance(value, (int, float)):
        return None
    if kind in _UNSIGNED and all(number >= 0.0 for number, _ in amounts):
        value = abs(value)
    gaps = [abs(number - value) for number, _ in amounts]
    return [i for i, gap in enumerate(gaps) if gap <= min(gaps) + 1e-9]
