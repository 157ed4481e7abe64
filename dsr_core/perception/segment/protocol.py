"""What every video segmenter offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dsr_core.values import Detection


class VideoSegmenter(Protocol):
    """Follows things through a video, one image at a time, with memory that does not grow."""

    def step(self, rgb: np.ndarray) -> tuple[Detection, ...]:
        """Things in the next image (H, W, 3) uint8, with masks, boxes and `id`.

        A thing keeps its `id` as long as it is followed, through an occlusion, too; an `id` is never given twice.

        Raises:
            GeometryError: `rgb` is no such image, or its size is not that of the images before (call `reset` first).
        """
        ...

    def reset(self) -> None:
        """Forgets what was followed: the next image begins a new video. Identities go on counting."""
        ...
