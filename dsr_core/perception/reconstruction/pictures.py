"""Pictures as reconstruction networks want them: one size, whole patches, not too many pixels."""

from __future__ import annotations

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.perception import networks


def size_of_patches(height: int, width: int, max_pixels: int, patch: int) -> tuple[int, int]:
    """Height and width in whole patches, of about the same aspect, with `max_pixels` at most; never enlarged."""
    factor = min(1.0, float(np.sqrt(max_pixels / (height * width))))
    rows, columns = max(round(height * factor / patch), 1), max(round(width * factor / patch), 1)
    while rows * columns * patch**2 > max_pixels and rows * columns > 1:
        if rows >= columns:
            rows -= 1
        else:
            columns -= 1
    return rows * patch, columns * patch


def picture_batch(rgb: np.ndarray, max_pixels: int, patch: int):
    """A tensor (N, 3, h, w) uint8 of pictures (N, H, W, 3) uint8, resized for the network.

    Raises:
        GeometryError: it is no such array.
    """
    rgb = np.asarray(rgb)
    if rgb.ndim != 4 or not len(rgb) or rgb.shape[3] != 3 or rgb.dtype != np.uint8:
        raise GeometryError(f"pictures of shape {rgb.shape} and type {rgb.dtype}; (N, H, W, 3) uint8 is needed")
    size = size_of_patches(*rgb.shape[1:3], max_pixels, patch)
    return networks.import_torch().cat([networks.resize_image(picture, size, mode="bicubic") for picture in rgb])


def without_depth_edges(points_camera_m: np.ndarray, relative_step: float = 0.03) -> np.ndarray:
    """Point maps (N, H, W, 3) with NaN where depth differs by more than a part of itself from a neighbour's.

    Networks put points between the near and the far surface there, where nothing is.
    """
    from scipy import ndimage

    z = points_camera_m[..., 2]
    high, low = (f(z, size=(1, 3, 3)) for f in (ndimage.maximum_filter, ndimage.minimum_filter))
    with np.errstate(invalid="ignore"):
        bad = ~(high - low <= relative_step * z) | (z <= 0)
    return np.where(bad[..., None], np.float32(np.nan), points_camera_m)
