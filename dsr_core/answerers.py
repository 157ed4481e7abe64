"""Models that answer beside the geometry: how one is asked, when it is asked, and what is told of both.

The geometry engine measures and explains; a vision-language model has seen more and explains nothing. So the geometry
goes first, a model may help where it declines, and neither changes what the other has said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from dsr_core.errors import DeclineError, QueryError
from dsr_core.language.parse import parse
from dsr_core.language.reading import ParsedQuestion
from dsr_core.reasoning.answer import Answer, Declined
from dsr_core.reasoning.engine import check_window
from dsr_core.scene import Scene

#: Declines of the geometry after which a model may still know: it does not read the question, or does not see enough.
#: A malformed question, a window outside the recording and old data are so for every engine.
CAN_HELP = (
    "NOT_UNDERSTOOD",
    "NO_SUCH_OBJECT",
    "AMBIGUOUS_OBJECT",
    "NOT_OBSERVED",
    "NO_ORIENTATION",
    "NO_POSE",
    "TOO_UNCERTAIN",
    "NOT_METRIC",
    "BACKEND_UNAVAILABLE",
)
#: What a model chooses from where a yes/no question comes without options: its words would have no probability.
YES_NO = ("yes", "no")
_NONE = (
    "no vision-language model is set up here; give one (dsr ask --model FOLDER, a node's parameter vlm.model), or ask"
    " backend geometry or auto"
)
#: The clauses that a question of the published templates may begin with.
_CLAUSES = re.compile(
    r"(?P<window>between \d+(?:\.\d+)?\s?s and \d+(?:\.\d+)?\s?s,\s+)?"
    r"(?P<viewpoint>(?:following|from) the perspective of .+?,\s+)?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_FIRST_WORDS = ("how", "what", "which", "who", "where", "when", "is", "are", "was", "were", "do", "does", "did", "will",
                "compare", "predict", "in", "at", "tell")  # fmt: skip
#: Windows in words have one decimal.
_SAME_S = 0.051


class Answerer(Protocol):
    """A model that answers from a scene, and from pictures where it has been given some."""

    def answer(
        self,
        scene: Scene,
        question: str,
        choices: Sequence[str] = (),
        window: tuple[float, float] | None = None,
        now_s: float | None = None,
    ) -> Answer:
        """Answers one question; `backend` of the answer is "vlm".

        Args:
            scene: What is known, nothing later than the question allows.
            question: English.
            choices: Texts of the options; () for an open question.
            window: (start, end) in seconds that the question is about; None: it tells none.
            now_s: The present on the scene's clock, for the age of the data.

        Raises:
            DeclineError: why there is no answer.
        """


def ask_model(
    scene: Scene,
    question: str,
    answerer: Answerer | None,
    choices: Sequence[str | float] | None = None,
    viewpoint: str | dict | None = None,
    window: tuple[float, float] | None = None,
    now_s: float | None = None,
    stale_s: float | None = None,
) -> Answer:
    """Puts a question to a model; like `ask`, it declines with a code and raises nothing for what a user asked.

    Args:
        scene: What is known.
        question: English. The grammar need not read it; where it does, its times count.
        answerer: The model; None declines with BACKEND_UNAVAILABLE.
        choices: Options: texts, or numbers.
        viewpoint, window: Put before the question in words, where they are given.
        now_s: The present on the scene's clock; default: the scene's end.
        stale_s: Decline a question about now when the newest data is older than this; None never does.
    """
    kind = ""
    try:
        if answerer is None:
            raise DeclineError("BACKEND_UNAVAILABLE", _NONE, ("geometry", "auto"))
        if not isinstance(question, str):
            raise QueryError("a vision-language model reads English, not a typed query; send the question as a text")
        parsed = _parsed(question, window, viewpoint)
        kind = "" if parsed is None else parsed.query.kind
        now_s = scene.end_s if now_s is None else now_s
        about = _window(scene, parsed, window)
        check_window(scene, about)
        _check_fresh(scene, parsed, about, now_s, stale_s)
        text, options = in_words(question, window, viewpoint), tuple(map(str, choices or ()))
        if options or parsed is None or parsed.form != "yes_no":
            return replace(answerer.answer(scene, text, options, about, now_s), kind=kind)
        return _verdict(answerer.answer(scene, text, YES_NO, about, now_s), kind)
    except DeclineError as error:
        return declined(error.code, str(error), error.candidates, kind)
    except QueryError as error:
        return declined("BAD_REQUEST", str(error), (), kind)


def _verdict(answer: Answer, kind: str) -> Answer:
    """The answer to a yes/no question without options, of which a model was shown `YES_NO`."""
    details = {**answer.details, "options": list(YES_NO)}
    return replace(
        answer,
        answer=f"{YES_NO[answer.choice_index].capitalize()}.",
        kind=kind,
        choice=None,
        choice_index=-1,
        choice_probabilities=(),
        details=details,
    )


def declined(code: str, message: str, candidates: Sequence[str] = (), kind: str = "") -> Answer:
    """A decline of the model's."""
    told = Declined(code, message, tuple(candidates))
    return Answer(answer=f"No answer: {message}.", kind=kind, declined=told, backend="vlm")


def in_words(question: str, window: tuple[float, float] | None, viewpoint: str | dict | None) -> str:
    """A question with the window and the viewpoint that were given beside it, worded as training questions are.

    What a training question says of them itself, at its beginning, gives way to what was given.
    """
    if window is not None and _tells(question, window):
        window = None
    if window is None and not viewpoint:
        return question
    told = _CLAUSES.match(question)
    parts = [told["window"] or "", told["viewpoint"] or "", told["rest"]]
    if window is not None:
        parts[0] = f"between {window[0]:.1f}s and {window[1]:.1f}s, "
    if viewpoint:
        parts[1] = f"{_perspective(viewpoint)}, "
    if parts[2].split(maxsplit=1)[:1] and parts[2].split(maxsplit=1)[0].lower() in _FIRST_WORDS:
        parts[2] = parts[2][0].lower() + parts[2][1:]
    if parts[0] and parts[1]:
        parts[1] = parts[1][0].lower() + parts[1][1:]
    said = "".join(parts)
    return said[0].upper() + said[1:]


def _tells(question: str, window: tuple[float, float]) -> bool:
    """Whether a question says this very window itself."""
    try:
        own = parse(question).query.window
    except DeclineError:
        return False
    return own is not None and max(abs(own[0] - window[0]), abs(own[1] - window[1])) < _SAME_S


def _perspective(viewpoint: str | dict) -> str:
    if isinstance(viewpoint, str):
        return f"following the perspective of {viewpoint}"
    at_s = viewpoint.get("at") if viewpoint.get("mode") == "absolute" else None
    who = viewpoint.get("agent") or "robot"
    return f"following the perspective of {who}" if at_s is None else f"from the perspective of {who} at {at_s:.1f}s"


def wanted(answer: Answer, second_opinion: bool) -> bool:
    """Whether a model is asked after the geometry has answered so."""
    return second_opinion if answer.declined is None else answer.declined.code in CAN_HELP


def joined(geometry: Answer, model: Answer) -> Answer:
    """One answer of two engines: the geometry's where it has one, else the model's; each tells of the other.

    `details["vlm"]` of a geometry answer is what the model says, with `agrees` (None where that cannot be compared);
    `details["geometry"]` of a model's answer is why the geometry declined.
    """
    if geometry.declined is not None and model.declined is None:
        return replace(model, details={**model.details, "geometry": {"declined": _told(geometry.declined)}})
    if model.declined is not None:
        said = {"declined": _told(model.declined)}
    else:
        said = {
            "answer": model.answer,
            "choice": model.choice,
            "choice_index": model.choice_index,
            "probabilities": list(model.details.get("probabilities", model.choice_probabilities)),
            "confidence": model.confidence,
            "agrees": agrees(geometry, model),
        }
    return replace(geometry, details={**geometry.details, "vlm": said})


def agrees(geometry: Answer, model: Answer) -> bool | None:
    """Whether both took the same option, or said yes or no alike; None where that does not tell."""
    if geometry.choice_index >= 0 and model.choice_index >= 0:
        return geometry.choice_index == model.choice_index
    said = [answer.answer.strip().lower().split(maxsplit=1)[:1] for answer in (geometry, model)]
    verdicts = [words[0].strip(".,!;:") if words else "" for words in said]
    return verdicts[0] == verdicts[1] if set(verdicts) <= {"yes", "no"} else None


def _told(declined: Declined) -> dict:
    return {"code": declined.code, "message": declined.message, "candidates": list(declined.candidates)}


def _parsed(question: str, window, viewpoint) -> ParsedQuestion | None:
    """How the grammar reads the question; None where it does not (a malformed one is declined for a model, too)."""
    try:
        return parse(question, window=window, viewpoint=viewpoint or None)
    except DeclineError as error:
        if error.code != "NOT_UNDERSTOOD":
            raise
        return None


def _window(scene: Scene, parsed: ParsedQuestion | None, window) -> tuple[float, float] | None:
    if window is not None or parsed is None:
        return window
    if parsed.query.window is not None or not parsed.times.relative:
        return parsed.query.window
    return parsed.times.window_in(scene.start_s, scene.end_s)


def _check_fresh(scene: Scene, parsed: ParsedQuestion | None, window, now_s: float, stale_s: float | None) -> None:
    about_now = window is None or (parsed is not None and parsed.last_s is not None)
    if stale_s is not None and about_now and now_s - scene.end_s > stale_s:
        raise DeclineError(
            "STALE_DATA",
            f"the newest data is {now_s - scene.end_s:.1f} s old (at most {stale_s:.1f} s for a question about now);"
            " check the camera and the detector, or ask about a window",
        )
