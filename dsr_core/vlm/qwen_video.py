"""Frames and text -> what a Qwen-VL takes, with torch alone.

The processors of transformers need torchvision for videos; these few steps do not. They follow Qwen2VLVideoProcessor,
Qwen2_5_VLProcessor and Qwen3VLProcessor of transformers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Model types that are prepared here.
TYPES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_START, _PAD, _IMAGE_PAD, _END = "<|vision_start|>", "<|video_pad|>", "<|image_pad|>", "<|vision_end|>"
_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class QwenVideo:
    """How a checkpoint wants its videos.

    Attributes:
        timed: Frames stand apart in the text with their times (Qwen3-VL) and not as one block (Qwen2.5-VL).
        patch: Pixels a patch. merge: Patches a token, along each side. temporal: Frames a patch.
        mean, std: Of colours between 0 and 1.
    """

    timed: bool
    patch: int
    merge: int
    temporal: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, config, files: dict[str, Path] | None = None) -> QwenVideo:
        """From a model's configuration and, where they are there, its files `_FILES` (name -> path)."""
        vision, timed = config.vision_config, config.model_type.startswith("qwen3")
        mean, std = _HALVES if timed else _CLIP
        for path in (files or {}).values():
            told = json.loads(path.read_text(encoding="utf-8"))
            mean, std = told.get("image_mean", mean), told.get("image_std", std)
            break
        return cls(
            timed,
            vision.patch_size,
            vision.spatial_merge_size,
            vision.temporal_patch_size,
            tuple(float(v) for v in mean),
            tuple(float(v) for v in std),
        )

    def size(self, height: int, width: int, max_pixels: int | None = None) -> tuple[int, int]:
        """(height, width) in pixels that pictures are brought to: whole tokens, and no more than `max_pixels`."""
        side = self.patch * self.merge
        high, wide = (max(side, round(n / side) * side) for n in (height, width))
        if max_pixels is not None and high * wide > max_pixels:
            shrink = math.sqrt(height * width / max_pixels)
            high, wide = (max(side, math.floor(n / shrink / side) * side) for n in (height, width))
        return high, wide

    def grid(self, count: int, height: int, width: int, max_pixels: int | None = None) -> tuple[int, int, int]:
        """(T, h, w) in patches of `count` frames of a size."""
        high, wide = self.size(height, width, max_pixels)
        return -(-count // self.temporal), high // self.patch, wide // self.patch

    def patches(self, frames: Sequence[np.ndarray], max_pixels: int | None = None):
        """Pictures (H, W, 3) uint8 of one size -> values (T*h*w, 3*temporal*patch^2) float32 and the grid (1, 3) of
        T, h, w."""
        import torch
        import torch.nn.functional as F

        video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
        height, width = self.size(*video.shape[2:], max_pixels)
        if (height, width) != tuple(video.shape[2:]):
            video = F.interpolate(video, (height, width), mode="bicubic", antialias=True, align_corners=False)
        mean, std = (255.0 * torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        video = (video.float() - mean) / std
        if pad := -len(video) % self.temporal:
            video = torch.cat([video, video[-1:].expand(pad, -1, -1, -1)])
        count, high, wide = len(video) // self.temporal, height // self.patch, width // self.patch
        down, across = (high // self.merge, self.merge, self.patch), (wide // self.merge, self.merge, self.patch)
        blocks = video.view(count, self.temporal, 3, *down, *across).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
        values = blocks.reshape(count * high * wide, 3 * self.temporal * self.patch**2)
        return values, torch.tensor([[count, high, wide]])

    def block(self, grid: Sequence[int], times_s: Sequence[float]) -> str:
        """What stands in the text for a video of this grid whose frames were taken at these times."""
        count, high, wide = grid
        each = high * wide // self.merge**2
        if not self.timed:
            return f"{_START}{_PAD * (count * each)}{_END}"
        times = [*times_s, *[times_s[-1]] * (-len(times_s) % self.temporal)]
        ends = zip(times[:: self.temporal], times[self.temporal - 1 :: self.temporal], strict=True)
        return "".join(f"<{(first + last) / 2:.1f} seconds>{_START}{_PAD * each}{_END}" for first, last in ends)

    def image_block(self, grid: Sequence[int]) -> str:
        """What stands in the text for a picture of this grid."""
        return f"{_START}{_IMAGE_PAD * (grid[1] * grid[2] // self.merge**2)}{_END}"

    def expanded(self, text: str, grid: Sequence[int], times_s: Sequence[float]) -> str:
        """A chat text with its one video placeholder -> the same with as many as the video takes."""
        return text.replace(f"{_START}{_PAD}{_END}", self.block(grid, times_s), 1)

    def seconds_a_grid(self, times_s: Sequence[float]) -> float:
        """Seconds from one temporal patch to the next."""
        span = times_s[-1] - times_s[0] if len(times_s) > 1 else 0.0
        return self.temporal * (span / (len(times_s) - 1) if span > 0 else 1.0)


def config_files(find) -> dict[str, Path]:
    """Those of `_FILES` that a checkpoint has; `find(name)` gives a path or None."""
    found = {name: find(name) for name in _FILES}
    return {name: Path(path) for name, path in found.items() if path is not None}
