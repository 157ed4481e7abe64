"""The encoder of pi3, which is VGGT's: a DINOv2 ViT-L/14 with registers (Oquab et al. 2024, Darcet et al. 2024).

Each frame is looked at alone. The network is `Dinov2WithRegistersModel` of transformers; weights come from a file of
pi3 (or VGGT, or DSR Suite), whose names are those of the DINOv2 repository, or from a folder of transformers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsr_core.perception import networks
from dsr_core.vlm.state_dicts import read_state_dict, renamed, shapes_of
from dsr_core.vlm.values import VlmError

log = logging.getLogger(__name__)

#: Features a head in every DINOv2, from ViT-S to ViT-g.
_HEAD = 64
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "register_tokens": "embeddings.register_tokens",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
_INSIDE = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.proj": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
#: Never read when nothing is masked, and left out of pi3's files.
UNUSED = ("embeddings.mask_token",)


def transformers_names(name: str) -> tuple[str, ...]:
    """Name of a tensor in the DINOv2 repository -> its names in transformers (three for q, k and v), () if unknown."""
    if name in _OUTSIDE:
        return (_OUTSIDE[name],)
    match = _BLOCK.fullmatch(name)
    if match is None:
        return ()
    layer, inner = f"encoder.layer.{match[1]}", match[2]
    if inner in ("ls1.gamma", "ls2.gamma"):
        return (f"{layer}.layer_scale{inner[2]}.lambda1",)
    part, _, kind = inner.rpartition(".")
    if kind not in ("weight", "bias"):
        return ()
    if part == "attn.qkv":
        return tuple(f"{layer}.attention.{one}_proj.{kind}" for one in "qkv")
    return (f"{layer}.{_INSIDE[part]}.{kind}",) if part in _INSIDE else ()


def encoder_prefix(names) -> str:
    """What stands before the encoder's names in a file: "encoder." in pi3's, "aggregator.patch_embed." in VGGT's.

    Raises:
        VlmError: there is no such encoder in the file, or more than one.
    """
    names = set(names)
    last = "register_tokens"
    found = [
        name.removesuffix(last)
        for name in names
        if name.endswith(last) and name.removesuffix(last) + "patch_embed.proj.weight" in names
    ]
    if len(found) != 1:
        raise VlmError(f"{len(found)} encoders with register tokens are in the file, among {len(names)} tensors")
    return found[0]


def config_of(state: Mapping[str, Tensor]):
    """The configuration that tensors under DINOv2's own names imply.

    Raises:
        VlmError: they are not those of a DINOv2 with an MLP.
    """
    from transformers import Dinov2WithRegistersConfig

    try:
        patch = state["patch_embed.proj.weight"]
        width, positions = patch.shape[0], state["pos_embed"].shape[1] - 1
        ratio, left_over = divmod(state["blocks.0.mlp.fc1.weight"].shape[0], width)
        registers = state["register_tokens"].shape[1]
    except KeyError as error:
        raise VlmError(f"the encoder has no tensor {error}; it is no DINOv2 with registers and an MLP") from None
    side = round(positions**0.5)
    if side**2 != positions or left_over or width % _HEAD:
        raise VlmError(f"an encoder of {width} features and {positions} positions is not one that is known here")
    return Dinov2WithRegistersConfig(
        hidden_size=width,
        num_hidden_layers=1 + max(int(m[1]) for m in map(_BLOCK.fullmatch, state) if m),
        num_attention_heads=width // _HEAD,
        mlp_ratio=ratio,
        image_size=side * patch.shape[2],
        patch_size=patch.shape[2],
        num_register_tokens=registers,
        layer_norm_eps=1e-6,
    )


def large_config():
    """The configuration that pi3 has: ViT-L/14, 24 layers, 4 registers, positions of 518 x 518 pixels."""
    from transformers import Dinov2WithRegistersConfig

    return Dinov2WithRegistersConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, mlp_ratio=4, image_size=518, patch_size=14
    )


def network_of(state: Mapping[str, Tensor], what: str) -> nn.Module:
    """The network of tensors under DINOv2's own names, in their type.

    Raises:
        VlmError: a tensor is missing, unexpected or of another shape; the message lists them.
    """
    from transformers import Dinov2WithRegistersModel

    config = config_of(state)
    with torch.device("meta"):
        shapes = shapes_of(Dinov2WithRegistersModel(config))
    own, report = renamed(state, transformers_names, shapes, optional=UNUSED)
    report.check(what)
    own.setdefault(UNUSED[0], torch.zeros(shapes[UNUSED[0]]))
    dtype = next(iter(own.values())).dtype
    return Dinov2WithRegistersModel.from_pretrained(None, config=config, state_dict=own, dtype=dtype).eval()


def load_network(weights: str | Path) -> nn.Module:
    """The encoder's network in float32.

    Args:
        weights: A file of pi3, VGGT or DSR Suite, a folder that holds one as `model.safetensors`, a folder of
            transformers (`model_type` dinov2_with_registers), or the hub's name of one of these ("yyfz233/Pi3").

    Raises:
        ModelError: the weights are not on this machine; the message names the command that fetches them.
        VlmError: they are not those of the encoder.
    """
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    folder = Path(weights).expanduser()
    if not folder.is_file():
        try:
            kind = Dinov2WithRegistersConfig.get_config_dict(str(weights), local_files_only=True)[0].get("model_type")
        except (OSError, ValueError):
            kind = None
        if kind == "dinov2_with_registers":
            return networks.load_pretrained(Dinov2WithRegistersModel, weights, dtype=torch.float32).eval()
    path = networks.weight_file(weights, "model.safetensors")
    state = read_state_dict(path)
    prefix = encoder_prefix(state)
    own = {name.removeprefix(prefix): tensor.float() for name, tensor in state.items() if name.startswith(prefix)}
    network = network_of(own, f"{path} ({prefix}*)")
    log.info("encoder of %s, %.1f M parameters", path, sum(p.numel() for p in network.parameters()) / 1e6)
    return network


def patch_features(network: nn.Module, pictures: Tensor, batch: int = 8) -> Tensor:
    """The encoder's normalised patch tokens ("x_norm_patchtokens").

    Args:
        network: Of `load_network`. pictures: (N, 3, H, W), normalised by ImageNet's mean and deviation, H and W whole
            patches. batch: Pictures at once, which bounds the memory.

    Returns:
        (N, H / patch, W / patch, C) in the network's type.
    """
    patch, skipped = network.config.patch_size, 1 + network.config.num_register_tokens
    high, wide = pictures.shape[2] // patch, pictures.shape[3] // patch
    parts = [network(pixel_values=part).last_hidden_state[:, skipped:] for part in pictures.split(batch)]
    return torch.cat(parts).view(len(pictures), high, wide, -1)


def merged(features: Tensor, temporal: int = 2, merge: int = 2) -> Tensor:
    """Patch features (N, h, w, C) -> (N / temporal * h / merge * w / merge, temporal * merge^2 * C).

    A token holds `merge` x `merge` patches of `temporal` frames, one after another by frame, row and column, and tokens
    are in the order of Qwen's visual tokens: by time, row and column (DSR Suite, section 3).
    """
    count, high, wide, width = features.shape
    cells = features.view(count // temporal, temporal, high // merge, merge, wide // merge, merge, width)
    return cells.permute(0, 2, 4, 1, 3, 5, 6).reshape(-1, temporal * merge**2 * width)


class Pi3Encoder(nn.Module):
    """Frames -> geometry tokens of the frozen encoder, one for each visual token of Qwen.

    Args:
        network: Of `load_network`. device, dtype: Where and in which type it runs. batch: Frames at once.
    """

    def __init__(self, network: nn.Module, device: str = "cpu", dtype: torch.dtype = torch.float32, batch: int = 8):
        if batch < 1:
            raise VlmError(f"batch = {batch} frames must be at least 1")
        super().__init__()
        self.network = network.to(device, dtype).eval().requires_grad_(False)
        self.device, self.dtype, self.batch = device, dtype, batch

    @property
    def width(self) -> int:
        """C, features a patch."""
        return self.network.config.hidden_size

    @torch.inference_mode()
    def forward(self, frames: Sequence[np.ndarray], grid: tuple[int, int], temporal: int = 2, merge: int = 2) -> Tensor:
        """Tokens (T / temporal * h / merge * w / merge, temporal * merge^2 * C) float32 on the CPU.

        Args:
            frames: T pictures (H, W, 3) uint8; the last is repeated up to a multiple of `temporal`, as Qwen does.
            grid: (h, w) patches of Qwen a frame; each frame is resized so that the encoder has as many.
        """
        size = tuple(self.network.config.patch_size * n for n in grid)
        features = []
        for start in range(0, len(frames), self.batch):
            chosen = torch.from_numpy(np.stack(frames[start : start + self.batch])).permute(0, 3, 1, 2)
            if tuple(chosen.shape[2:]) != size:
                chosen = F.interpolate(chosen, size, mode="bicubic", antialias=True, align_corners=False)
            pictures = networks.normalise(chosen.to(self.device)).to(self.dtype)
            features.append(patch_features(self.network, pictures, self.batch).float().cpu())
        features = torch.cat(features)
        if pad := -len(features) % temporal:
            features = torch.cat([features, features[-1:].expand(pad, -1, -1, -1)])
        return merged(features, temporal, merge)
