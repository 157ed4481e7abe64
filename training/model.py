"""What is trained: the model of a configuration, its parameters in groups, and their state by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from dsr_core.vlm.model import GeometryVLM
from training.config import BaseConfig, OptimizerConfig, TrainConfig
from training.settings import TrainingError


def make_model(config: TrainConfig) -> GeometryVLM:
    """The model of a configuration on the CPU, before it is trained; its fresh weights follow the seed.

    Raises:
        DsrError: the base is not here, or does not fit the settings.
    """
    weights = torch.float32 if config.trains == "full" else getattr(torch, config.dtype)
    geometry = None if config.blind else config.geometry
    torch.manual_seed(config.seed)
    if isinstance(config.base, BaseConfig):
        (base, tokenizer), video = _random_base(config, weights), None
    else:
        found = GeometryVLM.load(
            config.base, device="cpu", dtype=weights, attention=config.attention, trainable=config.trains == "lora"
        )
        if found.geometry is not None:
            if geometry != found.config:
                raise TrainingError(
                    f"{config.base} has geometry of its own; to go on with it, give its settings: {found.config}"
                )
            return _prompted(found, config)
        base, tokenizer, video = found.base, found.tokenizer, found.inputs.video
    torch.manual_seed(config.seed)
    more = {"video": video} if config.frames is None else {"video": video, "max_pixels": config.frames.max_pixels}
    return GeometryVLM.of(base, tokenizer, geometry, config.prompt, config.max_tokens, **more)


def set_trained(model: GeometryVLM, config: TrainConfig) -> None:
    """Says which parameters are trained; LoRA is put beside those that the settings name."""
    lora = config.trains == "lora"
    if lora and not hasattr(model.base, "peft_config"):
        torch.manual_seed(config.seed)
        model.add_lora(config.lora.rank, config.lora.alpha, config.lora.dropout, config.lora.layers)
    if not lora:
        for name, parameter in model.base.named_parameters():
            # As DSR Suite trains: of the vision tower its mergers alone.
            seen = ".visual." in f".{name}" and "merger" not in name
            parameter.requires_grad_(config.trains == "full" and (config.vision or not seen))
    if model.geometry is not None:
        model.geometry.requires_grad_(True)
    if config.gradient_checkpointing:
        model.checkpoint_gradients()


def groups(model: nn.Module, config: OptimizerConfig) -> list[dict]:
    """Parameter groups, each with its highest rate as "peak": base and geometry, matrices with decay and the rest."""
    out = []
    for name, peak in (("base", config.lr), ("geometry", config.geometry_lr)):
        trained = [p for n, p in model.named_parameters() if p.requires_grad and _part(n) == name]
        for decays in (True, False):
            some = [p for p in trained if (p.ndim >= 2) is decays]
            decay = config.weight_decay if decays else 0.0
            if some:
                out.append({"params": some, "name": name, "peak": peak, "lr": peak, "weight_decay": decay})
    if not out:
        raise TrainingError("nothing is trained; see trains, geometry.mode and blind")
    return out


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """What is trained, by name, on the CPU; of a sharded model every process must ask, and gets all of it."""
    return {name: _whole(p) for name, p in _trained(model)}


def set_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts back what `weights_of` gave.

    Raises:
        TrainingError: it is of another model.
    """
    trained = dict(_trained(model))
    if set(trained) != set(weights) or any(trained[n].shape != weights[n].shape for n in trained):
        raise TrainingError("the checkpoint is of another model; give another out, or begin anew with resume=false")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(_like(weights[name], parameter))


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """The optimiser's tensors by the names of their parameters; as for `weights_of`."""
    told = {name: optimizer.state.get(p, {}) for name, p in _trained(model)}
    return {name: {k: _whole(v) for k, v in state.items()} for name, state in told.items()}


def set_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer, told: Mapping) -> None:
    """Puts back what `optimizer_state` gave."""
    for name, parameter in _trained(model):
        optimizer.state[parameter] = {
            # AdamW counts its steps on the CPU, wherever the parameter is.
            key: value.clone() if key == "step" else _like(value, parameter).clone()
            for key, value in told[name].items()
        }


def _random_base(config: TrainConfig, dtype: torch.dtype):
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

    told = dict(config.base.config)
    kind = told.pop("model_type", None)
    if kind is None:
        raise TrainingError("base.config lacks model_type, such as qwen2_5_vl")
    made = AutoConfig.for_model(kind, **told)
    base = AutoModelForImageTextToText.from_config(made, dtype=dtype, attn_implementation=config.attention)
    return base, AutoTokenizer.from_pretrained(config.base.tokenizer, local_files_only=True)


def _prompted(model: GeometryVLM, config: TrainConfig) -> GeometryVLM:
    model.inputs.prompt, model.inputs.max_tokens = config.prompt, config.max_tokens
    return model


def _part(name: str) -> str:
    return "geometry" if name.removeprefix("module.").startswith("geometry.") else "base"


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters that are trained, by name; of a sharded model the shards, which the optimiser knows."""
    # After an evaluation some still lie whole.
    for module in model.modules():
        if hasattr(module, "reshard"):
            module.reshard()
    return [(n.removeprefix("module."), p) for n, p in model.named_parameters() if p.requires_grad]


def _whole(value: Tensor) -> Tensor:
    value = value.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu().contiguous().clone()


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """A value where and how a parameter lies."""
    if isinstance(parameter, DTensor):
        return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
    return value.to(parameter.device)
