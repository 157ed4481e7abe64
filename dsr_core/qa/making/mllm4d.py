"""The questions of MLLM-4D (arXiv 2603.00515, section 3): six tasks, the last one with two scenarios.

All of them compare two frames, "frame 5 of 32" and a later one, of 32 uniform samples of the recording (frame 1 is the
first). The answers are the engine's (`dsr_core.reasoning.kinds.metric`), which takes poses in one convention: with c
the camera's centre, p an object's, R the camera's axes in the world, s and e the two frames,

* camera absolute distance: |c(e) - c(s)|; object absolute distance: |p(e) - p(s)|;
* camera relative direction: the largest component of R(s)^T (c(e) - c(s));
* object-camera absolute distance: from c(s) to the nearest point of the object's box at e;
* object-camera relative distance: closer or farther, each frame with its own camera; relative direction: the change of
  the object's left or forward coordinate in the camera's frame at s.

The paper states no thresholds: here a thing has changed by the robust rules (3 sigma of its noise, 5 %), and numbers
are told only where they are sure to a tenth. Where the answer is one of two, "no change" is dropped.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from dsr_core.geometry.transforms import R_BODY_OPTICAL
from dsr_core.qa.config import QaConfig
from dsr_core.qa.item import Candidate
from dsr_core.qa.making.references import References
from dsr_core.qa.making.stretches import Stretch, camera_stretch, stretches
from dsr_core.qa.making.truth import truth
from dsr_core.reasoning.agents import Agent, places_at, poses
from dsr_core.reasoning.engine import Finding, ResolvedQuery
from dsr_core.reasoning.kinds.published import source_stamps
from dsr_core.reasoning.noise import probability
from dsr_core.reasoning.quantities import Viewer
from dsr_core.reasoning.query import Query, Viewpoint
from dsr_core.reasoning.rules import DEFAULT_RULES
from dsr_core.scene import Scene


@dataclass(frozen=True)
class Task:
    """One kind of question.

    Attributes:
        kind: Of the query.
        text: With places for the object, the two frames and their number.
        of_object: Whether it is about an object, else about the camera.
        words: Label -> answer; None for an answer in metres.
    """

    kind: str
    text: str
    of_object: bool
    words: dict[str, str] | None = None


_FRAMES = "between frame {start} and frame {end} of {count}"
_WAYS = {"front": "Forward", "behind": "Backward", "left": "Left", "right": "Right", "above": "Up", "below": "Down"}
TASKS = {
    "camera_absolute_distance": Task(
        "displacement", f"Approximately how far (in meters) did the camera move {_FRAMES}?", False
    ),
    "camera_relative_direction": Task(
        "moving_direction",
        f"In which direction did the camera mainly move {_FRAMES}, relative to its orientation in frame {{start}}?",
        False,
        _WAYS,
    ),
    "object_absolute_distance": Task(
        "displacement", f"Approximately how far (in meters) did the {{object}} move {_FRAMES}?", True
    ),
    "object_camera_absolute_distance": Task(
        "nearest_distance",
        "What is the approximate distance (in meters) from the camera in frame {start} to the nearest point of the"
        " {object} in frame {end} of {count}?",
        True,
    ),
    "object_camera_relative_distance": Task(
        "distance_change",
        f"How did the distance of the {{object}} to the camera change {_FRAMES}?",
        True,
        {"decreasing": "Closer", "increasing": "Farther", "constant": "Not moving"},
    ),
    "object_camera_relative_direction_lateral": Task(
        "lateral_change",
        f"Relative to the camera in frame {{start}}, did the {{object}} move to the left or to the right {_FRAMES}?",
        True,
        {"left": "Left", "right": "Right"},
    ),
    "object_camera_relative_direction_depth": Task(
        "depth_change",
        f"Relative to the camera in frame {{start}}, did the {{object}} move closer or farther {_FRAMES}?",
        True,
        {"closer": "Closer", "farther": "Farther"},
    ),
}
TYPES = tuple(TASKS)
#: The engine measures at the samples nearest inside the window; these are at most so far from the two frames, seconds.
_MOST_OFF_S = 0.11
#: Not confident otherwise: a number counts as right within this fraction of itself.
_RIGHT_WITHIN = DEFAULT_RULES.value_fraction


class TaskMaker:
    """Makes questions of MLLM-4D about one scene; call it with a type."""

    def __init__(self, scene: Scene, config: QaConfig, rng: random.Random, name: str, video_id: str):
        self._scene, self._config, self._rng = scene, config, rng
        self._name, self._video_id = name, video_id
        self._camera = camera_stretch(scene)
        self._references = References(scene, config)
        self._tried: set[str] = set()
        self._stamps = source_stamps(scene, config.frames)
        step = float(np.median(np.diff(self._stamps)))
        self._objects = stretches(scene, config, config.min_frames_apart * step)
        self._weights = list(accumulate(config.moving_weight if s.moves else 1.0 for s in self._objects))

    def __call__(self, type_: str) -> Candidate | str:
        task = TASKS[type_]
        if self._camera is None:
            return "no camera pose"
        if task.of_object and not self._objects:
            return "nothing observed long enough"
        stretch = self._camera
        if task.of_object:
            stretch = self._rng.choices(self._objects, cum_weights=self._weights)[0]
        frames = self._frames(stretch)
        if isinstance(frames, str):
            return frames
        return self._make(type_, task, stretch.agent, *frames)

    def _frames(self, stretch: Stretch) -> tuple[int, int] | str:
        """Two frames (0-based) at which the thing and the camera were there."""
        start, end = max(stretch.start_s, self._camera.start_s), min(stretch.end_s, self._camera.end_s)
        first = int(self._stamps.searchsorted(start - 1e-9))
        last = int(self._stamps.searchsorted(end + 1e-9)) - 1
        apart = self._config.min_frames_apart
        if last - first < apart:
            return "not seen in two frames"
        i = self._rng.randint(first, last - apart)
        return i, self._rng.randint(i + apart, last)

    def _make(self, type_: str, task: Task, agent: Agent, i: int, j: int) -> Candidate | str:
        start_s, end_s = float(self._stamps[i]), float(self._stamps[j])
        if not end_s > start_s:
            return "frames at the same time"
        said = self._references.of(agent, start_s, "initial")
        later = self._references.of(agent, end_s, "final") if self._references.by_boxes else said
        for reference in (said, later):
            if isinstance(reference, str):
                return reference
        count = self._config.frames
        text = task.text.format(object=said.text, start=i + 1, end=j + 1, count=count)
        if text in self._tried:
            return "repeated"
        self._tried.add(text)
        places = self._places(agent, start_s, end_s)
        if task.of_object and np.linalg.norm(places[1] - places[0], axis=1).max() > self._config.max_objects_m:
            return "too far away"
        camera = self._camera.agent
        absolute = task.kind in ("lateral_change", "depth_change")
        other = camera if task.kind in ("nearest_distance", "distance_change") else None
        viewer = Viewer(camera, start_s if absolute else None)
        query = ResolvedQuery(task.kind, agent, other, viewer, absolute, (start_s, end_s))
        found = truth(self._scene, query, self._config, rules="robust")
        if isinstance(found, str):
            return found
        if abs(found.window[0] - start_s) > _MOST_OFF_S or abs(found.window[1] - end_s) > _MOST_OFF_S:
            return "not observed at the frames"
        told = self._told(task, found)
        if isinstance(told, str):
            return told
        worded, labels, confidence = told
        viewpoint = Viewpoint("camera", "absolute" if absolute else "relative", start_s if absolute else None)
        number = task.words is None
        return Candidate(
            scene=self._name,
            video_id=self._video_id,
            type=type_,
            kind=task.kind,
            question=text,
            answer=worded,
            labels=labels,
            viewer="camera",
            things=(agent.track.label,) if task.of_object else ("camera",),
            tracks=(agent.name,) if task.of_object else (),
            window=(start_s, end_s),
            viewpoint=viewpoint.to_dict(),
            query=Query(
                task.kind, agent.name, None if other is None else other.name, viewpoint, (start_s, end_s)
            ).to_dict(),
            covariates=((i + 1) / count, (j - i) / count, *said.box),
            margin=found.margin,
            confidence=confidence,
            value=found.value if number else None,
            unit=found.unit if number else None,
            metric=self._scene.metric,
            image_size=said.image_size,
            ego_motion=found.ego_motion,
            object_motion=found.object_motion,
            others=found.others,
            samples=found.samples,
            spatial_states=self._states(*places) if self._scene.metric else None,
        )

    def _told(self, task: Task, found: Finding) -> tuple[str, tuple[str, ...], float] | str:
        """The answer's words, its labels and its confidence, or why there is none."""
        labels = tuple(state.label for state in found.states)
        if task.words is None:
            if found.value is None or "stayed" in labels or found.value < self._config.min_distance_m:
                return "too short a distance"
            confidence = probability(_RIGHT_WITHIN * found.value, found.sigma)
            if confidence < self._config.min_confidence:
                return "not confident"
            return f"{found.value:.1f} m", labels, confidence
        label = labels[0]
        if task.kind == "moving_direction" and label != "still":
            label = _main_way(label, found, self._config.dominance)
        word = task.words.get(label)
        return (word, (label,), found.confidence) if word is not None else "no change"

    def _places(self, agent: Agent, start_s: float, end_s: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Centres (2, 3) of the camera and of the object, where it is one, in the world at the two frames."""
        stamps = np.array([start_s, end_s])
        thing = None if agent.track is None else places_at(self._scene, agent, stamps)
        return places_at(self._scene, self._camera.agent, stamps), thing

    def _states(self, camera_m: np.ndarray, thing_m: np.ndarray | None) -> dict:
        """Centres in the camera's frame at the first of all frames: x right, y down, z forward, metres."""
        T_world_body = poses(self._scene, self._camera.agent, self._stamps[:1])[0]
        R_world_optical = T_world_body[:3, :3] @ R_BODY_OPTICAL

        def seen(points_m):
            local = (points_m - T_world_body[:3, 3]) @ R_world_optical
            return [[round(float(x), 3) + 0.0 for x in point] for point in local]

        return {"camera_center": seen(camera_m), "object_center": None if thing_m is None else seen(thing_m)}


def _main_way(label: str, found: Finding, dominance: float) -> str:
    """The one side of a direction that is `dominance` times larger than the others; the label where there is none."""
    components = found.details.get("components")
    if "|" not in label or components is None:
        return label
    largest, second, _ = sorted(map(abs, components.values()), reverse=True)
    return found.details["dominant"] if largest >= dominance * second else label
