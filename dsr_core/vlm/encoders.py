"""Tokens of a geometry source -> features that the selector reads; the part of a source that is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr_core.vlm.attention import unit_scale
from dsr_core.vlm.sources import GeometrySource

#: Tokens of a label that are looked at.
LABEL_TOKENS = 8


class TokenEncoder(nn.Module):
    """Features, and the words of labels, of one source.

    Args:
        source: Whose tokens. width: Features that come out. embedded: Features of the language model's embeddings.
    """

    def __init__(self, source: GeometrySource, width: int, embedded: int):
        super().__init__()
        norm = [nn.RMSNorm(source.features, eps=1e-6)] if source.normalised else []
        if source.hidden is None:
            layers = [nn.Linear(source.features, width)]
        else:
            layers = [nn.Linear(source.features, source.hidden), nn.GELU(), nn.Linear(source.hidden, width)]
        self.features = nn.Sequential(*norm, *layers)
        self.flags = nn.Linear(source.flags, width, bias=False) if source.flags else None
        if self.flags is not None:
            nn.init.normal_(self.flags.weight)
        # A weight for each place of a word, so that "car 12" is not "car 21".
        self.places = nn.Parameter(1.0 + 0.5 * torch.randn(LABEL_TOKENS, embedded))
        self.label = nn.Linear(embedded, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor, labels: Tensor | None = None, label_mask: Tensor | None = None) -> Tensor:
        """(B, V, F) features, and (B, V, L, E) embedded labels with (B, V, L) bool -> (B, V, width)."""
        out = self.features(features)
        if self.flags is not None:
            out = out + self.flags(features[..., -self.flags.in_features :])
        if labels is not None:
            words = labels * unit_scale(labels, label_mask) * self.places[: labels.shape[2]] * label_mask[..., None]
            out = out + self.label(words.sum(2) / label_mask.sum(2, keepdim=True).clamp_min(1))
        else:
            out = out + 0.0 * self.label(self.places).sum()  # every parameter takes part in every step
        return self.norm(out)
