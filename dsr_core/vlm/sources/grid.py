"""The grid of a clip's visual tokens, which tokens made from the same frames can stand in, too."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dsr_core.vlm.qwen_video import QwenVideo
from dsr_core.vlm.values import Clip, VlmError

#: As `dsr_core.vlm.inputs.MAX_PIXELS`, which cannot be imported here: it stands among what needs torch.
MAX_PIXELS = 230_400


@dataclass(frozen=True)
class VisualGrid:
    """How the language model's vision tower cuts frames.

    Attributes:
        patch: Pixels a patch: 14 of Qwen2.5-VL, 16 of Qwen3-VL. merge: Patches a token, along each side.
        temporal: Frames a token. max_pixels: Frames are made this small first; None leaves them as they are. Tokens
            stand where the visual ones do only with the limit that the model's `Inputs` has.
    """

    patch: int = 14
    merge: int = 2
    temporal: int = 2
    max_pixels: int | None = MAX_PIXELS

    def __post_init__(self):
        if min(self.patch, self.merge, self.temporal) < 1 or (self.max_pixels is not None and self.max_pixels < 1):
            raise VlmError(f"patch, merge, temporal and max_pixels must be at least 1: {self}")

    def patches(self, clip: Clip) -> tuple[int, int, int]:
        """(T, h, w) in patches; T counts the repeated last frame of an odd number."""
        video = QwenVideo(False, self.patch, self.merge, self.temporal, (), ())
        return video.grid(len(clip.frames), *clip.frames[0].shape[:2], self.max_pixels)

    def tokens(self, clip: Clip) -> tuple[int, int, int]:
        """(t, h, w) in visual tokens."""
        count, high, wide = self.patches(clip)
        return count, high // self.merge, wide // self.merge

    def settings(self) -> dict:
        """For a source's `settings`."""
        return asdict(self)
