"""Anchors and scores of single-shot detectors (SSD).

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
