"""An exported geometry module says the same on ONNX Runtime, padded, as on torch, unpadded."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the model side runs on torch: run tools/setup.sh")
pytest.importorskip("onnxscript", reason="networks are exported by onnxscript: run tools/setup.sh")
pytest.importorskip("onnxruntime", reason="exported networks run on onnxruntime: run tools/setup.sh")

import torch

from dsr_core.vlm.compose import compose
from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.encoders import LABEL_TOKENS
from dsr_core.vlm.export import export_geometry
from dsr_core.vlm.exported import ExportedGeometry
from dsr_core.vlm.module import GeometryModule
from dsr_core.vlm.sources import GeometrySource, make_sources
from dsr_core.vlm.values import VlmError
from tests.smooth_scenes import smooth_scene

HIDDEN = 64
SCENE = {"samples": 8, "per_token": 4, "most_things": 4}


class Patches(GeometrySource):
    """A source without labels, with normalised features, as those of a network are."""

    name, features, normalised, looks_at = "patches", 24, True, "clip"

    def tokens(self, context):
        raise AssertionError("an export looks at no question")

    def settings(self):
        return {}


def make_module(mode: str, sources: dict) -> GeometryModule:
    torch.manual_seed(0)
    config = GeometryConfig(mode=mode, sources={name: {} for name in sources}, queries=4, width=32, heads=4)
    module = GeometryModule(config, HIDDEN, sources).eval()
    torch.nn.init.normal_(module.out[-1].weight, std=0.3)  # a fresh one says nearly nothing
    return module


def on_torch(module, question, features, labels):
    """The module on one question as it is, without padding."""
    geometry = {}
    for name, rows in features.items():
        geometry[name] = {"features": torch.tensor(rows)[None], "mask": torch.ones(1, len(rows), dtype=torch.bool)}
        if name in labels:
            most = max(map(len, labels[name]))
            words, said = torch.zeros(1, len(rows), most, HIDDEN), torch.zeros(1, len(rows), most, dtype=torch.bool)
            for i, label in enumerate(labels[name]):
                words[0, i, : len(label)], said[0, i, : len(label)] = torch.tensor(label), True
            geometry[name] |= {"label_ids": words, "label_mask": said}
    with torch.no_grad():
        tokens, mask = module.tokens(geometry, lambda embedded: embedded)
        asked = torch.tensor(question)[None]
        return module.inserted(asked, torch.ones(asked.shape[:2], dtype=torch.bool), tokens, mask)[0].numpy()


def scene_tokens(source, rng):
    """Tokens of a real question about a scene, with random embeddings for the words of labels."""
    scene = smooth_scene(0, things=3, duration_s=4.0)
    asked = compose("How does the distance to the car change?", scene=scene, sources={"scene": source})
    features = asked.geometry["scene"].features
    return features, [rng.normal(size=(1 + i % 3, HIDDEN)).astype(np.float32) for i in range(len(features))]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Module, sources and the exported file, of scene tokens beside patches."""
    sources = make_sources({"scene": SCENE}) | {"patches": Patches()}
    module = make_module("gsm", sources)
    path = tmp_path_factory.mktemp("export") / "geometry.onnx"
    export_geometry(module, path, sources, tokens={"patches": 7}, question=12)
    return module, sources, path


def test_the_same_as_torch_whatever_is_filled(both):
    module, sources, path = both
    exported, rng = ExportedGeometry(path), np.random.default_rng(0)
    features, labels = scene_tokens(sources["scene"], rng)
    largest = 0.0
    for words, patches in ((12, 7), (5, 3), (1, 1)):
        question = rng.normal(size=(words, HIDDEN)).astype(np.float32)
        given = {"scene": features, "patches": rng.normal(size=(patches, 24)).astype(np.float32)}
        expected = on_torch(module, question, given, {"scene": labels})
        said = exported(question, given, {"scene": labels})
        assert said.shape == (4, HIDDEN)
        largest = max(largest, np.abs(said - expected).max())
        assert np.abs(expected).max() > 0.1
    assert largest < 1e-5


def test_a_source_without_tokens_and_no_tokens_at_all(both):
    module, sources, path = both
    exported, rng = ExportedGeometry(path), np.random.default_rng(1)
    features, labels = scene_tokens(sources["scene"], rng)
    question = rng.normal(size=(6, HIDDEN)).astype(np.float32)
    expected = on_torch(module, question, {"scene": features}, {"scene": labels})
    np.testing.assert_allclose(exported(question, {"scene": features}, {"scene": labels}), expected, atol=1e-5)
    nothing = on_torch(module, question, {"patches": np.zeros((0, 24), np.float32)}, {})
    np.testing.assert_allclose(exported(question, {}), nothing, atol=1e-5)
    assert np.abs(nothing - expected).max() > 1e-3


def test_tokens_of_concat_are_those_that_are_there(tmp_path):
    sources = {"patches": Patches()}
    module = make_module("concat", sources)
    exported = ExportedGeometry(
        export_geometry(module, tmp_path / "c.onnx", sources, tokens={"patches": 7}, question=4)
    )
    rng = np.random.default_rng(2)
    question, given = rng.normal(size=(3, HIDDEN)).astype(np.float32), rng.normal(size=(5, 24)).astype(np.float32)
    said = exported(question, {"patches": given})
    np.testing.assert_allclose(said, on_torch(module, question, {"patches": given}, {}), atol=1e-5)
    assert said.shape == (5, HIDDEN)


def test_the_file_tells_what_it_takes(both):
    _, sources, path = both
    told = json.loads((path.parent / (path.name + ".json")).read_text())
    assert told["sources"]["scene"] == {
        "tokens": 4 * 8 // 4,
        "features": sources["scene"].features,
        "settings": sources["scene"].settings(),
    }
    assert (told["tokens"], told["question"], told["label_words"]) == (4, 12, LABEL_TOKENS)


def test_what_is_too_large_is_said(both):
    exported = ExportedGeometry(both[2])
    with pytest.raises(VlmError, match="question of shape"):
        exported(np.zeros((13, HIDDEN), np.float32), {})
    with pytest.raises(VlmError, match="patches of shape"):
        exported(np.zeros((1, HIDDEN), np.float32), {"patches": np.zeros((8, 24), np.float32)})


def test_the_module_is_left_as_it_was(tmp_path):
    sources = {"patches": Patches()}
    module = make_module("gsm", sources).train()
    export_geometry(module, tmp_path / "g.onnx", sources, tokens={"patches": 2}, question=2)
    assert module.training


def test_modes_inside_the_language_model_have_no_graph(tmp_path):
    sources = make_sources({"scene": SCENE})
    config = GeometryConfig(mode="gated", sources={"scene": SCENE}, queries=4, width=32, heads=4)
    with pytest.raises(VlmError, match="gated"):
        export_geometry(GeometryModule(config, HIDDEN, sources), tmp_path / "g.onnx", sources)


def test_a_source_of_unknown_size_must_be_told(tmp_path):
    sources = {"patches": Patches()}
    with pytest.raises(VlmError, match="patches"):
        export_geometry(make_module("gsm", sources), tmp_path / "g.onnx", sources)


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(VlmError, match="cannot be run"):
        ExportedGeometry(tmp_path / "x.onnx")
