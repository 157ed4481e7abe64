"""What a model answers: how likely each option is, or words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dsr_core.vlm.encoded import Encoded
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.values import Asked, VlmError


def option_log_probabilities(
    model: GeometryVLM,
    asked: Sequence[Asked],
    batch_size: int = 8,
    encoded: Encoded | None = None,
    by_length: bool = False,
) -> list[np.ndarray]:
    """How likely each option of each question is, among its options.

    A model that replies with letters is asked for the next token once. One that replies with the options' texts reads
    its prompt once, and then each of them with its end.

    Args:
        model: The model. asked: Questions with options. batch_size: How many at once.
        encoded: What `model.encode` gave for one question about the same pictures, which all of these share.
        by_length: Of texts, take the mean over tokens rather than the sum (which is what the model would really say).

    Returns:
        (options,) float64 log-probabilities a question; their exponentials sum to 1.

    Raises:
        VlmError: a question has no options, or cannot be prepared.
    """
    for a in asked:
        if not a.options:
            raise VlmError(f"{a.key or 'a question'} has no options: let the model say something (`say`)")
    scored = _by_letter if model.inputs.prompt.reply == "letter" else _by_text
    out: list[np.ndarray] = []
    with torch.no_grad(), model.evaluating():
        for start in range(0, len(asked), batch_size):
            part = asked[start : start + batch_size]
            for scores in scored(model, part, _batch(model, part, encoded), by_length):
                out.append(torch.log_softmax(scores.double(), dim=0).cpu().numpy())
    return out


def say(
    model: GeometryVLM,
    asked: Sequence[Asked],
    max_new_tokens: int = 64,
    batch_size: int = 8,
    encoded: Encoded | None = None,
    **options,
) -> list[str]:
    """What the model says to each question, by the likeliest words.

    Args:
        model: The model. asked: The questions. max_new_tokens: Longest reply. batch_size: How many at once.
        encoded: As for `option_log_probabilities`. options: To `generate` of transformers.

    Raises:
        VlmError: a question cannot be prepared.
    """
    out: list[str] = []
    for start in range(0, len(asked), batch_size):
        part = asked[start : start + batch_size]
        ids = model.generate(_batch(model, part, encoded), max_new_tokens=max_new_tokens, **options)
        out += [text.strip() for text in model.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return out


def _batch(model: GeometryVLM, asked: Sequence[Asked], encoded: Encoded | None) -> dict:
    batch = model.inputs(asked, side="left", pixels=encoded is None)
    return batch if encoded is None else {**batch, "encoded": encoded.repeated(len(asked))}


def _by_letter(model: GeometryVLM, asked: Sequence[Asked], batch: dict, by_length: bool) -> list[Tensor]:
    logits = model(batch, logits_to_keep=1).logits[:, -1].float()
    return [logits[i, letter_ids(model, a)] for i, a in enumerate(asked)]


def letter_ids(model: GeometryVLM, asked: Asked) -> list[int]:
    """The token of each option's letter, where a reply begins.

    Raises:
        VlmError: the tokenizer has no token of its own for one of them.
    """
    found = [model.inputs.plain(letter) for letter in model.inputs.prompt.letters(asked)]
    if any(len(ids) != 1 for ids in found):
        raise VlmError("the tokenizer splits option letters into several tokens; set reply = text in the prompt")
    return [ids[0] for ids in found]


def _by_text(model: GeometryVLM, asked: Sequence[Asked], batch: dict, by_length: bool) -> list[Tensor]:
    replies = [[*model.inputs.plain(text), model.inputs.end_id] for a in asked for text in a.options]
    rows = torch.tensor([i for i, a in enumerate(asked) for _ in a.options], device=model.device)
    longest = max(len(ids) for ids in replies)
    ids = torch.tensor([[*ids, *[model.inputs.pad_id] * (longest - len(ids))] for ids in replies], device=model.device)
    there = torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in replies], device=model.device)
    prompt = model(batch, use_cache=True, logits_to_keep=1)
    log_p = torch.log_softmax(prompt.logits[rows, -1].float(), dim=-1).gather(1, ids[:, :1])
    if longest > 1:
        mask = batch["attention_mask"].to(model.device)
        first = _next_position(model, batch, mask)[rows]
        cache = prompt.past_key_values
        cache.batch_select_indices(rows)
        places = first[:, None] + torch.arange(longest - 1, device=model.device)
        logits = model.base(
            input_ids=ids[:, :-1],
            attention_mask=torch.cat([mask[rows], there[:, :-1]], dim=1),
            position_ids=places.expand(3, -1, -1),
            past_key_values=cache,
            use_cache=True,
        ).logits
        later = torch.log_softmax(logits.float(), dim=-1).gather(2, ids[:, 1:, None])[..., 0]
        log_p = torch.cat([log_p, later], dim=1)
    total = (log_p.double() * there).sum(1)
    if by_length:
        total = total / there.sum(1)
    return list(total.split([len(a.options) for a in asked]))


def _next_position(model: GeometryVLM, batch: dict, mask: Tensor) -> Tensor:
    """(B,) position of the first token of each reply."""
    if "video_grid_thw" not in batch and "image_grid_thw" not in batch:
        return torch.full((len(mask),), mask.shape[1], device=mask.device)  # the base counts padding then
    return mask.sum(1) + model.core.model.rope_deltas.to(mask.device)[:, 0]
