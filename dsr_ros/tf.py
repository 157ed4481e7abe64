"""The seam for transforms: tf2_ros where it is installed, else (or on request) our own buffer.

Either way /tf and /tf_static are read by our own subscriptions, and a frame waits in the observer's bounded queue until
the transforms at its stamp are there, so that neither "latest" nor a blocking wait is ever needed.
"""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped

from dsr_core.errors import DependencyError, GeometryError
from dsr_core.geometry.tf_tree import (
    ExtrapolationIntoFuture,
    ExtrapolationIntoPast,
    NotConnected,
    TransformBuffer,
    TransformUnavailable,
    UnknownFrame,
)
from dsr_ros import convert


def make_buffer(backend: str, cache_s: float, tolerance_s: float) -> TransformBuffer:
    """A transform buffer.

    Args:
        backend: "auto" (tf2_ros where it is installed), "own" or "tf2".
        cache_s, tolerance_s: As for `TransformBuffer`.

    Raises:
        DependencyError: "tf2" is asked for and tf2_ros is not installed.
    """
    if backend != "own":
        try:
            import tf2_ros
        except ImportError:
            if backend == "tf2":
                raise DependencyError(
                    "tf_backend = tf2 needs tf2_ros (apt: ros-<distro>-tf2-ros-py); auto takes our own where that is"
                    " absent"
                ) from None
        else:
            return Tf2Buffer(tf2_ros, cache_s, tolerance_s)
    return TransformBuffer(cache_s, tolerance_s)


class Tf2Buffer(TransformBuffer):
    """Lookups by tf2_ros; what is known about frames and stamps is kept here as well."""

    def __init__(self, tf2_ros, cache_s: float, tolerance_s: float):
        super().__init__(cache_s, tolerance_s)
        from rclpy.duration import Duration
        from rclpy.time import Time

        self._tf2_ros, self._time = tf2_ros, Time
        self._tf2 = tf2_ros.Buffer(cache_time=Duration(seconds=cache_s))
        self._static: list[TransformStamped] = []

    def add(self, parent, child, stamp_ns, translation, quaternion_xyzw, static=False) -> bool:
        if not super().add(parent, child, stamp_ns, translation, quaternion_xyzw, static):
            return False
        message = TransformStamped(child_frame_id=child.lstrip("/"))
        message.header.frame_id, message.header.stamp = parent.lstrip("/"), convert.to_time(stamp_ns)
        message.transform.translation = convert.to_vector(translation)
        message.transform.rotation = convert.to_quaternion(np.asarray(quaternion_xyzw, float))
        self._set(message, static)
        return True

    def _set(self, message: TransformStamped, static: bool) -> None:
        if static:
            self._static.append(message)
            self._tf2.set_transform_static(message, "dsr_ros")
        else:
            self._tf2.set_transform(message, "dsr_ros")

    def lookup(self, target, source, stamp_ns, tolerance_s=None) -> np.ndarray:
        tolerance_ns = round((self.tolerance_s if tolerance_s is None else tolerance_s) * 1e9)
        try:
            return self._lookup(target, source, stamp_ns)
        except (ExtrapolationIntoFuture, ExtrapolationIntoPast):
            for near_ns in self._nearest(target, source, stamp_ns):
                if abs(near_ns - stamp_ns) <= tolerance_ns:
                    return self._lookup(target, source, near_ns)
            raise

    def _nearest(self, target: str, source: str, stamp_ns: int) -> list[int]:
        """Stamps at the ends of what is known of the chain."""
        up, down = self._paths(target.lstrip("/"), source.lstrip("/"))
        histories = [h for h in map(self.history, up + down) if h]
        return [min(h[-1] for h in histories), max(h[0] for h in histories)] if histories else []

    def _lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        tf2 = self._tf2_ros
        try:
            found = self._tf2.lookup_transform(target.lstrip("/"), source.lstrip("/"), self._time(nanoseconds=stamp_ns))
        except tf2.LookupException as error:
            raise UnknownFrame(str(error)) from None
        except tf2.ConnectivityException as error:
            raise NotConnected(str(error)) from None
        except tf2.ExtrapolationException as error:
            newest_ns = self.newest_ns(target, source) or stamp_ns
            late = stamp_ns > newest_ns
            kind = ExtrapolationIntoFuture if late else ExtrapolationIntoPast
            raise kind(str(error), target, source, abs(stamp_ns - newest_ns) * 1e-9) from None
        except tf2.TransformException as error:
            raise TransformUnavailable(str(error)) from None
        t, q = found.transform.translation, found.transform.rotation
        try:
            return convert.transform_matrix((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
        except GeometryError as error:
            raise TransformUnavailable(str(error)) from None

    def clear(self, static: bool = False) -> None:
        super().clear(static)
        self._tf2.clear()
        kept, self._static = ([] if static else self._static), []
        for message in kept:
            self._set(message, True)
