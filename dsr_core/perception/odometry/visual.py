"""Visual odometry on pictures with depth: corners followed by optical flow, poses by PnP against key frames.

Corners of a key frame get their place from its depth. They are followed from picture to picture (Lucas-Kanade, forward
and backward); the pose is the one that most of them agree on (PnP in RANSAC), refined on their pixels and, where both
frames have it, their inverse depth. A new key frame begins when too few are left or they have moved far. A lost camera
is looked for by its ORB descriptors in the last key frames; until it is found there is no pose.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from dsr_core.errors import DependencyError, GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.perception.odometry.protocol import OdometryStep
from dsr_core.values import Frame


@dataclass(frozen=True)
class VisualOdometryConfig:
    """Constants of visual odometry.

    Attributes:
        noise: Noise of the depth.
        max_corners: Corners of a key frame.
        corner_distance_px: Least distance of two corners.
        flow_error_px: A corner followed forth and back must come back this closely.
        ransac_px: A corner this close to where a pose puts it agrees with the pose.
        pixel_sigma_px: One-sigma of a followed corner.
        min_inliers: Fewer corners that agree give no pose.
        min_inlier_share: A smaller share of the corners that were followed gives no pose.
        key_frame_share: A new key frame begins when less than this share of the key frame's corners agrees, ...
        key_frame_px: ... or when they have moved by so much in the median, as a part of the image's width.
        key_frames_kept: So many key frames are searched for a lost camera.
    """

    noise: DepthNoise = field(default_factory=DepthNoise)
    max_corners: int = 500
    corner_distance_px: int = 12
    flow_error_px: float = 1.0
    ransac_px: float = 2.5
    pixel_sigma_px: float = 0.5
    min_inliers: int = 25
    min_inlier_share: float = 0.4
    key_frame_share: float = 0.4
    key_frame_px: float = 0.2
    key_frames_kept: int = 10

    def __post_init__(self):
        if self.min_inliers < 6 or self.max_corners < self.min_inliers:
            raise GeometryError(
                f"odometry: min_inliers {self.min_inliers} must be at least 6 and at most max_corners"
                f" {self.max_corners}"
            )
        for name in ("flow_error_px", "ransac_px", "pixel_sigma_px", "key_frame_px"):
            if not getattr(self, name) > 0:
                raise GeometryError(f"odometry: {name} = {getattr(self, name)} must be positive")


@dataclass(eq=False)
class _KeyFrame:
    """Corners of one frame: pixels (N, 2), places (N, 3) in its optical frame, ORB descriptors (N, 32)."""

    T_world_camera: np.ndarray
    pixels: np.ndarray
    points_m: np.ndarray
    descriptors: np.ndarray


class VisualOdometry:
    """Follows one camera. The world is the first camera's body frame (x forward, y left, z up): gravity is not known.

    Args:
        config: Constants.
        T_world_camera: (4, 4) pose of the first frame where it is known (then the world's axes are those of it).
    """

    def __init__(self, config: VisualOdometryConfig | None = None, T_world_camera: np.ndarray | None = None):
        self.config = config or VisualOdometryConfig()
        if T_world_camera is None:
            T_world_camera = tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))
        self._start = tf.check_rigid(T_world_camera, "T_world_camera")
        self.reset()

    def reset(self) -> None:
        """Forgets everything; the next frame begins a new world."""
        self._key_frames: deque[_KeyFrame] = deque(maxlen=self.config.key_frames_kept)
        self._followed: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # picture, corner numbers, pixels
        self._T_camera_key = np.eye(4)
        self._camera: Camera | None = None

    def __call__(self, frame: Frame) -> OdometryStep:
        """See `Odometry`; the first frame gives the world."""
        picture, depth_m, camera = _parts(frame)
        if self._camera is None or not self._key_frames:
            self._camera = camera
            return self._begin(picture, depth_m, self._start)
        if camera.image_size != self._camera.image_size:
            raise GeometryError(
                f"the image's size changed from {self._camera.image_size} to {camera.image_size}; call reset()"
            )
        self._camera = camera
        key = self._key_frames[-1]
        found = None
        if self._followed is not None:
            numbers, pixels = self._follow(picture)
            found = self._pose(key, numbers, pixels, depth_m, self._T_camera_key)
        if found is None:
            # From the newest back: the camera most likely still sees what it saw last.
            described = self._describe(picture)
            for candidate in reversed(self._key_frames):
                numbers, pixels = _match(candidate, *described)
                found = self._pose(candidate, numbers, pixels, depth_m, None)
                if found is not None:
                    key = candidate
                    break
        if found is None:
            self._followed = None
            reason = "too few corners agree on a motion (blur, darkness, bare walls, or everything moves)"
            return OdometryStep(None, None, 0, False, reason)
        T_camera_key, covariance, agree = found
        T_world_camera = key.T_world_camera @ tf.invert(T_camera_key)
        moved_px = np.median(np.linalg.norm(pixels[agree] - key.pixels[numbers[agree]], axis=1))
        count = int(agree.sum())
        far = moved_px > self.config.key_frame_px * camera.image_size[0]
        if far or count < self.config.key_frame_share * len(key.pixels) or key is not self._key_frames[-1]:
            step = self._begin(picture, depth_m, T_world_camera)
            if step.T_world_camera is not None:
                return OdometryStep(T_world_camera, covariance, count, True)
        if key is self._key_frames[-1]:
            self._followed = (picture, numbers[agree], pixels[agree])
            self._T_camera_key = T_camera_key
        return OdometryStep(T_world_camera, covariance, count, False)

    def _begin(self, picture: np.ndarray, depth_m: np.ndarray, T_world_camera: np.ndarray) -> OdometryStep:
        """Makes this frame the key frame, where it has enough corners with depth."""
        cv2, config = _cv2(), self.config
        found = cv2.goodFeaturesToTrack(picture, config.max_corners, 0.01, config.corner_distance_px)
        pixels = np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)
        z = _depth_at(depth_m, pixels)
        pixels, z = pixels[np.isfinite(z)], z[np.isfinite(z)]
        if len(pixels) < config.min_inliers:
            reason = f"{len(pixels)} corners with depth, {config.min_inliers} are needed to begin"
            return OdometryStep(None, None, 0, False, reason)
        keypoints = [cv2.KeyPoint(float(u), float(v), 31.0, 0.0, 1.0, 0, i) for i, (u, v) in enumerate(pixels)]
        kept, described = cv2.ORB_create().compute(picture, keypoints)
        descriptors = np.zeros((len(pixels), 32), np.uint8)
        if described is not None:
            descriptors[[k.class_id for k in kept]] = described
        points = self._camera.rays(pixels) * z[:, None]
        self._key_frames.append(_KeyFrame(T_world_camera, pixels, points, descriptors))
        self._followed = (picture, np.arange(len(pixels)), pixels)
        self._T_camera_key = np.eye(4)
        return OdometryStep(T_world_camera, np.zeros((6, 6)), len(pixels), True)

    def _follow(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers (n,) of the key frame's corners that were found again, and their pixels (n, 2)."""
        cv2 = _cv2()
        before, numbers, pixels = self._followed
        if not len(pixels):
            return numbers, pixels
        flow = {"winSize": (21, 21), "maxLevel": 4}
        there, found, _ = cv2.calcOpticalFlowPyrLK(before, picture, pixels[:, None], None, **flow)
        back, returned, _ = cv2.calcOpticalFlowPyrLK(picture, before, there, None, **flow)
        there, back = there.reshape(-1, 2), back.reshape(-1, 2)
        width, height = self._camera.image_size
        good = (found.ravel() == 1) & (returned.ravel() == 1)
        good &= np.linalg.norm(back - pixels, axis=1) < self.config.flow_error_px
        good &= (there >= 0).all(axis=1) & (there < [width, height]).all(axis=1)
        return numbers[good], there[good]

    def _describe(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (m, 2) of a picture's corners and their ORB descriptors (m, 32)."""
        cv2 = _cv2()
        found = cv2.goodFeaturesToTrack(picture, 2 * self.config.max_corners, 0.01, self.config.corner_distance_px / 2)
        nothing = np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8)
        if found is None:
            return nothing
        keypoints = [cv2.KeyPoint(float(u), float(v), 31.0) for u, v in found.reshape(-1, 2)]
        keypoints, descriptors = cv2.ORB_create().compute(picture, keypoints)
        if descriptors is None:
            return nothing
        return np.array([k.pt for k in keypoints], np.float32), descriptors

    def _pose(self, key: _KeyFrame, numbers, pixels, depth_m, T_camera_key):
        """T_camera_key (4, 4), its covariance (6, 6) and who agrees (n,) bool; None where too few do."""
        config = self.config
        if len(numbers) < config.min_inliers:
            return None
        cv2 = _cv2()
        points = key.points_m[numbers]
        rays = self._camera.rays(pixels)
        # Through rays, so that every lens model goes: pixels of a distortion-free camera of the same focal length.
        focal = float(np.sqrt(self._camera.K[0, 0] * self._camera.K[1, 1]))
        ideal, K = focal * rays[:, :2], np.diag([focal, focal, 1.0])
        cv2.setRNGSeed(0)
        guess = {}
        if T_camera_key is not None:
            rotation = cv2.Rodrigues(T_camera_key[:3, :3].copy())[0]
            guess = {"rvec": rotation, "tvec": T_camera_key[:3, 3:].copy(), "useExtrinsicGuess": True}
        ok, rvec, tvec, inliers = cv2.solvePnPRansac(
            points, ideal, K, None, reprojectionError=config.ransac_px, iterationsCount=200, confidence=0.999, **guess
        )
        if not ok or inliers is None or len(inliers) < config.min_inliers:
            return None
        z_m = _depth_at(depth_m, pixels)
        # The pose before as well: near a flat wall RANSAC may give up part of it to please a large thing that moves.
        starts = [tf.make_transform(cv2.Rodrigues(rvec)[0], tvec.ravel())]
        starts += [] if T_camera_key is None else [T_camera_key]
        refined = [_refine(T, points, rays, z_m, focal, config) for T in starts]
        T, covariance, agree, _ = min(refined, key=lambda r: r[3])
        if agree.sum() < max(config.min_inliers, config.min_inlier_share * len(numbers)):
            return None
        return T, covariance, agree


def _match(key: _KeyFrame, pixels: np.ndarray, descriptors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n,) of a key frame's corners that look like another picture's, and the pixels (n, 2) of those."""
    if not len(pixels):
        return np.zeros(0, int), pixels
    cv2 = _cv2()
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(key.descriptors, descriptors)
    matches = [m for m in matches if m.distance < 64 and key.descriptors[m.queryIdx].any()]
    numbers = np.array([m.queryIdx for m in matches], int)
    return numbers, pixels[np.array([m.trainIdx for m in matches], int)]


def _refine(T, points, rays, z_m, focal, config) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Gauss-Newton with Tukey's weights on rays and inverse depth of points (n, 3) seen in the other frame.

    Inverse depth, because its noise hardly depends on depth for triangulating sensors.

    Returns:
        T (4, 4), its covariance (6, 6), who agrees (n,) bool, and the robust cost of all, for choosing between starts.
    """
    sigma_ray = config.pixel_sigma_px / focal
    known = np.isfinite(z_m)
    z_safe = np.where(known, z_m, 1.0)
    sigma_inverse = np.hypot(
        config.noise.sigma_m(z_safe) / z_safe**2, config.noise.sigma_m(points[:, 2]) / points[:, 2] ** 2
    )
    inlier = np.ones(len(points), bool)
    for _ in range(8):
        p = points @ T[:3, :3].T + T[:3, 3]
        z = np.maximum(p[:, 2], 1e-6)
        x, y, w = p[:, 0] / z, p[:, 1] / z, 1.0 / z
        r_ray = np.stack([rays[:, 0] - x, rays[:, 1] - y], axis=1) / sigma_ray
        r_depth = np.where(known, (1.0 / z_safe - w) / sigma_inverse, 0.0)
        limit = config.ransac_px / config.pixel_sigma_px
        ray_length = np.linalg.norm(r_ray, axis=1)
        weight = np.where(ray_length < limit, (1 - (ray_length / limit) ** 2) ** 2, 0.0) * (p[:, 2] > 0)
        weight_depth = weight * np.where(np.abs(r_depth) < 4.7, (1 - (r_depth / 4.7) ** 2) ** 2, 0.0) * known
        inlier = (ray_length < limit) & (p[:, 2] > 0)
        zero, one = np.zeros_like(x), np.ones_like(x)
        # Derivatives of x, y and 1/z by a shift and a turn of the camera's frame, applied on the left.
        J = np.stack(
            [
                np.stack([w, zero, -x * w, -x * y, one + x * x, -y], axis=1) / sigma_ray,
                np.stack([zero, w, -y * w, -one - y * y, x * y, x], axis=1) / sigma_ray,
                np.stack([zero, zero, -w * w, -y * w, x * w, zero], axis=1) / sigma_inverse[:, None],
            ],
            axis=1,
        )
        weights = np.stack([weight, weight, weight_depth], axis=1)
        residual = np.concatenate([r_ray, r_depth[:, None]], axis=1)
        normal = np.einsum("nri,nr,nrj->ij", J, weights, J) + 1e-9 * np.eye(6)
        step = np.linalg.solve(normal, np.einsum("nri,nr,nr->i", J, weights, residual))
        T = _exp(step) @ T
        if np.abs(step).max() < 1e-8:
            break
    used = weights.sum()
    # Where the residuals are larger than the assumed noise, so is the covariance.
    factor = max(1.0, float((weights * residual**2).sum() / max(used - 6, 1.0)))
    cost = float(np.square(np.minimum(ray_length / limit, 1.0)).sum())
    return T, factor * np.linalg.inv(normal), inlier, cost


def _exp(step: np.ndarray) -> np.ndarray:
    """(4, 4) of a small shift (3) and turn (3)."""
    from scipy.spatial.transform import Rotation

    return tf.make_transform(Rotation.from_rotvec(step[3:]).as_matrix(), step[:3])


def _depth_at(depth_m: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Depth (n,) at pixels (n, 2); NaN at depth edges, where a corner lies on one side and its depth on the other."""
    if not len(pixels):
        return np.zeros(0)
    height, width = depth_m.shape
    u, v = np.rint(pixels).astype(int).T
    reach = np.arange(-2, 3)
    rows = np.clip(v[:, None, None] + reach[:, None], 0, height - 1)
    columns = np.clip(u[:, None, None] + reach, 0, width - 1)
    patch = depth_m[rows, columns].reshape(len(pixels), -1).astype(float)
    known = np.isfinite(patch).sum(axis=1) >= 13
    out = np.full(len(pixels), np.nan)
    if known.any():
        low, middle, high = np.nanpercentile(patch[known], [10, 50, 90], axis=1)
        out[known] = np.where(high - low < 0.05 * middle, middle, np.nan)
    return out


def _parts(frame: Frame) -> tuple[np.ndarray, np.ndarray, Camera]:
    for name in ("rgb", "depth_m", "camera"):
        if getattr(frame, name) is None:
            raise GeometryError(f"the frame at {frame.stamp_ns} ns has no {name}, which visual odometry needs")
    if frame.rgb.shape[:2] != frame.depth_m.shape:
        raise GeometryError(f"picture {frame.rgb.shape[:2]} and depth {frame.depth_m.shape} differ in size")
    cv2 = _cv2()
    return cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), frame.depth_m, frame.camera


def with_visual_odometry(frames: Iterable[Frame], odometry: VisualOdometry | None = None) -> Iterator[Frame]:
    """Frames with the pose that visual odometry finds, None where the camera is lost.

    Args:
        frames: In time order, with picture, depth and intrinsics.
        odometry: Follows the camera; one with the default constants where None is given.
    """
    odometry = odometry or VisualOdometry()
    for frame in frames:
        yield replace(frame, T_world_camera=odometry(frame).T_world_camera)


def _cv2():
    try:
        import cv2
    except ImportError:
        raise DependencyError("visual odometry needs OpenCV: pip install opencv-python-headless") from None
    return cv2
