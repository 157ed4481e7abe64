"""Anchors, decoding and non-maximum suppression of single-shot detectors (SSD), vectorised.

Anchors and box code are those of Liu et al., "SSD: Single Shot MultiBox Detector" (ECCV 2016, section 2.2), in the form
that MediaPipe's networks were trained with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def anchors(size_px: int, layers: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """Anchors (N, 4) as centre x, centre y, width, height in parts of the image's side.

    Args:
        size_px: Side of the square input.
        layers: Of each layer the pixels between its cells, and (K, 2) widths and heights of each cell's anchors.
    """
    out = []
    for stride, wh in layers:
        cells = -(-size_px // stride)
        centre = (np.arange(cells) + 0.5) / cells
        y, x = (axis.ravel().repeat(len(wh)) for axis in np.meshgrid(centre, centre, indexing="ij"))
        out.append(np.column_stack([x, y, np.tile(wh, (cells * cells, 1))]))
    return np.concatenate(out)


def shapes(scales: np.ndarray, aspects: np.ndarray) -> np.ndarray:
    """Widths and heights (K, 2) of anchors with these scales and aspect ratios (width/height), each (K,)."""
    root = np.sqrt(aspects)
    return np.stack([scales * root, scales / root], axis=1)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logits)), without overflow."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4) as x1, y1, x2, y2."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(np.maximum(b[:, 2:] - b[:, :2], 0.0), axis=1) for b in (boxes, others)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-12)


def suppress(boxes: np.ndarray, scores: np.ndarray, max_iou: float, groups: np.ndarray | None = None) -> np.ndarray:
    """Indices of the boxes that stay, best first: none overlaps a better one of its group by more than `max_iou`.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        scores: (N,).
        max_iou: Largest intersection over union.
        groups: (N,) integers; boxes of different groups do not suppress each other; None: all are of one.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = iou(boxes[order], boxes[order]) > max_iou
    if groups is not None:
        overlaps &= groups[order][:, None] == groups[order][None]
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return order[alive]
