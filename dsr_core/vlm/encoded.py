"""What was encoded once and is asked about many times: pictures by the vision tower, tokens by the geometry module."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

#: Keys of a batch that the vision tower takes, by modality.
PIXELS = {"image": ("pixel_values", "image_grid_thw"), "video": ("pixel_values_videos", "video_grid_thw")}


@dataclass(frozen=True, eq=False)
class Encoded:
    """Of the rows of a batch, in their order.

    Attributes:
        visual: "image", "video" -> what the vision tower of transformers gave (`mm_encoder_outputs`).
        tokens: Name of a geometry source -> its encoded tokens (B, V, width) and which are there (B, V) bool; of those
            sources whose tokens do not depend on the question.
    """

    visual: Mapping[str, Any] = field(default_factory=dict)
    tokens: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def repeated(self, times: int) -> Encoded:
        """The same for a batch in which all rows stand `times` times, one whole batch after the other."""
        visual = {}
        for modality, output in self.copied().items():
            output.pooler_output = tuple(output.pooler_output) * times
            if getattr(output, "deepstack_features", None) is not None:
                output.deepstack_features = [tuple(layer) * times for layer in output.deepstack_features]
            visual[modality] = output
        tokens = {name: (t.repeat(times, 1, 1), mask.repeat(times, 1)) for name, (t, mask) in self.tokens.items()}
        return Encoded(visual, tokens)

    def copied(self) -> dict[str, Any]:
        """For one call of the base, which changes what it is given."""
        return {modality: copy.copy(output) for modality, output in self.visual.items()}
