"""Headings of detections: what a network and the detector say, put together over time for things with an identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.perception.orientation.fusion import HeadingConfig, HeadingFusion
from dsr_core.perception.orientation.protocol import OrientationEstimate, OrientationEstimator
from dsr_core.values import Detection, Frame


class Headings:
    """Gives detections their orientation.

    A thing with an id gets the heading that all its views agree on so far, upright in a world whose z axis is up, with
    the one-sigma of that belief, or none where front and back (or more) are still open. A thing without an id gets what
    this image alone says.

    Args:
        estimator: Tells the orientation of detections in an image.
        config: Constants of the fusion.
    """

    def __init__(self, estimator: OrientationEstimator, config: HeadingConfig | None = None):
        self._estimator, self.config = estimator, config or HeadingConfig()
        self.reset()

    def reset(self) -> None:
        """Forgets all headings."""
        self._fusion = HeadingFusion(self.config)
        self._origin_ns: int | None = None

    def step(self, frame: Frame) -> tuple[Detection, ...]:
        """The detections of a frame that is newer than the one before, with their orientations.

        Raises:
            GeometryError: the frame's picture and masks do not fit.
        """
        estimates = self._estimator.estimate(frame.rgb, frame.detections, frame.camera)
        if self._origin_ns is None:
            self._origin_ns = frame.stamp_ns
        stamp_s = (frame.stamp_ns - self._origin_ns) * 1e-9
        out = [self._turned(d, e, frame, stamp_s) for d, e in zip(frame.detections, estimates, strict=True)]
        self._fusion.forget(stamp_s)
        return tuple(out)

    def _turned(
        self, detection: Detection, estimate: OrientationEstimate | None, frame: Frame, stamp_s: float
    ) -> Detection:
        own = _own(detection)
        if not detection.id or frame.T_world_camera is None:
            known = [e for e in (own, estimate) if e is not None and e.sigma_rad <= self.config.max_sigma_rad]
            best = min(known, key=lambda e: e.sigma_rad, default=None)
            return _with(detection, None if best is None else (best.orientation_camera_xyzw, best.sigma_rad))
        views: Sequence = (("body", own), ("view", estimate))
        for kind, view in views:
            if view is not None:
                self._fusion.add_view(detection.id, stamp_s, view, frame.T_world_camera, kind)
        fused = self._fusion.heading(detection.id, stamp_s)
        if fused is None:
            return _with(detection, None)
        R_world_thing = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(np.array(fused[0])))
        R_camera_thing = frame.T_world_camera[:3, :3].T @ R_world_thing
        return _with(detection, (tf.quaternions_from_matrices(R_camera_thing), fused[1]))


def _own(detection: Detection) -> OrientationEstimate | None:
    """What the detector itself says (body yaw), or None."""
    turn = detection.orientation_camera_xyzw
    if turn is None or not np.isfinite(turn).all():
        return None
    return OrientationEstimate(np.asarray(turn, float), float(detection.orientation_sigma_rad))


def _with(detection: Detection, orientation: tuple[np.ndarray, float] | None) -> Detection:
    if orientation is None:
        return replace(detection, orientation_camera_xyzw=None)
    return replace(detection, orientation_camera_xyzw=orientation[0], orientation_sigma_rad=orientation[1])
