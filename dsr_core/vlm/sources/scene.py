"""The robot's own tracks and camera as geometry tokens: what every robot that runs this package has for free.

A token is one thing over a stretch of the window that the question is about, as it looks from where the question asks:
where the thing was, how it moved and faced, how large it is, how well all that is known, and whether the question names
it. Its label is embedded by the language model. The camera is a thing, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning.agents import Agent, Motion, motion, span, velocities
from dsr_core.reasoning.quantities import Viewer, viewer_axes
from dsr_core.reasoning.rules import DEFAULT_RULES
from dsr_core.reasoning.window import stamps_in
from dsr_core.scene import Scene
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import ROLES, Context, GeometryTokens, VlmError

SCALES = ("auto", "metric", "normalised")
#: Lengths are divided by these to be about one: metres, or the scene's own scale.
_LENGTH, _SPEED = 10.0, 3.0
#: A change of a length by a tenth is about one.
_CHANGE = 10.0
#: Numbers of one instant besides Fourier features; see `_instants`.
_EACH = 41
#: Numbers of a whole token; see `_whole`.
_WHOLE = 8 + len(ROLES)


class SceneSource(GeometrySource):
    """Tokens of the tracks and of the camera.

    Args:
        samples: Instants at which the window is looked at, evenly from its start to its end.
        per_token: How many of them a token holds; a thing has `samples / per_token` tokens.
        most_things: Things beyond this many are left out: those the question names stay, then the nearest ones.
        max_gap_s: At an instant a thing is known that was observed no longer before or after than this.
        scale: "metric"; "normalised": lengths are divided by the median distance from the viewer, so that a world of
            any scale looks the same; "auto": normalised where the scene is not metric.
        as_asked: Take window, viewpoint and names as the grammar reads them off the question; False: the whole memory,
            as the camera sees it, and nobody is marked.
        marked: Mark the things that the question names, and tell the others' places as seen from the second of them;
            False: the model has to find them by their labels.
        boxes: Tell where in the image each thing is.
        wavelengths: Of the Fourier features of a position, in tens of metres (or the scene's own unit); () for none.
    """

    name = "scene"
    looks_at = "scene"
    hidden = 256
    flags = 1 + len(ROLES)

    def __init__(
        self,
        samples: int = 16,
        per_token: int = 16,
        most_things: int = 32,
        max_gap_s: float = 0.3,
        scale: str = "auto",
        as_asked: bool = True,
        marked: bool = True,
        boxes: bool = True,
        wavelengths: Sequence[float] = (0.5, 1.0, 2.0, 4.0),
    ):
        if samples < 1 or per_token < 1 or samples % per_token:
            raise VlmError(f"samples = {samples} must be a multiple of per_token = {per_token}, both at least 1")
        if most_things < 1 or not max_gap_s >= 0:
            raise VlmError(f"most_things = {most_things} must be at least 1, max_gap_s = {max_gap_s} not negative")
        if scale not in SCALES:
            raise VlmError(f"scale = {scale!r} is not known; known: {', '.join(SCALES)}")
        self.samples, self.per_token, self.most_things = samples, per_token, most_things
        self.max_gap_s, self.scale, self.boxes = max_gap_s, scale, boxes
        self.as_asked, self.marked = as_asked, marked
        self.wavelengths = tuple(map(float, wavelengths))
        if not all(length > 0 and math.isfinite(length) for length in self.wavelengths):
            raise VlmError(f"wavelengths = {wavelengths} must be positive")
        self._each = _EACH + 6 * len(self.wavelengths)
        self.features = per_token * self._each + _WHOLE

    def settings(self) -> dict:
        names = ("samples", "per_token", "most_things", "max_gap_s", "scale", "as_asked", "marked", "boxes")
        return {name: getattr(self, name) for name in names} | {"wavelengths": list(self.wavelengths)}

    def tokens(self, context: Context) -> GeometryTokens:
        """(V, F) tokens, V = things known in the window x `samples / per_token`; none of a scene that is empty.

        Raises:
            VlmError: the window is not one of the scene.
        """
        scene = context.scene
        start_s, end_s = self._window(context)
        stamps_s = np.linspace(start_s, end_s, self.samples)
        viewer = context.viewer if self.as_asked and context.viewer is not None else Viewer(Agent("camera"))
        view = _view(scene, viewer, stamps_s)
        roles = context.roles if self.as_asked and self.marked else {}
        seen = list(self._seen(scene, view, roles, stamps_s))
        if not seen:
            return GeometryTokens(np.zeros((0, self.features), np.float32))
        things, moved, known = zip(*seen, strict=True)
        positions_m, known = np.stack([m.positions_m for m in moved]), np.stack(known)
        scale_m = self._scale_m(scene, view, positions_m, known)
        origin = next((i for i, thing in enumerate(things) if "object" in roles.get(thing.name, ())), None)
        swept, drift = _velocities(scene, things, viewer, view)
        instants = self._instants(scene, things, moved, known, view, origin, scale_m, swept, drift)
        whole = _whole(scene, things, roles, scale_m, end_s - start_s)
        count, parts = len(things), self.samples // self.per_token
        instants = instants.reshape(count, parts, self.per_token * self._each)
        features = np.concatenate([instants, np.repeat(whole[:, None], parts, axis=1)], axis=2)
        labels = tuple(thing.label for thing in things for _ in range(parts))
        return GeometryTokens(features.reshape(count * parts, self.features), labels)

    def _window(self, context: Context) -> tuple[float, float]:
        scene = context.scene
        window = context.window if self.as_asked else None
        start_s, end_s = (scene.start_s, scene.end_s) if window is None else window
        if not (math.isfinite(start_s) and math.isfinite(end_s) and start_s <= end_s):
            raise VlmError(f"the window {start_s} to {end_s} s is not one of time")
        if end_s < scene.start_s or start_s > scene.end_s:
            raise VlmError(
                f"the window {start_s:g} to {end_s:g} s is outside the scene, {scene.start_s:g} to {scene.end_s:g} s"
            )
        return max(start_s, scene.start_s), min(end_s, scene.end_s)

    def _seen(self, scene, view: Motion, roles, stamps_s) -> Iterator[tuple[Agent, Motion, np.ndarray]]:
        """Things that are known at some instant, those first that the question names, then the nearest."""
        found = []
        for agent in [*_ego(scene), *(Agent(t.id, t) for t in scene.tracks.values())]:
            known = _known(scene, agent, stamps_s, self.max_gap_s)
            if not known.any():
                continue
            moved = _motion(scene, agent, stamps_s)
            away_m = np.linalg.norm(moved.positions_m - view.positions_m, axis=1)[known].min()
            found.append(((agent.name not in roles, agent.track is not None, away_m), agent, moved, known))
        for _, agent, moved, known in sorted(found, key=lambda row: row[0])[: self.most_things]:
            yield agent, moved, known

    def _scale_m(self, scene: Scene, view: Motion, positions_m: np.ndarray, known: np.ndarray) -> float:
        if self.scale == "metric" or (self.scale == "auto" and scene.metric):
            return _LENGTH
        away_m = np.linalg.norm(positions_m - view.positions_m, axis=2)[known]
        away_m = away_m[away_m > 1e-6 * away_m.max(initial=0.0)]  # the viewer is not away from itself
        return float(np.median(away_m)) if len(away_m) else 1.0

    def _instants(
        self, scene, things, moved, known, view: Motion, origin: int | None, scale_m: float, swept, drift
    ) -> np.ndarray:
        """(things, samples, features): of each instant known, time; position in the viewer's frame at that time and at
        the start; position, direction and range as seen from `origin`, in the viewer's axes, and how the range changes;
        velocity in the world; speed in the viewer's frame, beside that of `origin`, and how it changes; heading; noise;
        box; how the viewer turns; Fourier features of the position."""
        p = np.stack([m.positions_m for m in moved])
        count, n = p.shape[:2]
        R = view.rotations
        step_s = (view.stamps_s[-1] - view.stamps_s[0]) / max(n - 1, 1)
        seen_m = np.einsum("tji,btj->bti", R, p - view.positions_m) / scale_m
        start_m = np.einsum("ji,btj->bti", R[0], p - view.positions_m[0]) / scale_m
        apart_m = seen_m - seen_m[origin] if origin is not None else seen_m
        range_m, apart_range_m = (np.linalg.norm(d, axis=2, keepdims=True) for d in (seen_m, apart_m))
        drift, swept = (v * (_LENGTH / scale_m / _SPEED) for v in (drift, swept))
        speed = np.linalg.norm(swept, axis=2, keepdims=True)
        log_apart, log_speed = np.log(np.maximum(apart_range_m, 1e-3)), np.log(np.maximum(speed, 1e-2))
        faster = log_speed if origin is None else log_speed - log_speed[origin]
        velocity = np.einsum("ji,btj->bti", R[0], drift)
        nowhere = np.full((n, 3), np.nan)
        forward = np.stack([nowhere if m.rotations is None else m.rotations[:, :, 0] for m in moved])
        faces, faced = np.einsum("tji,btj->bti", R, forward), np.einsum("ji,btj->bti", R[0], forward)
        sigma_m = np.stack([np.sqrt(np.einsum("tii->t", m.covariances) / 3.0) for m in moved]) / scale_m
        boxes = np.stack([_boxes(thing, view.stamps_s, self.max_gap_s) for thing in things]) if self.boxes else None
        phase = (2 * np.pi / np.array(self.wavelengths))[:, None] * seen_m[:, :, None, :]
        out = np.concatenate(
            [
                np.broadcast_to(np.linspace(0.0, 1.0, n)[None, :, None], (count, n, 1)),
                np.clip(seen_m, -20, 20),
                np.clip(start_m, -20, 20),
                np.log(np.maximum(range_m, 1e-3)),
                np.clip(apart_m, -20, 20),
                apart_m / np.maximum(apart_range_m, 1e-6),
                log_apart,
                *_changes(log_apart, step_s),
                np.clip(velocity, -20, 20),
                np.clip(speed, 0, 20),
                log_speed,
                np.clip(faster, -4, 4),
                _changes(log_speed, step_s)[0],
                np.nan_to_num(faces),
                np.nan_to_num(faced),
                np.isfinite(faces[:, :, :1]),
                np.log(np.maximum(sigma_m, 1e-4))[:, :, None] / 5.0,
                np.zeros((count, n, 5)) if boxes is None else boxes,
                _turned(view)[None].repeat(count, 0),
                np.sin(phase).reshape(count, n, -1),
                np.cos(phase).reshape(count, n, -1),
            ],
            axis=2,
        )
        return np.concatenate([known[:, :, None], np.where(known[:, :, None], out, 0.0)], axis=2)


def _ego(scene: Scene) -> list[Agent]:
    posed = len(scene.stamps_s) and (scene.T_world_camera is not None or scene.T_world_base is not None)
    return [Agent("camera")] if posed else []


def _view(scene: Scene, viewer: Viewer, stamps_s: np.ndarray) -> Motion:
    """The viewer's frame; where it is not known the camera's, and the world's where that is not known either."""
    for tried in (viewer, Viewer(Agent("camera"))):
        try:
            return viewer_axes(scene, tried, stamps_s)
        except DeclineError:
            continue
    return viewer_axes(scene, Viewer(Agent("map")), stamps_s)


def _known(scene: Scene, agent: Agent, stamps_s: np.ndarray, max_gap_s: float) -> np.ndarray:
    """(T,) whether the thing was observed near each time."""
    if agent.track is None:
        first_s, last_s = span(scene, agent)
        return (stamps_s >= first_s - max_gap_s) & (stamps_s <= last_s + max_gap_s)
    return _near(agent.track.stamps_s[agent.track.observed], stamps_s, max_gap_s)


def _near(known_s: np.ndarray, stamps_s: np.ndarray, max_gap_s: float) -> np.ndarray:
    """(T,) whether one of the times `known_s` (N,) is near each time."""
    if not len(known_s):
        return np.zeros(len(stamps_s), bool)
    after = np.clip(known_s.searchsorted(stamps_s), 0, len(known_s) - 1)
    before = np.maximum(after - 1, 0)
    return np.minimum(abs(known_s[after] - stamps_s), abs(known_s[before] - stamps_s)) <= max_gap_s + 1e-9


def _velocities(scene: Scene, things, viewer: Viewer, view: Motion) -> tuple[np.ndarray, np.ndarray]:
    """(things, T, 3) velocities in the viewer's frame and in the world as the engine measures speed, m/s: slopes of
    lines through the samples that lie in the window; zero where there are too few."""
    swept, drift = np.zeros((2, len(things), len(view.stamps_s), 3))
    window = float(view.stamps_s[0]), float(view.stamps_s[-1])
    views: dict[bytes, Motion] = {}
    for thing, in_view, in_world in zip(things, swept, drift, strict=True):
        try:
            stamps_s = stamps_in(scene, (thing,), window, DEFAULT_RULES)
        except DeclineError:
            continue
        p_m = motion(scene, thing, stamps_s).positions_m
        at = views.get(stamps_s.tobytes())
        if at is None:
            at = views[stamps_s.tobytes()] = _view(scene, viewer, stamps_s)
        seen_m = np.einsum("tji,tj->ti", at.rotations, p_m - at.positions_m)
        both, _, _ = velocities(stamps_s, np.concatenate([seen_m, p_m], axis=1), view.stamps_s)
        if np.isfinite(both).all():
            in_view[:], in_world[:] = both[:, :3], both[:, 3:]
    return swept, drift


def _motion(scene: Scene, thing: Agent, stamps_s: np.ndarray) -> Motion:
    """Its motion, with axes where it has any."""
    try:
        return motion(scene, thing, stamps_s, axes=True)
    except DeclineError:
        return motion(scene, thing, stamps_s)


def _boxes(thing: Agent, stamps_s: np.ndarray, max_gap_s: float) -> np.ndarray:
    """(T, 5) x1, y1, x2, y2 as parts of the image and whether there is a box."""
    out = np.zeros((len(stamps_s), 5))
    track = thing.track
    boxed = np.zeros(0, bool) if track is None else np.isfinite(track.boxes_px).all(axis=1)
    if track is None or track.image_size is None or not boxed.any():
        return out
    boxes, times = track.boxes_px[boxed] / np.tile(track.image_size, 2), track.stamps_s[boxed]
    near = _near(times, stamps_s, max_gap_s)
    after = np.clip(times.searchsorted(stamps_s), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(abs(times[before] - stamps_s) < abs(times[after] - stamps_s), before, after)
    out[near, :4], out[near, 4] = boxes[nearest][near], 1.0
    return out


def _changes(log_m: np.ndarray, step_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Of the logarithm of a length (things, T, 1): its rate (tenths a second) and its change since the start."""
    rate = np.gradient(log_m, step_s, axis=1) if log_m.shape[1] > 1 and step_s > 0 else np.zeros_like(log_m)
    return np.clip(_CHANGE * rate, -15, 15), np.clip(_CHANGE * (log_m - log_m[:, :1]), -15, 15)


def _turned(view: Motion) -> np.ndarray:
    """(T, 3) the viewer's forward axis at each time, in its frame at the start."""
    return view.rotations[:, :, 0] @ view.rotations[0]


def _whole(scene: Scene, things, roles, scale_m: float, duration_s: float) -> np.ndarray:
    """(things, _WHOLE): size and whether it is known, scale, length of the window, whether it is the ego, roles."""
    rows = []
    for thing in things:
        size = np.full(3, np.nan) if thing.track is None else thing.track.size_lwh_m
        known = bool(np.isfinite(size).all())
        size = np.log(np.clip(size / scale_m * _LENGTH, 1e-2, 1e3)) if known else np.zeros(3)
        named = [role in roles.get(thing.name, ()) for role in ROLES]
        metric = math.log(_LENGTH / scale_m) if scene.metric else 0.0
        rows.append([*size, known, scene.metric, metric, math.log1p(duration_s), thing.track is None, *named])
    return np.array(rows, float)
