"""Fixed-lag smoothing of tracks: what a filter said at a time, corrected by what was seen within the lag after it.

A sample is final once its track is `lag_s` older; until then it is smoothed with all that is known. So a view of a
track that ends at second t uses nothing later than t, and is the same whether it is taken at t or later.

The smoother is that of Rauch, Tung and Striebel (1965), for what becomes final in its fixed-lag form (Anderson and
Moore, "Optimal Filtering", 7.3): with C_i = P_i F' (F P_i F' + Q)^-1 and J_kj = C_k ... C_(j-1), what moves the
filter's estimate at j by d moves the estimate at k by J_kj d. Between two samples position and velocity walk at random,
as strongly as the filter's models have them walk, by the models' weights after the second one; so several models need
no smoother each.

Shapes: N tracks (or steps of one), L samples within the lag, T samples of a track; states are position and velocity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dsr_core.geometry import transforms as tf

#: A nanosecond stamp in float seconds carries rounding.
_SAME_S = 1e-6
_TRIANGLES = {n * (n + 1) // 2: (n, *np.triu_indices(n)) for n in (3, 6)}


def packed(symmetric: np.ndarray) -> np.ndarray:
    """Upper triangles (..., 21) or (..., 6) of matrices (..., 6, 6) or (..., 3, 3), in single precision."""
    n = symmetric.shape[-1]
    _, i, j = _TRIANGLES[n * (n + 1) // 2]
    return symmetric[..., i, j].astype(np.float32)


def unpacked(triangles: np.ndarray) -> np.ndarray:
    """Symmetric matrices (..., 6, 6) or (..., 3, 3) of upper triangles (..., 21) or (..., 6), in double precision."""
    n = _TRIANGLES[triangles.shape[-1]][0]
    return triangles.take(_SQUARES[triangles.shape[-1]], axis=-1).astype(float).reshape(*triangles.shape[:-1], n, n)


def _squares(n: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """(n^2,) which entry of an upper triangle each entry of the matrix is, row by row."""
    at = np.empty((n, n), int)
    at[i, j] = at[j, i] = np.arange(len(i))
    return at.ravel()


_SQUARES = {size: _squares(*triangle) for size, triangle in _TRIANGLES.items()}


def is_final(stamps_s: np.ndarray, newest_s: float, lag_s: float) -> np.ndarray:
    """(T,) bool, whether samples at `stamps_s` (T,) of a track whose newest one is at `newest_s` are final."""
    return stamps_s + lag_s <= newest_s + _SAME_S


def predict(mean, cov, walk, dt_s) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States (N, 6), covariances (N, 6, 6) after `dt_s` (N,) seconds, and the smoother's gains C (N, 6, 6)."""
    position, velocity = np.moveaxis(np.asarray(walk, float), -1, 0)
    predicted_mean, predicted = mean.copy(), _moved(cov, dt_s)
    predicted_mean[:, :3] += dt_s[:, None] * mean[:, 3:]
    at = np.arange(3)
    predicted[:, at, at] += (position * dt_s + velocity * dt_s**3 / 3.0)[:, None]
    predicted[:, at, at + 3] += (velocity * dt_s**2 / 2.0)[:, None]
    predicted[:, at + 3, at] += (velocity * dt_s**2 / 2.0)[:, None]
    predicted[:, at + 3, at + 3] += (velocity * dt_s)[:, None]
    ahead = cov.copy()  # F P, whose transpose is P F'
    ahead[:, :3] += dt_s[:, None, None] * cov[:, 3:]
    return predicted_mean, predicted, np.swapaxes(np.linalg.solve(predicted, ahead), -1, -2)


def correct(gains, positions_m, covariances, moved, shrunk) -> None:
    """Corrects smoothed positions (N, L, 3) and their covariances (N, L, 3, 3) in place.

    Args:
        gains: (N, L, 3, 6) position rows of J.
        moved: (N, 6) by how much the newest state differs from its prediction.
        shrunk: (N, 6, 6) by how much its covariance does.
    """
    n, count = gains.shape[:2]
    flat = gains.reshape(n, 3 * count, 6)
    positions_m += (flat @ moved[:, :, None]).reshape(n, count, 3)
    covariances += (flat @ shrunk).reshape(n, count, 3, 6) @ np.swapaxes(gains, -1, -2)


def carry(gains: np.ndarray, step: np.ndarray) -> np.ndarray:
    """J (N, L, 3, 6) one step further, J C, by the step's C (N, 6, 6)."""
    n, count = gains.shape[:2]
    return (gains.reshape(n, 3 * count, 6) @ step).reshape(n, count, 3, 6)


def _moved(cov: np.ndarray, dt_s: np.ndarray) -> np.ndarray:
    """F P F' of covariances (N, 6, 6) for steps of `dt_s` (N,) seconds."""
    dt_s = dt_s[:, None, None]
    out, cross = cov.copy(), cov[:, :3, 3:] + dt_s * cov[:, 3:, 3:]
    out[:, :3, :3] += dt_s * (cross + np.swapaxes(cov[:, :3, 3:], -1, -2))
    out[:, :3, 3:], out[:, 3:, :3] = cross, np.swapaxes(cross, -1, -2)
    return out


@dataclass(frozen=True, eq=False)
class Smoothing:
    """What smooths one track: the filter's own estimates, and the smoothed samples that are final.

    Attributes:
        lag_s: How much later data may correct a sample, seconds.
        stamps_s: (T,) of all samples.
        positions_m: (T, 3) of the filter, in the world.
        velocities_mps: (T, 3) of the filter.
        covariances: (T, 3, 3) reported for the positions: the filter's and what no filter removes.
        state_covariances: (T, 21) the filter's own, of position and velocity (`packed`).
        walk: (T, 2) strengths of the random walks on the way to each sample, m^2/s of the position and m^2/s^3 of the
            velocity.
        final_positions_m: (T, 3) smoothed; what is not final yet is not read.
        final_covariances: (T, 6) of them (`packed`).
    """

    lag_s: float
    stamps_s: np.ndarray
    positions_m: np.ndarray
    velocities_mps: np.ndarray
    covariances: np.ndarray
    state_covariances: np.ndarray
    walk: np.ndarray
    final_positions_m: np.ndarray
    final_covariances: np.ndarray

    def __len__(self) -> int:
        return len(self.stamps_s)

    def until(self, end_s: float) -> Smoothing:
        """The samples until `end_s`, smoothed with nothing later than that."""
        count = int(np.searchsorted(self.stamps_s, end_s, "right"))
        if count == len(self):
            return self
        return replace(self, **{name: getattr(self, name)[:count] for name in _SAMPLED})

    def positions(self, rows: np.ndarray | range) -> np.ndarray:
        """Smoothed positions (N, 3) of the samples `rows` (N,) int, metres."""
        if isinstance(rows, range):
            if rows.step == 1 and rows.stop <= self._finals:
                return self.final_positions_m[rows.start : rows.stop]
            rows = np.asarray(rows)
        return self._gathered(self.final_positions_m[rows], rows, 0)

    def covariances_of(self, rows: np.ndarray | range) -> np.ndarray:
        """Covariances (N, 3, 3) of the smoothed positions of the samples `rows` (N,) int, square metres."""
        if isinstance(rows, range):
            if rows.step == 1 and rows.stop <= self._finals:
                return unpacked(self.final_covariances[rows.start : rows.stop])
            rows = np.asarray(rows)
        return self._gathered(unpacked(self.final_covariances[rows]), rows, 1)

    def packed_covariance(self, row: int) -> np.ndarray:
        """Covariance (6,) of one smoothed position (`packed`)."""
        if row < self._finals:
            return self.final_covariances[row]
        return packed(self._tail[1][row - self._finals])

    def _gathered(self, out: np.ndarray, rows: np.ndarray, which: int) -> np.ndarray:
        late = rows >= self._finals
        if late.any():
            out[late] = self._tail[which][rows[late] - self._finals]
        return out

    @cached_property
    def _finals(self) -> int:
        """Number of samples that are final; these come first."""
        return int(np.count_nonzero(is_final(self.stamps_s, self.stamps_s[-1], self.lag_s))) if len(self) else 0

    @cached_property
    def _tail(self) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed positions (L, 3) and covariances (L, 3, 3) of the samples that are not final."""
        part = slice(self._finals, len(self))
        mean = np.concatenate([self.positions_m[part], self.velocities_mps[part]], axis=1)
        cov = unpacked(self.state_covariances[part])
        ahead, ahead_cov, gain = predict(mean[:-1], cov[:-1], self.walk[part][1:], np.diff(self.stamps_s[part]))
        # What each sample says beyond its prediction, covariance and mean side by side; the gains carry it back.
        news = np.concatenate([cov[1:] - ahead_cov, (mean[1:] - ahead)[:, :, None]], axis=2)
        carried, changes = np.zeros((6, 7)), np.zeros((len(mean), 3, 7))
        for k in range(len(mean) - 2, -1, -1):
            carried = gain[k] @ (carried + news[k])
            carried[:, :6] = carried[:, :6] @ gain[k].T
            changes[k] = carried[:3]
        return mean[:, :3] + changes[:, :, 6], self.covariances[part] + changes[:, :, :3]

    def arrays(self) -> dict[str, np.ndarray]:
        """All fields by name, with NaN for what is not final."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("final_positions_m", "final_covariances"):
            out[name] = out[name].copy()
            out[name][self._finals :] = np.nan
        return out | {"lag_s": np.asarray(self.lag_s)}

    def transformed(self, T_new_world: np.ndarray, scale: float) -> Smoothing:
        """The same in another world frame (`T_new_world` (4, 4)), with every length multiplied by `scale`."""
        R = T_new_world[:3, :3]
        both = np.zeros((6, 6))
        both[:3, :3] = both[3:, 3:] = R

        def turned(cov, by):
            return scale**2 * tf.rotate_covariances(by, cov)

        return replace(
            self,
            positions_m=scale * tf.transform_points(T_new_world, self.positions_m),
            velocities_mps=scale * self.velocities_mps @ R.T,
            covariances=turned(self.covariances, R),
            state_covariances=packed(turned(unpacked(self.state_covariances), both)),
            walk=(scale**2 * self.walk).astype(np.float32),
            final_positions_m=scale * tf.transform_points(T_new_world, self.final_positions_m),
            final_covariances=packed(turned(unpacked(self.final_covariances), R)),
        )


#: Fields with one row a sample.
_SAMPLED = tuple(name for name in Smoothing.__dataclass_fields__ if name != "lag_s")
