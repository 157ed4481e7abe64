"""Loads the published checkpoint of DSR Suite; every tensor of the file is accounted for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    Dinov2WithRegistersModel,
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from dsr_core.errors import ModelError
from dsr_core.perception import networks
from dsr_core.vlm.pi3_encoder import UNUSED, config_of, transformers_names
from dsr_core.vlm.prompts import PromptConfig
from dsr_core.vlm.published_model import PublishedModel
from dsr_core.vlm.published_module import PublishedModule
from dsr_core.vlm.state_dicts import read_state_dict, renamed, shapes_of
from dsr_core.vlm.values import VlmError

log = logging.getLogger(__name__)

HUB_ID = "TencentARC/DSR_Suite-Model"
#: Queries of the published checkpoint, where the file does not tell.
_QUERIES = 32


def targets(name: str) -> tuple[str, ...]:
    """Name of a tensor in the checkpoint -> "part:name" of its places, the part being base, encoder or module.

    Both the names that transformers 4 wrote are known (`model.*`, `visual.*`) and those of 5 (`model.language_model.*`,
    `model.visual.*`). () for a name that is neither.
    """
    inner = name.removeprefix("model.")
    if inner.startswith("visual.spatial_encoder."):
        return tuple(f"encoder:{own}" for own in transformers_names(inner.removeprefix("visual.spatial_encoder.")))
    if inner.startswith(("visual.spatial_merger.", "visual.q_former_")):
        return (f"module:{inner.removeprefix('visual.')}",)
    if inner.startswith(("visual.", "language_model.")):
        return (f"base:model.{inner}",)
    if name == "lm_head.weight":
        return (f"base:{name}",)
    return (f"base:model.language_model.{inner}",) if name.startswith("model.") else ()


def is_published(path: str | Path) -> bool:
    """Whether a folder, or a checkpoint of the hub's cache, is one of DSR Suite, by its configuration."""
    try:
        told = _told(networks.weight_file(path, "config.json"))
    except (ModelError, VlmError):
        return False
    made = " ".join(told.get("architectures") or ())
    return "config_all" in (told.get("vision_config") or {}) or "VLForConditionalGeneration_Spatial" in made


def load_published(
    path: str | Path = HUB_ID,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    attention: str = "sdpa",
    tokenizer=None,
    prompt: PromptConfig | None = None,
) -> PublishedModel:
    """The published checkpoint, ready to answer.

    Args:
        path: Its folder, or its name in the hub's cache.
        device: "cuda", "cpu", …; None takes the first GPU where there is one.
        dtype: Of the weights; None: bfloat16 on a GPU, else float32.
        attention: Of the language model and of the vision tower, as transformers names them.
        tokenizer: Where the folder has none. prompt: The words around a question.

    Raises:
        ModelError: the checkpoint is not on this machine; the message names the command that fetches it.
        VlmError: a tensor of the file has no place, or a place has no tensor, or a shape differs; they are listed.
    """
    folder = networks.weight_file(path, "config.json").parent
    device = networks.choose_device(device)
    dtype = dtype or (torch.float32 if device == "cpu" else torch.bfloat16)
    config = _config(_told(folder / "config.json"))
    parts, encoder_config, report = _parts(read_state_dict(folder), config, str(path))
    parts = {part: {name: tensor.to(dtype) for name, tensor in state.items()} for part, state in parts.items()}
    base = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=parts["base"], dtype=dtype, attn_implementation=attention
    )
    if (folder / "generation_config.json").is_file():
        base.generation_config = GenerationConfig.from_pretrained(folder)
    encoder = Dinov2WithRegistersModel.from_pretrained(
        None, config=encoder_config, state_dict=parts["encoder"], dtype=dtype
    )
    module = _empty_module(config, encoder_config.hidden_size, len(parts["module"]["q_former_queries"]))
    module.load_state_dict(parts["module"], assign=True)
    module.spatial_encoder = encoder
    tokenizer = tokenizer or networks.load_pretrained(AutoTokenizer, folder)
    model = PublishedModel(base.to(device), module.to(device), tokenizer, prompt, loaded=report)
    log.info("%s: %s", path, report)
    return model.requires_grad_(False).eval()


def _parts(state: Mapping[str, Tensor], config, what: str):
    """Tensors of a checkpoint by part, the encoder's configuration, and the report, which is complete."""
    inside = ("visual.spatial_encoder.", "model.visual.spatial_encoder.")
    of_encoder = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        for prefix in inside
        if name.startswith(prefix)
    }
    encoder_config = config_of(of_encoder)
    queries = next(
        (len(tensor) for name, tensor in state.items() if name.endswith("visual.q_former_queries")), _QUERIES
    )
    with torch.device("meta"):
        made = {
            "base": Qwen2_5_VLForConditionalGeneration(config),
            "encoder": Dinov2WithRegistersModel(encoder_config),
            "module": _empty_module(config, encoder_config.hidden_size, queries),
        }
    shapes = {f"{part}:{name}": shape for part, module in made.items() for name, shape in shapes_of(module).items()}
    optional = [f"encoder:{name}" for name in UNUSED]
    if config.tie_word_embeddings:
        optional.append("base:lm_head.weight")
    named, report = renamed(state, targets, shapes, optional)
    report.check(what)
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in made}
    for name, tensor in named.items():
        part, _, own = name.partition(":")
        parts[part][own] = tensor
    for name in UNUSED:
        parts["encoder"].setdefault(name, torch.zeros(shapes[f"encoder:{name}"]))
    return parts, encoder_config, report


def _empty_module(config, features: int, queries: int) -> PublishedModule:
    """The module without its encoder and without memory."""
    with torch.device("meta"):
        return PublishedModule(None, features, queries, config.text_config, config.vision_config)


def _told(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise VlmError(f"{path} is no JSON: {error}") from None


def _config(told: dict) -> Qwen2_5_VLConfig:
    """The configuration of the base: what the original adds to it is a copy of all of it within itself.

    Raises:
        VlmError: it is of another model.
    """
    if told.get("model_type") != "qwen2_5_vl":
        raise VlmError(f"the configuration is of a {told.get('model_type')!r}; DSR Suite's is of a qwen2_5_vl")
    vision = {name: value for name, value in (told.get("vision_config") or {}).items() if name != "config_all"}
    config = Qwen2_5_VLConfig.from_dict({**told, "vision_config": vision})
    text = config.text_config
    if not text.rope_parameters.get("mrope_section"):
        raise VlmError("the configuration has no mrope_section, by which positions of videos are turned")
    return config
