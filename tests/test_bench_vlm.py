"""A model with geometry on a benchmark: tiny ones, on scenes and clips made here."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from vlm_rows import folder, model

from dsr_core.bench.models.base import Decoding, ModelStopped, NoReply, Request, Said
from dsr_core.bench.models.make import ModelOptions, make_model
from dsr_core.bench.models.vlm import VlmModel
from dsr_core.bench.prompts import Message
from dsr_core.bench.row import BenchError, Row
from dsr_core.errors import DsrError
from dsr_core.sources.simulator import Simulator
from dsr_core.vlm.compose import compose
from dsr_core.vlm.replies import option_log_probabilities, say

GREEDY = Decoding(0.0, 6)
QUESTION = "Between 2 and 6 s, how does the distance between the forklift and the person change?"
CHOICES = {"B": "increasing", "C": "decreasing", "D": "nearly constant"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return folder(tmp_path_factory, "qwen2_5_vl")


@pytest.fixture(scope="module")
def kept(base, tmp_path_factory):
    where = tmp_path_factory.mktemp("kept") / "gsm"
    model(base, awake=True).save(where)
    return where


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    where = tmp_path_factory.mktemp("scenes")
    Simulator(duration_s=12.0, render=False).truth().save(where / "clip.scene.npz")
    return where


def request(key="k", video="clip.mp4", question=QUESTION, choices=CHOICES, frames=0, **fields):
    number = {} if choices is not None else {"number": 3.0}
    row = Row(key, video, question, choices, "B" if choices else "", **number, **fields)
    pictures = list(np.random.default_rng(0).integers(0, 255, (frames, 56, 84, 3), dtype=np.uint8))
    return Request(row, Message("", "", "not these words"), pictures, tuple(0.5 * i for i in range(frames)))


def test_it_asks_as_it_was_trained(kept, scenes):
    made = VlmModel(str(kept), str(scenes), batch_size=2, device="cpu")
    requests = [request("a"), request("b", frames=4), request("c", choices=None), request("d", "other.mp4")]
    replies = made.replies(requests, GREEDY)
    assert [type(reply) for reply in replies] == [Said, Said, Said, NoReply] and replies[
        3
    ].why == "its video has no scene"
    scene = Simulator(duration_s=12.0, render=False).truth()
    asked = compose(QUESTION, tuple(CHOICES.values()), scene=scene, sources=made._model.sources)
    expected = np.exp(option_log_probabilities(made._model, [asked])[0])
    told = replies[0].told["probabilities"]
    assert list(told) == list(CHOICES) and np.allclose(list(told.values()), expected, atol=1e-4)
    assert replies[0].text == max(told, key=told.get)
    assert replies[1].told["probabilities"] != told  # frames are looked at
    free = compose(QUESTION, scene=scene, sources=made._model.sources)
    assert replies[2].text == say(made._model, [free], 6)[0]
    alone = [made.replies([one], GREEDY)[0] for one in requests[:3]]
    assert [reply.text for reply in alone] == [reply.text for reply in replies[:3]]


def test_geometry_is_what_makes_the_difference(kept, scenes):
    seen = VlmModel(str(kept), str(scenes), device="cpu").replies([request()], GREEDY)[0].told["probabilities"]
    without = VlmModel(str(kept), "none", device="cpu").replies([request()], GREEDY)[0].told["probabilities"]
    assert max(abs(seen[letter] - without[letter]) for letter in CHOICES) > 1e-3


def test_the_future_of_a_scene_is_hidden(kept, scenes):
    made = VlmModel(str(kept), str(scenes), device="cpu")
    question = "How does the distance between the forklift and the person change?"
    # What is known until 4 s is the same whether the scene ends there or is hidden from there.
    hidden = made._asked(request(question=question, hide_from_s=4.0)).geometry["scene"].features
    cut = compose(
        question, scene=Simulator(duration_s=12.0, render=False).truth().until(4.0), sources=made._model.sources
    )
    assert np.array_equal(hidden, cut.geometry["scene"].features)
    assert not np.array_equal(hidden, made._asked(request(question=question)).geometry["scene"].features)
    last = made._asked(request(question=question, hide_from_s=-1.0)).geometry["scene"].features
    assert not np.array_equal(last, hidden)


def test_boxes_are_told_in_pixels_of_the_frames(kept):
    made = VlmModel(str(kept), "none", device="cpu")
    question = "How does the speed of car with initial bounding box coordinates [84,56,168,112] change?"
    sized = {"question": question, "image_size": (168, 112)}
    assert "[42,28,84,56]" in made._asked(request(frames=2, **sized)).question
    assert "[84,56,168,112]" in made._asked(request(**sized)).question
    made._model.inputs.max_pixels = 28 * 42  # frames are made smaller first
    small = made._asked(request(frames=2, **sized))
    assert small.clips[0].frames[0].shape == (28, 42, 3) and "[21,14,42,28]" in small.question


def test_rows_that_it_cannot_take_are_told(kept, scenes):
    made = VlmModel(str(kept), str(scenes), batch_size=2, device="cpu")
    said, refused = made.replies([request("a"), request("b", question="word " * 9000)], GREEDY)
    assert isinstance(said, Said) and isinstance(refused, NoReply)
    assert not refused.again and "more than 8192" in refused.detail


def test_too_little_memory_stops_the_run(kept, scenes, monkeypatch):
    made = VlmModel(str(kept), str(scenes), device="cpu")

    def full(*args, **options):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(made._model, "forward", full)
    with pytest.raises(ModelStopped, match="--batch-size"):
        made.replies([request()], GREEDY)


def test_it_is_made_from_its_name(kept, base, scenes):
    made = make_model(f"vlm:{kept}", ModelOptions(scenes=str(scenes), batch_size=3, device="cpu"), None)
    settings = json.loads(json.dumps(made.settings()))
    assert (made.name, made.batch_size, settings["geometry"]["mode"]) == ("gsm", 3, "gsm")
    assert settings["scenes"] and settings["prompt"]["reply"] == "letter" and made.sees and made.spent()
    with pytest.raises(BenchError, match="--scenes none"):
        make_model(f"vlm:{kept}", ModelOptions(device="cpu"), None)
    plain = make_model(f"vlm:{base}", ModelOptions(device="cpu"), None)
    assert plain.settings()["geometry"]["mode"] == "none" and isinstance(plain.replies([request()], GREEDY)[0], Said)
    for wrong in ("vlm:", "vlm:Nobody/nothing"):
        with pytest.raises(DsrError):
            make_model(wrong, ModelOptions(device="cpu"), None)
    with pytest.raises(BenchError, match="batch size"):
        VlmModel(str(kept), batch_size=0)
