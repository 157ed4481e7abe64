"""Patch features of pi3's frozen encoder, one token for each visual token of the clip: the geometry of DSR Suite.

Each frame is looked at alone, so they know neither depth nor poses for sure; what they hold of 3-D is what the encoder
learnt. A clip of 32 frames at 640 x 360 has 4224 tokens of 8192 numbers.
"""

from __future__ import annotations

import threading

from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.sources.grid import MAX_PIXELS, VisualGrid
from dsr_core.vlm.values import Context, GeometryTokens, VlmError


class Pi3EncoderSource(GeometrySource):
    """Tokens of a clip; the network is loaded when the first clip comes.

    Args:
        weights: As `dsr_core.vlm.pi3_encoder.load_network` takes them.
        width: C, features a patch; ViT-L has 1024.
        device: "cuda", "cpu", …; None takes the first GPU where there is one.
        dtype: "float32", "float16" or "bfloat16".
        batch: Frames at once, which bounds the memory.
        patch, merge, temporal, max_pixels: Of the language model's vision tower (`VisualGrid`); 16 is Qwen3-VL's patch.
    """

    name = "pi3_encoder"
    looks_at = "clip"
    normalised = True
    aligned = True
    cached = True

    def __init__(
        self,
        weights: str = "yyfz233/Pi3",
        width: int = 1024,
        device: str | None = None,
        dtype: str = "float32",
        batch: int = 8,
        patch: int = 14,
        merge: int = 2,
        temporal: int = 2,
        max_pixels: int | None = MAX_PIXELS,
    ):
        self.weights, self.width, self.device, self.dtype, self.batch = str(weights), width, device, dtype, batch
        self.grid = VisualGrid(patch, merge, temporal, max_pixels)
        self.features = width * temporal * merge**2
        self.hidden = self.features
        self._encoder, self._loading = None, threading.Lock()

    def settings(self) -> dict:
        return {"weights": self.weights, "width": self.width, "dtype": self.dtype, **self.grid.settings()}

    def tokens(self, context: Context) -> GeometryTokens:
        """(t * h * w, temporal * merge^2 * width) tokens and their grid.

        Raises:
            ModelError: the weights are not on this machine. VlmError: they are of another width, or no such encoder.
        """
        clip = context.clip
        _, high, wide = self.grid.patches(clip)
        found = self.encoder()(clip.frames, (high, wide), self.grid.temporal, self.grid.merge)
        return GeometryTokens(found.numpy(), grid=self.grid.tokens(clip))

    def encoder(self):
        """The `Pi3Encoder`, loaded once."""
        with self._loading:
            if self._encoder is None:
                from dsr_core.perception import networks
                from dsr_core.vlm.pi3_encoder import Pi3Encoder, load_network

                network = load_network(self.weights)
                encoder = Pi3Encoder(
                    network, networks.choose_device(self.device), networks.choose_dtype(self.dtype), self.batch
                )
                if encoder.width != self.width:
                    raise VlmError(f"{self.weights} has {encoder.width} features a patch; set width = {encoder.width}")
                self._encoder = encoder
            return self._encoder
