"""ROS messages as core values, by attribute names alone: the same for bags (rosbags) and live topics (rclpy)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr_core.errors import GeometryError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.tf_tree import TransformBuffer
from dsr_core.sources import ros_image
from dsr_core.values import Detection


def stamp_ns(time) -> int:
    """Nanoseconds of a `builtin_interfaces/Time`."""
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)


def vector(v) -> np.ndarray:
    """(3,) of a Point or Vector3."""
    return np.array([v.x, v.y, v.z], float)


def quaternion(q) -> np.ndarray:
    """(4,) x, y, z, w of a Quaternion."""
    return np.array([q.x, q.y, q.z, q.w], float)


def add_transform(buffer: TransformBuffer, transform, static: bool = False) -> None:
    """Stores a `geometry_msgs/TransformStamped`.

    Raises:
        GeometryError: it is no pose.
    """
    t, q = transform.transform.translation, transform.transform.rotation
    buffer.add(
        transform.header.frame_id, transform.child_frame_id, stamp_ns(transform.header.stamp),
        (t.x, t.y, t.z), (q.x, q.y, q.z, q.w), static,
    )  # fmt: skip


def add_odometry(buffer: TransformBuffer, message, base_frame: str = "base_link") -> None:
    """Stores a `nav_msgs/Odometry` as the transform from its child frame (or `base_frame`) to its header's frame.

    Raises:
        GeometryError: it is no pose.
    """
    p, q = message.pose.pose.position, message.pose.pose.orientation
    buffer.add(
        message.header.frame_id or "odom", message.child_frame_id or base_frame, stamp_ns(message.header.stamp),
        (p.x, p.y, p.z), (q.x, q.y, q.z, q.w),
    )  # fmt: skip


def camera_from_info(info, rectified: bool = False) -> Camera:
    """The camera of a `sensor_msgs/CameraInfo`.

    Args:
        info: The message.
        rectified: The image is rectified (its topic is `image_rect…`): the projection matrix P counts, not K and D.

    Raises:
        GeometryError: no usable calibration.
    """
    k, d = np.asarray(info.k, float).reshape(3, 3), np.asarray(info.d, float)
    if rectified:
        k, d = np.asarray(info.p, float).reshape(3, 4)[:, :3], np.zeros(0)
    width, height = int(info.width), int(info.height)
    roi = info.roi
    if roi.width and roi.height:
        k = k - [[0, 0, roi.x_offset], [0, 0, roi.y_offset], [0, 0, 0]]
        width, height = int(roi.width), int(roi.height)
    binning = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
    if binning != (1, 1):
        k = k / [[binning[0]], [binning[1]], [1]]
        width, height = width // binning[0], height // binning[1]
    return Camera(k, (width, height), d, info.distortion_model if d.size else "plumb_bob")


def rgb_from_image(message) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a `sensor_msgs/Image` or `CompressedImage`.

    Raises:
        SourceError: it cannot be decoded.
    """
    if hasattr(message, "format"):
        return ros_image.decode_compressed(message.format, message.data)
    return ros_image.to_rgb(_pixels(message), message.encoding)


def depth_from_image(message) -> np.ndarray:
    """(H, W) float32 metres, NaN where unknown, of a `sensor_msgs/Image` or compressedDepth `CompressedImage`.

    Raises:
        SourceError: it cannot be decoded.
    """
    if hasattr(message, "format"):
        return ros_image.decode_compressed_depth(message.format, message.data)
    return ros_image.depth_to_metres(_pixels(message), message.encoding)


def _pixels(message) -> np.ndarray:
    return ros_image.decode_image(
        message.encoding, message.height, message.width, message.step, message.is_bigendian, message.data
    )


def detections_from_array(message, T_camera_header: np.ndarray | None = None) -> tuple[Detection, ...]:
    """Detections of a `dsr_ros/DetectionArray`.

    Args:
        message: The message.
        T_camera_header: (4, 4) from the array's frame to the optical frame; None where they are the same.

    Raises:
        SourceError: a mask does not fit into its image.
    """
    out = []
    for d in message.detections:
        box3d = bool(d.has_box3d)
        size = vector(d.size)
        covariance = np.asarray(d.pose.covariance, float).reshape(6, 6)[:3, :3]
        orientation = quaternion(d.pose.pose.orientation) if d.has_orientation else None
        out.append(
            placed(
                Detection(
                    label=d.label,
                    score=float(d.score),
                    box_px=np.array(d.box, float) if d.has_box else None,
                    mask=_full_mask(d, int(message.image_width), int(message.image_height)),
                    position_camera_m=vector(d.pose.pose.position) if box3d else None,
                    covariance_camera=covariance if box3d and covariance.any() else None,
                    size_lwh_m=size if size.any() and np.isfinite(size).all() else None,
                    orientation_camera_xyzw=orientation,
                    orientation_sigma_rad=float(d.orientation_sigma),
                    id=d.id,
                ),
                T_camera_header,
            )
        )
    return tuple(out)


def placed(detection: Detection, T_camera_header: np.ndarray | None) -> Detection:
    """A detection whose 3D part is given in another frame, moved to the optical frame by `T_camera_header` (4, 4)."""
    if T_camera_header is None:
        return detection
    R = T_camera_header[:3, :3]
    position, covariance = detection.position_camera_m, detection.covariance_camera
    orientation = detection.orientation_camera_xyzw
    if orientation is not None:
        try:
            orientation = tf.quaternions_from_matrices(R @ tf.matrices_from_quaternions(orientation))
        except GeometryError:
            orientation = None
    return replace(
        detection,
        position_camera_m=None if position is None else tf.transform_points(T_camera_header, position),
        covariance_camera=None if covariance is None else tf.rotate_covariances(R, covariance),
        orientation_camera_xyzw=orientation,
    )


def _full_mask(detection, image_width: int, image_height: int) -> np.ndarray | None:
    """(H, W) bool of the image's size, of a mask that may be a cut-out."""
    message = detection.mask
    if not message.width or not message.height:
        return None
    part = _pixels(message) != 0
    if part.ndim != 2:
        raise SourceError(f"mask of {detection.label!r} has encoding {message.encoding!r}; publish mono8")
    x, y = int(detection.mask_x), int(detection.mask_y)
    width, height = image_width or x + part.shape[1], image_height or y + part.shape[0]
    if x + part.shape[1] > width or y + part.shape[0] > height:
        raise SourceError(
            f"mask of {detection.label!r}, {part.shape[1]}x{part.shape[0]} at {x}, {y}, does not fit into the"
            f" {width}x{height} image; mask_x and mask_y are its top-left pixel in the image"
        )
    if part.shape == (height, width):
        return part
    full = np.zeros((height, width), bool)
    full[y : y + part.shape[0], x : x + part.shape[1]] = part
    return full


def detections_from_vision_msgs(message, T_camera_header: np.ndarray | None = None) -> tuple[Detection, ...]:
    """Detections of a `vision_msgs/Detection2DArray` or `Detection3DArray` (versions 2 to 4), best hypothesis each.

    Args:
        message: The message.
        T_camera_header: As for `detections_from_array`.
    """
    out = []
    for d in message.detections:
        if not d.results:
            continue
        # Version 2 has the class in the result itself, later ones in its hypothesis.
        guesses = [getattr(r, "hypothesis", r) for r in d.results]
        best = max(range(len(guesses)), key=lambda i: guesses[i].score)
        label = str(getattr(guesses[best], "class_id", "") or getattr(guesses[best], "id", ""))
        track_id = str(getattr(d, "id", "") or getattr(d, "tracking_id", ""))
        fields = {"label": label, "score": float(guesses[best].score), "id": track_id}
        centre = d.bbox.center
        if hasattr(d.bbox, "size"):
            pose_covariance = np.asarray(d.results[best].pose.covariance, float).reshape(6, 6)[:3, :3]
            q = quaternion(centre.orientation)
            size = vector(d.bbox.size)
            fields |= {
                "position_camera_m": vector(centre.position),
                "covariance_camera": pose_covariance if pose_covariance.any() else None,
                "orientation_camera_xyzw": q if np.linalg.norm(q) > 1e-6 else None,
                "size_lwh_m": size if size.any() else None,
            }
        else:
            at = getattr(centre, "position", centre)
            half_x, half_y = d.bbox.size_x / 2, d.bbox.size_y / 2
            fields["box_px"] = np.array([at.x - half_x, at.y - half_y, at.x + half_x, at.y + half_y], float)
        out.append(placed(Detection(**fields), T_camera_header))
    return tuple(out)
