"""DSR Suite's geometry module as its checkpoint has it (arXiv 2512.20557): the published tensor names and arithmetic.

It differs from `GeometryModule`, which is ours: one block a Q-Former with the language model's own width, grouped-query
attention and multimodal RoPE; one norm for queries and what they attend to; no self-attention, no gate. Everything is
computed in the type of the weights, with the softmax and the norms in float32, as the original does.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsr_core.perception.networks import IMAGENET_MEAN, IMAGENET_STD
from dsr_core.vlm.pi3_encoder import merged, patch_features

#: The original un-normalises with 0.4576275 where CLIP's mean, by which pixels were normalised, is 0.4578275.
_PIXEL_MEAN, _PIXEL_STD = (0.48145466, 0.4576275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
#: The original has this number, whatever `tokens_per_second` the vision tower is configured with.
_STEPS_A_SECOND = 2


class RMSNorm(nn.Module):
    """Root mean square norm, in float32, with a weight in the type of its input."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * y.to(x.dtype)


class Rope:
    """Multimodal rotary positions: each frequency turns by the position on one of three axes (time, row, column).

    Args:
        head: Features a head. theta: Base of the frequencies. sections: Frequencies an axis has, `head / 2` in all.
    """

    def __init__(self, head: int, theta: float, sections: list[int]):
        self.head, self.theta = head, theta
        self.axes = [axis for axis, count in enumerate(sections) for _ in range(count)]

    def __call__(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine (L, head) of positions (3, L)."""
        steps = torch.arange(0, self.head, 2, device=positions.device).float()
        angles = positions.float()[self.axes].T * (1.0 / self.theta ** (steps / self.head))
        both = torch.cat([angles, angles], dim=-1)
        return both.cos().to(dtype), both.sin().to(dtype)


def turned(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Heads (heads, L, head) turned by a rope of (L, head)."""
    first, second = x.chunk(2, dim=-1)
    return x * rope[0] + torch.cat([-second, first], dim=-1) * rope[1]


class CrossAttention(nn.Module):
    """Queries attend to other tokens; several heads of queries share one of keys and values."""

    def __init__(self, width: int, heads: int, key_heads: int):
        super().__init__()
        self.heads, self.key_heads, self.head = heads, key_heads, width // heads
        self.q_proj = nn.Linear(width, heads * self.head)
        self.k_proj = nn.Linear(width, key_heads * self.head)
        self.v_proj = nn.Linear(width, key_heads * self.head)
        self.o_proj = nn.Linear(heads * self.head, width, bias=False)

    def forward(self, queries: Tensor, tokens: Tensor, query_rope, token_rope) -> Tensor:
        """(N, width) and (V, width) with their ropes -> (N, width)."""
        q = turned(self._split(self.q_proj(queries), self.heads), query_rope)
        k = turned(self._split(self.k_proj(tokens), self.key_heads), token_rope)
        v = self._split(self.v_proj(tokens), self.key_heads)
        k, v = (x.repeat_interleave(self.heads // self.key_heads, dim=0) for x in (k, v))
        scores = q @ k.transpose(1, 2) / math.sqrt(self.head)
        weights = scores.softmax(dim=-1, dtype=torch.float32).to(q.dtype)
        return self.o_proj((weights @ v).transpose(0, 1).flatten(1))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(len(x), heads, self.head).transpose(0, 1)


class GatedMLP(nn.Module):
    """SwiGLU with biases."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.down_proj = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class QFormer(nn.Module):
    """One block: cross-attention, then an MLP, each after a norm and added to what came in."""

    def __init__(self, width: int, heads: int, key_heads: int, hidden: int):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.attn = CrossAttention(width, heads, key_heads)
        self.mlp = GatedMLP(width, hidden)

    def forward(self, queries: Tensor, tokens: Tensor, query_rope, token_rope) -> Tensor:
        """(N, width) queries that have looked at (V, width) tokens."""
        queries = queries + self.attn(self.norm1(queries), self.norm1(tokens), query_rope, token_rope)
        return queries + self.mlp(self.norm2(queries))


class Merger(nn.Module):
    """Features of merged patches (V, F) -> (V, width)."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.ln_q = RMSNorm(features)
        self.mlp = nn.Sequential(nn.Linear(features, features), nn.GELU(), nn.Linear(features, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.ln_q(x))


class PublishedModule(nn.Module):
    """What the checkpoint has beside Qwen2.5-VL; its tensors are named as there, less "visual.".

    Args:

        features: C, features a patch of the encoder. queries: N.
        text: Configuration of the language model, whose shape the Q-Formers share.
        vision: Configuration of the vision tower.
        batch: Frames that the encoder is shown at once.
    """

    def __init__(self, encoder: nn.Module | None, features: int, queries: int, text, vision, batch: int = 8):
        super().__init__()
        width, heads, key_heads = text.hidden_size, text.num_attention_heads, text.num_key_value_heads
        self.patch, self.merge, self.temporal = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
        self.batch = batch
        self.spatial_encoder = encoder
        self.spatial_merger = Merger(features * self.temporal * self.merge**2, width)
        self.q_former_1 = QFormer(width, heads, key_heads, text.intermediate_size)
        self.q_former_2 = QFormer(width, heads, key_heads, text.intermediate_size)
        self.q_former_norm = RMSNorm(width)
        self.q_former_queries = nn.Parameter(torch.randn(queries, width))
        told = text.rope_parameters
        self.rope = Rope(width // heads, told["rope_theta"], told["mrope_section"])

    def geometry(self, patches: Tensor, grid: Tensor) -> Tensor:
        """3-D tokens (T * h * w / merge^2, width) of one video, in the order of its visual tokens.

        Args:
            patches: (T * h * w, 3 * temporal * patch^2) pixels as Qwen's vision tower takes them. grid: (T, h, w).
        """
        pictures = self.pictures(patches, grid)
        return self.spatial_merger(merged(patch_features(self.spatial_encoder, pictures, self.batch), 2, self.merge))

    def pictures(self, patches: Tensor, grid: Tensor) -> Tensor:
        """Frames (T * temporal, 3, H, W) normalised by ImageNet's mean and deviation, of one video's patches."""
        count, high, wide = grid.tolist()
        cut = (high // self.merge, wide // self.merge, self.merge, self.merge)
        blocks = patches.view(count, *cut, 3, self.temporal, self.patch, self.patch)
        # (T, rows, columns, row in token, column in token, colour, frame, y, x)
        frames = blocks.permute(0, 6, 5, 1, 3, 7, 2, 4, 8)
        frames = frames.reshape(count * self.temporal, 3, high * self.patch, wide * self.patch)
        colours = (_PIXEL_MEAN, _PIXEL_STD, IMAGENET_MEAN, IMAGENET_STD)
        mean, std, new_mean, new_std = (frames.new_tensor(values).view(3, 1, 1) for values in colours)
        return (frames * std + mean - new_mean) / new_std

    def condensed(self, question: Tensor) -> Tensor:
        """Queries (N, width) that have read a question's embeddings (L, width)."""
        # The original carries these positions in the type of the embeddings: in bfloat16 those above 256 are rounded.
        places = torch.arange(len(question), device=question.device).to(question.dtype)
        rope = self.rope(places.expand(3, -1), question.dtype)
        return self.q_former_1(self.q_former_queries, question, self._query_rope(), rope)

    def selected(self, queries: Tensor, tokens: Tensor, grid: Tensor, seconds: Tensor) -> Tensor:
        """N tokens (N, width) that queries have selected from a video's 3-D tokens (V, width).

        Args:
            queries: Of `condensed`. tokens: Of `geometry`. grid: (T, h, w) in patches.
            seconds: From one temporal patch to the next.
        """
        places = vision_positions(grid, seconds, self.merge, _STEPS_A_SECOND)
        rope = self.rope(places, tokens.dtype)
        return self.q_former_norm(self.q_former_2(queries, tokens, self._query_rope(), rope))

    def _query_rope(self) -> tuple[Tensor, Tensor]:
        queries = self.q_former_queries
        places = torch.arange(len(queries), device=queries.device)
        return self.rope(places.expand(3, -1), queries.dtype)


def vision_positions(grid: Tensor, seconds: Tensor | float, merge: int, steps_a_second: float) -> Tensor:
    """(3, V) time, row and column of each visual token of a grid (T, h, w) in patches; time is in whole steps."""
    count, high, wide = (int(n) for n in grid)
    at = (torch.arange(count, device=grid.device) * seconds * steps_a_second).long()
    rows, columns = (torch.arange(n // merge, device=grid.device) for n in (high, wide))
    return torch.stack([axis.flatten() for axis in torch.meshgrid(at, rows, columns, indexing="ij")])
