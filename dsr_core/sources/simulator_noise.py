"""What a real depth camera and a real detector get wrong; every draw comes from the generator that is passed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr_core.errors import SourceError


@dataclass(frozen=True)
class DepthNoise:
    """A stereo depth camera.

    Attributes:
        constant_m: One-sigma at no distance.
        quadratic_per_m: One-sigma per square metre of distance (sigma = constant + quadratic z^2).
        patch_px: Errors are alike over about this many pixels, as those of block matching are.
        disparity_step_per_m: Depth comes in steps of this times z^2 (steps of disparity) ...
        step_m: ... and is rounded to this (16-bit millimetres).
        min_m: Nearest depth that is measured; nearer is NaN.
        max_m: Farthest depth that is measured; farther is NaN.
        edge_m: A jump of depth between neighbours that makes an edge.
        edge_dropout: Probability that a pixel at an edge is NaN.
    """

    constant_m: float = 0.002
    quadratic_per_m: float = 0.0012
    patch_px: float = 2.0
    disparity_step_per_m: float = 0.0006
    step_m: float = 0.001
    min_m: float = 0.3
    max_m: float = 14.0
    edge_m: float = 0.25
    edge_dropout: float = 0.6


@dataclass(frozen=True)
class DetectorNoise:
    """A detector with an orientation model.

    Attributes:
        miss: Probability that a wholly visible thing is missed in a frame.
        false_alarms: Mean number of false alarms a frame.
        pixel_sigma: One-sigma of each border of a box, pixels.
        min_visible: A thing of which no more than this share is visible is always missed ...
        well_visible: ... and one of which at least this share is visible is missed no more often than a whole one.
        min_pixels: Visible pixels that are needed (rendered frames).
        heading_sigma_rad: One-sigma of the heading by label; the "" entry holds for all others.
        size_sigma: One-sigma of the sizes as a share.
        position_sigma_m: One-sigma across the line of sight of a 3D detection.
        range_sigma: One-sigma along the line of sight as a share of the distance.
    """

    miss: float = 0.05
    false_alarms: float = 0.04
    pixel_sigma: float = 1.5
    min_visible: float = 0.2
    well_visible: float = 0.6
    min_pixels: int = 80
    heading_sigma_rad: tuple[tuple[str, float], ...] = (("person", 0.15), ("", 0.08))
    size_sigma: float = 0.03
    position_sigma_m: float = 0.03
    range_sigma: float = 0.01

    def __post_init__(self):
        if not 0.0 <= self.miss < 1.0 or self.false_alarms < 0.0:
            raise SourceError(f"miss = {self.miss} must be in [0, 1) and false_alarms = {self.false_alarms} at least 0")

    def detects(self, visible_share: float, draw: float) -> bool:
        """Whether a thing is found, for a uniform `draw` from 0..1."""
        ramp = (visible_share - self.min_visible) / max(self.well_visible - self.min_visible, 1e-6)
        return draw < (1.0 - self.miss) * min(max(ramp, 0.0), 1.0)

    def heading_sigma(self, label: str) -> float:
        """One-sigma of the heading of a thing with this label, rad."""
        table = dict(self.heading_sigma_rad)
        return table.get(label, table.get("", 0.2))


def noisy_depth(depth_m: np.ndarray, noise: DepthNoise, rng: np.random.Generator) -> np.ndarray:
    """Depth (H, W) float32 as the sensor gives it: noise, rounding, holes at edges, NaN out of range."""
    depth = depth_m.astype(np.float32)
    sigma = noise.constant_m + noise.quadratic_per_m * depth * depth
    error = rng.standard_normal(depth.shape, dtype=np.float32)
    if noise.patch_px > 0:
        import cv2

        # A blur by s divides the sigma of white noise by 2 s sqrt(pi).
        error = cv2.GaussianBlur(error, (0, 0), noise.patch_px) * np.float32(2 * noise.patch_px * np.sqrt(np.pi))
    measured = np.maximum(depth + sigma * error, np.float32(0.01))
    if noise.disparity_step_per_m > 0:
        step = np.float32(noise.disparity_step_per_m)
        measured = 1.0 / (step * np.maximum(np.round(1.0 / (step * measured)), 1.0))
    if noise.step_m > 0:
        measured = np.round(measured / np.float32(noise.step_m)) * np.float32(noise.step_m)
    jump = np.zeros(depth.shape, bool)
    across = np.abs(np.diff(depth, axis=1)) > noise.edge_m
    along = np.abs(np.diff(depth, axis=0)) > noise.edge_m
    jump[:, 1:] |= across
    jump[:, :-1] |= across
    jump[1:] |= along
    jump[:-1] |= along
    rows, columns = np.nonzero(jump)
    lost = rng.random(len(rows)) < noise.edge_dropout
    measured[rows[lost], columns[lost]] = np.nan
    measured[~((depth > noise.min_m) & (depth < noise.max_m))] = np.nan
    return measured


def noisy_box(box_px: np.ndarray, image_size: tuple[int, int], sigma_px: float, rng: np.random.Generator) -> np.ndarray:
    """(4,) box with each border moved by white noise, cut at the image and at least 2 pixels wide and high."""
    w, h = image_size
    x1, y1, x2, y2 = box_px + rng.normal(0.0, sigma_px, 4)
    x1, y1 = np.clip(x1, 0, w - 2), np.clip(y1, 0, h - 2)
    return np.array([x1, y1, np.clip(x2, x1 + 2, w), np.clip(y2, y1 + 2, h)])
