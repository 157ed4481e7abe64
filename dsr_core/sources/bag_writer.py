"""Frames into a ROS 2 bag with standard topics, whole or not at all. No `/clock`: the player publishes it.

| topic | type | frame |
|---|---|---|
| `/tf`, `/tf_static` | tf2_msgs/TFMessage | odom -> base_link -> camera_optical_frame, at each frame's stamp |
| `/camera/color/image_raw/compressed` (JPEG) or `/camera/color/image_raw` (rgb8) | sensor_msgs | camera_optical_frame |
| `/camera/depth/image_raw/compressedDepth` (PNG) or `/camera/depth/image_raw` (16UC1, 32FC1) | sensor_msgs | same |
| `/camera/color/camera_info` | sensor_msgs/CameraInfo | same |
| `/detections` | dsr_ros/DetectionArray | same |
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.sources import ros_image
from dsr_core.sources.ros_types import typestore
from dsr_core.values import Detection, Frame

IMAGE_FORMATS = ("jpeg", "raw")
DEPTH_FORMATS = ("png", "16UC1", "32FC1")
STORAGES = ("mcap", "sqlite3")
NO_TURN_XYZW = (0.0, 0.0, 0.0, 1.0)


class BagWriter:
    """Writes frames to a new bag; as a context manager it leaves nothing behind when an error ends it.

    Args:
        out: Folder of the bag; must not exist.
        storage: "mcap" or "sqlite3".
        image_format: "jpeg" (quality 90) or "raw".
        depth_format: "png" (compressedDepth, lossless millimetres), "16UC1" or "32FC1".
        source: Name of the detector or data set, put into the detections.
        world_frame, base_frame, camera_frame: Frame names.
        T_base_camera: (4, 4) mount of the camera, written once to `/tf_static`; None writes it with each frame.

    Raises:
        SourceError: the folder exists, or an unknown format is asked for.
    """

    def __init__(
        self,
        out: str | Path,
        storage: str = "mcap",
        image_format: str = "jpeg",
        depth_format: str = "png",
        source: str = "",
        world_frame: str = "odom",
        base_frame: str = "base_link",
        camera_frame: str = "camera_optical_frame",
        T_base_camera: np.ndarray | None = None,
    ):
        for value, known, name in (
            (storage, STORAGES, "storage"),
            (image_format, IMAGE_FORMATS, "image format"),
            (depth_format, DEPTH_FORMATS, "depth format"),
        ):
            if value not in known:
                raise SourceError(f"{name} {value!r} is not known; use {' or '.join(known)}")
        self.out = Path(out)
        if self.out.exists():
            raise SourceError(f"{self.out} exists already; give another folder or remove it first")
        self.storage, self.image_format, self.depth_format, self.source = storage, image_format, depth_format, source
        self.world_frame, self.base_frame, self.camera_frame = world_frame, base_frame, camera_frame
        self.T_base_camera = T_base_camera
        self.frame_count = 0
        self._newest_ns: int | None = None
        self._connections: dict[str, tuple[object, str]] = {}

    def __enter__(self) -> BagWriter:
        self._types = typestore()
        from rosbags.rosbag2 import StoragePlugin, Writer

        self.out.parent.mkdir(parents=True, exist_ok=True)
        # Beside the goal, so that the last step is one rename on one file system.
        self._work = Path(tempfile.mkdtemp(prefix=f".{self.out.name}.", dir=self.out.parent))
        # rosbags names the files in the bag after its folder.
        self._writer = Writer(self._work / self.out.name, version=9, storage_plugin=StoragePlugin[self.storage.upper()])
        try:
            self._writer.open()
        except BaseException:
            shutil.rmtree(self._work, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind, error, trace) -> bool:
        try:
            if kind is None:
                if not self.frame_count:
                    raise SourceError(f"{self.out.name}: there was no frame to write")
                self._writer.close()
                os.replace(self._work / self.out.name, self.out)
            else:
                self._writer.abort()
        finally:
            shutil.rmtree(self._work, ignore_errors=True)
        return False

    @property
    def folder(self) -> Path:
        """The bag's folder while it is being written, for files that belong beside the recording."""
        return self._work / self.out.name

    def write(self, frame: Frame) -> None:
        """Appends one frame.

        Raises:
            SourceError: its stamp is zero or not later than the one before, or its depth cannot be stored.
        """
        if frame.stamp_ns <= 0 or (self._newest_ns is not None and frame.stamp_ns <= self._newest_ns):
            raise SourceError(
                f"frame stamp {frame.stamp_ns} ns is zero or not later than the one before ({self._newest_ns} ns);"
                " a bag needs increasing stamps"
            )
        self._newest_ns = frame.stamp_ns
        self._write_transforms(frame)
        if frame.camera is not None:
            self._put(
                "/camera/color/camera_info", "sensor_msgs/msg/CameraInfo", frame.stamp_ns, self._camera_info(frame)
            )
        if frame.rgb is not None:
            self._write_rgb(frame)
        if frame.depth_m is not None:
            self._write_depth(frame)
        detections = self._detection_array(frame)
        self._put("/detections", "dsr_ros/msg/DetectionArray", frame.stamp_ns, detections)
        self.frame_count += 1

    # --- one message each

    def _write_transforms(self, frame: Frame) -> None:
        links = []
        if frame.T_world_base is not None:
            links.append((self.world_frame, self.base_frame, frame.T_world_base))
        if frame.T_world_camera is not None and frame.T_world_base is None:
            links.append((self.world_frame, self.camera_frame, frame.T_world_camera))
        elif frame.T_world_camera is not None and self.T_base_camera is None:
            T_base_camera = tf.invert(frame.T_world_base) @ frame.T_world_camera
            links.append((self.base_frame, self.camera_frame, T_base_camera))
        elif frame.T_world_camera is not None and "/tf_static" not in self._connections:
            mount = [self._transform(self.base_frame, self.camera_frame, self.T_base_camera, frame.stamp_ns)]
            self._put(
                "/tf_static",
                "tf2_msgs/msg/TFMessage",
                frame.stamp_ns,
                self._make("tf2_msgs/msg/TFMessage", transforms=mount),
            )
        if links:
            message = self._make(
                "tf2_msgs/msg/TFMessage", transforms=[self._transform(*k, frame.stamp_ns) for k in links]
            )
            self._put("/tf", "tf2_msgs/msg/TFMessage", frame.stamp_ns, message)

    def _transform(self, parent: str, child: str, T_parent_child: np.ndarray, stamp_ns: int):
        x, y, z = T_parent_child[:3, 3].tolist()
        quaternion = tf.quaternions_from_matrices(T_parent_child[:3, :3])
        return self._make(
            "geometry_msgs/msg/TransformStamped",
            header=self._header(stamp_ns, parent),
            child_frame_id=child,
            transform=self._make(
                "geometry_msgs/msg/Transform",
                translation=self._make("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
                rotation=self._quaternion(quaternion),
            ),
        )

    def _camera_info(self, frame: Frame):
        camera = frame.camera
        P = np.zeros((3, 4))
        P[:, :3] = camera.K
        roi = self._make(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        return self._make(
            "sensor_msgs/msg/CameraInfo",
            header=self._header(frame.stamp_ns, self.camera_frame),
            height=camera.image_size[1], width=camera.image_size[0],
            distortion_model=camera.model or "plumb_bob",
            d=np.zeros(5) if not camera.D.size else camera.D,
            k=camera.K.ravel(), r=np.eye(3).ravel(), p=P.ravel(), binning_x=0, binning_y=0, roi=roi,
        )  # fmt: skip

    def _write_rgb(self, frame: Frame) -> None:
        header = self._header(frame.stamp_ns, self.camera_frame)
        if self.image_format == "jpeg":
            data = np.frombuffer(ros_image.encode_jpeg(frame.rgb), np.uint8)
            message = self._make(
                "sensor_msgs/msg/CompressedImage", header=header, format="rgb8; jpeg compressed bgr8", data=data
            )
            self._put("/camera/color/image_raw/compressed", "sensor_msgs/msg/CompressedImage", frame.stamp_ns, message)
        else:
            message = self._image(header, "rgb8", frame.rgb)
            self._put("/camera/color/image_raw", "sensor_msgs/msg/Image", frame.stamp_ns, message)

    def _write_depth(self, frame: Frame) -> None:
        header = self._header(frame.stamp_ns, self.camera_frame)
        if self.depth_format == "32FC1":
            message = self._image(header, "32FC1", np.asarray(frame.depth_m, "<f4"))
        elif self.depth_format == "16UC1":
            message = self._image(header, "16UC1", ros_image.depth_to_millimetres(frame.depth_m).astype("<u2"))
        else:
            data = ros_image.encode_compressed_depth(ros_image.depth_to_millimetres(frame.depth_m))
            kind = "sensor_msgs/msg/CompressedImage"
            message = self._make(
                kind, header=header, format="16UC1; compressedDepth png", data=np.frombuffer(data, np.uint8)
            )
            self._put("/camera/depth/image_raw/compressedDepth", kind, frame.stamp_ns, message)
            return
        self._put("/camera/depth/image_raw", "sensor_msgs/msg/Image", frame.stamp_ns, message)

    def _image(self, header, encoding: str, pixels: np.ndarray):
        pixels = np.ascontiguousarray(pixels)
        return self._make(
            "sensor_msgs/msg/Image",
            header=header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, is_bigendian=0,
            step=pixels.strides[0], data=pixels.reshape(-1).view(np.uint8),
        )  # fmt: skip

    def _detection_array(self, frame: Frame):
        if frame.camera is not None:
            width, height = frame.camera.image_size
        else:
            width, height = (0, 0) if frame.rgb is None else frame.rgb.shape[1::-1]
        header = self._header(frame.stamp_ns, self.camera_frame)
        no_pose = self._pose(None, None)
        return self._make(
            "dsr_ros/msg/DetectionArray",
            header=header, source=self.source, image_width=int(width), image_height=int(height),
            detections=[self._detection(d, header) for d in frame.detections],
            has_camera_pose=False, camera_pose=no_pose, has_base_pose=False, base_pose=no_pose, k=np.zeros(9),
        )  # fmt: skip

    def _detection(self, d: Detection, header):
        covariance = np.zeros((6, 6))
        if d.position_camera_m is not None and d.covariance_camera is not None:
            covariance[:3, :3] = d.covariance_camera
        pose = self._pose(d.position_camera_m, d.orientation_camera_xyzw)
        x, y, z = (0.0, 0.0, 0.0) if d.size_lwh_m is None else map(float, d.size_lwh_m)
        mask, (mask_x, mask_y) = _cut_mask(d.mask)
        return self._make(
            "dsr_ros/msg/Detection",
            label=d.label, score=float(d.score), id=d.id,
            has_box=d.box_px is not None, box=np.zeros(4) if d.box_px is None else np.array(d.box_px, float),
            mask=self._image(header, "mono8", mask), mask_x=mask_x, mask_y=mask_y,
            has_box3d=d.position_camera_m is not None,
            pose=self._make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance.ravel()),
            size=self._make("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
            has_orientation=d.orientation_camera_xyzw is not None, orientation_sigma=float(d.orientation_sigma_rad),
        )  # fmt: skip

    # --- building blocks

    def _pose(self, position_m, quaternion_xyzw):
        x, y, z = (0.0, 0.0, 0.0) if position_m is None else map(float, position_m)
        turn = self._quaternion(NO_TURN_XYZW if quaternion_xyzw is None else quaternion_xyzw)
        return self._make(
            "geometry_msgs/msg/Pose", position=self._make("geometry_msgs/msg/Point", x=x, y=y, z=z), orientation=turn
        )

    def _quaternion(self, xyzw):
        x, y, z, w = map(float, xyzw)
        return self._make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)

    def _header(self, stamp_ns: int, frame_id: str):
        seconds, nanoseconds = divmod(int(stamp_ns), 1_000_000_000)
        stamp = self._make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def _make(self, kind: str, **fields):
        return self._types.types[kind](**fields)

    def _put(self, topic: str, kind: str, stamp_ns: int, message) -> None:
        if topic not in self._connections:
            connection = self._writer.add_connection(
                topic, kind, typestore=self._types, offered_qos_profiles=[_quality(latched=topic == "/tf_static")]
            )
            self._connections[topic] = (connection, kind)
        connection, kind = self._connections[topic]
        self._writer.write(connection, stamp_ns, self._types.serialize_cdr(message, kind))


def _cut_mask(mask: np.ndarray | None) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of a mask (H, W) that holds its pixels, as 0/255, and the part's top-left x, y."""
    if mask is None or not mask.any():
        return np.zeros((0, 0), np.uint8), (0, 0)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return part.astype(np.uint8) * 255, (int(columns[0]), int(rows[0]))


def _quality(latched: bool):
    """The quality of service that a player offers: reliable; `/tf_static` also reaches those who come late."""
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    for_ever = QosTime(2147483647, 4294967295)
    return Qos(
        history=QosHistory.KEEP_LAST, depth=1 if latched else 10, reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=for_ever, lifespan=for_ever, liveliness=QosLiveliness.AUTOMATIC, liveliness_lease_duration=for_ever,
        avoid_ros_namespace_conventions=False,
    )  # fmt: skip
