"""Geometry into visual tokens, through gates that are shut at the start: a fresh module changes nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr_core.vlm.attention import CrossAttention
from dsr_core.vlm.values import VlmError


class AddFusion(nn.Module):
    """Each visual token takes in geometry, which is added through a gate of each feature.

    Args:
        visual: Features of visual tokens. width: Of geometry tokens. heads: Attention heads.
        aligned: Whether geometry tokens stand one for one for visual ones (then they are added as they are, as VG-LLM
            and DSR Suite's "addition of 3D tokens" do); else visual tokens look them up (as in VLM-3R).
    """

    def __init__(self, visual: int, width: int, heads: int, aligned: bool):
        super().__init__()
        self.aligned = aligned
        self.norm = nn.LayerNorm(visual)
        self.look = None if aligned else nn.Linear(visual, width)
        self.attend = None if aligned else CrossAttention(width, heads)
        self.out = nn.Linear(width, visual)
        self.gate = nn.Parameter(torch.zeros(visual))

    def forward(self, visual: Tensor, rows: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """(M, visual) tokens of rows (M,) of the batch, (B, V, width) geometry, (B, V) bool -> (M, visual)."""
        if self.aligned:
            found = _one_for_one(rows, tokens, mask)
        else:
            padded, there = by_row(self.look(self.norm(visual)), rows, len(tokens))
            found = self.attend(padded, tokens, mask)[there]
        return visual + self.gate * self.out(found) * mask.any(1)[rows, None]


class GatedFusion(nn.Module):
    """Visual tokens are mixed with what the question has selected of the geometry (GeoSR, arXiv 2603.26639, "dynamic").

    As there: each visual token looks at the selected tokens, a gate made of both says how much of it is taken, and in
    training those visual tokens that geometry can speak for are blanked in some samples, so that it is used. Unlike
    there: a further gate shuts all of it at the start, and relevance is how much the selected tokens look at a visual
    token, since geometry need not lie on the grid of the pictures.

    Args:
        visual: Features of visual tokens. width: Of selected tokens. heads: Attention heads.
        mask_probability: Share of samples that are masked in training. mask_share: Of their visual tokens the share.
    """

    def __init__(self, visual: int, width: int, heads: int, mask_probability: float, mask_share: float):
        super().__init__()
        self.mask_probability, self.mask_share = mask_probability, mask_share
        self.look, self.norm_look = nn.Linear(visual, width), nn.LayerNorm(visual)
        self.attend, self.out = CrossAttention(width, heads), nn.Linear(width, visual)
        self.norm_visual, self.norm_found = nn.LayerNorm(visual), nn.LayerNorm(visual)
        self.mix = nn.Linear(2 * visual, visual)
        self.gate = nn.Parameter(torch.zeros(visual))

    def forward(self, visual: Tensor, rows: Tensor, selected: Tensor, has: Tensor) -> Tensor:
        """(M, visual) tokens of rows (M,), (B, N, width) selected, (B,) bool rows with geometry -> (M, visual)."""
        padded, there = by_row(self.look(self.norm_look(visual)), rows, len(selected))
        seen = torch.ones(selected.shape[:2], dtype=torch.bool, device=selected.device)
        found = self.out(self.attend(padded, selected, seen)[there])
        mix = torch.sigmoid(self.mix(torch.cat([self.norm_visual(visual), self.norm_found(found)], dim=1)))
        kept = visual * self._kept(padded, there, rows, selected, has) if self.training else visual
        return kept + torch.tanh(self.gate) * mix * (found - kept) * has[rows, None]

    @torch.no_grad()
    def _kept(self, padded: Tensor, there: Tensor, rows: Tensor, selected: Tensor, has: Tensor) -> Tensor:
        """(M, 1) of zeros and ones: which visual tokens are kept."""
        chosen = (torch.rand(len(selected), device=selected.device) < self.mask_probability) & has
        scores = self.attend.scores(padded, selected).masked_fill(~there[:, None, :, None], -torch.inf)
        relevance = torch.softmax(scores, dim=2).mean(dim=(1, 3))  # (B, longest): how much is looked at each
        most = (self.mask_share * there.sum(1)).long()
        place = relevance.masked_fill(~there, -1.0).argsort(dim=1, descending=True).argsort(dim=1)
        blank = (place < most[:, None]) & chosen[:, None]
        return (~blank[there]).to(padded.dtype)[:, None]


def by_row(flat: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(M, C) tokens one after another, of rows (M,) in order -> (count, longest, C) and which places are filled."""
    lengths = torch.bincount(rows, minlength=count)
    there = torch.arange(int(lengths.max()) if len(rows) else 0, device=rows.device)[None] < lengths[:, None]
    out = flat.new_zeros(*there.shape, flat.shape[1])
    out[there] = flat
    return out, there


def _one_for_one(rows: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """(M, width) the geometry token of each visual one; zeros for rows without geometry."""
    visual, geometry = torch.bincount(rows, minlength=len(tokens)), mask.sum(1)
    if bool(((geometry > 0) & (visual > 0) & (geometry != visual)).any()):
        raise VlmError(
            f"{geometry.tolist()} geometry tokens for {visual.tolist()} visual ones; aligned sources need one for each:"
            " was the clip prepared with the same size?"
        )
    place = torch.cat([torch.arange(int(n), device=rows.device) for n in visual])
    if not tokens.shape[1]:
        return tokens.new_zeros(len(rows), tokens.shape[2])
    return tokens[rows, place.clamp_max(tokens.shape[1] - 1)] * mask.any(1)[rows, None]
