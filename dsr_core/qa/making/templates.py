"""The twelve published question templates, word for word (arXiv 2512.20557, released code `qa_temp.py`)."""

from __future__ import annotations

#: What the second half of a published type asks -> kind of the query.
KINDS = {
    "dis": "distance",
    "dir": "direction",
    "ori": "orientation",
    "spd": "speed",
    "spd_comp": "speed_comparison",
    "dir_pred": "direction_prediction",
}
_CORES = {
    "distance": "how does the distance between {} and {} change?",
    "direction": "how does the direction of {} to {} change?",
    "orientation": "how does the orientation of {} change?",
    "speed": "how does the speed of {} change?",
    "speed_comparison": "compare the speed between {} and {}.",
    "direction_prediction": "predict the moving direction of {}",
}
#: Kinds of two things.
PAIRS = ("distance", "direction", "speed_comparison")


def type_of(kind: str, absolute: bool) -> str:
    """The published name of a type: "rel_dis" of a distance from a relative viewpoint."""
    return f"{'abs' if absolute else 'rel'}_{_SHORT[kind]}"


_SHORT = {kind: short for short, kind in KINDS.items()}


def question(
    kind: str, viewer: str, things: tuple[str, ...], window_s: tuple[float, float] | None, at_s: float | None
) -> str:
    """The text of a question.

    Args:
        kind: One of the values of `KINDS`.
        viewer: Words for the viewer ("camera").
        things: Words for the one or two things asked about.
        window_s: (start, end) in seconds, printed with one decimal; None for predictions as published, which tell none.
        at_s: Second of an absolute viewpoint, None for a relative one.
    """
    perspective = (
        f"following the perspective of {viewer}" if at_s is None else f"from the perspective of {viewer} at {at_s:.1f}s"
    )
    core = _CORES[kind].format(*things)
    if window_s is None:
        return f"F{perspective[1:]}, {core}"
    return f"Between {window_s[0]:.1f}s and {window_s[1]:.1f}s, {perspective}, {core}"


def with_box(label: str, box: tuple[int, int, int, int], when: str = "") -> str:
    """Words for a thing: its class and box; `when` is "initial", "final" or "" (the viewer of an absolute question)."""
    said = f"{when} " if when else ""
    return f"{label} with {said}bounding box coordinates [{box[0]},{box[1]},{box[2]},{box[3]}]"
