"""Argoverse 2 sensor logs: annotated boxes with track ids, and the ego vehicle's poses.

The world is the city frame shifted so that the first ego pose lies at the origin (its axes stay the city's: x east,
y north, z up). The robot base is the ego-vehicle frame (x forward, y left, z up, at the rear axle). Logs without
`calibration/egovehicle_SE3_sensor.feather` have no camera: then a virtual one at the base looks forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.scene import Scene, Track
from dsr_core.sources.base import Source
from dsr_core.sources.saved import frames_of_scene
from dsr_core.values import Frame

#: One-sigma of an annotated centre: a constant and a part that grows with range. Parked vehicles wander by 0.03 to
#: 0.1 m in the world while the ego drives on, hardly more with range; almost all of that is slow (the annotators'
#: splines), the noise from sample to sample is below 1 mm (tests/test_sources_av2.py holds this to the data).
LABEL_SIGMA_M = 0.06
LABEL_SIGMA_PER_M = 0.0003
LABEL_HEADING_SIGMA_RAD = 0.03
#: One-sigma of the ego position relative to itself some seconds ago.
EGO_SIGMA_M = 0.02
CAMERA = "ring_front_center"

_ANNOTATIONS = "annotations.feather"
_EGO_POSES = "city_SE3_egovehicle.feather"
_CALIBRATION = "calibration/egovehicle_SE3_sensor.feather"
_QUATERNION = ("qx", "qy", "qz", "qw")
_SIZE = ("length_m", "width_m", "height_m")
_POSITION = ("tx_m", "ty_m", "tz_m")


def recognises(path: Path) -> bool:
    """Whether `path` is the folder of one Argoverse 2 log, or holds such folders."""
    return path.is_dir() and (_is_log(path) or any(_is_log(p) for p in path.iterdir() if p.is_dir()))


def _is_log(path: Path) -> bool:
    return (path / _ANNOTATIONS).is_file() and (path / _EGO_POSES).is_file()


def sequences(root: Path) -> list[str]:
    """Names of the logs in a folder of several; none for the folder of one log."""
    return [] if _is_log(root) else sorted(p.name for p in root.iterdir() if p.is_dir() and _is_log(p))


class Argoverse2Log(Source):
    """One log of the Argoverse 2 sensor data set.

    Args:
        path: The log's folder, or the folder of several logs.
        sequence: The log's name (or its beginning), where `path` holds several.
        detections: "annotations" tracks the annotated boxes as if a detector had given them (their ids unseen); None
            takes the annotated tracks as they are.

    Raises:
        SourceError: no such log, or a damaged file.
    """

    def __init__(self, path: str | Path, sequence: str | None = None, detections: str | None = None):
        path = Path(path)
        if not _is_log(path):
            logs = sequences(path)
            matching = [name for name in logs if name.startswith(sequence or "")]
            if len(matching) != 1:
                raise SourceError(f"--sequence {sequence} is not one log of {path}; there are: {', '.join(logs)}")
            path = path / matching[0]
        if detections not in (None, "annotations"):
            raise SourceError(f"--detections {detections}: Argoverse 2 logs hold annotations only; use 'annotations'")
        self.path, self.detector = path, detections
        self.name = f"av2-{path.name[:8]}"
        rows = _read(path / _ANNOTATIONS, ("timestamp_ns", "track_uuid", "category", *_SIZE, *_QUATERNION, *_POSITION))
        if not len(rows["timestamp_ns"]):
            raise SourceError(f"{path / _ANNOTATIONS} holds no annotation")
        self._rows = rows
        self.stamps_ns = np.unique(rows["timestamp_ns"])
        self.T_world_base = _ego_poses(path / _EGO_POSES, self.stamps_ns)
        self.T_base_camera = _camera_mount(path / _CALIBRATION)

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def truth(self) -> Scene:
        """The annotated tracks."""
        rows, origin = self._rows, int(self.stamps_ns[0])
        at = np.searchsorted(self.stamps_ns, rows["timestamp_ns"])
        T = self.T_world_base[at]
        p_base = np.stack([rows[n] for n in _POSITION], axis=1)
        positions = tf.transform_points(T, p_base)
        R = T[:, :3, :3] @ tf.matrices_from_quaternions(np.stack([rows[n] for n in _QUATERNION], axis=1))
        orientations = tf.quaternions_from_matrices(R)
        sizes = np.stack([rows[n] for n in _SIZE], axis=1)
        sigmas = LABEL_SIGMA_M + LABEL_SIGMA_PER_M * np.linalg.norm(p_base, axis=1)
        stamps_s = (self.stamps_ns - origin) * 1e-9
        tracks = {}
        names, owner = np.unique(rows["track_uuid"], return_inverse=True)
        for k, track_id in enumerate(names):
            mine = np.flatnonzero(owner == k)
            mine = mine[np.argsort(at[mine], kind="stable")]
            mine = mine[np.diff(at[mine], prepend=-1) > 0]
            tracks[str(track_id)] = Track(
                id=str(track_id),
                label=str(rows["category"][mine[0]]).lower(),
                stamps_s=stamps_s[at[mine]],
                positions_world_m=positions[mine],
                covariances=sigmas[mine, None, None] ** 2 * np.eye(3),
                orientations_xyzw=orientations[mine],
                orientation_sigmas_rad=np.full(len(mine), LABEL_HEADING_SIGMA_RAD),
                size_lwh_m=np.median(sizes[mine], axis=0),
            )
        return Scene(
            stamps_s=stamps_s,
            tracks=tracks,
            T_world_camera=self.T_world_base @ self.T_base_camera,
            T_world_base=self.T_world_base,
            origin_ns=origin,
            ego_sigma_m=EGO_SIGMA_M,
        )

    def frames(self) -> Iterator[Frame]:
        """Frames whose 3D detections are the annotated boxes (without their ids when `detections` asks to track)."""
        yield from frames_of_scene(self.truth(), keep_ids=self.detector is None)


def _read(path: Path, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Columns of a feather file.

    Raises:
        SourceError: the file is damaged or lacks a column.
    """
    try:
        from pyarrow import ArrowInvalid, feather
    except ImportError:
        raise DependencyError("Argoverse 2 logs are read by pyarrow: pip install pyarrow") from None
    try:
        table = feather.read_table(path)
    except (ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} is no whole feather file ({error}); download it again") from error
    lacking = [c for c in columns if c not in table.column_names]
    if lacking:
        raise SourceError(f"{path} lacks the columns {', '.join(lacking)}; it has {', '.join(table.column_names)}")
    return {c: table[c].to_numpy() for c in columns}


def _ego_poses(path: Path, stamps_ns: np.ndarray) -> np.ndarray:
    """T_world_base (T, 4, 4) at the annotations' stamps, the first one at the origin of the world.

    Raises:
        SourceError: the poses do not cover the annotations.
    """
    rows = _read(path, ("timestamp_ns", *_QUATERNION, *_POSITION))
    known_ns, first = np.unique(rows["timestamp_ns"], return_index=True)
    if not len(known_ns) or stamps_ns[0] < known_ns[0] or stamps_ns[-1] > known_ns[-1]:
        raise SourceError(
            f"{path} covers {known_ns[[0, -1]].tolist() if len(known_ns) else 'nothing'} ns, the annotations"
            f" {stamps_ns[[0, -1]].tolist()} ns; both files must be of the same log"
        )
    R = tf.matrices_from_quaternions(np.stack([rows[n] for n in _QUATERNION], axis=1)[first])
    positions = np.stack([rows[n] for n in _POSITION], axis=1)[first]
    # Seconds since the first stamp: nanoseconds since 1970 do not fit into a float.
    known_s, at_s = (known_ns - stamps_ns[0]) * 1e-9, (stamps_ns - stamps_ns[0]) * 1e-9
    T_city_base = tf.interpolate_transforms(known_s, tf.make_transform(R, positions), at_s)
    T_city_base[:, :3, 3] -= T_city_base[0, :3, 3].copy()
    return T_city_base


def _camera_mount(path: Path) -> np.ndarray:
    """T_base_camera (4, 4) of the front camera, or a virtual camera at the base where the log has no calibration."""
    if not path.is_file():
        return tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))
    rows = _read(path, ("sensor_name", *_QUATERNION, *_POSITION))
    at = np.flatnonzero(rows["sensor_name"] == CAMERA)
    if not len(at):
        raise SourceError(f"{path} has no sensor {CAMERA}; it has {', '.join(map(str, rows['sensor_name']))}")
    R = tf.matrices_from_quaternions(np.array([rows[n][at[0]] for n in _QUATERNION]))
    return tf.make_transform(R, np.array([rows[n][at[0]] for n in _POSITION]))
