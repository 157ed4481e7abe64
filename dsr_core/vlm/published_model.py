"""DSR Suite's published model (arXiv 2512.20557), answering through the stock Qwen2.5-VL of transformers.

After each video stand 32 tokens that the question has selected from the frozen encoder's features: in the original's
text further video placeholders, at ordinary text positions. The original takes one video at batch 1; there this is the
same arithmetic. Several videos, pictures, batches and text alone are ours: each video is treated as if it were alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from dsr_core.vlm.encoded import Encoded
from dsr_core.vlm.inputs import Inputs
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.prompts import PromptConfig
from dsr_core.vlm.published_module import PublishedModule, vision_positions
from dsr_core.vlm.state_dicts import LoadReport
from dsr_core.vlm.values import VlmError

#: Tokens that are no part of the question; ids 151643-151645 and 151652-151656 of Qwen2.5-VL.
NO_QUESTION = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
#: "<|im_start|>", "assistant" and a new line: no part of the question in training, where the answer follows.
_HEADER_TOKENS = 3


@dataclass(frozen=True, eq=False)
class PublishedEncoded(Encoded):
    """What the frozen parts make of a batch's pictures.

    Attributes:
        geometry: 3-D tokens (V, hidden) of each video.
    """

    geometry: tuple[Tensor, ...] = ()

    def repeated(self, times: int) -> PublishedEncoded:
        """The same for a batch in which all rows stand `times` times, one whole batch after the other."""
        return PublishedEncoded(super().repeated(times).visual, geometry=self.geometry * times)


class PublishedModel(GeometryVLM):
    """Qwen2.5-VL with the published geometry module; used as a `GeometryVLM` is, whose batches have no geometry.

    Args:
        base: Qwen2_5_VLForConditionalGeneration. module: The geometry module.
        tokenizer: Of the checkpoint.
        prompt: The words around a question, replied to with a letter; the default is the one of its training.
        max_tokens: Longer rows are refused, the 32 tokens of each video not counted.
        loaded: What became of the tensors of the checkpoint.
    """

    def __init__(
        self,
        base: nn.Module,
        module: PublishedModule,
        tokenizer,
        prompt: PromptConfig | None = None,
        max_tokens: int = 8192,
        loaded: LoadReport | None = None,
    ):
        if prompt is not None and prompt.reply != "letter":
            raise VlmError("the published model was trained to reply with letters; leave reply = letter")
        super().__init__(base, Inputs(tokenizer, base.config, prompt=prompt, max_tokens=max_tokens), None)
        self.module, self.loaded = module, loaded
        self._no_question = [i for i in map(tokenizer.convert_tokens_to_ids, NO_QUESTION) if i is not None]

    def forward(self, batch: Mapping, logits_to_keep: int = 0, **options) -> CausalLMOutputWithPast:
        """Logits (B, L, vocabulary) of the batch's own tokens, and the loss where it has labels.

        Args:
            batch: Of `inputs`; "encoded" in it (of `encode`) stands for its pixels.
            logits_to_keep: So many last logits alone. options: To the base.

        Raises:
            VlmError: the placeholders of videos or pictures do not fit to their number.
        """
        batch = self._here(batch)
        given, own = self._expanded(batch)
        logits = self.base(**given, logits_to_keep=logits_to_keep, **options).logits
        if not logits_to_keep:
            logits = logits.gather(1, own[..., None].expand(-1, -1, logits.shape[2]))
        loss = None
        if (labels := batch.get("labels")) is not None and not logits_to_keep:
            loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        return CausalLMOutputWithPast(loss=loss, logits=logits)

    @torch.no_grad()
    def generate(self, batch: Mapping, **options) -> Tensor:
        """New tokens (B x sequences, new); special tokens but the end are never said.

        Args:
            batch: Padded on the left. options: To `generate` of transformers; the likeliest word is taken unless they
                say otherwise.

        Raises:
            VlmError: rows are padded on the right, or as for `forward`.
        """
        batch = self._here(batch)
        if not bool(batch["attention_mask"][:, -1].all()):
            raise VlmError("a batch to generate from is padded on the left; make it with Inputs(…, side='left')")
        options = {"max_new_tokens": 64, "do_sample": False, **options}
        if not options["do_sample"]:
            options = {"temperature": None, "top_p": None, "top_k": None, **options}
        said = {"eos_token_id": self.end_ids, "pad_token_id": self.inputs.pad_id, "suppress_tokens": self.unsaid_ids}
        with self.evaluating():
            given, _ = self._expanded(batch)
            return self.base.generate(**given, **{**said, **options})

    def encode(self, batch: Mapping) -> PublishedEncoded:
        """What the frozen parts make of the batch's pictures, to be asked about many times."""
        visual, batch = super().encode(batch).visual, self._here(batch)
        if "pixel_values_videos" not in batch:
            return PublishedEncoded(visual)
        patches, grids = batch["pixel_values_videos"].to(self.module.q_former_queries.dtype), batch["video_grid_thw"]
        parts = patches.split(grids.prod(-1).tolist())
        with torch.no_grad():
            geometry = [self.module.geometry(part, grid) for part, grid in zip(parts, grids, strict=True)]
        return PublishedEncoded(visual, geometry=tuple(geometry))

    def save(self, folder: str | Path, whole: bool = False) -> None:
        """Raises VlmError: it is read from its own folder, and never written."""
        raise VlmError("the published checkpoint is read only; load it from its own folder")

    def merged(self) -> PublishedModel:
        """The model with its LoRA merged into the base; this one is used up, since they share the weights."""
        base = self.base.merge_and_unload() if hasattr(self.base, "merge_and_unload") else self.base
        inputs = self.inputs
        return PublishedModel(base, self.module, self.tokenizer, inputs.prompt, inputs.max_tokens, self.loaded)

    # --- what the language model is given

    def _expanded(self, batch: dict) -> tuple[dict[str, Tensor], Tensor]:
        """What the base is given: embeddings and positions with the selected tokens among them; and where the batch's
        own tokens stand there, (B, L)."""
        encoded = batch["encoded"] if batch.get("encoded") is not None else self.encode(batch)
        pictures, labels = _Pictures(batch, encoded), batch.get("labels")
        rows = []
        for i, there in enumerate(batch["attention_mask"].bool()):
            ids = batch["input_ids"][i, there]
            embeddings = self.base.get_input_embeddings()(ids)
            question = embeddings[self._asked(ids, None if labels is None else labels[i, there])]
            rows.append(self._row(ids, embeddings, question, pictures))
        pictures.check_all_used()
        return _padded(rows, batch["attention_mask"])

    def _row(self, ids: Tensor, embeddings: Tensor, question: Tensor, pictures: _Pictures):
        config = self.core.config
        kinds = (ids == config.image_token_id).int() + 2 * (ids == config.video_token_id).int()
        pieces, positions, own, condensed = [], [], [], None
        at = start = count = 0  # next text position, next token of the batch, tokens so far

        def put(tokens: Tensor, places: Tensor) -> None:
            nonlocal at, count
            pieces.append(tokens)
            positions.append(places + at)
            at, count = int(positions[-1].max()) + 1, count + len(tokens)

        for kind, run in groupby(kinds.tolist()):
            length = len(list(run))
            own.append(torch.arange(count, count + length, device=ids.device))
            if kind == 0:
                put(embeddings[start : start + length], _text_positions(length, ids.device))
            else:
                visual, geometry, grid, seconds = pictures.take(kind, length)
                steps = config.vision_config.tokens_per_second
                put(visual.to(embeddings), vision_positions(grid, seconds, self.module.merge, steps))
                if geometry is not None:
                    condensed = self.module.condensed(question) if condensed is None else condensed
                    chosen = self.module.selected(condensed, geometry, grid, seconds)
                    put(chosen.to(embeddings), _text_positions(len(chosen), ids.device))
            start += length
        return torch.cat(pieces), torch.cat(positions, dim=1), torch.cat(own)

    def _asked(self, ids: Tensor, labels: Tensor | None) -> Tensor:
        """(L,) which tokens are the question's: all but special ones, and in training but the answer's turn."""
        asked = ~torch.isin(ids, torch.tensor(self._no_question, device=ids.device))
        if labels is not None and bool((labels != -100).any()):
            asked[max(int((labels != -100).int().argmax()) - _HEADER_TOKENS, 0) :] = False
        return asked


class _Pictures:
    """Hands out what was made of pictures and videos in their order in the text."""

    def __init__(self, batch: Mapping[str, Tensor], encoded: PublishedEncoded):
        visual = {name: output.pooler_output for name, output in encoded.visual.items()}
        videos, seconds = visual.get("video", ()), batch.get("second_per_grid_ts")
        seconds = [1.0] * len(videos) if seconds is None else seconds.tolist()
        images = ((features, None, grid, 0.0) for features, grid in self._with(batch, "image", visual))
        both = zip(self._with(batch, "video", visual), encoded.geometry, seconds, strict=True)
        self._left = {1: [*images], 2: [(features, own, grid, step) for (features, grid), own, step in both]}

    @staticmethod
    def _with(batch, modality, visual):
        features = visual.get(modality, ())
        return zip(features, batch[f"{modality}_grid_thw"] if features else (), strict=True)

    def take(self, kind: int, length: int) -> tuple[Tensor, Tensor | None, Tensor, float]:
        """Visual tokens, 3-D tokens, grid and seconds of the next picture (kind 1) or video (2)."""
        name = "pictures" if kind == 1 else "videos"
        if not self._left[kind]:
            raise VlmError(f"the text has placeholders for more {name} than there are")
        found = self._left[kind].pop(0)
        if len(found[0]) != length:
            raise VlmError(f"{length} placeholders stand in the text for {len(found[0])} tokens of one of the {name}")
        return found

    def check_all_used(self) -> None:
        """Raises VlmError where the text has no place for some."""
        if left := sum(map(len, self._left.values())):
            raise VlmError(f"the text has no placeholders for {left} of the pictures and videos")


def _text_positions(count: int, device) -> Tensor:
    return torch.arange(count, device=device).expand(3, -1)


def _padded(rows: list[tuple[Tensor, Tensor, Tensor]], mask: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Rows of embeddings, positions and places of the batch's own tokens as one batch, padded on the left."""
    longest = max(len(embeddings) for embeddings, _, _ in rows)
    embeddings = rows[0][0].new_zeros(len(rows), longest, rows[0][0].shape[1])
    positions = mask.new_zeros(3, len(rows), longest)
    there, own = mask.new_zeros(len(rows), longest), torch.zeros_like(mask)
    for i, (row, places, mine) in enumerate(rows):
        filled = slice(longest - len(row), longest)
        embeddings[i, filled], positions[:, i, filled], there[i, filled] = row, places, 1
        own[i, mask[i].bool()] = mine + filled.start
    return {"inputs_embeds": embeddings, "attention_mask": there, "position_ids": positions}, own
