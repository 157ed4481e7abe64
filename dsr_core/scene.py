"""Scene: camera and robot poses plus object tracks on one clock; the input of all reasoning.

Second 0 is the first accepted frame, detection or label of the recording. `T_a_b` maps points from b to a.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from dsr_core.errors import SceneError
from dsr_core.files import whole_file
from dsr_core.geometry import transforms as tf
from dsr_core.smoothing import Smoothing

FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Track:
    """The history of one thing; a thing is anything that a detector or a data set names.

    Attributes:
        id: Identity; a data set's own where it has one (KITTI "12").
        label: Class name.
        stamps_s: (T,) strictly increasing seconds on the scene's clock.
        positions_world_m: (T, 3) centre; of a tracker, as it was known at that time.
        covariances: (T, 3, 3) of the centre, square metres.
        velocities: (T, 3) metres per second in the world, NaN where unknown.
        orientations_xyzw: (T, 4) object frame (x forward, y left, z up) to world, NaN where unknown.
        orientation_sigmas_rad: (T,) one-sigma of the heading.
        size_lwh_m: (3,) length, width, height, NaN where unknown.
        boxes_px: (T, 4) x1, y1, x2, y2 in the image, NaN where unknown.
        image_size: (width, height) that `boxes_px` refers to, or None.
        observed: (T,) bool; False marks a sample predicted while the thing was not seen.
        scores: (T,) detector scores.
        known_s: Second at which the track was first reported; a tracker reports it some samples after its first one.
        sizes_lwh_m: (T, 3) the size as it was known at each sample, or None where it is one and the same.
        smoothing: What corrects the positions by later data, or None where they are final as they are (labels).
        smoothing_rows: Which of its samples this track's are, (T,); None: all.
    """

    id: str
    label: str
    stamps_s: np.ndarray
    positions_world_m: np.ndarray
    covariances: np.ndarray | None = None
    velocities: np.ndarray | None = None
    orientations_xyzw: np.ndarray | None = None
    orientation_sigmas_rad: np.ndarray | None = None
    size_lwh_m: np.ndarray | None = None
    boxes_px: np.ndarray | None = None
    image_size: tuple[int, int] | None = None
    observed: np.ndarray | None = None
    scores: np.ndarray | None = None
    known_s: float = -np.inf
    sizes_lwh_m: np.ndarray | None = None
    smoothing: Smoothing | None = None
    smoothing_rows: range | np.ndarray | None = None

    def __post_init__(self):
        stamps = np.asarray(self.stamps_s, float)
        n = len(stamps)
        defaults = {
            "stamps_s": (stamps, (n,)),
            "positions_world_m": (self.positions_world_m, (n, 3)),
            "covariances": (np.zeros((n, 3, 3)) if self.covariances is None else self.covariances, (n, 3, 3)),
            "velocities": (np.full((n, 3), np.nan) if self.velocities is None else self.velocities, (n, 3)),
            "orientations_xyzw": (
                np.full((n, 4), np.nan) if self.orientations_xyzw is None else self.orientations_xyzw,
                (n, 4),
            ),
            "orientation_sigmas_rad": (
                np.zeros(n) if self.orientation_sigmas_rad is None else self.orientation_sigmas_rad,
                (n,),
            ),
            "size_lwh_m": (np.full(3, np.nan) if self.size_lwh_m is None else self.size_lwh_m, (3,)),
            "boxes_px": (np.full((n, 4), np.nan) if self.boxes_px is None else self.boxes_px, (n, 4)),
            "scores": (np.ones(n) if self.scores is None else self.scores, (n,)),
        }
        for name, (value, shape) in defaults.items():
            value = np.asarray(value, float)
            if value.shape != shape:
                raise SceneError(f"track {self.id!r}: {name} has shape {value.shape}, expected {shape} for {n} stamps")
            object.__setattr__(self, name, value)
        if self.sizes_lwh_m is not None and np.shape(self.sizes_lwh_m) != (n, 3):
            raise SceneError(
                f"track {self.id!r}: sizes_lwh_m has shape {np.shape(self.sizes_lwh_m)}, expected ({n}, 3)"
            )
        observed = np.ones(n, bool) if self.observed is None else np.asarray(self.observed, bool)
        if observed.shape != (n,):
            raise SceneError(f"track {self.id!r}: observed has shape {observed.shape}, expected ({n},)")
        object.__setattr__(self, "observed", observed)
        if n and (not np.isfinite(stamps).all() or np.any(np.diff(stamps) <= 0)):
            raise SceneError(
                f"track {self.id!r}: stamps must be finite and strictly increasing; sort and deduplicate them"
            )
        if n and not np.isfinite(self.positions_world_m).all():
            raise SceneError(f"track {self.id!r}: a position is NaN or infinite; leave such samples out")
        if self.smoothing is not None:
            rows = range(len(self.smoothing)) if self.smoothing_rows is None else self.smoothing_rows
            object.__setattr__(self, "smoothing_rows", rows)
            if len(rows) != n:
                raise SceneError(f"track {self.id!r}: smoothing has {len(rows)} samples, expected {n}")

    def __len__(self) -> int:
        return len(self.stamps_s)

    def between(self, start_s: float, end_s: float) -> Track:
        """The part of the track in the closed window [start_s, end_s], as views of the arrays."""
        lo = int(np.searchsorted(self.stamps_s, start_s, "left"))
        hi = int(np.searchsorted(self.stamps_s, end_s, "right"))
        return self if lo == 0 and hi == len(self) else self[lo:hi]

    def until(self, end_s: float) -> Track:
        """The track as it was known at `end_s`: neither a sample nor a correction of one is later than that."""
        track = self.between(-np.inf, end_s)
        return track if self.smoothing is None else replace(track, smoothing=self.smoothing.until(end_s))

    def smoothed_positions(self, index: np.ndarray | slice) -> np.ndarray:
        """Positions (N, 3) of the samples `index` (N,) int in the light of later ones, metres in the world."""
        if self.smoothing is None:
            return self.positions_world_m[index]
        return self.smoothing.positions(self._rows(index))

    def smoothed_covariances(self, index: np.ndarray | slice) -> np.ndarray:
        """Covariances (N, 3, 3) of `smoothed_positions`, square metres."""
        if self.smoothing is None:
            return self.covariances[index]
        return self.smoothing.covariances_of(self._rows(index))

    def _rows(self, index: np.ndarray | slice) -> np.ndarray | range:
        rows = self.smoothing_rows
        if isinstance(index, slice):
            return rows[index]
        return rows[index] if isinstance(rows, np.ndarray) else np.asarray(index) * rows.step + rows.start

    def __getitem__(self, part: slice | np.ndarray) -> Track:
        """A sub-track; `part` is a slice or a (T,) bool mask."""
        # The arrays were checked when this track was made, so the copy skips __post_init__.
        new = object.__new__(Track)
        for name, value in self.__dict__.items():
            sampled = name in _SAMPLED and value is not None
            object.__setattr__(new, name, value[part] if sampled else value)
        if new.smoothing is not None:
            rows = self.smoothing_rows if isinstance(part, slice) else np.asarray(self.smoothing_rows)
            object.__setattr__(new, "smoothing_rows", rows[part])
        if new.sizes_lwh_m is not None and len(new):
            object.__setattr__(new, "size_lwh_m", new.sizes_lwh_m[-1])
        return new


_SAMPLED = (
    "stamps_s",
    "positions_world_m",
    "covariances",
    "velocities",
    "orientations_xyzw",
    "orientation_sigmas_rad",
    "boxes_px",
    "observed",
    "scores",
    "sizes_lwh_m",
)


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that is known about a recording or about the memory of a robot.

    Attributes:
        stamps_s: (T,) strictly increasing stamps of the poses, in seconds.
        tracks: Track by id.
        T_world_camera: (T, 4, 4) optical frame (z forward, x right, y down) to world, or None where unknown.
        T_world_base: (T, 4, 4) robot base (x forward, y left, z up) to world, or None where unknown.
        origin_ns: Time of second 0 in nanoseconds.
        world_frame: Name of the continuous frame that everything is given in.
        metric: True when lengths are metres.
        K: (3, 3) intrinsics in pixels, or None.
        image_size: (width, height) in pixels, or None.
        ego_sigma_m: One-sigma noise of the ego positions in metres. It is shared by everything seen at one time, so it
            cancels between things and matters only for motion in the world; track covariances do not hold it.
        frames: Name -> (T, 4, 4) of other frames (x forward, y left, z up; optical ones by their name) to world, NaN
            where unknown.
    """

    stamps_s: np.ndarray
    tracks: dict[str, Track] = field(default_factory=dict)
    T_world_camera: np.ndarray | None = None
    T_world_base: np.ndarray | None = None
    origin_ns: int = 0
    world_frame: str = "odom"
    metric: bool = True
    K: np.ndarray | None = None
    image_size: tuple[int, int] | None = None
    ego_sigma_m: float = 0.0
    frames: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        stamps = np.asarray(self.stamps_s, float)
        if stamps.ndim != 1 or not np.isfinite(stamps).all() or np.any(np.diff(stamps) <= 0):
            raise SceneError(
                f"scene stamps of shape {stamps.shape} must be one row of finite, strictly increasing seconds"
            )
        object.__setattr__(self, "stamps_s", stamps)
        for name in ("T_world_camera", "T_world_base"):
            T = getattr(self, name)
            if T is not None:
                T = np.asarray(T, float)
                if T.shape != (len(stamps), 4, 4):
                    raise SceneError(f"{name} has shape {T.shape}, expected ({len(stamps)}, 4, 4): one pose a stamp")
                object.__setattr__(self, name, T)
        object.__setattr__(self, "frames", {name: np.asarray(T, float) for name, T in self.frames.items()})
        for name, T in self.frames.items():
            if T.shape != (len(stamps), 4, 4):
                raise SceneError(f"frame {name!r} has shape {T.shape}, not ({len(stamps)}, 4, 4): one pose a stamp")

    @classmethod
    def from_world_to_camera(cls, *, T_camera_world: np.ndarray, **fields) -> Scene:
        """A scene from world-to-camera ("extrinsic") poses (T, 4, 4), the inverse of `T_world_camera`."""
        return cls(T_world_camera=tf.invert(tf.check_rigid(T_camera_world, "T_camera_world")), **fields)

    @cached_property
    def end_s(self) -> float:
        """Stamp of the newest data in seconds (0 for an empty scene)."""
        ends = [float(t.stamps_s[-1]) for t in self.tracks.values() if len(t)]
        return max([float(self.stamps_s[-1]), *ends] if len(self.stamps_s) else ends, default=0.0)

    @cached_property
    def start_s(self) -> float:
        """Stamp of the oldest data in seconds (0 for an empty scene)."""
        starts = [float(t.stamps_s[0]) for t in self.tracks.values() if len(t)]
        return min([float(self.stamps_s[0]), *starts] if len(self.stamps_s) else starts, default=0.0)

    def until(self, end_s: float) -> Scene:
        """The scene as it was known at `end_s`: nothing later than that."""
        n = int(np.searchsorted(self.stamps_s, end_s, "right"))
        tracks = {i: t.until(end_s) for i, t in self.tracks.items() if t.known_s <= end_s}
        return replace(
            self,
            stamps_s=self.stamps_s[:n],
            T_world_camera=None if self.T_world_camera is None else self.T_world_camera[:n],
            T_world_base=None if self.T_world_base is None else self.T_world_base[:n],
            frames={name: T[:n] for name, T in self.frames.items()},
            tracks={i: t for i, t in tracks.items() if len(t)},
        )

    def transformed(self, T_new_world: np.ndarray | None = None, scale: float = 1.0) -> Scene:
        """The same scene in another world frame, with every length multiplied by `scale`.

        Args:
            T_new_world: (4, 4) from this scene's world to the new one; None keeps it.
            scale: Factor of all lengths (sizes scale by it, covariances by its square).
        """
        T_new_world = np.eye(4) if T_new_world is None else tf.check_rigid(T_new_world, "T_new_world")

        def pose(T):
            if T is None:
                return None
            T = T_new_world @ T
            T[:, :3, 3] *= scale
            return T

        R = T_new_world[:3, :3]
        tracks = {}
        for i, t in self.tracks.items():
            tracks[i] = replace(
                t,
                positions_world_m=scale * tf.transform_points(T_new_world, t.positions_world_m),
                covariances=scale**2 * tf.rotate_covariances(R, t.covariances),
                velocities=scale * t.velocities @ R.T,
                orientations_xyzw=tf.quaternions_from_matrices(R @ tf.matrices_from_quaternions(t.orientations_xyzw)),
                size_lwh_m=scale * t.size_lwh_m,
                sizes_lwh_m=None if t.sizes_lwh_m is None else scale * t.sizes_lwh_m,
                smoothing=None if t.smoothing is None else t.smoothing.transformed(T_new_world, scale),
            )
        return replace(
            self,
            tracks=tracks,
            T_world_camera=pose(self.T_world_camera),
            T_world_base=pose(self.T_world_base),
            frames={name: pose(T) for name, T in self.frames.items()},
            ego_sigma_m=scale * self.ego_sigma_m,
        )

    def save(self, path: str | Path) -> Path:
        """Writes one `.scene.npz` (no pickle), whole or not at all.

        Raises:
            SceneError: the name does not end in `.scene.npz`.
        """
        path = Path(path)
        if not path.name.endswith(".scene.npz"):
            raise SceneError(f"{path.name!r} is not a scene file name; end it with .scene.npz")
        head = {
            "format_version": FORMAT_VERSION,
            "origin_ns": int(self.origin_ns),
            "world_frame": self.world_frame,
            "metric": bool(self.metric),
            "image_size": self.image_size,
            "ego_sigma_m": float(self.ego_sigma_m),
            "frames": list(self.frames),
            "tracks": [_track_head(t) for t in self.tracks.values()],
        }
        arrays = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8), "stamps_s": self.stamps_s}
        for name in ("T_world_camera", "T_world_base", "K"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        arrays |= {f"frame{i}": T for i, T in enumerate(self.frames.values())}
        for i, track in enumerate(self.tracks.values()):
            for name in (*_SAMPLED, "size_lwh_m"):
                if getattr(track, name) is not None:
                    arrays[f"track{i}/{name}"] = getattr(track, name)
            if track.smoothing is not None:
                arrays |= {f"track{i}/smoothing/{name}": value for name, value in track.smoothing.arrays().items()}
                arrays[f"track{i}/smoothing/rows"] = np.asarray(track.smoothing_rows)
        with whole_file(path) as partial:
            np.savez_compressed(partial, **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Scene:
        """Reads a file written by `save`.

        Raises:
            SceneError: not a scene file, or written by a newer version.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                head = json.loads(bytes(file["head"]).decode())
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise SceneError(f"no scene file at {path}") from None
        except Exception as error:
            raise SceneError(
                f"{path} is not a whole scene file ({error}); make it again with `dsr convert --to scene`"
            ) from error
        if head.get("format_version") != FORMAT_VERSION:
            raise SceneError(
                f"{path} has format version {head.get('format_version')}, this program reads {FORMAT_VERSION};"
                " update dsr_ros or convert the recording again"
            )
        tracks = {}
        for i, entry in enumerate(head["tracks"]):
            fields = {name: arrays.get(f"track{i}/{name}") for name in (*_SAMPLED, "size_lwh_m")}
            size, known_s = entry["image_size"], entry["known_s"]
            prefix = f"track{i}/smoothing/"
            smoothing = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
            rows = smoothing.pop("rows", None)
            tracks[entry["id"]] = Track(
                id=entry["id"],
                label=entry["label"],
                image_size=tuple(size) if size else None,
                known_s=-np.inf if known_s is None else known_s,
                smoothing=Smoothing(**smoothing) if smoothing else None,
                smoothing_rows=rows,
                **fields,
            )
        return cls(
            stamps_s=arrays["stamps_s"],
            tracks=tracks,
            T_world_camera=arrays.get("T_world_camera"),
            T_world_base=arrays.get("T_world_base"),
            K=arrays.get("K"),
            origin_ns=head["origin_ns"],
            world_frame=head["world_frame"],
            metric=head["metric"],
            image_size=tuple(head["image_size"]) if head["image_size"] else None,
            ego_sigma_m=head["ego_sigma_m"],
            frames={name: arrays[f"frame{i}"] for i, name in enumerate(head.get("frames", ()))},
        )


def _track_head(track: Track) -> dict:
    known_s = float(track.known_s) if np.isfinite(track.known_s) else None
    return {"id": track.id, "label": track.label, "image_size": track.image_size, "known_s": known_s}
