"""WHO -> agents: the set of things that "who is nearest?" and "how many cars move?" speak of."""

from __future__ import annotations

from dsr_core.errors import DeclineError
from dsr_core.language.names import class_match, normalise_name, same_class, without_article
from dsr_core.language.resolve import names_there, resolve, seen_in
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.query import Who
from dsr_core.scene import Scene

#: Names of the set of everything.
EVERYTHING = frozenset("anything everything something all things thing objects object one ones".split())


def named(who: Who) -> str:
    """The set as a person would call it: "anything", "car"."""
    if isinstance(who, dict) and "among" in who:
        return " and ".join(named(one) for one in who["among"])
    label = who if isinstance(who, str) else who.get("label")
    return "anything" if label is None or label.lower() in EVERYTHING else without_article(label)


def resolve_many(scene: Scene, who: Who, window: tuple[float, float] | None = None) -> tuple[Agent, ...]:
    """All tracks that `who` names and that were seen in the window, in the order of their first being seen.

    Where some have that very name, those that a wider name also fits are left out: cyclists are no pedestrians of a
    data set that knows both. `{"among": [...]}` gives those things, in that order.

    Raises:
        DeclineError: NO_SUCH_OBJECT, AMBIGUOUS_OBJECT or NOT_OBSERVED, with candidates.
    """
    if isinstance(who, dict) and "among" in who:
        return tuple(resolve(scene, one, window) for one in who["among"])
    label = named(who)
    fitting = list(scene.tracks.values())
    if label != "anything":
        fitting = [t for t in fitting if t.id == label or same_class(label, t.label)]
        name = normalise_name(label)
        of_that_name = [t for t in fitting if normalise_name(t.label) == name]
        if of_that_name:
            fitting = [t for t in fitting if t.id == label or class_match(label, t.label) == "same"]
    if not fitting:
        raise DeclineError("NO_SUCH_OBJECT", f"nothing called {label!r} has been seen", names_there(scene))
    seen = fitting if window is None else [t for t in fitting if seen_in(t, window)]
    if not seen:
        raise DeclineError(
            "NOT_OBSERVED",
            f"no {label.replace('anything', 'thing')} was seen between {window[0]:.1f} s and {window[1]:.1f} s",
            tuple(f"{t.label} {t.id}" for t in fitting[:20]),
        )
    return tuple(Agent(t.id, t) for t in seen)
