"""Whether enough moves in a recording, seen from its tracks alone: no endpoint, no pictures.

What counts is movement in the world: tracks are in the world's frame, so the robot's or camera's own motion is taken
out. The judgement is the engine's own (kind "motion"), with its noise; beside it a thing must come some way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.qa.item import QaError
from dsr_core.reasoning.agents import Agent, places_at
from dsr_core.reasoning.engine import ResolvedQuery, find
from dsr_core.reasoning.quantities import Viewer
from dsr_core.scene import Scene, Track

#: Pieces that a way is cut into; the mean place in each carries little of a sample's noise.
_PIECES = 8


@dataclass(frozen=True)
class MotionFilterConfig:
    """What makes a recording worth asking about.

    Attributes:
        min_duration_s, max_duration_s: Length of the recording in seconds (published: 20 to 120); 0: no bound.
        min_movers: Things that must move in the world (published: 3).
        min_observed_s: A thing counts when it was observed for so long ...
        min_displacement_m: ... and got so far from where it had been (metric scenes) ...
        min_displacement_share: ... or so far as a share of its distance from the camera (scenes without scale) ...
        min_screen: ... and takes at least this share of the picture, in the middle of its time (published: 1 %) ...
        max_screen: ... and at most this (published: 50 %); where boxes are not known neither is asked for.
        min_confidence: Probability that it moved; states less likely do not count as moving.
        not_counted: Classes that do not count: the one that records.
    """

    min_duration_s: float = 20.0
    max_duration_s: float = 120.0
    min_movers: int = 3
    min_observed_s: float = 1.0
    min_displacement_m: float = 1.0
    min_displacement_share: float = 0.1
    min_screen: float = 0.01
    max_screen: float = 0.5
    min_confidence: float = 0.9
    not_counted: tuple[str, ...] = ("ego_vehicle", "ego vehicle", "robot", "camera")

    def __post_init__(self):
        for name, value in vars(self).items():
            if name == "not_counted":
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number or value < 0:
                raise QaError(f"{name} = {value!r} must be a number of at least 0")
        if self.max_duration_s and self.min_duration_s > self.max_duration_s:
            raise QaError(f"durations from {self.min_duration_s:g} s to {self.max_duration_s:g} s: swap them")
        for name in ("min_screen", "max_screen", "min_confidence"):
            if getattr(self, name) > 1:
                raise QaError(f"{name} = {getattr(self, name)!r} must be a share between 0 and 1")
        object.__setattr__(self, "not_counted", tuple(self.not_counted))


@dataclass(frozen=True)
class Mover:
    """A thing that moves in the world.

    Attributes:
        track, label: Its id and class.
        displacement: How far apart two of its places are, metres (without scale: the scene's unit).
        sigmas: The same in units of its places' noise; inf where they are exact.
        moving_s: For how long it moved.
        screen: Share of the picture that its box takes (median), None where not known.
    """

    track: str
    label: str
    displacement: float
    sigmas: float
    moving_s: float
    screen: float | None


@dataclass(frozen=True)
class MotionReport:
    """What the filter found.

    Attributes:
        reasons: Why the recording is not kept, () where it is.
        duration_s: Its length. movers: What moves and counts, the farthest first.
        others: Reason -> number of things that do not count.
        things: Number of tracks.
    """

    reasons: tuple[str, ...]
    duration_s: float
    movers: tuple[Mover, ...]
    others: dict[str, int]
    things: int

    @property
    def kept(self) -> bool:
        return not self.reasons

    def to_dict(self) -> dict:
        """JSON values; the ten movers that go farthest stand for all."""
        movers = [
            {
                "track": m.track,
                "label": m.label,
                "displacement": round(m.displacement, 3),
                "sigmas": None if math.isinf(m.sigmas) else round(m.sigmas, 1),
                "moving_s": round(m.moving_s, 2),
                "screen": None if m.screen is None else round(m.screen, 5),
            }
            for m in self.movers[:10]
        ]
        return {
            "duration_s": round(self.duration_s, 3),
            "things": self.things,
            "movers": len(self.movers),
            "farthest": movers,
            "not_counted": dict(sorted(self.others.items())),
        }


def filter_motion(scene: Scene, config: MotionFilterConfig = MotionFilterConfig()) -> MotionReport:
    """Judges a scene: its length, and how many things move in the world and can be seen well enough.

    Args:
        scene: With tracks in the world. config: What counts.
    """
    duration_s = scene.end_s - scene.start_s
    reasons = list(duration_reasons(duration_s, config))
    movers: list[Mover] = []
    others: dict[str, int] = {}
    for track in scene.tracks.values():
        found = _judge(scene, track, config)
        if isinstance(found, Mover):
            movers.append(found)
        else:
            others[found] = others.get(found, 0) + 1
    movers.sort(key=lambda m: (-m.displacement, m.track))
    if len(movers) < config.min_movers:
        told = "".join(f"; {count} {reason}" for reason, count in sorted(others.items()))
        reasons.append(f"{len(movers)} of {len(scene.tracks)} things move enough, {config.min_movers} are needed{told}")
    return MotionReport(tuple(reasons), duration_s, tuple(movers), others, len(scene.tracks))


def duration_reasons(duration_s: float, config: MotionFilterConfig) -> tuple[str, ...]:
    """Why a length in seconds does not fit, or ()."""
    if duration_s < config.min_duration_s - 1e-6:
        return (f"{duration_s:.1f} s long, at least {config.min_duration_s:g} s are wanted",)
    if config.max_duration_s and duration_s > config.max_duration_s + 1e-6:
        return (f"{duration_s:.1f} s long, at most {config.max_duration_s:g} s are wanted",)
    return ()


def _judge(scene: Scene, track: Track, config: MotionFilterConfig) -> Mover | str:
    if track.label in config.not_counted:
        return "is the one that records"
    seen = track[track.observed]
    if len(seen) < 3 or seen.stamps_s[-1] - seen.stamps_s[0] < config.min_observed_s:
        return "seen too shortly"
    map_view = Viewer(Agent("map"))
    query = ResolvedQuery("motion", Agent(track.id, track), None, map_view, False, None)
    try:
        found = find(scene, query)
    except DeclineError as error:
        return "not sure whether they move" if error.code == "TOO_UNCERTAIN" else f"declined {error.code}"
    # That all states are right is another matter: one piece of surely moving is enough.
    moving = [(state, p) for state, p in zip(found.states, found.chances, strict=True) if state.label == "moving"]
    if not moving:
        return "still"
    moving_s = sum(state.end - state.start for state, p in moving if p >= config.min_confidence)
    if not moving_s:
        return "not sure whether they move"
    displacement, sigma = _displacement(scene, seen)
    if displacement < _least(scene, seen, config):
        return "move too little"
    screen = screen_share(scene, seen)
    if screen is not None and screen < config.min_screen:
        return "too small on the screen"
    if screen is not None and screen > config.max_screen:
        return "fill the screen"
    return Mover(track.id, track.label, displacement, displacement / sigma if sigma else math.inf, moving_s, screen)


def _displacement(scene: Scene, seen: Track) -> tuple[float, float]:
    """Largest distance between the mean places of up to eight pieces of the way, and one sigma of a place."""
    pieces = min(_PIECES, len(seen))
    starts = np.arange(pieces) * len(seen) // pieces
    counts = np.diff(np.append(starts, len(seen)))
    places = np.add.reduceat(seen.smoothed_positions(slice(None)), starts, axis=0) / counts[:, None]
    variance = float(np.median(np.einsum("tii->t", seen.covariances))) / 3.0
    between = places - places[:, None]
    return float(np.sqrt(np.einsum("ijk,ijk->ij", between, between).max())), math.hypot(
        math.sqrt(max(variance, 0.0)), scene.ego_sigma_m
    )


def _least(scene: Scene, seen: Track, config: MotionFilterConfig) -> float:
    """Displacement that a thing needs: metres, or without scale a share of its distance from the camera."""
    if scene.metric:
        return config.min_displacement_m
    try:
        camera = places_at(scene, Agent("camera"), seen.stamps_s)
    except DeclineError:
        return 0.0
    away = np.linalg.norm(seen.smoothed_positions(slice(None)) - camera, axis=1)
    return config.min_displacement_share * float(np.median(away))


def screen_share(scene: Scene, track: Track) -> float | None:
    """Median share of the picture that the track's boxes take, None where there are none."""
    boxes, size = track.boxes_px[np.isfinite(track.boxes_px).all(axis=1)], track.image_size or scene.image_size
    if not len(boxes) or size is None:
        return None
    limit = np.tile(np.asarray(size, float), 2)
    boxes = np.clip(boxes, 0.0, limit)
    return float(np.median((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])) / (limit[0] * limit[1]))
