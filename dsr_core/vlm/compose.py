"""A question and what is known -> an `Asked`. Training, scoring and the robot all come through `compose`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsr_core.errors import DeclineError, DsrError, QueryError
from dsr_core.language.parse import parse
from dsr_core.language.resolve import resolve
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.quantities import Viewer
from dsr_core.scene import Scene
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import Asked, Clip, Context, VlmError


def compose(
    question: str,
    options: Sequence[str] = (),
    *,
    scene: Scene | None = None,
    clip: Clip | None = None,
    window: tuple[float, float] | None = None,
    future_from_s: float | None = None,
    sources: Mapping[str, GeometrySource] | None = None,
    answer_index: int | None = None,
    answer: str | None = None,
    key: str = "",
) -> Asked:
    """All that a model gets to see of a question.

    Args:
        question: Its text. options: Without letters.
        scene: What is known of the space. clip: Frames that are shown; the caller has hidden the future in them.
        window: (start, end) in seconds that it is about; None reads it off the text, where it tells one.
        future_from_s: Second from which the scene must be hidden, or None.
        sources: Geometry sources by name; those that find nothing to look at are left out.
        answer_index, answer: What is true, for training. key: Names the question in reports.

    Raises:
        VlmError: a source cannot use what it is given; the message starts with `key`.
    """
    if scene is not None and future_from_s is not None:
        scene = scene.until(future_from_s)
    window, viewer, roles = read_off(question, scene, window)
    context = Context(scene, clip, window, viewer, roles)
    geometry = {}
    for name, source in (sources or {}).items():
        if getattr(context, source.looks_at) is None:
            continue
        try:
            tokens = source.tokens(context)
        except DsrError as error:
            raise VlmError(f"{key + ': ' if key else ''}geometry source {name}: {error}") from error
        if len(tokens):
            geometry[name] = tokens
    if answer is None and answer_index is not None:
        answer = options[answer_index]
    return Asked(
        question=question,
        options=tuple(options),
        clips=() if clip is None else (clip,),
        geometry=geometry,
        answer_index=answer_index,
        answer=answer,
        key=key,
    )


def read_off(
    question: str, scene: Scene | None, window: tuple[float, float] | None = None
) -> tuple[tuple[float, float] | None, Viewer | None, dict[str, tuple[str, ...]]]:
    """What the grammar reads off a question: its window, its viewer, and who it names.

    What it does not read, or what is not in the scene, is left out: the model gets the rest.

    Args:
        question: Its text. scene: Where its names are looked up, or None. window: Counts in place of what it says.
    """
    try:
        query = parse(question, window=window).query
    except DeclineError:
        return window, None, {}
    window = window or query.window
    if scene is None:
        return window, None, {}
    subjects = (query.subject,) if not isinstance(query.subject, (list, tuple)) else query.subject
    named = [("subject", who) for who in subjects] + [("object", query.object), ("viewer", query.viewpoint.agent)]
    roles: dict[str, tuple[str, ...]] = {}
    viewer = None
    for role, who in named:
        agent = None if who is None else _resolved(scene, who, window)
        if agent is None:
            continue
        name = "camera" if agent.name == "robot" and agent.track is None else agent.name
        roles[name] = (*roles.get(name, ()), role)
        if role == "viewer":
            viewer = Viewer(agent, query.viewpoint.at if query.viewpoint.mode == "absolute" else None)
    return window, viewer, roles


def _resolved(scene: Scene, who, window) -> Agent | None:
    """An agent by what the question calls it, in the window or else at any time."""
    for seen in dict.fromkeys((window, None)):
        try:
            return resolve(scene, who, seen)
        except (DeclineError, QueryError):
            continue
    return None
