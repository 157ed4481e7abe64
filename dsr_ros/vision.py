"""vision_msgs, where that package is installed: tracks out as Detection3DArray. (Without it: nothing, silently.)

What comes in is read by dsr_core.sources.ros_messages.
"""

from __future__ import annotations

from rclpy.node import Node

from dsr_ros import qos
from dsr_ros.msg import TrackArray


def message_type(name: str):
    """The class `vision_msgs/msg/<name>`, or None where the package is not installed."""
    try:
        import vision_msgs.msg
    except ImportError:
        return None
    return getattr(vision_msgs.msg, name)


class TracksOut:
    """Publishes tracks on `tracks_vision` for programs that know vision_msgs but not dsr_ros."""

    def __init__(self, node: Node):
        self._node, self._publisher = node, None
        array = message_type("Detection3DArray")
        if array is not None:
            self._publisher = node.create_publisher(array, "tracks_vision", qos.results())

    @property
    def listened(self) -> bool:
        """Whether anybody subscribes."""
        return self._publisher is not None and self._publisher.get_subscription_count() > 0

    def publish(self, tracks: TrackArray) -> None:
        if self.listened:
            self._publisher.publish(to_detection3d_array(tracks))

    def destroy(self) -> None:
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
            self._publisher = None


def to_detection3d_array(tracks: TrackArray):
    """A `vision_msgs/Detection3DArray` of tracks; it has no room for velocity."""
    import vision_msgs.msg as vision

    out = vision.Detection3DArray()
    out.header = tracks.header
    for track in tracks.tracks:
        guess = vision.ObjectHypothesisWithPose()
        guess.hypothesis.class_id, guess.hypothesis.score = track.label, float(track.score)
        guess.pose = track.pose
        detection = vision.Detection3D()
        detection.header, detection.id, detection.results = tracks.header, track.id, [guess]
        detection.bbox.center, detection.bbox.size = track.pose.pose, track.size
        out.detections.append(detection)
    return out
