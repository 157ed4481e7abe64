"""What really happened: labels of recorded scenes judged by plain finite differences, no code of the engine.

A scene's labels, without the noise that is added to them later, are the truth. `Truth.holds` says whether one state of
an answer is true of them over its own time, `Truth.label` which label the whole window has. Either is None where the
labels themselves cannot tell: the change and its threshold both drown in the labels' own noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: A change counts beyond this fraction (docs/kinds.md) of the quantity, or of the thing's length.
FRACTION = 0.05
SIDE, SIDE_KEPT = 0.3, 0.25
#: Kinds whose one state speaks of the whole window.
WHOLE = ("displacement", "distance_change", "lateral_change", "depth_change", "closest_approach")
#: States last at least this long: what goes another way for less at the ends of a state is part of it.
LEAST_S = 0.5
#: Share of the samples of a state that must have its sides.
MOST = 0.9
STEP_S = 0.1


@dataclass(frozen=True)
class LabelNoise:
    """One-sigma of the labels themselves: of a speed over one second, and of a displacement over t seconds."""

    speed_m_s: float
    wander_m: float
    wander_time_s: float

    def displacement_m(self, seconds: float) -> float:
        return self.wander_m * np.sqrt(1.0 - np.exp(-seconds / self.wander_time_s))


#: KITTI's parked cars wander by 0.14 m an axis in one second, 0.27 m in four (RMS); Argoverse's hardly move.
NOISE = {"kitti": LabelNoise(0.15, 0.32, 4.0), "av2": LabelNoise(0.05, 0.08, 4.0)}


@dataclass(frozen=True)
class Thing:
    """Arrays of a labelled thing or of the robot: stamps (T,), places (T, 3), axes (T, 3, 3), size (3,) in metres."""

    label: str
    t: np.ndarray
    p: np.ndarray
    R: np.ndarray
    size: np.ndarray
    parked: bool

    @property
    def length(self) -> float:
        return float(self.size.max())

    def at(self, times):
        return np.stack([np.interp(times, self.t, self.p[:, k]) for k in range(3)], axis=1)

    def axes(self, times):
        return self.R[np.abs(self.t[:, None] - times).argmin(axis=0)]


class Truth:
    """The labels of one scene, judged."""

    def __init__(self, scene, noise: LabelNoise):
        self.noise = noise
        T = scene.T_world_base
        self.things = {"robot": Thing("robot", scene.stamps_s, T[:, :3, 3], T[:, :3, :3], np.full(3, 4.0), False)}
        for track in scene.tracks.values():
            p = track.positions_world_m
            settled = len(p) >= 30 and np.linalg.norm(p - np.median(p, axis=0), axis=1).max() < 1.0
            R = _axes(track.orientations_xyzw)
            self.things[track.id] = Thing(track.label, track.stamps_s, p, R, track.size_lwh_m, bool(settled))

    # --- one state of an answer --------------------------------------------------------------------------------------

    def holds(self, q, label: str, start: float, end: float) -> bool | None:
        """Whether a state is true from `start` to `end` seconds of the question q (kind, ids, window)."""
        slack = min(LEAST_S, (end - start) / 4)
        return getattr(self, f"_{q.kind}")(q, label, (start, end), (start + slack, end - slack))

    def _distance(self, q, label, span, inner):
        whole = self._distances(q, q.window)
        return trend(self._distances(q, span), self._distances(q, inner), whole, label)

    def _speed(self, q, label, span, inner):
        whole, mine = self._speeds(q.subject, q.window), self._speeds(q.subject, span)
        unseen = 2.0 * np.sqrt(2.0) * self.noise.speed_m_s
        if self.things[q.subject].parked or mine.max() < 2.0 * self.noise.speed_m_s:
            return label == "constant"
        if max(abs(mine[-1] - mine[0]), FRACTION * mine.mean()) < unseen:
            return None
        return trend(mine, self._speeds(q.subject, inner), whole, label, unseen)

    def _motion(self, q, label, span, inner):
        thing = self.things[q.subject]
        if thing.parked:
            return label == "still"
        p = thing.at(times(*inner))
        least, unseen = FRACTION * thing.length, 2.0 * np.sqrt(2.0) * self.noise.displacement_m(span[1] - span[0])
        went = np.linalg.norm(p[:, None] - p, axis=-1).max()
        if max(went, least) < unseen:
            return None
        return (went > least) == (label == "moving")

    def _speed_comparison(self, q, label, span, inner):
        first, second = self.things[q.subject], self.things[q.object]
        a, b = self._speeds(q.subject, span).mean(), self._speeds(q.object, span).mean()
        unseen = 2.0 * np.sqrt(2.0) * self.noise.speed_m_s
        if first.parked and second.parked:
            return label == "same"
        difference, least = a - b, FRACTION * max(a, b)
        if max(abs(difference), least) < unseen:
            return None
        true = "same" if abs(difference) <= least else "first_faster" if difference > 0 else "second_faster"
        return label == true

    def _direction(self, q, label, span, inner):
        return share_of_sides(self._directions(q, inner), label) >= MOST

    def _orientation(self, q, label, span, inner):
        return share_of_sides(self._headings(q, inner), label) >= MOST

    def _direction_prediction(self, q, label, span, inner):
        v = self._last_velocity(q, span[1])
        if np.linalg.norm(v) < 2.0 * self.noise.speed_m_s:
            return None
        return bool(share_of_sides(v[None] / np.linalg.norm(v), label))

    # --- the window as a whole ---------------------------------------------------------------------------------------

    def label(self, q) -> str | None:
        """The label that the whole window has; None where it has none (it turns round) or the labels cannot tell."""
        known = {
            "distance": ("increasing", "constant", "decreasing"),
            "speed": ("increasing", "constant", "decreasing"),
            "motion": ("moving", "still"),
            "speed_comparison": ("first_faster", "same", "second_faster"),
        }
        for label in known.get(q.kind, ()):
            if getattr(self, f"_{q.kind}")(q, label, q.window, q.window):
                return label
        return None

    def verdict(self, q, asked: str, window) -> bool | None:
        """Whether the answer to "is it `asked`?" over the window is yes; None where that is not clear."""
        if q.kind in ("direction", "orientation"):
            share = self.share(q, asked)
            return None if 0.4 < share < 0.6 else share >= 0.5
        if q.kind in WHOLE:
            return self.holds(q, asked, *window)
        label = self.label(q)
        return None if label is None else label == asked

    def share(self, q, sides: str) -> float:
        """Share of the window's samples that have the sides asked about ("front" is true of "front|left")."""
        u = self._directions(q, q.window) if q.kind == "direction" else self._headings(q, q.window)
        named = _named(u)
        asked = _signs(sides)
        return float(np.mean(((named == asked) | (asked == 0)).all(axis=1)))

    # --- series ------------------------------------------------------------------------------------------------------

    def _distances(self, q, span):
        t = times(*span)
        return np.linalg.norm(self.things[q.subject].at(t) - self.things[q.object].at(t), axis=1)

    def _speeds(self, who, span):
        thing, t = self.things[who], times(*span)
        lo, hi = np.maximum(t - 0.5, thing.t[0]), np.minimum(t + 0.5, thing.t[-1])
        return np.linalg.norm(thing.at(hi) - thing.at(lo), axis=1) / np.maximum(hi - lo, 1e-6)

    def _directions(self, q, span):
        t = times(*span)
        d = self.things[q.subject].at(t) - self.things[q.object].at(t)
        return self._seen_by(q.viewer, d / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9), t)

    def _headings(self, q, span):
        t = times(*span)
        return self._seen_by(q.viewer, self.things[q.subject].axes(t)[:, :, 0], t)

    def _seen_by(self, viewer, vectors, t):
        return vectors if viewer == "map" else np.einsum("tji,tj->ti", self.things[viewer].axes(t), vectors)

    def _last_velocity(self, q, end):
        t = np.array([end - 1.0, end])
        p = self.things[q.subject].at(t)
        if q.viewer != "map":
            p = self._seen_by(q.viewer, p - self.things[q.viewer].at(t), t)
        return p[1] - p[0]


def share_of_sides(u, label: str) -> float:
    """Share of unit vectors (T, 3) in the viewer's frame that a direction label may name."""
    asked = _signs(label)
    fits = np.where(asked != 0, u * asked > SIDE_KEPT, np.abs(u) <= SIDE)
    return float(fits.all(axis=1).mean())


def times(start: float, end: float) -> np.ndarray:
    """Seconds from start to end, both included, about `STEP_S` apart."""
    return np.linspace(start, end, max(round((end - start) / STEP_S) + 1, 3))


def trend(x, inner, whole, label: str, unseen: float = 0.0) -> bool:
    """Whether x (T,) has the trend: its net change beyond 5 %, and it goes back by no more than that within `inner`.

    Constant: a net change within 5 %, and it does not rise and fall by more. `unseen`: changes below are the labels'.
    """
    least = FRACTION * max(np.abs(x).mean(), 0.2 * np.abs(whole).max())
    net, back = x[-1] - x[0], max(least, unseen)
    rise = (inner - np.minimum.accumulate(inner)).max()
    fall = (np.maximum.accumulate(inner) - inner).max()
    if label == "constant":
        return bool(abs(net) <= least and min(rise, fall) <= back)
    return bool(net > least and fall <= back) if label == "increasing" else bool(-net > least and rise <= back)


def _signs(label: str) -> np.ndarray:
    names = label.split("|")
    sides = (("front", "behind"), ("left", "right"), ("above", "below"))
    return np.array([(a in names) - (b in names) for a, b in sides])


def _named(u):
    return np.where(np.abs(u) > SIDE, np.sign(u), 0).astype(int)


def _axes(xyzw) -> np.ndarray:
    """Rotation matrices (T, 3, 3) of quaternions (T, 4), by the textbook formula."""
    x, y, z, w = np.asarray(xyzw, float).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
