"""QaConfig: what questions are made of a scene, with every default in one place."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from dsr_core.qa.item import QaError

STYLES = ("dsr", "mllm4d")
RULES = ("robust", "dsr")
REFERS = ("auto", "boxes", "names", "classes")


@dataclass(frozen=True)
class QaConfig:
    """How questions are drawn from a scene, and which are dropped.

    Attributes:
        per_scene: Questions wanted of a scene; there are fewer where a scene gives no more.
        style: "dsr" (the twelve templates) or "mllm4d" (questions of MLLM-4D).
        rules: Rules of the true answers, "robust" or "dsr"; questions of MLLM-4D always have robust ones.
        types: Of the style's types those that are asked; () for all.
        refer: How things are named: "boxes" (class and box, as published), "names" (class and id, "car 12"), "classes"
            (the class alone; things that share theirs are not asked about), or "auto": boxes where the scene has any.
        min_confidence: Answers less likely to be right than this to the power of the number of their states are
            dropped; "confidence" is beside each question for who wants more.
        min_margin_sigmas: So are answers whose weakest decision is nearer to its threshold, in units of its noise.
        max_states: So are answers of more numbered states (published: 15).
        max_failures: A type that fails so often in a row is given up.
        min_window_s: Shortest window. max_window_s: Longest one. Both for robust rules; the published rules have 4 of
            32 samples at least.
        max_gap_s: A thing is observed as long as its observations are no farther apart.
        min_box_px: Things whose box is smaller on its shorter side are not referred to by it.
        moving_weight: How much more often things are drawn that leave their place.
        camera_viewer: Share of questions seen by the camera; the others are seen by things with a heading.
        camera_thing: Probability that the first of two things is the camera; else it is the second one with the same.
        at_inside: Share of absolute viewpoints whose time lies inside the window.
        windowed_predictions: Whether predictions tell a window and look ahead from its end ("Between 2.0s and 6.0s, … ,
            predict …"). The published ones tell none: they look ahead from when the thing was last seen, so of each
            thing and viewer there is but one. Not with the published rules.
        not_asked: Classes that no question is about: the one that records.
        no_front: Classes that have no front: neither viewers, nor asked for their orientation.
        frames: Frames that questions of MLLM-4D name ("frame 3 of 32").
        min_frames_apart: Of these a question's two frames are at least so far apart.
        dominance: A main direction is at least so many times larger than the others.
        min_distance_m: Shorter distances are no numeric answers: one decimal would not tell them apart.
        max_objects_m: Objects farther from the camera than this in either frame are not asked about.
    """

    per_scene: int = 40
    style: str = "dsr"
    rules: str = "robust"
    types: tuple[str, ...] = ()
    refer: str = "auto"
    min_confidence: float = 0.9
    min_margin_sigmas: float = 2.0
    max_states: int = 15
    max_failures: int = 30
    min_window_s: float = 2.0
    max_window_s: float = 20.0
    max_gap_s: float = 0.6
    min_box_px: float = 8.0
    moving_weight: float = 4.0
    camera_viewer: float = 0.5
    camera_thing: float = 0.5
    at_inside: float = 0.5
    windowed_predictions: bool = False
    not_asked: tuple[str, ...] = ("ego_vehicle", "ego vehicle", "robot", "camera")
    no_front: tuple[str, ...] = (
        "barrel",
        "bollard",
        "box",
        "cone",
        "construction_barrel",
        "construction_cone",
        "pallet",
        "sign",
        "stop_sign",
        "traffic_light",
    )
    frames: int = 32
    min_frames_apart: int = 3
    dominance: float = 2.0
    min_distance_m: float = 0.5
    max_objects_m: float = 80.0

    def __post_init__(self):
        for name, known in (("style", STYLES), ("rules", RULES), ("refer", REFERS)):
            if getattr(self, name) not in known:
                raise QaError(f"{name} = {getattr(self, name)!r} is not known; known: {', '.join(known)}")
        for name in ("per_scene", "max_states", "max_failures", "frames", "min_frames_apart"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise QaError(f"{name} = {value!r} must be a whole number of at least 1")
        for name in ("min_confidence", "camera_viewer", "camera_thing", "at_inside"):
            if not _number(getattr(self, name)) or not 0.0 <= getattr(self, name) <= 1.0:
                raise QaError(f"{name} = {getattr(self, name)!r} must be a share between 0 and 1")
        for name in ("min_margin_sigmas", "max_gap_s", "min_box_px", "dominance", "min_distance_m", "max_objects_m"):
            if not _number(getattr(self, name)) or getattr(self, name) < 0.0:
                raise QaError(f"{name} = {getattr(self, name)!r} must be a number of at least 0")
        if not _number(self.moving_weight) or self.moving_weight <= 0.0:
            raise QaError(f"moving_weight = {self.moving_weight!r} must be a positive number")
        if not (_number(self.min_window_s) and _number(self.max_window_s)):
            raise QaError(f"windows of {self.min_window_s!r} s to {self.max_window_s!r} s must be numbers")
        if not 0.1 <= self.min_window_s <= self.max_window_s:
            raise QaError(
                f"windows of {self.min_window_s} s to {self.max_window_s} s: give 0.1 <= min_window_s <= max_window_s"
            )
        if self.windowed_predictions and self.rules == "dsr":
            raise QaError("windowed_predictions: the published rules predict from the 30th of 32 samples alone")
        for name in ("types", "not_asked", "no_front"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def to_dict(self) -> dict:
        """Every setting by name, as JSON values; saved beside what was made."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def _number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
