"""Time and memory of each network backend at its real size, with random weights: no weights are needed.

    python benchmarks/networks.py [--only NAME ...] [--frames N] [--device cpu|cuda] [--dtype float32|bfloat16]

Speed does not depend on the weights but for the number of things that SAM 2 follows, which `--things` sets. Prints
the parameters, milliseconds a frame (median after one warm-up), frames a second and the peak of memory (of the GPU, or
of the process, in which each network runs alone). SAM 3 takes more than 4 GB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time

import numpy as np

from dsr_core.perception import networks
from dsr_core.values import Detection

IMAGE_HW = (480, 640)
NAMES = ["person", "forklift", "chair", "box"]


class FixedDetector:
    """Finds the same boxes in every image, to give SAM 2 a known number of things."""

    def __init__(self, things: int):
        corners = np.random.default_rng(0).uniform([0, 0], [560, 400], (things, 2))
        self.found = tuple(Detection("box", 0.9, np.concatenate([c, c + 70])) for c in corners)

    def detect(self, rgb):
        return self.found


class Words:
    """A tokenizer with the ids by which GroundingDINO tells names apart; speed does not depend on the words."""

    def convert_tokens_to_ids(self, token: str) -> int:
        return {"[CLS]": 101, "[SEP]": 102, ".": 1012}[token]

    def __call__(self, text: str, max_length: int = 0, return_tensors: str | None = None, **_):
        import transformers

        ids = [2000 + sum(map(ord, word)) % 1000 for word in text.split()]
        if return_tensors is None:
            return {"input_ids": ids}
        torch = networks.import_torch()
        row = torch.zeros(1, max_length, dtype=torch.long)
        row[0, : len(ids)] = torch.tensor(ids)
        return transformers.BatchEncoding({"input_ids": row, "attention_mask": (row > 0).long()})


def grounding_dino(args):
    """GroundingDINO Swin-T."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    from dsr_core.perception.detect.grounding_dino import GroundingDino

    swin = SwinConfig(
        image_size=224,
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        out_features=["stage2", "stage3", "stage4"],
    )
    model = GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=swin, disable_custom_kernels=True))
    detector = GroundingDino(model, Words(), NAMES, device=args.device)
    return model, detector.detect


def sam2(args):
    """SAM 2.1 Hiera-L in streaming mode."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    from dsr_core.perception.segment.identities import IdentityConfig
    from dsr_core.perception.segment.sam2_video import Sam2Config, Sam2VideoSegmenter

    hiera_large = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 144,
        "num_attention_heads": 2,
        "blocks_per_stage": [2, 6, 36, 4],
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "window_size_per_stage": [8, 4, 16, 8],
        "global_attention_blocks": [23, 33, 43],
        "window_positional_embedding_background_size": [7, 7],
    }
    config = Sam2VideoConfig(
        vision_config={"backbone_config": hiera_large, "backbone_channel_list": [1152, 576, 288, 144]}
    )
    model = Sam2VideoModel(config).to(networks.choose_dtype(args.dtype))
    endless = IdentityConfig(max_same_masks=1.0, max_missed_detections=10**6, max_lost_frames=10**6)
    settings = Sam2Config(interval=10**6, identities=endless)
    segmenter = Sam2VideoSegmenter(model, FixedDetector(args.things), settings, args.device)
    return model, segmenter.step


def sam3(args):
    """SAM 3 video by text."""
    from transformers import Sam3VideoConfig, Sam3VideoModel

    from dsr_core.perception.segment.sam3_video import Sam3VideoSegmenter

    model = Sam3VideoModel(Sam3VideoConfig()).to(networks.choose_dtype(args.dtype))
    segmenter = Sam3VideoSegmenter(model, Words(), NAMES[:1], device=args.device)
    return model, segmenter.step


def orient_anything(args):
    """DINOv2-L and its head, four cut-outs a frame."""
    from transformers import Dinov2Config, Dinov2Model

    from dsr_core.perception.orientation.orient_anything import OrientAnything, make_network

    large = Dinov2Config(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, image_size=518)
    network = make_network(Dinov2Model(large)).to(networks.choose_dtype(args.dtype))
    estimator = OrientAnything(network, device=args.device)
    things = FixedDetector(4).found
    return network, lambda rgb: estimator.estimate(rgb, things)


BACKENDS = {f.__name__: f for f in (grounding_dino, sam2, sam3, orient_anything)}


def measure(name: str, args, result) -> None:
    """Runs one network and puts a row of figures into a queue."""
    torch = networks.import_torch()
    torch.manual_seed(0)
    model, run = BACKENDS[name](args)
    images = np.random.default_rng(0).integers(0, 256, (args.frames + 1, *IMAGE_HW, 3), dtype=np.uint8)
    cuda = args.device == "cuda"
    took_ms = []
    for rgb in images:
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        run(rgb)
        if cuda:
            torch.cuda.synchronize()
        took_ms.append(1e3 * (time.perf_counter() - start))
    peak = torch.cuda.max_memory_allocated() if cuda else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    median_ms = statistics.median(took_ms[1:])
    result.put(
        {
            "network": name,
            "what": BACKENDS[name].__doc__.strip(),
            "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
            "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
            "parameters_M": round(sum(p.numel() for p in model.parameters()) / 1e6, 1),
            "ms": round(median_ms, 1),
            "fps": round(1e3 / median_ms, 2),
            "memory_GB": round(peak / 1e9, 2),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--frames", type=int, help="frames after the warm-up (default: 2 on a CPU, 30 on a GPU)")
    parser.add_argument("--things", type=int, default=4, help="things that SAM 2 follows")
    parser.add_argument("--device", default=networks.choose_device())
    parser.add_argument("--dtype", default="float32", help="of SAM and DINOv2; GroundingDINO stays in float32")
    args = parser.parse_args()
    args.frames = args.frames or (30 if args.device == "cuda" else 2)
    spawn = multiprocessing.get_context("spawn")
    for name in args.only:
        result = spawn.SimpleQueue()
        worker = spawn.Process(target=measure, args=(name, args, result), daemon=True)
        worker.start()
        worker.join()
        print(json.dumps({"network": name, "failed": worker.exitcode} if worker.exitcode else result.get()), flush=True)


if __name__ == "__main__":
    main()
