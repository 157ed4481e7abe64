"""GeometryModule: all that is trained besides the language model; encoders of the sources, selector, and fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.encoders import TokenEncoder
from dsr_core.vlm.fusion import AddFusion, GatedFusion
from dsr_core.vlm.selector import GeometrySelector
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import VlmError

#: features (B, V, F) float32, mask (B, V) bool; label_ids and label_mask (B, V, L) where the source has labels.
SourceBatch = Mapping[str, Tensor]
_OF_TOKENS = ("features", "label_ids", "label_mask")


class GeometryModule(nn.Module):
    """Geometry tokens -> tokens for the language model, or into its visual tokens.

    It computes in float32 whatever the language model does; callers convert on both sides.

    Args:
        config: What it is. hidden: Features of the language model. sources: Those of `config`, by name.

    Raises:
        VlmError: sizes do not fit each other.
    """

    def __init__(self, config: GeometryConfig, hidden: int, sources: Mapping[str, GeometrySource]):
        super().__init__()
        self.config = config
        width = config.width or hidden
        if width % config.heads:
            raise VlmError(
                f"heads = {config.heads} do not divide the width {width} of the geometry; set width or heads"
            )
        self.encoders = nn.ModuleDict({name: TokenEncoder(s, width, hidden) for name, s in sources.items()})
        self.kinds = nn.ParameterDict({name: nn.Parameter(0.02 * torch.randn(width)) for name in sources})
        self.selector = self.out = self.fusion = None
        if config.mode in ("gsm", "gated"):
            self.selector = GeometrySelector(
                width, hidden, config.queries, config.layers, config.heads, config.feed_forward
            )
        if config.inserts:
            last = nn.Linear(hidden, hidden)
            self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), last)
            nn.init.normal_(last.weight, std=config.out_scale / hidden**0.5)
            nn.init.zeros_(last.bias)
        if config.mode == "add":
            self.fusion = AddFusion(hidden, width, config.heads, all(s.aligned for s in sources.values()))
        if config.mode == "gated":
            self.fusion = GatedFusion(hidden, width, config.heads, config.mask_probability, config.mask_share)

    def tokens(self, geometry: Mapping[str, SourceBatch], embed: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Encoded tokens of all sources side by side.

        Args:
            geometry: By source name, each padded to its longest row. embed: Token ids -> embeddings.

        Returns:
            (B, V, width) float32 and which are there, (B, V) bool.
        """
        features, masks = [], []
        for name, batch in geometry.items():
            features.append(self._encoded(name, batch, embed) + self.kinds[name])
            masks.append(batch["mask"])
        return torch.cat(features, dim=1), torch.cat(masks, dim=1)

    def _encoded(self, name: str, batch: SourceBatch, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, V, width); what pads shorter rows is not encoded: one row may have many times the tokens of others."""
        there = batch["mask"]
        # An export knows no numbers yet, nor does a model of shapes alone.
        padded = not (torch.onnx.is_in_onnx_export() or there.is_meta) and not bool(there.all())
        part = {key: batch[key][there][None] for key in _OF_TOKENS if key in batch} if padded else batch
        labels = embed(part["label_ids"]).float() if "label_ids" in part else None
        encoded = self.encoders[name](part["features"].float(), labels, part.get("label_mask"))
        if not padded:
            return encoded
        return encoded.new_zeros(*there.shape, encoded.shape[-1]).index_put((there,), encoded[0])

    def inserted(self, question: Tensor, question_mask: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens that stand in the text: (B, N, hidden) of `gsm`, (B, V, hidden) of `concat`.

        Args:
            question: (B, L, hidden) embeddings of the question's words. question_mask: (B, L) bool.
            tokens, mask: As `tokens` gives them.
        """
        if self.selector is not None:
            tokens = self.selector(question, question_mask, tokens, mask)
        return self.out(tokens)

    def fused(self, visual: Tensor, rows: Tensor, question, question_mask, tokens: Tensor, mask: Tensor) -> Tensor:
        """Visual tokens with geometry in them, of `add` and `gated`; rows without geometry stay as they are.

        Args:
            visual: (M, hidden) of the whole batch, one row after the other. rows: (M,) the row of each.
            question, question_mask, tokens, mask: As for `inserted`.
        """
        if self.selector is None:
            return self.fusion(visual, rows, tokens, mask)
        selected = self.selector(question, question_mask, tokens, mask)
        return self.fusion(visual, rows, selected, mask.any(1))
