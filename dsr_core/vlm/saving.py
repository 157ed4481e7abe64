"""Checkpoints of a GeometryVLM: small ones that name their base, and whole ones.

FOLDER/geometry.json         what it is: geometry, prompt, sizes, base
FOLDER/geometry.safetensors  the geometry module (not in mode none)
FOLDER/adapter/              LoRA as peft keeps it, where the base has any
FOLDER/tokenizer/            the base's tokenizer
FOLDER/base/                 the base's weights, of a whole checkpoint
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from dsr_core.errors import DependencyError
from dsr_core.files import whole_folder
from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.prompts import PromptConfig
from dsr_core.vlm.qwen_video import QwenVideo, config_files
from dsr_core.vlm.state_dicts import read_state_dict, renamed, shapes_of
from dsr_core.vlm.values import VlmError

if TYPE_CHECKING:
    from dsr_core.vlm.model import GeometryVLM

FORMAT = 1
TOLD, WEIGHTS, ADAPTER, TOKENIZER, BASE = "geometry.json", "geometry.safetensors", "adapter", "tokenizer", "base"
_FIELDS = {"format", "geometry", "prompt", "max_tokens", "max_pixels", "video", "base", "adapter", "whole"}


def save(model: GeometryVLM, folder: str | Path, whole: bool = False) -> None:
    """Writes a checkpoint, whole or not at all; one that was there is replaced.

    Args:
        model: The model. folder: Where to.
        whole: Keep the base's weights, too. Needed where the base was trained other than through LoRA.
    """
    from safetensors.torch import save_file

    with whole_folder(folder) as made:
        core = model.core
        lora = core is not model.base
        if model.geometry is not None:
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.geometry.state_dict().items()}
            save_file(state, made / WEIGHTS)
        if lora:
            model.base.save_pretrained(made / ADAPTER)
        if whole and lora:
            _save_under_lora(model.base, made / BASE)
        elif whole:
            core.save_pretrained(made / BASE)
        model.tokenizer.save_pretrained(made / TOKENIZER)
        told = {
            "format": FORMAT,
            "geometry": model.config.to_dict(),
            "prompt": model.inputs.prompt.to_dict(),
            "max_tokens": model.inputs.max_tokens,
            "max_pixels": model.inputs.max_pixels,
            "video": asdict(model.inputs.video),
            "base": {"name": _name(core), **_kind(core.config)},
            "adapter": lora,
            "whole": whole,
        }
        (made / TOLD).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def load(
    path: str | Path,
    base: nn.Module | str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    attention: str = "sdpa",
    trainable: bool = False,
) -> GeometryVLM:
    """A model in evaluation mode.

    Args:
        path: A folder that `save` wrote; or a checkpoint of transformers (folder, or name in the hub's cache), which is
            loaded as it is, without geometry; or the published checkpoint of DSR Suite (`dsr_core.vlm.published`).
        base: In place of the base that the folder names: a model, or where one is.
        device: None takes the accelerator where there is one. dtype: Of the base; None is float32 on the CPU and
            bfloat16 elsewhere. The geometry module is float32 always.
        attention: The base's implementation of attention, "sdpa" or "eager" or "flash_attention_2".
        trainable: Whether LoRA goes on being trained.

    Raises:
        VlmError: it is not there, or not what it says; the message names it and the next step.
        DependencyError: a package is missing.
    """
    from dsr_core.vlm.model import GeometryVLM
    from dsr_core.vlm.published import is_published, load_published

    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
    folder = Path(path).expanduser()
    if not (folder / TOLD).is_file():
        if base is None and is_published(path):
            return load_published(path, str(device), dtype, attention)
        made = (
            base if isinstance(base, nn.Module) else _pretrained(str(path if base is None else base), dtype, attention)
        )
        return GeometryVLM.of(made.to(device), _tokenizer(str(path)), video=_video(str(path), made)).eval()
    told = _told(folder)
    if base is None:
        base = _base_of(folder, told)
    if not isinstance(base, nn.Module):
        base = _pretrained(str(base), dtype, attention)
    if _kind(base.config) != {key: told["base"].get(key) for key in ("type", "hidden", "words")}:
        raise VlmError(f"{folder} was made for a base {told['base']}, not {_name(base)!r}: {_kind(base.config)}")
    base = base.to(device)
    if told["adapter"]:
        base = _with_adapter(base, folder / ADAPTER, trainable)
    model = GeometryVLM.of(
        base,
        _tokenizer(str(folder / TOKENIZER)),
        GeometryConfig.from_dict(told["geometry"]),
        PromptConfig.from_dict(told["prompt"]),
        told["max_tokens"],
        told["max_pixels"],
        video=_made(QwenVideo, told["video"]),
    )
    if model.geometry is not None:
        _fill(model.geometry, folder / WEIGHTS)
    return model.eval()


# --- what stands in the folder


def _told(folder: Path) -> dict:
    try:
        told = json.loads((folder / TOLD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise VlmError(f"{folder / TOLD} is damaged: {error}") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        version = told.get("format") if isinstance(told, dict) else None
        raise VlmError(f"{folder / TOLD} has format {version!r}; this version reads {FORMAT}")
    if wrong := sorted(set(told) ^ _FIELDS):
        raise VlmError(f"{folder / TOLD} has other fields than this version knows: {', '.join(wrong)}")
    return told


def _base_of(folder: Path, told: Mapping) -> str:
    if told["whole"]:
        return str(folder / BASE)
    if not told["base"].get("name"):
        raise VlmError(f"{folder} names no base, which was made in memory; give base=, or save it with whole=True")
    return told["base"]["name"]


def _fill(module: nn.Module, path: Path) -> None:
    state, report = renamed(read_state_dict(path), lambda name: (name,), shapes_of(module))
    report.check(str(path))
    module.load_state_dict(state)


def _made(kind: type, told: Mapping):
    known = {f.name for f in fields(kind)}
    if set(told) != known:
        raise VlmError(f"{kind.__name__} has settings {', '.join(sorted(known))}, not {', '.join(sorted(told))}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in told.items()})


# --- LoRA


def _with_adapter(base: nn.Module, folder: Path, trainable: bool) -> nn.Module:
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise DependencyError(f"{folder} holds LoRA, which needs peft ({error}): pip install peft") from None
    path = folder / "adapter_model.safetensors"
    state = read_state_dict(path)
    try:
        made = PeftModel.from_pretrained(base, str(folder), is_trainable=trainable)
    except (OSError, ValueError, RuntimeError) as error:
        raise VlmError(f"the LoRA of {folder} does not fit the base: {' '.join(str(error).split())[:500]}") from error
    shapes = {name: tuple(tensor.shape) for name, tensor in get_peft_model_state_dict(made).items()}
    renamed(state, lambda name: (name,), shapes)[1].check(str(path))
    return made


def _save_under_lora(base: nn.Module, folder: Path) -> None:
    """The weights of the base as they were before LoRA was put beside them."""
    core = base.get_base_model()
    state = {}
    for name, tensor in core.state_dict().items():
        if ".lora_" not in name:
            state[name.replace(".base_layer.", ".")] = tensor
    core.save_pretrained(folder, state_dict=state)


# --- the base


def _name(base: nn.Module) -> str:
    name = getattr(base, "name_or_path", "") or ""
    return str(Path(name).resolve()) if name and Path(name).is_dir() else name


def _kind(config) -> dict:
    text = config.get_text_config()
    return {"type": config.model_type, "hidden": text.hidden_size, "words": text.vocab_size}


def _pretrained(path: str, dtype: torch.dtype, attention: str) -> nn.Module:
    from transformers import AutoModelForImageTextToText

    # transformers looks for LoRA of that name, too, and would ask the network for it
    here = {"local_files_only": True}
    return _from_here(
        AutoModelForImageTextToText, path, dtype=dtype, attn_implementation=attention, adapter_kwargs=here
    )


def _tokenizer(path: str):
    from transformers import AutoTokenizer

    return _from_here(AutoTokenizer, path)


def _video(path: str, base: nn.Module) -> QwenVideo | None:
    from dsr_core.vlm.qwen_video import TYPES

    if base.config.model_type not in TYPES:
        return None  # `Inputs` tells what is wrong
    from transformers.utils import cached_file

    def find(name: str):
        if Path(path).is_dir():
            return Path(path) / name if (Path(path) / name).is_file() else None
        return cached_file(path, name, local_files_only=True, _raise_exceptions_for_missing_entries=False)

    return QwenVideo.of(base.config, config_files(find))


def _from_here(what, path: str, **options):
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        return what.from_pretrained(path, local_files_only=True, **options)
    except (OSError, ValueError, ImportError, AttributeError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if isinstance(error, ImportError):
            raise DependencyError(f"{path} needs more than is installed: {said}") from error
        if Path(path).is_dir():
            raise VlmError(f"{path} is no checkpoint that transformers reads: {said}") from error
        raise VlmError(
            f"{path} is neither a folder nor in the cache of the hub; fetch it first: hf download {path} ({said})"
        ) from error
