"""Pairing in time. Within a camera: dsr_core.sources.assemble.FrameAssembler; between cameras: `CameraSets` here.

message_filters is not used even where it is installed: it waits for all topics of a set and cannot take depth as
optional for detections that are placed already, a looped bag wedges it, and the bag reader has to decide the same way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dsr_core.values import FrameObservations


class CameraSets:
    """Joins the observations of several cameras that belong to one moment.

    Args:
        cameras: Names; the first is the robot's eye, whose pose and image the set gets.
        slop_s: Observations this close in time belong together.
    """

    def __init__(self, cameras: list[str], slop_s: float):
        self.cameras, self._slop_ns = cameras, round(slop_s * 1e9)
        self._open: list[dict[str, FrameObservations]] = []

    def add(self, camera: str, frame: FrameObservations) -> list[FrameObservations]:
        """Takes a frame; returns the sets that are complete by that, oldest first."""
        for group in self._open:
            if camera not in group and all(abs(f.stamp_ns - frame.stamp_ns) <= self._slop_ns for f in group.values()):
                group[camera] = frame
                break
        else:
            self._open.append({camera: frame})
        # A camera that has gone on to a later set has nothing more for the earlier ones.
        done = 0
        for i, group in enumerate(self._open):
            missing = [c for c in self.cameras if c not in group]
            later = [c for g in self._open[i + 1 :] for c in g]
            if not all(c in later for c in missing) and len(self._open) - i <= 3:
                break
            done = i + 1
        closed, self._open = self._open[:done], self._open[done:]
        return [self._join(g) for g in closed]

    def flush(self) -> list[FrameObservations]:
        """Everything that waits, as it is."""
        closed, self._open = self._open, []
        return [self._join(g) for g in closed]

    def clear(self) -> None:
        self._open = []

    def _join(self, group: dict[str, FrameObservations]) -> FrameObservations:
        if len(self.cameras) == 1:
            return next(iter(group.values()))
        names = [c for c in self.cameras if c in group]
        eye = self.cameras[0]
        observations: list[Any] = []
        for name in names:
            # Boxes of other cameras are pixels of other images.
            observations += [o if name == eye else replace(o, box_px=None) for o in group[name].observations]
        stamp_ns = group[names[0]].stamp_ns
        T_world_base: np.ndarray | None = group[names[0]].T_world_base
        frames = {k: T for name in reversed(names) for k, T in group[name].T_world_frames.items()}
        if eye in group:
            return replace(group[eye], observations=tuple(observations), T_world_frames=frames)
        return FrameObservations(stamp_ns, tuple(observations), T_world_base=T_world_base, T_world_frames=frames)
