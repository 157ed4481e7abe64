"""Every kind of question in one table: its unit, its labels, and what it takes (docs/kinds.md defines each)."""

from __future__ import annotations

from dataclasses import dataclass

_SIDES = (("front", "behind"), ("left", "right"), ("above", "below"))


def _directions() -> tuple[str, ...]:
    forward, lateral, vertical = (("", *names) for names in _SIDES)
    labels = ("|".join(s for s in (a, b, c) if s) for a in forward for b in lateral for c in vertical)
    return tuple(label for label in labels if label)


#: The 26 labels of directions.
DIRECTION_LABELS = _directions()
_TREND = ("increasing", "constant", "decreasing")
_MOTION = ("moving", "still")


@dataclass(frozen=True)
class Kind:
    """What is fixed about a kind of question.

    Attributes:
        name: Its name in a `Query`.
        unit: Unit of its value: "m", "m/s", "rad", "s" or None.
        labels: Labels of its states; () where it has none or they are ids and numbers.
        relates: It relates two things: the object is the viewer where none is given.
        compares: It needs an object.
        many: Its subject is a set of things.
        lengths: Its answer is a length or speed itself, so it needs a scene with scale.
        unseen: It also speaks of things that were not seen in the window.
    """

    name: str
    unit: str | None
    labels: tuple[str, ...] = ()
    relates: bool = False
    compares: bool = False
    many: bool = False
    lengths: bool = False
    unseen: bool = False


_KINDS = (
    Kind("distance", "m", _TREND, relates=True),
    Kind("direction", "rad", DIRECTION_LABELS, relates=True),
    Kind("orientation", "rad", DIRECTION_LABELS),
    Kind("speed", "m/s", _TREND),
    Kind("speed_comparison", "m/s", ("first_faster", "same", "second_faster"), relates=True, compares=True),
    Kind("direction_prediction", "rad", DIRECTION_LABELS),
    Kind("motion", "m/s", _MOTION),
    Kind("facing", "rad", ("facing", "sideways", "away"), relates=True),
    Kind("displacement", "m", ("moved", "stayed"), lengths=True),
    Kind("path_length", "m", _MOTION, lengths=True),
    Kind("moving_direction", "rad", (*DIRECTION_LABELS, "still")),
    Kind("nearest_distance", "m", relates=True, lengths=True),
    Kind("distance_change", "m", _TREND, relates=True),
    Kind("lateral_change", "m", ("left", "constant", "right")),
    Kind("depth_change", "m", ("farther", "constant", "closer")),
    Kind("closest_approach", "m", ("approaching", "receding", "same"), relates=True),
    Kind("closest_distance", "m", relates=True, lengths=True),
    Kind("crossing", "m", ("left_to_right", "right_to_left", "none"), relates=True),
    Kind("overtaking", "m", ("overtook", "overtaken", "passed", "none"), relates=True),
    Kind("following", "m", ("following", "not_following"), relates=True),
    Kind("turning", "rad", ("turning_left", "straight", "turning_right")),
    Kind("position", "m", DIRECTION_LABELS, relates=True),
    Kind("visibility", "s", ("in_view", "occluded", "out_of_view"), unseen=True),
    Kind("last_seen", "s", unseen=True),
    Kind("nearest", "m", relates=True, many=True),
    Kind("farthest", "m", relates=True, many=True),
    Kind("fastest", "m/s", many=True),
    Kind("slowest", "m/s", many=True),
    Kind("fastest_approaching", "m/s", relates=True, many=True),
    Kind("fastest_receding", "m/s", relates=True, many=True),
    Kind("count", None, many=True),
)
VOCABULARY = {kind.name: kind for kind in _KINDS}
KINDS = tuple(VOCABULARY)
UNITS = {kind.name: kind.unit for kind in _KINDS}
#: Kinds whose labels are directions in the viewer's frame.
DIRECTION_KINDS = ("direction", "orientation", "direction_prediction", "moving_direction", "position")


def is_label(kind: str, label: str) -> bool:
    """Whether a state of this kind can have this label; a direction may be a part of one ("front" of "front|left")."""
    return label in VOCABULARY[kind].labels
