"""Overlap of boxes x1, y1, x2, y2 in pixels."""

from __future__ import annotations

import numpy as np


def iou_matrix(a_px: np.ndarray, b_px: np.ndarray) -> np.ndarray:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4); 0 where both are empty."""
    a, b = np.asarray(a_px, float).reshape(-1, 1, 4), np.asarray(b_px, float).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.prod(np.maximum(sides, 0.0), axis=-1)
    area = [np.prod(np.maximum(x[..., 2:] - x[..., :2], 0.0), axis=-1) for x in (a, b)]
    union = area[0] + area[1] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def suppress(boxes_px: np.ndarray, scores: np.ndarray, max_iou: float) -> np.ndarray:
    """Indices (K,) of the boxes (N, 4) that no kept box of a higher score (N,) overlaps by more, best first."""
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    overlaps = iou_matrix(boxes_px, boxes_px)
    kept: list[int] = []
    for i in order:
        if not kept or overlaps[i, kept].max() <= max_iou:
            kept.append(int(i))
    return np.array(kept, int)


def mask_box(mask: np.ndarray) -> np.ndarray | None:
    """Box (4,) around a mask (H, W), or None for an empty one."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
