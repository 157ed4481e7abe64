"""What a free-form question may be about: a window, a viewer, things seen throughout, and where they are."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.qa.config import QaConfig
from dsr_core.qa.freeform.prompts import FORMS
from dsr_core.qa.making.references import Reference, References
from dsr_core.qa.making.stretches import Stretch, camera_stretch, stretches
from dsr_core.qa.making.windows import LENGTH_BINS, Grid
from dsr_core.reasoning import quantities as q
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.vocabulary import VOCABULARY
from dsr_core.scene import Scene

MIN_THINGS, MAX_THINGS = 2, 8
#: Options of a question; kinds of many things need as many things.
OPTIONS = 4
#: Times at which the model is told where things are.
MAX_TIMES = 12
#: Boxes as the camera sees them tell in the question's own text on which side things are and, mostly, how near.
_TOLD_BY_BOXES = ("direction", "nearest", "farthest")
_TRIES = 40
_SUGGESTED = 4


@dataclass(frozen=True, eq=False)
class FreeDraft:
    """What the model may ask about.

    Attributes:
        window_s: (start, end) in seconds, one decimal.
        viewer: Whose eyes. at_s: Second of an absolute viewpoint, None for a relative one.
        viewer_said: Words for the viewer.
        things: Name ("t1") -> thing. said: Name -> words for it.
        kinds: Kinds of questions that are suggested.
        facts: What the model is told, JSON values.
        order: The order in which options are put: the option that the model wrote at each place.
    """

    window_s: tuple[float, float]
    viewer: Agent
    at_s: float | None
    viewer_said: Reference
    things: dict[str, Agent]
    said: dict[str, Reference]
    kinds: tuple[str, ...]
    facts: dict
    order: tuple[int, ...]


class FreeDrafter:
    """Draws drafts about one scene.

    Args:
        scene: The scene. config: Windows, viewers, how things are named.
    """

    def __init__(self, scene: Scene, config: QaConfig):
        self._scene, self._config = scene, config
        self._grid = Grid(scene, config)
        self._stretches = stretches(scene, config, self._grid.least_s)
        self._camera = camera_stretch(scene)
        self._references = References(scene, config)

    def draw(self, rng: random.Random) -> FreeDraft | str:
        """A draft, or the reason why none of several tries gave one."""
        if not self._stretches:
            return "nothing observed long enough"
        made: FreeDraft | str = ""
        for _ in range(_TRIES):
            made = self._draw(rng)
            if isinstance(made, FreeDraft):
                break
        return made

    def _draw(self, rng: random.Random) -> FreeDraft | str:
        config = self._config
        weights = [min(s.length_s, config.max_window_s) * (3.0 if s.moves else 1.0) for s in self._stretches]
        first = rng.choices(self._stretches, weights=weights)[0]
        window = self._grid.window(rng, first.start_s, first.end_s, "speed", rng.randrange(LENGTH_BINS))
        if window is None:
            return "no window"
        there = [s for s in self._stretches if s.start_s <= window[0] + 1e-6 and s.end_s >= window[1] - 1e-6]
        absolute = rng.random() < 0.5
        viewer = self._viewer(rng, there)
        if viewer is None:
            return "no viewer"
        at_s = window[0] if absolute else None
        viewer_said = self._references.of(viewer, window[0], "" if absolute else "initial")
        if isinstance(viewer_said, str):
            return f"viewer: {viewer_said}"
        # What moves is asked about more often: the things that move come first.
        there = sorted((s for s in there if s.agent.name != viewer.name), key=lambda s: (not s.moves, rng.random()))
        said = [(s, self._references.of(s.agent, window[0], "initial")) for s in there]
        said = [(s, words) for s, words in said if isinstance(words, Reference)]
        if len(said) < MIN_THINGS:
            return "too few things at the time"
        said = sorted(said[: rng.randint(MIN_THINGS, MAX_THINGS)], key=lambda pair: pair[0].agent.name)
        things = {f"t{i}": stretch.agent for i, (stretch, _) in enumerate(said, 1)}
        try:
            facts = self._facts(viewer, at_s, window, things)
        except DeclineError as error:
            return error.code
        order = list(range(OPTIONS))
        rng.shuffle(order)
        return FreeDraft(
            window,
            viewer,
            at_s,
            viewer_said,
            things,
            {f"t{i}": words for i, (_, words) in enumerate(said, 1)},
            self._kinds(rng, viewer, len(things), any("facing" in thing for thing in facts["things"].values())),
            facts,
            tuple(order),
        )

    def _viewer(self, rng: random.Random, there: list[Stretch]) -> Agent | None:
        oriented = [
            s.agent
            for s in there
            if s.agent.track.label not in self._config.no_front and np.isfinite(s.agent.track.orientations_xyzw).all()
        ]
        if self._camera is not None and (not oriented or rng.random() < self._config.camera_viewer):
            return self._camera.agent
        return rng.choice(oriented) if oriented else None

    def _kinds(self, rng: random.Random, viewer: Agent, things: int, any_facing: bool) -> tuple[str, ...]:
        """Kinds that fit: those of many things need some, those of headings one with a heading."""
        told = _TOLD_BY_BOXES if viewer.track is None and self._references.by_boxes else ()
        fitting = [
            kind
            for kind in FORMS
            if (things >= OPTIONS or not VOCABULARY[kind].many)
            and (any_facing or kind not in ("orientation", "facing", "turning"))
            and kind not in told
        ]
        return tuple(sorted(rng.sample(fitting, min(_SUGGESTED, len(fitting)))))

    def _facts(self, viewer: Agent, at_s: float | None, window: tuple[float, float], things: dict[str, Agent]) -> dict:
        """Where things are in the viewer's frame, and which way they face there, rounded."""
        times = np.linspace(*window, min(MAX_TIMES, max(2, round((window[1] - window[0]) / 0.5) + 1)))
        eyes = q.Viewer(viewer, at_s)
        told = {}
        places = {name: q.position_in_view(self._scene, agent, eyes, times).values for name, agent in things.items()}
        largest = max(float(np.abs(p).max()) for p in places.values())
        # Three digits of the largest number: without scale a metre means nothing.
        decimals = 1 if self._scene.metric else 2 - math.floor(math.log10(max(largest, 1e-9)))
        for name, agent in things.items():
            told[name] = {"class": agent.track.label.replace("_", " "), "places": _rounded(places[name], decimals)}
            if agent.track.label not in self._config.no_front:
                try:
                    facing = q.orientation(self._scene, agent, eyes, times).values
                except DeclineError:
                    continue
                told[name]["facing"] = _rounded(facing, 1)
        moves = "fixed at the first time" if at_s is not None else "moving with the viewer"
        return {
            "viewer": "the camera" if viewer.track is None else f"a {viewer.track.label.replace('_', ' ')}",
            "frame": f"of the viewer, {moves}: x forward, y left, z up",
            "unit": "metre" if self._scene.metric else "arbitrary",
            "times_s": [round(float(t), 1) for t in times],
            "things": told,
        }


def _rounded(values: np.ndarray, decimals: int) -> list[list[float]]:
    return (np.round(values, decimals) + 0.0).tolist()
