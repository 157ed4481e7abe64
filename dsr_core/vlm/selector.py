"""GeometrySelector: learned queries condense the question, then pick what matters to it out of the geometry.

The two steps of DSR Suite's Geometry Selection Module (arXiv 2512.20557, 3.2), written anew: Q-Former 1 looks at the
question, Q-Former 2 at the geometry. Here the queries also look at each other, and tokens need no grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr_core.vlm.attention import CrossAttention, feed_forward, places, unit_scale


class QFormerBlock(nn.Module):
    """Queries look at tokens, then at each other, then each thinks for itself; all residual, normalised before.

    Args:
        width: Features. heads: Attention heads. hidden: Features of the MLP's hidden layer.
    """

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.norm_cross, self.norm_tokens, self.norm_self, self.norm_mlp = (nn.LayerNorm(width) for _ in range(4))
        self.cross, self.among = CrossAttention(width, heads), CrossAttention(width, heads)
        self.mlp = feed_forward(width, hidden)

    def forward(self, x: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, N, width) queries, (B, V, width) tokens, (B, V) bool -> (B, N, width)."""
        x = x + self.cross(self.norm_cross(x), self.norm_tokens(tokens), mask)
        y = self.norm_self(x)
        x = x + self.among(y, y, torch.ones(y.shape[:2], dtype=torch.bool, device=y.device))
        return x + self.mlp(self.norm_mlp(x))


class GeometrySelector(nn.Module):
    """What of the geometry matters to a question, as N tokens of the selector's width.

    Args:
        width: Features inside. question: Features of the question's embeddings. queries: N. layers: Blocks of each
            Q-Former. heads: Attention heads. feed_forward: Hidden features of MLPs as a multiple of `width`.
    """

    def __init__(self, width: int, question: int, queries: int, layers: int, heads: int, feed_forward: float):
        super().__init__()
        hidden = round(feed_forward * width)
        self.queries = nn.Parameter(torch.randn(1, queries, width) * 0.1)
        self.read = nn.Linear(question, width)
        self.condense = nn.ModuleList(QFormerBlock(width, heads, hidden) for _ in range(layers))
        self.select = nn.ModuleList(QFormerBlock(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, question: Tensor, question_mask: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Selected geometry.

        Args:
            question: (B, L, question) embeddings of its words, without context. question_mask: (B, L) bool.
            tokens: (B, V, width) geometry. mask: (B, V) bool.

        Returns:
            (B, N, width).
        """
        words = self.read(question * unit_scale(question, question_mask))
        words = words + places(words.shape[1], words.shape[2], words)
        x = self.queries.expand(len(tokens), -1, -1)
        for block in self.condense:
            x = block(x, words, question_mask)
        for block in self.select:
            x = block(x, tokens, mask)
        return self.norm(x)
