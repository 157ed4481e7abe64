"""BlazePose's person detector (Google, Apache-2.0), run by LiteRT: regions to look for a body in.

It finds people by their heads and gives the middle of the hips and a point on the circle around the body (Bazarevsky et
al., "BlazePose: On-device Real-time Body Pose tracking", 2020). Made for people within some four metres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr_core.perception.boxes import suppress
from dsr_core.perception.detect import ssd
from dsr_core.perception.litert import LiteRtNet
from dsr_core.perception.people.region import Region
from dsr_core.perception.registry import model_path

NAME = "pose-detection"
SIZE_PX = 224
#: Of a finding's 12 numbers: box centre, box size, hips, point on the circle, shoulders, point on their circle.
_BOX, _SIZE, _HIPS, _TOP = slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)


def make_anchors() -> np.ndarray:
    """The network's anchors (2254, 4): centres in parts of the input; all as large as the input."""
    return ssd.anchors(SIZE_PX, [(stride, np.ones((count, 2))) for stride, count in ((8, 2), (16, 2), (32, 6))])


def prepare(rgb: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The image (H, W, 3) uint8 in the middle of the network's square input, black beside it.

    Returns:
        (224, 224, 3) float32 in -1..1, the scale from the image to the input, the image's corner (2,) in the input.
    """
    import cv2

    height, width = rgb.shape[:2]
    scale = SIZE_PX / max(height, width)
    size = np.maximum(np.round(scale * np.array([width, height])), 1).astype(int)
    corner = (SIZE_PX - size) // 2
    shrunk = cv2.resize(
        rgb, tuple(int(n) for n in size), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    out = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    out[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]] = shrunk
    return out.astype(np.float32) / 127.5 - 1.0, scale, corner.astype(float)


class PoseDetector:
    """The detector.

    Args:
        path: The network's file; None takes the fetched one.
        min_score: Weaker findings are left out.
        max_iou: Findings whose face boxes overlap by more are one person.
        threads: CPU threads.

    Raises:
        ModelError: the network is not fetched; the message says how.
        DependencyError: LiteRT is not installed.
    """

    def __init__(self, path: str | Path | None = None, min_score: float = 0.5, max_iou: float = 0.3, threads: int = 2):
        self.min_score, self.max_iou = min_score, max_iou
        self._anchors = make_anchors()
        n = len(self._anchors)
        self._net = LiteRtNet(path or model_path(NAME), ((1, n, 12), (1, n, 1)), threads)

    def regions(self, rgb: np.ndarray) -> list[tuple[Region, float]]:
        """Regions with bodies in an image (H, W, 3) uint8 and their scores, the surest first."""
        image, scale, corner = prepare(rgb)
        codes, logits = self._net(image)
        points, scores = findings(codes[0], logits[0, :, 0], self._anchors, self.min_score, self.max_iou)
        points = (points * SIZE_PX - corner) / scale
        return [(Region.of_axis(hips, top), float(score)) for (hips, top), score in zip(points, scores, strict=True)]


def findings(
    codes: np.ndarray, logits: np.ndarray, anchors: np.ndarray, min_score: float, max_iou: float
) -> tuple[np.ndarray, np.ndarray]:
    """What the network's outputs (N, 12) and (N,) say, the surest first.

    Returns:
        (M, 2, 2): middle of the hips and the point above, in parts of the input; scores (M,).
    """
    scores = ssd.sigmoid(logits.astype(float))
    keep = scores >= min_score
    codes, scores, origin = codes[keep].astype(float) / SIZE_PX, scores[keep], anchors[keep, :2]
    centre, half = codes[:, _BOX] + origin, codes[:, _SIZE] / 2
    best = suppress(np.concatenate([centre - half, centre + half], axis=1), scores, max_iou)
    points = np.stack([codes[:, _HIPS] + origin, codes[:, _TOP] + origin], axis=1)
    far = np.hypot(*(points[:, 1] - points[:, 0]).T) > 1e-3
    best = best[far[best]]
    return points[best], scores[best]
