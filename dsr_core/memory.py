"""SceneMemory: the rolling window of tracks and poses that a robot remembers, and cheap Scene views of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import TrackingError
from dsr_core.scene import Scene, Track
from dsr_core.smoothing import Smoothing
from dsr_core.tracking.state import TrackSamples

#: Columns of a track's rows: position, covariance, velocity, orientation, its sigma, box, score, size.
_POSITION, _COVARIANCE, _VELOCITY, _ORIENTATION = slice(0, 3), slice(3, 12), slice(12, 15), slice(15, 19)
_ORIENTATION_SIGMA, _BOX, _SCORE, _SIZE = 19, slice(20, 24), 24, slice(25, 28)
_FINAL_POSITION, _COLUMNS = slice(28, 31), 31
#: Columns of its rows in single precision: the filter's covariance, the walk's strengths, the final covariance.
_STATE, _WALK, _FINAL_COVARIANCE, _SINGLE = slice(0, 21), slice(21, 23), slice(23, 29), 29
#: Most viewer frames.
MAX_FRAMES = 32


class _Columns:
    """Growing arrays of equal length, appended at the end and dropped at the start.

    Arrays handed out stay as they are: appending writes behind them, and dropping moves on to new arrays.
    """

    def __init__(self, **shapes_and_types):
        self._arrays = {name: np.empty((16, *shape), kind) for name, (shape, kind) in shapes_and_types.items()}
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    def append(self, **row) -> None:
        if self._end == len(self._arrays["stamps_s"]):
            self._move(max(16, len(self) + len(self) // 2))
        for name, value in row.items():
            self._arrays[name][self._end] = value
        self._end += 1

    def view(self, name: str, end: int | None = None) -> np.ndarray:
        return self._arrays[name][self._start : self._end if end is None else self._start + end]

    def count_until(self, end_s: float) -> int:
        return int(np.searchsorted(self.view("stamps_s"), end_s, "right"))

    def drop_before(self, start_s: float) -> int:
        """Forgets rows older than `start_s`; returns how many."""
        if not len(self) or self._arrays["stamps_s"][self._start] >= start_s:
            return 0
        gone = int(np.searchsorted(self.view("stamps_s"), start_s, "left"))
        return self.drop(gone)

    def drop(self, count: int) -> int:
        self._start += count
        if self._start > len(self) + 64:
            self._move(len(self) + 64)
        return count

    def renew(self) -> None:
        """Moves on to new arrays, so that rows may be changed."""
        self._move(len(self._arrays["stamps_s"]))

    def _move(self, capacity: int) -> None:
        for name, old in self._arrays.items():
            new = np.empty((capacity, *old.shape[1:]), old.dtype)
            new[: len(self)] = old[self._start : self._end]
            self._arrays[name] = new
        self._start, self._end = 0, len(self)


class _History:
    """The samples of one track."""

    def __init__(self, track_id: str, known_s: float):
        self.id, self.known_s = track_id, known_s
        self.columns = _Columns(
            stamps_s=((), float), rows=((_COLUMNS,), float), single=((_SINGLE,), np.float32), observed=((), bool)
        )
        self.labels: list[tuple[float, str]] = []
        self._track: Track | None = None

    def append(self, stamp_s: float, label: str, row, single, observed: bool, now_s: float) -> None:
        self.columns.append(stamps_s=stamp_s, rows=row, single=single, observed=observed)
        if not self.labels or self.labels[-1][1] != label:
            self.labels.append((now_s, label))
        self._track = None

    def finish(self, age: int, position_m: np.ndarray, covariance: np.ndarray) -> None:
        """Keeps what the sample `age` before the newest one finally is; no view reads that place before."""
        row = len(self.columns) - 1 - age
        if row >= 0:
            self.columns.view("rows")[row, _FINAL_POSITION] = position_m
            self.columns.view("single")[row, _FINAL_COVARIANCE] = covariance

    def track(self, image_size, smoothing_lag_s: float | None, end_s: float | None = None) -> Track:
        """The track, or the track as it was known at `end_s`, as views."""
        if end_s is None and self._track is not None and self._track.image_size == image_size:
            return self._track
        n = len(self.columns) if end_s is None else self.columns.count_until(end_s)
        rows = self.columns.view("rows", n)
        label = self.labels[-1][1]
        if end_s is not None:
            label = next((name for since_s, name in reversed(self.labels) if since_s <= end_s), self.labels[0][1])
        # Shapes and order hold by construction, so the checks of Track.__post_init__ are skipped.
        track = object.__new__(Track)
        track.__dict__.update(
            id=self.id,
            label=label,
            stamps_s=self.columns.view("stamps_s", n),
            positions_world_m=rows[:, _POSITION],
            covariances=rows[:, _COVARIANCE].reshape(n, 3, 3),
            velocities=rows[:, _VELOCITY],
            orientations_xyzw=rows[:, _ORIENTATION],
            orientation_sigmas_rad=rows[:, _ORIENTATION_SIGMA],
            size_lwh_m=rows[-1, _SIZE] if n else np.full(3, np.nan),
            boxes_px=rows[:, _BOX],
            image_size=image_size,
            observed=self.columns.view("observed", n),
            scores=rows[:, _SCORE],
            known_s=self.known_s,
            sizes_lwh_m=rows[:, _SIZE],
            smoothing=None,
            smoothing_rows=None,
        )
        if smoothing_lag_s is not None:
            single = self.columns.view("single", n)
            smoothing = object.__new__(Smoothing)
            smoothing.__dict__.update(
                lag_s=smoothing_lag_s,
                stamps_s=track.stamps_s,
                positions_m=track.positions_world_m,
                velocities_mps=track.velocities,
                covariances=track.covariances,
                state_covariances=single[:, _STATE],
                walk=single[:, _WALK],
                final_positions_m=rows[:, _FINAL_POSITION],
                final_covariances=single[:, _FINAL_COVARIANCE],
            )
            track.__dict__.update(smoothing=smoothing, smoothing_rows=range(n))
        if end_s is None:
            self._track = track
        return track


@dataclass(frozen=True)
class MemoryConfig:
    """Bounds of the memory.

    Attributes:
        memory_s: Samples older than this before the newest frame are forgotten.
        max_tracks: Most tracks; those not seen for longest are forgotten first.
        max_samples: Most samples of all tracks together (about 380 bytes each); the oldest are forgotten first.
    """

    memory_s: float = 600.0
    max_tracks: int = 1000
    max_samples: int = 2_000_000

    def __post_init__(self):
        for name in ("memory_s", "max_tracks", "max_samples"):
            if not getattr(self, name) > 0:
                raise TrackingError(f"memory: {name} = {getattr(self, name)} must be positive")


class SceneMemory:
    """Rolling window of tracks and poses on one clock; second 0 is the first frame.

    Args:
        config: Bounds.
        world_frame: Name of the continuous frame that everything is given in.
        ego_sigma_m: One-sigma noise of the poses that everything is placed with, metres (see `Scene`).
    """

    def __init__(self, config: MemoryConfig = MemoryConfig(), world_frame: str = "odom", ego_sigma_m: float = 0.0):
        self.config, self.world_frame, self.ego_sigma_m = config, world_frame, ego_sigma_m
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self.origin_ns: int | None = None
        self.newest_s = 0.0
        self._histories: dict[str, _History] = {}
        self._samples = 0
        self._smoothing_lag_s: float | None = None
        self._cameras, self._bases = _poses(), _poses()
        self._frames: dict[str, _Columns] = {}
        self._K: np.ndarray | None = None
        self._image_size: tuple[int, int] | None = None
        self._scenes: dict[float | None, Scene] = {}

    def __len__(self) -> int:
        """Number of samples of all tracks."""
        return self._samples

    def seconds(self, stamp_ns: int) -> float:
        """A stamp on the scene's clock; the first one appended is second 0."""
        return 0.0 if self.origin_ns is None else (stamp_ns - self.origin_ns) / 1e9

    def append(
        self,
        stamp_ns: int,
        samples: TrackSamples,
        T_world_camera: np.ndarray | None = None,
        T_world_base: np.ndarray | None = None,
        K: np.ndarray | None = None,
        image_size: tuple[int, int] | None = None,
        T_world_frames: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Remembers one frame.

        Args:
            stamp_ns: Time of the frame, later than all before.
            samples: New samples of tracks, in time order a track.
            T_world_camera: (4, 4), or None where unknown.
            T_world_base: (4, 4), or None where unknown.
            K: (3, 3) intrinsics, or None.
            image_size: (width, height), or None.
            T_world_frames: Name -> (4, 4) of other frames; of more than `MAX_FRAMES` names the first are kept.
        """
        if self.origin_ns is None:
            self.origin_ns = int(stamp_ns)
        stamp_s = self.newest_s = self.seconds(stamp_ns)
        for poses, T in ((self._cameras, T_world_camera), (self._bases, T_world_base)):
            if T is not None:
                poses.append(stamps_s=stamp_s, T=T)
        for name, T in (T_world_frames or {}).items():
            if name in self._frames or len(self._frames) < MAX_FRAMES:
                self._frames.setdefault(name, _poses()).append(stamps_s=stamp_s, T=T)
        if K is not None:
            self._K = K
        if image_size is not None and image_size != self._image_size:
            if self._image_size is not None:
                self._scale_boxes(np.divide(image_size, self._image_size))
            self._image_size = image_size
        self._append_samples(samples, stamp_s)
        # The microsecond keeps a sample that is exactly memory_s old whatever the rounding of its stamp.
        self._forget(stamp_s - self.config.memory_s - 1e-6)
        self._scenes.clear()

    def _scale_boxes(self, factor: np.ndarray) -> None:
        """Boxes of all samples refer to one image size: what is remembered follows a change of it by `factor` (2,)."""
        for history in self._histories.values():
            history.columns.renew()
            history.columns.view("rows")[:, _BOX] *= np.tile(factor, 2)
            history._track = None

    def _append_samples(self, samples: TrackSamples, now_s: float) -> None:
        n, lag_s = len(samples), samples.smoothing_lag_s
        self._smoothing_lag_s = lag_s
        rows = np.concatenate(
            [
                samples.positions_world_m,
                samples.covariances.reshape(n, 9),
                samples.velocities,
                samples.orientations_xyzw,
                samples.orientation_sigmas_rad[:, None],
                samples.boxes_px,
                samples.scores[:, None],
                samples.sizes_lwh_m,
                np.full((n, 3), np.nan) if lag_s is None else samples.final_positions_m,
            ],
            axis=1,
        )
        single = np.full((n, _SINGLE), np.nan, np.float32)
        if lag_s is not None:
            single = np.concatenate([samples.state_covariances, samples.walk, samples.final_covariances], axis=1)
        for i, (track_id, label, stamp_s) in enumerate(
            zip(samples.ids, samples.labels, samples.stamps_s.tolist(), strict=True)
        ):
            history = self._histories.get(track_id)
            if history is None:
                history = self._histories[track_id] = _History(track_id, now_s)
            history.append(stamp_s, label, rows[i], single[i], samples.observed[i], now_s)
        self._samples += n
        if samples.finals is not None:
            finals = samples.finals
            for i, done in enumerate(finals.ids):
                if done in self._histories:
                    self._histories[done].finish(finals.ages[i], finals.positions_m[i], finals.covariances[i])

    def _forget(self, start_s: float) -> None:
        self._cameras.drop_before(start_s)
        self._bases.drop_before(start_s)
        for name in [n for n, poses in self._frames.items() if poses.drop_before(start_s) and not len(poses)]:
            del self._frames[name]
        for track_id in [i for i, h in self._histories.items() if self._drop_before(h, start_s)]:
            del self._histories[track_id]
        while len(self._histories) > self.config.max_tracks or self._samples > self.config.max_samples:
            oldest = min(self._histories.values(), key=lambda h: float(h.columns.view("stamps_s")[-1]))
            if len(self._histories) > 1 and oldest.columns.view("stamps_s")[-1] < self.newest_s:
                self._samples -= len(oldest.columns)
                del self._histories[oldest.id]
            else:
                longest = max(self._histories.values(), key=lambda h: len(h.columns))
                self._samples -= longest.columns.drop(max(len(longest.columns) // 4, 1))
                longest._track = None

    def _drop_before(self, history: _History, start_s: float) -> bool:
        """Forgets a track's old samples; whether none is left."""
        gone = history.columns.drop_before(start_s)
        if gone:
            self._samples -= gone
            history._track = None
        return not len(history.columns)

    def scene(self, until: float | None = None) -> Scene:
        """What is remembered, or what was known at second `until`, as views; cached until the next change."""
        if until is not None and until >= self.newest_s:
            until = None
        found = self._scenes.get(until)
        if found is None:
            if len(self._scenes) >= 4:
                self._scenes.pop(next(k for k in reversed(self._scenes) if k is not None))
            found = self._scenes[until] = self._make_scene(until)
        return found

    def _make_scene(self, until: float | None) -> Scene:
        histories = self._histories.values()
        if until is not None:
            histories = [h for h in histories if h.known_s <= until and h.columns.view("stamps_s")[0] <= until]
        stamps_s, T_world_camera, T_world_base = self._pose_views(until)
        return Scene(
            stamps_s=stamps_s,
            tracks={h.id: h.track(self._image_size, self._smoothing_lag_s, until) for h in histories},
            T_world_camera=T_world_camera,
            T_world_base=T_world_base,
            origin_ns=self.origin_ns or 0,
            world_frame=self.world_frame,
            K=self._K,
            image_size=self._image_size,
            ego_sigma_m=self.ego_sigma_m,
            frames={name: _at(poses, stamps_s) for name, poses in self._frames.items()},
        )

    def _pose_views(self, until: float | None):
        """Stamps and the two kinds of poses; where both are known they are given at the stamps that have both."""
        end = np.inf if until is None else until
        n, m = self._cameras.count_until(end), self._bases.count_until(end)
        camera_s, base_s = self._cameras.view("stamps_s", n), self._bases.view("stamps_s", m)
        cameras, bases = self._cameras.view("T", n), self._bases.view("T", m)
        if not m:
            return camera_s, cameras if n else None, None
        if not n:
            return base_s, None, bases
        if n == m and np.array_equal(camera_s, base_s):
            return camera_s, cameras, bases
        both, of_camera, of_base = np.intersect1d(camera_s, base_s, assume_unique=True, return_indices=True)
        if not len(both):
            return (base_s, None, bases) if m >= n else (camera_s, cameras, None)
        return both, cameras[of_camera], bases[of_base]


def _at(poses: _Columns, stamps_s: np.ndarray) -> np.ndarray:
    """Poses (T, 4, 4) at the stamps of a scene, NaN where there is none; a view where there is one at each."""
    known_s, T = poses.view("stamps_s"), poses.view("T")
    n = int(np.searchsorted(known_s, stamps_s[-1], "right")) if len(stamps_s) else 0
    if n == len(stamps_s) and np.array_equal(known_s[:n], stamps_s):
        return T[:n]
    out = np.full((len(stamps_s), 4, 4), np.nan)
    _, there, of_frame = np.intersect1d(stamps_s, known_s, assume_unique=True, return_indices=True)
    out[there] = T[of_frame]
    return out


def _poses() -> _Columns:
    return _Columns(stamps_s=((), float), T=((4, 4), float))
