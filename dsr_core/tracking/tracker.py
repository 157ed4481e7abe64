"""Observations to tracks with stable ids: predict, associate, correct, begin, confirm, end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr_core import smoothing
from dsr_core.errors import TrackingError
from dsr_core.tracking import association, heading
from dsr_core.tracking import filter as kalman
from dsr_core.tracking.bank import Bank, Seen
from dsr_core.tracking.config import TrackerConfig
from dsr_core.tracking.state import Finals, TrackSamples, TrackState
from dsr_core.values import Observation


class Tracker:
    """Tracks observations of one continuous world frame; deterministic.

    Args:
        config: Constants; None takes the defaults.
    """

    def __init__(self, config: TrackerConfig | None = None):
        self.config = config = config or TrackerConfig()
        self._models = config.motion_models()
        self.clear()

    def clear(self) -> None:
        """Forgets everything; ids begin at "1" again."""
        self._bank = Bank.empty(len(self._models))
        self._labels = association.Labels(self.config.label_groups)
        self._label_votes: dict[int, dict[str, float]] = {}
        self._pending: dict[int, list[tuple[TrackSamples, int]]] = {}
        self._upstream: dict[str, int] = {}
        self._newest_s: float | None = None
        self._lag_stamps_s: list[float] = []
        self._next_serial, self._next_key = 1, 1

    def step(self, stamp_s: float, observations: tuple[Observation, ...]) -> TrackSamples:
        """Takes one frame's observations; an empty tuple is a frame in which nothing was seen.

        Args:
            stamp_s: Seconds on the scene's clock.
            observations: What was seen, in the world.

        Returns:
            The samples that this frame adds to confirmed tracks.

        Raises:
            TrackingError: the stamp does not increase.
        """
        if self._newest_s is not None and stamp_s <= self._newest_s:
            raise TrackingError(
                f"stamp {stamp_s:.6f} s does not follow {self._newest_s:.6f} s; clear() where the clock jumped back"
            )
        self._predict(stamp_s)
        seen = self._usable(observations)
        pairs, evidence = self._associate(seen)
        self._correct(seen, pairs, evidence, stamp_s)
        self._end_tentative()
        self._begin(seen, pairs, stamp_s)
        finals = self._smooth(stamp_s)
        self._newest_s = stamp_s
        return replace(self._confirm_and_emit(stamp_s), finals=finals)

    def states(self) -> list[TrackState]:
        """The newest states of the confirmed tracks, oldest track first."""
        b, c = self._bank, self.config
        cov = self._honest_covariances()
        is_moving = kalman.moving(b.mean, cov, c.moving_speed_mps, c.moving_sigmas)
        return [
            TrackState(
                id=str(b.serial[i]),
                label=self._label(i),
                score=float(b.score_mean[i]),
                position_world_m=b.mean[i, :3].copy(),
                velocity_world_mps=b.mean[i, 3:].copy(),
                covariance=cov[i],
                orientation_world_xyzw=_canonical(b.orientation[i]),
                orientation_sigma_rad=float(np.sqrt(b.orientation_var[i])),
                size_lwh_m=b.size[i].copy(),
                observed=bool(b.observed[i]),
                first_seen_s=float(b.first_s[i]),
                last_seen_s=float(b.last_s[i]),
                samples=int(b.hits[i]),
                moving=bool(is_moving[i]),
            )
            for i in np.flatnonzero(b.confirmed)
        ]

    def _predict(self, stamp_s: float) -> None:
        b, c = self._bank, self.config
        if self._newest_s is None:
            return
        # A nanosecond stamp in float seconds carries rounding, hence the microsecond.
        alive = stamp_s - b.last_s <= np.where(b.confirmed, c.max_coast_s, c.tentative_coast_s) + 1e-6
        self._drop(~alive)
        dt_s = stamp_s - self._newest_s
        b.walks, b.before = kalman.walks(b.estimates(), dt_s, self._models), b.mean.copy()
        b.set_estimates(kalman.predict(b.estimates(), dt_s, self._models))
        b.orientation_var = b.orientation_var + c.heading_density * dt_s
        b.frames = b.frames + 1

    def _usable(self, observations: tuple[Observation, ...]) -> Seen:
        c = self.config
        used = [
            o
            for o in observations
            if o.score >= c.low_score
            and np.isfinite(o.position_world_m).all()
            and np.isfinite(o.covariance_world).all()
        ]
        seen = Seen.of(used, [self._labels.number(o.label) for o in used], [self._upstream_number(o.id) for o in used])
        seen.cov += np.eye(3) * c.min_measurement_sigma_m**2
        return seen

    def _upstream_number(self, upstream_id: str) -> int:
        return self._upstream.setdefault(upstream_id, len(self._upstream)) if upstream_id else -1

    def _associate(self, seen: Seen) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (P, 2) of track and observation, and their evidence (P,): high scores first, then low ones."""
        b, c = self._bank, self.config
        high = np.flatnonzero(seen.score >= c.high_score)
        low = np.flatnonzero(seen.score < c.high_score)
        first, first_evidence = self._assign(np.arange(len(b)), seen, high)
        left = b.confirmed.copy()
        left[first[:, 0]] = False
        if not len(low) or not left.any():
            return first, first_evidence
        second, second_evidence = self._assign(np.flatnonzero(left), seen, low)
        return np.concatenate([first, second]), np.concatenate([first_evidence, second_evidence])

    def _assign(self, tracks: np.ndarray, seen: Seen, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        names = ("model_mean", "model_cov", "model_weight", "label", "size", "upstream")
        arrays = {n: getattr(self._bank, n)[tracks] for n in names}
        pairs, evidence = association.assign(arrays, seen.association_arrays(part), self.config)
        return np.stack([tracks[pairs[:, 0]], part[pairs[:, 1]]], axis=1), evidence

    def _correct(self, seen: Seen, pairs: np.ndarray, evidence: np.ndarray, stamp_s: float) -> None:
        b, c = self._bank, self.config
        i, j = pairs.T
        b.observed = np.zeros(len(b), bool)
        b.observed[i] = True
        b.misses = np.where(b.observed, 0, b.misses + 1)
        b.box, b.score = np.full((len(b), 4), np.nan), np.zeros(len(b))
        if len(i):
            dt_s = stamp_s - b.last_s[i]
            b.set_estimates(kalman.update(b.estimates(i), seen.position[j], seen.cov[j]), i)
            b.noise[i] = seen.cov[j]
            b.box[i], b.score[i] = seen.box[j], seen.score[j]
            b.score_mean[i] += (seen.score[j] - b.score_mean[i]) / np.minimum(b.hits[i] + 1, c.size_memory)
            b.score_least[i] = np.minimum(b.score_least[i], seen.score[j])
            self._correct_size(seen, i, j)
            b.hits[i] += 1
            b.evidence[i] += evidence
            b.last_s[i] = stamp_s
            b.upstream[i] = np.where(seen.upstream[j] >= 0, seen.upstream[j], b.upstream[i])
            is_moving = kalman.moving(b.mean[i], b.cov[i], c.heading_motion_speed_mps, c.moving_sigmas)
            b.orientation[i], b.orientation_var[i], b.votes[i] = heading.update(
                b.orientation[i],
                b.orientation_var[i],
                b.votes[i],
                seen.orientation[j],
                seen.orientation_sigma[j],
                b.mean[i, 3:],
                is_moving,
                c.heading_motion_weight,
                np.exp(-dt_s / c.heading_vote_s),
            )
            for row, column in pairs:
                self._vote_label(row, seen.names[column], seen.score[column])

    def _correct_size(self, seen: Seen, i: np.ndarray, j: np.ndarray) -> None:
        """Running mean with steps clipped to 20 %, so that one wrong box does not change the size."""
        b = self._bank
        measured = seen.size[j]
        given, known = np.isfinite(measured).all(axis=1), np.isfinite(b.size[i]).all(axis=1)
        first, again = i[given & ~known], i[given & known]
        b.size[first], b.size_count[first] = measured[given & ~known], 1.0
        if len(again):
            old = b.size[again]
            b.size_count[again] = np.minimum(b.size_count[again] + 1, self.config.size_memory)
            step = np.clip(measured[given & known] - old, -0.2 * old, 0.2 * old)
            b.size[again] = old + step / b.size_count[again, None]

    def _vote_label(self, row: int, name: str, score: float) -> None:
        """Adds a vote; the label changes when another one has clearly more."""
        b = self._bank
        votes = self._label_votes[int(b.key[row])]
        votes[name] = votes.get(name, 0.0) + float(score)
        if len(votes) > 1:
            held = self._labels.name(b.label[row, 0])
            best = max(votes, key=lambda n: (votes[n], n == held))
            if votes[best] > 1.2 * votes[held]:
                b.label[row] = self._labels.number(best)

    def _label(self, row: int) -> str:
        return self._labels.name(self._bank.label[row, 0])

    def _end_tentative(self) -> None:
        b, c = self._bank, self.config
        spare = c.confirm_window - c.confirm_hits
        thin = (b.frames >= c.confirm_window) & (b.hits * c.confirm_window < c.confirm_hits * b.frames)
        self._drop(~b.confirmed & ((b.misses > spare) | thin))

    def _drop(self, gone: np.ndarray) -> None:
        b = self._bank
        if gone.any():
            for key in b.key[gone].tolist():
                self._label_votes.pop(key, None)
                self._pending.pop(key, None)
            b.keep(~gone)

    def _begin(self, seen: Seen, pairs: np.ndarray, stamp_s: float) -> None:
        b, c = self._bank, self.config
        free = seen.score >= c.high_score
        free[pairs[:, 1]] = False
        free = np.flatnonzero(free)
        if not len(free):
            return
        taken_at, taken_group = [*b.mean[b.observed, :3]], [*b.label[b.observed, 1]]
        chosen = []
        for j in free[np.argsort(-seen.score[free], kind="stable")]:
            known = np.isfinite(seen.size[j]).all()
            width = np.min(seen.size[j, :2]) if known else 2 * np.sqrt(np.trace(seen.cov[j]) / 3)
            if taken_at:
                near = np.linalg.norm(np.array(taken_at) - seen.position[j], axis=1) < c.birth_exclusion * width
                if np.any(near & (np.array(taken_group) == seen.label[j, 1])):
                    continue
            if len(b) + len(chosen) >= c.max_tracks:
                break
            chosen.append(j)
            taken_at.append(seen.position[j])
            taken_group.append(seen.label[j, 1])
        if not chosen:
            return
        j = np.array(sorted(chosen), int)
        n = len(j)
        born = kalman.birth(seen.position[j], seen.cov[j], self._models)
        mean, cov = born.combined()
        known = np.isfinite(seen.orientation[j]).all(axis=1)
        key = self._next_key + np.arange(n)
        self._next_key += n
        b.append(
            model_mean=born.mean,
            model_cov=born.cov,
            model_weight=born.weight,
            mean=mean,
            cov=cov,
            noise=seen.cov[j],
            orientation=np.where(known[:, None], seen.orientation[j], np.nan),
            orientation_var=np.where(known, seen.orientation_sigma[j] ** 2, np.nan),
            votes=np.where(known[:, None], 1.0, 0.0) * np.ones((n, 2)),
            size=seen.size[j],
            size_count=np.isfinite(seen.size[j]).all(axis=1).astype(float),
            box=seen.box[j],
            score=seen.score[j],
            score_mean=seen.score[j],
            score_least=seen.score[j],
            label=seen.label[j],
            upstream=seen.upstream[j],
            first_s=np.full(n, stamp_s),
            last_s=np.full(n, stamp_s),
            hits=np.ones(n, int),
            frames=np.ones(n, int),
            misses=np.zeros(n, int),
            evidence=np.zeros(n),
            observed=np.ones(n, bool),
            confirmed=np.zeros(n, bool),
            serial=np.zeros(n, int),
            key=key,
            state_cov=smoothing.packed(cov),
            walk=np.zeros((n, 2), np.float32),
            walks=np.zeros((n, len(self._models), 2)),
            before=mean,
            lag_gain=np.zeros((n, *b.lag_gain.shape[1:])),
            lag_position=np.zeros((n, *b.lag_position.shape[1:])),
            lag_cov=np.zeros((n, *b.lag_cov.shape[1:])),
        )
        for number, column in zip(key.tolist(), j, strict=True):
            self._label_votes[number] = {seen.names[column]: float(seen.score[column])}
            self._pending[number] = []

    def _smooth(self, stamp_s: float) -> Finals:
        """Corrects the samples within the lag by this frame, and returns those of confirmed tracks that are final."""
        b, lag_s = self._bank, self.config.smoothing_lag_s
        old = b.first_s < stamp_s
        if old.any():
            b.walk = np.einsum("nk,nks->ns", b.model_weight, b.walks).astype(np.float32)
            dt_s = np.full(len(b), stamp_s - self._newest_s)
            mean, cov, step = smoothing.predict(b.before, smoothing.unpacked(b.state_cov), b.walk, dt_s)
            b.state_cov = smoothing.packed(b.cov)
            shrunk = smoothing.unpacked(b.state_cov) - cov
            b.lag_gain = smoothing.carry(b.lag_gain, step)
            smoothing.correct(b.lag_gain, b.lag_position, b.lag_cov, b.mean - mean, shrunk)
        done = int(np.count_nonzero(smoothing.is_final(np.array(self._lag_stamps_s), stamp_s, lag_s)))
        finals = Finals([], [], [], [])
        for slot in range(done):
            age, cov = len(self._lag_stamps_s) - slot, smoothing.packed(b.lag_cov[:, slot])
            for row in np.flatnonzero(b.first_s <= self._lag_stamps_s[slot]).tolist():
                if b.confirmed[row]:
                    finals.ids.append(str(b.serial[row]))
                    finals.ages.append(age)
                    finals.positions_m.append(b.lag_position[row, slot])
                    finals.covariances.append(cov[row])
                else:
                    samples, at = self._pending[int(b.key[row])][-age]
                    samples.final_positions_m[at], samples.final_covariances[at] = b.lag_position[row, slot], cov[row]
        newest_gain = np.zeros((len(b), 1, 3, 6))
        newest_gain[..., :3] = np.eye(3)
        b.lag_gain = np.concatenate([b.lag_gain[:, done:], newest_gain], axis=1)
        b.lag_position = np.concatenate([b.lag_position[:, done:], b.mean[:, None, :3]], axis=1)
        b.lag_cov = np.concatenate([b.lag_cov[:, done:], self._honest_covariances()[:, None, :3, :3]], axis=1)
        self._lag_stamps_s = [*self._lag_stamps_s[done:], stamp_s]
        return finals

    def _confirm_and_emit(self, stamp_s: float) -> TrackSamples:
        """Confirms what has earned it, and returns this frame's samples with those that confirmed tracks had before."""
        b, c = self._bank, self.config
        samples = self._samples(stamp_s)
        age_s = stamp_s - b.first_s + 1e-6
        earned = (
            (b.hits >= c.confirm_hits)
            & (b.hits * c.confirm_window >= c.confirm_hits * b.frames)
            & (age_s >= c.confirm_s)
            & (b.score_mean >= c.confirm_score)
            & (b.evidence >= c.confirm_evidence)
        )
        sure = (
            (b.hits >= c.sure_hits)
            & (b.hits == b.frames)
            & (age_s >= c.confirm_s / 2)
            & (b.score_least >= c.sure_score)
            & (b.evidence >= c.confirm_evidence / 2)
        )
        earned = (earned | sure) & ~b.confirmed & b.observed
        parts = []
        for row in np.flatnonzero(earned):
            b.confirmed[row], b.serial[row] = True, self._next_serial
            self._next_serial += 1
            samples.ids[row] = str(b.serial[row])
            earlier = self._pending.pop(int(b.key[row]))
            for old, old_row in earlier:
                part = old.take(np.array([old_row]))
                part.ids[0], part.labels[0] = samples.ids[row], samples.labels[row]
                parts.append(part)
        for row in np.flatnonzero(~b.confirmed):
            self._pending[int(b.key[row])].append((samples, int(row)))
        return TrackSamples.joined([*parts, samples.take(np.flatnonzero(b.confirmed))])

    def _honest_covariances(self) -> np.ndarray:
        """(N, 6, 6) with the part of the noise that stays the same from frame to frame, which no filter removes."""
        b, c = self._bank, self.config
        cov = b.cov.copy()
        cov[:, :3, :3] += c.systematic_fraction * b.noise
        cov[:, 3:, 3:] += c.systematic_fraction / c.systematic_s**2 * b.noise
        return cov

    def _samples(self, stamp_s: float) -> TrackSamples:
        b = self._bank
        return TrackSamples(
            ids=[str(s) for s in b.serial],
            labels=[self._label(i) for i in range(len(b))],
            stamps_s=np.full(len(b), stamp_s),
            positions_world_m=b.mean[:, :3].copy(),
            covariances=self._honest_covariances()[:, :3, :3],
            velocities=b.mean[:, 3:].copy(),
            orientations_xyzw=_canonical(b.orientation),
            orientation_sigmas_rad=np.sqrt(b.orientation_var),
            sizes_lwh_m=b.size.copy(),
            boxes_px=b.box,
            scores=b.score,
            observed=b.observed,
            state_covariances=b.state_cov,
            walk=b.walk,
            final_positions_m=np.full((len(b), 3), np.nan),
            final_covariances=np.full((len(b), 6), np.nan, np.float32),
            smoothing_lag_s=self.config.smoothing_lag_s,
        )


def _canonical(q: np.ndarray) -> np.ndarray:
    """The same rotations with w >= 0."""
    return np.where(q[..., 3:] < 0, -q, q)
