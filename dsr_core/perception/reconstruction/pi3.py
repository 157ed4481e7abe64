"""Reconstruction by pi3 (Wang et al. 2025), from a user's own checkout and weights.

No package carries pi3, so this backend imports `pi3.models.pi3.Pi3` from a checkout that the user has put on PYTHONPATH
or named. It is written against that code's published calls and tested with a stand-in of them; it has not been run with
the real weights. Their licence is theirs: BSD-2-Clause for Pi3 and CC-BY-NC-4.0 for Pi3X by their model cards.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError
from dsr_core.perception import networks
from dsr_core.perception.reconstruction.pictures import picture_batch, without_depth_edges
from dsr_core.perception.reconstruction.protocol import Reconstruction

HUB_ID = "yyfz233/Pi3"
#: As DSR Suite runs it.
MAX_PIXELS = 255_000
PATCH = 14


class Pi3:
    """Points and poses up to one unknown scale a window.

    Args:
        source: Folder with the weights, or hub id.
        checkout: Folder that holds the package `pi3`, or None where that can be imported already.
        device: Of torch; the first GPU, else the CPU, where None is given.
        dtype: "float32", "float16" or "bfloat16".
        max_pixels: Pictures are made this small.
        hide_edges: Leaves out points between a near and a far surface.

    Raises:
        DependencyError: torch or pi3 cannot be imported.
        ModelError: the weights are not on this machine.
    """

    def __init__(
        self,
        source: str | Path = HUB_ID,
        checkout: str | Path | None = None,
        device: str | None = None,
        dtype: str = "float32",
        max_pixels: int = MAX_PIXELS,
        hide_edges: bool = True,
    ):
        networks.import_torch()
        self.device, self._dtype = networks.choose_device(device), networks.choose_dtype(dtype)
        self._max_pixels, self._hide_edges = int(max_pixels), hide_edges
        self._model = networks.load_pretrained(_pi3_class(checkout), source).to(self.device).eval()

    def __call__(self, rgb: np.ndarray) -> Reconstruction:
        """See `Reconstructor`.

        Raises:
            GeometryError: the pictures are not (N, H, W, 3) uint8.
        """
        torch = networks.import_torch()
        pictures = picture_batch(rgb, self._max_pixels, PATCH).to(self.device).float() / 255.0
        mixed = self._dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.split(":")[0], self._dtype, enabled=mixed):
            out = self._model(pictures[None])
        # Its poses are camera to world; its confidence comes before the sigmoid.
        points, logits, T_world_camera = (
            out[name][0].float().cpu().numpy() for name in ("local_points", "conf", "camera_poses")
        )
        if self._hide_edges:
            points = without_depth_edges(points)
        confidence = 1.0 / (1.0 + np.exp(-logits[..., 0].astype(np.float64)))
        return Reconstruction(
            points.astype(np.float32), T_world_camera.astype(float), confidence.astype(np.float32), None, False
        )


def _pi3_class(checkout: str | Path | None):
    if checkout is not None:
        folder = str(Path(checkout).expanduser().resolve())
        if folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        return importlib.import_module("pi3.models.pi3").Pi3
    except (ImportError, AttributeError) as error:
        raise DependencyError(
            f"pi3 cannot be imported ({error}); no package carries it: git clone https://github.com/yyfz/Pi3 and name"
            " that folder as `checkout`"
        ) from error
