"""`dsr ask --model`: a saved model and a recording, from the command line; and what `dsr doctor` says of a model."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("rosbags")

import torch
from tiny_vlm import tiny_qwen25_vl

from dsr_core import cli
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.sources.bag_writer import BagWriter
from dsr_core.values import Detection, Frame
from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.model import GeometryVLM

START_NS = 5_000_000_000_000
QUESTION = "how does the distance between the cart and the robot change?"
CHOICES = ["--choices", "increasing", "constant", "decreasing"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    base = GeometryVLM.load(tiny_qwen25_vl(folder / "base"), device="cpu")
    torch.manual_seed(0)
    config = GeometryConfig(queries=4, heads=4)
    GeometryVLM.of(base.base, base.tokenizer, config, max_pixels=3136).save(folder / "tiny", whole=True)
    return folder / "tiny"


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A cart comes closer to a robot that drives, with pictures."""
    path = tmp_path_factory.mktemp("bag") / "carts"
    T_base_camera = tf.make_transform(tf.R_BODY_OPTICAL, [0.0, 0.0, 1.0])
    camera = Camera(np.array([[120.0, 0, 80], [0, 120.0, 60], [0, 0, 1]]), (160, 120))
    with BagWriter(path, T_base_camera=T_base_camera) as writer:
        for i in range(40):
            T_world_base = tf.make_transform(np.eye(3), [0.1 * i, 0.0, 0.0])
            cart = Detection("cart", 0.9, position_camera_m=np.array([0.0, 0.5, 9.0 - 0.2 * i]), size_lwh_m=np.ones(3))
            writer.write(
                Frame(
                    START_NS + i * 100_000_000,
                    T_world_base @ T_base_camera,
                    T_world_base,
                    rgb=np.full((120, 160, 3), 5 * i, np.uint8),
                    camera=camera,
                    detections=(cart,),
                )
            )
    return path


def run(capsys, *arguments):
    code = cli.main([str(a) for a in arguments])
    return code, capsys.readouterr()


def test_a_recording_is_asked_through_the_model(bag, model, capsys):
    code, said = run(capsys, "ask", bag, QUESTION, *CHOICES, "--backend", "vlm", "--model", model, "--json")
    answer = json.loads(said.out)
    assert code == 0 and answer["backend"] == "vlm" and answer["choice"] in CHOICES
    assert sum(answer["details"].pop("probabilities")) == pytest.approx(1.0, abs=1e-5)
    assert answer["details"] == {"model": "tiny", "pictures": 0, "geometry_tokens": {"scene": 2}}
    code, said = run(capsys, "ask", bag, QUESTION, *CHOICES, "--backend", "vlm", "--model", model, "--pictures", 4)
    assert code == 0 and "4 pictures, 2 tokens of scene" in said.out and "as the model tiny has it" in said.out


def test_pictures_are_those_of_the_window(bag, model, capsys):
    words = ("ask", bag, QUESTION, *CHOICES, "--backend", "vlm", "--model", model, "--pictures", 8, "--json")
    code, said = run(capsys, *words, "--start", 1.0, "--end", 1.4)
    answer = json.loads(said.out)
    assert code == 0 and answer["details"]["pictures"] == 5 and answer["evidence"]["window"] == [1.0, 1.4]
    code, said = run(capsys, *words, "--until", 0.3)
    assert json.loads(said.out)["details"]["pictures"] == 4


def test_auto_takes_the_model_of_the_environment(bag, model, capsys, monkeypatch):
    monkeypatch.setenv("DSR_VLM_MODEL", str(model))
    code, said = run(capsys, "ask", bag, "what is love?", "--choices", "yes", "no")
    assert code == 0 and "declined, NOT_UNDERSTOOD" in said.out and "options     yes" in said.out
    code, said = run(capsys, "ask", bag, QUESTION, *CHOICES, "--second-opinion")
    assert code == 0 and "the model   " in said.out and "agrees: " in said.out and "choice      decreasing" in said.out
    code, said = run(capsys, "ask", bag, "what is love?", "--backend", "geometry", "--json")
    assert code == 3 and json.loads(said.out)["declined"]["code"] == "NOT_UNDERSTOOD"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pictures", 4], "--model"),
        (["--second-opinion"], "--model"),
        (["--model", "/nowhere", "--pictures", -1], "must not be negative"),
        (["--model", "/nowhere", "--backend", "vlm"], "/nowhere"),
    ],
)
def test_wrong_usage_is_named(bag, capsys, monkeypatch, arguments, message):
    monkeypatch.delenv("DSR_VLM_MODEL", raising=False)
    code, said = run(capsys, "ask", bag, QUESTION, *arguments)
    assert code == 2 and message in said.err


def test_a_service_has_its_own_model(model, capsys):
    code, said = run(capsys, "ask", "--service", "/dsr/ask", QUESTION, "--model", model)
    assert code == 2 and "vlm.model" in said.err


def test_doctor_looks_at_the_model(model, capsys, monkeypatch, tmp_path):
    from dsr_core.commands.doctor import _model

    monkeypatch.delenv("DSR_VLM_MODEL", raising=False)
    assert _model() == []
    for path, fine, word in ((model, True, "with geometry"), (tmp_path, False, "no model"), ("/x", False, "no folder")):
        monkeypatch.setenv("DSR_VLM_MODEL", str(path))
        (check,) = _model()
        assert check.ok is fine and word in check.detail and (fine or check.fix)
