"""A question and what is known -> an `Asked`. Training, scoring and the robot all come through `compose`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsr_core.errors import DeclineError, DsrError
from dsr_core.language.parse import parse
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
    if window is None:
        window = window_in(question)
    context = Context(scene, clip, window)
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


def window_in(question: str) -> tuple[float, float] | None:
    """The window that a question's text tells ("Between 2.0s and 6.0s, …"), or None."""
    try:
        return parse(question).query.window
    except DeclineError:
        return None
