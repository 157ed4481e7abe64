"""Options of multiple-choice questions, matched by what they mean: options become states, and states are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dsr_core.errors import DeclineError
from dsr_core.language.directions import direction_label
from dsr_core.language.names import normalise_name, same_class
from dsr_core.language.trends import trend_label
from dsr_core.language.verdict import DIRECTIONS, faster, is_true, merged
from dsr_core.reasoning.answer import State

MAX_OPTIONS = 26
MAX_OPTION_CHARACTERS = 2000


def match_choice(
    states: Sequence[State],
    value: float | None,
    kind: str,
    choices: Sequence[str],
    form: str = "open",
    asked: str | Sequence[str] | None = None,
    names: Mapping[str, str | None] | None = None,
    confidence: float = 1.0,
    recent: bool = False,
) -> tuple[int, tuple[float, ...]]:
    """Finds the option that says what the states say.

    Understood are numbered states ("A. (1) Become larger. (2) Keep nearly constant."), plain words ("getting closer"),
    labels ("increasing", "Front|Left"), "yes" and "no", names ("the car"), and numbers with a unit ("5 m").

    Args:
        states, value: What was found.
        kind, form, asked, recent: What was asked.
        names: "subject" and "object" as "car 12".
        confidence: Probability that the states are right.

    Returns:
        Index of the option, -1 when none or several fit, and one probability an option.

    Raises:
        DeclineError: BAD_REQUEST for options that are no texts, empty or too many.
    """
    texts = _without_letters(_checked(choices))
    names = names or {}
    fitting = _numeric(texts, value) if kind in ("distance", "speed", "speed_comparison") else None
    if fitting is None:
        fitting = _fitting(states, kind, texts, form, asked, names, recent)
    return (fitting[0] if len(fitting) == 1 else -1), _probabilities(fitting, len(texts), confidence)


def _checked(choices: Sequence[str]) -> list[str]:
    if len(choices) > MAX_OPTIONS:
        raise DeclineError("BAD_REQUEST", f"{len(choices)} options were given, at most {MAX_OPTIONS} are read")
    for number, text in enumerate(choices, 1):
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_OPTION_CHARACTERS:
            raise DeclineError("BAD_REQUEST", f"option {number} is empty, too long or no text; give short texts")
    return [" ".join(text.split()) for text in choices]


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


def _fitting(states, kind, texts, form, asked, names, recent) -> list[int]:
    said = [_yes_no(text) for text in texts]
    if form == "yes_no" and asked is not None and any(s is not None for s in said):
        truth = is_true(states, kind, asked, recent)
        fits = [i for i, s in enumerate(said) if s is truth]
        if fits:
            return fits
    options = [_option_labels(kind, text, names, asked) for text in texts]
    labels = [s.label for s in states]
    fits = [i for i, option in enumerate(options) if option and merged(option) == merged(labels)]
    if len(fits) > 1:
        # Options that differ in unmerged repeats alone: the published rules keep repeats.
        same = [i for i in fits if options[i] == labels]
        fits = same or fits
    if fits or not states:
        return fits
    if recent:
        fits = [i for i, option in enumerate(options) if option == [labels[-1]]]
    if not fits and form == "which" and kind == "speed_comparison":
        fits = [i for i, option in enumerate(options) if option == [faster(states, recent)]]
    if not fits and form == "yes_no":
        alone = {i: option[0] for i, option in enumerate(options) if option and len(option) == 1}
        fits = [i for i, label in alone.items() if is_true(states, kind, label, recent)]
    return fits


def _yes_no(text: str) -> bool | None:
    match = re.match(r"(yes|no|true|false)\b(?! change| motion| difference)", text, re.IGNORECASE)
    return None if match is None else match[1].lower() in ("yes", "true")


_BETWEEN = re.compile(
    r"\(\d+\)|;|→|->|[.](?: |$)|,? (?:and )?then |, (?:and )?(?:after that|finally|later|afterwards) |,? followed by "
    r"| before (?=\w+ing\b)",
    re.IGNORECASE,
)


def _option_labels(kind: str, text: str, names: Mapping[str, str | None], asked) -> list[str] | None:
    """The states that an option speaks of; None when a part of it is not understood."""
    parts = [part.strip(" .,:") for part in _BETWEEN.split(text)]
    labels = [_label(kind, part, names, asked) for part in parts if part]
    return None if not labels or any(label is None for label in labels) else labels


_CONTRACT_LABELS = {
    "distance": ("increasing", "constant", "decreasing"),
    "speed": ("increasing", "constant", "decreasing"),
    "speed_comparison": ("first_faster", "same", "second_faster"),
    "motion": ("moving", "still"),
}
_AROUND_DIRECTIONS = re.compile(
    r"\b(?:it|he|she|they|is|are|was|will be|will|then|first|moves?|moving|goes|going|faces|facing|looks|looking"
    r"|turns?|turning|to be|stays?|remains?|located|positioned|becomes?|toward|towards"
    r"|viewer|camera|robot|me|you|of the|of)\b",
    re.IGNORECASE,
)


def _label(kind: str, text: str, names: Mapping[str, str | None], asked) -> str | None:
    lower = text.lower()
    if lower in _CONTRACT_LABELS.get(kind, ()):
        return lower
    if kind in DIRECTIONS:
        return direction_label(" ".join(_AROUND_DIRECTIONS.sub(" ", text).split()))
    if kind == "speed_comparison":
        return _comparison(lower, names, asked)
    return trend_label(kind, text)


def _comparison(text: str, names: Mapping[str, str | None], asked) -> str | None:
    if re.search(r"\b(?:same|equal|equally|neither|both|as fast as|no difference|similar)\b", text):
        return "same"
    first = _position(text, names.get("subject"), r"\b(?:former|first)\b")
    second = _position(text, names.get("object"), r"\b(?:latter|second)\b")
    if first == second:
        return None
    subject_leads = second < 0 or 0 <= first < second
    slower = re.search(r"\bslower\b", text) or (asked == "slower" and not re.search(r"\b(?:faster|quicker)\b", text))
    return "first_faster" if subject_leads != bool(slower) else "second_faster"


def _position(text: str, name: str | None, words: str) -> int:
    """Where the text speaks of a thing: by its full name, its id, its class, or as the former or latter; -1 if not."""
    match = re.search(words, text)
    if match:
        return match.start()
    if not name:
        return -1
    full = name.lower()
    label, _, track_id = full.rpartition(" ")
    for part in (full, track_id if label else "", label):
        if part and (match := re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text)):
            return match.start()
    if normalise_name(text) and same_class(text, label or full):
        return 0
    return -1


_QUANTITY = re.compile(
    r"(?:about |around |approximately |~ ?)?([-+]?\d{1,9}(?:\.\d{1,9})?) ?(?:m|metres?|meters?)(?:/s| per second)?[.]?",
    re.IGNORECASE,
)


def _numeric(texts: list[str], value: float | None) -> list[int] | None:
    """Indices of the option nearest to the value when all options are numbers with a unit, else None."""
    numbers = [_QUANTITY.fullmatch(text) for text in texts]
    if value is None or not all(numbers):
        return None
    gaps = [abs(float(n[1]) - value) for n in numbers]
    return [i for i, gap in enumerate(gaps) if gap == min(gaps)]
