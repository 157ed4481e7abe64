"""One frame's detections placed in the world: 3D boxes by the camera's pose, 2D boxes and masks by depth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.lifting import LiftingConfig, LiftingError, lift
from dsr_core.values import Detection, Frame, FrameObservations, Observation


@dataclass(frozen=True)
class LiftConfig:
    """Constants of the placing of detections.

    Attributes:
        depth: Constants of the lifting by depth.
        box3d_sigma_m: One-sigma of a 3D box's centre along the ray where its detector gives none: constant part, metres
            (PointRCNN's errors against KITTI's labels, all classes, 5 to 60 m).
        box3d_sigma_per_m: Growth of that with range.
        box3d_lateral_m: The same across the ray: constant part, metres.
        box3d_lateral_per_m: Growth of that with range.
        min_sigma_m: Floor of every one-sigma, metres.
        source: Name put into the observations.
    """

    depth: LiftingConfig = field(default_factory=LiftingConfig)
    box3d_sigma_m: float = 0.11
    box3d_sigma_per_m: float = 0.0035
    box3d_lateral_m: float = 0.06
    box3d_lateral_per_m: float = 0.002
    min_sigma_m: float = 0.005
    source: str = ""

    def __post_init__(self):
        for name in ("box3d_sigma_m", "box3d_sigma_per_m", "box3d_lateral_m", "box3d_lateral_per_m", "min_sigma_m"):
            if not getattr(self, name) >= 0:
                raise GeometryError(f"lift: {name} = {getattr(self, name)} must not be negative")
        if self.min_sigma_m == 0:
            raise GeometryError("lift: min_sigma_m must be positive; a filter cannot use a noiseless measurement")


def observe(frame: Frame, config: LiftConfig = LiftConfig()) -> FrameObservations:
    """Places a frame's detections in the world; those that cannot be placed are left out.

    Raises:
        GeometryError: the frame has no camera pose although it has detections, or no pose at all, or no rigid one; or
            it has nothing but boxes and masks, and no depth or camera_info to place them by.
    """
    return observe_with_report(frame, config)[0]


def observe_with_report(frame: Frame, config: LiftConfig = LiftConfig()) -> tuple[FrameObservations, Counter]:
    """`observe`, and how many detections were left out by reason (see `geometry.lifting.lift` and `_place`).

    Raises:
        GeometryError: as for `observe`.
    """
    if frame.T_world_camera is None and frame.T_world_base is not None and not frame.detections:
        base_only = FrameObservations(
            stamp_ns=frame.stamp_ns, T_world_base=frame.T_world_base, T_world_frames=frame.T_world_frames
        )
        return base_only, Counter()
    if frame.T_world_camera is None:
        raise GeometryError(
            f"frame at {frame.stamp_ns} ns has no T_world_camera, so its {len(frame.detections)} detections cannot be"
            " placed; check that TF connects the world frame to the camera at the image's stamp"
        )
    T_world_camera = tf.check_rigid(frame.T_world_camera, "T_world_camera")
    observations, dropped = [], Counter()
    for detection in frame.detections:
        try:
            observations.append(_place(detection, frame, T_world_camera, config))
        except LiftingError as error:
            dropped[error.reason] += 1
    if frame.detections and dropped["no_depth"] + dropped["no_camera"] == len(frame.detections):
        # Handed on, it would say that nothing was there.
        lacking = "depth image" if dropped["no_depth"] else "camera_info"
        raise GeometryError(
            f"no {lacking} goes with the frame, so its boxes cannot be placed; check the depth topic and camera_info"
        )
    return (
        FrameObservations(
            stamp_ns=frame.stamp_ns,
            observations=tuple(observations),
            T_world_camera=T_world_camera,
            T_world_base=frame.T_world_base,
            K=None if frame.camera is None else frame.camera.K,
            image_size=None if frame.camera is None else frame.camera.image_size,
            T_world_frames=frame.T_world_frames,
        ),
        dropped,
    )


def _place(detection: Detection, frame: Frame, T_world_camera: np.ndarray, config: LiftConfig) -> Observation:
    """One detection in the world.

    Raises:
        LiftingError: reason no_depth, no_camera, not_finite, or one of `geometry.lifting.lift`.
    """
    size = _finite(detection.size_lwh_m)
    turned = _rotation(detection.orientation_camera_xyzw)
    if detection.position_camera_m is not None:
        position = np.asarray(detection.position_camera_m, float)
        if position.shape != (3,) or not np.isfinite(position).all():
            raise LiftingError(
                "not_finite", f"3D position {position} of {detection.label!r} is not three finite metres"
            )
        covariance = _usable_covariance(detection.covariance_camera, config)
        if covariance is None:
            covariance = default_covariance(position, config)
    else:
        if frame.depth_m is None:
            raise LiftingError("no_depth", f"{detection.label!r} has no 3D position and the frame no depth image")
        if frame.camera is None:
            raise LiftingError("no_camera", f"{detection.label!r} has no 3D position and the frame no camera_info")
        lifted = lift(frame.depth_m, frame.camera, detection.box_px, detection.mask, size, config.depth, turned)
        position = lifted.position_camera_m
        covariance = lifted.covariance_camera + np.eye(3) * config.min_sigma_m**2
        if size is None and not (lifted.truncated or lifted.occluded):
            size = lifted.size_dwh_m
    R = T_world_camera[:3, :3]
    orientation = None if turned is None else tf.quaternions_from_matrices(R @ turned)
    box = _finite(detection.box_px)
    if box is None and detection.mask is not None:
        box = _mask_bounds(detection.mask)
    return Observation(
        label=detection.label,
        position_world_m=tf.transform_points(T_world_camera, position),
        covariance_world=tf.rotate_covariances(R, covariance),
        score=float(detection.score),
        size_lwh_m=size,
        orientation_world_xyzw=orientation,
        orientation_sigma_rad=float(detection.orientation_sigma_rad),
        box_px=box,
        source=config.source,
        id=detection.id,
    )


def default_covariance(position_camera_m: np.ndarray, config: LiftConfig = LiftConfig()) -> np.ndarray:
    """Covariance (3, 3) of a 3D box's centre at (3,) metres whose detector gives none: a range-dependent ellipsoid."""
    distance = float(np.linalg.norm(position_camera_m))
    along = np.hypot(config.box3d_sigma_m + config.box3d_sigma_per_m * distance, config.min_sigma_m)
    across = np.hypot(config.box3d_lateral_m + config.box3d_lateral_per_m * distance, config.min_sigma_m)
    ray = position_camera_m / distance if distance > 1e-6 else np.array([0.0, 0.0, 1.0])
    return across**2 * np.eye(3) + (along**2 - across**2) * np.outer(ray, ray)


def _usable_covariance(covariance, config: LiftConfig) -> np.ndarray | None:
    """A detector's covariance with the floor applied, or None where it is absent or no covariance."""
    if covariance is None:
        return None
    covariance = np.asarray(covariance, float)
    if covariance.shape != (3, 3) or not np.isfinite(covariance).all() or not covariance.any():
        return None
    covariance = 0.5 * (covariance + covariance.T)
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-6 * max(values[2], 1e-12):
        return None
    floor = config.min_sigma_m**2
    return covariance if values[0] >= floor else (vectors * np.maximum(values, floor)) @ vectors.T


def _finite(values) -> np.ndarray | None:
    if values is None:
        return None
    values = np.asarray(values, float)
    return values if np.isfinite(values).all() else None


def _rotation(quaternion_xyzw) -> np.ndarray | None:
    """(3, 3) of a quaternion, or None where it is absent or no rotation."""
    q = _finite(quaternion_xyzw)
    return None if q is None or np.linalg.norm(q) <= 1e-9 else tf.matrices_from_quaternions(q)


def _mask_bounds(mask: np.ndarray) -> np.ndarray | None:
    """Box (4,) around a mask, or None for an empty one."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
