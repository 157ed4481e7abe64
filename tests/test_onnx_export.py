"""Exported networks say the same on ONNX Runtime as on torch."""

import numpy as np
import pytest

from dsr_core.errors import ModelError
from dsr_core.perception.export import export_onnx
from dsr_core.perception.orientation.orient_anything import make_network
from tests import tiny_networks as tiny
from tests.tiny_networks import torch

pytest.importorskip("onnxscript", reason="networks are exported by onnxscript: run tools/setup.sh")
onnxruntime = pytest.importorskip("onnxruntime", reason="exported networks run on onnxruntime: run tools/setup.sh")


def agree(path, inputs, expected, tolerance=1e-4):
    """Asserts that each tensor of `expected` is among the outputs of the file."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    outputs = session.run(None, {name: inputs[name.removeprefix("input.")].numpy() for name in names})
    for tensor in expected:
        value = tensor.numpy()
        same = [o for o in outputs if o.shape == value.shape and np.allclose(o, value, rtol=1e-3, atol=tolerance)]
        assert same, f"no output of {path.name} equals that of torch, of shape {value.shape}"


def test_orientation(tmp_path):
    torch.manual_seed(1)
    network = make_network(tiny.dinov2()).eval()
    inputs = {"pixel_values": torch.rand(1, 3, 224, 224)}
    path = export_onnx(network, inputs, tmp_path / "orientation.onnx")
    with torch.inference_mode():
        agree(path, inputs, [network(**inputs)])


def test_sam2_image_encoder(tmp_path):
    encoder = tiny.sam2_video().vision_encoder
    inputs = {"pixel_values": torch.rand(1, 3, 64, 64)}
    path = export_onnx(encoder, inputs, tmp_path / "sam2.onnx")
    with torch.inference_mode():
        agree(path, inputs, encoder(**inputs).fpn_hidden_states)


def test_sam3_image_encoder(tmp_path):
    encoder = tiny.sam3_video().detector_model.vision_encoder
    inputs = {"pixel_values": torch.rand(1, 3, 112, 112)}
    path = export_onnx(encoder, inputs, tmp_path / "sam3.onnx")
    with torch.inference_mode():
        agree(path, inputs, encoder(**inputs).fpn_hidden_states)


def test_grounding_dino(tmp_path):
    model = tiny.grounding_dino(encoder_layers=1)  # each layer costs seconds to trace
    ids = torch.tensor([tiny.bert_tokenizer()("red mug. chair.")["input_ids"]])
    inputs = {
        "pixel_values": torch.rand(1, 3, 64, 96),
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
        "pixel_mask": torch.ones(1, 64, 96, dtype=torch.long),
    }
    path = export_onnx(model, inputs, tmp_path / "grounding_dino.onnx")
    with torch.inference_mode():
        agree(path, inputs, [model(**inputs).pred_boxes])


def test_depth_anything(tmp_path):
    model = tiny.depth_anything()
    inputs = {"pixel_values": torch.rand(1, 3, 98, 126)}
    path = export_onnx(model, inputs, tmp_path / "depth.onnx")
    with torch.inference_mode():
        agree(path, inputs, [model(**inputs).predicted_depth])


def test_what_cannot_be_exported_is_said(tmp_path):
    class Branches(torch.nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(ModelError, match="Branches cannot be exported"):
        export_onnx(Branches(), {"x": torch.rand(3)}, tmp_path / "x.onnx")
