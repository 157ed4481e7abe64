"""Square, turned regions of an image: what a body network is shown, and the way back to the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Region:
    """A square of an image.

    Attributes:
        centre_px: (2,) its middle, u, v.
        side_px: Length of its sides.
        angle_rad: By how much it is turned, clockwise as seen on the image; its up points to (sin, -cos) of it.
    """

    centre_px: np.ndarray
    side_px: float
    angle_rad: float = 0.0

    @classmethod
    def of_box(cls, box_px: np.ndarray, margin: float = 1.25) -> Region:
        """The upright square around a box (4,) x1, y1, x2, y2, its longer side times `margin`."""
        box = np.asarray(box_px, float)
        return cls((box[:2] + box[2:]) / 2, margin * float(np.max(box[2:] - box[:2])))

    @classmethod
    def of_axis(cls, centre_px: np.ndarray, top_px: np.ndarray, margin: float = 1.25) -> Region:
        """The square around a circle with this centre, through `top_px`, which lies above the centre in the region."""
        offset = np.asarray(top_px, float) - centre_px
        angle = float(np.arctan2(offset[0], -offset[1]))
        return cls(np.asarray(centre_px, float), 2.0 * margin * float(np.hypot(*offset)), angle)

    @property
    def rotation(self) -> np.ndarray:
        """(2, 2) from directions in the region to directions in the image."""
        c, s = np.cos(self.angle_rad), np.sin(self.angle_rad)
        return np.array([[c, -s], [s, c]])

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of the image of points (N, 2) in parts of the region's side, from its top-left corner."""
        return self.centre_px + (np.asarray(points, float) - 0.5) @ self.rotation.T * self.side_px

    def crop(self, rgb: np.ndarray, size_px: int) -> np.ndarray:
        """(size, size, 3) uint8: what is seen in the region; beyond the image its border is repeated."""
        import cv2

        return cv2.warpAffine(
            rgb, self._matrix(size_px), (size_px, size_px), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip

    def paste(self, values: np.ndarray, image_size: tuple[int, int], outside: float = 0.0) -> np.ndarray:
        """Values (S, S) over the region, resampled to an image (H, W) of (width, height); `outside` elsewhere."""
        import cv2

        corners = self.to_image(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float))
        low = np.clip(np.floor(corners.min(axis=0)), 0, image_size).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)), 0, image_size).astype(int)
        out = np.full((image_size[1], image_size[0]), outside, np.float32)
        if (high > low).all():
            matrix = self._matrix(values.shape[0])
            matrix[:, 2] -= low
            part = cv2.warpAffine(
                values.astype(np.float32), matrix, tuple(int(n) for n in high - low), flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT, borderValue=float(outside),
            )  # fmt: skip
            out[low[1] : high[1], low[0] : high[0]] = part
        return out

    def _matrix(self, size_px: int) -> np.ndarray:
        """(2, 3) from pixels of a crop to pixels of the image; the middle of the first pixel is (0, 0) in both."""
        R = self.rotation * (self.side_px / size_px)
        return np.column_stack([R, self.centre_px - 0.5 + R @ np.full(2, 0.5 - size_px / 2)])
