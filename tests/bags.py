"""Writes small bags message by message, with every fault that a recording can have."""

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg

from dsr_core.sources.ros_types import typestore

S = 1_000_000_000


class Messages:
    """Makes messages of one typestore with every field filled: what is not given is zero or empty."""

    def __init__(self, definitions=None):
        self.store = typestore()
        if definitions:
            from rosbags.typesys import Stores, get_typestore

            self.store = get_typestore(Stores.ROS2_JAZZY)
            types = {}
            for name, text in definitions.items():
                types.update(get_types_from_msg(text, name))
            self.store.register(types)

    def make(self, kind, **fields):
        cls = self.store.types[kind]
        values = {}
        for name, annotation in cls.__init__.__annotations__.items():
            if name in fields:
                values[name] = fields.pop(name)
            elif name not in ("__msgtype__", "return"):
                values[name] = self._empty(annotation, kind, name)
        assert not fields, f"{kind} has no {list(fields)}"
        return cls(**values)

    def _empty(self, annotation, kind, name):
        simple = {"int": 0, "float": 0.0, "str": "", "bool": False}
        if annotation in simple:
            return simple[annotation]
        if annotation.startswith("list"):
            return []
        if annotation.startswith("np.ndarray"):
            node = next(field[1] for field in self.store.fielddefs[kind][1] if field[0] == name)
            count = node[1][1] if node[0].name == "ARRAY" else 0
            return np.zeros(count, annotation.split("np.dtype[np.")[1].rstrip("]"))
        return self.make(annotation.replace("__", "/"))

    def header(self, stamp_ns, frame_id):
        stamp = self.make("builtin_interfaces/msg/Time", sec=stamp_ns // S, nanosec=stamp_ns % S)
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def transform(self, parent, child, stamp_ns, xyz=(0.0, 0.0, 0.0), xyzw=(0.0, 0.0, 0.0, 1.0)):
        t = self.make("geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, xyz), strict=True)))
        q = self.make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", map(float, xyzw), strict=True)))
        return self.make(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(stamp_ns, parent),
            child_frame_id=child,
            transform=self.make("geometry_msgs/msg/Transform", translation=t, rotation=q),
        )

    def tf(self, *transforms):
        return self.make("tf2_msgs/msg/TFMessage", transforms=list(transforms))

    def odometry(self, parent, child, stamp_ns, xyz):
        point = self.make("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, xyz), strict=True)))
        turn = self.make("geometry_msgs/msg/Quaternion", w=1.0)
        pose = self.make("geometry_msgs/msg/Pose", position=point, orientation=turn)
        pose = self.make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
        header = self.header(stamp_ns, parent)
        return self.make("nav_msgs/msg/Odometry", header=header, child_frame_id=child, pose=pose)

    def detections(self, stamp_ns, frame_id, *detections, **fields):
        header = self.header(stamp_ns, frame_id)
        return self.make(
            "dsr_ros/msg/DetectionArray", header=header, detections=list(detections), k=np.zeros(9), **fields
        )

    def detection3d(self, label, xyz, **fields):
        point = self.make("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, xyz), strict=True)))
        pose = self.make("geometry_msgs/msg/Pose", position=point)
        pose = self.make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
        return self.make(
            "dsr_ros/msg/Detection", label=label, score=0.9, has_box3d=True, pose=pose, box=np.zeros(4), **fields
        )

    def detection2d(self, label, box, **fields):
        return self.make(
            "dsr_ros/msg/Detection", label=label, score=0.9, has_box=True, box=np.array(box, float), **fields
        )

    def image(self, stamp_ns, frame_id, pixels, encoding, **fields):
        pixels = np.ascontiguousarray(pixels)
        values = {"height": pixels.shape[0], "width": pixels.shape[1], "step": pixels.strides[0], "encoding": encoding}
        data = pixels.reshape(-1).view(np.uint8)
        return self.make(
            "sensor_msgs/msg/Image", header=self.header(stamp_ns, frame_id), data=data, **(values | fields)
        )

    def camera_info(self, stamp_ns, frame_id, K, size, **fields):
        return self.make(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(stamp_ns, frame_id), width=size[0], height=size[1], distortion_model="plumb_bob",
            d=np.zeros(5), k=np.asarray(K, float).ravel(), r=np.eye(3).ravel(),
            p=np.hstack([K, np.zeros((3, 1))]).ravel(), **fields,
        )  # fmt: skip


def write_bag(path, entries, storage="mcap", compression=None, store=None):
    """A bag of (topic, log time in ns, message) in the order given; `compression` is None, "file" or "message"."""
    store = store or typestore()
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, stamp_ns, message in entries:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], stamp_ns, store.serialize_cdr(message, kind))
    return path
