"""Geometry tokens in place of placeholders: the base embeds its own input ids, and finds them there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dsr_core.vlm.values import VlmError


@contextmanager
def standing_in(embeddings: nn.Module, placeholder_id: int, made: Tensor, there: Tensor) -> Iterator[None]:
    """Puts tokens in place of the embeddings of placeholders, whenever a prompt is embedded.

    Args:
        embeddings: The base's input embeddings. placeholder_id: Which token they replace.
        made: (B, V, H) tokens. there: (B, V) bool, those that have a place.
    """
    rows = [tokens[kept] for tokens, kept in zip(made, there, strict=True)]

    def replace(module: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        if args[0].shape[1] == 1:
            return None  # a word that was just said, not a prompt
        places = args[0] == placeholder_id
        times = len(places) // len(rows)  # beams and samples stand next to their row
        wanted = [len(tokens) for tokens in rows for _ in range(times)]
        if places.sum(1).tolist() != wanted:
            raise VlmError(f"rows have {places.sum(1).tolist()} placeholders for {wanted} geometry tokens")
        tokens = torch.cat([tokens for tokens in rows for _ in range(times)])
        return output.masked_scatter(places[..., None], tokens.to(output.dtype))

    hook = embeddings.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
