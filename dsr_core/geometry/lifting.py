"""RGB-D lifting: the 3D centre of a thing from its 2D box or mask and a depth image, with an honest covariance.

A depth camera sees the front surface of a thing, through a box that also shows the background and whatever stands in
front. The centre is put on the ray through the middle of the box, half the thing's depth behind its front surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry.camera import Camera

#: 10 % quantile of a standard normal variable.
_Q10 = 1.2816
_MAD_TO_SIGMA = 1.4826


class LiftingError(GeometryError):
    """A box or mask cannot be lifted.

    Attributes:
        reason: Short machine-readable cause, for counting.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class DepthNoise:
    """One-sigma noise of a depth pixel: `sigma_z = constant_m + relative * z + per_m * z**2`.

    The defaults fit structured light and active stereo (Kinect v1 about 0.0014 z^2, RealSense D435 about 0.002 z^2
    at 640x480); for time of flight use constant_m = 0.01, per_m = 0.0005.

    Attributes:
        constant_m: Part that does not depend on depth, metres.
        per_m: Quadratic growth, 1/m.
        systematic: Part of sigma_z that all pixels of a thing share (calibration, temperature, interference), so that
            it does not average out.
        relative: Linear growth: depth from networks and from reconstructions is off by a factor.
    """

    constant_m: float = 0.003
    per_m: float = 0.002
    systematic: float = 0.5
    relative: float = 0.0

    def __post_init__(self):
        if not (self.constant_m > 0 and self.per_m >= 0 and self.relative >= 0 and 0 <= self.systematic <= 1):
            raise GeometryError(f"{self}: constant_m > 0, per_m, relative >= 0 and systematic in 0..1 are needed")

    def sigma_m(self, depth_m: np.ndarray | float) -> np.ndarray | float:
        """One-sigma of pixels at depth `depth_m` in metres."""
        return self.constant_m + self.relative * depth_m + self.per_m * np.square(depth_m)


@dataclass(frozen=True)
class LiftingConfig:
    """Constants of the lifting.

    Attributes:
        noise: Noise model of the depth camera.
        min_depth_m: Nearer pixels are taken for invalid.
        max_depth_m: Farther pixels are taken for invalid.
        min_pixels: Fewest valid pixels on the thing.
        max_samples: About how many pixels are looked at.
        inner_fraction: Central part of the box (each side) in which the thing's depth is looked for.
        erode_px: A mask's rim of this width is not used (mixed pixels at depth edges).
        near_fraction: A depth mode with at least this part of the weight may win over a stronger, farther one, ...
        near_centred: ... where the middle of its pixels lies this close to the box's middle, as a part of the inner
            box's sides: what hides a thing mostly comes in from one side of its box, ...
        near_rival: ... or where it is at least this part as strong.
        depth_per_width: Depth of a thing of unknown size as a multiple of its width, or of the geometric mean of width
            and height where it is wider than high.
        depth_sigma: One-sigma of that depth, as a part of it.
        known_depth_sigma: The same where the detector gives the size (a box is larger than what is in it).
        turned_depth_sigma: The same where it gives the heading, too.
        fill: Where it does: distance from the visible surface to the centre, as a part of that of a solid box.
        box_sigma: One-sigma of the middle of a box against the middle of the thing, as a part of the side (noise of the
            box, perspective, lopsided shapes).
        border_px: A box this close to the border of the image is cut by it.
        cut_sigma: Added one-sigma of a cut or hidden side, as a part of the visible side.
        hidden_fraction: A thing is occluded when nearer pixels take up at least this part of its box.
    """

    noise: DepthNoise = DepthNoise()
    min_depth_m: float = 0.1
    max_depth_m: float = 80.0
    min_pixels: int = 12
    max_samples: int = 800
    inner_fraction: float = 0.7
    erode_px: int = 2
    near_fraction: float = 0.25
    near_centred: float = 0.12
    near_rival: float = 0.8
    depth_per_width: float = 1.0
    depth_sigma: float = 0.45
    known_depth_sigma: float = 0.3
    turned_depth_sigma: float = 0.25
    fill: float = 0.9
    box_sigma: float = 0.05
    border_px: float = 2.0
    cut_sigma: float = 0.35
    hidden_fraction: float = 0.15

    def __post_init__(self):
        fractions = ("inner_fraction", "near_fraction", "near_rival", "hidden_fraction")
        for name in fractions:
            if not 0 < getattr(self, name) <= 1:
                raise GeometryError(f"lifting: {name} = {getattr(self, name)} must be in (0, 1]")
        for name in (
            "near_centred",
            "depth_per_width",
            "depth_sigma",
            "known_depth_sigma",
            "turned_depth_sigma",
            "box_sigma",
            "border_px",
            "cut_sigma",
            "erode_px",
        ):
            if not getattr(self, name) >= 0:
                raise GeometryError(f"lifting: {name} = {getattr(self, name)} must not be negative")
        if not 0 < self.min_depth_m < self.max_depth_m:
            raise GeometryError(
                f"lifting: min_depth_m {self.min_depth_m} must be positive and below max_depth_m {self.max_depth_m}"
            )
        if self.min_pixels < 1 or self.max_samples < 4 * self.min_pixels:
            raise GeometryError(
                f"lifting: max_samples {self.max_samples} must be at least 4 min_pixels ({self.min_pixels})"
            )


@dataclass(frozen=True, eq=False)
class Lifted:
    """A thing placed in the optical frame.

    Attributes:
        position_camera_m: (3,) estimated centre of the thing's 3D box.
        covariance_camera: (3, 3) of it, square metres.
        n_pixels: Valid depth samples on the thing.
        truncated: The image border cuts the thing.
        occluded: Something nearer hides a part of it.
        size_dwh_m: (3,) estimated depth along the ray, width and height; of the visible part where cut or occluded.
    """

    position_camera_m: np.ndarray
    covariance_camera: np.ndarray
    n_pixels: int
    truncated: bool
    occluded: bool
    size_dwh_m: np.ndarray


def lift(
    depth_m: np.ndarray,
    camera: Camera,
    box_px: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    size_lwh_m: np.ndarray | None = None,
    config: LiftingConfig = LiftingConfig(),
    rotation_camera_thing: np.ndarray | None = None,
) -> Lifted:
    """Places one thing by its box and/or mask.

    Args:
        depth_m: (H, W) metres along the optical axis; NaN, 0, negative or infinite pixels are invalid.
        camera: Intrinsics of the image that box and mask refer to; the depth is registered to it.
        box_px: (4,) x1, y1, x2, y2, or None to use the mask's.
        mask: (H, W) bool, or None.
        size_lwh_m: (3,) length, width, height where the detector knows them.
        config: Constants.
        rotation_camera_thing: (3, 3) from the thing's frame (x forward, y left, z up) to the optical frame, or None;
            with the size it tells how deep the thing is along the ray.

    Raises:
        LiftingError: `reason` is one of nothing_to_lift, bad_box, mask_size_differs, depth_size_differs, outside_image,
            empty_mask, too_few_depth_pixels.
    """
    height, width = depth_m.shape
    if (width, height) != camera.image_size:
        raise LiftingError(
            "depth_size_differs",
            f"depth is {width}x{height}, its camera {camera.image_size}; register the depth to the image",
        )
    if box_px is not None:
        box = np.asarray(box_px, float)
        if box.shape != (4,) or not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
            raise LiftingError("bad_box", f"box {np.round(box, 1).tolist()} is not x1 < x2, y1 < y2 in pixels")
    if mask is not None:
        if mask.shape != depth_m.shape:
            raise LiftingError(
                "mask_size_differs", f"mask has shape {mask.shape}, the depth image {depth_m.shape}; resize the mask"
            )
        box = _mask_box(mask, None if box_px is None else box)
    elif box_px is None:
        raise LiftingError("nothing_to_lift", "a detection without 3D position needs box_px or mask")
    box_clipped = np.minimum(np.maximum(box, 0.0), (width, height, width, height))
    if box_clipped[2] - box_clipped[0] < 1 or box_clipped[3] - box_clipped[1] < 1:
        raise LiftingError("outside_image", f"box {np.round(box, 1).tolist()} lies outside the {width}x{height} image")

    z, off = _depth_samples(depth_m, box_clipped, mask, config)
    if len(z) < config.min_pixels:
        raise LiftingError(
            "too_few_depth_pixels",
            f"{len(z)} valid depth samples in box {np.round(box).tolist()}, {config.min_pixels} are needed",
        )
    edges = _edge_rays(camera, box_clipped)
    ray, side = edges[0], np.array([np.linalg.norm(edges[2] - edges[1]), np.linalg.norm(edges[4] - edges[3])])
    on_thing, hidden = _thing_depths(z, off, side, size_lwh_m, config)
    if len(on_thing) < config.min_pixels:
        raise LiftingError(
            "too_few_depth_pixels",
            f"{len(on_thing)} depth samples agree on one surface, {config.min_pixels} are needed",
        )
    cut = np.array(
        [
            box[0] <= config.border_px or box[2] >= width - config.border_px,
            box[1] <= config.border_px or box[3] >= height - config.border_px,
        ]
    )
    turned = None
    if mask is not None and rotation_camera_thing is not None and _known(size_lwh_m):
        turned = _turned_box(z, on_thing, ray, size_lwh_m, rotation_camera_thing, config)
    return _centre(on_thing, ray, side, cut, hidden >= config.hidden_fraction, size_lwh_m, turned, config)


def _mask_box(mask: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """Box around a mask, but for stray pixels: outside the detection's box or the outermost 1 % on each side."""
    origin = np.zeros(2, int)
    if box is not None:
        height, width = mask.shape
        slack = 0.05 * (box[2:] - box[:2]) + 2
        origin = np.clip((box[:2] - slack).astype(int), 0, (width, height))
        end = np.clip((box[2:] + slack).astype(int), 0, (width, height))
        mask = mask[origin[1] : end[1], origin[0] : end[0]]
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        raise LiftingError("empty_mask", "the mask holds no pixel in its box")
    v0, v1 = rows[0], rows[-1] + 1
    columns = np.flatnonzero(mask[v0:v1].any(axis=0))
    u0, u1 = columns[0], columns[-1] + 1
    # Every n-th row and column is enough for the ends, and keeps large masks fast.
    step = max(min(v1 - v0, u1 - u0) // 100, 1)
    part = mask[v0:v1:step, u0:u1:step].view(np.uint8)
    ends = []
    for counts, first, last in ((part.sum(axis=0), u0, u1), (part.sum(axis=1), v0, v1)):
        cumulative = np.cumsum(counts)
        low = np.searchsorted(cumulative, 0.01 * cumulative[-1], "right")
        high = np.searchsorted(cumulative, 0.99 * cumulative[-1], "left") + 1
        ends.append((first + step * low, min(first + step * high, last)))
    (x1, x2), (y1, y2) = ends
    return np.array([x1, y1, x2, y2], float) + np.tile(origin, 2)


def _depth_samples(depth_m, box, mask, config) -> tuple[np.ndarray, np.ndarray]:
    """Valid depths (n,) on a grid inside the box or mask, and their pixels' offsets (n, 2) from the box's middle.

    Offsets are parts of the sides of what is sampled: of the box's inner part, or of the mask's box.
    """
    x1, y1, x2, y2 = box
    if mask is None:
        shrink = (1 - config.inner_fraction) / 2
        x1, x2 = x1 + shrink * (x2 - x1), x2 - shrink * (x2 - x1)
        y1, y2 = y1 + shrink * (y2 - y1), y2 - shrink * (y2 - y1)
    u0, v0 = int(x1), int(y1)
    u1, v1 = max(int(np.ceil(x2)), u0 + 1), max(int(np.ceil(y2)), v0 + 1)
    filled = 1.0 if mask is None else max(np.count_nonzero(mask[v0:v1, u0:u1]) / ((u1 - u0) * (v1 - v0)), 0.05)
    step = max(int(np.ceil(np.sqrt((u1 - u0) * (v1 - v0) * filled / config.max_samples))), 1)
    z = depth_m[v0:v1:step, u0:u1:step]
    with np.errstate(invalid="ignore"):
        valid = (z >= config.min_depth_m) & (z <= config.max_depth_m)
    if mask is not None:
        valid &= _eroded_at(mask, v0, v1, u0, u1, step, config.erode_px)
    v, u = np.nonzero(valid)
    off_u = (u * step + u0 + 0.5 - (x1 + x2) / 2) / (x2 - x1)
    off_v = (v * step + v0 + 0.5 - (y1 + y2) / 2) / (y2 - y1)
    return z[valid].astype(float), np.stack([off_u, off_v], axis=1)


def _eroded_at(mask, v0, v1, u0, u1, step, radius) -> np.ndarray:
    """The mask eroded by a square of `radius` pixels, evaluated on the sampling grid only."""
    inside = mask[v0:v1:step, u0:u1:step].copy()
    if radius == 0 or min(v1 - v0, u1 - u0) < 6 * radius:
        return inside
    height, width = mask.shape
    v, u = np.arange(v0, v1, step)[:, None], np.arange(u0, u1, step)
    up, down = np.maximum(v - radius, 0), np.minimum(v + radius, height - 1)
    left, right = np.maximum(u - radius, 0), np.minimum(u + radius, width - 1)
    for rows, columns in (
        (up, left),
        (up, right),
        (down, left),
        (down, right),
        (v, left),
        (v, right),
        (up, u),
        (down, u),
    ):
        inside &= mask[rows, columns]
    return inside


def _edge_rays(camera: Camera, box: np.ndarray) -> np.ndarray:
    """Rays (5, 3) with z = 1 through a box's middle, left, right, top and bottom; pixel centres are whole numbers."""
    x1, y1, x2, y2 = box - 0.5
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return camera.rays(np.array([[x, y], [x1, y], [x2, y], [x, y1], [x, y2]]))


def _thing_depths(z, off, side, size_lwh_m, config) -> tuple[np.ndarray, float]:
    """Sorted depths on the thing's visible surface, and the part of the samples that is clearly nearer than it."""
    order = np.argsort(z, kind="stable")
    z, off = z[order], off[order]
    weight = np.exp(-2.0 * np.square(off).sum(axis=1))
    # Logarithmic bins, so that the choice does not depend on the scale; at least as wide as the noise.
    relative = max(0.04, 2.0 * float(config.noise.sigma_m(z[len(z) // 2]) / z[len(z) // 2]))
    index = np.floor(np.log(z / z[0]) / relative).astype(int)
    counts = np.convolve(np.bincount(index, weight), [0.5, 1.0, 0.5], "same")
    peak = _mode(counts, index, off, config.near_fraction * weight.sum(), config)
    depth = z[0] * np.exp((peak + 0.5) * relative)
    lateral = side * depth
    deep = float(np.max(size_lwh_m)) if _known(size_lwh_m) else 1.5 * float(np.max(lateral))
    noise = 3 * float(config.noise.sigma_m(depth))
    floor = counts[peak] * 0.1
    lo, hi = peak, peak
    while lo > 0 and counts[lo - 1] > floor:
        lo -= 1
    while hi < len(counts) - 1 and counts[hi + 1] > floor:
        hi += 1
    near = max(z[0] * np.exp(lo * relative), depth - deep) - noise
    far = min(z[0] * np.exp((hi + 1) * relative), depth + deep) + noise
    near = min(near, depth * (1 - relative))
    far = max(far, depth * (1 + relative))
    hidden = float(weight[z < near].sum() / weight.sum())
    z = z[np.searchsorted(z, near, "left") : np.searchsorted(z, far, "right")]
    middle = z[len(z) // 2]
    residual = np.abs(z - middle)
    spread = _MAD_TO_SIGMA * float(np.partition(residual, len(residual) // 2)[len(residual) // 2])
    return z[residual <= 3.5 * max(spread, float(config.noise.sigma_m(middle)))], hidden


def _mode(counts, index, off, least, config) -> int:
    """The bin of the thing's surface: the strongest, or a nearer one that is centred in the box or nearly as strong."""
    strongest = int(np.argmax(counts))
    for mode in np.flatnonzero(counts[:strongest] >= least):
        if counts[mode] < counts[mode + 1] or (mode > 0 and counts[mode] < counts[mode - 1]):
            continue
        if counts[mode] >= config.near_rival * counts[strongest]:
            return int(mode)
        middle = off[np.searchsorted(index, mode - 1) : np.searchsorted(index, mode + 1, "right")].mean(axis=0)
        if np.abs(middle).max() <= config.near_centred:
            return int(mode)
    return strongest


def _turned_box(z, on_thing, ray, size_lwh_m, rotation_camera_thing, config) -> tuple[float, float]:
    """Mean depth of the visible surface of a thing of known size and heading, and twice the way on to its centre.

    The visible surface of a solid box lies 1 / (2 sum_i |n_i u| / s_i) in front of its centre on average over its
    pixels, for the ray u and its axes n_i with the sizes s_i.
    """
    across = np.abs(ray @ rotation_camera_thing) / np.linalg.norm(ray)
    noise = 3 * float(config.noise.sigma_m(on_thing[0]))
    surface = z[(z >= on_thing[0]) & (z <= on_thing[0] + across @ size_lwh_m + noise)]
    return float(surface.mean()), config.fill / float(across @ (1.0 / size_lwh_m))


def _centre(z, ray, side, cut, occluded, size_lwh_m, turned, config) -> Lifted:
    n = len(z)
    near, middle, far = float(z[n // 10]), float(z[n // 2]), float(z[n - 1 - n // 10])
    sigma_z = float(config.noise.sigma_m(middle))
    spread = max((far - near) / (2 * _Q10), 1e-9)
    # The 10 % quantile of a flat, noisy surface lies below the surface; that of a deep one hardly does.
    front = near + _Q10 * sigma_z * min(1.0, sigma_z / spread)
    # A silhouette lies at the front of a flat thing and at the middle of a round one.
    lateral = side * middle
    length = float(np.linalg.norm(ray))
    unit = ray / length
    if turned is not None:
        front, depth = turned
        sigma_depth = config.turned_depth_sigma * depth
    elif _known(size_lwh_m):
        depth = 0.5 * float(size_lwh_m[0] + size_lwh_m[1])
        sigma_depth = 0.35 * abs(float(size_lwh_m[0] - size_lwh_m[1])) + config.known_depth_sigma * depth
    else:
        visible = max(far - near - 2 * _Q10 * sigma_z, 0.0)
        depth = max(config.depth_per_width * float(np.sqrt(lateral[0] * lateral.min())), 1.3 * visible)
        sigma_depth = config.depth_sigma * depth
    # Perspective: seen from near, the middle of the box points at the middle of the front part of the thing.
    position = ray * front + unit * depth / 2
    independent = max(n / 25.0, 1.0)
    sigma_front = sigma_z * np.sqrt(config.noise.systematic**2 + 1 / independent) * length
    sigma_ray = np.hypot(sigma_front, sigma_depth / 2)
    sigma_side = config.box_sigma * lateral + 0.5 * side.min() * 0.02 * front
    sigma_side = np.hypot(sigma_side, config.cut_sigma * lateral * (cut | occluded))
    if cut.any() or occluded:
        sigma_ray = np.hypot(sigma_ray, 0.5 * config.cut_sigma * depth)
    right = np.array([unit[2], 0.0, -unit[0]]) / np.hypot(unit[0], unit[2])
    down = np.array([unit[1] * right[2], unit[2] * right[0] - unit[0] * right[2], -unit[1] * right[0]])
    axes = np.stack([right, down, unit])
    covariance = (axes.T * np.square([sigma_side[0], sigma_side[1], sigma_ray])) @ axes
    return Lifted(
        position_camera_m=position,
        covariance_camera=0.5 * (covariance + covariance.T),
        n_pixels=n,
        truncated=bool(cut.any()),
        occluded=bool(occluded),
        size_dwh_m=np.array([depth, *lateral]),
    )


def _known(size_lwh_m) -> bool:
    return size_lwh_m is not None and bool(np.isfinite(size_lwh_m).all() and np.min(size_lwh_m) > 0)
