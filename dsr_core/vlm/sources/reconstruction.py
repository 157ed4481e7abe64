"""Depth, points and poses that a reconstruction network finds in a clip, one token for each visual token of it.

A token says where the surface is that its visual token shows, seen from the first camera and from its own, and where
that camera was. The world's own frame does not matter, and with `scale="median"` neither does its unit.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.perception.reconstruction.intrinsics import intrinsics_of_points
from dsr_core.perception.reconstruction.protocol import Reconstruction, Reconstructor
from dsr_core.perception.reconstruction.windows import WindowConfig, reconstruct_video
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.sources.grid import MAX_PIXELS, VisualGrid
from dsr_core.vlm.values import Context, GeometryTokens, VlmError

BACKENDS = ("depth_anything_3", "pi3")
SCALES = ("median", "metric")
#: What metres are divided by to be about one, as `SceneSource` does.
_LENGTH_M = 10.0
#: What seconds on the question's clock are divided by.
_CLOCK_S = 10.0
#: Wavelengths of the Fourier features of a position, after scaling.
_WAVELENGTHS = (0.5, 1.0, 2.0, 4.0)
#: Numbers of a token; see `cell_features`.
FEATURES = 33 + 6 * len(_WAVELENGTHS)


class ReconstructionSource(GeometrySource):
    """Tokens of a clip; the network is loaded when the first clip comes.

    Args:
        backend: One of `BACKENDS`.
        weights: Folder or hub id; None takes the backend's own. checkout: Of pi3, which no package carries.
        device: "cuda", "cpu", …; None takes the first GPU where there is one.
        dtype: "float32", "float16" or "bfloat16".
        picture_pixels: The network is shown frames of at most so many pixels; None: as it is used elsewhere.
        scale: "median": lengths are divided by the median depth of the clip; "metric": they are metres, which the
            backend must give.
        min_confidence: Points that the backend is less sure of are left out.
        window: Frames that are reconstructed at once; a longer clip is joined from windows.
        patch, merge, temporal, max_pixels: Of the language model's vision tower (`VisualGrid`).
    """

    name = "reconstruction"
    looks_at = "clip"
    features = FEATURES
    hidden = 256
    aligned = True
    cached = True

    def __init__(
        self,
        backend: str = "depth_anything_3",
        weights: str | None = None,
        checkout: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
        picture_pixels: int | None = None,
        scale: str = "median",
        min_confidence: float = 0.1,
        window: int = 32,
        patch: int = 14,
        merge: int = 2,
        temporal: int = 2,
        max_pixels: int | None = MAX_PIXELS,
    ):
        if backend not in BACKENDS:
            raise VlmError(f"there is no reconstruction backend {backend!r}; known: {', '.join(BACKENDS)}")
        if scale not in SCALES:
            raise VlmError(f"scale = {scale!r} is not known; known: {', '.join(SCALES)}")
        if not 0.0 <= min_confidence <= 1.0:
            raise VlmError(f"min_confidence = {min_confidence} is not between 0 and 1")
        self.backend, self.weights, self.checkout, self.device, self.dtype = backend, weights, checkout, device, dtype
        self.picture_pixels, self.scale, self.min_confidence = picture_pixels, scale, min_confidence
        self.windows = WindowConfig(length=window)
        self.grid = VisualGrid(patch, merge, temporal, max_pixels)
        self._reconstructor, self._loading = None, threading.Lock()

    def settings(self) -> dict:
        names = ("backend", "weights", "dtype", "picture_pixels", "scale", "min_confidence")
        told = {name: getattr(self, name) for name in names}
        return {**told, "window": self.windows.length, **self.grid.settings()}

    def tokens(self, context: Context) -> GeometryTokens:
        """(t * h * w, FEATURES) tokens and their grid.

        Raises:
            ModelError, DependencyError: the network cannot be loaded; the message says how to get it.
            VlmError: metres are asked for and not given, or a long clip does not join.
        """
        clip = context.clip
        joined = reconstruct_video(self.reconstructor(), clip.frames, config=self.windows)
        if joined.segment[-1] > 0:
            raise VlmError(
                f"the {len(clip.frames)} frames were reconstructed in {joined.segment[-1] + 1} pieces that do not join"
                f" (a cut?); show at most {self.windows.length} of one shot"
            )
        grid = self.grid.tokens(clip)
        found = cell_features(
            joined.reconstruction, clip.times_s, grid, self.grid.temporal, self.scale, self.min_confidence
        )
        return GeometryTokens(found, grid=grid)

    def reconstructor(self) -> Reconstructor:
        """The backend, loaded once."""
        with self._loading:
            if self._reconstructor is None:
                self._reconstructor = self._load()
            return self._reconstructor

    def _load(self) -> Reconstructor:
        options = {"device": self.device, "dtype": self.dtype}
        if self.picture_pixels is not None:
            options["max_pixels"] = self.picture_pixels
        if self.backend == "pi3":
            from dsr_core.perception.reconstruction import pi3

            return pi3.Pi3(self.weights or pi3.HUB_ID, self.checkout, **options)
        from dsr_core.perception.reconstruction import depth_anything_3

        return depth_anything_3.DepthAnything3(self.weights or depth_anything_3.HUB_ID, **options)


def cell_features(
    found: Reconstruction,
    times_s: Sequence[float],
    grid: tuple[int, int, int],
    temporal: int = 2,
    scale: str = "median",
    min_confidence: float = 0.1,
) -> np.ndarray:
    """Numbers (t * h * w, FEATURES) float32 of the cells of a grid, by time, row and column.

    A cell is a part of the image over `temporal` frames; the last frame is repeated where there are too few. Points
    count that are finite, before the camera and sure enough. All lengths are divided by the median depth of these, or
    by 10 m; positions, directions and axes are in the first camera's optical frame unless said otherwise. In order:

    * whether any point counts (the numbers that points tell are 0 otherwise);
    * mean point (3); mean point in the frame of its own camera (3); log of its depth there;
    * spread of the points along the axes of their own camera, over their depth (3);
    * mean surface normal, towards the camera (3), shorter the less plane the cell is;
    * share of the pixels that count; mean confidence of all pixels;
    * time within the clip, 0 to 1; log(1 + seconds of the clip); time on the question's clock over 10 s;
    * camera: position (3), optical axis (3), axis downwards in the image (3), of the cell's first frame;
    * direction of the ray through the cell's middle (3), 0 where no intrinsics can be told;
    * the cell's middle as a part of the image's height and width (2);
    * sine and cosine of 2 pi x / wavelength of the mean point, for wavelengths 0.5, 1, 2 and 4 (24).

    Args:
        found: Points, poses and confidence of the frames. times_s: Their seconds.
        grid: (t, h, w), t * temporal frames at least as many as there are.
        scale, min_confidence: As for `ReconstructionSource`.

    Raises:
        VlmError: sizes do not fit, or metres are asked for and not given.
    """
    count, high, wide = grid
    if len(times_s) != len(found) or not (count - 1) * temporal < len(found) <= count * temporal:
        raise VlmError(f"{len(found)} pictures at {len(times_s)} times do not fill {count} cells of {temporal} frames")
    if scale == "metric" and not found.metric:
        raise VlmError("this reconstruction has no metres; set scale = median, or take metric weights")
    order = np.minimum(np.arange(count * temporal), len(found) - 1)
    sure = [_sure(*frame, min_confidence) for frame in zip(found.points_camera_m, found.confidence, strict=True)]
    depths = np.concatenate([points[..., 2][s] for points, s in zip(found.points_camera_m, sure, strict=True)])
    unit = _LENGTH_M if scale == "metric" else float(np.median(depths)) if len(depths) else 1.0
    T_first_camera = tf.invert(found.T_world_camera[0]) @ found.T_world_camera
    R, t = T_first_camera[:, :3, :3], T_first_camera[:, :3, 3] / unit
    sums = [
        _sums(points / unit, confidence, s, turn, place, grid)
        for points, confidence, s, turn, place in zip(found.points_camera_m, found.confidence, sure, R, t, strict=True)
    ]
    sums = np.stack(sums)[order].reshape(count, temporal, high, wide, -1).sum(axis=1)
    pixels, number, planes, confidence, own, square, middle, normal = np.split(
        sums, np.cumsum([1, 1, 1, 1, 3, 3, 3]), axis=3
    )
    known = number[..., 0] > 0
    own, square, middle = (part / np.maximum(number, 1.0) for part in (own, square, middle))
    variance = np.maximum(square - own**2, 0.0)
    depth = np.where(known, own[..., 2], 1.0)[..., None]
    seen = np.concatenate(
        [
            np.ones_like(depth),
            np.clip(middle, -20, 20),
            np.clip(own, -20, 20),
            np.log(np.clip(depth, 1e-3, 1e3)),
            np.clip(np.sqrt(variance) / depth, 0, 5),
            normal / np.maximum(planes, 1.0),
        ],
        axis=3,
    )
    phase = (2 * np.pi / np.array(_WAVELENGTHS))[:, None] * middle[..., None, :]
    waves = np.concatenate([np.sin(phase), np.cos(phase)], axis=3).reshape(*grid, -1)
    heads = order[::temporal]
    axes = np.concatenate([np.clip(t, -20, 20), R[:, :, 2], R[:, :, 1]], axis=1)[heads]
    rays = _rays(found, grid)
    out = [
        np.where(known[..., None], seen, 0.0),
        number / pixels,
        confidence / pixels,
        _over(_times(np.asarray(times_s, float)[order].reshape(count, temporal).mean(1), times_s), grid),
        _over(axes, grid),
        np.einsum("nij,nhwj->nhwi", R, rays)[heads],
        np.broadcast_to(_places(high, wide), (*grid, 2)),
        np.where(known[..., None], waves, 0.0),
    ]
    return np.concatenate(out, axis=3).reshape(count * high * wide, FEATURES).astype(np.float32)


def _sure(points: np.ndarray, confidence: np.ndarray, least: float) -> np.ndarray:
    """(H, W) which points (H, W, 3) count."""
    return np.isfinite(points).all(axis=2) & (np.nan_to_num(points[..., 2]) > 0) & (confidence >= least)


def _sums(points, confidence, sure, R, t, grid: tuple[int, int, int]) -> np.ndarray:
    """Sums (h, w, 16) over the pixels of one frame's cells: pixels, those that count, those with a normal; confidence;
    point, its squares, point seen by the first camera, normal seen by it."""
    points = np.where(sure[..., None], points, 0.0).astype(float)
    normals, plane = _normals(points, sure)
    planes = [np.ones(sure.shape), sure, plane, confidence]
    stacked = np.concatenate([np.stack(planes, axis=2), points, points**2, normals], axis=2)
    rows, columns = (_pooling(n, size) for n, size in zip(grid[1:], sure.shape, strict=True))
    down = rows @ stacked.reshape(len(stacked), -1)
    out = np.einsum("wx,hxc->hwc", columns, down.reshape(len(down), *stacked.shape[1:]), optimize=True)
    seen = out[..., 4:7] @ R.T + out[..., 1:2] * t
    return np.concatenate([out[..., :10], seen, out[..., 10:] @ R.T], axis=2)


def _pooling(cells: int, size: int) -> np.ndarray:
    """(cells, size) which pixels each cell has; a cell of less than a pixel has the one that it begins in."""
    starts = np.arange(cells + 1) * size // cells
    pixels = np.arange(size)
    return ((pixels >= starts[:-1, None]) & (pixels < np.maximum(starts[1:], starts[:-1] + 1)[:, None])).astype(float)


def _normals(points: np.ndarray, sure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (H, W, 3) towards the camera from neighbouring points, and where there are any (H, W)."""
    out, plane = np.zeros_like(points), np.zeros(sure.shape, bool)
    if min(sure.shape) < 3:
        return out, plane
    across = points[1:-1, 2:] - points[1:-1, :-2]
    down = points[2:, 1:-1] - points[:-2, 1:-1]
    there = sure[1:-1, 2:] & sure[1:-1, :-2] & sure[2:, 1:-1] & sure[:-2, 1:-1] & sure[1:-1, 1:-1]
    normal = np.cross(across, down)
    length = np.sqrt((normal**2).sum(axis=2))
    there &= length > 1e-12
    normal /= np.where((normal * points[1:-1, 1:-1]).sum(axis=2) > 0, -1.0, 1.0)[..., None]
    normal /= np.where(there, length, 1.0)[..., None]
    out[1:-1, 1:-1], plane[1:-1, 1:-1] = np.where(there[..., None], normal, 0.0), there
    return out, plane


def _rays(found: Reconstruction, grid: tuple[int, int, int]) -> np.ndarray:
    """Unit directions (N, h, w, 3) through the middles of cells, in each camera's frame; 0 where they are not known."""
    out = np.zeros((len(found), *grid[1:], 3))
    size = np.array(found.points_camera_m.shape[1:3], float)
    pixels = _places(*grid[1:]) * size - 0.5
    for i, points in enumerate(found.points_camera_m):
        K = intrinsics_of_points(points) if found.K is None else found.K[i]
        if K is not None:
            xy = (pixels[..., ::-1] - K[:2, 2]) / np.array([K[0, 0], K[1, 1]])
            ray = np.concatenate([xy, np.ones((*grid[1:], 1))], axis=2)
            out[i] = ray / np.linalg.norm(ray, axis=2, keepdims=True)
    return out


def _places(high: int, wide: int) -> np.ndarray:
    """(h, w, 2) middles of cells as parts of the height and the width."""
    return np.stack(np.meshgrid((np.arange(high) + 0.5) / high, (np.arange(wide) + 0.5) / wide, indexing="ij"), axis=2)


def _times(at_s: np.ndarray, times_s: Sequence[float]) -> np.ndarray:
    """(t, 3) time within the clip, log(1 + its seconds), time on the question's clock."""
    start_s, duration_s = float(times_s[0]), float(times_s[-1]) - float(times_s[0])
    within = (at_s - start_s) / max(duration_s, 1e-6)
    return np.stack([within, np.full(len(at_s), np.log1p(duration_s)), np.clip(at_s / _CLOCK_S, -20, 20)], axis=1)


def _over(values: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
    """(t, C) -> (t, h, w, C)."""
    return np.broadcast_to(values[:, None, None], (*grid, values.shape[1]))
