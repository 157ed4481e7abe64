"""What geometry adds to a forward of a Qwen-VL at its real size, in operations: no weights, no GPU, half a minute.

    python benchmarks/gsm_cost.py [--model qwen2.5-vl-7b] [--frames 32] [--size 640x360] [--things 16] [--words 170]

Shapes are run, not numbers (PyTorch's meta device), but for two blocks of the vision tower and of the frozen encoder on
two frames, which are multiplied: both look at each pair of frames alone. A multiplication with its addition counts two;
attention counts as if every token saw every other. Operations are not time: small ones cost more than their share.
"""

from __future__ import annotations

import argparse
import copy

import torch
from gsm_models import MODELS, random_base
from gsm_operations import counted

from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.module import GeometryModule
from dsr_core.vlm.pi3_encoder import large_config
from dsr_core.vlm.qwen_video import QwenVideo
from dsr_core.vlm.sources import make_sources

QUERIES = GeometryConfig().queries


def language(base, tokens: int) -> float:
    """Operations of the language model's layers on a prompt, and of its head on the last word."""
    model, hidden = base.model.language_model, base.config.get_text_config().hidden_size
    with torch.device("meta"):
        embeddings = torch.empty(1, tokens, hidden, dtype=base.dtype)
        places = torch.zeros(3, 1, tokens, dtype=torch.long)
        run = counted(lambda: model(inputs_embeds=embeddings, position_ids=places, use_cache=False))
    return run["Global"] + 2.0 * hidden * base.config.get_text_config().vocab_size


def vision(base, grid: tuple[int, int, int]) -> float:
    """Operations of the vision tower on a grid (T, h, w) of patches."""
    config = copy.deepcopy(base.config.vision_config)
    deep = len(getattr(config, "deepstack_visual_indexes", ()))
    whole = getattr(config, "fullatt_block_indexes", range(config.depth))
    depth, config.depth = config.depth, 2
    if deep:
        config.deepstack_visual_indexes = [0]
    else:
        config.fullatt_block_indexes = [1]
    tower = type(base.model.visual)._from_config(config, dtype=torch.float32).eval().requires_grad_(False)
    patch = 3 * config.temporal_patch_size * config.patch_size**2
    found = counted(lambda: tower(torch.zeros(grid[1] * grid[2], patch), grid_thw=torch.tensor([[1, *grid[1:]]])))
    root = type(tower).__name__
    windowed, seeing_all = (found[f"{root}.blocks.{i}"] for i in (0, 1))
    merger = found.get(f"{root}.deepstack_merger_list.0", 0)
    rest = found["Global"] - windowed - seeing_all - merger
    return grid[0] * (rest + deep * merger + windowed * (depth - len(whole)) + seeing_all * len(whole))


def module(mode: str, source: str, hidden: int, tokens: int, visual: int, words: int, width: int | None) -> float:
    """Operations of the geometry module on one question.

    Args:
        mode, source: Fusion mode and geometry source. hidden: Features of the language model. width: Of the module.
        tokens: Of geometry. visual: Visual tokens. words: Of the question.
    """
    config = GeometryConfig(mode=mode, sources={source: {}}, width=width)
    sources = make_sources(config.sources)
    features, aligned = sources[source].features, sources[source].aligned
    with torch.device("meta"):
        made = GeometryModule(config, hidden, sources).requires_grad_(False)

        def run():
            there = torch.empty(1, tokens, dtype=torch.bool)
            batch = {"features": torch.empty(1, tokens, features), "mask": there}
            encoded, _ = made.tokens({source: batch}, lambda ids: ids)
            asked = torch.empty(1, words, hidden), torch.empty(1, words, dtype=torch.bool)
            if config.inserts:
                made.inserted(*asked, encoded, there)
                return
            # As `fused` on one row: its sorting by rows depends on numbers, of which there are none.
            fusion, shown = made.fusion, torch.empty(visual, hidden)
            if mode == "gated":
                encoded = made.selector(*asked, encoded, there)
                there = torch.empty(encoded.shape[:2], dtype=torch.bool)
                fusion.mix(torch.cat([shown, shown], dim=1))
            found = encoded if mode == "add" and aligned else fusion.attend(fusion.look(shown)[None], encoded, there)
            fusion.out(found)

        return counted(run)["Global"]


def encoder(frames: int, patches: tuple[int, int]) -> float:
    """Operations of the frozen encoder of `pi3_encoder` on a clip."""
    from transformers import Dinov2WithRegistersModel

    config = large_config()
    layers, config.num_hidden_layers = config.num_hidden_layers, 1
    network = Dinov2WithRegistersModel(config).eval().requires_grad_(False)
    pixels = torch.zeros(1, 3, *(config.patch_size * n for n in patches))
    found = counted(lambda: network(pixel_values=pixels))
    (block,) = (n for name, n in found.items() if name.endswith("layer.0"))
    return frames * (found["Global"] + (layers - 1) * block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-vl-7b", choices=[name for name in MODELS if name != "tiny"])
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--things", type=int, default=16, help="tokens of the source `scene`")
    parser.add_argument("--words", type=int, default=170, help="tokens of the prompt besides visual and geometry ones")
    parser.add_argument("--width", type=int, help="features inside the module (default: those of the language model)")
    args = parser.parse_args()
    base, _ = random_base(args.model, "meta", "bfloat16")
    base.requires_grad_(False)
    hidden = base.config.get_text_config().hidden_size
    width_px, height_px = (int(n) for n in args.size.split("x"))
    grid = QwenVideo.of(base.config).grid(args.frames, height_px, width_px, 230_400)
    visual = grid[0] * grid[1] * grid[2] // 4
    seen, plain = vision(base, grid), language(base, visual + args.words)
    whole = seen + plain
    print(f"{args.model}, {args.frames} frames of {args.size}: {visual} visual tokens and {args.words} others")
    print(f"without geometry: {whole / 1e12:.1f} x 10^12 (language model {plain / 1e12:.1f}, vision {seen / 1e12:.1f})")
    print("| mode | geometry | module, 10^12 | % of the forward | forward x none |\n|---|---|---|---|---|")
    for source, tokens in (("scene", args.things), ("pi3_encoder", visual)):
        for mode in ("add", "gsm", "gated", "concat"):
            own = module(mode, source, hidden, tokens, visual, args.words, args.width)
            longer = {"gsm": QUERIES, "concat": tokens}.get(mode, 0)
            total = own + seen + (language(base, visual + args.words + longer) if longer else plain)
            print(f"| {mode} | {source} | {own / 1e12:.3f} | {100 * own / total:.2f} | {total / whole:.3f} |")
    frozen = encoder(args.frames, grid[1:])
    print(f"frozen encoder, once a clip: {frozen / 1e12:.1f} x 10^12, {100 * frozen / whole:.0f} % of the forward")


if __name__ == "__main__":
    main()
