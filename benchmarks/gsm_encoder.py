"""What the frozen encoder of `pi3_encoder` costs a clip at its real size, and what reading its features costs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from gsm_operations import counted
from gsm_timing import timed
from transformers import Dinov2WithRegistersModel

from dsr_core.perception import networks
from dsr_core.vlm.pi3_encoder import Pi3Encoder, large_config
from dsr_core.vlm.sources import make_source
from dsr_core.vlm.values import Clip


def costs(args) -> dict[str, float]:
    """ "ms" a clip, "cached_ms" and "cached_mb" of its features from a file, and 10^12 "operations" where asked for."""
    cuda = args.device.startswith("cuda")
    width, height = (int(n) for n in args.size.split("x"))
    pictures = np.random.default_rng(0).integers(0, 256, (args.frames, height, width, 3), dtype=np.uint8)
    clip = Clip(list(pictures), np.arange(args.frames) * 0.25)
    source = make_source("pi3_encoder", {"patch": 16 if "qwen3" in args.model else 14})
    with torch.device(args.device):
        network = Dinov2WithRegistersModel(large_config())
    encoder = Pi3Encoder(network, args.device, networks.choose_dtype(args.dtype))
    _, high, wide = source.grid.patches(clip)
    out = {}
    if args.count:  # frames are looked at one by one
        out["operations"] = args.frames / 2 * counted(lambda: encoder(clip.frames[:2], (high, wide)))["Global"] / 1e12
    if not args.repeats:
        return out
    found = []
    run = max(2, args.repeats // 3)
    out["ms"], _ = timed(lambda: found.append(encoder(clip.frames, (high, wide))), run, args.seconds, cuda)
    features = found[-1].numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.npy"
        np.save(path, features)
        read, _ = timed(lambda: torch.from_numpy(np.load(path)).to(args.device), args.repeats, args.seconds, cuda)
    return out | {"cached_ms": read, "cached_mb": features.nbytes / 1e6}
