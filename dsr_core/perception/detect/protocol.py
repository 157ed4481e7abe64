"""What every detector offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dsr_core.values import Detection


class Detector(Protocol):
    """Finds things in one image."""

    def detect(self, rgb: np.ndarray) -> tuple[Detection, ...]:
        """Things in an image (H, W, 3) uint8, with boxes (and masks) in its pixels, the surest first."""
        ...
