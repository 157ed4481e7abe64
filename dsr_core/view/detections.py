"""A PNG of what a detector found: some images of a recording with boxes, masks, labels and headings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr_core.files import whole_file
from dsr_core.values import Detection, Frame
from dsr_core.view.colors import PALETTE

_COLUMNS, _TILE_WIDTH_PX = 3, 480
_MASK_WEIGHT = 0.45


class DetectionSheet:
    """Keeps a drawn tile of every n-th frame that it is shown.

    Args:
        every: n.
    """

    def __init__(self, every: int = 1):
        self._every = max(int(every), 1)
        self._colors: dict[str, tuple[int, int, int]] = {}
        self.reset()

    def reset(self) -> None:
        """Forgets the tiles."""
        self._count, self._tiles = 0, []

    def take(self, frame: Frame) -> None:
        """Draws a frame's detections, where it is an n-th one with a picture."""
        if frame.rgb is None:
            return
        if self._count % self._every == 0:
            self._tiles.append(draw(frame.rgb, frame.detections, _TILE_WIDTH_PX, self._colors))
        self._count += 1

    def save(self, path: str | Path) -> Path | None:
        """Writes the tiles, three in a row; None where there are none."""
        import cv2

        if not self._tiles:
            return None
        path, height = Path(path), max(len(tile) for tile in self._tiles)
        rows = -(-len(self._tiles) // _COLUMNS)
        sheet = np.full((rows * height, min(len(self._tiles), _COLUMNS) * _TILE_WIDTH_PX, 3), 255, np.uint8)
        for i, tile in enumerate(self._tiles):
            y, x = i // _COLUMNS * height, i % _COLUMNS * _TILE_WIDTH_PX
            sheet[y : y + len(tile), x : x + _TILE_WIDTH_PX] = tile
        with whole_file(path) as partial:
            partial.write_bytes(cv2.imencode(".png", np.ascontiguousarray(sheet[:, :, ::-1]))[1].tobytes())
        return path


def draw(
    rgb: np.ndarray, found: tuple[Detection, ...], width_px: int, colors: dict[str, tuple[int, int, int]] | None = None
) -> np.ndarray:
    """An image (H, W, 3) uint8 scaled to a width, with detections drawn on it.

    Args:
        rgb: (H, W, 3) uint8.
        found: Detections in its pixels; a mask is tinted, a heading is an arrow from the box's middle.
        width_px: Width of the picture.
        colors: Label -> RGB; labels without one are given one.
    """
    import cv2

    colors = {} if colors is None else colors
    scale = width_px / rgb.shape[1]
    size = (width_px, max(round(rgb.shape[0] * scale), 1))
    out = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    for detection in found:
        color = colors.setdefault(detection.label, PALETTE[len(colors) % len(PALETTE)])
        if detection.mask is not None:
            mask = cv2.resize(detection.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
            out[mask] = (out[mask] * (1 - _MASK_WEIGHT) + np.array(color) * _MASK_WEIGHT).astype(np.uint8)
        if detection.box_px is None:
            continue
        x1, y1, x2, y2 = (int(v) for v in np.round(detection.box_px * scale))
        cv2.rectangle(out, (x1, y1), (x2, y2), color, 2)
        cv2.putText(
            out, f"{detection.label} {detection.score:.2f}", (max(x1, 0) + 3, max(y1, 0) + 14), 0, 0.45, color, 1
        )
        if detection.orientation_camera_xyzw is not None:
            _arrow(out, detection, ((x1 + x2) // 2, (y1 + y2) // 2), color)
    return out


def _arrow(out: np.ndarray, detection: Detection, middle: tuple[int, int], color) -> None:
    """The heading as seen from above: right is right, toward the camera is down."""
    import cv2

    from dsr_core.geometry import transforms as tf

    forward = tf.matrices_from_quaternions(detection.orientation_camera_xyzw)[:, 0]
    tip = (middle[0] + round(30 * float(forward[0])), middle[1] - round(30 * float(forward[2])))
    cv2.arrowedLine(out, middle, tip, (255, 255, 255), 4, tipLength=0.3)
    cv2.arrowedLine(out, middle, tip, color, 2, tipLength=0.3)
