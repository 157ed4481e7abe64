"""GeometryVLM: a Qwen-VL of transformers as it is, and beside it a geometry module.

The base is not subclassed. It gets its own inputs; what geometry changes is put where the base looks anyway: in place
of the embeddings of placeholders (`gsm`, `concat`), or of what its vision tower found (`add`, `gated`). Without
geometry the base computes what it always has, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.encoded import PIXELS, Encoded
from dsr_core.vlm.inputs import MAX_PIXELS, Inputs
from dsr_core.vlm.module import GeometryModule
from dsr_core.vlm.prompts import PromptConfig
from dsr_core.vlm.qwen_video import QwenVideo
from dsr_core.vlm.sources import GeometrySource, make_sources
from dsr_core.vlm.standing import standing_in
from dsr_core.vlm.values import Asked, VlmError

#: Linear layers of the language model that LoRA may train, by short names.
LORA_LAYERS = ("q", "k", "v", "o", "gate", "up", "down")
#: Keys of a batch that are the base's own.
_OWN = (
    "input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw", "pixel_values_videos",
    "video_grid_thw", "second_per_grid_ts",
)  # fmt: skip
_VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|vision_pad|>")


class GeometryVLM(nn.Module):
    """A vision-language model that sees geometry.

    Attributes:
        base: The model of transformers, or a PeftModel around it.
        geometry: What is trained besides it, float32; None in mode none.
        config: How geometry comes in. inputs: Makes batches (an `Inputs`).
    """

    def __init__(self, base: nn.Module, inputs: Inputs, geometry: GeometryModule | None):
        super().__init__()
        self.base, self.inputs, self.geometry = base, inputs, geometry
        self.config, self.tokenizer, self.sources = inputs.config, inputs.tokenizer, inputs.sources

    @classmethod
    def of(
        cls,
        base: nn.Module,
        tokenizer,
        config: GeometryConfig | None = None,
        prompt: PromptConfig | None = None,
        max_tokens: int = 8192,
        max_pixels: int = MAX_PIXELS,
        sources: Mapping[str, GeometrySource] | None = None,
        video: QwenVideo | None = None,
    ) -> GeometryVLM:
        """A base with a fresh geometry module, whose weights torch's generator draws.

        Args:
            base: The model of transformers, or a PeftModel around it. tokenizer: Its tokenizer.
            config: How geometry comes in; None: not at all.
            prompt, max_tokens, max_pixels, video: As for `Inputs`.
            sources: Geometry sources by name; None makes those of `config`.

        Raises:
            VlmError: these do not fit together.
        """
        config = config or GeometryConfig(mode="none")
        if config.mode == "none":
            sources = {}
        elif sources is None:
            sources = make_sources(config.sources)
        inputs = Inputs(tokenizer, base.config, config, sources, prompt, max_tokens, max_pixels, video)
        geometry = None
        if config.mode != "none":
            hidden = base.config.get_text_config().hidden_size
            geometry = GeometryModule(config, hidden, sources).to(base.get_input_embeddings().weight.device)
        return cls(base, inputs, geometry)

    @classmethod
    def load(cls, path: str | Path, base=None, device=None, dtype=None, attention="sdpa", trainable=False):
        """A folder that `save` wrote, or a plain checkpoint of transformers: see `dsr_core.vlm.saving.load`."""
        from dsr_core.vlm.saving import load

        return load(path, base, device, dtype, attention, trainable)

    def save(self, folder: str | Path, whole: bool = False) -> None:
        """Writes the folder, whole or not at all: see `dsr_core.vlm.saving.save`."""
        from dsr_core.vlm.saving import save

        save(self, folder, whole)

    # --- what it computes

    def forward(self, batch: Mapping, **options):
        """The base's output for a batch of `Inputs`: logits, and the loss where the batch has labels.

        The only way in for training: every trainable parameter takes part in every loss, those that the batch has no
        use for with weight zero, so that processes that train together never wait for each other's gradients.

        Args:
            batch: As `Inputs` makes it, on any device; "encoded" in it (an `Encoded`) stands for its pixels.
            options: To the base, such as `logits_to_keep`. Without that one, a batch with labels gets logits from where
                its first reply begins: a vocabulary of numbers for each visual token would fill gigabytes for nothing.
        """
        batch = self._here(batch)
        if self.training:
            options = {"use_cache": False, **options}
        if "labels" in batch:
            options = _with_labels(batch["labels"], options)
        with self._given(batch) as own:
            output = self.base(**own, **options)
        if output.loss is not None and torch.is_grad_enabled():
            for parameter in self._idle(batch):
                output.loss = output.loss + 0.0 * parameter.sum().to(output.loss.dtype)
        return output

    @torch.no_grad()
    def generate(self, batch: Mapping, **options) -> Tensor:
        """Token ids that are said to each row, (B x sequences, new); special tokens but the end are never said.

        Args:
            batch: Padded on the left. options: To `generate` of transformers; the likeliest word is taken unless they
                say otherwise.
        """
        batch = self._here(batch)
        if not bool(batch["attention_mask"][:, -1].all()):
            raise VlmError("a batch to generate from is padded on the left; make it with Inputs(…, side='left')")
        options = {"max_new_tokens": 64, "do_sample": False, **options}
        if not options["do_sample"]:
            options = {"temperature": None, "top_p": None, "top_k": None, **options}
        options.setdefault("eos_token_id", self.end_ids)
        options.setdefault("pad_token_id", self.inputs.pad_id)
        options.setdefault("suppress_tokens", self.unsaid_ids)
        with self.evaluating(), self._given(batch) as own:
            ids = self.base.generate(**own, **options)
        return ids[:, batch["input_ids"].shape[1] :] if isinstance(ids, Tensor) else ids

    def encode(self, batch: Mapping) -> Encoded:
        """What does not depend on the questions of a batch, to be asked about many times.

        Put it in a batch of other questions about the same pictures as "encoded"; those may be made with
        `inputs(…, pixels=False)`.
        """
        batch, tower, visual, tokens = self._here(batch), self.core.model.visual, {}, {}
        learns = torch.is_grad_enabled() and any(p.requires_grad for p in tower.parameters())
        with torch.set_grad_enabled(learns):
            for modality, names in PIXELS.items():
                if names[0] in batch:
                    features = getattr(self.core.model, f"get_{modality}_features")
                    visual[modality] = features(*(batch[name] for name in names), return_dict=True)
        for name, source in self.sources.items():
            if name in batch.get("geometry", {}) and source.looks_at == "clip":
                tokens[name] = self._encoded_tokens(name, batch["geometry"][name])
        return Encoded(visual, tokens)

    # --- what it is

    @property
    def core(self) -> nn.Module:
        """The model of transformers itself, without peft around it."""
        return self.base.get_base_model() if hasattr(self.base, "get_base_model") else self.base

    @property
    def device(self) -> torch.device:
        """Where its inputs go."""
        return self.base.get_input_embeddings().weight.device

    @property
    def end_ids(self) -> list[int]:
        """Tokens that end a reply."""
        told = getattr(self.base.generation_config, "eos_token_id", None)
        told = [] if told is None else [told] if isinstance(told, int) else list(told)
        return sorted({*told, self.inputs.end_id})

    @property
    def unsaid_ids(self) -> list[int]:
        """Tokens that are never said: all special ones but the end."""
        vision = self.tokenizer.convert_tokens_to_ids(list(_VISION_TOKENS))
        special = {*self.tokenizer.all_special_ids, *vision, self.inputs.image_id, self.inputs.video_id}
        special |= {self.inputs.placeholder_id, self.tokenizer.unk_token_id}
        return sorted(i for i in special - {None} - set(self.end_ids) if i >= 0)

    def add_lora(
        self, rank: int = 16, alpha: float = 32.0, dropout: float = 0.0, layers: Sequence[str] = LORA_LAYERS
    ) -> None:
        """Freezes the base and puts LoRA beside linear layers of its language model.

        Raises:
            VlmError: there is no such layer, or the base has LoRA already.
        """
        from peft import LoraConfig, PeftModel, get_peft_model

        if isinstance(self.base, PeftModel):
            raise VlmError("the base has LoRA already; merge it first (`merged`)")
        if unknown := sorted(set(layers) - set(LORA_LAYERS)):
            raise VlmError(f"LoRA on {', '.join(unknown)}? known layers: {', '.join(LORA_LAYERS)}")
        names = "|".join(f"{layer}_proj" for layer in layers)
        self.base = get_peft_model(
            self.base,
            LoraConfig(
                r=rank,
                lora_alpha=alpha,
                lora_dropout=dropout,
                target_modules=rf".*language_model\..*\.({names})",
                task_type="CAUSAL_LM",
            ),
        )

    def merged(self) -> GeometryVLM:
        """The model with its LoRA merged into the base; this one is used up, since they share the weights."""
        base = self.base.merge_and_unload() if hasattr(self.base, "merge_and_unload") else self.base
        return GeometryVLM(base, self.inputs, self.geometry)

    def checkpoint_gradients(self) -> None:
        """Compute the base's layers anew in the backward pass: less memory, the same gradients."""
        name = "activation_checkpointing_enable"  # earlier versions of transformers have the other name alone
        getattr(self.core, name, self.core.gradient_checkpointing_enable)({"use_reentrant": False})

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode for as long as it lasts."""
        learning = [module for module in self.modules() if module.training]
        self.eval()
        try:
            yield
        finally:
            for module in learning:
                module.training = True

    @torch.no_grad()
    def change_at_start(self, asked: Sequence[Asked]) -> float:
        """Largest change that geometry makes to a logit where the reply begins."""
        bare = [Asked(a.question, a.options, a.clips, a.images, key=a.key) for a in asked]
        with self.evaluating():
            with_it, without = (self(self.inputs(rows), logits_to_keep=1).logits for rows in (asked, bare))
        return float((with_it - without).abs().max())

    # --- how geometry comes in

    def _here(self, batch: Mapping) -> dict:
        return {key: _moved(value, self.device) for key, value in batch.items()}

    def _embed(self, ids: Tensor) -> Tensor:
        return self.base.get_input_embeddings()(ids).float()

    def _encoded_tokens(self, name: str, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, enabled=False):
            return self.geometry.tokens({name: batch}, self._embed)

    @contextmanager
    def _given(self, batch: dict) -> Iterator[dict]:
        """What the base is given, for as long as geometry stands in its place."""
        own, encoded = {key: batch[key] for key in _OWN if key in batch}, batch.get("encoded")
        if encoded is not None:
            own = {key: value for key, value in own.items() if not key.startswith("pixel")}
            own["mm_encoder_outputs"] = encoded.copied()
        if self.geometry is None or not batch.get("geometry"):
            yield own
            return
        known = {} if encoded is None else encoded.tokens
        parts = [known[n] if n in known else self._encoded_tokens(n, b) for n, b in batch["geometry"].items()]
        tokens, mask = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        seen = (self._embed(batch["question_ids"]), batch["question_mask"], tokens, mask)
        if self.config.inserts:
            with torch.autocast(self.device.type, enabled=False):
                made = self.geometry.inserted(*seen)
            there = mask if self.config.mode == "concat" else mask.any(1)[:, None].expand(made.shape[:2])
            with standing_in(self.base.get_input_embeddings(), self.inputs.placeholder_id, made, there):
                yield own
            return
        if encoded is None and not any(names[0] in own for names in PIXELS.values()):
            yield own  # nothing is shown that geometry could be fused with
            return
        encoded = self.encode({**batch, "geometry": {}}) if encoded is None else encoded  # tokens are there
        own = {key: value for key, value in own.items() if not key.startswith("pixel")}
        yield {**own, "mm_encoder_outputs": self._fused(batch["input_ids"], encoded, seen)}

    def _fused(self, ids: Tensor, encoded: Encoded, seen: tuple) -> dict:
        """The vision tower's outputs with geometry in their tokens. What it gives to deeper layers (Qwen3-VL) stays."""
        outputs, marks = encoded.copied(), {"image": self.inputs.image_id, "video": self.inputs.video_id}
        if not outputs:
            return outputs
        visual = torch.cat([torch.cat(tuple(output.pooler_output)) for output in outputs.values()])
        rows = torch.cat([(ids == marks[modality]).nonzero()[:, 0] for modality in outputs])
        if len(rows) != len(visual):
            raise VlmError(f"{len(visual)} visual tokens for {len(rows)} places in the text; encoded for other clips?")
        order = rows.argsort(stable=True)
        with torch.autocast(self.device.type, enabled=False):
            fused = self.geometry.fused(visual[order].float(), rows[order], *seen)
        fused = fused[order.argsort()].to(visual.dtype)
        sizes = [len(part) for output in outputs.values() for part in output.pooler_output]
        parts = iter(fused.split(sizes))
        for output in outputs.values():
            output.pooler_output = tuple(next(parts) for _ in output.pooler_output)
        return outputs

    def _idle(self, batch: dict) -> list[nn.Parameter]:
        """Trainable parameters that a batch has no use for."""
        shown = batch.get("encoded") is None and any(names[0] in batch for names in PIXELS.values())
        idle = [] if shown else list(self.core.model.visual.parameters())
        if self.geometry is not None:
            geometry = batch.get("geometry") or {}
            if not geometry or not (self.config.inserts or shown or batch.get("encoded") is not None):
                idle += self.geometry.parameters()
            else:
                for name in set(self.sources) - set(geometry):
                    idle += [*self.geometry.encoders[name].parameters(), self.geometry.kinds[name]]
        return [p for p in idle if p.requires_grad]


def _with_labels(labels: Tensor, options: dict) -> dict:
    """Options of the base with labels, and with logits from the word before the first that is to be said."""
    said = (labels != -100).any(0).nonzero()
    if "logits_to_keep" in options or not len(said):
        return {**options, "labels": labels}
    kept = labels.shape[1] - max(int(said[0]) - 1, 0)
    return {**options, "labels": labels[:, -kept:], "logits_to_keep": kept}


def _moved(value, device: torch.device):
    if isinstance(value, Mapping):
        return {key: _moved(part, device) for key, part in value.items()}
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
