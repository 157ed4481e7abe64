"""Depth from two cameras' topics: left and right images paired by their stamps, matched when a frame asks for depth."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from dsr_core.errors import GeometryError
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.perception.depth.rectified import RectifiedRig
from dsr_core.perception.depth.stereo import SgbmMatcher, StereoDepth
from dsr_core.sources import ros_messages
from dsr_core.sources.base import BACKWARD_JUMP_NS
from dsr_core.sources.by_stamp import ByStamp

#: Most images of one side that wait for the other one (a second at 30 Hz).
_MOST_WAITING = 30
#: Disparities are looked for up to this part of the image's width.
_SEARCH = 0.15


class StereoPair:
    """The two rectified images of a stereo camera.

    Args:
        pair_tolerance_s: Largest difference of the stamps of two images of one moment.

    Attributes:
        counts: Reason -> number of images that found no partner.
    """

    def __init__(self, pair_tolerance_s: float):
        self._tolerance_ns = round(pair_tolerance_s * 1e9)
        self._waiting: dict[str, list[tuple[int, Image | CompressedImage]]] = {"left": [], "right": []}
        self._infos: ByStamp[CameraInfo] = ByStamp()
        self._newest_ns = 0
        self._rig: tuple[Camera, CameraInfo, StereoDepth] | None = None
        self.counts: Counter[str] = Counter()

    def put_info(self, message: CameraInfo) -> None:
        """Takes the right camera's calibration, from its stamp on."""
        self._infos.put(ros_messages.stamp_ns(message.header.stamp), message)

    @property
    def calibrated(self) -> bool:
        """Whether the right camera's calibration has come."""
        return self._infos.newest is not None

    def put(self, side: str, stamp_ns: int, message: Image | CompressedImage) -> tuple | None:
        """Takes an image of the "left" or "right" camera; returns the left and the right one of a pair."""
        if stamp_ns < self._newest_ns - BACKWARD_JUMP_NS:
            self.clear()
        self._newest_ns = stamp_ns
        waiting, other = (self._waiting[s] for s in (side, "right" if side == "left" else "left"))
        at = bisect_left(other, stamp_ns, key=lambda e: e[0])
        near = min(
            range(max(at - 1, 0), min(at + 1, len(other))), key=lambda i: abs(other[i][0] - stamp_ns), default=-1
        )
        if near >= 0 and abs(other[near][0] - stamp_ns) <= self._tolerance_ns:
            partner = other[near][1]
            # Images come in the order of their stamps, so that nothing comes any more for older ones.
            self._drop(other, near)
            del other[0]
            self._drop(waiting, bisect_left(waiting, stamp_ns, key=lambda e: e[0]))
            return (message, partner) if side == "left" else (partner, message)
        insort(waiting, (stamp_ns, message), key=lambda e: e[0])
        self._drop(waiting, len(waiting) - _MOST_WAITING)
        return None

    def _drop(self, waiting: list, number: int) -> None:
        if number > 0:
            del waiting[:number]
            self.counts["images of one camera without one of the other of the same moment"] += number

    def clear(self) -> None:
        """Forgets the images that wait, as after a jump of the clock."""
        self._newest_ns = 0
        for waiting in self._waiting.values():
            waiting.clear()
        self._infos.restart()

    def depth(self, left: Image | CompressedImage, right: Image | CompressedImage, camera: Camera | None) -> np.ndarray:
        """Depth of a pair, as the left camera sees it.

        Args:
            left: The left image.
            right: The right image of the same moment.
            camera: The left camera at that moment.

        Returns:
            (H, W) float32 metres along the optical axis, NaN where unknown.

        Raises:
            GeometryError: a calibration is missing or unusable, or the images do not fit to it.
            SourceError: an image cannot be decoded.
        """
        depth = self._stereo(camera, ros_messages.stamp_ns(right.header.stamp))
        return depth(*(ros_messages.rgb_from_image(message) for message in (left, right))).depth_m

    @property
    def noise(self) -> DepthNoise | None:
        """Noise of the depth made last, None before the first."""
        return None if self._rig is None else self._rig[2].noise

    def _stereo(self, camera: Camera | None, stamp_ns: int) -> StereoDepth:
        info = self._infos.at(stamp_ns + self._tolerance_ns)
        if camera is None or info is None:
            side = "left" if camera is None else "right"
            raise GeometryError(f"stereo: no camera_info of the {side} camera has come; publish it")
        if self._rig is None or self._rig[0] is not camera or self._rig[1] is not info:
            apart_m = baseline_m(info)
            rig = RectifiedRig(camera, ros_messages.camera_from_info(info, rectified=True), apart_m)
            search_px = 16 * math.ceil(_SEARCH * camera.image_size[0] / 16)
            self._rig = (camera, info, StereoDepth(rig, SgbmMatcher(max_disparity_px=search_px)))
        return self._rig[2]


def check_projection(info: CameraInfo) -> np.ndarray:
    """The projection matrix P (3, 4) of a rectified camera.

    Raises:
        GeometryError: there is none.
    """
    P = np.asarray(info.p, float).reshape(3, 4)
    if not (np.isfinite(P).all() and P[0, 0] > 0 and P[1, 1] > 0):
        raise GeometryError(
            "stereo needs the projection matrix P, which this camera_info does not have; calibrate the two cameras"
            " together (camera_calibration with a left and a right image), so that the driver publishes it"
        )
    return P


def baseline_m(info: CameraInfo) -> float:
    """Distance of the right camera from the left one, of its projection matrix: Tx = -f b (sensor_msgs/CameraInfo).

    Raises:
        GeometryError: the matrix is missing, or is not that of a right camera.
    """
    P = check_projection(info)
    if not P[0, 3] < 0:
        raise GeometryError(
            f"the right camera_info has no baseline (P[0, 3] = {P[0, 3]:g}, not -f b): is it the left camera's topic,"
            " or were the two cameras calibrated one by one? Calibrate them together"
        )
    return float(-P[0, 3] / P[0, 0])
