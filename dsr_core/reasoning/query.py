"""Query: a typed question, and its JSON form."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from numbers import Real

from dsr_core.errors import QueryError
from dsr_core.reasoning.vocabulary import KINDS, VOCABULARY, is_label

EGO_NAMES = ("robot", "camera", "map")
MAX_ASKED = 8
#: Most things that `{"among": [...]}` can list.
MAX_AMONG = 20
#: Orders of which `rank` takes the first, the second, …
RANKED = (
    "nearest",
    "farthest",
    "fastest",
    "slowest",
    "leftmost",
    "rightmost",
    "biggest",
    "smallest",
    "first",
    "last",
)
SELECTORS = (*RANKED, "moving", "still", "all")
MAX_RANK = 1000
_WHO_FIELDS = ("label", "box", "image_size", "at", "select", "rank")

#: WHO: "robot" (base frame), "camera" (optical frame), "map", a track id, a name, or a mapping
#: {"label", "box", "image_size", "at", "select", "rank"}.
Who = str | dict


_LARGEST = sys.float_info.max


def check_number(value, name: str) -> float:
    """A finite number as a float.

    Raises:
        QueryError: it is none; the message calls it `name`.
    """
    if type(value) is float and -_LARGEST <= value <= _LARGEST:
        return value
    number = isinstance(value, Real) and not isinstance(value, bool)
    # An integer of any length may come from JSON; one that no float holds is as good as infinite.
    if not number or not abs(value) <= _LARGEST:
        raise QueryError(f"{name} = {value!r} is not a finite number")
    return float(value)


def _check_who(value, name: str) -> Who:
    if isinstance(value, str) and value.strip():
        return value.strip()
    if not isinstance(value, dict):
        raise QueryError(
            f"{name} = {value!r} is no thing: give 'robot', 'camera', 'map', a track id, a name or an object"
        )
    unknown = set(value) - set(_WHO_FIELDS)
    if unknown:
        raise QueryError(f"{name} has unknown fields {sorted(map(str, unknown))}; known: {', '.join(_WHO_FIELDS)}")
    if not value:
        raise QueryError(f"{name} is an empty object; give a label or a box")
    if value.get("label") is not None and not (isinstance(value["label"], str) and value["label"].strip()):
        raise QueryError(f"{name}.label = {value['label']!r} is not a name")
    box = value.get("box")
    if box is not None:
        if not isinstance(box, (list, tuple)) or len(box) != 4:
            raise QueryError(f"{name}.box = {box!r} must be [x1, y1, x2, y2] in pixels")
        for number in box:
            check_number(number, f"{name}.box")
        if box[2] <= box[0] or box[3] <= box[1]:
            raise QueryError(f"{name}.box = {list(box)} is empty: x1 < x2 and y1 < y2 are needed")
    size = value.get("image_size")
    if size is not None and (
        not isinstance(size, (list, tuple))
        or len(size) != 2
        or any(check_number(n, f"{name}.image_size") <= 0 for n in size)
    ):
        raise QueryError(f"{name}.image_size = {size!r} must be [width, height] in pixels")
    if value.get("at") is not None:
        check_number(value["at"], f"{name}.at")
    select = value.get("select")
    if select is not None and (not isinstance(select, str) or select not in SELECTORS):
        raise QueryError(f"{name}.select = {select!r}; known: {', '.join(SELECTORS)}")
    rank = value.get("rank")
    if rank is not None:
        if isinstance(rank, bool) or not isinstance(rank, Real) or rank not in range(1, MAX_RANK + 1):
            raise QueryError(f"{name}.rank = {rank!r} must be a whole number from 1 (the first) to {MAX_RANK}")
        if select not in RANKED:
            raise QueryError(f"{name}.rank needs a select that puts things in order: {', '.join(RANKED)}")
    return {k: v for k, v in value.items() if v is not None}


def _check_subject(value, many: bool) -> Who:
    """WHO, or for kinds of many things also {"among": [WHO, WHO, ...]}: just these."""
    if not isinstance(value, dict) or "among" not in value:
        return _check_who(value, "subject")
    among = value["among"]
    if not many:
        raise QueryError("subject.among belongs to kinds of many things (nearest, fastest_approaching, count, ...)")
    if set(value) != {"among"} or not isinstance(among, (list, tuple)) or not 2 <= len(among) <= MAX_AMONG:
        raise QueryError(f"subject = {value!r} must be {{'among': [two to {MAX_AMONG} things]}}")
    return {"among": [_check_who(who, f"subject.among[{i}]") for i, who in enumerate(among)]}


@dataclass(frozen=True)
class Viewpoint:
    """Whose eyes a question is seen through.

    Attributes:
        agent: WHO.
        mode: "relative" (the viewer's frame at every instant) or "absolute" (its frame at one time, held fixed).
        at: Second of the fixed frame for "absolute"; None means the start of the window.
    """

    agent: Who = "robot"
    mode: str = "relative"
    at: float | None = None

    def to_dict(self) -> dict:
        return {"agent": self.agent, "mode": self.mode, "at": self.at}


@dataclass(frozen=True)
class Query:
    """A question about one or two things, a viewer and a window of time.

    Attributes:
        kind: One of `KINDS`.
        subject: WHO the question is about.
        object: WHO it is compared with or seen from; None means the viewer for distance and direction.
        viewpoint: Whose eyes.
        window: (start, end) in seconds, closed; None means all the time that the things have in common.
        asked: What a yes/no question asks about: a label of the kind, or labels in order ("first in front, then
            behind-left"); None for an open question.
        of: Kind of the relation that `count` counts.
    """

    kind: str
    subject: Who
    object: Who | None = None
    viewpoint: Viewpoint = Viewpoint()
    window: tuple[float, float] | None = None
    asked: str | tuple[str, ...] | None = None
    of: str | None = None

    def __post_init__(self):
        if not isinstance(self.kind, str) or self.kind not in VOCABULARY:
            raise QueryError(f"kind = {self.kind!r} is not known; known kinds: {', '.join(KINDS)}")
        object.__setattr__(self, "subject", _check_subject(self.subject, VOCABULARY[self.kind].many))
        if self.object is not None:
            object.__setattr__(self, "object", _check_who(self.object, "object"))
        elif VOCABULARY[self.kind].compares:
            raise QueryError(f"{self.kind} needs an object to compare the subject with")
        if isinstance(self.viewpoint, dict):
            unknown = set(self.viewpoint) - {"agent", "mode", "at"}
            if unknown:
                raise QueryError(f"viewpoint has unknown fields {sorted(map(str, unknown))}; known: agent, mode, at")
            given = {k: v for k, v in self.viewpoint.items() if v is not None}
            object.__setattr__(self, "viewpoint", Viewpoint(**given))
        elif isinstance(self.viewpoint, str):
            object.__setattr__(self, "viewpoint", Viewpoint(agent=self.viewpoint))
        elif self.viewpoint is None:
            object.__setattr__(self, "viewpoint", Viewpoint())
        elif not isinstance(self.viewpoint, Viewpoint):
            raise QueryError(f"viewpoint = {self.viewpoint!r} must be an object with agent, mode and at")
        _check_who(self.viewpoint.agent, "viewpoint.agent")
        if not isinstance(self.viewpoint.mode, str) or self.viewpoint.mode not in ("relative", "absolute"):
            raise QueryError(f"viewpoint.mode = {self.viewpoint.mode!r}; known: relative, absolute")
        if self.viewpoint.at is not None:
            check_number(self.viewpoint.at, "viewpoint.at")
        if self.window is not None:
            if not isinstance(self.window, (list, tuple)) or len(self.window) != 2:
                raise QueryError(f"window = {self.window!r} must be [start, end] in seconds")
            object.__setattr__(self, "window", tuple(check_number(s, "window") for s in self.window))
        self._check_asked()

    def _check_asked(self) -> None:
        if self.of is not None:
            if self.kind != "count":
                raise QueryError(f"of = {self.of!r} belongs to the kind count, not to {self.kind}")
            if not isinstance(self.of, str) or self.of not in VOCABULARY or VOCABULARY[self.of].many:
                countable = [k.name for k in VOCABULARY.values() if k.labels]
                raise QueryError(f"of = {self.of!r} is no kind that one thing can have; known: {', '.join(countable)}")
            if VOCABULARY[self.of].compares and self.object is None:
                raise QueryError(f"count of {self.of!r} needs an object to compare each thing with")
            if self.asked is None:
                raise QueryError(f"count of {self.of!r} needs the label that is counted in asked")
        if self.asked is None:
            return
        kind = self.of or self.kind
        labels = [self.asked] if isinstance(self.asked, str) else self.asked
        if not isinstance(labels, (list, tuple)) or not 1 <= len(labels) <= MAX_ASKED:
            raise QueryError(f"asked = {self.asked!r} must be a label or a list of at most {MAX_ASKED} labels")
        for label in labels:
            if not isinstance(label, str) or not is_label(kind, label):
                known = ", ".join(VOCABULARY[kind].labels) or "none"
                raise QueryError(f"asked = {label!r} is no label of the kind {kind}; known: {known}")
        object.__setattr__(self, "asked", self.asked if isinstance(self.asked, str) else tuple(labels))

    @classmethod
    def from_dict(cls, data: dict) -> Query:
        """Reads the JSON form (docs/schemas/query.schema.json).

        Raises:
            QueryError: a field is missing, unknown or of the wrong type.
        """
        if not isinstance(data, dict):
            raise QueryError(f"a query is a JSON object, not {type(data).__name__}")
        unknown = data.keys() - _FIELDS
        if unknown:
            raise QueryError(f"unknown fields {sorted(map(str, unknown))}; known: {', '.join(_FIELDS)}")
        for name in ("kind", "subject"):
            if name not in data:
                raise QueryError(f"the query lacks {name!r}; a query needs at least kind and subject")
        return cls(**data)

    def to_dict(self) -> dict:
        """The JSON form; `asked` and `of` only where they are set."""
        data = {
            "kind": self.kind,
            "subject": self.subject,
            "object": self.object,
            "viewpoint": self.viewpoint.to_dict(),
            "window": None if self.window is None else list(self.window),
        }
        if self.asked is not None:
            data["asked"] = self.asked if isinstance(self.asked, str) else list(self.asked)
        if self.of is not None:
            data["of"] = self.of
        return data


_FIELDS = ("kind", "subject", "object", "viewpoint", "window", "asked", "of")
