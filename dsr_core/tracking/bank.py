"""The tracker's arrays: one row a live track, and one row an observation."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from dsr_core.tracking import filter as kalman
from dsr_core.values import Observation


@dataclass(eq=False)
class Bank:
    """All live tracks as arrays of one row a track, oldest first."""

    model_mean: np.ndarray  # (N, K, 6)
    model_cov: np.ndarray  # (N, K, 6, 6)
    model_weight: np.ndarray  # (N, K)
    mean: np.ndarray  # (N, 6) over the models
    cov: np.ndarray  # (N, 6, 6) over the models
    noise: np.ndarray  # (N, 3, 3) of the newest measurement
    orientation: np.ndarray  # (N, 4)
    orientation_var: np.ndarray  # (N,)
    votes: np.ndarray  # (N, 2)
    size: np.ndarray  # (N, 3)
    size_count: np.ndarray  # (N,)
    box: np.ndarray  # (N, 4)
    score: np.ndarray  # (N,) of the newest observation, 0 where not seen
    score_mean: np.ndarray  # (N,)
    score_least: np.ndarray  # (N,)
    label: np.ndarray  # (N, 2) numbers of label and group that the fast lane calls it by
    label_votes: np.ndarray  # (N, L) sums of the fast lane's scores
    late_votes: np.ndarray  # (N, L) the same of the slow lane
    name: np.ndarray  # (N,) number of the label that both lanes make of it
    upstream: np.ndarray  # (N,) number of the upstream id, -1 for none
    first_s: np.ndarray  # (N,)
    last_s: np.ndarray  # (N,)
    hits: np.ndarray  # (N,)
    frames: np.ndarray  # (N,) since the birth
    misses: np.ndarray  # (N,) in a row
    evidence: np.ndarray  # (N,) log-likelihood that the hits belong together
    observed: np.ndarray  # (N,) bool
    confirmed: np.ndarray  # (N,) bool
    serial: np.ndarray  # (N,) id as a number, 0 while tentative
    key: np.ndarray  # (N,) internal number, never reused, rising
    since_s: np.ndarray  # (N,) no sample is older
    slow: np.ndarray  # (N,) bool, begun by the slow lane
    late_s: np.ndarray  # (N,) newest late observation, -inf without
    late_score: np.ndarray  # (N,) of a late observation since the last sample, NaN without
    fast_share: np.ndarray  # (N, 3, 3) how much of the fast lane's systematic error is in the position
    late_noise: np.ndarray  # (N, 3, 3) variance of the slow lane's that is
    state_cov: np.ndarray  # (N, 21) `cov` as the smoother has it
    before: np.ndarray  # (N, 6) `mean` as in the newest sample
    walks: np.ndarray  # (N, K, 2) of the newest prediction
    walk: np.ndarray  # (N, 2) over the models
    lag_gain: np.ndarray  # (N, L, 3, 6) of each sample within the lag, zeros before the birth
    lag_position: np.ndarray  # (N, L, 3) smoothed
    lag_cov: np.ndarray  # (N, L, 3, 3) of it

    def __len__(self) -> int:
        return len(self.mean)

    @classmethod
    def empty(cls, models: int) -> Bank:
        shapes = {"model_mean": (models, 6), "model_cov": (models, 6, 6), "model_weight": (models,), "noise": (3, 3)}
        shapes |= {"mean": (6,), "cov": (6, 6), "orientation": (4,), "votes": (2,), "size": (3,), "box": (4,)}
        shapes |= {"label": (2,), "state_cov": (21,), "walk": (2,), "before": (6,), "walks": (models, 2)}
        shapes |= {"label_votes": (0,), "late_votes": (0,), "fast_share": (3, 3), "late_noise": (3, 3)}
        shapes |= {"lag_gain": (0, 3, 6), "lag_position": (0, 3), "lag_cov": (0, 3, 3)}
        kinds = dict.fromkeys(("label", "name", "upstream", "hits", "frames", "misses", "serial", "key"), int)
        kinds |= {"observed": bool, "confirmed": bool, "slow": bool, "state_cov": np.float32, "walk": np.float32}
        return cls(**{f.name: np.zeros((0, *shapes.get(f.name, ())), kinds.get(f.name, float)) for f in fields(cls)})

    def keep(self, part: np.ndarray) -> None:
        index, arrays = np.flatnonzero(part), self.__dict__
        for name, array in arrays.items():
            arrays[name] = array.take(index, axis=0)

    def estimates(self, part: np.ndarray | slice = slice(None)) -> kalman.Estimates:
        return kalman.Estimates(self.model_mean[part], self.model_cov[part], self.model_weight[part])

    def set_estimates(self, new: kalman.Estimates, part: np.ndarray | slice = slice(None)) -> None:
        self.model_mean[part], self.model_cov[part], self.model_weight[part] = new.mean, new.cov, new.weight
        self.mean[part], self.cov[part] = new.combined()

    def append(self, **rows: np.ndarray) -> None:
        arrays = self.__dict__
        for name, array in arrays.items():
            arrays[name] = np.concatenate([array, rows[name]])


@dataclass(eq=False)
class Seen:
    """A frame's usable observations as arrays."""

    position: np.ndarray  # (M, 3)
    cov: np.ndarray  # (M, 3, 3)
    score: np.ndarray  # (M,)
    size: np.ndarray  # (M, 3)
    orientation: np.ndarray  # (M, 4)
    orientation_sigma: np.ndarray  # (M,)
    box: np.ndarray  # (M, 4)
    label: np.ndarray  # (M, 2)
    upstream: np.ndarray  # (M,)

    @classmethod
    def of(
        cls,
        observations: list[Observation],
        position: np.ndarray,
        cov: np.ndarray,
        labels: list[tuple[int, int]],
        upstream: list[int],
    ) -> Seen:
        """Observations as arrays, with their places and the numbers of their labels and upstream ids."""

        def rows(name: str, shape: tuple[int, ...]) -> np.ndarray:
            unknown = np.full(shape, np.nan)
            values = [getattr(o, name) for o in observations]
            return np.array([unknown if v is None else v for v in values], float).reshape(-1, *shape)

        return cls(
            position=position,
            cov=cov,
            score=rows("score", ()),
            size=rows("size_lwh_m", (3,)),
            orientation=rows("orientation_world_xyzw", (4,)),
            orientation_sigma=np.maximum(rows("orientation_sigma_rad", ()), 0.01),
            box=rows("box_px", (4,)),
            label=np.array(labels, int).reshape(-1, 2),
            upstream=np.array(upstream, int),
        )

    def association_arrays(self, part: np.ndarray) -> dict[str, np.ndarray]:
        return {n: getattr(self, n).take(part, axis=0) for n in ("position", "cov", "label", "size", "upstream", "box")}
