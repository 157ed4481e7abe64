"""Attention from some tokens to others, with a token that stands for "nothing there"."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Multi-head attention of `width` features over tokens of `width` features.

    Besides the tokens there is one learned one that every query may look at, so that a row without tokens is well
    defined.

    Args:
        width: Features. heads: Attention heads; they divide `width`.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide {width} features")
        self.heads = heads
        self.q, self.v, self.o = (nn.Linear(width, width) for _ in range(3))
        self.k = nn.Linear(width, width, bias=False)  # a bias would move all scores alike
        for layer in (self.q, self.k, self.v, self.o):
            nn.init.xavier_uniform_(layer.weight)  # what is looked at comes out as large as it went in
        self.nothing = nn.Parameter(0.02 * torch.randn(1, 1, width))

    def forward(self, x: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, N, width) queries over (B, V, width) tokens, of which `mask` (B, V) bool are there -> (B, N, width)."""
        tokens, seen = self._with_nothing(tokens, mask)
        q, k, v = (self._split(y) for y in (self.q(x), self.k(tokens), self.v(tokens)))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None, :])
        return self.o(out.transpose(1, 2).flatten(2))

    def scores(self, x: Tensor, tokens: Tensor) -> Tensor:
        """(B, heads, N, V) raw scores of the attention."""
        q, k = self._split(self.q(x)), self._split(self.k(tokens))
        return q @ k.transpose(-1, -2) / k.shape[-1] ** 0.5

    def _with_nothing(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        nothing = self.nothing.expand(len(tokens), 1, -1)
        seen = torch.cat([torch.ones_like(mask[:, :1]) if mask.shape[1] else mask.new_ones(len(mask), 1), mask], 1)
        return torch.cat([nothing, tokens], dim=1), seen

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def feed_forward(width: int, hidden: int) -> nn.Module:
    """An MLP of one hidden layer."""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


def places(length: int, width: int, like: Tensor) -> Tensor:
    """(length, width) sines and cosines of a token's place (Vaswani et al. 2017, 3.5)."""
    at = torch.arange(length, device=like.device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=like.device) * (-9.210340371976184 / width))
    waves = torch.cat([torch.sin(at * rate), torch.cos(at * rate)], dim=1)[:, :width]
    return waves.to(like.dtype)


def unit_scale(x: Tensor, mask: Tensor) -> Tensor:
    """(..., 1, 1): what brings rows x (..., L, C), of which `mask` (..., L) are there, to a mean square of one.

    Each row has a scale of its own, so that neither its neighbours in a batch nor the padding matter.
    """
    squares = (x.detach().pow(2).mean(-1) * mask).sum(-1) / mask.sum(-1).clamp_min(1)
    return squares.clamp_min(1e-12).rsqrt()[..., None, None]
