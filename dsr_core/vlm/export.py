"""The geometry module as an ONNX file, for ONNX Runtime and TensorRT: encoders, both Q-Formers and the last projection.

Only what is inserted into the text (`gsm`, `concat`) has a graph of its own; `add` and `gated` work on visual tokens
inside the language model's forward. Shapes are fixed, and masks say what of them is filled, so that one engine serves
every question up to its sizes. The language model itself is no business of this file: docs/deploying.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dsr_core.files import whole_file
from dsr_core.perception.export import export_onnx
from dsr_core.vlm.encoders import LABEL_TOKENS
from dsr_core.vlm.module import GeometryModule
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import VlmError

FORMAT_VERSION = 1


class _Graph(nn.Module):
    """What is written: all inputs by name, embeddings instead of token ids."""

    def __init__(self, module: GeometryModule):
        super().__init__()
        self.module = module

    def forward(self, question: Tensor, question_mask: Tensor, **inputs: Tensor) -> Tensor:
        geometry = {
            name: {
                "features": inputs[f"{name}_features"],
                "mask": inputs[f"{name}_mask"],
                "label_ids": inputs[f"{name}_labels"],
                "label_mask": inputs[f"{name}_label_mask"],
            }
            for name in self.module.encoders
        }
        tokens, mask = self.module.tokens(geometry, lambda embedded: embedded)
        return self.module.inserted(question, question_mask, tokens, mask)


def export_geometry(
    module: GeometryModule,
    path: str | Path,
    sources: Mapping[str, GeometrySource],
    tokens: Mapping[str, int] | None = None,
    question: int = 256,
    batch: int = 1,
) -> Path:
    """Writes the module of a model as `path` (.onnx), its weights as `<path>.data`, what it takes as `<path>.json`.

    Inputs, for each source NAME: question (B, L, H) float32 embeddings of the question's words and question_mask (B, L)
    bool; NAME_features (B, V, F) float32, NAME_mask (B, V) bool; NAME_labels (B, V, W, H) float32 embeddings of the
    words of labels and NAME_label_mask (B, V, W) bool, False where a source has none. Output: tokens (B, N, H), of
    `concat` (B, sum of V, H).

    Args:
        module: Of a `GeometryVLM`, of mode gsm or concat. path: The file.
        sources: Those of the module, by name.
        tokens: V, most tokens of a source, by its name; `scene` knows its own.
        question: L, most words of a question with its options. batch: B.

    Raises:
        VlmError: the mode has no graph of its own, or a source's number of tokens is not known.
        DependencyError, ModelError: as `perception.export.export_onnx`.
    """
    config = module.config
    if not config.inserts:
        raise VlmError(f"geometry mode {config.mode!r} works inside the language model; gsm and concat can be exported")
    path = Path(path)
    sizes = {name: _most(source, (tokens or {}).get(name)) for name, source in sources.items()}
    hidden = module.out[-1].out_features
    told = {
        "format_version": FORMAT_VERSION,
        "mode": config.mode,
        "batch": batch,
        "question": question,
        "hidden": hidden,
        "tokens": config.queries if config.mode == "gsm" else sum(sizes.values()),
        "label_words": LABEL_TOKENS,
        "placeholder": config.placeholder,
        "sources": {
            name: {"tokens": sizes[name], "features": s.features, "settings": s.settings()}
            for name, s in sources.items()
        },
    }
    was_on, trained = next(module.parameters()).device, module.training
    try:
        export_onnx(_Graph(module).eval().cpu(), _examples(told), path, outputs=("tokens",))
    finally:
        module.to(was_on).train(trained)
    with whole_file(path.with_name(path.name + ".json")) as partial:
        partial.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return path


def _most(source: GeometrySource, told: int | None) -> int:
    if told is not None:
        return told
    things = getattr(source, "most_things", None)
    if things is None:
        raise VlmError(f"say how many tokens the source {source.name!r} has at most: tokens = {{{source.name!r}: N}}")
    return things * source.samples // source.per_token


def _examples(told: Mapping) -> dict[str, Tensor]:
    """Inputs of the sizes that are exported."""
    B, L, H, W = (told[name] for name in ("batch", "question", "hidden", "label_words"))
    out = {"question": torch.zeros(B, L, H), "question_mask": torch.ones(B, L, dtype=torch.bool)}
    for name, source in told["sources"].items():
        V = source["tokens"]
        out[f"{name}_features"] = torch.zeros(B, V, source["features"])
        out[f"{name}_mask"] = torch.ones(B, V, dtype=torch.bool)
        out[f"{name}_labels"] = torch.zeros(B, V, W, H)
        out[f"{name}_label_mask"] = torch.ones(B, V, W, dtype=torch.bool)
    return out
