"""A question as the embeddings that its language model reads: for servers that take those in place of text.

vLLM takes them from trusted users (`--enable-prompt-embeds`), which lets it serve a model of whose geometry it knows
nothing. What it does with the positions of visual tokens is its own affair: docs/deploying.md.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import torch
from torch import Tensor

from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.values import Asked, VlmError


@dataclass(frozen=True, eq=False)
class PromptEmbeddings:
    """What a language model reads of one question.

    Attributes:
        embeddings: (L, H) in the base's type, on the CPU: words, visual tokens and geometry tokens.
        positions: (3, L) place in time, down and across that the model gives each (M-RoPE).
    """

    embeddings: Tensor
    positions: Tensor

    @property
    def in_a_row(self) -> bool:
        """Whether places are 0, 1, 2, … on every axis, as a server counts that knows of embeddings alone."""
        return bool((self.positions == torch.arange(self.positions.shape[1])).all())


class _Read(Exception):
    """Ends a forward where the language model begins."""


@torch.inference_mode()
def prompt_embeddings(model: GeometryVLM, asked: Asked) -> PromptEmbeddings:
    """Everything up to the language model's first layer, which is not run.

    Raises:
        VlmError: the base gives more to its layers than embeddings (Qwen3-VL, where something is shown).
    """
    batch, found = model.inputs([asked], side="left"), {}
    if model.core.config.model_type.startswith("qwen3") and bool(batch["mm_token_type_ids"].any()):
        raise VlmError(
            "Qwen3-VL's layers take features of the vision tower beside embeddings (DeepStack), so embeddings are not"
            " all that it reads; serve a Qwen2.5-VL this way, or ask without pictures"
        )

    def read(module, args, given):
        found.update(given)
        raise _Read

    hook = model.core.model.language_model.register_forward_pre_hook(read, with_kwargs=True)
    try:
        with model.evaluating():
            model(batch, logits_to_keep=1)
    except _Read:
        pass
    finally:
        hook.remove()
    embeddings = found["inputs_embeds"][0].cpu()
    positions = found.get("position_ids")
    if positions is None:
        positions = torch.arange(len(embeddings)).expand(3, -1)
    return PromptEmbeddings(embeddings, positions.reshape(-1, len(embeddings))[-3:].cpu())


def as_base64(tensor: Tensor) -> str:
    """A tensor as vLLM reads it from JSON: written by `torch.save`, then base64."""
    written = io.BytesIO()
    torch.save(tensor.contiguous().clone(), written)
    return base64.b64encode(written.getvalue()).decode("ascii")


def from_base64(text: str) -> Tensor:
    """The tensor of `as_base64`; anything else in it is refused."""
    return torch.load(io.BytesIO(base64.b64decode(text, validate=True)), weights_only=True)


def completion_request(prompt: PromptEmbeddings, name: str, max_tokens: int = 8) -> dict:
    """The body of a POST to `/v1/completions` of vLLM.

    Args:
        prompt: Of `prompt_embeddings`; the chat template stands in it. name: The model's, on the server.
        max_tokens: Most words of the reply.
    """
    return {
        "model": name,
        "prompt_embeds": as_base64(prompt.embeddings),
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "logprobs": 5,
    }
