"""Questions with random pictures and geometry for tests of the model side, and tiny models with a geometry module."""

import numpy as np
import torch
from tiny_vlm import tiny_qwen3_vl, tiny_qwen25_vl

from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.sources import make_source
from dsr_core.vlm.values import Asked, Clip, GeometryTokens

BASES = {"qwen2_5_vl": tiny_qwen25_vl, "qwen3_vl": tiny_qwen3_vl}
#: Queries that a tiny selector makes.
QUERIES = 5


def clip(frames=4, height=56, width=84, seed=0, step_s=0.5):
    pictures = np.random.default_rng(seed).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)
    return Clip(list(pictures), tuple(step_s * i for i in range(frames)))


def picture(height=56, width=56, seed=0):
    return clip(1, height, width, seed).frames[0]


def tokens(count, seed=0, labels=True):
    features = np.random.default_rng(seed).normal(size=(count, make_source("scene").features))
    return {"scene": GeometryTokens(features, tuple(f"car {i}" for i in range(count)) if labels else ())}


def rows():
    """Rows that have nothing in common: texts, clips of several sizes, pictures, both; with geometry and without."""
    two = ("left", "right")
    return [
        Asked("Which way?", two, answer_index=0, key="text"),
        Asked(
            "Which way does it go in the end, and why does it go there?",
            (*two, "up"),
            (clip(),),
            geometry=tokens(5),
            answer_index=2,
            key="clip",
        ),
        Asked("How far?", (), (clip(3, 56, 84, 1), clip(6, 84, 56, 2)), answer="1 2 3", key="two clips"),
        Asked("Far?", two, (), (picture(), picture(84, 112, 1)), tokens(9, 1), 1, key="pictures"),
        Asked("Up?", two, (clip(4, 56, 56, 3),), (picture(seed=2),), tokens(3, 2), 0, key="clip and picture"),
        Asked("Down?", two, geometry=tokens(7, 3, labels=False), answer_index=1, key="geometry alone"),
    ]


def folder(tmp_path_factory, kind):
    return BASES[kind](tmp_path_factory.mktemp(kind))


def model(path, mode="gsm", awake=False, seed=0, base=None, prompt=None, **settings):
    """A tiny model; `awake` opens its gates and gives inserted tokens the size of words, as training would."""
    plain = GeometryVLM.load(path, base, device="cpu")
    torch.manual_seed(seed)
    config = GeometryConfig(mode=mode, queries=QUERIES, width=32, heads=4, **settings)
    made = GeometryVLM.of(plain.base, plain.tokenizer, config, prompt).eval()
    if awake and made.geometry is not None:
        with torch.no_grad():
            for name, parameter in made.geometry.named_parameters():
                if name.endswith("gate"):
                    parameter.fill_(0.7)
                if name.startswith("out.") and parameter.ndim > 1:
                    parameter.mul_(100.0)
    return made


def last_logits(model, asked):
    """(rows, words) where replies begin, in one batch."""
    with torch.no_grad():
        return model(model.inputs(asked), logits_to_keep=1).logits[:, -1]
