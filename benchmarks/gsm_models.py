"""Qwen-VL models of their real sizes with random weights, and questions to them: speed needs no weights.

Sizes are those of the published configurations of Qwen2.5-VL and Qwen3-VL. The tokenizer is one made here, so that
nothing has to be fetched; it cuts text finer than theirs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from dsr_core.perception import networks

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from dsr_core.vlm.compose import compose
from dsr_core.vlm.values import Asked, Clip, GeometryTokens
from tests.smooth_scenes import smooth_scene
from tests.tiny_vlm import tokenizer

_QWEN25_VISION = {
    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14, "window_size": 112,
    "spatial_merge_size": 2, "temporal_patch_size": 2, "tokens_per_second": 2, "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip
_QWEN3_VISION = {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 2304}
#: hidden, MLP, layers, heads, key heads, vocabulary, tied; and what the vision tower has of its own.
MODELS = {
    "qwen2.5-vl-7b": ((3584, 18944, 28, 28, 4, 152064, False), _QWEN25_VISION),
    "qwen2.5-vl-3b": ((2048, 11008, 36, 16, 2, 151936, True), _QWEN25_VISION),
    "qwen3-vl-8b": (
        (4096, 12288, 36, 32, 8, 151936, False),
        _QWEN3_VISION
        | {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16}
        | {"deepstack_visual_indexes": [8, 16, 24]},
    ),
    "qwen3-vl-2b": (
        (2048, 6144, 28, 16, 8, 151936, True),
        _QWEN3_VISION
        | {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16}
        | {"deepstack_visual_indexes": [5, 11, 17]},
    ),
    "tiny": (
        (64, 128, 2, 4, 2, 512, True),
        _QWEN25_VISION | {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "window_size": 56}
        | {"fullatt_block_indexes": [1]},
    ),
}  # fmt: skip
QUESTION = "Between 2.0s and 6.0s, how does the distance between the car and the camera change?"
OPTIONS = ("It becomes larger.", "It becomes smaller.", "It keeps nearly constant.", "It becomes larger, then smaller.")


def depths(name: str) -> tuple[int, int]:
    """Layers of a model's language model, and blocks of its vision tower."""
    text, vision = MODELS[name]
    return text[2], vision["depth"]


def random_base(name: str, device: str, dtype: str, layers: int | None = None, vocabulary: int | None = None):
    """A base with random weights, and a tokenizer.

    Args:
        name: One of `MODELS`. device, dtype: Where it is made, and of which type.
        layers: Layers of the language model and blocks of the vision tower, at most; None: all.
        vocabulary: Tokens that it knows; None: as published.
    """
    import transformers

    (hidden, mlp, depth, heads, key_heads, tokens, tied), vision = MODELS[name]
    words = tokenizer()
    ids = words.convert_tokens_to_ids
    least = min(layers or depth, depth)
    vision = dict(vision, depth=min(layers or vision["depth"], vision["depth"]), out_hidden_size=hidden)
    if "fullatt_block_indexes" in vision:  # the last block sees everything, as every eighth of the whole tower does
        vision["fullatt_block_indexes"] = [i for i in vision["fullatt_block_indexes"] if i < vision["depth"] - 1]
        vision["fullatt_block_indexes"].append(vision["depth"] - 1)
    else:
        vision["deepstack_visual_indexes"] = [i for i in vision["deepstack_visual_indexes"] if i < vision["depth"]]
    head, qwen3 = hidden // heads, "deepstack_visual_indexes" in vision
    if qwen3:
        head = 128
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [head // 8, 3 * head // 16, 3 * head // 16]}
    if qwen3:
        rope |= {"rope_theta": 5e6, "mrope_interleaved": True}
        rope["mrope_section"] = [3 * head // 16, 5 * head // 32, 5 * head // 32]
    text = {
        "hidden_size": hidden, "intermediate_size": mlp, "num_hidden_layers": least, "num_attention_heads": heads,
        "num_key_value_heads": key_heads, "vocab_size": vocabulary or tokens, "max_position_embeddings": 128000,
        "rope_parameters": rope, "eos_token_id": ids("<|im_end|>"), "pad_token_id": ids("<|endoftext|>"),
        "bos_token_id": ids("<|endoftext|>"), "tie_word_embeddings": tied,
    }  # fmt: skip
    if qwen3:
        text["head_dim"] = head
    names = {"image": "<|image_pad|>", "video": "<|video_pad|>"}
    names |= {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}
    kind = "Qwen3VL" if qwen3 else "Qwen2_5_VL"
    config = getattr(transformers, f"{kind}Config")(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=tied,
        **{f"{part}_token_id": ids(piece) for part, piece in names.items()},
    )
    network = getattr(transformers, f"{kind}ForConditionalGeneration")
    with torch.device(device):
        base = network._from_config(config, dtype=networks.choose_dtype(dtype), attn_implementation="sdpa")
    return base.eval(), words


def questions(count: int, frames: int, size: tuple[int, int], sources: dict) -> list[Asked]:
    """Questions about one clip of noise, each with the tokens of a simulated scene, and random features of an encoder.

    Args:
        count: How many. frames: Of each clip. size: (width, height) of its pictures. sources: Geometry sources.
    """
    out, rng = [], np.random.default_rng(0)
    pictures = rng.integers(0, 256, (frames, size[1], size[0], 3), dtype=np.uint8)
    clip = Clip(list(pictures), np.arange(frames) * 0.25)
    features = {}
    if "pi3_encoder" in sources:
        source = sources["pi3_encoder"]
        grid = source.grid.tokens(clip)
        numbers = rng.standard_normal((int(np.prod(grid)), source.features), dtype=np.float32)
        features["pi3_encoder"] = GeometryTokens(numbers, grid=grid)
    known = {name: source for name, source in sources.items() if source.looks_at == "scene"}
    for number in range(count):
        scene = smooth_scene(number, things=15, duration_s=8.0)
        asked = compose(QUESTION, OPTIONS, scene=scene, clip=clip, sources=known, answer_index=number % len(OPTIONS))
        geometry = {**asked.geometry, **features}
        out.append(Asked(asked.question, asked.options, asked.clips, (), geometry, asked.answer_index, asked.answer))
    return out
