"""How a question refers to things: by class and box, by class and id, or by class; checked to be read as meant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.language import parse
from dsr_core.language.resolve import MAX_BOX_GAP_S, by_box, by_name, fitting_tracks
from dsr_core.qa.config import QaConfig
from dsr_core.qa.making.templates import question, with_box
from dsr_core.reasoning.agents import Agent
from dsr_core.scene import Scene, Track

#: What stands for a box where a thing is named by its id.
NO_BOX = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Reference:
    """Words for a thing.

    Attributes:
        text: As the question says it.
        box: Centre x, y and the logarithms of width and height of its box, as parts of the image; `NO_BOX` for a name,
            () for the camera.
        image_size: (width, height) of the image that the box refers to, or None.
    """

    text: str
    box: tuple[float, ...] = ()
    image_size: tuple[int, int] | None = None


class References:
    """The words for the things of one scene.

    Args:
        scene: The scene. config: Whether boxes, names or classes are used (`refer`), and how small a box may be.
    """

    def __init__(self, scene: Scene, config: QaConfig):
        self._scene, self._min_box_px = scene, config.min_box_px
        has_boxes = any(np.isfinite(t.boxes_px).all(axis=1).any() for t in scene.tracks.values())
        self.by_boxes = config.refer == "boxes" or (config.refer == "auto" and has_boxes)
        self._by_class = config.refer == "classes"
        self._known: dict[tuple, Reference | str] = {}
        self._fitting: dict[str, _Boxes] = {}

    def of(self, agent: Agent, at_s: float, when: str, any_time: bool = False) -> Reference | str:
        """Words for an agent at a time, or the reason why there are none.

        Args:
            at_s: Second that its box belongs to. when: "initial", "final" or "", as the text calls that time.
            any_time: The text tells no time: the box must be its own among those of all times.
        """
        if agent.track is None:
            return Reference(agent.name)
        key = (agent.name, at_s, any_time, when) if self.by_boxes else agent.name
        known = self._known.get(key)
        if known is None:
            known = self._box(agent.track, at_s, when, any_time) if self.by_boxes else self._name(agent.track)
            self._known[key] = known
        return known

    def _name(self, track: Track) -> Reference | str:
        name = spoken(track.label) if self._by_class else f"{spoken(track.label)} {track.id}"
        try:
            query = parse(question("distance", name, (name, "camera"), (1.0, 2.0), 1.5)).query
        except DeclineError:
            return "name not readable"
        read = query.subject == query.viewpoint.agent and query.object == "camera" and isinstance(query.subject, str)
        if read and self._by_class:
            fitting = fitting_tracks(self._scene, query.subject)
            return Reference(name, NO_BOX) if fitting == [track] else "class shared"
        found = by_name(self._scene, query.subject) if read else None
        return Reference(name, NO_BOX) if found is not None and found.track is track else "name not readable"

    def _box(self, track: Track, at_s: float, when: str, any_time: bool) -> Reference | str:
        near = _near(track, at_s)
        boxes = track.boxes_px[near]
        known = np.flatnonzero(np.isfinite(boxes).all(axis=1))
        if not len(known):
            return "no box"
        size = track.image_size or self._scene.image_size
        if size is None:
            return "image size not known"
        row = known[np.abs(track.stamps_s[near][known] - at_s).argmin()]
        corners = zip(boxes[row].tolist(), (*size, *size), strict=True)
        x1, y1, x2, y2 = box = tuple(round(min(max(v, 0.0), limit)) for v, limit in corners)
        if min(x2 - x1, y2 - y1) < max(self._min_box_px, 1.0):
            return "box too small"
        words = spoken(track.label)
        label = _label_read(words)
        if label is None:
            return "label not readable"
        who = {"box": list(box), "label": label}
        if not any_time:
            who["at"] = at_s
        others = self._fitting_to(label).overlapping(box, None if any_time else at_s)
        try:
            found = by_box(self._scene, who, others, None)
        except DeclineError:
            return "box not identifying"
        if found.name != track.id:
            return "box not identifying"
        width, height = size
        place = (
            (x1 + x2) / 2 / width,
            (y1 + y2) / 2 / height,
            math.log((x2 - x1) / width),
            math.log((y2 - y1) / height),
        )
        return Reference(with_box(words, box, when), place, (int(width), int(height)))

    def _fitting_to(self, label: str) -> _Boxes:
        if label not in self._fitting:
            self._fitting[label] = _Boxes(fitting_tracks(self._scene, label))
        return self._fitting[label]


class _Boxes:
    """The boxes of some tracks in the order of time, to find quickly those near a box at a time."""

    def __init__(self, tracks: list[Track]):
        self.tracks = tracks
        known = [np.isfinite(t.boxes_px).all(axis=1) for t in tracks]
        stamps = np.concatenate([t.stamps_s[k] for t, k in zip(tracks, known, strict=True)])
        order = np.argsort(stamps, kind="stable")
        self._stamps = stamps[order]
        self._boxes = np.concatenate([t.boxes_px[k] for t, k in zip(tracks, known, strict=True)])[order]
        self._owners = np.repeat(np.arange(len(tracks)), [int(k.sum()) for k in known])[order]

    def overlapping(self, box: tuple[int, ...], at_s: float | None) -> list[Track]:
        """The tracks with a box that overlaps the given one around a time, cut to that time; None: at any time.

        No other track can be the one that the box names.
        """
        lo, hi = 0, len(self._stamps)
        if at_s is not None:
            lo, hi = self._stamps.searchsorted((at_s - MAX_BOX_GAP_S - 1e-9, at_s + MAX_BOX_GAP_S + 1e-9))
        x1, y1, x2, y2 = self._boxes[lo:hi].T
        meets = (x1 < box[2]) & (x2 > box[0]) & (y1 < box[3]) & (y2 > box[1])
        found = [self.tracks[i] for i in sorted(set(self._owners[lo:hi][meets].tolist()))]
        return found if at_s is None else [track[_near(track, at_s)] for track in found]


def _near(track: Track, at_s: float) -> slice:
    """The samples from which a box is taken for a time."""
    lo, hi = track.stamps_s.searchsorted((at_s - MAX_BOX_GAP_S, at_s + MAX_BOX_GAP_S + 1e-12))
    return slice(int(lo), int(hi))


def spoken(label: str) -> str:
    """A class as it is said: "construction_cone" -> "construction cone"."""
    return " ".join(label.replace("_", " ").split())


@lru_cache(maxsize=4096)
def _label_read(words: str) -> str | None:
    """The label that a question with these words and a box is read as, or None."""
    try:
        subject = parse(question("speed", "camera", (with_box(words, (1, 2, 3, 4), "initial"),), (1.0, 2.0), None))
    except DeclineError:
        return None
    subject = subject.query.subject
    return subject.get("label") if isinstance(subject, dict) else None
