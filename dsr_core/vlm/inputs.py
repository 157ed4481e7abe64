"""Inputs: questions with all that belongs to them -> a batch of tensors, for training and for answering alike.

Text that users wrote is never read as special tokens: a question that holds "<|vision_pad|>" asks about those letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.encoders import LABEL_TOKENS
from dsr_core.vlm.prompts import PromptConfig
from dsr_core.vlm.qwen_video import TYPES, QwenVideo
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import Asked, VlmError

#: Pixels of a frame beyond which it is made smaller: 640 x 360, as DSR Suite trains.
MAX_PIXELS = 230_400
#: Marks the user's message in a rendered chat template; of Unicode's private use, so that no template holds it.
#: Texts whose tokens are remembered.
_MOST_READ = 100_000
_MARK = "\ue000\uf8ff\ue000"


@dataclass(frozen=True)
class _Row:
    """A question as token ids, up to what the model is to say, and as the selector reads it."""

    ids: list[int]
    question: list[int]
    reply: list[int]
    grids: list[tuple[int, int, int]]
    image_grids: list[tuple[int, int, int]]
    placeholders: int

    def __len__(self) -> int:
        return len(self.ids) + len(self.reply)


class Inputs:
    """The collator.

    Args:
        tokenizer: Of the base. base_config: The base's configuration.
        config: How geometry comes in. sources: Geometry sources by name; tokens of others are left out.
        prompt: The words.
        max_tokens: A longer row is refused.
        max_pixels: Larger frames and pictures are made smaller.
        video: How the base wants videos; None reads it off `base_config`.

    Raises:
        VlmError: the base is none that is prepared here, or its tokenizer lacks what is needed.
    """

    def __init__(
        self,
        tokenizer,
        base_config,
        config: GeometryConfig | None = None,
        sources: Mapping[str, GeometrySource] | None = None,
        prompt: PromptConfig | None = None,
        max_tokens: int = 8192,
        max_pixels: int = MAX_PIXELS,
        video: QwenVideo | None = None,
    ):
        if base_config.model_type not in TYPES:
            raise VlmError(f"a base of type {base_config.model_type!r} is not prepared here; known: {', '.join(TYPES)}")
        self.tokenizer, self.config = tokenizer, config or GeometryConfig(mode="none")
        self.sources = dict(sources or {}) if self.config.mode != "none" else {}
        self.prompt, self.max_tokens, self.max_pixels = prompt or PromptConfig(), max_tokens, max_pixels
        self.video = video or QwenVideo.of(base_config)
        self.image_id, self.video_id = base_config.image_token_id, base_config.video_token_id
        self._read: dict[str, list[int]] = {}
        self._pads = {"<|video_pad|>": self.video_id, "<|image_pad|>": self.image_id}
        self._seconds = base_config.model_type == "qwen2_5_vl"
        self.end_id, self.pad_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        if self.end_id is None:
            raise VlmError("the tokenizer has no end token (eos_token)")
        self.pad_id = self.end_id if self.pad_id is None else self.pad_id
        self.placeholder_id = self._special(self.config.placeholder) if self.config.inserts else None
        self._head, self._tail = self._chat()

    def __call__(
        self,
        asked: Sequence[Asked],
        replies: Sequence[str] | None = None,
        side: str | None = None,
        pixels: bool = True,
    ) -> dict:
        """A batch.

        Args:
            asked: The questions. replies: What shall be said to each, for training.
            side: "left" or "right": where short rows are padded; None pads for what follows: on the right where there
                are replies, on the left for generation.
            pixels: Whether pixels are prepared; without them the batch goes with what `GeometryVLM.encode` gave.

        Returns:
            input_ids, attention_mask, mm_token_type_ids (B, L); pixel_values, image_grid_thw, pixel_values_videos,
            video_grid_thw, second_per_grid_ts where there are any; labels (B, L) with replies; question_ids and
            question_mask (B, Q); geometry: source -> features (B, V, F), mask (B, V), label_ids, label_mask (B, V, W)
            and grid (B, 3); geometry_rows (B,) which rows have geometry.

        Raises:
            VlmError: a row is too long, or cannot be prepared; the message starts with its key.
        """
        if replies is not None and len(replies) != len(asked):
            raise VlmError(f"{len(replies)} replies for {len(asked)} questions")
        side = side or ("left" if replies is None else "right")
        rows = [self._row(a, None if replies is None else replies[i]) for i, a in enumerate(asked)]
        texts = [row.ids + row.reply for row in rows]
        ids = _padded(texts, self.pad_id, side)
        there = _padded([[1] * len(text) for text in texts], 0, side)
        batch = {"input_ids": ids, "attention_mask": there}
        batch["mm_token_type_ids"] = 2 * (ids == self.video_id).int() + (ids == self.image_id).int()
        batch |= self._visuals(asked, rows, pixels)
        if replies is not None:
            batch["labels"] = _padded([[-100] * len(row.ids) + row.reply for row in rows], -100, side)
        if not self.sources:
            return batch
        batch["question_ids"] = _padded([row.question for row in rows], self.pad_id, "right")
        batch["question_mask"] = _padded([[1] * len(row.question) for row in rows], 0, "right").bool()
        used = {name: [a.geometry.get(name) for a in asked] for name in self.sources}
        batch["geometry"] = {
            name: self._tokens(asked, name, tokens)
            for name, tokens in used.items()
            if any(t is not None and len(t) for t in tokens)
        }
        batch["geometry_rows"] = torch.tensor([self._geometry_count(a) > 0 for a in asked])
        return batch

    def length(self, asked: Asked, reply: str | None = None) -> int:
        """Tokens of a row, without looking at its pixels.

        Raises:
            VlmError: it is too long, or cannot be prepared.
        """
        return len(self._row(asked, reply))

    def plain(self, text: str) -> list[int]:
        """Token ids of a text that users wrote: special tokens in it are ordinary letters."""
        ids = self._read.get(text)
        if ids is None:
            ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
            if len(self._read) >= _MOST_READ:
                self._read.clear()
            self._read[text] = ids
        return list(ids)

    # --- rows

    def _row(self, asked: Asked, reply: str | None) -> _Row:
        try:
            return self._made(asked, reply)
        except VlmError as error:
            known = not asked.key or str(error).startswith(asked.key)
            raise error if known else VlmError(f"{asked.key}: {error}") from None

    def _made(self, asked: Asked, reply: str | None) -> _Row:
        count = self._geometry_count(asked)
        placeholders = 0
        if self.config.inserts and count:
            placeholders = self.config.queries if self.config.mode == "gsm" else count
        grids = [
            self.video.grid(len(clip.frames), *_picture(clip.frames[0]).shape[:2], self.max_pixels)
            for clip in asked.clips
        ]
        image_grids = [self.video.grid(1, *_picture(image).shape[:2], self.max_pixels) for image in asked.images]
        blocks = [self.video.block(g, clip.times_s) for g, clip in zip(grids, asked.clips, strict=True)]
        blocks += [self.video.image_block(grid) for grid in image_grids]
        before = self._shown("".join(blocks)) + [self.placeholder_id] * placeholders
        question = self.plain(self.prompt.text(asked).strip())
        ids = self._head + before + (self.plain("\n") if before else []) + question + self._tail
        said = [] if reply is None else [*self.plain(reply), self.end_id]
        row = _Row(ids, question, said, grids, image_grids, placeholders)
        if len(row) > self.max_tokens:
            raise VlmError(
                f"{len(row)} tokens are more than {self.max_tokens} (its question alone {len(question)}); shorten it,"
                " give fewer or smaller frames, or raise max_tokens"
            )
        return row

    def _geometry_count(self, asked: Asked) -> int:
        return sum(len(asked.geometry[name]) for name in self.sources if name in asked.geometry)

    def _visuals(self, asked: Sequence[Asked], rows: Sequence[_Row], pixels: bool) -> dict:
        out: dict[str, Tensor] = {}
        grids, image_grids = ([g for row in rows for g in getattr(row, name)] for name in ("grids", "image_grids"))
        if grids:
            out["video_grid_thw"] = torch.tensor(grids)
            if self._seconds:
                times = [clip.times_s for a in asked for clip in a.clips]
                out["second_per_grid_ts"] = torch.tensor([self.video.seconds_a_grid(t) for t in times])
        if image_grids:
            out["image_grid_thw"] = torch.tensor(image_grids)
        if pixels and grids:
            clips = [clip.frames for a in asked for clip in a.clips]
            out["pixel_values_videos"] = torch.cat([self.video.patches(f, self.max_pixels)[0] for f in clips])
        if pixels and image_grids:
            pictures = [_picture(image) for a in asked for image in a.images]
            out["pixel_values"] = torch.cat([self.video.patches([p], self.max_pixels)[0] for p in pictures])
        return out

    # --- geometry

    def _tokens(self, asked: Sequence[Asked], name: str, rows: Sequence) -> dict[str, Tensor]:
        size, wanted = max(0 if t is None else len(t) for t in rows), self.sources[name].features
        features = torch.zeros(len(rows), size, wanted)
        mask = torch.zeros(len(rows), size, dtype=torch.bool)
        grid = torch.zeros(len(rows), 3, dtype=torch.long)
        for i, tokens in enumerate(rows):
            if tokens is None:
                continue
            if tokens.features.shape[1] != wanted:
                raise VlmError(
                    f"{asked[i].key or 'a question'}: tokens of {name} have {tokens.features.shape[1]} features, the"
                    f" model was made for {wanted}; make them with the model's own sources"
                )
            features[i, : len(tokens)] = torch.from_numpy(tokens.features)
            mask[i, : len(tokens)] = True
            if tokens.grid is not None:
                grid[i] = torch.tensor(tokens.grid)
        out = {"features": features, "mask": mask}
        if bool(grid.any()):
            out["grid"] = grid
        if any(t is not None and t.labels for t in rows):
            out |= self._labels(rows, size)
        return out

    def _labels(self, rows: Sequence, size: int) -> dict[str, Tensor]:
        known = {label: self.plain(label)[:LABEL_TOKENS] for t in rows if t is not None for label in set(t.labels)}
        longest = max(1, *(len(ids) for ids in known.values()))
        ids = torch.full((len(rows), size, longest), self.pad_id)
        mask = torch.zeros(len(rows), size, longest, dtype=torch.bool)
        for i, tokens in enumerate(rows):
            for j, label in enumerate(() if tokens is None else tokens.labels):
                words = known[label]
                ids[i, j, : len(words)] = torch.tensor(words, dtype=torch.long)
                mask[i, j, : len(words)] = True
        return {"label_ids": ids, "label_mask": mask}

    # --- special tokens

    def _marked(self, text: str) -> list[int]:
        """Token ids of a text that was made here: special tokens count."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def _shown(self, blocks: str) -> list[int]:
        """Token ids of what stands for clips and pictures: thousands of placeholders, which need no tokenizer."""
        ids: list[int] = []
        for piece in re.split(r"(<\|(?:video|image)_pad\|>)", blocks):
            if piece in self._pads:
                ids.append(self._pads[piece])
            elif piece:
                ids += self._marked(piece)
        return ids

    def _special(self, token: str) -> int:
        ids = self._marked(token)
        if len(ids) != 1 or self.tokenizer.decode(ids) != token:
            raise VlmError(f"the tokenizer has no token {token!r}; set the geometry's placeholder to one that it has")
        return ids[0]

    def _chat(self) -> tuple[list[int], list[int]]:
        """What stands before and after the user's message in the chat template."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise VlmError("the tokenizer has no chat template; take one from an instruct checkpoint of the family")
        told = [{"role": "user", "content": [{"type": "text", "text": _MARK}]}]
        if self.prompt.system:
            told.insert(0, {"role": "system", "content": [{"type": "text", "text": self.prompt.system}]})
        text = self.tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        before, mark, after = text.partition(_MARK)
        if not mark:
            raise VlmError("the tokenizer's chat template leaves the user's message out")
        return self._marked(before), self._marked(after)


def _picture(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise VlmError(f"a picture is (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return image


def _padded(rows: Sequence[Sequence[int]], value: int, side: str) -> Tensor:
    longest = max(len(row) for row in rows)
    pads = [[value] * (longest - len(row)) for row in rows]
    both = zip(rows, pads, strict=True)
    return torch.tensor([[*pad, *row] if side == "left" else [*row, *pad] for row, pad in both], dtype=torch.long)
