"""Observations to tracks with stable ids: predict, associate, correct, begin, confirm, end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr_core import smoothing
from dsr_core.errors import TrackingError
from dsr_core.tracking import association, heading, late, names
from dsr_core.tracking import filter as kalman
from dsr_core.tracking.bank import Bank, Seen
from dsr_core.tracking.config import TrackerConfig
from dsr_core.tracking.state import Finals, TrackSamples, TrackState
from dsr_core.values import Observation

_I3 = np.eye(3)


class Tracker:
    """Tracks observations of one continuous world frame; deterministic.

    Args:
        config: Constants; None takes the defaults.
    """

    def __init__(self, config: TrackerConfig | None = None):
        self.config = config = config or TrackerConfig()
        self._models = config.motion_models()
        self._late_models = config.motion_models(config.late_birth_speed_mps)
        self.clear()

    def clear(self) -> None:
        """Forgets everything; ids begin at "1" again."""
        self._bank = Bank.empty(len(self._models))
        self._labels = association.Labels(self.config.label_groups)
        self._pending: dict[int, list[tuple[TrackSamples, int]]] = {}
        self._upstream: dict[str, int] = {}
        self._newest_s: float | None = None
        self._lag_stamps_s: list[float] = []
        self._history, self._slow_lane = late.History(self.config.late_s), late.SlowLane(self.config.late_s)
        self._anchors = late.Anchors(self._models)
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
        honest = self._honest_covariances()[:, :3, :3]
        finals = self._smooth(stamp_s, honest)
        self._newest_s = stamp_s
        b = self._bank
        b.before = b.mean.copy()
        self._history.add(late.Moment(stamp_s, b.key, b.before, b.state_cov, b.walk, b.box))
        return self._confirm_and_emit(stamp_s, honest, finals)

    def correct(self, stamp_s: float, observations: tuple[Observation, ...]) -> None:
        """Takes what a slow lane saw at an earlier time: it corrects the tracks as they are now, not their samples.

        Labels need not agree with those that `step` is given. Upstream ids are not used: each lane may have its own.

        Args:
            stamp_s: Seconds on the scene's clock, not later than the newest frame.
            observations: What was seen then, in the world; empty where the slow lane saw nothing.

        Raises:
            TrackingError: the stamp is later than the newest frame, earlier than the first one or more than `late_s`
                earlier than the newest; nothing changes.
        """
        self._check_late(stamp_s)
        b, c = self._bank, self.config
        seen = self._usable([replace(o, id="") for o in observations])
        # A track was about where it is before it was first seen, if only as surely as things move steadily.
        walk = np.array([c.standing_density, c.cruise_density])
        past = self._history.at(stamp_s, b.key, b.mean, walk)
        mean, cov = past.of_models(b.model_mean, b.model_cov, b.mean)
        weight = b.model_weight.copy()
        anchored, then = self._anchors.at(stamp_s, b.key, b.last_s)
        if then is not None:
            mean[anchored], cov[anchored] = then.mean[..., :3], then.cov[..., :3, :3]
            weight[anchored], past.position_m[anchored] = then.weight, then.combined()[0][:, :3]
        tracks = {"model_mean": mean, "model_cov": cov, "model_weight": weight, "box": past.box}
        tracks |= {"label": b.label, "size": b.size, "upstream": np.full(len(b), -1)}
        everything = seen.association_arrays(np.arange(len(seen.score)))
        pairs, evidence = association.assign(tracks, everything, c, across_groups=True)
        self._correct_late(
            seen, pairs, evidence, stamp_s, self._moved_by_late(seen, past, pairs, anchored, then, stamp_s)
        )
        self._begin_late(seen, past, pairs, stamp_s)
        self._slow_lane.heard(stamp_s, self._newest_s)

    def _check_late(self, stamp_s: float) -> None:
        c, newest_s, first_s = self.config, self._newest_s, self._history.first_s
        if newest_s is None:
            raise TrackingError(f"a late observation at {stamp_s:.3f} s cannot be used before the first frame")
        # A nanosecond stamp in float seconds carries rounding, hence the microseconds.
        if stamp_s > newest_s + 1e-6:
            raise TrackingError(
                f"a late observation at {stamp_s:.3f} s is newer than the newest frame at {newest_s:.3f} s;"
                " give it to step(), or again after a frame of that time"
            )
        if stamp_s < first_s - 1e-6:
            raise TrackingError(
                f"a late observation at {stamp_s:.3f} s is older than the first frame at {first_s:.3f} s;"
                " leave out what was seen before the memory was cleared"
            )
        if stamp_s < newest_s - c.late_s - 1e-6:
            raise TrackingError(
                f"a late observation at {stamp_s:.3f} s is {newest_s - stamp_s:.3f} s older than the newest frame at"
                f" {newest_s:.3f} s; at most late_s = {c.late_s} s are remembered for it"
            )

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
        if self._slow_lane:
            patience_s = self._slow_lane.patience_s(c.late_misses, c.tentative_coast_s / c.late_misses)
            alive |= stamp_s - b.late_s <= patience_s + 1e-6
        self._drop(~alive)
        dt_s = stamp_s - self._newest_s
        b.walks = kalman.walks(b.estimates(), dt_s, self._models)
        b.set_estimates(kalman.predict(b.estimates(), dt_s, self._models))
        b.orientation_var = b.orientation_var + c.heading_density * dt_s
        b.frames = b.frames + ~b.slow

    def _usable(self, observations: tuple[Observation, ...]) -> Seen:
        c = self.config
        used = [o for o in observations if o.score >= c.low_score]
        position = np.array([o.position_world_m for o in used], float).reshape(-1, 3)
        cov = np.array([o.covariance_world for o in used], float).reshape(-1, 3, 3)
        if not (np.isfinite(position).all() and np.isfinite(cov).all()):
            finite = np.flatnonzero(np.isfinite(position).all(axis=1) & np.isfinite(cov).all(axis=(1, 2)))
            used, position, cov = [used[i] for i in finite], position[finite], cov[finite]
        cov += _I3 * c.min_measurement_sigma_m**2
        labels = [self._labels.number(o.label) for o in used]
        seen = Seen.of(used, position, cov, labels, [self._upstream_number(o.id) for o in used])
        b, missing = self._bank, len(self._labels) - self._bank.label_votes.shape[1]
        if missing:
            b.label_votes, b.late_votes = (np.pad(v, ((0, 0), (0, missing))) for v in (b.label_votes, b.late_votes))
        return seen

    def _upstream_number(self, upstream_id: str) -> int:
        return self._upstream.setdefault(upstream_id, len(self._upstream)) if upstream_id else -1

    def _associate(self, seen: Seen) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (P, 2) of track and observation, and their evidence (P,): high scores first, then low ones."""
        pairs, evidence = self._associate_by_score(seen)
        if self._slow_lane:
            more, more_evidence = self._associate_unnamed(seen, pairs)
            pairs, evidence = np.concatenate([pairs, more]), np.concatenate([evidence, more_evidence])
        return pairs, evidence

    def _associate_unnamed(self, seen: Seen, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of what is left: tracks that the slow lane alone has seen match labels of any group."""
        b = self._bank
        tracks = b.slow & (b.label_votes.sum(axis=1) == 0)
        part = seen.score >= self.config.high_score
        tracks[pairs[:, 0]], part[pairs[:, 1]] = False, False
        if not (tracks.any() and part.any()):
            return np.zeros((0, 2), int), np.zeros(0)
        return self._assign(np.flatnonzero(tracks), seen, np.flatnonzero(part), across_groups=True)

    def _associate_by_score(self, seen: Seen) -> tuple[np.ndarray, np.ndarray]:
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

    def _assign(
        self, tracks: np.ndarray, seen: Seen, part: np.ndarray, across_groups: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        fields = ("model_mean", "model_cov", "model_weight", "label", "size", "upstream")
        arrays = {n: getattr(self._bank, n).take(tracks, axis=0) for n in fields}
        if across_groups:
            arrays["box"] = np.full((len(tracks), 4), np.nan)
        pairs, evidence = association.assign(arrays, seen.association_arrays(part), self.config, across_groups)
        return np.stack([tracks[pairs[:, 0]], part[pairs[:, 1]]], axis=1), evidence

    def _correct(self, seen: Seen, pairs: np.ndarray, evidence: np.ndarray, stamp_s: float) -> None:
        b = self._bank
        i, j = pairs.T
        b.observed = np.zeros(len(b), bool)
        b.observed[i] = True
        b.box, b.score = np.full((len(b), 4), np.nan), np.zeros(len(b))
        if self._slow_lane:
            corrected = np.isfinite(b.late_score)
            b.score[corrected] = b.late_score[corrected]
            b.observed, b.late_score = b.observed | corrected, np.full(len(b), np.nan)
        b.misses = np.where(b.observed, 0, b.misses + 1)
        if len(i):
            before = b.cov[i, :3, :3]
            b.set_estimates(kalman.update(b.estimates(i), seen.position[j], seen.cov[j]), i)
            b.noise[i] = seen.cov[j]
            if self._slow_lane:
                self._share_systematic_error(i, before)
            b.box[i], b.score[i] = seen.box[j], seen.score[j]
            self._take_up(seen, i, j, evidence, stamp_s, seen.orientation_sigma[j])
            b.upstream[i] = np.where(seen.upstream[j] >= 0, seen.upstream[j], b.upstream[i])
            self._vote(i, j, seen)

    def _vote(self, i: np.ndarray, j: np.ndarray, seen: Seen) -> None:
        """Observations `j` (P,) vote on what the tracks `i` (P,) are called."""
        b = self._bank
        b.label_votes[i, seen.label[j, 0]] += seen.score[j]
        b.label[i] = self._labels.pairs(names.elected(b.label_votes[i], b.label[i, 0]))
        b.name[i] = b.label[i, 0]
        if self._slow_lane:
            self._rename(i[np.isfinite(b.late_s[i])])

    def _take_up(
        self, seen: Seen, i: np.ndarray, j: np.ndarray, evidence: np.ndarray, stamp_s: float, sigma_rad: np.ndarray
    ) -> None:
        """Scores, sizes and headings; `stamp_s` is when they were seen, `sigma_rad` (P,) of the headings."""
        b, c = self._bank, self.config
        b.score_mean[i] += (seen.score[j] - b.score_mean[i]) / np.minimum(b.hits[i] + 1, c.size_memory)
        b.score_least[i] = np.minimum(b.score_least[i], seen.score[j])
        self._correct_size(seen, i, j)
        b.hits[i] += 1
        b.evidence[i] += evidence
        dt_s = np.maximum(stamp_s - b.last_s[i], 0.0)
        b.last_s[i] = np.maximum(b.last_s[i], stamp_s)
        is_moving = kalman.moving(b.mean[i], b.cov[i], c.heading_motion_speed_mps, c.moving_sigmas)
        b.orientation[i], b.orientation_var[i], b.votes[i] = heading.update(
            b.orientation[i],
            b.orientation_var[i],
            b.votes[i],
            seen.orientation[j],
            sigma_rad,
            b.mean[i, 3:],
            is_moving,
            c.heading_motion_weight,
            np.exp(-dt_s / c.heading_vote_s),
        )

    def _moved_by_late(
        self,
        seen: Seen,
        past: late.Past,
        pairs: np.ndarray,
        anchored: np.ndarray,
        then: kalman.Estimates | None,
        stamp_s: float,
    ) -> np.ndarray:
        """Corrects the states of now; returns the gains (P, 3, 3) on the positions."""
        b = self._bank
        gain = np.zeros((len(pairs), 3, 3))
        place = np.full(len(b), -1)
        place[anchored] = np.arange(len(anchored))
        in_order = place[pairs[:, 0]] >= 0
        i, j = pairs[~in_order].T
        if len(i):
            measured = seen.position[j], seen.cov[j]
            new, gain[~in_order] = late.update(b.estimates(i), b.mean[i], past.take(i), *measured)
            b.set_estimates(new, i)
        i, j = pairs[in_order].T
        if len(i):
            before = then.take(place[i])
            after = kalman.update(before, seen.position[j], seen.cov[j])
            self._anchors.keep(b.key[i], stamp_s, after)
            b.set_estimates(self._anchors.moved(after, self._newest_s - stamp_s), i)
            P, Q = (e.combined()[1][:, :3, :3] for e in (before, after))
            gain[in_order] = np.eye(3) - np.swapaxes(np.linalg.solve(P, Q), -1, -2)
        return gain

    def _correct_late(
        self, seen: Seen, pairs: np.ndarray, evidence: np.ndarray, stamp_s: float, gain: np.ndarray
    ) -> None:
        b, c = self._bank, self.config
        i, j = pairs.T
        if not len(i):
            return
        left, gained = np.eye(3) - gain, gain @ seen.cov[j] @ np.swapaxes(gain, -1, -2)
        b.noise[i] = left @ b.noise[i] @ np.swapaxes(left, -1, -2) + gained
        b.fast_share[i] = left @ b.fast_share[i]
        b.late_noise[i] = left @ b.late_noise[i] @ np.swapaxes(left, -1, -2) + gained
        turned_since = c.heading_density * (self._newest_s - stamp_s)
        self._take_up(seen, i, j, evidence, stamp_s, np.sqrt(seen.orientation_sigma[j] ** 2 + turned_since))
        b.late_s[i], b.late_score[i] = np.maximum(b.late_s[i], stamp_s), seen.score[j]
        b.observed = b.observed.copy()  # samples of the newest frame hold the old one
        b.observed[i], b.misses[i] = True, 0
        b.late_votes[i, seen.label[j, 0]] += seen.score[j]
        self._rename(i)

    def _share_systematic_error(self, i: np.ndarray, before: np.ndarray) -> None:
        """A late observation takes the fast lane's systematic error out; each fast one brings a part of it back.

        Args:
            i: (P,) tracks that the fast lane has just corrected; `noise` is that of its observations.
            before: (P, 3, 3) covariances of their positions before.
        """
        b = self._bank
        late_ones = np.isfinite(b.late_s[i])
        i, before = i[late_ones], before[late_ones]
        if len(i):
            left = np.swapaxes(np.linalg.solve(before, b.cov[i, :3, :3]), -1, -2)
            share = np.eye(3) - left @ (np.eye(3) - b.fast_share[i])
            b.late_noise[i] = left @ b.late_noise[i] @ np.swapaxes(left, -1, -2)
            b.noise[i] = share @ b.noise[i] @ np.swapaxes(share, -1, -2) + b.late_noise[i]
            b.fast_share[i] = share

    def _rename(self, i: np.ndarray) -> None:
        """Names tracks (P,) by what both lanes call them."""
        b = self._bank
        votes = names.shared(b.label_votes[i], b.late_votes[i], self.config.late_label_weight)
        b.name[i] = names.elected(votes, b.name[i])

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

    def _label(self, row: int) -> str:
        return self._labels.name(self._bank.name[row])

    def _end_tentative(self) -> None:
        b, c = self._bank, self.config
        spare = c.confirm_window - c.confirm_hits
        thin = (b.frames >= c.confirm_window) & (b.hits * c.confirm_window < c.confirm_hits * b.frames)
        self._drop(~b.confirmed & ((b.misses > spare) | thin) & ~b.slow)

    def _drop(self, gone: np.ndarray) -> None:
        b = self._bank
        if gone.any():
            for key in b.key[gone].tolist():
                self._pending.pop(key, None)
                self._anchors.drop(key)
            b.keep(~gone)

    def _begin(self, seen: Seen, pairs: np.ndarray, stamp_s: float) -> None:
        b, c = self._bank, self.config
        free = seen.score >= c.high_score
        free[pairs[:, 1]] = False
        free = np.flatnonzero(free)
        if not len(free):
            return
        taken = np.flatnonzero(b.observed)
        taken_at, taken_group = [*b.mean[taken, :3]], [*b.label[taken, 1]]
        chosen, again = [], []
        for j in free[np.argsort(-seen.score[free], kind="stable")]:
            known = np.isfinite(seen.size[j]).all()
            width = np.min(seen.size[j, :2]) if known else 2 * np.sqrt(np.trace(seen.cov[j]) / 3)
            if taken_at:
                near = np.linalg.norm(np.array(taken_at) - seen.position[j], axis=1) < c.birth_exclusion * width
                near = np.flatnonzero(near & (np.array(taken_group) == seen.label[j, 1]))
                if len(near):
                    if near[0] < len(taken):
                        again.append((taken[near[0]], j))
                    continue
            if len(b) + len(chosen) >= c.max_tracks:
                break
            chosen.append(j)
            taken_at.append(seen.position[j])
            taken_group.append(seen.label[j, 1])
        for row, j in again:
            self._vote(np.array([row]), np.array([j]), seen)
        if chosen:
            j = np.array(sorted(chosen), int)
            self._append(seen, j, kalman.birth(seen.position[j], seen.cov[j], self._models), stamp_s)

    def _begin_late(self, seen: Seen, past: late.Past, pairs: np.ndarray, stamp_s: float) -> None:
        """Begins tracks of what matches no track and is not the same thing as one, at the time it was seen."""
        b, c = self._bank, self.config
        free = seen.score >= c.high_score
        free[pairs[:, 1]] = False
        free = np.flatnonzero(free)
        overlap = association.overlaps_px(past.box, seen.box[free]) >= 0.5
        chosen: list[int] = []
        for at, j in enumerate(free.tolist()):
            known = np.isfinite(seen.size[j]).all()
            width = np.min(seen.size[j, :2]) if known else 2 * np.sqrt(np.trace(seen.cov[j]) / 3)
            places = np.concatenate([past.position_m, seen.position[chosen]])
            groups = np.concatenate([b.label[:, 1], seen.label[chosen, 1]])
            with np.errstate(invalid="ignore"):
                ratio = np.log(np.concatenate([b.size, seen.size[chosen]]) / seen.size[j]) / c.size_log_sigma
            like = (groups == seen.label[j, 1]) | ~(np.einsum("ni,ni->n", ratio, ratio) > c.size_penalty_max)
            near = np.linalg.norm(places - seen.position[j], axis=1) < c.birth_exclusion * width
            if np.any(near & like) or np.any(overlap[:, at]) or len(b) + len(chosen) >= c.max_tracks:
                continue
            chosen.append(j)
        if not chosen:
            return
        j = np.array(chosen)
        born = kalman.birth(seen.position[j], seen.cov[j], self._late_models)
        self._append(seen, j, self._anchors.moved(born, self._newest_s - stamp_s), stamp_s, slow=True)
        self._anchors.keep(self._bank.key[-len(j) :], stamp_s, born)

    def _append(self, seen: Seen, j: np.ndarray, born: kalman.Estimates, stamp_s: float, slow: bool = False) -> None:
        """Adds tracks of the observations `j` (n,) that were seen at `stamp_s`."""
        b, c, n = self._bank, self.config, len(j)
        mean, cov = born.combined()
        since_s = np.nextafter(self._newest_s, np.inf) if slow else stamp_s
        turned_since = c.heading_density * (self._newest_s - stamp_s) if slow else 0.0
        votes = np.zeros((n, len(self._labels)))
        votes[np.arange(n), seen.label[j, 0]] = seen.score[j]
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
            orientation_var=np.where(known, seen.orientation_sigma[j] ** 2 + turned_since, np.nan),
            votes=np.where(known[:, None], 1.0, 0.0) * np.ones((n, 2)),
            size=seen.size[j],
            size_count=np.isfinite(seen.size[j]).all(axis=1).astype(float),
            box=seen.box[j],
            score=seen.score[j],
            score_mean=seen.score[j],
            score_least=seen.score[j],
            label=seen.label[j],
            label_votes=votes * (not slow),
            late_votes=votes * slow,
            name=seen.label[j, 0],
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
            since_s=np.full(n, since_s),
            slow=np.full(n, slow),
            late_s=np.full(n, stamp_s if slow else -np.inf),
            late_score=seen.score[j] if slow else np.full(n, np.nan),
            fast_share=np.zeros((n, 3, 3)) + np.eye(3) * (not slow),
            late_noise=seen.cov[j] * slow,
            state_cov=smoothing.packed(cov),
            walk=np.zeros((n, 2), np.float32),
            walks=np.zeros((n, len(self._models), 2)),
            before=mean,
            lag_gain=np.zeros((n, *b.lag_gain.shape[1:])),
            lag_position=np.zeros((n, *b.lag_position.shape[1:])),
            lag_cov=np.zeros((n, *b.lag_cov.shape[1:])),
        )
        for number in key.tolist():
            self._pending[number] = []

    def _smooth(self, stamp_s: float, honest: np.ndarray) -> Finals:
        """Corrects the samples within the lag by this frame, and returns those of confirmed tracks that are final."""
        b, lag_s = self._bank, self.config.smoothing_lag_s
        old = b.since_s < stamp_s
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
            for row in np.flatnonzero(b.since_s <= self._lag_stamps_s[slot]).tolist():
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
        b.lag_cov = np.concatenate([b.lag_cov[:, done:], honest[:, None]], axis=1)
        self._lag_stamps_s = [*self._lag_stamps_s[done:], stamp_s]
        return finals

    def _confirm_and_emit(self, stamp_s: float, honest: np.ndarray, finals: Finals) -> TrackSamples:
        """Confirms what has earned it, and returns this frame's samples with those that confirmed tracks had before."""
        b, c = self._bank, self.config
        samples = self._samples(stamp_s, honest)
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
        twice = b.slow & (b.hits >= c.late_confirm_hits) & (b.score_mean >= c.confirm_score)
        twice &= b.evidence >= c.confirm_evidence / 2
        earned = (earned | sure | twice) & ~b.confirmed & b.observed
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
            waiting = self._pending[int(b.key[row])]
            waiting.append((samples, int(row)))
            if b.slow[row]:
                # The slow lane may take long to confirm it; no more is kept than may become final meanwhile.
                del waiting[: -len(self._lag_stamps_s)]
        kept = samples if b.confirmed.all() else samples.take(np.flatnonzero(b.confirmed))
        return TrackSamples.joined([*parts, kept], finals)

    def _honest_covariances(self) -> np.ndarray:
        """(N, 6, 6) with the part of the noise that stays the same from frame to frame, which no filter removes."""
        b, c = self._bank, self.config
        cov = b.cov.copy()
        cov[:, :3, :3] += c.systematic_fraction * b.noise
        cov[:, 3:, 3:] += c.systematic_fraction / c.systematic_s**2 * b.noise
        return cov

    def _samples(self, stamp_s: float, honest: np.ndarray) -> TrackSamples:
        b = self._bank
        return TrackSamples(
            ids=[str(s) for s in b.serial],
            labels=[self._label(i) for i in range(len(b))],
            stamps_s=np.full(len(b), stamp_s),
            positions_world_m=b.mean[:, :3].copy(),
            covariances=honest,
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
