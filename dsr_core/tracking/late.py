"""What an observation of an old frame says about a track now, and how long to wait for the slow lane that sends such.

A late observation of time t measures p_t, where its track was then. Given where the track is now, x (position and
velocity), the filter's own history says p_t = s + A (x - x_now) + e with e ~ N(0, Q): going back one frame after
another, x_i given x_(i+1) is m_i + C_i (x_(i+1) - F m_i) with covariance P_i - C_i (F P_i F' + Q_i) C_i' (Rauch, Tung
and Striebel, 1965; C as in `dsr_core.smoothing`). So a late position z with covariance R is a measurement of the state
now, through A and with the covariance R + Q: the older it is and the more the track may have done since, the less it
says. This is the update with an out-of-sequence measurement by state retrodiction (Bar-Shalom, Li, Kirubarajan, 2001).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from dsr_core import smoothing
from dsr_core.tracking import filter as kalman

#: A nanosecond stamp in float seconds carries rounding.
_SAME_S = 1e-6
#: Most frames that are kept; of faster ones the history keeps every second, third ...
_FRAMES = 128


@dataclass(frozen=True, eq=False)
class Moment:
    """All tracks at one frame, as the filter knew them then; arrays of one row a track that nobody writes into.

    Attributes:
        stamp_s: Time of the frame.
        key: (N,) internal numbers, rising.
        mean: (N, 6).
        state_cov: (N, 21) its covariance (`smoothing.packed`).
        walk: (N, 2) strengths of the random walks on the way to this frame.
        box: (N, 4) in pixels, NaN where not seen.
    """

    stamp_s: float
    key: np.ndarray
    mean: np.ndarray
    state_cov: np.ndarray
    walk: np.ndarray
    box: np.ndarray


@dataclass(frozen=True, eq=False)
class Past:
    """Where the tracks of now were at an earlier time: p_t = position + A (x - x_now) + e, e ~ N(0, noise).

    Attributes:
        position_m: (N, 3) in the world.
        A: (N, 3, 6).
        noise: (N, 3, 3).
        box: (N, 4) in pixels at that time, NaN where not seen.
    """

    position_m: np.ndarray
    A: np.ndarray
    noise: np.ndarray
    box: np.ndarray

    def of_models(self, model_mean: np.ndarray, model_cov: np.ndarray, mean: np.ndarray):
        """Positions (N, K, 3) at that time under each model, and their covariances (N, K, 3, 3)."""
        A = self.A[:, None]
        positions = self.position_m[:, None] + (A @ (model_mean - mean[:, None])[..., None])[..., 0]
        return positions, A @ model_cov @ np.swapaxes(A, -1, -2) + self.noise[:, None]

    def take(self, rows: np.ndarray) -> Past:
        return Past(self.position_m[rows], self.A[rows], self.noise[rows], self.box[rows])


class History:
    """The tracks of the last `late_s` seconds, in at most `_FRAMES` moments and one more.

    Args:
        late_s: How far back it goes.
    """

    def __init__(self, late_s: float):
        self._late_s = late_s
        self._moments: deque[Moment] = deque()
        self.first_s: float | None = None

    def __len__(self) -> int:
        return len(self._moments)

    def add(self, moment: Moment) -> None:
        """Takes the tracks of a new frame."""
        moments = self._moments
        if self.first_s is None:
            self.first_s = moment.stamp_s
        if len(moments) > 1 and moments[-1].stamp_s - moments[-2].stamp_s < self._late_s / _FRAMES:
            moments.pop()
        moments.append(moment)
        oldest_s = moment.stamp_s - self._late_s
        while len(moments) > 2 and moments[1].stamp_s <= oldest_s:
            moments.popleft()

    def at(self, stamp_s: float, key: np.ndarray, mean: np.ndarray, walk: np.ndarray) -> Past:
        """Where tracks were at an earlier time that the history covers.

        Args:
            stamp_s: That time.
            key: (N,) the tracks.
            mean: (N, 6) their states now, x_now.
            walk: (2,) strengths of the random walks of a track before its first frame.
        """
        n, after = len(key), self._moments[-1]
        state, A, noise = mean.copy(), np.broadcast_to(np.eye(6), (n, 6, 6)), np.zeros((n, 6, 6))
        before = None
        for before in list(self._moments)[-2::-1]:
            if after.stamp_s <= stamp_s + _SAME_S:
                break
            start_s = max(before.stamp_s, stamp_s)
            C, offset, spread = _backward(n, after.stamp_s - start_s, walk)
            rows, i, j = _common(key, before.key, after.key)
            if len(rows):
                m, P, w = before.mean[i], smoothing.unpacked(before.state_cov[i]), after.walk[j]
                if start_s > before.stamp_s + _SAME_S:
                    m, P, _ = smoothing.predict(m, P, w, np.full(len(rows), start_s - before.stamp_s))
                ahead, ahead_cov, gain = smoothing.predict(m, P, w, np.full(len(rows), after.stamp_s - start_s))
                C[rows], offset[rows] = gain, m - (gain @ ahead[..., None])[..., 0]
                spread[rows] = P - gain @ ahead_cov @ np.swapaxes(gain, -1, -2)
            state, A = offset + (C @ state[..., None])[..., 0], C @ A
            noise = spread + C @ noise @ np.swapaxes(C, -1, -2)
            after = before
        noise = 0.5 * (noise + np.swapaxes(noise, -1, -2))
        box = np.full((n, 4), np.nan)
        rows, i, _ = _common(key, after.key, after.key)
        box[rows] = after.box[i]
        return Past(state[:, :3], A[:, :3], noise[:, :3, :3], box)


def _common(key: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Which rows of `key` are in all others, and where there; all rise."""
    places, there = [], np.ones(len(key), bool)
    for other in others:
        place = np.minimum(np.searchsorted(other, key), max(len(other) - 1, 0))
        there &= (other[place] == key) if len(other) else False
        places.append(place)
    return np.flatnonzero(there), *(p[there] for p in places)


def _backward(n: int, dt_s: float, walk: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steady motion backward: C, the offset and the covariance of a track that was not there yet."""
    C = np.broadcast_to(np.eye(6), (n, 6, 6)).copy()
    at = np.arange(3)
    C[:, at, at + 3] = -dt_s
    _, spread, _ = smoothing.predict(np.zeros((1, 6)), 1e-9 * np.eye(6)[None], walk[None], np.array([dt_s]))
    spread[:, :3, 3:] *= -1.0
    spread[:, 3:, :3] *= -1.0
    return C, np.zeros((n, 6)), np.repeat(spread, n, axis=0)


def update(
    estimates: kalman.Estimates, mean: np.ndarray, past: Past, measured_m: np.ndarray, noise: np.ndarray
) -> tuple[kalman.Estimates, np.ndarray]:
    """Corrects estimates by positions at an earlier time, in Joseph's form.

    Args:
        estimates: N tracks now.
        mean: (N, 6) over the models, x_now of `past`.
        past: Where they were at that time.
        measured_m: (N, 3) where they were seen.
        noise: (N, 3, 3) of that.

    Returns:
        New estimates, and the gains (N, 3, 3) on the position now, over the models.
    """
    positions, S = past.of_models(estimates.mean, estimates.cov, mean)
    innovation, S = measured_m[:, None] - positions, S + noise[:, None]
    squared, log_det = kalman.squared_distances(innovation, S)
    log_weight = np.log(np.maximum(estimates.weight, 1e-12)) - 0.5 * (squared + log_det)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    A = past.A[:, None]
    gain = np.swapaxes(np.linalg.solve(S, A @ estimates.cov), -1, -2)
    new = estimates.mean + (gain @ innovation[..., None])[..., 0]
    keep = np.eye(6) - gain @ A
    total = (past.noise + noise)[:, None]
    cov = keep @ estimates.cov @ np.swapaxes(keep, -1, -2) + gain @ total @ np.swapaxes(gain, -1, -2)
    new = kalman.Estimates(new, 0.5 * (cov + np.swapaxes(cov, -1, -2)), weight)
    return new, np.einsum("nk,nkij->nij", weight, gain[..., :3, :])


class Anchors:
    """States at their last observation of tracks that the slow lane was the last to see.

    Nothing has been measured since, so a late observation takes them on in order, each model by itself: what the
    smoother of all models together would make of several seconds without an observation is much less sure.
    """

    def __init__(self, models: kalman.MotionModels):
        self._models = models
        self._of: dict[int, tuple[float, kalman.Estimates]] = {}

    def keep(self, key: np.ndarray, stamp_s: float, estimates: kalman.Estimates) -> None:
        """Takes the states at `stamp_s` of tracks (n,)."""
        for row, one in enumerate(key.tolist()):
            self._of[one] = (stamp_s, estimates.take(slice(row, row + 1)))

    def drop(self, key: int) -> None:
        """Forgets a track."""
        self._of.pop(key, None)

    def at(self, stamp_s: float, key: np.ndarray, last_s: np.ndarray) -> tuple[np.ndarray, kalman.Estimates | None]:
        """Which of the tracks (N,), last seen at (N,), were not seen since their anchors, and their states then."""
        rows, states = [], []
        for row, (one, seen_s) in enumerate(zip(key.tolist(), last_s.tolist(), strict=True)):
            anchor = self._of.get(one)
            if anchor is not None and seen_s - _SAME_S <= anchor[0] <= stamp_s:
                rows.append(row)
                states.append(self.moved(anchor[1], stamp_s - anchor[0]))
        if not rows:
            return np.zeros(0, int), None
        return np.array(rows), kalman.Estimates(*(np.concatenate(a) for a in zip(*map(_arrays, states), strict=True)))

    def moved(self, estimates: kalman.Estimates, dt_s: float) -> kalman.Estimates:
        """The states `dt_s` seconds later."""
        return kalman.predict(estimates, dt_s, self._models) if dt_s > _SAME_S else estimates


def _arrays(estimates: kalman.Estimates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return estimates.mean, estimates.cov, estimates.weight


class SlowLane:
    """How often the slow lane speaks and how late it is, learned from its last calls.

    Args:
        late_s: No interval counts as longer than this.
    """

    def __init__(self, late_s: float):
        self._late_s = late_s
        self._newest_s = -np.inf
        self._intervals_s: deque[float] = deque(maxlen=8)
        self._delays_s: deque[float] = deque(maxlen=8)

    def __bool__(self) -> bool:
        """Whether it has ever spoken."""
        return len(self._delays_s) > 0

    def heard(self, stamp_s: float, now_s: float) -> None:
        """Takes the stamp of what came in at `now_s`."""
        self._delays_s.append(now_s - stamp_s)
        if np.isfinite(self._newest_s) and stamp_s > self._newest_s:
            self._intervals_s.append(min(stamp_s - self._newest_s, self._late_s))
        self._newest_s = max(self._newest_s, stamp_s)

    def patience_s(self, intervals: float, least_s: float) -> float:
        """How long after its last late observation a track may still be waited for.

        Args:
            intervals: Number of observations that may be missing.
            least_s: Shortest interval to go by; before the second call the delay stands for the interval.
        """
        interval_s = float(np.median(self._intervals_s)) if self._intervals_s else max(self._delays_s)
        return intervals * max(interval_s, least_s) + max(self._delays_s)
