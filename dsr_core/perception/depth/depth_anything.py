"""Depth of one picture by Depth Anything V2 (Yang et al. 2024) through transformers; metric with the metric weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr_core.errors import GeometryError, ModelError
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.perception import networks
from dsr_core.perception.depth.protocol import DepthEstimate
from dsr_core.values import Frame

#: Hub id of the weights for rooms; "...-Outdoor-Small-hf" are those for streets.
INDOOR = "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf"
OUTDOOR = "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf"
_SHORTEST_PX = 518


class DepthAnything:
    """Metric depth of single pictures.

    A network's error is mostly one factor for the whole picture, so its noise is a part of the depth (`relative_sigma`)
    that does not average out over the pixels of a thing.

    Args:
        source: Folder with the weights, or hub id; weights that give depth up to a factor are refused.
        device: Of torch; the first GPU, else the CPU, where None is given.
        dtype: "float32", "float16" or "bfloat16".
        shortest_px: The picture's shorter side as the network sees it.
        relative_sigma: One-sigma of depth as a part of it; published errors of the metric weights are 6 to 8 % on
            their own kind of scene, and more elsewhere.

    Raises:
        DependencyError: torch or transformers is missing.
        ModelError: the weights are not on this machine, or not metric.
    """

    metric = True

    def __init__(
        self,
        source: str | Path = INDOOR,
        device: str | None = None,
        dtype: str = "float32",
        shortest_px: int = _SHORTEST_PX,
        relative_sigma: float = 0.15,
    ):
        if not relative_sigma > 0:
            raise GeometryError(f"relative_sigma = {relative_sigma} must be positive")
        transformers = networks.import_transformers()
        self.device, self._dtype = networks.choose_device(device), networks.choose_dtype(dtype)
        model = networks.load_pretrained(transformers.DepthAnythingForDepthEstimation, source, dtype=self._dtype)
        if model.config.depth_estimation_type != "metric":
            raise ModelError(
                f"{source} gives depth up to an unknown factor and offset; take metric weights: {INDOOR} or {OUTDOOR}"
            )
        self._model = model.eval().to(self.device)
        self._patch = int(model.config.patch_size)
        self._shortest_px = max(int(shortest_px), self._patch)
        self.noise = DepthNoise(1e-3, 0.0, 1.0, relative=relative_sigma)

    def __call__(self, frame: Frame) -> DepthEstimate:
        """Depth of a frame's picture, which no depth sensor needs to have seen.

        Raises:
            GeometryError: the frame has no picture.
        """
        if frame.rgb is None:
            raise GeometryError(f"the frame at {frame.stamp_ns} ns has no picture, which Depth Anything needs")
        torch = networks.import_torch()
        height, width = frame.rgb.shape[:2]
        factor = self._shortest_px / min(height, width)
        size = tuple(max(round(side * factor / self._patch), 1) * self._patch for side in (height, width))
        pixels = networks.normalise(networks.resize_image(frame.rgb, size, mode="bicubic").to(self.device))
        with torch.inference_mode():
            depth = self._model(pixel_values=pixels.to(self._dtype)).predicted_depth[:, None].float()
            depth = torch.nn.functional.interpolate(depth, (height, width), mode="bilinear", align_corners=True)
        depth_m = depth[0, 0].cpu().numpy().astype(np.float32)
        depth_m[~(np.isfinite(depth_m) & (depth_m > 0))] = np.nan
        return DepthEstimate(depth_m, self.noise, True)
