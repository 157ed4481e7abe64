"""DSR Suite's model written down plainly from its description, under the published tensor names: one video, batch 1.

Loops over heads, rows and tokens, and nothing of dsr_core. Qwen's vision tower alone is that of transformers.
"""

import json
import math

import torch
from safetensors.torch import load_file, save_file

from tests import dinov2_reference as dino
from tests import tiny_vlm

QUERIES = 32
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4576275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write(folder):
    """A tiny checkpoint laid out as transformers 4.51 saves the original, with a tokenizer; the base's folder, too."""
    base = tiny_vlm.tiny_qwen25_vl(folder / "base")
    state = load_file(base / "model.safetensors")
    assert {name.split(".")[0] for name in state} == {"lm_head", "model", "visual"}  # as transformers 4 names them
    told = json.loads((base / "config.json").read_text())
    text, made = told["text_config"], torch.Generator().manual_seed(7)
    width, hidden, keys = text["hidden_size"], text["intermediate_size"], 16 * text["num_key_value_heads"]

    def draw(*shape, scale=0.25, around=0.0):
        return around + scale * torch.randn(shape, generator=made)

    merged = 8 * dino.WIDTH
    linear = {"spatial_merger.mlp.0": (merged, merged, True), "spatial_merger.mlp.2": (width, merged, True)}
    for name in ("q_former_1", "q_former_2"):
        linear |= {f"{name}.attn.q_proj": (width, width, True), f"{name}.attn.o_proj": (width, width, False)}
        linear |= {f"{name}.attn.k_proj": (keys, width, True), f"{name}.attn.v_proj": (keys, width, True)}
        linear |= {f"{name}.mlp.gate_proj": (hidden, width, True), f"{name}.mlp.up_proj": (hidden, width, True)}
        linear |= {f"{name}.mlp.down_proj": (width, hidden, True)}
    for name, (out, into, bias) in linear.items():
        state[f"visual.{name}.weight"] = draw(out, into, scale=2 / math.sqrt(into))
        if bias:
            state[f"visual.{name}.bias"] = draw(out)
    norms = ["q_former_norm", *(f"q_former_{i}.norm{j}" for i in (1, 2) for j in (1, 2))]
    state |= {f"visual.{name}.weight": draw(width, around=1.0) for name in norms}
    state["visual.spatial_merger.ln_q.weight"] = draw(merged, around=1.0)
    state["visual.q_former_queries"] = draw(QUERIES, width, scale=1.0)
    state |= {f"visual.spatial_encoder.{name}": tensor for name, tensor in dino.random_state(3).items()}
    # The configuration is flat, with a copy of all of it within the vision tower's.
    rope = text.pop("rope_parameters")
    flat = {**text, "rope_theta": rope["rope_theta"]}
    flat["rope_scaling"] = {"type": "default", "rope_type": "default", "mrope_section": rope["mrope_section"]}
    flat |= {name: value for name, value in told.items() if name not in ("text_config", "vision_config")}
    flat |= {"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration_Spatial"]}
    vision = {**told["vision_config"], "model_type": "qwen2_5_vl"}
    vision.pop("rope_parameters", None)
    flat["vision_config"] = {**vision, "config_all": {**flat, "vision_config": vision}}
    place = folder / "published"
    place.mkdir()
    save_file(state, place / "model.safetensors")
    (place / "config.json").write_text(json.dumps(flat))
    tiny_vlm.tokenizer().save_pretrained(place)
    return place


class Reference:
    """The original's forward pass for one row with one video.

    Args:
        place: Of `write`. tower: Visual tokens of patches and grid, as transformers makes them.
    """

    def __init__(self, place, tower):
        self.state = load_file(place / "model.safetensors")
        self.config, self.tower = json.loads((place / "config.json").read_text()), tower
        words = tiny_vlm.tokenizer()
        named = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
        self.special = {words.convert_tokens_to_ids(name) for name in [*named, "<|video_pad|>"]}
        self.video = words.convert_tokens_to_ids("<|video_pad|>")

    # --- parts

    def rms(self, name, x, eps):
        return self.state[name] * (x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps))

    def linear(self, name, x):
        out = x @ self.state[f"{name}.weight"].T
        return out + self.state[f"{name}.bias"] if f"{name}.bias" in self.state else out

    def rope(self, x, positions):
        """x (L, D) of one head; positions (3, L). Each frequency has the axis of its section."""
        out, half = torch.empty_like(x), x.shape[1] // 2
        sections = self.config["rope_scaling"]["mrope_section"]
        axes = [axis for axis in range(3) for _ in range(sections[axis])]
        for j in range(half):
            frequency = self.config["rope_theta"] ** (-2 * j / x.shape[1])
            angle = positions[axes[j]].float() * frequency
            out[:, j] = x[:, j] * angle.cos() - x[:, j + half] * angle.sin()
            out[:, j + half] = x[:, j + half] * angle.cos() + x[:, j] * angle.sin()
        return out

    def attention(self, name, queries, tokens, query_positions, token_positions, causal):
        heads, groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        size, out = self.config["hidden_size"] // heads, []
        q, k, v = (self.linear(f"{name}.{x}_proj", y) for x, y in zip("qkv", (queries, tokens, tokens), strict=True))
        for h in range(heads):
            own, shared = slice(size * h, size * (h + 1)), size * (h // (heads // groups))
            group = slice(shared, shared + size)
            scores = self.rope(q[:, own], query_positions) @ self.rope(k[:, group], token_positions).T / size**0.5
            if causal:
                scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
            out.append(torch.softmax(scores, dim=1) @ v[:, group])
        return self.linear(f"{name}.o_proj", torch.cat(out, dim=1))

    def mlp(self, name, x):
        gate = self.linear(f"{name}.gate_proj", x)
        return self.linear(f"{name}.down_proj", gate * torch.sigmoid(gate) * self.linear(f"{name}.up_proj", x))

    def q_former(self, name, queries, tokens, query_positions, token_positions):
        first, second = f"visual.{name}.norm1.weight", f"visual.{name}.norm2.weight"
        seen = self.rms(first, queries, 1e-6), self.rms(first, tokens, 1e-6)
        queries = queries + self.attention(f"visual.{name}.attn", *seen, query_positions, token_positions, False)
        return queries + self.mlp(f"visual.{name}.mlp", self.rms(second, queries, 1e-6))

    # --- geometry

    def frames(self, patches, grid):
        """Qwen's flattened patches -> frames normalised by ImageNet's mean and deviation."""
        count, high, wide = grid
        frames = torch.zeros(2 * count, 3, 14 * high, 14 * wide)
        number = 0
        for t in range(count):
            for block in range(high // 2):
                for column in range(wide // 2):
                    for y in (2 * block, 2 * block + 1):
                        for x in (2 * column, 2 * column + 1):
                            patch = patches[number].reshape(3, 2, 14, 14)
                            for frame in (0, 1):
                                into = frames[2 * t + frame, :, 14 * y : 14 * y + 14, 14 * x : 14 * x + 14]
                                into.copy_(patch[:, frame])
                            number += 1
        before_mean, before_std, mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CLIP_MEAN, CLIP_STD, MEAN, STD))
        return (frames * before_std + before_mean - mean) / std

    def selected(self, patches, grid, seconds, question):
        encoder = {
            name.removeprefix("visual.spatial_encoder."): tensor
            for name, tensor in self.state.items()
            if name.startswith("visual.spatial_encoder.")
        }
        features = torch.stack([dino.patch_tokens(encoder, frame) for frame in self.frames(patches, grid)])
        tokens = self.rms("visual.spatial_merger.ln_q.weight", dino.merged(features), 1e-6)
        tokens = torch.nn.functional.gelu(self.linear("visual.spatial_merger.mlp.0", tokens))
        tokens = self.linear("visual.spatial_merger.mlp.2", tokens)
        line = [torch.arange(n).repeat(3, 1) for n in (QUERIES, len(question))]
        queries = self.q_former("q_former_1", self.state["visual.q_former_queries"], question, *line)
        queries = self.q_former("q_former_2", queries, tokens, line[0], self.places(grid, seconds, 2))
        return self.rms("visual.q_former_norm.weight", queries, 1e-6)

    def places(self, grid, seconds, steps):
        count, high, wide = grid
        places = [
            (int(t * seconds * steps), y, x) for t in range(count) for y in range(high // 2) for x in range(wide // 2)
        ]
        return torch.tensor(places).T

    # --- the whole

    def logits(self, ids, patches, grid, seconds, asked=None):
        """(L, vocabulary) of a row's own tokens; `asked`: so many of its first tokens may be read as the question."""
        embedded = self.state["model.embed_tokens.weight"][ids]
        first = ids.index(self.video)
        after = first + ids.count(self.video)
        question = [i for i, token in enumerate(ids[:asked]) if token not in self.special]
        chosen = self.selected(patches, grid, seconds, embedded[question])
        x = torch.cat([embedded[:first], self.tower(patches, grid), chosen, embedded[after:]])
        steps = self.config["vision_config"]["tokens_per_second"]
        positions = [torch.arange(first).repeat(3, 1), first + self.places(grid, seconds, steps)]
        rest = torch.arange(QUERIES + len(ids) - after) + positions[1].max() + 1
        positions = torch.cat([*positions, rest.repeat(3, 1)], dim=1)
        eps = self.config["rms_norm_eps"]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            y = self.rms(f"{layer}.input_layernorm.weight", x, eps)
            x = x + self.attention(f"{layer}.self_attn", y, y, positions, positions, True)
            x = x + self.mlp(f"{layer}.mlp", self.rms(f"{layer}.post_attention_layernorm.weight", x, eps))
        out = self.linear("lm_head", self.rms("model.norm.weight", x, eps))
        return torch.cat([out[:after], out[after + QUERIES :]])
