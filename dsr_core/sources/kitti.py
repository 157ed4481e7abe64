"""KITTI tracking: labels as truth or a detector's 3D boxes, GPS/IMU ego-motion and calibration.

Coordinates: labels and detections are in the rectified frame of camera 0 (optical: x right, y down, z forward), with
the bottom centre of the box as position; here a thing's position is the centre of its box. The robot base is the
GPS/IMU unit (x forward, y left, z up); the world ("odom") is east-north-up with its origin at the first pose.
Frame i is second i/10.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.scene import Scene, Track
from dsr_core.sources.base import Source
from dsr_core.values import Detection, Frame

FRAME_RATE_HZ = 10
EARTH_RADIUS_M = 6378137.0
#: One-sigma of a labelled centre relative to the ego: a constant and a part that grows with range. Parked cars scatter
#: 0.03-0.07 m while the range changes little, and 0.13-0.21 m in the world over a whole pass: the rest is the ego's.
LABEL_SIGMA_M = 0.05
LABEL_SIGMA_PER_M = 0.002
LABEL_HEADING_SIGMA_RAD = 0.05
#: One-sigma of the GPS/IMU position relative to itself some seconds ago: the place of parked cars, labelled from the
#: driving ego, wanders by 0.14 m an axis in one second, 0.19 in two, 0.27 in four, 0.30 in eight (RMS).
EGO_SIGMA_M = 0.20
CLASSES = ("Car", "Pedestrian", "Cyclist")
IMAGE_SIZE = (1242, 375)

#: Rotation columns x forward, y left, z up of a thing with rotation_y = 0, in the camera's optical frame.
_R_CAMERA_OBJECT0 = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def recognises(path: Path) -> bool:
    """Whether `path` is a KITTI tracking root (it holds `oxts/` and `calib/` with one file a sequence)."""
    return (path / "oxts").is_dir() and (path / "calib").is_dir()


def sequences(root: Path) -> list[str]:
    """Names of the sequences under a KITTI tracking root."""
    return sorted(p.stem for p in (Path(root) / "oxts").glob("*.txt"))


def object_rotations(rotation_y_rad: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) from the object frame to the optical frame for KITTI's rotation_y (...) in radians."""
    c, s = np.cos(rotation_y_rad), np.sin(rotation_y_rad)
    zero, one = np.zeros_like(c), np.ones_like(c)
    turn = np.stack([np.stack([c, zero, s], -1), np.stack([zero, one, zero], -1), np.stack([-s, zero, c], -1)], -2)
    return turn @ _R_CAMERA_OBJECT0


def read_calibration(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """K (3, 3) of the colour camera and T_base_camera (4, 4): rectified camera 0 to GPS/IMU.

    Raises:
        SourceError: a matrix is missing.
    """
    entries = {}
    for line in path.read_text().splitlines():
        name, _, numbers = line.strip().partition(" ")
        if numbers:
            entries[name.rstrip(":")] = np.array(numbers.split(), float)
    lacking = [n for n in ("P2", "R_rect", "Tr_velo_cam", "Tr_imu_velo") if n not in entries]
    if lacking:
        raise SourceError(
            f"{path} lacks {', '.join(lacking)}; take the file from KITTI's tracking calibration download"
        )
    bottom = np.array([[0.0, 0.0, 0.0, 1.0]])
    T_velo_base = np.vstack([entries["Tr_imu_velo"].reshape(3, 4), bottom])
    T_camera_velo = np.vstack([entries["Tr_velo_cam"].reshape(3, 4), bottom])
    T_rect_camera = tf.make_transform(entries["R_rect"].reshape(3, 3), np.zeros(3))
    T_camera_base = T_rect_camera @ T_camera_velo @ T_velo_base
    # The file's seven digits leave the rotation 1e-7 off orthonormal; quaternions on ROS' /tf would differ from it.
    T_camera_base[:3, :3] = tf.matrices_from_quaternions(tf.quaternions_from_matrices(T_camera_base[:3, :3]))
    return entries["P2"].reshape(3, 4)[:, :3], tf.invert(T_camera_base)


def read_ego_poses(path: Path) -> np.ndarray:
    """T_world_base (T, 4, 4) from an oxts file (Mercator projection at the first latitude).

    Raises:
        SourceError: a line is cut short or is no number.
    """
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            rows.append([float(v) for v in line.split()[:6]])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != 6:
            raise SourceError(
                f"{path} line {number}: latitude, longitude, altitude, roll, pitch, yaw expected;"
                " the file is cut or damaged"
            )
    if not rows:
        raise SourceError(f"{path} is empty; take it from KITTI's tracking oxts download")
    lat, lon, alt, roll, pitch, yaw = np.array(rows).T
    scale = np.cos(np.radians(lat[0]))
    position = np.stack(
        [
            scale * EARTH_RADIUS_M * np.radians(lon),
            scale * EARTH_RADIUS_M * np.log(np.tan(np.pi / 4 + np.radians(lat) / 2)),
            alt,
        ],
        axis=-1,
    )
    rotation = Rotation.from_euler("ZYX", np.stack([yaw, pitch, roll], axis=-1)).as_matrix()
    return tf.make_transform(rotation, position - position[0])


class KittiTracking(Source):
    """One sequence of the KITTI tracking benchmark.

    Args:
        root: Folder with `oxts/`, `calib/`, and `label_02/` and/or `detections/<name>_<Class>/`.
        sequence: Four digits, e.g. "0007".
        detections: Name of a detector under `detections/`, e.g. "pointrcnn"; None takes the labels.

    Raises:
        SourceError: no such sequence or detector; the message lists what there is.
    """

    def __init__(self, root: str | Path, sequence: str | None = None, detections: str | None = None):
        root = Path(root)
        there = sequences(root)
        if sequence is None and len(there) == 1:
            sequence = there[0]
        if sequence not in there:
            raise SourceError(f"--sequence {sequence} is not in {root}; there are: {', '.join(there) or 'none'}")
        self.root, self.sequence, self.detector = root, sequence, detections
        self.name = f"kitti-{sequence}" + (f"-{detections}" if detections else "")
        self.K, self.T_base_camera = read_calibration(root / "calib" / f"{sequence}.txt")
        self.T_world_base = read_ego_poses(root / "oxts" / f"{sequence}.txt")
        self.camera = Camera(self.K, IMAGE_SIZE)
        self.labels_path = root / "label_02" / f"{sequence}.txt"
        if detections is None and not self.labels_path.exists():
            raise SourceError(
                f"{self.labels_path} is missing; give --detections NAME to use a detector instead of labels"
            )
        if detections is not None:
            folder = root / "detections"
            self.detection_paths = {c: folder / f"{detections}_{c}" / f"{sequence}.txt" for c in CLASSES}
            if not any(p.exists() for p in self.detection_paths.values()):
                known = sorted({p.name.rsplit("_", 1)[0] for p in folder.glob("*_*")})
                raise SourceError(
                    f"--detections {detections}: no file for sequence {sequence} under {folder};"
                    f" there are: {', '.join(known) or 'none'}"
                )

    def __len__(self) -> int:
        return len(self.T_world_base)

    @property
    def T_world_camera(self) -> np.ndarray:
        """(T, 4, 4) rectified camera 0 to world."""
        return self.T_world_base @ self.T_base_camera

    def truth(self) -> Scene | None:
        """The labels as tracks, or None where the sequence has no labels."""
        if not self.labels_path.exists():
            return None
        labels = read_labels(self.labels_path)
        T_world_camera = self.T_world_camera
        tracks = {}
        for track_id in dict.fromkeys(labels["id"]):
            rows = labels["id"] == track_id
            frames = labels["frame"][rows]
            known = frames < len(T_world_camera)
            frames = frames[known]
            box = labels["box3d"][rows][known]
            centre = box[:, 3:6] - np.stack([np.zeros(len(box)), box[:, 0] / 2, np.zeros(len(box))], -1)
            T = T_world_camera[frames]
            sigma = LABEL_SIGMA_M + LABEL_SIGMA_PER_M * np.linalg.norm(centre, axis=1)
            tracks[str(track_id)] = Track(
                id=str(track_id),
                label=labels["type"][rows][0].lower(),
                stamps_s=frames / FRAME_RATE_HZ,
                positions_world_m=tf.transform_points(T, centre),
                covariances=sigma[:, None, None] ** 2 * np.eye(3),
                orientations_xyzw=tf.quaternions_from_matrices(T[:, :3, :3] @ object_rotations(box[:, 6])),
                orientation_sigmas_rad=np.full(len(frames), LABEL_HEADING_SIGMA_RAD),
                size_lwh_m=np.median(box[:, [2, 1, 0]], axis=0),
                boxes_px=labels["box2d"][rows][known],
                image_size=IMAGE_SIZE,
            )
        return Scene(
            stamps_s=np.arange(len(self)) / FRAME_RATE_HZ,
            tracks=tracks,
            T_world_camera=T_world_camera,
            T_world_base=self.T_world_base,
            K=self.K,
            image_size=IMAGE_SIZE,
            ego_sigma_m=EGO_SIGMA_M,
        )

    def frames(self) -> Iterator[Frame]:
        """Frames with 3D detections in the optical frame (the labels' boxes, with their ids, without `detections`)."""
        found = self._detections_by_frame()
        T_world_camera = self.T_world_camera
        for i in range(len(self)):
            yield Frame(
                stamp_ns=i * (1_000_000_000 // FRAME_RATE_HZ),
                T_world_camera=T_world_camera[i],
                T_world_base=self.T_world_base[i],
                rgb=self._image(i),
                camera=self.camera,
                detections=tuple(found.get(i, ())),
            )

    def _image(self, index: int) -> np.ndarray | None:
        path = self.root / "image_02" / self.sequence / f"{index:06d}.png"
        if not path.exists():
            return None
        import cv2

        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        return None if image is None else np.ascontiguousarray(image[:, :, ::-1])

    def _detections_by_frame(self) -> dict[int, list[Detection]]:
        found: dict[int, list[Detection]] = {}
        if self.detector is None:
            labels = read_labels(self.labels_path)
            sigma = LABEL_SIGMA_M + LABEL_SIGMA_PER_M * np.linalg.norm(labels["box3d"][:, 3:6], axis=1)
            rows = zip(
                labels["frame"], labels["type"], labels["box2d"], labels["box3d"], sigma, labels["id"], strict=True
            )
            for frame, label, box2d, box3d, sigma_m, track_id in rows:
                found.setdefault(int(frame), []).append(
                    _detection(
                        label.lower(), 1.0, box2d, box3d, str(track_id), np.eye(3) * sigma_m**2, LABEL_HEADING_SIGMA_RAD
                    )
                )
            return found
        for label, path in self.detection_paths.items():
            if not path.exists():
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                try:
                    row = np.array(line.split(","), float)
                    frame, box2d, logit, box3d = int(row[0]), row[2:6], row[6], row[7:14]
                    if box3d.shape != (7,):
                        raise ValueError("too few columns")
                except ValueError as error:
                    raise SourceError(f"{path} line {number}: {error}; 15 comma-separated numbers expected") from None
                score = float(np.float32(1.0 / (1.0 + np.exp(-logit))))  # as it is in a message
                found.setdefault(frame, []).append(_detection(label.lower(), score, box2d, box3d))
        return found


def _detection(label, score, box2d, box3d, track_id="", covariance=None, heading_sigma_rad=0.2) -> Detection:
    height, width, length, x, y, z, rotation_y = box3d
    return Detection(
        label=label,
        score=score,
        box_px=box2d,
        position_camera_m=np.array([x, y - height / 2, z]),
        covariance_camera=covariance,
        size_lwh_m=np.array([length, width, height]),
        orientation_camera_xyzw=tf.quaternions_from_matrices(object_rotations(np.asarray(rotation_y))),
        orientation_sigma_rad=heading_sigma_rad,
        id=track_id,
    )


def read_labels(path: Path) -> dict[str, np.ndarray]:
    """Columns of a KITTI label file without the DontCare rows.

    Returns:
        frame (N,) int, id (N,) int, type (N,) str, box2d (N, 4) pixels, box3d (N, 7): height, width, length, x, y, z
        of the bottom centre in metres, rotation_y in radians.

    Raises:
        SourceError: a row is cut short or is no number.
    """
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        parts = line.split()
        if len(parts) > 2 and parts[2] == "DontCare":
            continue
        try:
            rows.append((int(parts[0]), int(parts[1]), parts[2], [float(v) for v in parts[6:17]]))
            if len(rows[-1][3]) != 11:
                raise ValueError("too few columns")
        except (ValueError, IndexError) as error:
            raise SourceError(
                f"{path} line {number}: {error}; the 17 columns of a KITTI tracking label expected"
            ) from None
    boxes = np.array([r[3] for r in rows], float).reshape(-1, 11)
    return {
        "frame": np.array([r[0] for r in rows], int),
        "id": np.array([r[1] for r in rows], int),
        "type": np.array([r[2] for r in rows], dtype=str),
        "box2d": boxes[:, :4],
        "box3d": boxes[:, 4:],
    }
