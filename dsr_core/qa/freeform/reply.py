"""A model's free-form question, checked for all that can be checked without the scene: form, names, leaks, meaning."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dsr_core.errors import QueryError
from dsr_core.language.options import option_labels
from dsr_core.qa.asking.asking import BadReply
from dsr_core.qa.freeform.draft import FreeDraft
from dsr_core.qa.freeform.prompts import FORMS
from dsr_core.qa.item import LETTERS
from dsr_core.qa.options.relations import canonical
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.query import Query, Viewpoint
from dsr_core.reasoning.vocabulary import VOCABULARY, is_label

_NAME = re.compile(r"\{([^{}]*)\}")
_YES_NO = re.compile(r"(?:do|does|did|is|are|was|were|has|have|had|will|would|can|could)\b", re.IGNORECASE)
_TELLS = re.compile(
    r"\d|\b(?:coordinates?|[xyz][- ]?ax[ie]s|met(?:er|re)s?|seconds|degrees?|percent|pixels?|bounding|bbox"
    r"|perspectives?|viewpoints?|point of view|options?)\b",
    re.IGNORECASE,
)
_ABOUT_OPTIONS = re.compile(
    r"\b(?:(?:all|none|both|any) of (?:the|these|them)|the above|cannot|can't|not enough|unclear|unknown)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Written:
    """A question in the forms in which it is needed; options in the order in which they are asked.

    Attributes:
        query: With the ids of tracks.
        things: The things asked about, in the question's order.
        question, options: As published: things by their boxes.
        named_question, named_options: The same with "car 12" in their place.
        marked: Which option the model takes to be true.
    """

    query: Query
    things: tuple[Agent, ...]
    question: str
    options: tuple[str, ...]
    named_question: str
    named_options: tuple[str, ...]
    marked: int


def read_question_reply(reply: dict, draft: FreeDraft) -> Written:
    """Reads a reply that fulfils the schema.

    Raises:
        BadReply: what is wrong, as the model is told it.
    """
    query, things = _query(reply["query"], draft)
    question = " ".join(reply["question"].split())
    options = [" ".join(option.split()).rstrip(" .") for option in reply["options"]]
    _check_words("question", question, draft)
    for letter, option in zip(LETTERS, options, strict=True):
        _check_words(f"option {letter}", option, draft)
    if _YES_NO.match(question) and " or " not in question:
        raise BadReply("yes or no", "the question can be answered by yes or no; ask how, which, where or what")
    _check_names(question, options, query, things)
    if len({option.lower() for option in options}) < len(options):
        raise BadReply("options alike", "two options are the same")

    def labelled(text: str) -> str:
        return _filled(text, draft, lambda agent, name: agent.label)

    _check_states(reply["states"], [labelled(option) for option in options], query, draft)

    def published(text: str) -> str:
        return _filled(
            text, draft, lambda agent, name: (draft.viewer_said if name == "viewer" else draft.said[name]).text
        )

    order = draft.order
    asked = question.lower() if question.endswith(("?", ".")) else f"{question.lower()}?"
    return Written(
        query,
        tuple(draft.things[name] for name in things),
        _prefixed(published(asked), draft.viewer_said.text, draft),
        tuple(_sentence(published(options[i])) for i in order),
        _prefixed(labelled(asked), draft.viewer.label, draft),
        tuple(labelled(options[i]) for i in order),
        order.index(LETTERS.index(reply["answer"])),
    )


def _query(data: dict, draft: FreeDraft) -> tuple[Query, tuple[str, ...]]:
    """The typed query with track ids, and the names of its things (without the viewer)."""
    kind, many = data["kind"], VOCABULARY[data["kind"]].many
    other = data.get("object")
    if many:
        among = data.get("among")
        if among is None or len(set(among)) < len(among):
            raise BadReply("bad query", f'the kind {kind} needs "among": four different things')
        if other is not None and other in among:
            raise BadReply("bad query", f"{other} is among the four that are compared")
        subject, things = {"among": [draft.things[name].name for name in among]}, tuple(among)
        if other is not None and not VOCABULARY[kind].relates:
            raise BadReply("bad query", f"the kind {kind} has no object")
    else:
        if data.get("subject") is None or data.get("among") is not None:
            raise BadReply("bad query", f'the kind {kind} needs "subject": one thing, and no "among"')
        if FORMS[kind].needs_object != (other is not None):
            needs = "needs an object" if FORMS[kind].needs_object else "has no object"
            raise BadReply("bad query", f"the kind {kind} {needs}")
        if other == data["subject"]:
            raise BadReply("bad query", f"{other} is compared with itself")
        if other == "viewer" and kind == "speed_comparison":
            raise BadReply("bad query", "the viewer does not move in its own frame; compare two things")
        subject, things = draft.things[data["subject"]].name, (data["subject"],)
    who = None if other is None else draft.viewer.name if other == "viewer" else draft.things[other].name
    viewpoint = Viewpoint(draft.viewer.name, "relative" if draft.at_s is None else "absolute", draft.at_s)
    try:
        query = Query(kind, subject, who, viewpoint, draft.window_s)
    except QueryError as error:
        raise BadReply("bad query", str(error)) from None
    return query, things + (() if other in (None, "viewer") else (other,))


def _check_words(what: str, text: str, draft: FreeDraft) -> None:
    for name in _NAME.findall(text):
        if name not in draft.things and name != "viewer":
            known = ", ".join(f"{{{n}}}" for n in (*draft.things, "viewer"))
            raise BadReply("unknown thing", f"the {what} names {{{name}}}; there are {known}")
    bare = _NAME.sub("", text)
    if not re.search(r"\w", text):
        raise BadReply("no words", f"the {what} holds no word")
    found = _TELLS.search(bare)
    if found:
        raise BadReply(
            "leaks numbers or the frame", f"the {what} says {found[0]!r}; no numbers, units, times, perspective"
        )
    if "{" in bare or "}" in bare or not text.isprintable():
        raise BadReply("unknown thing", f"the {what} has braces or characters that name nothing")
    found = _ABOUT_OPTIONS.search(bare)
    if found and what != "question":
        raise BadReply("options about options", f"the {what} says {found[0]!r}; each option must stand for itself")


def _check_names(question: str, options: list[str], query: Query, things: tuple[str, ...]) -> None:
    """The question must be about what the query is about."""
    named = {name for name in _NAME.findall(question) if name != "viewer"}
    if VOCABULARY[query.kind].many:
        among = things[:4]
        bare = [_NAME.fullmatch(option.rstrip(".")) for option in options]
        if not all(bare) or {match[1] for match in bare} != set(among):
            raise BadReply("other things", 'each of the four things of "among", {t1} alone, must be one option')
        needed = set(things[4:])
    else:
        needed = set(things)
        stray = {name for option in options for name in _NAME.findall(option)} - needed - {"viewer"}
        if stray:
            raise BadReply("other things", f"options name {sorted(stray)}, which the query is not about")
    if named != needed:
        raise BadReply("other things", f"the question names {sorted(named)}, the query is about {sorted(needed)}")
    viewer = query.object is not None and query.object == query.viewpoint.agent
    if viewer != ("{viewer}" in question) and query.kind != "motion":
        raise BadReply(
            "other things", f"{{viewer}} must {'' if viewer else 'not '}be named in the question, as in the query"
        )


def _check_states(states: list[list[str]], options: list[str], query: Query, draft: FreeDraft) -> None:
    """What the model says that its options mean must be what the engine reads, and four different things."""
    if VOCABULARY[query.kind].many:
        meant = [labels[0].strip("{}") if len(labels) == 1 else "" for labels in states]
        if any(
            name not in draft.things or draft.things[name].label != o for name, o in zip(meant, options, strict=True)
        ):
            raise BadReply("states differ", 'the state of each option must be the name of its thing, as "t1"')
        return
    names = {
        "subject": _label(query.subject, draft),
        "object": None if query.object is None else _label(query.object, draft),
        "viewer": draft.viewer.label,
    }
    seen = set()
    for letter, option, labels in zip(LETTERS, options, states, strict=True):
        wrong = [label for label in labels if not is_label(query.kind, label)]
        if wrong:
            known = ", ".join(label for label in VOCABULARY[query.kind].labels if "|" not in label)
            raise BadReply("unknown state", f"{wrong[0]!r} is no label of {query.kind}; known: {known}")
        read = option_labels(query.kind, option, names)
        if read is None:
            raise BadReply(
                "option not readable", f"option {letter} cannot be read; word it as in the example of {query.kind}"
            )
        if canonical(read) != canonical(labels):
            raise BadReply("states differ", f"option {letter} reads as {read}, its states are {labels}")
        if canonical(labels) in seen:
            raise BadReply("options alike", f"option {letter} means the same as one before it")
        seen.add(canonical(labels))


def _label(who: str, draft: FreeDraft) -> str:
    return next((a.label for a in (*draft.things.values(), draft.viewer) if a.name == who), who)


def _filled(text: str, draft: FreeDraft, words: Callable[[Agent, str], str]) -> str:
    """The text with words in place of names."""
    return _NAME.sub(lambda m: words(draft.viewer if m[1] == "viewer" else draft.things[m[1]], m[1]), text)


def _prefixed(question: str, viewer: str, draft: FreeDraft) -> str:
    """As published: whose perspective, and when."""
    who = (
        f"Following the perspective of {viewer}"
        if draft.at_s is None
        else f"From the perspective of {viewer} at {draft.at_s:.1f}s"
    )
    return f"{who}, between {draft.window_s[0]:.1f}s and {draft.window_s[1]:.1f}s, {question}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
