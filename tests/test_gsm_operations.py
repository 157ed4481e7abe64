"""Operations that the speed benchmark counts are those that the shapes of a model imply."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the model side runs on torch: run tools/setup.sh")
pytest.importorskip("transformers", reason="the model side runs on transformers: run tools/setup.sh")

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import gsm_cost
from gsm_models import depths, questions, random_base
from gsm_operations import operations
from gsm_timing import part_of

from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.model import GeometryVLM


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    config = GeometryConfig("gsm", {"scene": {}}, queries=4, width=32, heads=4)
    model = GeometryVLM.of(*random_base("tiny", "cpu", "float32"), config, max_tokens=10**5).eval()
    return model, model.inputs(questions(3, 4, (112, 84), model.sources))


def test_counted_as_the_shapes_imply(made):
    model, batch = made
    one = part_of(batch, 3, 1)
    length, text = one["input_ids"].shape[1], model.base.config.get_text_config()
    linear = sum(m.weight.numel() for m in model.base.model.language_model.modules() if hasattr(m, "in_features"))
    attention = 2 * 2 * length * length * text.hidden_size * text.num_hidden_layers
    head = 2 * text.hidden_size * text.vocab_size  # where the reply begins alone
    counted = operations(model, one, *depths("tiny"))
    assert counted["language model"] * 1e12 == pytest.approx(2 * length * linear + attention + head, rel=0.01)
    told = operations(model, one, 2 * depths("tiny")[0], depths("tiny")[1])
    assert told["language model"] * 1e12 == pytest.approx(2 * (2 * length * linear + attention) + head, rel=0.01)
    assert counted["geometry module"] > 0 and all(p.requires_grad for p in model.geometry.parameters())


@pytest.mark.parametrize("mode", ["add", "gsm", "gated", "concat"])
def test_the_cost_by_shapes_is_what_a_forward_takes(mode):
    torch.manual_seed(0)
    base, words = random_base("tiny", "cpu", "float32")
    model = GeometryVLM.of(base, words, GeometryConfig(mode, {"scene": {}}, width=32), max_tokens=10**5).eval()
    batch = part_of(model.inputs(questions(1, 4, (112, 84), model.sources)), 1, 1)
    found = operations(model, batch, *depths("tiny"))
    length, asked = batch["input_ids"].shape[1], batch["question_ids"].shape[1]
    grid = tuple(batch["video_grid_thw"][0].tolist())
    tokens, visual = batch["geometry"]["scene"]["mask"].shape[1], int((batch["mm_token_type_ids"] == 2).sum())
    shapes, _ = random_base("tiny", "meta", "bfloat16")
    shapes.requires_grad_(False)
    assert gsm_cost.language(shapes, length) == pytest.approx(1e12 * found["language model"], rel=1e-3)
    assert gsm_cost.vision(shapes, grid) == pytest.approx(1e12 * found["vision tower"], rel=1e-3)
    own = gsm_cost.module(mode, "scene", 64, tokens, visual, asked, 32)
    assert own == pytest.approx(1e12 * found["geometry module"], rel=0.05)


def test_a_part_of_a_batch_is_its_first_rows(made):
    model, batch = made
    with torch.no_grad():
        whole, part = (model(b, logits_to_keep=1).logits for b in (batch, part_of(batch, 3, 2)))
    torch.testing.assert_close(part, whole[:2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "millions"), [("qwen2.5-vl-7b", 8292), ("qwen2.5-vl-3b", 3755), ("qwen3-vl-8b", 8767)]
)
def test_models_have_their_real_sizes(name, millions):
    base, _ = random_base(name, "meta", "bfloat16")
    assert round(sum(p.numel() for p in base.parameters()) / 1e6) == millions
