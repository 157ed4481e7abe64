"""Depth from two calibrated cameras: rectification, matching, left-right check and triangulation.

For a rectified pair depth is z = f b / d (focal length f in pixels, baseline b in metres, disparity d in pixels), so
that an error sigma_d of the disparity gives sigma_z = z^2 sigma_d / (f b): it grows with the square of the distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dsr_core.errors import DependencyError, GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.perception.depth.protocol import DepthEstimate
from dsr_core.perception.depth.rectified import RectifiedRig


class DisparityMatcher(Protocol):
    """Finds the disparity of a rectified pair; a network goes here as well."""

    def __call__(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(H, W) float32 disparity of the left image in pixels, NaN where unknown, of two (H, W) uint8 images."""


@dataclass(frozen=True)
class SgbmMatcher:
    """OpenCV's semi-global block matching (Hirschmüller 2008) with a left-right check.

    Attributes:
        max_disparity_px: Largest disparity, a multiple of 16: nearer things than f b / max_disparity_px are not seen.
        block_px: Side of the matched block, odd.
        left_right_px: The disparities of the left and the right image may differ by so much.
        uniqueness_percent: The best match must be better than the second by so much.
        speckle_px: Connected areas smaller than this are taken for mismatches.
    """

    max_disparity_px: int = 96
    block_px: int = 5
    left_right_px: float = 1.0
    uniqueness_percent: int = 10
    speckle_px: int = 150

    def __post_init__(self):
        if self.max_disparity_px <= 0 or self.max_disparity_px % 16:
            raise GeometryError(f"max_disparity_px = {self.max_disparity_px} must be a positive multiple of 16")
        if self.block_px < 1 or self.block_px % 2 == 0:
            raise GeometryError(f"block_px = {self.block_px} must be odd and positive")

    def __call__(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """See `DisparityMatcher`."""
        cv2 = _cv2()
        area = self.block_px**2
        matcher = cv2.StereoSGBM_create(
            minDisparity=0,
            numDisparities=self.max_disparity_px,
            blockSize=self.block_px,
            P1=8 * area,
            P2=32 * area,
            disp12MaxDiff=-1,
            uniquenessRatio=self.uniqueness_percent,
            speckleWindowSize=self.speckle_px,
            speckleRange=2,
            mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
        )
        # The columns left of the search range have no disparity; a border of that width gives them one.
        pad = ((0, 0), (self.max_disparity_px, 0))
        left, right = np.pad(left, pad, mode="edge"), np.pad(right, pad, mode="edge")
        of_left = matcher.compute(left, right)[:, self.max_disparity_px :].astype(np.float32) / 16
        mirrored = (np.ascontiguousarray(i[:, self.max_disparity_px :][:, ::-1]) for i in (right, left))
        mirrored = [np.pad(i, pad, mode="edge") for i in mirrored]
        of_right = matcher.compute(*mirrored)[:, self.max_disparity_px :][:, ::-1].astype(np.float32) / 16
        return _checked(of_left, of_right, self.left_right_px)


def _checked(of_left: np.ndarray, of_right: np.ndarray, largest_px: float) -> np.ndarray:
    """The left disparity where the right image's agrees with it, else NaN."""
    width = of_left.shape[1]
    u = np.arange(width)[None, :] - np.rint(of_left).astype(int)
    inside = (of_left > 0) & (u >= 0)
    there = np.take_along_axis(of_right, np.clip(u, 0, width - 1), axis=1)
    good = inside & (there > 0) & (np.abs(there - of_left) <= largest_px)
    return np.where(good, of_left, np.float32(np.nan))


class StereoRig:
    """Two cameras, rectified so that matching pixels lie on one row.

    Args:
        left: Left camera with its distortion.
        right: Right camera with its distortion.
        T_right_left: (4, 4) left optical frame to right optical frame.

    Attributes:
        camera: The rectified left camera (no distortion).
        baseline_m: Distance of the two cameras.
        T_left_rectified: (4, 4) rectified left optical frame to the real left one: a turn about the lens.
        zero_disparity_px: Disparity of a point at infinity.

    Raises:
        GeometryError: the images differ in size, or the right camera is not to the right of the left one.
    """

    zero_disparity_px = 0.0

    def __init__(self, left: Camera, right: Camera, T_right_left: np.ndarray):
        cv2 = _cv2()
        T_right_left = tf.check_rigid(T_right_left, "T_right_left", tolerance=1e-2)
        if left.image_size != right.image_size:
            raise GeometryError(f"left images of {left.image_size} and right ones of {right.image_size} must be alike")
        R, t, size = T_right_left[:3, :3].copy(), T_right_left[:3, 3:].copy(), left.image_size
        if not -t[0, 0] > np.linalg.norm(t[1:]):
            raise GeometryError(
                f"the left camera lies at {np.round(t[:, 0], 4).tolist()} m in the right one's optical frame, which is"
                " not to its left; swap the cameras, or check the extrinsics' direction"
            )
        if left.model == "equidistant" or right.model == "equidistant":
            rectify = cv2.fisheye.stereoRectify
            made = rectify(left.K, _d4(left), right.K, _d4(right), size, R, t, flags=cv2.CALIB_ZERO_DISPARITY)
            R_left, R_right, P_left, P_right = made[:4]
            init, d_left, d_right = cv2.fisheye.initUndistortRectifyMap, _d4(left), _d4(right)
        else:
            made = cv2.stereoRectify(
                left.K, left.D, right.K, right.D, size, R, t, flags=cv2.CALIB_ZERO_DISPARITY, alpha=0
            )
            R_left, R_right, P_left, P_right = made[:4]
            init, d_left, d_right = cv2.initUndistortRectifyMap, left.D, right.D
        self._maps = [
            init(camera.K, D, turn, P[:, :3], size, cv2.CV_16SC2)
            for camera, D, turn, P in ((left, d_left, R_left, P_left), (right, d_right, R_right, P_right))
        ]
        self.camera = Camera(P_left[:, :3], size)
        self.baseline_m = float(-P_right[0, 3] / P_right[0, 0])
        self.T_left_rectified = tf.make_transform(R_left.T, np.zeros(3))

    def rectify(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rectified images of (H, W) or (H, W, 3) uint8 ones.

        Raises:
            GeometryError: an image has not the size that the calibration speaks of.
        """
        return self.rectify_left(left), self._remap(right, 1)

    def rectify_left(self, left: np.ndarray) -> np.ndarray:
        """The rectified left image alone; errors as for `rectify`."""
        return self._remap(left, 0)

    def _remap(self, image: np.ndarray, side: int) -> np.ndarray:
        if image.shape[1::-1] != self.camera.image_size:
            raise GeometryError(
                f"an image of {image.shape[1]}x{image.shape[0]} does not fit to the calibration of"
                f" {self.camera.image_size[0]}x{self.camera.image_size[1]}"
            )
        cv2 = _cv2()
        return cv2.remap(image, *self._maps[side], cv2.INTER_LINEAR)


class StereoDepth:
    """Metric depth of stereo pairs.

    Args:
        rig: The calibrated pair: a `StereoRig`, or a `RectifiedRig` where images come rectified.
        matcher: Finds disparities; SGBM where None is given.
        disparity_sigma_px: One-sigma of a disparity.
        systematic: Part of it that all pixels of a thing share (calibration, blocks that overlap).
        max_relative_sigma: Depth whose sigma is a larger part of it than this is left out.
    """

    metric = True

    def __init__(
        self,
        rig: StereoRig | RectifiedRig,
        matcher: DisparityMatcher | None = None,
        disparity_sigma_px: float = 0.3,
        systematic: float = 0.5,
        max_relative_sigma: float = 0.15,
    ):
        if not (disparity_sigma_px > 0 and max_relative_sigma > 0):
            raise GeometryError("disparity_sigma_px and max_relative_sigma must be positive")
        self.rig, self.matcher = rig, matcher or SgbmMatcher()
        self._focal_baseline = float(rig.camera.K[0, 0]) * rig.baseline_m
        self.noise = DepthNoise(1e-4, disparity_sigma_px / self._focal_baseline, systematic)
        self._min_disparity_px = disparity_sigma_px / max_relative_sigma

    def __call__(self, left: np.ndarray, right: np.ndarray) -> DepthEstimate:
        """Depth of the rectified left image.

        Args:
            left: (H, W) or (H, W, 3) uint8 as the camera took it.
            right: The same of the right camera, of the same moment.

        Raises:
            GeometryError: an image has not the size that the calibration speaks of.
        """
        disparity = self.matcher(*(_gray(i) for i in self.rig.rectify(left, right))) - self.rig.zero_disparity_px
        with np.errstate(invalid="ignore"):
            far = ~(disparity >= self._min_disparity_px)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth_m = (self._focal_baseline / disparity).astype(np.float32)
        depth_m[far] = np.nan
        return DepthEstimate(depth_m, self.noise, True)


def _d4(camera: Camera) -> np.ndarray:
    return camera.D if camera.D.size else np.zeros(4)


def _gray(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else _cv2().cvtColor(image, _cv2().COLOR_RGB2GRAY)


def _cv2():
    try:
        import cv2
    except ImportError:
        raise DependencyError("stereo needs OpenCV: pip install opencv-python-headless") from None
    return cv2
