"""SSD-MobileNetV2 trained on 23 classes of Open Images v4 (Google, Apache-2.0), run by LiteRT: about 20 ms on one core.

It is the first stage of MediaPipe's Objectron. Strong on furniture and things on desks, weak on people who are near,
far or cut off (`people.blazepose` is better at these).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr_core.perception.boxes import suppress
from dsr_core.perception.detect import ssd
from dsr_core.perception.litert import LiteRtNet
from dsr_core.perception.registry import model_path
from dsr_core.values import Detection

NAME = "ssd-openimages"
SIZE_PX = 300
#: Class 0 of the network is the background.
LABELS = (
    "bicycle", "boot", "laptop", "person", "chair", "cattle", "desk", "cat", "computer mouse", "computer monitor",
    "box", "mug", "coffee cup", "stationary bicycle", "table", "bottle", "high heels", "vehicle", "footwear", "dog",
    "book", "camera", "car",
)  # fmt: skip
#: Names for one and the same thing; the surest of them is kept.
_SAME = (
    ("boot", "high heels", "footwear"),
    ("mug", "coffee cup"),
    ("desk", "table"),
    ("bicycle", "stationary bicycle"),
    ("vehicle", "car"),
)
_GROUP = np.arange(len(LABELS))
for _names in _SAME:
    _GROUP[[LABELS.index(_name) for _name in _names]] = LABELS.index(_names[0])
#: Divisors of the box code: centre, size.
_CENTRE, _SIZE = 10.0, 5.0


def make_anchors() -> np.ndarray:
    """The network's anchors (1917, 4) as centre x, centre y, width, height in parts of the image."""
    strides, scales = (16, 32, 64, 128, 256, 512), np.linspace(0.2, 0.95, 6)
    following = np.append(scales[1:], 1.0)
    layers = [(strides[0], ssd.shapes(np.array([0.1, scales[0], scales[0]]), np.array([1.0, 2.0, 0.5])))]
    aspects = np.array([1.0, 2.0, 0.5, 3.0, 0.3333, 1.0])
    for stride, scale, larger in zip(strides[1:], scales[1:], following[1:], strict=True):
        layers.append((stride, ssd.shapes(np.array([*[scale] * 5, np.sqrt(scale * larger)]), aspects)))
    return ssd.anchors(SIZE_PX, layers)


def prepare(rgb: np.ndarray) -> np.ndarray:
    """(300, 300, 3) float32 in -1..1: the image (H, W, 3) uint8 stretched to the network's input."""
    import cv2

    shrinks = min(rgb.shape[:2]) >= SIZE_PX
    small = cv2.resize(rgb, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return small.astype(np.float32) / 127.5 - 1.0


def decode(encodings: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) x1, y1, x2, y2 in parts of the image of the network's code (N, 4) dy, dx, log h, log w."""
    centre = encodings[:, [1, 0]] / _CENTRE * anchors[:, 2:] + anchors[:, :2]
    half = 0.5 * np.exp(np.minimum(encodings[:, [3, 2]] / _SIZE, 10.0)) * anchors[:, 2:]
    return np.concatenate([centre - half, centre + half], axis=1)


class SsdOpenImages:
    """The detector.

    Args:
        path: The network's file; None takes the fetched one.
        min_score: Weaker findings are left out.
        max_iou: Findings of one kind that overlap a surer one by more are left out.
        max_detections: Most findings an image.
        threads: CPU threads.

    Raises:
        ModelError: the network is not fetched; the message says how.
        DependencyError: LiteRT is not installed.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        min_score: float = 0.4,
        max_iou: float = 0.5,
        max_detections: int = 50,
        threads: int = 2,
    ):
        self.min_score, self.max_iou, self.max_detections = min_score, max_iou, max_detections
        self._anchors = make_anchors()
        n = len(self._anchors)
        self._net = LiteRtNet(path or model_path(NAME), ((1, n, 4), (1, n, len(LABELS) + 1)), threads)

    def detect(self, rgb: np.ndarray) -> tuple[Detection, ...]:
        """Things in an image (H, W, 3) uint8, with boxes in its pixels, the surest first."""
        encodings, logits = self._net(prepare(rgb))
        height, width = rgb.shape[:2]
        boxes, scores, labels = findings(encodings[0], logits[0], self._anchors, self.min_score, self.max_iou)
        boxes = np.clip(boxes, 0.0, 1.0) * (width, height, width, height)
        return tuple(
            Detection(LABELS[label], float(score), box_px=box)
            for box, score, label in zip(boxes, scores, labels, strict=True)
        )[: self.max_detections]


def findings(
    encodings: np.ndarray, logits: np.ndarray, anchors: np.ndarray, min_score: float, max_iou: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network's outputs say, the surest first.

    Args:
        encodings: (N, 4) box code.
        logits: (N, 24) of the background and the classes.
        anchors: (N, 4).
        min_score: Weaker findings are left out.
        max_iou: See `boxes.suppress`; names of one thing (mug and coffee cup) suppress each other.

    Returns:
        Boxes (M, 4) x1, y1, x2, y2 in parts of the image, scores (M,), indices of labels (M,).
    """
    scores = ssd.sigmoid(logits[:, 1:].astype(float))
    where, label = np.nonzero(scores >= min_score)
    boxes, scores = decode(encodings[where].astype(float), anchors[where]), scores[where, label]
    full = (boxes[:, 2:] - boxes[:, :2] > 1e-3).all(axis=1) & (
        np.minimum(boxes[:, 2:], 1) > np.maximum(boxes[:, :2], 0)
    ).all(axis=1)
    boxes, scores, label = boxes[full], scores[full], label[full]
    # Each group is moved to a place of its own, so that none suppresses another.
    keep = suppress(np.clip(boxes, 0.0, 1.0) + 2.0 * _GROUP[label][:, None], scores, max_iou)
    return boxes[keep], scores[keep], label[keep]
