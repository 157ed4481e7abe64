"""The values that flow from a sensor to the tracker: Frame, Detection, Observation, FrameObservations.

Pixels are (u, v) with the origin at the top-left corner; boxes are x1, y1, x2, y2. `T_a_b` maps points from b to a.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dsr_core.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class Detection:
    """What a detector says about one thing in one image, before it is placed in the world.

    Either 2D (`box_px` and/or `mask`), to be lifted by depth, or 3D (`position_camera_m`), or both.

    Attributes:
        label: Class name.
        score: Detector's score.
        box_px: (4,) x1, y1, x2, y2 in pixels, or None.
        mask: (H, W) bool in the size of the image, or None.
        position_camera_m: (3,) centre of the 3D box in the optical frame, or None.
        covariance_camera: (3, 3) of that centre in square metres, or None (a default is used).
        size_lwh_m: (3,) length, width, height, or None.
        orientation_camera_xyzw: (4,) rotation from the object's frame (x forward, y left, z up) to the optical
            frame, or None.
        orientation_sigma_rad: One-sigma of the heading.
        id: Identity given by an upstream tracker, "" for none.
    """

    label: str
    score: float = 1.0
    box_px: np.ndarray | None = None
    mask: np.ndarray | None = None
    position_camera_m: np.ndarray | None = None
    covariance_camera: np.ndarray | None = None
    size_lwh_m: np.ndarray | None = None
    orientation_camera_xyzw: np.ndarray | None = None
    orientation_sigma_rad: float = 0.2
    id: str = ""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image (or one set of 3D detections) with its pose.

    Attributes:
        stamp_ns: Acquisition time in nanoseconds.
        T_world_camera: (4, 4) optical frame to world, or None where unknown.
        T_world_base: (4, 4) robot base (x forward, y left, z up) to world, or None.
        rgb: (H, W, 3) uint8, or None.
        depth_m: (H, W) float32 metres along the optical axis, registered to `rgb`, NaN = invalid (REP-118), or None.
        camera: Intrinsics, or None.
        detections: What the detectors found; an empty tuple is a frame in which nothing was seen.
        T_world_frames: Name -> (4, 4) of other frames that a question may look from (a gripper, a second robot); those
            that are not known at this stamp are left out.
    """

    stamp_ns: int
    T_world_camera: np.ndarray | None = None
    T_world_base: np.ndarray | None = None
    rgb: np.ndarray | None = None
    depth_m: np.ndarray | None = None
    camera: Camera | None = None
    detections: tuple[Detection, ...] = ()
    T_world_frames: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Observation:
    """One thing placed in the world at one time.

    Attributes:
        label: Class name.
        position_world_m: (3,) centre.
        covariance_world: (3, 3) of the centre, square metres.
        score: Detector's score.
        size_lwh_m: (3,) length, width, height, or None.
        orientation_world_xyzw: (4,) object frame (x forward, y left, z up) to world, or None.
        orientation_sigma_rad: One-sigma of the heading.
        box_px: (4,) x1, y1, x2, y2, or None.
        source: Name of the camera or detector.
        id: Identity given by an upstream tracker, "" for none.
    """

    label: str
    position_world_m: np.ndarray
    covariance_world: np.ndarray
    score: float = 1.0
    size_lwh_m: np.ndarray | None = None
    orientation_world_xyzw: np.ndarray | None = None
    orientation_sigma_rad: float = 0.2
    box_px: np.ndarray | None = None
    source: str = ""
    id: str = ""


@dataclass(frozen=True, eq=False)
class FrameObservations:
    """Everything the tracker and the memory need of one frame.

    Attributes:
        stamp_ns: Acquisition time in nanoseconds.
        observations: What was seen; empty for a frame in which nothing was seen.
        T_world_camera: (4, 4), or None where unknown.
        T_world_base: (4, 4), or None where unknown.
        K: (3, 3) of the camera, or None.
        image_size: (width, height) that `box_px` refers to, or None.
        T_world_frames: Name -> (4, 4) of other frames that a question may look from.
    """

    stamp_ns: int
    observations: tuple[Observation, ...] = field(default_factory=tuple)
    T_world_camera: np.ndarray | None = None
    T_world_base: np.ndarray | None = None
    K: np.ndarray | None = None
    image_size: tuple[int, int] | None = None
    T_world_frames: dict[str, np.ndarray] = field(default_factory=dict)
