"""Reconstruction by Depth Anything 3 (Lin et al. 2025), without what its package needs for its demonstrations.

The package asks for numpy below 2, open3d, pycolmap and more, none of which its network uses:
`pip install --no-deps depth-anything-3` and `pip install einops omegaconf addict safetensors` are enough.
"""

from __future__ import annotations

import importlib
import json
import logging
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError, GeometryError, ModelError
from dsr_core.geometry import transforms as tf
from dsr_core.perception import networks
from dsr_core.perception.reconstruction.pictures import picture_batch
from dsr_core.perception.reconstruction.protocol import Reconstruction

log = logging.getLogger(__name__)

#: Weights under Apache-2.0; larger ones are under CC-BY-NC by their cards.
HUB_ID = "depth-anything/DA3-SMALL"
MAX_PIXELS = 504 * 378
PATCH = 14
INSTALL = "pip install --no-deps depth-anything-3 && pip install einops omegaconf addict safetensors"


class DepthAnything3:
    """Depth, poses and intrinsics of a window; metric with the nested weights alone.

    Args:
        source: Folder with config.json (its `model_name`, such as "da3-small") and model.safetensors, or hub id.
        device: Of torch; the first GPU, else the CPU, where None is given.
        dtype: "float32", "float16" or "bfloat16".
        max_pixels: Pictures are made this small.

    Raises:
        DependencyError: torch or the package cannot be imported.
        ModelError: the weights are not on this machine, or do not fit to the network that they name.
    """

    def __init__(
        self,
        source: str | Path = HUB_ID,
        device: str | None = None,
        dtype: str = "float32",
        max_pixels: int = MAX_PIXELS,
    ):
        networks.import_torch()
        self.device, self._dtype = networks.choose_device(device), networks.choose_dtype(dtype)
        self._max_pixels = int(max_pixels)
        self._model = _load(source).to(self.device).eval()

    def __call__(self, rgb: np.ndarray) -> Reconstruction:
        """See `Reconstructor`.

        Raises:
            GeometryError: the pictures are not (N, H, W, 3) uint8, or the network gives no poses.
        """
        torch = networks.import_torch()
        pictures = networks.normalise(picture_batch(rgb, self._max_pixels, PATCH).to(self.device))
        mixed = self._dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.split(":")[0], self._dtype, enabled=mixed):
            out = self._model(pictures[None])
        if "extrinsics" not in out or "intrinsics" not in out:
            raise GeometryError("these Depth Anything 3 weights give depth alone; take those of any-view models")
        depth, certainty, T_camera_world, K = (
            out[name][0].float().cpu().numpy().astype(float)
            for name in ("depth", "depth_conf", "extrinsics", "intrinsics")
        )
        # Its poses are world to camera, and its pixels begin at their corner: the first one's middle is 0.5, 0.5.
        full = np.tile(np.eye(4), (len(depth), 1, 1))
        full[:, :3] = T_camera_world[:, :3]
        K[:, :2, 2] -= 0.5
        return Reconstruction(
            _points(depth, K),
            tf.invert(full),
            (1.0 - 1.0 / np.maximum(certainty, 1.0)).astype(np.float32),
            K,
            bool(out.get("is_metric", False)),
        )


def _points(depth: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Point maps (N, H, W, 3) float32 of depth (N, H, W) and intrinsics (N, 3, 3)."""
    v, u = np.mgrid[: depth.shape[1], : depth.shape[2]]
    x = (u - K[:, 0, 2, None, None]) / K[:, 0, 0, None, None]
    y = (v - K[:, 1, 2, None, None]) / K[:, 1, 1, None, None]
    valid = np.where(depth > 0, depth, np.nan)
    return np.stack([x * valid, y * valid, valid], axis=-1).astype(np.float32)


def _load(source: str | Path):
    """The network with its weights."""
    try:
        cfg = importlib.import_module("depth_anything_3.cfg")
        registry = importlib.import_module("depth_anything_3.registry").MODEL_REGISTRY
        load_model = importlib.import_module("safetensors.torch").load_model
    except ImportError as error:
        raise DependencyError(f"Depth Anything 3 cannot be imported ({error}): {INSTALL}") from error
    path = networks.weight_file(source, "config.json")
    try:
        name = json.loads(path.read_text())["model_name"]
        network = cfg.create_object(cfg.load_config(registry[name]))
    except (ValueError, KeyError) as error:
        raise ModelError(f"{path} must name one of {', '.join(registry)} as model_name: {error!r}") from error
    # The files are saved from the package's own class, which holds the network as `model`.
    holder = networks.import_torch().nn.Module()
    holder.model = network
    try:
        load_model(holder, networks.weight_file(source, "model.safetensors"))
    except RuntimeError as error:
        raise ModelError(f"the weights of {source} do not fit to {name}: {str(error)[:300]}") from error
    log.info("Depth Anything 3 (%s) from %s", name, source)
    return network
