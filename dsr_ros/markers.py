"""Tracks as markers for RViz and Foxglove: box, name, velocity and path, each in its namespace."""

from __future__ import annotations

import zlib
from collections import deque

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from dsr_core.tracking.state import TrackState
from dsr_ros import convert

_PATH_POINTS = 100
_DEFAULT_SIZE_M = 0.3


class Markers:
    """Markers with numbers that stay the same for a track."""

    def __init__(self):
        self._numbers: dict[str, int] = {}
        self._paths: dict[str, deque[Point]] = {}

    def clear(self, world_frame: str) -> MarkerArray:
        """A message that deletes every marker of this publisher."""
        self.__init__()
        marker = Marker(action=Marker.DELETEALL)
        marker.header.frame_id = world_frame
        return MarkerArray(markers=[marker])

    def message(self, tracks: list[TrackState], stamp_ns: int, world_frame: str, lifetime_s: float) -> MarkerArray:
        """Markers of the newest states."""
        alive = {t.id for t in tracks}
        self._paths = {i: p for i, p in self._paths.items() if i in alive}
        out = []
        for t in tracks:
            number = self._numbers.setdefault(t.id, len(self._numbers))
            colour = _colour(t.id, 0.9 if t.observed else 0.4)
            size = np.where(np.isfinite(t.size_lwh_m), t.size_lwh_m, _DEFAULT_SIZE_M)
            position = convert.to_point(t.position_world_m)
            path = self._paths.setdefault(t.id, deque(maxlen=_PATH_POINTS))
            path.append(position)

            box = Marker(ns="boxes", type=Marker.CUBE, scale=convert.to_vector(size))
            box.pose.position = position
            box.pose.orientation = convert.to_quaternion(t.orientation_world_xyzw)
            top = convert.to_point(t.position_world_m + np.array([0.0, 0.0, size[2] / 2 + 0.4]))
            speed = float(np.linalg.norm(t.velocity_world_mps))
            name = Marker(ns="names", type=Marker.TEXT_VIEW_FACING, text=f"{t.label} {t.id}  {speed:.1f} m/s")
            name.pose.position, name.scale.z = top, 0.4
            arrow = Marker(ns="velocities", type=Marker.ARROW, scale=convert.to_vector([0.08, 0.16, 0.0]))
            arrow.points = [position, convert.to_point(t.position_world_m + t.velocity_world_mps)]
            if not t.moving:
                arrow.action = Marker.DELETE
            line = Marker(ns="paths", type=Marker.LINE_STRIP, points=list(path))
            line.scale.x = 0.05
            for marker in (box, name, arrow, line):
                marker.header.stamp, marker.header.frame_id = convert.to_time(stamp_ns), world_frame
                marker.id, marker.color = number, colour
                marker.lifetime = convert.to_duration(lifetime_s)
                out.append(marker)
        return MarkerArray(markers=out)


def _colour(track_id: str, alpha: float) -> ColorRGBA:
    """A colour that a track keeps, bright and the same in every run."""
    hue = (zlib.crc32(track_id.encode()) % 360) / 60.0
    rgb = [min(max(abs((hue + offset) % 6 - 3) - 1, 0.0), 1.0) for offset in (0, 4, 2)]
    return ColorRGBA(r=0.25 + 0.75 * rgb[0], g=0.25 + 0.75 * rgb[1], b=0.25 + 0.75 * rgb[2], a=alpha)
