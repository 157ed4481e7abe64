"""`ask` and `load_scene`: the library's two front doors. Service, command line and Python all come through here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dsr_core.answerers import Answerer, ask_model, joined, wanted
from dsr_core.errors import DeclineError, QueryError
from dsr_core.language.choices import match_choice
from dsr_core.language.config import DEFAULT_LANGUAGE, LanguageConfig, LanguageModelConfig
from dsr_core.language.llm import ModelReading, read_question
from dsr_core.language.nearest import NearestNames
from dsr_core.language.parse import ParsedQuestion, parse
from dsr_core.language.resolve import names_there, resolve
from dsr_core.language.resolve_many import named, resolve_many
from dsr_core.language.wording import word
from dsr_core.reasoning.agents import span
from dsr_core.reasoning.answer import Answer, Declined
from dsr_core.reasoning.certainty import verdict_confidence
from dsr_core.reasoning.engine import Finding, ResolvedQuery, check_window, find, require_confident
from dsr_core.reasoning.quantities import Viewer
from dsr_core.reasoning.query import Query, check_number
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules
from dsr_core.reasoning.vocabulary import VOCABULARY
from dsr_core.scene import Scene

#: "Is it getting closer?" without a time is judged over the last seconds that the things have in common.
RECENT_S = 5.0
BACKENDS = ("auto", "geometry", "vlm")
RULES = ("robust", "dsr")


def load_scene(path: str | Path, sequence: str | None = None, detections: str | None = None, **options) -> Scene:
    """Reads a recording as a scene.

    Args:
        path: A bag, a folder that a reader recognises, or a saved scene.
        sequence: Which sequence, for data sets that hold several (KITTI "0007").
        detections: Name of a detector's output to track; None takes the truth labels where there are any.
        **options: Options of the reader.

    Raises:
        SourceError: nothing that a reader recognises.
    """
    from dsr_core.sources import open_source

    return open_source(path, sequence=sequence, detections=detections, **options).scene()


def ask(
    scene: Scene,
    question: str | Query | dict,
    choices: Sequence[str | float] | None = None,
    rules: str = "robust",
    until: float | None = None,
    viewpoint: str | None = None,
    window: tuple[float, float] | None = None,
    backend: str = "auto",
    now_s: float | None = None,
    stale_s: float | None = None,
    config: RobustRules = DEFAULT_RULES,
    language: LanguageConfig = DEFAULT_LANGUAGE,
    answerer: Answerer | None = None,
    second_opinion: bool = False,
) -> Answer:
    """Answers a question about a scene; a question that has no answer is declined with a code, never an exception.

    Args:
        scene: What is known.
        question: English, a `Query`, a query's JSON form, or what `parse` or `read_question` made of a text.
        choices: Options of a multiple-choice question: texts, or numbers.
        rules: "robust" or "dsr".
        until: Use nothing later than this second.
        viewpoint: Whose eyes (WHO), in place of what the text says; ignored for a typed query.
        window: (start, end) in seconds, in place of what the text says; ignored for a typed query.
        backend: "auto" (the geometry, and `answerer` where that declines and a model may help), "geometry" or "vlm".
        now_s: The present on the scene's clock (for the age of the data); default: `until` or the scene's end.
        stale_s: Decline a question without a window when the newest data is older than this, and one about the present
            when the things it names were last seen longer ago; None never does.
        config: Constants of the robust rules.
        language: What helps the grammar to read a question. A language model may take seconds: where that matters, call
            `dsr_core.language.llm.read_question` elsewhere and ask with what it returns.
        answerer: The vision-language model of "vlm" and "auto" (`dsr_core.vlm.answering.VlmAnswerer`); None: there is
            none.
        second_opinion: With "auto" the model is asked too where the geometry has an answer, and `details["vlm"]` tells
            whether it agrees; the answer stays the geometry's.
    """
    try:
        _check_request(choices, rules, backend, until, viewpoint)
    except QueryError as error:
        return _declined("BAD_REQUEST", str(error), (), "", {})
    if until is not None:
        scene = scene.until(until)
    now_s = now_s if now_s is not None else until if until is not None else scene.end_s
    if backend != "vlm":
        answer = _ask_geometry(scene, question, choices, rules, viewpoint, window, now_s, stale_s, config, language)
        if backend == "geometry" or answerer is None or not isinstance(question, str):
            return answer
        if not wanted(answer, second_opinion):
            return answer
    said = ask_model(scene, question, answerer, choices, viewpoint, window, now_s, stale_s)
    return said if backend == "vlm" else joined(answer, said)


def _ask_geometry(
    scene: Scene, question, choices, rules, viewpoint, window, now_s: float, stale_s, config, language: LanguageConfig
) -> Answer:
    kind, told, names = "", {}, None
    try:
        parsed = _understand(question, viewpoint, window, scene, language.language_model)
        kind = parsed.query.kind
        if isinstance(parsed, ModelReading):
            told = parsed.told()  # it has been told the names: one that is not there was made up
        elif language.name_embedding:
            names = NearestNames(scene)
            parsed = replace(parsed, query=names.query(parsed.query))
            told = {"names": names.taken} if names.taken else {}
        check_window(scene, parsed.query.window)
        # The published rules sample the whole recording, also for the present: its last seconds hold too few samples.
        resolved = _resolve(scene, parsed, RECENT_S if rules == "robust" else math.inf)
        if parsed.asked == "first":
            parsed = replace(parsed, asked=resolved.subjects[0].name)
        _check_metric(scene, parsed)
        _check_fresh(scene, resolved, parsed, now_s, stale_s)
        finding = find(scene, resolved, rules, config)
        answer = _answer(scene, parsed, resolved, finding, choices, rules, now_s, config)
        return replace(answer, details={**told, **answer.details}) if told else answer
    except DeclineError as error:
        error = error if names is None else names.declined(error)
        return _declined(error.code, str(error), error.candidates, kind, told)
    except QueryError as error:
        return _declined("BAD_REQUEST", str(error), (), kind, told)


def _check_request(choices, rules, backend, until, viewpoint) -> None:
    if not isinstance(rules, str) or rules not in RULES:
        raise QueryError(f"rules = {rules!r} is not known; known: {', '.join(RULES)}")
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise QueryError(f"backend = {backend!r} is not known; known: {', '.join(BACKENDS)}")
    if choices is not None:
        texts = isinstance(choices, Sequence) and not isinstance(choices, (str, bytes))
        if not texts or not all(isinstance(c, (str, int, float)) and not isinstance(c, bool) for c in choices):
            raise QueryError(f"choices = {choices!r} must be a list of texts or numbers")
    if until is not None:
        check_number(until, "until")
    if viewpoint is not None and not isinstance(viewpoint, (str, dict)):
        raise QueryError(f"viewpoint = {viewpoint!r} is nobody: give 'robot', 'camera', 'map', a track id or a name")


def _understand(question, viewpoint, window, scene: Scene, model: LanguageModelConfig | None) -> ParsedQuestion:
    if isinstance(question, ParsedQuestion):
        return question
    if isinstance(question, dict):
        question = Query.from_dict(question)
    if isinstance(question, Query):
        many = VOCABULARY[question.kind].many
        asked = None if many else question.asked
        return ParsedQuestion(query=question, form="yes_no" if asked else "open", asked=asked)
    try:
        parsed = parse(question, window=window, viewpoint=viewpoint or None)
    except DeclineError as error:
        if error.code != "NOT_UNDERSTOOD" or model is None:
            raise
        return read_question(question, names_there(scene), model, error.candidates, window, viewpoint or None)
    return parsed if window is None else replace(parsed, recent=False, last_s=None)


def _resolve(scene: Scene, parsed: ParsedQuestion, recent_s: float) -> ResolvedQuery:
    """Names -> agents, and relative times -> a window; `recent_s` is how long the present lasts."""
    query = parsed.query
    many, unseen = VOCABULARY[query.kind].many, VOCABULARY[query.kind].unseen
    last_s = (
        parsed.last_s if parsed.last_s is not None else recent_s if parsed.recent and query.window is None else None
    )
    window = _relative_window(scene, parsed) if parsed.times.relative and last_s is None else query.window
    if last_s is not None:
        window = (max(scene.end_s - last_s, 0.0), scene.end_s)
        if parsed.last_s is None and not unseen and not _seen_in(scene, query, window):
            window = None
    at = query.viewpoint.at
    absolute = query.viewpoint.mode == "absolute"
    viewer = Viewer(resolve(scene, query.viewpoint.agent, window if at is None else None), at if absolute else None)
    unseen_too = query.of is not None and VOCABULARY[query.of].unseen
    subjects = resolve_many(scene, query.subject, None if unseen_too else window) if many else ()
    seen = None if unseen and not _seen_in(scene, query, window) else window
    subject = subjects[0] if many else resolve(scene, query.subject, seen, viewer)
    other = None if query.object is None else resolve(scene, query.object, window, viewer)
    if last_s is not None and parsed.last_s is None and unseen:
        window = None if query.kind == "last_seen" else window
    elif last_s is not None and parsed.last_s is None and many:
        window = _present_of_many(scene, query.kind, subjects, other, last_s, window)
        subjects = resolve_many(scene, query.subject, None if unseen_too else window)
    elif last_s is not None and parsed.last_s is None and not many:
        ends = [span(scene, a)[1] for a in (subject, other) if a is not None and a.name != "map"]
        end = min(ends, default=scene.end_s)
        window = (max(end - last_s, 0.0), end)
    return ResolvedQuery(
        kind=query.kind,
        subject=subject,
        other=other,
        viewer=viewer,
        absolute=absolute,
        window=window,
        subjects=subjects,
        asked=query.asked,
        of=query.of,
        recent=parsed.recent,
    )


def _present_of_many(scene, kind: str, things, other, last_s: float, window) -> tuple[float, float]:
    """The last seconds, or those of things that are all gone; of places the last instant of these."""
    seen = [span(scene, a)[1] for a in things]
    end = scene.end_s if window is not None else max(seen)
    if other is not None and other.name != "map":
        end = min(end, span(scene, other)[1])
    if kind in ("nearest", "farthest"):
        end = min(end, max(seen))
        return end, end
    return max(end - last_s, 0.0), end


def _relative_window(scene: Scene, parsed: ParsedQuestion) -> tuple[float, float] | None:
    """The window of "since it appeared", "in the first 3 s", "2 seconds ago": times that only the scene can tell."""
    query, appeared_s = parsed.query, None
    if parsed.times.since_appeared:
        many = VOCABULARY[query.kind].many
        subjects = resolve_many(scene, query.subject) if many else (resolve(scene, query.subject),)
        appeared_s = min(span(scene, subject)[0] for subject in subjects)
        appeared_s = appeared_s if math.isfinite(appeared_s) else None
    window = parsed.times.window_in(scene.start_s, scene.end_s, appeared_s)
    check_window(scene, window)
    return window


def _seen_in(scene: Scene, query: Query, window) -> bool:
    try:
        subject = resolve_many if VOCABULARY[query.kind].many else resolve
        subject(scene, query.subject, window)
        if query.object is not None:
            resolve(scene, query.object, window)
    except DeclineError as error:
        return error.code != "NOT_OBSERVED"
    return True


def _check_metric(scene: Scene, parsed: ParsedQuestion) -> None:
    """Refuses to say "how far" or "how fast" where lengths have no scale."""
    kind = VOCABULARY[parsed.query.kind]
    if parsed.asked == "value" and not scene.metric and kind.unit in ("m", "m/s"):
        what = kind.name.replace("_", " ")
        raise DeclineError(
            "NOT_METRIC",
            f"the {what} is asked in {kind.unit}, and this scene has no scale; give depth, stereo or metric poses,"
            f" or ask how the {what} changes",
            (f"how does the {what} change?", "is it getting closer?", "is it moving?"),
        )


def _check_fresh(
    scene: Scene, query: ResolvedQuery, parsed: ParsedQuestion, now_s: float, stale_s: float | None
) -> None:
    """Refuses to speak of the present or of "the last 3 s" from old data; a fixed window is about the past."""
    present = parsed.recent or parsed.times.ago_s == 0.0
    if stale_s is None or (query.window is not None and not present and parsed.last_s is None):
        return
    who = () if VOCABULARY[query.kind].unseen or not present else (query.subject, query.other)
    things = [a for a in who if a is not None and a.track is not None]
    if present and query.subjects:  # the newest of many things will do
        things = [max(query.subjects, key=lambda a: span(scene, a)[1]), *things[1:]]
    seen_s = min([scene.end_s, *(span(scene, a)[1] for a in things)])
    if now_s - seen_s > stale_s:
        what = " and ".join(a.label for a in things if span(scene, a)[1] == seen_s) or "anything"
        raise DeclineError(
            "STALE_DATA",
            f"{what} was last seen {now_s - seen_s:.1f} s ago (at most {stale_s:.1f} s for a question about now);"
            " check the camera and the detector, or ask about a window",
        )


def _answer(
    scene, parsed: ParsedQuestion, resolved: ResolvedQuery, finding: Finding, choices, rules, now_s, config
) -> Answer:
    many = VOCABULARY[resolved.kind].many
    agents = [] if many else [resolved.subject]
    agents += [a for a in (resolved.other, resolved.viewer.agent) if a is not None]
    tracks = tuple(dict.fromkeys((*finding.tracks, *(a.track.id for a in agents if a.track is not None))))
    motion = {"ego": finding.ego_motion, "object": finding.object_motion}
    names = {
        "subject": named(parsed.query.subject) if many else resolved.subject.label,
        "object": None if resolved.other is None else resolved.other.label,
        "viewer": resolved.viewer.agent.label,
    }
    if "winner" in finding.details:
        names["winner"] = finding.details["winner"]
    asked = {"form": parsed.form, "asked": parsed.asked, "recent": parsed.recent}
    verdict = _verdict_confidence(parsed, finding)
    if rules == "robust":
        require_confident(finding, resolved, verdict, config)
    confidence = finding.confidence if verdict is None else verdict
    sentence = word(
        finding.states,
        resolved.kind,
        names=names,
        value=finding.value,
        sigma=finding.sigma,
        unit=finding.unit,
        motion=motion,
        rules=rules,
        at_s=finding.window[1],
        details=finding.details,
        **asked,
    )
    index, probabilities = -1, ()
    if choices:
        index, probabilities = match_choice(
            finding.states,
            finding.value,
            resolved.kind,
            choices,
            names=names,
            confidence=confidence,
            details=finding.details,
            **asked,
        )
        if index < 0:
            raise DeclineError(
                "TOO_UNCERTAIN",
                f"no option, or more than one, says what was found: {sentence}",
                tuple(map(str, choices)),
            )
    return Answer(
        answer=sentence,
        kind=resolved.kind,
        states=finding.states,
        value=finding.value,
        sigma=finding.sigma,
        margin=finding.margin,
        unit=finding.unit,
        confidence=confidence,
        choice=str(choices[index]) if index >= 0 else None,
        choice_index=index,
        choice_probabilities=tuple(probabilities),
        viewpoint={
            "agent": resolved.viewer.agent.name,
            "mode": "absolute" if resolved.absolute else "relative",
            "at": finding.viewer_at_s,
        },
        motion=motion,
        tracks=tracks,
        samples=finding.samples,
        window=finding.window,
        data_age_s=max(now_s - finding.window[1], 0.0),
        details=finding.details,
    )


def _verdict_confidence(parsed: ParsedQuestion, finding: Finding) -> float | None:
    """Of a yes/no question the probability that yes or no is right, None of others."""
    if parsed.form != "yes_no" or parsed.asked is None or not finding.states:
        return None
    return verdict_confidence(
        finding.states, parsed.query.kind, parsed.asked, finding.chances, finding.others, parsed.recent
    )


def _declined(code: str, message: str, candidates, kind: str, told: dict) -> Answer:
    declined = Declined(code, message, tuple(candidates))
    return Answer(answer=f"No answer: {message}.", kind=kind, declined=declined, details=told)
