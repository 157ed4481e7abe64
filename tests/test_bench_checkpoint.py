"""Checkpoints of transformers: tiny ones made here, saved as folders and read back. No hub, no torchvision."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from tiny_vlm import tiny_llava, tiny_qwen3_vl, tiny_qwen25_vl

from dsr_core.bench.models.base import Decoding, Request
from dsr_core.bench.models.checkpoint import CheckpointModel
from dsr_core.bench.prompts import Message
from dsr_core.bench.row import BenchError, Row
from dsr_core.vlm.qwen_video import QwenVideo

GREEDY = Decoding(0.0, 6)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return tiny_qwen25_vl(tmp_path_factory.mktemp("qwen25"))


def request(key, frames, text="Which way does it go?", seed=0):
    pictures = np.random.default_rng(seed).integers(0, 255, (frames, 56, 84, 3), dtype=np.uint8)
    row = Row(key, "clip.mp4", text, {"A": "left", "B": "right"}, "A")
    return Request(row, Message("", "", text), list(pictures), tuple(0.5 * i for i in range(frames)))


REQUESTS = [
    request("a", 4),
    request("b", 7, "Which way, and how far in the end?", 1),
    request("c", 2, "?", 2),
]


def test_rows_are_answered_alone_as_in_a_batch(qwen):
    alone = [CheckpointModel(qwen).replies([one], GREEDY)[0].text for one in REQUESTS]
    model = CheckpointModel(qwen, batch_size=3)
    batch = [reply.text for reply in model.replies(REQUESTS, GREEDY)]
    assert batch == alone and len(set(alone)) > 1
    assert batch == [reply.text for reply in model.replies(REQUESTS, GREEDY)]
    settings = model.settings()
    assert (settings["model_type"], settings["dtype"], settings["batch_size"]) == ("qwen2_5_vl", "float32", 3)
    assert settings["parameters"] > 1e5 and "tokens written" in model.spent()
    json.dumps(settings)


def test_replies_depend_on_the_frames_and_blind_models_see_none(qwen):
    model = CheckpointModel(qwen)
    one, other = request("a", 4, seed=0), request("a", 4, seed=5)
    logits = [model._model(**model._prepare([r])).logits[0, -1] for r in (one, other)]
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)
    blind = model._prepare([request("a", 0)])
    assert set(blind) == {"input_ids", "attention_mask"}
    assert isinstance(model.replies([request("a", 0)], GREEDY)[0].text, str)


def test_what_a_qwen_takes_fits_its_placeholders(qwen):
    model = CheckpointModel(qwen)
    taken = model._prepare(REQUESTS[:2])
    pads = (taken["input_ids"] == model._model.config.video_token_id).sum()
    assert pads == taken["video_grid_thw"].prod(1).sum() // 4 == taken["mm_token_type_ids"].eq(2).sum()
    assert taken["video_grid_thw"].tolist() == [[2, 4, 6], [4, 4, 6]]
    assert taken["second_per_grid_ts"].tolist() == [1.0, 1.0]
    assert taken["pixel_values_videos"].shape == (2 * 24 + 4 * 24, 3 * 2 * 14 * 14)


def test_patches_are_those_of_the_papers_order():
    """The first patch of the first token is the upper left corner, colour by colour, frame by frame."""
    video = QwenVideo(False, 14, 2, 2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    frames = np.random.default_rng(0).integers(0, 255, (3, 56, 28, 3), dtype=np.uint8)
    values, grid = video.patches(frames)
    assert grid.tolist() == [[2, 4, 2]] and values.shape == (16, 3 * 2 * 196)
    corner = frames[:2, :14, :14].transpose(3, 0, 1, 2).reshape(-1) / 255
    assert np.allclose(values[0].numpy(), corner, atol=1e-6)
    below = frames[:2, 14:28, :14].transpose(3, 0, 1, 2).reshape(-1) / 255
    assert np.allclose(values[2].numpy(), below, atol=1e-6)
    # The last frame of an odd number is taken twice.
    last = values[8].numpy().reshape(3, 2, 14, 14)
    assert np.array_equal(last[:, 0], last[:, 1])


def test_qwen3_vl_reads_the_times_of_its_frames(tmp_path):
    model = CheckpointModel(tiny_qwen3_vl(tmp_path), batch_size=2)
    taken = model._prepare(REQUESTS[:2])
    text = model._tokenizer.decode(taken["input_ids"][1])
    assert "<0.2 seconds>" in text and "<1.2 seconds>" in text and "<3.0 seconds>" in text
    assert text.count("<|vision_start|>") == 4
    alone = [CheckpointModel(tmp_path).replies([one], GREEDY)[0].text for one in REQUESTS[:2]]
    assert [reply.text for reply in model.replies(REQUESTS[:2], GREEDY)] == alone


def test_other_models_get_pictures_through_their_own_processor(tmp_path):
    model = CheckpointModel(tiny_llava(tmp_path), batch_size=2)
    replies = [reply.text for reply in model.replies(REQUESTS[:2], GREEDY)]
    assert replies == [CheckpointModel(tmp_path).replies([one], GREEDY)[0].text for one in REQUESTS[:2]]
    assert isinstance(model.replies([request("a", 0)], GREEDY)[0].text, str)


def test_words_are_drawn_by_a_seed(qwen):
    drawn = [CheckpointModel(qwen, seed=seed).replies([REQUESTS[0]], Decoding(1.0, 12))[0].text for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_checkpoint_that_is_not_here_names_the_command(tmp_path):
    with pytest.raises(BenchError, match="hf download nobody/nothing"):
        CheckpointModel("nobody/nothing")
    with pytest.raises(BenchError, match="no checkpoint that transformers reads"):
        CheckpointModel(str(tmp_path))
    with pytest.raises(BenchError, match="batch size 0"):
        CheckpointModel(str(tmp_path), batch_size=0)
