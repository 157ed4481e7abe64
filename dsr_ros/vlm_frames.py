"""Rolling pictures for the memory node's model: one image topic, thinned and shrunk as its images come."""

from __future__ import annotations

from sensor_msgs.msg import CompressedImage, Image

from dsr_core.sources import ros_messages
from dsr_core.vlm.showing import RollingFrames
from dsr_ros import qos, validate

_LOOK_EVERY_S = 0.1


class VlmFrames:
    """Subscribes an image topic once it is published, raw rather than compressed.

    Args:
        node: The memory node.
        topic: The image's topic; its compressed form is looked for beside it.
        count: Most pictures that a model is shown. memory_s: How far back they go. max_pixels: Of each.
    """

    def __init__(self, node, topic: str, count: int, memory_s: float, max_pixels: int):
        self._node, self._topic = node, topic
        self.frames = RollingFrames(count, memory_s, max_pixels)
        self._subscription = self._timer = None
        self._found = ""

    def subscribe(self) -> None:
        """Begins to look for images."""
        self._timer = self._node.steady_timer(_LOOK_EVERY_S, self._look, "vlm.image_topic")
        self._look()

    def unsubscribe(self) -> None:
        """Ends it; harmless when it has not begun."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = self._timer = None
        self._found = ""

    def _look(self) -> None:
        if self._subscription is not None:
            return
        base = self._node.resolve_topic_name(self._topic)
        for topic, kind in ((base, Image), (f"{base}/compressed", CompressedImage)):
            if self._node.count_publishers(topic):
                callback = self._node.guarded(self._on_image, topic)
                profile = qos.sensor(self._node.settings.reliability)
                self._subscription = self._node.create_subscription(kind, topic, callback, profile)
                self._found = topic
                return

    def _on_image(self, message: Image | CompressedImage) -> None:
        stamp_ns = validate.header(message.header, self._found)
        if self.frames.wants(stamp_ns):
            self.frames.put(stamp_ns, ros_messages.rgb_from_image(message))

    def status(self) -> dict[str, object]:
        """What /diagnostics shows."""
        newest_ns = self.frames.newest_ns
        age_s = None if newest_ns is None else (self._node.now_ns() - newest_ns) * 1e-9
        return {
            "vlm image topic": self._found or f"no node publishes {self._node.resolve_topic_name(self._topic)}",
            "vlm pictures kept": len(self.frames),
            "vlm pictures (MB)": self.frames.nbytes / 1e6,
            "vlm picture age (s)": age_s,
        }
